/*
 * What a reference model said about texts, kept in a file: enough for perplexities, a
 * lower bound of the KL divergence and the share of same likeliest tokens, at
 * 8 K + 8 bytes a scored token.
 *
 * A safetensors file. Metadata, all of it strings:
 *
 *   mpq.container  "reference 1"        mpq.ctx, mpq.stride   see method/ppl.h
 *   mpq.model      its name             mpq.top_k             K
 *   mpq.model_id   see mpq_source_id    mpq.text.I            name of text I, from 0
 *   mpq.vocab      checksum of the      mpq.text.I.chunks     chunks scored
 *                  vocabulary           mpq.text.I.id         checksum of its tokens
 *
 * Tensors of text I with N scored tokens, in the order of the text:
 *
 *   I.target F32 [N]     ln p of the token that came
 *   I.tail   F32 [N]     probability of all tokens but the K likeliest
 *   I.ids    I32 [N, K]  those tokens, the likeliest first
 *   I.logp   F32 [N, K]  their ln p
 */
#ifndef MPQ_MODEL_REFERENCE_H
#define MPQ_MODEL_REFERENCE_H

#include "base/io.h"
#include "base/pool.h"

/* The tensors of a text; plain arrays. */
struct mpq_saved {
    size_t n, k;
    float *target; /* [n] */
    float *tail;   /* [n] */
    int32_t *ids;  /* [n][k] */
    float *logp;   /* [n][k] */
};

/* Room for N tokens, zeroed; free with mpq_saved_free. */
MPQ_MUST_CHECK int
mpq_saved_new(struct mpq_saved *s, size_t n, size_t k, struct mpq_err *err);
void mpq_saved_free(struct mpq_saved *s);

struct mpq_reference_text {
    const char *name;
    uint64_t n_chunks;
    char id[17];
    struct mpq_saved saved; /* n and k alone when it is about to be written */
};

struct mpq_reference {
    const char *model, *model_id, *vocab;
    uint64_t ctx, stride, k;
    struct mpq_reference_text *texts; /* [n_texts] */
    size_t n_texts;
    struct mpq_pool strings;
    struct mpq_map map; /* what is behind the arrays of one that was read */
};

/* Reads and checks PATH: every shape, that it is of the vocabulary with checksum VOCAB
 * (NULL: of any), that ids are below N_VOCAB, that the numbers are probabilities. On
 * success *out is the caller's to free. */
MPQ_MUST_CHECK int
mpq_reference_open(struct mpq_reference *out, const char *path, const char *vocab,
                   size_t n_vocab, struct mpq_err *err);
void mpq_reference_free(struct mpq_reference *r); /* one that was read */

/* Writes the header of R; then come the texts, one after the other. */
MPQ_MUST_CHECK int
mpq_reference_begin(struct mpq_out *out, const struct mpq_reference *r,
                    struct mpq_err *err);
MPQ_MUST_CHECK int
mpq_reference_put(struct mpq_out *out, const struct mpq_saved *s, struct mpq_err *err);

#endif
