/*
 * A GGUF, or a container that carries its keys, as the Hugging Face folder that it was
 * made from would have it: what convert.h does, undone.
 *
 *   names         model.layers.N.self_attn.q_proj.weight and so on
 *   q, k of llama the rows of each head gathered again
 *   Gemma's norms gains without their 1
 *   rope_freqs    left out; config.json says llama3's scaling where it gives the same
 *   config.json   from the metadata
 *   tokenizer     of byte-level BPE with a pre-tokenizer that convert_pre.c knows
 */
#ifndef MPQ_MODEL_UNCONVERT_H
#define MPQ_MODEL_UNCONVERT_H

#include "base/buf.h"
#include "base/pool.h"
#include "model/source.h"

struct mpq_unconverted {
    const char *name; /* NULL: left out */
    uint64_t head;    /* rows of a head that are gathered; 0: none */
    float plus;       /* added to every value */
};

struct mpq_unconvert {
    struct mpq_unconverted *tensors;            /* for each weight of the source */
    struct mpq_buf config;                      /* the text of config.json */
    struct mpq_buf tokenizer, tokenizer_config; /* of these files; empty: unknown */
    struct mpq_pool strings;
};

/* S has GGUF keys (mpq_source_keys). -1 when its architecture, a tensor or what its
 * keys say is not known to go back. On success *out is for mpq_unconvert_free. */
MPQ_MUST_CHECK int mpq_unconvert_open(struct mpq_unconvert *out,
                                      const struct mpq_source *s, struct mpq_err *err);
/* Zeroed is fine; empty afterward. */
void mpq_unconvert_free(struct mpq_unconvert *u);

/* What mpq_unconvert_open calls for the tokenizer. */
MPQ_MUST_CHECK int
mpq_unconvert_tokenizer(struct mpq_unconvert *u, const struct mpq_source *s,
                        struct mpq_err *err);

/* Row ROW of the folder's matrix, whose heads of HEAD rows are gathered, in the GGUF.
 */
uint64_t mpq_unconvert_row(uint64_t row, uint64_t head);

#endif
