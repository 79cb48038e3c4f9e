/*
 * How much a small change of a linear's weights moves what the model says, from the
 * gradients of a text (backward.h). With labels that are drawn, to second order,
 *
 *   KL = 1/2 sum over tokens of E[(g^T E x)^2]
 *
 * for the error E of the weights, the input x and the gradient g by the output of a
 * token, where errors of different tokens are taken as independent. With the errors of
 * rows taken so too, and g_r^2 as a token's weight w = mean over r of g_r^2 times a
 * row's weight d_r (one group in the terms of GuidedQuant, arXiv 2505.07004):
 *
 *   KL = 1/2 sum over r of d_r E_r H E_r^T,   H = sum over tokens of w x x^T,
 *                                             d_r = sum g_r^2 / sum w, of mean 1
 *
 * in nats for all tokens of the text together; divided by the number of labels, in nats
 * for each token. What rounds the rows of a matrix one by one and so minimizes E_r H
 * E_r^T (GPTQ) minimizes this.
 */
#ifndef MPQ_MODEL_FISHER_H
#define MPQ_MODEL_FISHER_H

#include "model/backward.h"

enum { MPQ_FISHER_WEIGHTS = 7 };

/* Of one matrix. */
struct mpq_fisher {
    const struct mpq_weight *weight;
    double *gram;     /* [cols][cols] H, upper triangle; NULL: the diagonal alone */
    double *diagonal; /* [cols] its diagonal */
    double *rows;     /* [rows] d_r; 1 where every gradient is 0 */
    double *share;    /* [sequences] sum of w |x|^2 over their tokens */
    uint64_t n_tokens;
};

struct mpq_fishers; /* of a layer; opaque */

/* For the sequences Q, borrowed. GRAMS: the whole matrices, else diagonals alone. */
MPQ_MUST_CHECK int mpq_fishers_new(struct mpq_fishers **out, const struct mpq_seqs *q,
                                   int grams, unsigned n_threads, struct mpq_err *err);
void mpq_fishers_free(struct mpq_fishers *f);
/* mpq_backward_layer, and counts. The same sums, to the bit, for every number of
 * threads. */
MPQ_MUST_CHECK int mpq_fishers_layer(struct mpq_fishers *f, struct mpq_backward *b,
                                     size_t layer, struct mpq_err *err);
/* Q k v o gate up down of the last layer, borrowed until the next. */
const struct mpq_fisher *mpq_fishers_get(const struct mpq_fishers *f);

#endif
