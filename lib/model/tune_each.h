/*
 * Units of a model quantized one by one, all else as it is: what mpq_tune makes of a
 * plan that changes that unit alone. So inputs are those of the unchanged model, which
 * the text passes once, layer by layer. Only gptq's walk (tune_walk.h) within a unit of
 * several matrices, where later inputs are as the earlier ones leave them, is not
 * followed: that takes a pass for each unit and type.
 */
#ifndef MPQ_MODEL_TUNE_EACH_H
#define MPQ_MODEL_TUNE_EACH_H

#include "model/tune.h"

struct mpq_tune_each; /* opaque */

/* OPTIONS as for mpq_tune, borrowed, without a part; importance is by the number of the
 * weight in S. */
MPQ_MUST_CHECK int
mpq_tune_each_new(struct mpq_tune_each **out, const struct mpq_source *s,
                  const struct mpq_tune_options *options, struct mpq_err *err);
void mpq_tune_each_free(struct mpq_tune_each *e);
/* Quantizes W[n], matrices of LAYER or, -1, outside the blocks, as TYPE. Layers must
 * not go down, those outside come first. *with [*n_with] gets those that have another
 * type now and what takes scales over from them; none where all have the type already.
 * They live until the next call. */
MPQ_MUST_CHECK int
mpq_tune_each_run(struct mpq_tune_each *e, int layer, const struct mpq_weight *const *w,
                  size_t n, struct mpq_type type, const struct mpq_weight **with,
                  size_t *n_with, struct mpq_err *err);

#endif
