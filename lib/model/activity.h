/*
 * What the linears of a model are given when it reads a text: for each input of a layer
 * the Gram matrix of its columns over all tokens, sum x x^T (half of GPTQ's Hessian),
 * or only its diagonal (llama.cpp's importance matrix), and how much of its trace each
 * sequence brings (TASA's activation traces). In memory is one layer's alone.
 */
#ifndef MPQ_MODEL_ACTIVITY_H
#define MPQ_MODEL_ACTIVITY_H

#include "model/forward.h"

enum mpq_activity_kind {
    MPQ_ACTIVITY_DIAGONAL,
    MPQ_ACTIVITY_HESSIAN,
};

/* An input: what q, k and v share; what o is given; what gate and up share; what down
 * is given. */
struct mpq_input {
    const struct mpq_weight *const *weights; /* [n_weights] */
    size_t n_weights, cols;
    double *gram;     /* [cols][cols], upper triangle; NULL: diagonals alone */
    double *diagonal; /* [cols] sums of squares */
    double *trace;    /* [sequences] sums of squares over their tokens and columns */
    uint64_t n_tokens;
    /* Where X is what the input has become by quantizing layers below, Y what it was,
     * else NULL: sum (y - x) x^T [cols][cols]; and sum (v - u) x^T [n_embd][cols],
     * where u are the hidden states that the product will be added to, v what they
     * were. */
    const float *drift, *rest;
};

struct mpq_activity; /* opaque */

/* For the sequences Q, borrowed, as F passes them. F, borrowed too, must have no tap of
 * another while a layer is counted. */
MPQ_MUST_CHECK int
mpq_activity_new(struct mpq_activity **out, struct mpq_forward *f,
                 const struct mpq_seqs *q, enum mpq_activity_kind kind,
                 unsigned n_threads, struct mpq_err *err);
void mpq_activity_free(struct mpq_activity *a);
/* Takes x through LAYER (mpq_forward_layer) and counts. The same sums, to the bit, for
 * every number of threads. */
MPQ_MUST_CHECK int mpq_activity_layer(struct mpq_activity *a, size_t layer,
                                      struct mpq_states *x, struct mpq_err *err);
/* The four inputs of the last layer, borrowed until the next. */
const struct mpq_input *mpq_activity_inputs(const struct mpq_activity *a);
/* What the unembedding is given: the states X that have passed all layers, normed. Into
 * *in, borrowed until the next layer; its one weight is output, or token_embd where the
 * model is tied. */
MPQ_MUST_CHECK int
mpq_activity_output(struct mpq_activity *a, const struct mpq_states *x,
                    const struct mpq_input **in, struct mpq_err *err);

#endif
