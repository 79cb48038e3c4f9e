/*
 * The command line that all tools share: one option table is the single source for
 * parsing, range checks, help and live defaults.
 */
#ifndef MPQ_CMD_CLI_H
#define MPQ_CMD_CLI_H

#include "base/err.h"
#include "base/io.h"
#include "fmt/tsv.h"
#include "model/source.h"

#include <stddef.h>
#include <stdint.h>

enum cli_type {
    CLI_FLAG,   /* int *: 1 when given */
    CLI_STR,    /* const char ** */
    CLI_U64,    /* uint64_t *, lo..hi */
    CLI_DOUBLE, /* double *, lo..hi */
    CLI_BYTES,  /* uint64_t *, lo..hi, with suffixes */
    CLI_CHOICE, /* int *: index into the words of `arg`, parted by | ("paper|official")
                 */
    CLI_LIST,   /* struct cli_list *: the option may be repeated */
};

struct cli_opt {
    char letter; /* 0: none */
    const char *name;
    enum cli_type type;
    void *value; /* holds the default before parsing */
    double lo, hi;
    const char *arg;  /* how help calls the argument; CLI_CHOICE: its words */
    const char *help; /* one line */
};

struct cli_list {
    const char **items;
    size_t n;
};

struct cli_tool {
    const char *name;           /* mpq-stats */
    const char *summary;        /* one line */
    const char *operands;       /* "[MODEL]" */
    const char *example;        /* one pipeline to copy */
    const struct cli_opt *opts; /* the tool's own; ends with { 0 } */
    int min_operands, max_operands;
    int layers;       /* takes -l */
    int seeds;        /* takes --seed */
    const int *alone; /* a flag with which no input is read, or NULL */
};

/* What the shared options set. */
struct cli_common {
    const char *output; /* -o; NULL is standard output */
    uint64_t threads;   /* -j; never 0 after cli_parse */
    uint64_t seed;
    int quiet, verbose;
    int progress;   /* 0 auto, 1 always, 2 never */
    int has_layers; /* -l was given */
    uint64_t first_layer, last_layer;
};
extern struct cli_common cli;

/* Parses; --help, --version and misuse end here (exit 0 or 2, 1 when stdout fails).
 * Operands are moved to the end of argv (options may follow them); returns the index of
 * the first. */
int cli_parse(const struct cli_tool *tool, int argc, char **argv);
/* Misuse (exit 2) when PATH, what OPTION writes, is a file that the command line names
 * for reading, or one that is read with it: in a model's folder, beside its
 * safetensors, another part of it. It would be lost. cli_parse does it for -o. */
void cli_refuse_input(const char *option, const char *path);
/* The same of INPUT, which a file and not the command line names. */
void cli_refuse_input_of(const char *option, const char *path, const char *input);
/* Was the option with this long name given? */
int cli_given(const char *name);
/* Prints the error if there is one, removes unfinished output, checks stdout. Returns
 * the exit status: 0, 1, 2 for MPQ_EUSAGE, 3 for MPQ_ENOFIT. */
int cli_finish(const struct cli_tool *tool, const struct mpq_err *err);
/* One line on standard error, "TOOL: text"; nothing under -q. */
void cli_note(const char *fmt, ...) MPQ_PRINTF(1, 2);
/* The same, shown under -v only. */
void cli_debug(const char *fmt, ...) MPQ_PRINTF(1, 2);
/* The command's own options as one string for provenance: "-m nsds --variant paper",
 * without -o -j -q -v --progress and operands. Static storage. */
const char *cli_options_text(void);

/* The first line of a table of KIND from MODEL: tool, version, model and options. */
MPQ_MUST_CHECK int
cli_begin_table(struct mpq_tsv_writer *w, struct mpq_out *out, const char *kind,
                const char *model, struct mpq_err *err);
/* Writes a table of KIND to the output: that line, what PUT adds about JOB, the end. */
typedef int cli_put_fn(const void *job, struct mpq_tsv_writer *w, struct mpq_err *err);
MPQ_MUST_CHECK int cli_write_table(const char *kind, const char *model, cli_put_fn *put,
                                   const void *job, struct mpq_err *err);
/* The output named by -o. BINARY output is refused on a terminal. */
MPQ_MUST_CHECK int
cli_open_output(struct mpq_out **out, int binary, struct mpq_err *err);
/* Holds -l against the model's layers: [*first, *last], all of them without -l. */
MPQ_MUST_CHECK int
cli_layers(uint64_t n_layer, uint64_t *first, uint64_t *last, struct mpq_err *err);

/* The comma-separated types of OPTION, all of which can be written and none twice, into
 * TYPES; else misuse. */
enum { CLI_MAX_TYPES = 64 };
MPQ_MUST_CHECK int
cli_types(const char *option, const char *list, struct mpq_type types[CLI_MAX_TYPES],
          size_t *n, struct mpq_err *err);

/* A bar with rate and time left on standard error; silent unless it is a terminal and
 * the work takes longer than a second (or --progress=always). Thread-safe. */
struct cli_bar;
struct cli_bar *cli_bar_new(const char *what, uint64_t total, const char *unit);
void cli_bar_add(struct cli_bar *bar, uint64_t done);
void cli_bar_free(struct cli_bar *bar);

#endif
