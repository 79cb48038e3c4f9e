/* Options, help, messages and exit status, the same for all tools. The progress bar is
 * in bar.c. */
#include "cli.h"

#include "base/buf.h"
#include "base/parse.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct cli_common cli;

static const struct cli_tool *tool;
static int help, version;
static uint64_t given; /* bit i: the i-th option of the tool, then the shared ones */
static struct mpq_buf options_text;

static const char *layers_text;

/* Kept in one order; those that a tool does not take are skipped. */
static const struct cli_opt shared[] = {
    { 'l', "layers", CLI_STR, &layers_text, 0, 0, "A-B", "only layers A to B" },
    { 0, "seed", CLI_U64, &cli.seed, 0, 1.8e19, "N", "seed of what is random" },
    { 'o', "output", CLI_STR, &cli.output, 0, 0, "FILE",
      "write FILE (appears when complete)" },
    { 'j', "threads", CLI_U64, &cli.threads, 1, 1024, "N", "threads" },
    { 0, "progress", CLI_CHOICE, &cli.progress, 0, 0, "auto|always|never",
      "a bar on standard error" },
    { 'q', "quiet", CLI_FLAG, &cli.quiet, 0, 0, NULL, "no notes, only faults" },
    { 'v', "verbose", CLI_FLAG, &cli.verbose, 0, 0, NULL, "more notes" },
    { 'h', "help", CLI_FLAG, &help, 0, 0, NULL, "this text" },
    { 'V', "version", CLI_FLAG, &version, 0, 0, NULL, "the version" },
    { 0 },
};
enum { OPT_LAYERS, OPT_SEED, OPT_OUTPUT, OPT_THREADS, OPT_PROGRESS };

static size_t
n_own(void)
{
    size_t n = 0;
    while (tool->opts[n].name)
        n++;
    return n;
}

/* The I-th option of all, or NULL behind the last; skipped ones have no name. */
static const struct cli_opt *
option(size_t i)
{
    static const struct cli_opt skipped = { .name = "" };
    size_t own = n_own();

    if (i < own)
        return &tool->opts[i];
    i -= own;
    if (!shared[i].name)
        return NULL;
    if ((i == OPT_LAYERS && !tool->layers) || (i == OPT_SEED && !tool->seeds))
        return &skipped;
    return &shared[i];
}

/* One line on standard error. It may name what came from a file or an argument: no
 * control bytes reach the terminal. */
MPQ_PRINTF(1, 0)
static void
say(const char *fmt, va_list ap)
{
    char text[1024];
    vsnprintf(text, sizeof text, fmt, ap);
    for (char *p = text; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = '?';
    fprintf(stderr, "%s: %s\n", tool->name, text);
}

MPQ_PRINTF(1, 2)
_Noreturn static void
misuse(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say(fmt, ap);
    va_end(ap);
    fprintf(stderr, "try %s --help\n", tool->name);
    exit(2);
}

/* "-b" or "--size", for messages. */
static const char *
spelled(const struct cli_opt *o, int by_letter)
{
    static char text[64];
    if (by_letter)
        snprintf(text, sizeof text, "-%c", o->letter);
    else
        snprintf(text, sizeof text, "--%s", o->name);
    return text;
}

/* Index of VALUE among the words "a|b|c", or -1. */
static int
choice(const char *words, const char *value)
{
    size_t len = strlen(value);
    for (int i = 0; *words; i++) {
        size_t n = strcspn(words, "|");
        if (n == len && strncmp(words, value, n) == 0)
            return i;
        words += n + (words[n] == '|');
    }
    return -1;
}

static void
set_number(const struct cli_opt *o, const char *name, const char *value)
{
    double v = 0;
    uint64_t u = 0;
    int ok;

    if (o->type == CLI_DOUBLE) {
        ok = mpq_parse_double(value, &v) == 0;
    } else {
        ok = (o->type == CLI_BYTES ? mpq_parse_bytes(value, &u)
                                   : mpq_parse_u64(value, &u)) == 0;
        v = (double)u;
    }
    if (!ok || v < o->lo || v > o->hi)
        misuse("%s: %s takes %s from %g to %g", value, name,
               o->type == CLI_DOUBLE  ? "a number"
               : o->type == CLI_BYTES ? "a size"
                                      : "a whole number",
               o->lo, o->hi);
    if (o->type == CLI_DOUBLE)
        *(double *)o->value = v;
    else
        *(uint64_t *)o->value = u;
}

static void
add_to_list(struct cli_list *list, const char *value)
{
    const char **items = realloc(list->items, (list->n + 1) * sizeof *items);
    if (!items)
        misuse("out of memory");
    items[list->n++] = value;
    list->items = items;
}

static void
set_value(const struct cli_opt *o, const char *name, const char *value)
{
    int index;

    switch (o->type) {
    case CLI_FLAG:
        *(int *)o->value = 1;
        break;
    case CLI_STR:
        *(const char **)o->value = value;
        break;
    case CLI_LIST:
        add_to_list(o->value, value);
        break;
    case CLI_CHOICE:
        index = choice(o->arg, value);
        if (index < 0)
            misuse("%s: %s takes one of %s", value, name, o->arg);
        *(int *)o->value = index;
        break;
    case CLI_U64:
    case CLI_DOUBLE:
    case CLI_BYTES:
        set_number(o, name, value);
        break;
    }
}

/* Provenance names what decides the content: not where it goes nor how fast. A value
 * that looks like a path is given by its last component. */
static void
remember(const struct cli_opt *o, const char *value)
{
    if (o >= shared && o < shared + sizeof shared / sizeof *shared &&
        o != &shared[OPT_LAYERS] && o != &shared[OPT_SEED])
        return;
    /* where it lies is not what it says: the model's name stands beside the options */
    if (strcmp(o->name, "config") == 0 || strcmp(o->name, "model") == 0)
        return;
    mpq_buf_printf(&options_text, "%s%s%s", options_text.len ? " " : "",
                   o->letter ? "-" : "--", o->letter ? "" : o->name);
    if (o->letter)
        mpq_buf_add(&options_text, &o->letter, 1);
    if (value) {
        const char *slash = strrchr(value, '/');
        mpq_buf_printf(&options_text, " %s", slash ? slash + 1 : value);
    }
}

static void
apply(size_t index, int by_letter, const char *value)
{
    const struct cli_opt *o = option(index);
    given |= UINT64_C(1) << index;
    set_value(o, spelled(o, by_letter), value);
    remember(o, o->type == CLI_FLAG ? NULL : value);
}

/* "--name", "--name=value" or "--name value". Returns how many arguments it took. */
static int
take_long(char **argv, int left)
{
    const char *name = argv[0] + 2;
    size_t len = strcspn(name, "=");

    for (size_t i = 0; option(i); i++) {
        const struct cli_opt *o = option(i);
        if (!len || strlen(o->name) != len || strncmp(o->name, name, len) != 0)
            continue; /* those skipped have no name */
        if (o->type == CLI_FLAG) {
            if (name[len])
                misuse("--%s takes no value", o->name);
            apply(i, 0, NULL);
            return 1;
        }
        if (name[len]) {
            apply(i, 0, name + len + 1);
            return 1;
        }
        if (left < 2)
            misuse("--%s takes %s", o->name, o->arg);
        apply(i, 0, argv[1]);
        return 2;
    }
    misuse("no option --%.*s", (int)len, name);
}

/* "-q", "-qv", "-j4" or "-j 4". Returns how many arguments it took. */
static int
take_short(char **argv, int left)
{
    for (const char *p = argv[0] + 1; *p; p++) {
        const struct cli_opt *o = NULL;
        size_t i = 0;
        for (; (o = option(i)); i++)
            if (o->letter == *p)
                break;
        if (!o)
            misuse("no option -%c", *p);
        if (o->type == CLI_FLAG) {
            apply(i, 1, NULL);
            continue;
        }
        if (p[1]) {
            apply(i, 1, p + 1);
            return 1;
        }
        if (left < 2)
            misuse("-%c takes %s", *p, o->arg);
        apply(i, 1, argv[1]);
        return 2;
    }
    return 1;
}

static void
print_default(const struct cli_opt *o)
{
    const char *s;

    switch (o->type) {
    case CLI_FLAG:
    case CLI_LIST:
        break;
    case CLI_STR:
        s = *(const char **)o->value;
        if (s)
            printf(" [%s]", s);
        break;
    case CLI_CHOICE:
        s = o->arg;
        for (int i = *(int *)o->value; i > 0; i--)
            s += strcspn(s, "|") + 1;
        printf(" [%.*s]", (int)strcspn(s, "|"), s);
        break;
    case CLI_U64:
    case CLI_BYTES:
        if (*(uint64_t *)o->value)
            printf(" [%" PRIu64 "]", *(uint64_t *)o->value);
        break;
    case CLI_DOUBLE:
        if (*(double *)o->value != 0)
            printf(" [%g]", *(double *)o->value);
        break;
    }
}

_Noreturn static void
print_help(void)
{
    printf("usage: %s [options] %s\n%s\n\n", tool->name, tool->operands, tool->summary);
    for (size_t i = 0; option(i); i++) {
        const struct cli_opt *o = option(i);
        char left[96];
        if (!*o->name)
            continue;
        int n = o->letter
                    ? snprintf(left, sizeof left, "  -%c, --%s", o->letter, o->name)
                    : snprintf(left, sizeof left, "      --%s", o->name);
        if (o->arg && n > 0 && (size_t)n < sizeof left)
            snprintf(left + n, sizeof left - (size_t)n, " %s", o->arg);
        if (strlen(left) > 26)
            printf("%s\n%-28s%s", left, "", o->help);
        else
            printf("%-28s%s", left, o->help);
        print_default(o);
        putchar('\n');
    }
    printf("\nexample:\n  %s\n", tool->example);
    exit(cli_finish(tool, NULL));
}

static void
on_signal(int signal_number)
{
    mpq_out_remove_all();
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

/* A mapped file that somebody cut short while it was read. */
static void
on_bus_error(int signal_number)
{
    static const char text[] = ": an input file shrank while it was read\n";
    (void)signal_number;
    mpq_out_remove_all();
    if (write(STDERR_FILENO, tool->name, strlen(tool->name)) < 0 ||
        write(STDERR_FILENO, text, sizeof text - 1) < 0)
        _exit(1);
    _exit(1);
}

/* A closed pipe ends the program quietly through EPIPE, see cli_finish, a file over the
 * limit through EFBIG; other signals take unfinished files with them, but those that
 * the caller had ignored (nohup) stay ignored. */
static void
set_signals(void)
{
    static const int fatal[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGXCPU };
    struct sigaction sa = { 0 }, old;

    sa.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &sa, NULL);
    sigaction(SIGXFSZ, &sa, NULL);
    sa.sa_handler = on_signal;
    for (size_t i = 0; i < sizeof fatal / sizeof *fatal; i++)
        if (sigaction(fatal[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaction(fatal[i], &sa, NULL);
    sa.sa_handler = on_bus_error;
    sigaction(SIGBUS, &sa, NULL);
}

/* A standard stream that the caller closed is made one that fails when it is used:
 * otherwise the next file opened, the output say, would take its place and receive all
 * that is meant for it. */
static void
hold_standard_streams(void)
{
    static const int mode[] = { O_WRONLY, O_RDONLY, O_RDONLY };

    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", mode[fd]) != fd)
            _exit(1);
}

static void
set_thread_default(void)
{
    const char *env = getenv("MPQ_THREADS");
    long n = sysconf(_SC_NPROCESSORS_ONLN);

    cli.threads = n > 0 && n <= 1024 ? (uint64_t)n : 1;
    if (!env || !*env)
        return;
    uint64_t v;
    if (mpq_parse_u64(env, &v) < 0 || v < 1 || v > 1024)
        misuse("MPQ_THREADS=%s: takes a whole number from 1 to 1024", env);
    cli.threads = v;
}

int
cli_parse(const struct cli_tool *the_tool, int argc, char **argv)
{
    char **operands = calloc((size_t)argc + 1, sizeof *operands);
    int n_operands = 0;

    tool = the_tool;
    hold_standard_streams();
    setlocale(LC_ALL, "C");
    set_signals();
    if (!operands)
        misuse("out of memory");
    set_thread_default();
    for (int i = 1; i < argc;) {
        if (strcmp(argv[i], "--") == 0) {
            while (++i < argc)
                operands[n_operands++] = argv[i];
        } else if (strncmp(argv[i], "--", 2) == 0) {
            i += take_long(argv + i, argc - i);
        } else if (argv[i][0] == '-' && argv[i][1]) {
            i += take_short(argv + i, argc - i);
        } else {
            operands[n_operands++] = argv[i++];
        }
    }
    if (help)
        print_help();
    if (version) {
        printf("%s %s\n", tool->name, MPQ_VERSION);
        exit(cli_finish(tool, NULL));
    }
    if (n_operands < tool->min_operands || n_operands > tool->max_operands)
        misuse("%d operands given, takes %s", n_operands, tool->operands);
    if (cli.output && !*cli.output)
        misuse("-o takes FILE, not an empty name");
    cli.has_layers = layers_text != NULL;
    if (layers_text &&
        mpq_parse_range(layers_text, &cli.first_layer, &cli.last_layer) < 0)
        misuse("%s: -l takes a range of layers such as 0-15", layers_text);
    for (int i = 0; i < n_operands; i++)
        argv[argc - n_operands + i] = operands[i];
    free(operands);
    return argc - n_operands;
}

int
cli_given(const char *name)
{
    for (size_t i = 0; option(i); i++)
        if (strcmp(option(i)->name, name) == 0)
            return (int)(given >> i & 1);
    return 0;
}

/* Did the reader go away (| head)? The cause is what a message ends in. */
static int
is_closed_pipe(const struct mpq_err *err)
{
    const char *cause = strerror(EPIPE);
    size_t n = strlen(err->text), m = strlen(cause);

    return err->code == MPQ_ESYS && n >= m && strcmp(err->text + n - m, cause) == 0;
}

int
cli_finish(const struct cli_tool *the_tool, const struct mpq_err *err)
{
    int status = 0;

    mpq_out_remove_all();
    if (err && err->code) {
        status = err->code == MPQ_EUSAGE ? 2 : err->code == MPQ_ENOFIT ? 3 : 1;
        if (is_closed_pipe(err)) /* no fault worth a word */
            return 1;
        fprintf(stderr, "%s: %s\n", the_tool->name, err->text);
        if (status == 2)
            fprintf(stderr, "try %s --help\n", the_tool->name);
    } else if (err) {
        fprintf(stderr, "%s: failed\n", the_tool->name);
        status = 1;
    }
    if (fflush(stdout) != 0 && status == 0 && errno != EPIPE) {
        fprintf(stderr, "%s: standard output: %s\n", the_tool->name, strerror(errno));
        status = 1;
    }
    mpq_buf_free(&options_text);
    return status;
}

void
cli_note(const char *fmt, ...)
{
    va_list ap;
    if (cli.quiet)
        return;
    va_start(ap, fmt);
    say(fmt, ap);
    va_end(ap);
}

void
cli_debug(const char *fmt, ...)
{
    va_list ap;
    if (!cli.verbose || cli.quiet)
        return;
    va_start(ap, fmt);
    say(fmt, ap);
    va_end(ap);
}

const char *
cli_options_text(void)
{
    return options_text.data ? options_text.data : "";
}

int
cli_open_output(struct mpq_out **out, int binary, struct mpq_err *err)
{
    if (mpq_out_open(out, cli.output, err) < 0)
        return -1;
    if (binary && mpq_out_is_tty(*out)) {
        mpq_out_free(*out);
        *out = NULL;
        return mpq_fail(err, MPQ_EUSAGE,
                        "binary output to a terminal: use -o or a pipe");
    }
    return 0;
}

int
cli_layers(uint64_t n_layer, uint64_t *first, uint64_t *last, struct mpq_err *err)
{
    *first = 0;
    *last = n_layer ? n_layer - 1 : 0;
    if (!cli.has_layers)
        return 0;
    if (cli.last_layer >= n_layer)
        return mpq_fail(err, MPQ_EUSAGE,
                        "-l %" PRIu64 "-%" PRIu64 ": the model has %" PRIu64 " layers",
                        cli.first_layer, cli.last_layer, n_layer);
    *first = cli.first_layer;
    *last = cli.last_layer;
    return 0;
}
