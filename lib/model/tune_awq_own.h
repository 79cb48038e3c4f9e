/* What tune_awq.c and tune_awq_search.c share; nobody else includes this. */
#ifndef MPQ_MODEL_TUNE_AWQ_OWN_H
#define MPQ_MODEL_TUNE_AWQ_OWN_H

#include "model/tune_own.h"
#include "quant/awq.h"

/* Tiles of MPQ_AWQ_ROWS rows that W has; rows of one of them. */
size_t mpq_awq_tiles(const struct mpq_weight *w);
size_t mpq_awq_tile_rows(const struct mpq_weight *w, size_t tile);
/* Importance of IN's columns, by their mean squares, once they have been scaled. */
void mpq_awq_weigh(const struct mpq_input *in, const float *scale, float *importance);
/* Scales of least loss over all matrices that are rounded, from the mean squares
 * SQUARE[cols] (not all 0); *step tells the power, 0: all ones. */
MPQ_MUST_CHECK int
mpq_awq_search(struct mpq_tune *t, const struct mpq_input *in, const double *square,
               float *scale, unsigned *step, double *least, struct mpq_err *err);

#endif
