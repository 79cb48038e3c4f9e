/*
 * What the forward pass of a model must know beside its weights: one struct for all
 * architectures, filled from GGUF metadata or config.json.
 */
#ifndef MPQ_MODEL_NET_H
#define MPQ_MODEL_NET_H

#include "model/source.h"

enum mpq_act { MPQ_ACT_SILU, MPQ_ACT_GELU_TANH };

/* A rotary embedding: pair i of a head at position p turns by p * freq[i]. */
struct mpq_rope {
    float *freq;  /* [n_rot / 2], with scaling (linear, llama3, yarn) worked in */
    size_t n_rot; /* of head_dim values; the rest is not turned */
    float gain;   /* yarn's attention factor on both q and k, else 1 */
    int adjacent; /* pairs are (2i, 2i+1), as in GGUF's llama; else (i, i + n_rot/2) */
};

struct mpq_net {
    size_t n_layer, n_embd, n_head, n_head_kv, head_dim, n_ff, n_vocab;
    size_t n_ctx; /* of training; 0 when unknown */
    float norm_eps;
    int norm_plus_one;   /* gains are stored less 1 (Gemma's safetensors) */
    float embed_scale;   /* 1, Gemma: sqrt(n_embd) */
    float attn_scale;    /* on q k^T */
    float attn_softcap;  /* 0: none */
    float final_softcap; /* 0: none */
    enum mpq_act act;
    int qk_norm;    /* RMS norm of each head of q and k before the rotation */
    int post_norms; /* norms after attention and feed-forward too (Gemma 2 and 3) */
    int tied;
    struct mpq_rope rope, rope_local; /* the second for layers with a window, where
                                         they have one of their own (else freq NULL) */
    size_t *window; /* [n_layer] positions that a query sees, itself included; 0: all */
};

/* Reads and checks: the architecture, rope type and activation are known (an unknown
 * one is named), the head shapes multiply out, every tensor that the pass needs is
 * there with its shape, and no layer has one that the pass would leave out. On success
 * *out is the caller's to free. */
MPQ_MUST_CHECK int
mpq_net_read(struct mpq_net *out, const struct mpq_source *s, struct mpq_err *err);
void mpq_net_free(struct mpq_net *net); /* and makes it empty */

#endif
