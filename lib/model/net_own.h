/* What net.c, net_keys.c, net_config.c and rope.c share; nobody else includes this. */
#ifndef MPQ_MODEL_NET_OWN_H
#define MPQ_MODEL_NET_OWN_H

#include "model/net.h"

enum mpq_net_arch {
    MPQ_NET_LLAMA,
    MPQ_NET_QWEN2,
    MPQ_NET_QWEN3,
    MPQ_NET_GEMMA,
    MPQ_NET_GEMMA2,
    MPQ_NET_GEMMA3
};

enum mpq_rope_kind { MPQ_ROPE_PLAIN, MPQ_ROPE_LINEAR, MPQ_ROPE_LLAMA3, MPQ_ROPE_YARN };

/* A rotary embedding as the metadata describe it. */
struct mpq_rope_spec {
    double base; /* 0: not said */
    enum mpq_rope_kind kind;
    double factor;
    double old_ctx;   /* context before it was stretched (llama3, yarn) */
    double low, high; /* llama3: turns in the old context */
    double beta_fast, beta_slow, mix; /* yarn; mix: of the turns kept, 1 */
    int no_rounding;                  /* yarn: of its limits */
    double gain;
    double part;    /* of head_dim that is turned, 0: all ... */
    uint64_t n_rot; /* ... or the number; 0: not said */
};

/* What the readers find out: 0 stands for "not said". */
struct mpq_net_facts {
    enum mpq_net_arch arch;
    int from_gguf; /* conventions: q and k rows of llama dealt out, gains with their 1
                    */
    double eps, attn_scale, attn_softcap, final_softcap;
    enum mpq_act act;
    uint64_t window;  /* 0: none */
    uint64_t pattern; /* every pattern-th layer is without a window; 0: none is */
    unsigned char *windowed; /* [n_layer] or NULL: which layers have it */
    struct mpq_rope_spec rope, local;
    int has_local;
};

/* Fill FACTS, in which the architecture stands already. */
MPQ_MUST_CHECK int mpq_net_read_keys(struct mpq_net_facts *facts,
                                     const struct mpq_source *s, struct mpq_err *err);
MPQ_MUST_CHECK int mpq_net_read_config(struct mpq_net_facts *facts,
                                       const struct mpq_source *s, struct mpq_err *err);

/* The frequencies that SPEC describes for heads of HEAD_DIM. NAME is for messages. */
MPQ_MUST_CHECK int
mpq_rope_make(struct mpq_rope *out, const struct mpq_rope_spec *spec, size_t head_dim,
              const char *name, struct mpq_err *err);

#endif
