/* Messages, exit status and what the shared options mean to a tool. Parsing is in
 * cli_parse.c, help in cli_help.c, signals in cli_start.c, the progress bar in bar.c.
 */
#include "cli.h"

#include "cli_own.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct cli_common cli;
const struct cli_tool *cli_the_tool;

void
cli_say(const char *fmt, va_list ap)
{
    char text[1024];
    vsnprintf(text, sizeof text, fmt, ap);
    for (char *p = text; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = '?';
    fprintf(stderr, "%s: %s\n", cli_the_tool->name, text);
}

/* Tells what is wrong, the usage line if wanted, and where help is. */
MPQ_PRINTF(1, 0)
_Noreturn static void
refuse(const char *fmt, va_list ap, int with_usage)
{
    const char *name = cli_the_tool->name;

    cli_say(fmt, ap);
    if (with_usage)
        fprintf(stderr, "usage: %s [options] %s\n", name, cli_the_tool->operands);
    fprintf(stderr, "try '%s --help'\n", name);
    exit(2);
}

void
cli_misuse(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    refuse(fmt, ap, 0);
}

void
cli_misuse_usage(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    refuse(fmt, ap, 1);
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
            fprintf(stderr, "try '%s --help'\n", the_tool->name);
    } else if (err) {
        fprintf(stderr, "%s: failed\n", the_tool->name);
        status = 1;
    }
    if (fflush(stdout) != 0 && status == 0 && errno != EPIPE) {
        fprintf(stderr, "%s: standard output: %s\n", the_tool->name, strerror(errno));
        status = 1;
    }
    return status;
}

void
cli_note(const char *fmt, ...)
{
    va_list ap;
    if (cli.quiet)
        return;
    va_start(ap, fmt);
    cli_say(fmt, ap);
    va_end(ap);
}

void
cli_debug(const char *fmt, ...)
{
    va_list ap;
    if (!cli.verbose || cli.quiet)
        return;
    va_start(ap, fmt);
    cli_say(fmt, ap);
    va_end(ap);
}

int
cli_begin_table(struct mpq_tsv_writer *w, struct mpq_out *out, const char *kind,
                const char *model, struct mpq_err *err)
{
    const char *info[] = {
        "tool", cli_the_tool->name, "version",          MPQ_VERSION, "model",
        model,  "options",          cli_options_text(), NULL
    };

    return mpq_tsv_begin(w, out, kind, info, err);
}

int
cli_write_table(const char *kind, const char *model, cli_put_fn *put, const void *job,
                struct mpq_err *err)
{
    struct mpq_out *out = NULL;
    struct mpq_tsv_writer w;
    int rc = -1;

    if (cli_open_output(&out, 0, err) < 0 ||
        cli_begin_table(&w, out, kind, model, err) < 0 || put(job, &w, err) < 0 ||
        mpq_tsv_end(&w, err) < 0)
        goto out;
    rc = mpq_out_close(out, err);
    out = NULL;
out:
    mpq_out_free(out);
    return rc;
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
