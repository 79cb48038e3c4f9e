/* What the backward*.c files share; nobody else includes this. */
#ifndef MPQ_MODEL_BACKWARD_OWN_H
#define MPQ_MODEL_BACKWARD_OWN_H

#include "model/backward.h"
#include "base/par.h"
#include "model/forward_stage.h"

struct mpq_backward {
    struct mpq_forward *f;
    const struct mpq_seqs *q;
    struct mpq_fwd_seq *seqs; /* [q->n] */
    size_t n_tokens;
    struct mpq_states kept; /* [depths][n_tokens][n_embd] */
    struct mpq_states dx;   /* [n_tokens][n_embd] gradient by the states of a depth */
    size_t *seq_of;         /* [n_tokens] of a group */
    size_t depth;           /* of dx */
    double loss;
    size_t n_labels;
};

/* One group of sequences in one layer. Rows count from the group's first. */
struct mpq_bwd_group {
    struct mpq_fwd_group g; /* its x are the kept states */
    struct mpq_fwd_stage stage;
    float *dx;                     /* [n][n_embd] by what the layer gives, then takes */
    float *h1, *h2, *mid;          /* [n][n_embd] normed inputs, states between */
    float *raw;                    /* [n][q and k] before their norms; NULL: none */
    float *t;                      /* [n][qkv] products, then their gradients */
    float *yo, *yd;                /* [n][n_embd] before a norm after; NULL: none */
    float *dyo, *dyd;              /* [n][n_embd] gradients by o and down */
    float *dmid;                   /* [n][n_embd] */
    float *gate, *up, *act, *dact; /* [n][n_ff] */
    float *d_o;                    /* [n][q] */
    float *dq, *dk, *dv;           /* as q, k, v of the group */
};

/* backward_attn.c: from g.q, k, v, o and d_o to dq, dk, dv. */
MPQ_MUST_CHECK int mpq_bwd_attend(struct mpq_bwd_group *b, struct mpq_err *err);
/* Floats of scratch memory that a thread needs for it, with sequences of N. */
size_t mpq_bwd_attend_scratch(const struct mpq_net *net, size_t n);

/* backward_rows.c */
enum { MPQ_BWD_TILE = 128 }; /* rows of hidden states at a time */
size_t mpq_bwd_tile_scratch(const struct mpq_net *net); /* floats a thread needs */
/* The pass up to the attention; from it to the end and back to it; back to the input.
 * Items of mpq_par_for: tiles of rows. */
mpq_par_fn mpq_bwd_before, mpq_bwd_between, mpq_bwd_after;

#endif
