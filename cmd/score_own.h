/* Inside of mpq-score: what it was asked, and the tables it reads. */
#ifndef MPQ_CMD_SCORE_OWN_H
#define MPQ_CMD_SCORE_OWN_H

#include "cli.h"

#include "fmt/dtype.h"
#include "method/pairs.h"

/* The methods, as -m names them: first those of mpq_score_run, then those of probes. */
enum { SCORE_MOA = 9, SCORE_FIRST_METRIC };

/* The command line. */
struct score_options {
    int method, variant, by, bits;
    double beta;
    const char *weights, *tasks, *metrics; /* lists, or NULL */
    const char *fill;                      /* a table of damages, or NULL */
    const char *scale;                     /* of damages of weights: a list, or NULL */
    int norm;                              /* 0 as the method has it, 1 sum, 2 none */
    const char *type_list;                 /* or NULL */
    struct mpq_type types[CLI_MAX_TYPES];  /* what stands in it */
    size_t n_types;
    struct cli_list refine; /* PLAN=DELTA */
    int tau;
};
extern struct score_options score;
extern const struct cli_opt score_opts[];

/* Options that the input has no use for are refused: they would do nothing. */
MPQ_MUST_CHECK int score_check_options(struct mpq_err *err);

/* The metric that the method takes from a probe: "kld"; NULL for others. */
const char *score_metric(void);

struct score_tables {
    struct mpq_tsv **all;
    size_t n;
    struct mpq_tsv *meta; /* the first with metadata, else the first */
};
/* Reads NAMES[n], standard input when there are none, as KIND, or any when NULL; each
 * must be of one model, text and task (score_one_whole). */
MPQ_MUST_CHECK int score_read(struct score_tables *t, char **names, size_t n,
                              const char *kind, struct mpq_err *err);
/* -1 when they are not of one model. */
MPQ_MUST_CHECK int score_one_model(const struct score_tables *t, struct mpq_err *err);
/* -1 when ## lines of TABLES[n], parts of one whole, contradict each other: two models
 * or references, or two texts or tasks of one name. */
MPQ_MUST_CHECK int
score_one_whole(struct mpq_tsv *const *tables, size_t n, struct mpq_err *err);
void score_free(struct score_tables *t);
/* What stands behind KEY in T's first ## line that begins with LINE and has it, or
 * NULL. */
const char *score_word_in(const struct mpq_tsv *t, const char *line, const char *key);
/* What the model of T is called, "" when that is not known. */
const char *score_model(const struct score_tables *t);
/* Writes the output, a table of KIND with what T passes on: PUT adds to W all between
 * that and the end. */
MPQ_MUST_CHECK int score_write(const struct score_tables *t, const char *kind,
                               cli_put_fn *put, const void *job, struct mpq_err *err);

/* Parts of a table that is passed on with other numbers. Its ##objective lines: */
MPQ_MUST_CHECK int score_put_objectives(const struct mpq_tsv *t,
                                        struct mpq_tsv_writer *w, struct mpq_err *err);
MPQ_MUST_CHECK int score_put_columns(const struct mpq_tsv *t, struct mpq_tsv_writer *w,
                                     struct mpq_err *err);
/* Row ROW with VALUES[n] in the place of its COLUMNS[n]; -1 is a column it lacks. */
MPQ_MUST_CHECK int score_put_row(const struct mpq_tsv *t, size_t row,
                                 const int *columns, const double *values, size_t n,
                                 struct mpq_tsv_writer *w, struct mpq_err *err);

/* --metric and --task pick from probes: misuse where none of the tables is one. */
MPQ_MUST_CHECK int score_check_picks(const struct score_tables *t, struct mpq_err *err);
/* -1 when a table cannot take X, the WHAT of UNIT: no number, less than LOW, more than
 * 1e100. FILE is what it was made of. */
MPQ_MUST_CHECK int score_check(const char *file, const char *unit, const char *what,
                               double x, double low, struct mpq_err *err);
/* The same of what is to be written of a unit as TYPE. */
MPQ_MUST_CHECK int
score_check_pair(const char *file, const char *unit, const char *type, double damage,
                 double se, struct mpq_err *err);
/* -1 unless each damage of P, one table, is at least what inputs have in it, and that
 * is 0 or more. */
MPQ_MUST_CHECK int score_check_damages(const struct mpq_pairs *p, struct mpq_err *err);

/* "ffn_down" of "blk.3.ffn_down", "layer" of "blk.3", else UNIT itself. */
const char *score_family(const char *unit);

/* What damages of weights are multiplied with, by families. */
enum { SCORE_MAX_SCALES = 64 };
struct score_scales {
    struct {
        char *family;
        double x;
    } of[SCORE_MAX_SCALES];
    size_t n;
    double rest; /* of all other families */
};
/* LIST: "X,FAMILY=X,..."; NULL is 1 for all. *S is the caller's to free, even at -1. */
MPQ_MUST_CHECK int
score_scales_read(struct score_scales *s, const char *list, struct mpq_err *err);
void score_scales_free(struct score_scales *s);
double score_scale_of(const struct score_scales *s, const char *unit);
/* -1 when a family is named that has no unit in P. */
MPQ_MUST_CHECK int score_scales_check(const struct score_scales *s,
                                      const struct mpq_pairs *p, struct mpq_err *err);

/* What the tool does: each reads NAMES[n] and writes a table. */
MPQ_MUST_CHECK int score_stats(char **names, size_t n, struct mpq_err *err);
MPQ_MUST_CHECK int score_probes(char **names, size_t n, struct mpq_err *err);
MPQ_MUST_CHECK int score_fill(char **names, size_t n, struct mpq_err *err);
MPQ_MUST_CHECK int score_refine(char **names, size_t n, struct mpq_err *err);
MPQ_MUST_CHECK int score_scale(char **names, size_t n, struct mpq_err *err);
MPQ_MUST_CHECK int score_tau(char **names, size_t n, struct mpq_err *err);

#endif
