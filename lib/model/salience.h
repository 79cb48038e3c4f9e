/*
 * Which columns of a matrix matter: salience as in optimal brain surgery, w^2 over the
 * diagonal of H^-1, H the Gram matrix of what the columns are multiplied with, or over
 * its square, as some have it (enum mpq_salience, pack.h); and the maps of varied intB
 * types (quant/vary.h) made of it.
 */
#ifndef MPQ_MODEL_SALIENCE_H
#define MPQ_MODEL_SALIENCE_H

#include "model/pack.h"

/*
 * The map of W as varied TYPE, map[groups]. What is known of the inputs is the diagonal
 * of H^-1, inverse[cols] > 0; or, when that is NULL, the diagonal of H by IMPORTANCE;
 * when that has no values either, all columns count alike and the weights decide.
 * -1 when a weight is NaN or infinite.
 */
MPQ_MUST_CHECK int
mpq_salience_map(const struct mpq_source *s, const struct mpq_weight *w,
                 struct mpq_type type, const double *inverse,
                 const struct mpq_importance *importance, enum mpq_salience how,
                 unsigned char *map, struct mpq_err *err);

#endif
