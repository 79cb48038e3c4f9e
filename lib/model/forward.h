/*
 * The forward pass, layer-major: the weights of a layer are decoded once and every
 * sequence passes through before the next layer is touched. So memory is one layer and
 * the hidden states, and the matrix products are large.
 *
 * Work is cut into tiles of tokens whose bounds depend on the sequences alone, each
 * computed by one thread with a single-threaded BLAS: the same bits for every number of
 * threads.
 */
#ifndef MPQ_MODEL_FORWARD_H
#define MPQ_MODEL_FORWARD_H

#include "model/net.h"
#include "model/states.h"

#include <stdint.h>

/* Sequences side by side. A sequence and all that go on from it are in memory together,
 * with whatever lies between them: children should follow soon. Sequence i has tokens
 * [start[i], start[i+1]); the token at start[i] + t is at position shared[i] + t. With
 * PARENT (else NULL), sequence i goes on from the first shared[i] tokens of sequence
 * parent[i] < i, which itself has shared = 0; where shared[i] is 0, parent[i] says
 * nothing. (The answers to one question share the question.) */
struct mpq_seqs {
    size_t n;
    const uint32_t *tokens;        /* [start[n]] */
    const size_t *start;           /* [n + 1], start[0] = 0 */
    const size_t *parent, *shared; /* [n], or both NULL */
};

struct mpq_forward; /* opaque */

/* S is borrowed. */
MPQ_MUST_CHECK int mpq_forward_new(struct mpq_forward **out, const struct mpq_source *s,
                                   unsigned n_threads, struct mpq_err *err);
void mpq_forward_free(struct mpq_forward *f);
/* Whether matrices of block types (not those of the project's containers) are
 * multiplied in 8 bits, with inputs rounded as quant/round8.h does: as runtimes
 * compute. The matrices themselves are not changed by it. Off at first; drops what is
 * kept. */
void mpq_forward_int8(struct mpq_forward *f, int on);
const struct mpq_net *mpq_forward_net(const struct mpq_forward *f);

/* Puts other weights in the place of the file's: FILL is asked for each matrix of the
 * blocks as it is decoded, writes w->rows * w->cols floats and returns 1, or 0 to leave
 * it to the file, or -1. NULL takes it back. (A probe quantizes one unit this way.) */
typedef int
mpq_fill_fn(void *ctx, const struct mpq_weight *w, float *dst, struct mpq_err *err);
void mpq_forward_fill(struct mpq_forward *f, mpq_fill_fn *fill, void *ctx);

/* Puts other weights in the place of the source's that have the same names: WITH[n],
 * borrowed until the next call; n = 0 takes them back. Embedding and unembedding can be
 * among them. Rows lie one behind the other, each of mpq_type_row_bytes. */
void
mpq_forward_replace(struct mpq_forward *f, const struct mpq_weight *with, size_t n);
/* For many passes: decodes the unembedding, then the layers from the last down to
 * FIRST, as far as MAX_BYTES go, and keeps them until the end or the next call. */
MPQ_MUST_CHECK int mpq_forward_keep(struct mpq_forward *f, size_t first,
                                    size_t max_bytes, struct mpq_err *err);

/* Shows what the linears of a layer are given, as the pass meets it: X[n][stride],
 * inputs of tokens [token, token + n), is what each of WEIGHTS is multiplied with: q k
 * v; o; gate up; down. TAP is called from one thread, for each of the four with the
 * tokens in order. NULL takes it back. */
struct mpq_tap {
    int input; /* 0 to 3 */
    const struct mpq_weight *const *weights;
    size_t n_weights;
    size_t token, n, cols, stride;
    const float *x;
};
enum { MPQ_TAP_INPUTS = 4 };
typedef int mpq_tap_fn(void *ctx, const struct mpq_tap *tap, struct mpq_err *err);
void mpq_forward_tap(struct mpq_forward *f, mpq_tap_fn *tap, void *ctx);

/* x[i] = the embedding of token i, for all tokens of Q; x is [start[n]][n_embd]. -1
 * when an id is not in the vocabulary. */
MPQ_MUST_CHECK int mpq_forward_embed(struct mpq_forward *f, const struct mpq_seqs *q,
                                     struct mpq_states *x, struct mpq_err *err);
/* Takes x through LAYER, in place: decodes its weights, which stay until the next call.
 * -1 also when a hidden state becomes NaN or infinite: the message names the weight
 * that is, or the layer where all are finite. */
MPQ_MUST_CHECK int
mpq_forward_layer(struct mpq_forward *f, size_t layer, const struct mpq_seqs *q,
                  struct mpq_states *x, struct mpq_err *err);

/*
 * A layer in parts, for who wants to change its weights between them and keeps by
 * itself what passes from part to part: rows of X are the states of all tokens, rows of
 * BUF [tokens][width] what is given to the matrix that follows.
 */
enum mpq_forward_part {
    MPQ_FORWARD_WHOLE,
    MPQ_FORWARD_Q_K_V,   /* x to buf, what attn_output is given */
    MPQ_FORWARD_O,       /* buf through attn_output into x */
    MPQ_FORWARD_GATE_UP, /* x to buf, what ffn_down is given */
    MPQ_FORWARD_DOWN     /* buf through ffn_down into x */
};
/* Decodes the matrices of the part, as mpq_forward_layer does all, and goes through it.
 */
MPQ_MUST_CHECK int
mpq_forward_part(struct mpq_forward *f, size_t layer, enum mpq_forward_part part,
                 const struct mpq_seqs *q, struct mpq_states *x, struct mpq_states *buf,
                 struct mpq_err *err);
/* y[n][n_embd] = what the first matrices of a part that begins with x are given (Q_K_V,
 * GATE_UP) of rows [row, row + n); WHOLE: what the unembedding is given, no layer. */
MPQ_MUST_CHECK int
mpq_forward_normed(struct mpq_forward *f, size_t layer, enum mpq_forward_part part,
                   const struct mpq_states *x, size_t row, size_t n, float *y,
                   struct mpq_err *err);
/* Is what O and DOWN make added to x as it is, without a norm between? */
int mpq_forward_adds(const struct mpq_forward *f, enum mpq_forward_part part);

/* Logits of some rows of hidden states that have passed all layers, a tile at a time:
 * the vocabulary is cut into tiles, each decoded once; never is the whole [n][n_vocab]
 * in memory. */
struct mpq_logit_tile {
    size_t row, n_rows; /* rows [row, row + n_rows) of the list that was asked for */
    uint32_t vocab, n_vocab; /* ids [vocab, vocab + n_vocab) */
    size_t stride;           /* floats from one row to the next */
    const float *logits;     /* [n_rows][stride], soft cap applied */
    const float *ref;        /* the same of the second model; NULL when there is none */
};
/* Tiles of one row come one after another in the order of the vocabulary; tiles of
 * different rows may come at once from several threads. THREAD < n_threads. */
typedef int mpq_logits_fn(void *ctx, const struct mpq_logit_tile *tile, unsigned thread,
                          struct mpq_err *err);
/* A model's states (after all layers, before the final norm). */
struct mpq_logits_side {
    struct mpq_forward *f;
    const struct mpq_states *x;
};
/* For ROWS[n_rows], indices of rows of x. REF may be NULL; else its vocabulary has the
 * same size and its forward as many threads at least. */
MPQ_MUST_CHECK int
mpq_forward_logits(const struct mpq_logits_side *side,
                   const struct mpq_logits_side *ref, const size_t *rows, size_t n_rows,
                   mpq_logits_fn *fn, void *ctx, struct mpq_err *err);

/*
 * Greedy generation of many sequences at once with cached keys and values. When one
 * ends its place is taken by the next prompt. The weights stay decoded in memory
 * between steps where they fit into MAX_BYTES.
 */
struct mpq_generate_opts {
    size_t max_new;   /* tokens generated at most for each prompt */
    size_t max_bytes; /* for cache and decoded weights; 0: a quarter of memory */
    /* Is sequence I over after these N new tokens? May be NULL: then only max_new ends
     * it. Called from one thread. */
    int (*over)(void *ctx, size_t i, const uint32_t *tokens, size_t n);
    /* Sequence I is finished; TOKENS[n] are the new ones. In the order of I. */
    int (*done)(void *ctx, size_t i, const uint32_t *tokens, size_t n,
                struct mpq_err *err);
    void *ctx;
};
/* Prompts are Q's sequences (no parents). The same tokens for any number of threads. */
MPQ_MUST_CHECK int
mpq_forward_generate(struct mpq_forward *f, const struct mpq_seqs *q,
                     const struct mpq_generate_opts *opts, struct mpq_err *err);

#endif
