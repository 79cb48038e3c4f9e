/* What convert_tok.c and convert_special.c share; nobody else includes this. */
#ifndef MPQ_MODEL_CONVERT_VOCAB_H
#define MPQ_MODEL_CONVERT_VOCAB_H

#include "model/convert_own.h"
#include "model/tok_own.h"

#define MPQ_CONVERT_KEY(x) "tokenizer.ggml." x

struct mpq_convert_vocab {
    const struct mpq_source *source;
    const struct mpq_json *json, *model; /* tokenizer.json */
    const struct mpq_json *config;       /* config.json, or NULL, as the next two */
    const struct mpq_json *tokenizer_config, *generation;
    struct mpq_gguf_head *h;
    int by_score; /* SentencePiece: GGUF's "llama", else "gpt2" */
    size_t n;
    const char **text; /* [n] */
    size_t *len;       /* [n] */
    uint32_t *kind;    /* [n], enum mpq_tok_kind; 0: none yet */
    float *score;      /* [n] */
    struct mpq_pool pool;
};

/* Appends the ids of special tokens, what is put before and behind a text, and the chat
 * template. */
MPQ_MUST_CHECK int
mpq_convert_put_special(struct mpq_convert_vocab *v, struct mpq_err *err);

#endif
