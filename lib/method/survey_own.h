/* Shared by the files of the survey. */
#ifndef MPQ_METHOD_SURVEY_OWN_H
#define MPQ_METHOD_SURVEY_OWN_H

#include "method/nsds.h"
#include "method/survey.h"
#include "num/stat.h"

/* Rows [row, row + rows) of a weight, in work as one piece. */
struct mpq_tile {
    const struct mpq_weight *w;
    uint64_t row, rows;
};

struct mpq_survey {
    const struct mpq_source *source;
    unsigned groups, n_threads;
    struct mpq_subspace p; /* of the unembedding, where NSDS is wanted */
    struct mpq_survey_row *rows;
    size_t n_rows, cap_rows;
    const struct mpq_weight **weights; /* of the layer in hand */
    size_t n_weights, cap_weights;
};

MPQ_MUST_CHECK int mpq_survey_put(struct mpq_survey *v, const char *unit,
                                  const char *stat, double value, struct mpq_err *err);
/* Cuts ROWS rows of COLS into pieces of some 65,536 weights: rows of one piece. */
uint64_t mpq_tile_rows(uint64_t cols);
/* Decodes rows of W, some in parallel, into dst[rows][cols]. */
MPQ_MUST_CHECK int
mpq_survey_decode(struct mpq_survey *v, const struct mpq_weight *w, uint64_t row,
                  uint64_t rows, float *dst, struct mpq_err *err);

/* The unembedding's subspace into v->p. */
MPQ_MUST_CHECK int mpq_survey_unembedding(struct mpq_survey *v, struct mpq_err *err);

#endif
