/*
 * Fisher information of some layers, kept until the stream of hessian.h can be written:
 * gradients come from the last layer to the first, the stream has them ascending. For
 * each linear of a layer it has
 *
 *   NAME.gram   F32 [cols][cols]   sum over tokens of w x x^T
 *   NAME.rows   F32 [rows]         d_r, of mean 1
 *
 * so that rounding errors E of NAME alone cost, in nats for each token (fisher.h),
 *
 *   sum over r of rows[r] E_r gram E_r^T / (2 tokens)
 */
#ifndef MPQ_MODEL_FISHER_STORE_H
#define MPQ_MODEL_FISHER_STORE_H

#include "model/fisher.h"

#include "base/io.h"

struct mpq_fisher_store; /* opaque */

/* For layers [first, last] of S, borrowed; beyond MAX_BYTES in a temporary file. */
MPQ_MUST_CHECK int
mpq_fisher_store_new(struct mpq_fisher_store **out, const struct mpq_source *s,
                     size_t first, size_t last, size_t max_bytes, struct mpq_err *err);
void mpq_fisher_store_free(struct mpq_fisher_store *t);
/* Takes the matrices of LAYER (mpq_fishers_get, with Gram matrices). */
void mpq_fisher_store_put(struct mpq_fisher_store *t, size_t layer,
                          const struct mpq_fisher *f);
MPQ_MUST_CHECK int
mpq_fisher_store_write(const struct mpq_fisher_store *t, uint64_t n_labels,
                       struct mpq_out *out, struct mpq_err *err);

#endif
