/*
 * How to allocate: what the command line and a policy file may say. As YAML, every key
 * optional and with a flag of the same name:
 *
 *   runtime: llama.cpp           types: [q2_k, keep]         bits: 3.0
 *   rules: FILE                  pins: { output: q6_k }      size: 90MiB
 *   method: exact                ties: [[attn_q, attn_k]]    rest: q8_0
 *   split: tensor                nominal: true               risk: 1
 *
 * Names in pins and ties are a matrix (output, blk.3.ffn_down), a layer (blk.3: its
 * linear weights), a half of one (blk.3.attn, blk.3.ffn) or a kind (ffn_down: that of
 * every layer).
 */
#ifndef MPQ_MODEL_POLICY_H
#define MPQ_MODEL_POLICY_H

#include "model/rules.h"

enum mpq_split {
    MPQ_SPLIT_DEFAULT,
    MPQ_SPLIT_LAYER,
    MPQ_SPLIT_TENSOR,
    MPQ_SPLIT_MODULE, /* attention and feed-forward of a layer */
};

/* NAME has TYPE, or keeps the one that it has. */
struct mpq_pin {
    const char *name;
    struct mpq_type type;
    int keep;
    const char *place; /* where that was said: "p.yaml:3", "--pin" */
};

struct mpq_tie {
    struct mpq_names names;
    const char *place;
};

struct mpq_policy {
    const char *runtime, *rules, *method; /* NULL: not said */
    struct mpq_type *types; /* [n_types]; none, and no keep: every legal one */
    size_t n_types;
    int keep;      /* a candidate too: the type that it has */
    double bits;   /* mean over the linear weights of the blocks; 0: not said */
    uint64_t size; /* bytes of the finished file; 0: not said */
    int nominal;   /* bits without scales */
    int has_rest;
    struct mpq_type rest; /* of embedding and output, under bits */
    double risk;
    enum mpq_split split;
    struct mpq_pin *pins; /* [n_pins] the later wins */
    struct mpq_tie *ties;
    size_t n_pins, n_ties, cap_pins, cap_ties;
    struct mpq_pool strings;
};

/* Reads the file PATH into *p, zeroed before. -1 with file and line of what is wrong.
 */
MPQ_MUST_CHECK int
mpq_policy_open(struct mpq_policy *p, const char *path, struct mpq_err *err);
MPQ_MUST_CHECK int
mpq_policy_read(struct mpq_policy *p, const struct mpq_recipe *recipe,
                struct mpq_err *err);
void mpq_policy_free(struct mpq_policy *p);

/* The same things said in one text, as flags say them. PLACE is for messages and must
 * outlive *p; -1 with MPQ_EUSAGE. */

/* "q2_k,keep": replaces the types. */
MPQ_MUST_CHECK int mpq_policy_types(struct mpq_policy *p, const char *text,
                                    const char *place, struct mpq_err *err);
/* "output=q6_k", "blk.3=keep". */
MPQ_MUST_CHECK int mpq_policy_pin(struct mpq_policy *p, const char *text,
                                  const char *place, struct mpq_err *err);
/* "attn_q,attn_k,attn_v" */
MPQ_MUST_CHECK int mpq_policy_tie(struct mpq_policy *p, const char *text,
                                  const char *place, struct mpq_err *err);

#endif
