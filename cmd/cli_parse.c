/* The command line by the option table: the tool's own options, then the shared ones.
 */
#include "cli.h"

#include "base/buf.h"
#include "base/par.h"
#include "base/parse.h"
#include "cli_own.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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
    while (cli_the_tool->opts[n].name)
        n++;
    return n;
}

const struct cli_opt *
cli_option(size_t i)
{
    static const struct cli_opt skipped = { .name = "" };
    size_t own = n_own();

    if (i < own)
        return &cli_the_tool->opts[i];
    i -= own;
    if (!shared[i].name)
        return NULL;
    if ((i == OPT_LAYERS && !cli_the_tool->layers) ||
        (i == OPT_SEED && !cli_the_tool->seeds))
        return &skipped;
    return &shared[i];
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
        cli_misuse("%s: '%s' is not %s from %g to %g%s", name, value,
                   o->type == CLI_DOUBLE  ? "a number"
                   : o->type == CLI_BYTES ? "a size"
                                          : "a whole number",
                   o->lo, o->hi, o->type == CLI_BYTES ? " bytes" : "");
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
        cli_misuse("out of memory");
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
            cli_misuse("%s: '%s' is not one of %s", name, value, o->arg);
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
    static const char *const without[] = { "config", "model", "resume", "max-bytes" };
    for (size_t i = 0; i < sizeof without / sizeof *without; i++)
        if (strcmp(o->name, without[i]) == 0)
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
    const struct cli_opt *o = cli_option(index);
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

    for (size_t i = 0; cli_option(i); i++) {
        const struct cli_opt *o = cli_option(i);
        if (!len || strlen(o->name) != len || strncmp(o->name, name, len) != 0)
            continue; /* those skipped have no name */
        if (o->type == CLI_FLAG) {
            if (name[len])
                cli_misuse("--%s: takes no value", o->name);
            apply(i, 0, NULL);
            return 1;
        }
        if (name[len]) {
            apply(i, 0, name + len + 1);
            return 1;
        }
        if (left < 2)
            cli_misuse("--%s: needs %s", o->name, o->arg);
        apply(i, 0, argv[1]);
        return 2;
    }
    cli_misuse("--%.*s: no such option", (int)len, name);
}

/* "-q", "-qv", "-j4" or "-j 4". Returns how many arguments it took. */
static int
take_short(char **argv, int left)
{
    for (const char *p = argv[0] + 1; *p; p++) {
        const struct cli_opt *o = NULL;
        size_t i = 0;
        for (; (o = cli_option(i)); i++)
            if (o->letter == *p)
                break;
        if (!o)
            cli_misuse("-%c: no such option", *p);
        if (o->type == CLI_FLAG) {
            apply(i, 1, NULL);
            continue;
        }
        if (p[1]) {
            apply(i, 1, p + 1);
            return 1;
        }
        if (left < 2)
            cli_misuse("-%c: needs %s", *p, o->arg);
        apply(i, 1, argv[1]);
        return 2;
    }
    return 1;
}

static void
set_thread_default(void)
{
    const char *env = getenv("MPQ_THREADS");
    unsigned cores = mpq_par_cores();

    cli.threads = cores <= 1024 ? cores : 1024;
    if (!env || !*env)
        return;
    uint64_t v;
    if (mpq_parse_u64(env, &v) < 0 || v < 1 || v > 1024)
        cli_misuse("MPQ_THREADS: '%s' is not a whole number from 1 to 1024", env);
    cli.threads = v;
}

/* No tool can do without input: none at a terminal is a command that was called to see
 * what it does, not one that waits for somebody to type a table. */
static void
check_operands(const struct cli_tool *tool, char **operands, int n)
{
    if (n < tool->min_operands)
        cli_misuse_usage("needs %s", tool->operands);
    if (n > tool->max_operands)
        cli_misuse_usage("'%s' is an operand too many", operands[tool->max_operands]);
    if (n == 0 && !(tool->alone && *tool->alone) && isatty(STDIN_FILENO))
        cli_misuse_usage("nothing to read: standard input is a terminal");
}

/* What the command line names for reading: operands and options' values. */
static char **operands_kept;
static int n_operands_kept;

const char *
cli_operand(size_t i)
{
    return i < (size_t)n_operands_kept ? operands_kept[i] : NULL;
}

int
cli_parse(const struct cli_tool *tool, int argc, char **argv)
{
    char **operands = calloc((size_t)argc + 1, sizeof *operands);
    int n_operands = 0;

    cli_the_tool = tool;
    cli_start(argv);
    if (!operands)
        cli_misuse("out of memory");
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
        cli_print_help();
    if (version) {
        printf("%s %s\n", tool->name, MPQ_VERSION);
        exit(cli_finish(tool, NULL));
    }
    check_operands(tool, operands, n_operands);
    if (cli.output && !*cli.output)
        cli_misuse("-o: needs FILE, not an empty name");
    cli.has_layers = layers_text != NULL;
    if (layers_text &&
        mpq_parse_range(layers_text, &cli.first_layer, &cli.last_layer) < 0)
        cli_misuse("-l: '%s' is not a range of layers such as 0-15", layers_text);
    for (int i = 0; i < n_operands; i++)
        argv[argc - n_operands + i] = operands[i];
    free(operands);
    operands_kept = argv + argc - n_operands;
    n_operands_kept = n_operands;
    cli_refuse_input("-o", cli.output);
    return argc - n_operands;
}

int
cli_given(const char *name)
{
    for (size_t i = 0; cli_option(i); i++)
        if (strcmp(cli_option(i)->name, name) == 0)
            return (int)(given >> i & 1);
    return 0;
}

const char *
cli_options_text(void)
{
    return options_text.data ? options_text.data : "";
}
