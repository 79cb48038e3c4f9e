/* Activation traces of a text (TASA, arXiv 2607.00908): for each layer the sum over its
 * linear weights of tr(X^T X) / tokens, an input that several share counted for each.
 */
#ifndef MPQ_METHOD_TRACES_H
#define MPQ_METHOD_TRACES_H

#include "model/forward.h"

/* Into trace[n_layer] for all tokens of Q. PROGRESS (may be NULL) is told of tokens
 * that a layer is done with. */
MPQ_MUST_CHECK int
mpq_traces(struct mpq_forward *f, const struct mpq_seqs *q, unsigned n_threads,
           double *trace, void (*progress)(void *ctx, uint64_t tokens), void *ctx,
           struct mpq_err *err);

#endif
