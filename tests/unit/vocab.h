/* Tokenizers of tests/data/tokens, and of vocabularies made in the folder of a test. */
#ifndef MPQ_TESTS_VOCAB_H
#define MPQ_TESTS_VOCAB_H

#include "folder.h"
#include "suite.h"

#include "base/buf.h"
#include "base/io.h"
#include "fmt/gguf.h"
#include "model/source.h"
#include "model/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOKEN_DATA "tests/data/tokens/"
#define TINY       "examples/tiny-model"
#define PLAIN      0u
#define BOTH       (unsigned)(MPQ_TOKENS_PARSE_SPECIAL | MPQ_TOKENS_ADD_SPECIAL)

/* The vocabularies of gen_tokens.py, whose ids.tsv was written by llama-tokenize and
 * the package tokenizers. */
static const char *const vocabularies[] = {
    "spm-prefix.gguf",      "spm-plain.gguf",       "llama2.json",
    "gemma.json",           "llama3.json",          "gpt2.json",
    "metaspace-first.json", "metaspace-whole.json", "splits.json",
};

static inline char *
read_all(const char *path, size_t *n)
{
    struct mpq_map map;
    struct mpq_err err = { 0 };

    ck_assert_msg(mpq_map_open(&map, path, &err) == 0, "%s", err.text);
    char *copy = mpq_strndup(map.data ? (const char *)map.data : "", (size_t)map.size);
    *n = (size_t)map.size;
    mpq_map_close(&map);
    ck_assert_ptr_nonnull(copy);
    return copy;
}

/* A model folder in tmp with the text JSON as its tokenizer.json. */
static inline const char *
folder(const char *json, size_t n)
{
    static const char *const files[] = { "config.json", "model.safetensors" };

    for (size_t i = 0; i < 2; i++) {
        char from[96];
        size_t size;
        snprintf(from, sizeof from, "tests/data/formats/hf/%s", files[i]);
        char *bytes = read_all(from, &size);
        put_file(files[i], bytes, size);
        free(bytes);
    }
    put_file("tokenizer.json", json, n);
    return tmp;
}

/* The open model at PATH and its tokenizer; where there is none, t is NULL and err
 * says why. */
struct opened {
    struct mpq_source *source;
    struct mpq_tokenizer *t;
    struct mpq_err err;
};

static inline struct opened
try_open(const char *path)
{
    struct opened o = { 0 };

    if (mpq_source_open(&o.source, path, NULL, &o.err) == 0 &&
        mpq_tokenizer_new(&o.t, o.source, &o.err) < 0)
        ck_assert_ptr_null(o.t);
    return o;
}

static inline void
close_both(struct opened *o)
{
    mpq_tokenizer_free(o->t);
    mpq_source_free(o->source);
}

static inline struct opened
open_both(const char *path)
{
    struct opened o = try_open(path);

    ck_assert_msg(o.t != NULL, "%s", o.err.text);
    return o;
}

/* A vocabulary of tests/data/tokens, by its name there. */
static inline struct opened
open_data(const char *name)
{
    char path[96];
    size_t n;

    snprintf(path, sizeof path, TOKEN_DATA "%s", name);
    if (strstr(name, ".gguf"))
        return open_both(path);
    char *json = read_all(path, &n);
    struct opened o = open_both(folder(json, n));
    free(json);
    return o;
}

static inline struct mpq_tokens
encode(const struct mpq_tokenizer *t, const char *text, size_t n, unsigned flags)
{
    struct mpq_tokens ids = { 0 };
    struct mpq_err err = { 0 };

    ck_assert_msg(mpq_tokenizer_encode(t, text, n, flags, "text", &ids, &err) == 0,
                  "%s", err.text);
    return ids;
}

static inline struct mpq_tokens
encode_str(const struct mpq_tokenizer *t, const char *text, unsigned flags)
{
    return encode(t, text, strlen(text), flags);
}

static inline void
say_ids(const struct mpq_tokens *ids, struct mpq_buf *b)
{
    b->len = 0;
    mpq_buf_add(b, "", 0);
    for (size_t i = 0; i < ids->n; i++)
        mpq_buf_printf(b, i ? " %u" : "%u", (unsigned)ids->ids[i]);
}

/* TEXT becomes IDS ("5 2 7"). */
static inline void
check(const struct mpq_tokenizer *t, const char *text, unsigned flags, const char *ids)
{
    struct mpq_tokens got = encode_str(t, text, flags);
    struct mpq_buf b = { 0 };

    say_ids(&got, &b);
    ck_assert_str_eq(b.data, ids);
    mpq_buf_free(&b);
    mpq_tokens_free(&got);
}

/* A GGUF header with a layer, so that it is a model, written to FILE in tmp. */
static inline void
finish_gguf(struct mpq_gguf_head *h, const char *file)
{
    const uint64_t dim[] = { 32, 4 };
    struct mpq_buf out;
    struct mpq_err err = { 0 };

    mpq_gguf_put_str(h, "general.architecture", "llama", 5);
    mpq_gguf_put_u32(h, "llama.block_count", 1);
    ck_assert_int_eq(mpq_gguf_put_tensor(h, "blk.0.attn_norm.weight", MPQ_TYPE(MPQ_F32),
                                         1, dim, &err),
                     0);
    ck_assert_int_eq(mpq_gguf_head_finish(h, &out, &err), 0);
    for (size_t i = 0; i < 32 * 4; i++)
        mpq_buf_add(&out, "", 1);
    put_file(file, out.data, out.len);
    mpq_buf_free(&out);
    mpq_gguf_head_free(h);
}

/* A byte-level vocabulary of our own: TOKENS and MERGES are parted by '|', types are 1
 * but where TYPES has another digit. */
static inline struct opened
small_bpe(const char *tokens, const char *types, const char *merges)
{
    const char *list[64];
    size_t length[64], n = 0;
    int32_t kinds[64];
    struct mpq_gguf_head h;

    mpq_gguf_head_init(&h, 32);
    mpq_gguf_put_str(&h, "tokenizer.ggml.model", "gpt2", 4);
    mpq_gguf_put_str(&h, "tokenizer.ggml.pre", "gpt-2", 5);
    for (int pass = 0; pass < 2; pass++) {
        const char *p = pass ? merges : tokens;
        for (n = 0; *p; n++) {
            list[n] = p;
            length[n] = strcspn(p, "|");
            kinds[n] = 1;
            p += length[n] + (p[length[n]] == '|');
        }
        mpq_gguf_put_strings(&h,
                             pass ? "tokenizer.ggml.merges" : "tokenizer.ggml.tokens",
                             list, length, n);
        if (!pass) {
            for (size_t i = 0; types[i]; i++)
                kinds[i] = types[i] - '0';
            mpq_gguf_put_array(&h, "tokenizer.ggml.token_type", MPQ_GGUF_I32, kinds, 4,
                               n);
        }
    }
    finish_gguf(&h, "small.gguf");
    return try_open(in_tmp("small.gguf"));
}

#endif
