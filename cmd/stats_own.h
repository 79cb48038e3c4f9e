/* Inside of mpq-stats: what a text does to a model. */
#ifndef MPQ_CMD_STATS_OWN_H
#define MPQ_CMD_STATS_OWN_H

#include "cli.h"

/* The command line's part about it. */
struct stats_text {
    const char *path; /* NULL: no text */
    uint64_t ctx, samples;
    int format;
    int fisher;        /* tokens weigh by their gradients */
    int labels;        /* which are differentiated */
    int answers;       /* only where a line's answer is predicted */
    const char *types; /* STATS_DAMAGE */
    int effort;        /* the same, enum mpq_effort */
    int int8;          /* the same: and of rounding what they are multiplied with */
};
enum { STATS_TSV, STATS_IMATRIX, STATS_HESSIAN, STATS_DAMAGE };
enum { STATS_OWN, STATS_TEXT };
extern struct stats_text stats_text;
/* A text is called by its name, not by where it lies. */
const char *stats_text_name(void);

struct stats_activity; /* figures of the layers; opaque */

/* Reads the text, takes it through S up to layer LAST and keeps the figures of [FIRST,
 * LAST]. Hessians, where they are wanted, are written to OUT on the way; an importance
 * matrix at the end. S is borrowed. */
MPQ_MUST_CHECK int
stats_activity_run(struct stats_activity **out, const struct mpq_source *s,
                   uint64_t first, uint64_t last, struct mpq_out *to,
                   struct mpq_err *err);
void stats_activity_free(struct stats_activity *a);
/* The rows of LAYER; WITH_N: the number of weights too. */
MPQ_MUST_CHECK int
stats_activity_put(const struct stats_activity *a, int layer, int with_n,
                   struct mpq_tsv_writer *w, struct mpq_err *err);

/* With gradients: takes the text through S and back down to layer FIRST, and writes
 * what is asked for to OUT. */
MPQ_MUST_CHECK int
stats_fisher_run(const struct mpq_source *s, uint64_t first, uint64_t last,
                 struct mpq_out *out, struct mpq_err *err);

#endif
