/* What tune_awq.c and tune_awq_search.c share; nobody else includes this. */
#ifndef MPQ_MODEL_TUNE_AWQ_OWN_H
#define MPQ_MODEL_TUNE_AWQ_OWN_H

#include "model/tune_own.h"
#include "quant/awq.h"

/* Tiles of MPQ_AWQ_ROWS rows that W has; rows of one of them. */
size_t mpq_awq_tiles(const struct mpq_weight *w);
size_t mpq_awq_tile_rows(const struct mpq_weight *w, size_t tile);
/* What brings the mean squares of IN near 1: what is in float is times this. */
double mpq_awq_unit(const struct mpq_input *in);
/* Importance of IN's columns, by their mean squares times mpq_awq_unit, once they have
 * been scaled. */
void mpq_awq_weigh(const struct mpq_input *in, const float *scale, float *importance);
/* Scales of least loss over all matrices that are rounded, from the mean squares
 * SQUARE[cols] (up to a factor, not all 0); *step tells the power, 0: all ones; *least
 * the mean squared error of an output. */
MPQ_MUST_CHECK int
mpq_awq_search(struct mpq_tune *t, const struct mpq_input *in, const double *square,
               float *scale, unsigned *step, double *least, struct mpq_err *err);

#endif
