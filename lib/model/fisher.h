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
 *
 * Rounding what the linear is given to 8 bits, as runtimes do for quantized weights
 * (quant/round8.h), moves x by e, for which the same law has
 *
 *   KL = 1/2 sum over tokens of (g^T W e)^2
 */
#ifndef MPQ_MODEL_FISHER_H
#define MPQ_MODEL_FISHER_H

#include "model/backward.h"

enum { MPQ_FISHER_WEIGHTS = 7, MPQ_FISHER_BLOCKS = 2 };

/* Of one matrix. */
struct mpq_fisher {
    const struct mpq_weight *weight;
    double *gram;     /* [cols][cols] H, upper triangle; NULL: the diagonal alone */
    double *diagonal; /* [cols] its diagonal */
    double *rows;     /* [rows] d_r; 1 where every gradient is 0 */
    double *share;    /* [sequences] sum of w |x|^2 over their tokens */
    double inputs[MPQ_FISHER_BLOCKS]; /* sum of (g^T W e)^2, blocks of 32 and of 256;
                                         NAN where these do not divide the columns */
    uint64_t n_tokens;
};

struct mpq_fishers; /* of a layer; opaque */

/* For the sequences Q, borrowed. WHAT: the whole matrices, not diagonals alone;
 * inputs[], which otherwise are NAN. */
enum { MPQ_FISHER_GRAMS = 1, MPQ_FISHER_INPUTS = 2 };
MPQ_MUST_CHECK int
mpq_fishers_new(struct mpq_fishers **out, const struct mpq_seqs *q, unsigned what,
                unsigned n_threads, struct mpq_err *err);
void mpq_fishers_free(struct mpq_fishers *f);
/* mpq_backward_layer, and counts. The same sums, to the bit, for every number of
 * threads. */
MPQ_MUST_CHECK int mpq_fishers_layer(struct mpq_fishers *f, struct mpq_backward *b,
                                     size_t layer, struct mpq_err *err);
/* Q k v o gate up down of the last layer, borrowed until the next. */
const struct mpq_fisher *mpq_fishers_get(const struct mpq_fishers *f);

/* Adds what TAP has to inputs[MPQ_FISHER_BLOCKS]; fisher_inputs.c. */
MPQ_MUST_CHECK int mpq_fisher_add_inputs(double *inputs, const struct mpq_grad_tap *tap,
                                         unsigned n_threads, struct mpq_err *err);
/* Columns in a block of inputs[B]. */
static inline unsigned
mpq_fisher_block_size(size_t b)
{
    return b ? 256 : 32;
}
/* Where in inputs[] a type's are: -1 when nothing is rounded for it. */
int mpq_fisher_block(struct mpq_type t);

#endif
