/*
 * Text to tokens and back, as llama.cpp does it, from GGUF metadata (tokenizer.ggml.*)
 * or a tokenizer.json: byte-level BPE (GGUF's "gpt2" model: pre-tokenizer patterns by
 * tokenizer.ggml.pre, or the regular expressions of tokenizer.json) and SentencePiece
 * BPE with scores and byte fallback (GGUF's "llama" model; as merges with byte fallback
 * in a tokenizer.json, or GGUF's "gemma4").
 *
 * From a GGUF the ids are llama.cpp's, from a tokenizer.json those of the package
 * `tokenizers`, which differ in corners: which of two overlapping added tokens is
 * found, what becomes of unknown characters. But text is never brought into Unicode's
 * normal form C, for which some tokenizer.json files ask: llama.cpp does not do it
 * either, and nearly all text is in it. Other normalizers of that kind (NFKC, Lowercase
 * ...) are errors, as are models other than BPE. Which characters are letters, numbers
 * and so on is for the installed PCRE2 to say: what Unicode assigned lately (CJK
 * extensions H and I, emoji of 2022 where a pattern asks for symbols) may be cut in
 * other places.
 */
#ifndef MPQ_MODEL_TOKENIZER_H
#define MPQ_MODEL_TOKENIZER_H

#include "base/buf.h"
#include "model/source.h"

struct mpq_tokenizer; /* opaque; read-only once made: safe to use from many threads */

/* Growing array of token ids; zero-initialized is empty. */
struct mpq_tokens {
    uint32_t *ids;
    size_t n, room;
};
/* Appends one id. -1 when memory runs out. */
MPQ_MUST_CHECK int
mpq_tokens_add(struct mpq_tokens *t, uint32_t id, struct mpq_err *err);
void mpq_tokens_free(struct mpq_tokens *t); /* and makes it empty */

enum {
    /* Text such as "<|im_start|>" becomes the control token of that name. User-defined
     * added tokens are found with and without this flag. */
    MPQ_TOKENS_PARSE_SPECIAL = 1,
    /* Puts BOS before (and EOS after) the text where the model asks for it: by
     * tokenizer.ggml.add_bos_token and _eos_token or llama.cpp's defaults, or by the
     * template (post_processor) of a tokenizer.json. */
    MPQ_TOKENS_ADD_SPECIAL = 2,
};

/* The tokenizer of S, which is borrowed. A tokenizer model or pre-tokenizer that is not
 * known is an error that names it. On success *out is the caller's to free. */
MPQ_MUST_CHECK int mpq_tokenizer_new(struct mpq_tokenizer **out,
                                     const struct mpq_source *s, struct mpq_err *err);
void mpq_tokenizer_free(struct mpq_tokenizer *t);

/* Size of the vocabulary: ids are below it. */
size_t mpq_tokenizer_count(const struct mpq_tokenizer *t);
/* Appends the tokens of TEXT[n], which must be UTF-8 (else -1 and the byte offset in
 * the message; NAME is for messages). FLAGS: MPQ_TOKENS_*. Time n log n at worst. */
MPQ_MUST_CHECK int mpq_tokenizer_encode(const struct mpq_tokenizer *t, const char *text,
                                        size_t n, unsigned flags, const char *name,
                                        struct mpq_tokens *out, struct mpq_err *err);
/* Appends the bytes of the tokens' text, control tokens left out. Errors show up in the
 * buffer, as always with mpq_buf. */
void mpq_tokenizer_decode(const struct mpq_tokenizer *t, const uint32_t *ids, size_t n,
                          struct mpq_buf *text);
/* The bytes that one token stands for (a control token: its name); borrowed, not
 * NUL-terminated; may be a part of a character. */
const char *mpq_tokenizer_piece(const struct mpq_tokenizer *t, uint32_t id, size_t *n);
/* The id of BOS, -1 where the model has none. */
int64_t mpq_tokenizer_bos(const struct mpq_tokenizer *t);
/* Is generation over at ID (eos, eot and the like)? */
int mpq_tokenizer_is_eog(const struct mpq_tokenizer *t, uint32_t id);
/* Does the model ask for BOS before every text? */
int mpq_tokenizer_adds_bos(const struct mpq_tokenizer *t);
/* Checksum of the vocabulary (pieces, kinds, order): 16 hexadecimal digits, NUL. Two
 * models with the same one take each other's token ids. */
void mpq_tokenizer_checksum(const struct mpq_tokenizer *t, char hex[17]);

#endif
