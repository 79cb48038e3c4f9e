/*
 * All data-free statistics of a model: plain ones of every matrix, and the components
 * of NSDS, one layer at a time. Of a layer only what is in work is decoded at once; the
 * rest stays in the mapped file.
 */
#ifndef MPQ_METHOD_SURVEY_H
#define MPQ_METHOD_SURVEY_H

#include "model/source.h"

#include <stddef.h>

/* Groups of statistics. */
enum {
    MPQ_SURVEY_MOMENTS = 1,   /* mean var skew kurt min max */
    MPQ_SURVEY_ZSHARE = 2,    /* zshare */
    MPQ_SURVEY_ENTROPY = 4,   /* entropy */
    MPQ_SURVEY_RTN = 8,       /* mse2 mse3 mse4 mse8 */
    MPQ_SURVEY_SPECTRUM = 16, /* fro sigma_max stable_rank effective_rank k99 */
    MPQ_SURVEY_NSDS = 32,     /* nv se se_official */
    MPQ_SURVEY_ALL = 63,
};

/* A figure of a unit. */
struct mpq_survey_row {
    char *unit;       /* blk.3.ffn_down, blk.3.qk, token_embd */
    const char *stat; /* static */
    double value;
};

struct mpq_survey; /* opaque; owns the unembedding's subspace and scratch memory */

/* Prepares for GROUPS of S, which is borrowed. */
MPQ_MUST_CHECK int
mpq_survey_new(struct mpq_survey **out, const struct mpq_source *s, unsigned groups,
               unsigned n_threads, struct mpq_err *err);
void mpq_survey_free(struct mpq_survey *v);
/*
 * Computes LAYER, or with -1 the embedding and the output (plain statistics alone). `n`
 * (weights) is always among the rows. Rows come in model order, tensors first, then the
 * components that exist only on paper: blk.N.qk, blk.N.ov, and blk.N.gate, blk.N.up
 * where one tensor holds both. Figures of experts are means over them. A component that
 * the layer has no tensors for is left out; shapes that do not fit together are errors.
 * The same rows, to the bit, for every number of threads.
 */
MPQ_MUST_CHECK int
mpq_survey_layer(struct mpq_survey *v, int layer, struct mpq_err *err);
/* The rows of the last mpq_survey_layer; borrowed until the next. */
const struct mpq_survey_row *mpq_survey_rows(const struct mpq_survey *v, size_t *n);
/* Weights that mpq_survey_layer(LAYER) looks at, for a progress bar. */
uint64_t mpq_survey_weights(const struct mpq_survey *v, int layer);

#endif
