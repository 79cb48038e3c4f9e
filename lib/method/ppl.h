/*
 * Which tokens of a text are scored, after llama-perplexity (tools/perplexity of
 * llama.cpp): the text is cut into chunks that a model sees one by one, and only the
 * later part of each counts, so that every scored token has some context.
 *
 * Without a stride chunks do not overlap; of CTX tokens those from the middle on are
 * predicted from and all but the last have a successor that is scored: CTX - 1 - CTX/2
 * a chunk. With a stride S chunks begin S tokens apart, and the last S of each are
 * scored, so that every token after the first CTX - S is scored once.
 */
#ifndef MPQ_METHOD_PPL_H
#define MPQ_METHOD_PPL_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct mpq_ppl {
    size_t ctx;      /* tokens in a chunk */
    size_t step;     /* from the start of one chunk to that of the next */
    size_t first;    /* of a chunk, the first token that is scored */
    size_t n_scored; /* in each chunk; they reach to its end */
    size_t n_chunks;
};

/* STRIDE 0: none, else below CTX; MAX_CHUNKS 0: as many as there are. NAME is the
 * text's, for messages. -1 when N_TOKENS are too few for a chunk. */
MPQ_MUST_CHECK int
mpq_ppl_plan(struct mpq_ppl *p, size_t n_tokens, size_t ctx, size_t stride,
             size_t max_chunks, const char *name, struct mpq_err *err);
/* The tokens of chunk C into dst[ctx]: as in the text, the first replaced by BOS unless
 * that is negative. */
void mpq_ppl_chunk(const struct mpq_ppl *p, size_t c, const uint32_t *tokens,
                   int64_t bos, uint32_t *dst);

#endif
