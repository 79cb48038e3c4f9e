/* Inside of mpq-stats: what a text does to a model. */
#ifndef MPQ_CMD_STATS_OWN_H
#define MPQ_CMD_STATS_OWN_H

#include "cli.h"

/* The command line's part about it. */
struct stats_text {
    const char *path; /* NULL: no text */
    uint64_t ctx, samples;
    int format;
};
enum { STATS_TSV, STATS_IMATRIX, STATS_HESSIAN };
extern struct stats_text stats_text;

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

#endif
