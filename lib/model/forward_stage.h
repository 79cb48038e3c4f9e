/* What one layer does to one group of sequences: shared by the files that cut its work.
 */
#ifndef MPQ_MODEL_FORWARD_STAGE_H
#define MPQ_MODEL_FORWARD_STAGE_H

#include "model/forward_own.h"

/* What linears are given: x[n][ld], COLS of each row; and the same in 8 bits, once a
 * matrix asks for it. Several matrices share one. */
struct mpq_fwd_input {
    const float *x;
    size_t ld, n, cols;
    struct mpq_gemm8_inputs *rounded; /* [2]: by blocks of 32, of 256; or NULL */
    unsigned laid_out;                /* bits: which of them are */
};

/* A part of the work on one group. Rows count from the group's first. */
struct mpq_fwd_stage {
    const struct mpq_fwd_group *g;
    const size_t *seq_of; /* [n_rows]: the sequence of a row */
    size_t tile;          /* of a large group: rows at a time, set there */
    /* of a small group: [n_rows][n_embd], [n_rows][wide], [n_rows][n_embd] */
    float *h, *t, *y;
    size_t wide;
    struct mpq_fwd_input *in; /* what the next products are given */
};

static inline size_t
mpq_fwd_min(size_t a, size_t b)
{
    return a < b ? a : b;
}

static inline size_t
mpq_fwd_pieces(size_t n, size_t step)
{
    return n / step + (n % step != 0);
}

static inline size_t
mpq_fwd_q_width(const struct mpq_net *net)
{
    return net->n_head * net->head_dim;
}

static inline size_t
mpq_fwd_kv_width(const struct mpq_net *net)
{
    return net->n_head_kv * net->head_dim;
}

/* Columns that a linear is given at most, where down is given DOWN at a time. */
static inline size_t
mpq_fwd_widest_input(const struct mpq_net *net, size_t down)
{
    const size_t n = net->n_embd > down ? net->n_embd : down;

    return n > mpq_fwd_q_width(net) ? n : mpq_fwd_q_width(net);
}

/* forward_rows.c */
/* Hidden states of ROW. */
float *mpq_fwd_state(const struct mpq_fwd_group *g, size_t row);
/*
 * out += in W^T, or out = (ADD 0), for rows [row, row + n) of matrix M. Every product
 * of the pass with a weight goes through here: IN are inputs of that linear. (The
 * feed-forward's down comes in blocks of columns, from COL on, k of them, as many as IN
 * has.)
 */
struct mpq_fwd_part {
    size_t row, n, col, k;
};
void mpq_fwd_product(const struct mpq_fwd_group *g, enum mpq_fwd_mat m,
                     const struct mpq_fwd_part *p, struct mpq_fwd_input *in, int add,
                     float *out, size_t ld_out);
struct mpq_fwd_part mpq_fwd_whole(const struct mpq_fwd_group *g, enum mpq_fwd_mat m);
/* h = norm(x) with the gain V. */
void mpq_fwd_norm(const struct mpq_fwd_group *g, size_t row, size_t n,
                  enum mpq_fwd_vec v, float *h);
/* Takes a row of q, k and v products to where the attention reads it. */
void mpq_fwd_finish_qkv(const struct mpq_fwd_stage *s, size_t row, float *q, float *k,
                        float *v);
/* Does a product go into the hidden states at once? */
int mpq_fwd_is_direct(const struct mpq_fwd_group *g, enum mpq_fwd_vec post);
/* x += bias and norm of y, the product M; where there is no norm the product is in x
 * already. */
void mpq_fwd_finish_product(const struct mpq_fwd_group *g, size_t row, size_t n,
                            enum mpq_fwd_mat m, enum mpq_fwd_vec post, float *y);
/* gate = act(gate) * up in rows of N columns, which begin at column COL. */
void mpq_fwd_activate(const struct mpq_fwd_group *g, float *gate, float *up,
                      size_t rows, size_t n, size_t ld, size_t col);
/* Refuses hidden states that are not finite, naming a weight of the layer that is not
 * either, or else the token. */
MPQ_MUST_CHECK int
mpq_fwd_check(const struct mpq_fwd_group *g, size_t row, size_t n, struct mpq_err *err);

/* forward_int8.c */
/* x[n][ld] as an input, with SLOT of f->rounded. */
struct mpq_fwd_input mpq_fwd_give(const struct mpq_forward *f, size_t slot,
                                  const float *x, size_t ld, size_t n, size_t cols);
/* Where the rows of IN are to be put in blocks of BLOCK; NULL when this was asked
 * before. */
struct mpq_gemm8_inputs *mpq_fwd_lay_out(struct mpq_fwd_input *in, unsigned block);
/* mpq_fwd_product with integers. */
void mpq_fwd_product8(const struct mpq_gemm8_weights *w, const struct mpq_fwd_part *p,
                      struct mpq_fwd_input *in, int add, float *out, size_t ld_out);

/* forward_tile.c: large groups */
size_t mpq_fwd_tile_scratch(const struct mpq_net *net); /* floats a thread needs */
MPQ_MUST_CHECK int mpq_fwd_run_tiles(struct mpq_fwd_stage *s, struct mpq_err *err);

/* forward_wide.c: small ones */
MPQ_MUST_CHECK int mpq_fwd_run_wide(struct mpq_fwd_stage *s, struct mpq_err *err);

#endif
