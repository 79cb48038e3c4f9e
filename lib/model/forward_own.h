/* What the forward*.c files share; nobody else includes this. */
#ifndef MPQ_MODEL_FORWARD_OWN_H
#define MPQ_MODEL_FORWARD_OWN_H

#include "model/forward.h"
#include "num/gemm8.h"

/* The matrices of a block, in the order in which the pass meets them. */
enum mpq_fwd_mat {
    MPQ_FWD_Q,
    MPQ_FWD_K,
    MPQ_FWD_V,
    MPQ_FWD_O,
    MPQ_FWD_GATE,
    MPQ_FWD_UP,
    MPQ_FWD_DOWN,
    MPQ_FWD_MATS
};
/* The vectors of a block; those that a model has not are NULL. */
enum mpq_fwd_vec {
    MPQ_FWD_ATTN_NORM,
    MPQ_FWD_Q_NORM,
    MPQ_FWD_K_NORM,
    MPQ_FWD_ATTN_POST_NORM,
    MPQ_FWD_FFN_NORM,
    MPQ_FWD_FFN_POST_NORM,
    MPQ_FWD_BIAS, /* here begin the biases, in the order of the matrices */
    MPQ_FWD_VECS = MPQ_FWD_BIAS + MPQ_FWD_MATS
};

/* A decoded block. A matrix is [rows][cols] in memory of its own, or in the file's
 * mapping when it is F32 there; or it is in integers, and int8 is not NULL. */
struct mpq_fwd_layer {
    size_t index;
    const struct mpq_weight *weight[MPQ_FWD_MATS];
    const float *mat[MPQ_FWD_MATS];
    float *own[MPQ_FWD_MATS];
    size_t room[MPQ_FWD_MATS]; /* floats in own */
    const struct mpq_gemm8_weights *int8[MPQ_FWD_MATS];
    struct mpq_gemm8_weights own8[MPQ_FWD_MATS];
    float *vec[MPQ_FWD_VECS];
};

/* Keys and values of positions 0 .. n - 1 of a sequence that were computed before:
 * those of key head h begin at k + h * stride, a position has head_dim floats. */
struct mpq_fwd_past {
    const float *k, *v;
    size_t stride, n;
};

/* A sequence as the layer sees it. */
struct mpq_fwd_seq {
    size_t row, n; /* rows [row, row + n) of the hidden states */
    size_t pos;    /* position of the first: as many are in the past */
    size_t parent; /* whose first POS positions are its past, when POS > 0 ... */
    float *cache_k, *cache_v; /* ... or, unless NULL, a cache where they lie and where
                                 the new ones are put */
    size_t cache_stride;
};

/* The unembedding as it is multiplied with: in floats, [rows][cols], or in integers. */
struct mpq_fwd_unembedding {
    const struct mpq_weight *of; /* NULL: empty */
    float *own;                  /* NULL: in integers */
    struct mpq_gemm8_weights own8;
};

struct mpq_forward {
    const struct mpq_source *s;
    struct mpq_net net;
    unsigned n_threads;
    int int8; /* quantized matrices are multiplied in 8 bits */
    mpq_fill_fn *fill;
    void *fill_ctx;
    mpq_tap_fn *tap;
    void *tap_ctx;
    enum mpq_forward_part part; /* that is under way, and its rows of a group */
    struct mpq_states *part_buf;
    struct mpq_fwd_layer layer;    /* the one that was decoded last ... */
    int layer_ready;               /* ... and is still as it should be */
    const struct mpq_weight *with; /* [n_with] in the place of the source's */
    size_t n_with;
    struct mpq_fwd_layer *kept; /* [n_layer], some empty; NULL: none is kept */
    struct mpq_fwd_unembedding kept_unembed;
    float *final_norm;
    /* cosines and sines of positions: [n_pos][2][n_rot / 2] */
    float *turns[2]; /* of net.rope, net.rope_local */
    size_t n_pos;
    /* for a group of sequences (forward_layer.c) */
    float *group;
    size_t group_room;
    float **scratch; /* [n_threads] */
    size_t scratch_room;
    /* inputs in 8 bits, by blocks of 32 and of 256: [n_threads + 1][2], the last of all
     * threads together; or NULL */
    struct mpq_gemm8_inputs *rounded;
    /* for mpq_forward_logits */
    const struct mpq_fwd_unembedding *unembed; /* kept or lent; NULL: neither */
};

/* forward_hold.c */
/* The weight that the pass is to use. */
const struct mpq_weight *mpq_fwd_find(const struct mpq_forward *f, const char *name);
/* What has been kept of a layer, where its matrix M is W; else NULL. */
const struct mpq_fwd_layer *mpq_fwd_kept(const struct mpq_forward *f, size_t layer,
                                         int m, const struct mpq_weight *w);
/* The unembedding W as floats where it needs no decoding; else NULL. */
const float *
mpq_fwd_unembed_ready(const struct mpq_forward *f, const struct mpq_weight *w);
/* The same as integers. */
const struct mpq_gemm8_weights *
mpq_fwd_unembed_ready8(const struct mpq_forward *f, const struct mpq_weight *w);
/* Decodes all of the unembedding W into the empty *u; in any case *u is to be freed. */
MPQ_MUST_CHECK int
mpq_fwd_decode_unembed(const struct mpq_forward *f, const struct mpq_weight *w,
                       struct mpq_fwd_unembedding *u, struct mpq_err *err);
void mpq_fwd_free_unembed(struct mpq_fwd_unembedding *u); /* and makes it empty */
void mpq_fwd_drop_kept(struct mpq_forward *f);

/* forward_weights.c */
/* Decodes LAYER into *l, whose memory is used again. */
MPQ_MUST_CHECK int mpq_fwd_decode(struct mpq_forward *f, size_t layer,
                                  struct mpq_fwd_layer *l, struct mpq_err *err);
/* Only the matrices from FIRST on, N of them, and all vectors. */
MPQ_MUST_CHECK int
mpq_fwd_decode_some(struct mpq_forward *f, size_t layer, int first, int n,
                    struct mpq_fwd_layer *l, struct mpq_err *err);
void mpq_fwd_layer_free(struct mpq_fwd_layer *l);
/* Decodes the vector NAME of LENGTH (gains with their 1) into *out, the caller's to
 * free; NULL when the model has none. */
MPQ_MUST_CHECK int mpq_fwd_vector(const struct mpq_forward *f, const char *name,
                                  size_t length, float **out, struct mpq_err *err);
/* Decodes rows [row, row + n) of W into dst, on all threads. */
MPQ_MUST_CHECK int mpq_fwd_rows(const struct mpq_forward *f, const struct mpq_weight *w,
                                size_t row, size_t n, float *dst, struct mpq_err *err);
/* The same as integers, into rows [0, n) of *dst, which is made that large. */
MPQ_MUST_CHECK int
mpq_fwd_rows8(const struct mpq_forward *f, const struct mpq_weight *w,
              struct mpq_gemm8_form form, size_t row, size_t n,
              struct mpq_gemm8_weights *dst, struct mpq_err *err);
/* W's values where they lie, when these are floats as the machine has them; else NULL.
 */
const float *mpq_fwd_in_place(const struct mpq_weight *w);
/* The unembedding: output, or token_embd in a tied model. */
const struct mpq_weight *mpq_fwd_unembed(const struct mpq_forward *f);

/* forward_int8.c */
/* Is W multiplied in 8 bits? Then 1 and *form. */
int mpq_fwd_form(const struct mpq_forward *f, const struct mpq_weight *w,
                 struct mpq_gemm8_form *form);
/* Bytes of W once it can be multiplied with; 0 where it lies so in the file. */
uint64_t mpq_fwd_ready_bytes(const struct mpq_forward *f, const struct mpq_weight *w);
/* Rows [row, row + n) of W into rows from AT on of DST. -1 also where one is not
 * finite. */
MPQ_MUST_CHECK int
mpq_fwd_split_rows(const struct mpq_forward *f, const struct mpq_weight *w, size_t row,
                   size_t n, struct mpq_gemm8_weights *dst, size_t at,
                   struct mpq_err *err);
/* Room for inputs of L's matrices, ROWS x COLS at most, in f->rounded[SLOT]. */
MPQ_MUST_CHECK int
mpq_fwd_reserve(struct mpq_forward *f, const struct mpq_fwd_layer *l, size_t slot,
                size_t rows, size_t cols, struct mpq_err *err);
void mpq_fwd_free_rounded(struct mpq_forward *f);

/* forward_layer.c */
/* Takes the sequences through the decoded layer L. */
MPQ_MUST_CHECK int
mpq_fwd_run(struct mpq_forward *f, const struct mpq_fwd_layer *l,
            const struct mpq_fwd_seq *seqs, size_t n, float *x, struct mpq_err *err);
/* Room of at least N floats at *buf, zeroed or not. -1 out of memory. */
MPQ_MUST_CHECK int
mpq_fwd_room(float **buf, size_t *room, size_t n, struct mpq_err *err);
/* The same for the scratch memory of each thread. */
MPQ_MUST_CHECK int
mpq_fwd_scratch(struct mpq_forward *f, size_t n, struct mpq_err *err);

/* forward_attn.c */
struct mpq_fwd_group {
    struct mpq_forward *f;
    const struct mpq_fwd_layer *layer;
    const struct mpq_fwd_seq *seqs; /* all of them ... */
    size_t first, n;                /* ... those of the group */
    size_t row, n_rows;             /* its hidden states: x[row] on */
    float *x;
    /* [n_head_kv][n_rows][heads that share][head_dim], [n_head_kv][n_rows][head_dim],
     * [n_rows][n_head * head_dim] */
    float *q, *k, *v, *o;
};
MPQ_MUST_CHECK int mpq_fwd_attend(const struct mpq_fwd_group *g, struct mpq_err *err);
/* Floats of scratch memory that a thread needs for it. */
size_t mpq_fwd_attend_scratch(const struct mpq_net *net);

#endif
