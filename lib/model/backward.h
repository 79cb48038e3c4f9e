/*
 * Gradients through the layers, layer-major as the forward pass: the hidden states that
 * enter each layer are kept, then the layers go by from the last to the first; each is
 * decoded once, its pass is made again for some sequences at a time, and the gradient
 * goes back through it. What is differentiated is
 *
 *   loss = sum over the positions that have a label of -ln p(label)
 *
 * With labels drawn from the model's own p (in fact by another law, and weighed so that
 * it is the same: backward_output.c) the squares of these gradients are, in the mean,
 * the Fisher information: the second derivatives of the divergence from the model as it
 * is. The same bits for every number of threads.
 */
#ifndef MPQ_MODEL_BACKWARD_H
#define MPQ_MODEL_BACKWARD_H

#include "model/forward.h"

/* In the place of a token's id. */
enum { MPQ_LABEL_NONE = INT32_MAX, MPQ_LABEL_DRAW = INT32_MAX - 1 };

/*
 * What a linear is given, X[n][x_stride], and the gradients by what it gives,
 * G[n][g_stride] (before its bias, which changes nothing), for tokens [token, token +
 * n). TAP is called from one thread, for down, gate, up, o, q, k and v of the last
 * layer first; of each with the tokens in order. At the end it is called for
 * token_embd, where x is NULL and g is the gradient by the embeddings as the first
 * layer is given them. NULL takes it back.
 */
struct mpq_grad_tap {
    const struct mpq_weight *weight;
    size_t token, n;
    const float *x, *g, *w;    /* w: the matrix, [rows][cols]; NULL where x is */
    size_t x_stride, g_stride; /* of weight->cols, weight->rows that are read */
};
typedef int mpq_grad_fn(void *ctx, const struct mpq_grad_tap *tap, struct mpq_err *err);

struct mpq_backward; /* opaque */

/* For the sequences Q (no parents), which F passes; both are borrowed. LABELS[tokens of
 * Q], read by the run: the label of each position, or one of the two above. States
 * beyond MAX_BYTES go to a temporary file. */
MPQ_MUST_CHECK int
mpq_backward_new(struct mpq_backward **out, struct mpq_forward *f,
                 const struct mpq_seqs *q, size_t max_bytes, struct mpq_err *err);
void mpq_backward_free(struct mpq_backward *b);

/* The forward pass. STEP, or NULL, is told after each layer. */
typedef void mpq_backward_step_fn(void *ctx);
MPQ_MUST_CHECK int
mpq_backward_forward(struct mpq_backward *b, mpq_backward_step_fn *step, void *ctx,
                     struct mpq_err *err);
/* The states that have passed DEPTH layers (0: the embeddings), after the forward pass.
 * Into *x, borrowed: its own x is the run's. */
void
mpq_backward_states(const struct mpq_backward *b, size_t depth, struct mpq_states *x);
/* Draws labels (by SEED, for each position by itself) where LABELS says so and writes
 * them there; sets out at the gradient by the last states. */
MPQ_MUST_CHECK int mpq_backward_output(struct mpq_backward *b, uint32_t *labels,
                                       uint64_t seed, struct mpq_err *err);
/* Back through LAYER, the one below that of the last call (the first: the last). -1
 * also when a gradient is NaN or infinite. */
MPQ_MUST_CHECK int mpq_backward_layer(struct mpq_backward *b, size_t layer,
                                      mpq_grad_fn *tap, void *ctx, struct mpq_err *err);
/* After layer 0. */
MPQ_MUST_CHECK int mpq_backward_embedding(struct mpq_backward *b, mpq_grad_fn *tap,
                                          void *ctx, struct mpq_err *err);
/* Of the positions with a label: the sum of -ln p(label), weighed where it was drawn,
 * and their number. After mpq_backward_output. */
double mpq_backward_loss(const struct mpq_backward *b, size_t *n);

#endif
