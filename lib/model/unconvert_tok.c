/* tokenizer.json and tokenizer_config.json from GGUF metadata: byte-level BPE whose
 * pre-tokenizer is one of those that convert_pre.c knows. */
#include "model/unconvert.h"

#include "fmt/json.h"
#include "model/convert_own.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { CONTROL = 3, USER_DEFINED = 4 }; /* of tokenizer.ggml.token_type */

struct vocabulary {
    const struct mpq_gguf_kv *tokens, *kinds, *merges;
};

static void
put_stage(struct mpq_buf *b, const char *stage, size_t n)
{
    if (n == 6 && !strncmp(stage, "digits", n)) {
        mpq_buf_adds(b, "{\"type\": \"Digits\", \"individual_digits\": true}");
    } else if ((n == 4 && !strncmp(stage, "gpt2", n)) ||
               (n == 5 && !strncmp(stage, "bytes", n))) {
        mpq_buf_printf(b,
                       "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, "
                       "\"trim_offsets\": true, \"use_regex\": %s}",
                       n == 4 ? "true" : "false");
    } else {
        mpq_buf_adds(b, "{\"type\": \"Split\", \"pattern\": {\"Regex\": ");
        mpq_json_quote(b, stage, n);
        mpq_buf_adds(b, "}, \"behavior\": \"Isolated\", \"invert\": false}");
    }
}

static void
put_stages(struct mpq_buf *b, const char *stages)
{
    mpq_buf_adds(b,
                 "  \"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [");
    for (;;) {
        const size_t n = strcspn(stages, "\1");
        put_stage(b, stages, n);
        if (!stages[n])
            break;
        mpq_buf_adds(b, ", ");
        stages += n + 1;
    }
    mpq_buf_adds(b, "]},\n");
}

static uint64_t
kind_of(const struct vocabulary *v, uint64_t id)
{
    uint64_t kind = 1;

    if (v->kinds && mpq_gguf_item_u64(v->kinds, id, &kind) < 0)
        kind = 1;
    return kind;
}

static void
put_added(struct mpq_buf *b, const struct vocabulary *v)
{
    uint64_t pos = 0, n;
    const char *s, *comma = "";

    mpq_buf_adds(b, "  \"added_tokens\": [");
    for (uint64_t id = 0; mpq_gguf_next_str(v->tokens, &pos, &s, &n); id++) {
        const uint64_t kind = kind_of(v, id);
        if (kind != CONTROL && kind != USER_DEFINED)
            continue;
        mpq_buf_printf(b, "%s\n    {\"id\": %" PRIu64 ", \"content\": ", comma, id);
        mpq_json_quote(b, s, (size_t)n);
        mpq_buf_printf(
            b,
            ", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, "
            "\"normalized\": false, \"special\": %s}",
            kind == CONTROL ? "true" : "false");
        comma = ",";
    }
    mpq_buf_adds(b, "],\n");
}

static void
put_strings(struct mpq_buf *b, const struct mpq_gguf_kv *kv, int with_ids)
{
    uint64_t pos = 0, n;
    const char *s;

    for (uint64_t i = 0; mpq_gguf_next_str(kv, &pos, &s, &n); i++) {
        mpq_buf_adds(b, i ? ", " : "");
        mpq_json_quote(b, s, (size_t)n);
        if (with_ids)
            mpq_buf_printf(b, ": %" PRIu64, i);
    }
}

/* Token ID as a JSON string; 0 when there is none. */
static int
put_token(struct mpq_buf *b, const struct vocabulary *v, const struct mpq_gguf *g,
          const char *key)
{
    uint64_t id, pos = 0, n;
    const char *s;

    if (mpq_gguf_get_u64(g, key, &id) <= 0 || id >= v->tokens->count)
        return 0;
    for (uint64_t i = 0; mpq_gguf_next_str(v->tokens, &pos, &s, &n); i++)
        if (i == id) {
            mpq_json_quote(b, s, (size_t)n);
            return 1;
        }
    return 0;
}

/* Does a text begin with BOS? llama.cpp's default is by the pre-tokenizer. */
static int
adds_bos(const struct mpq_gguf *g, const char *pre)
{
    int adds = !strcmp(pre, "llama-bpe") || !strcmp(pre, "tekken");

    (void)mpq_gguf_get_bool(g, "tokenizer.ggml.add_bos_token", &adds);
    return adds;
}

static void
put_processor(struct mpq_buf *b, const struct vocabulary *v, const struct mpq_gguf *g,
              const char *pre)
{
    struct mpq_buf bos = { 0 };
    uint64_t id = 0;

    if (!adds_bos(g, pre) || !put_token(&bos, v, g, "tokenizer.ggml.bos_token_id") ||
        mpq_gguf_get_u64(g, "tokenizer.ggml.bos_token_id", &id) <= 0) {
        mpq_buf_adds(b, "  \"post_processor\": {\"type\": \"ByteLevel\", "
                        "\"add_prefix_space\": true, \"trim_offsets\": false, "
                        "\"use_regex\": true},\n");
    } else {
        mpq_buf_printf(b,
                       "  \"post_processor\": {\"type\": \"TemplateProcessing\", "
                       "\"single\": [{\"SpecialToken\": {\"id\": %s, \"type_id\": 0}}, "
                       "{\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}], "
                       "\"pair\": [{\"SpecialToken\": {\"id\": %s, \"type_id\": 0}}, "
                       "{\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}, "
                       "{\"Sequence\": {\"id\": \"B\", \"type_id\": 1}}], "
                       "\"special_tokens\": {%s: {\"id\": %s, \"ids\": [%" PRIu64
                       "], \"tokens\": [%s]}}},\n",
                       bos.data, bos.data, bos.data, bos.data, id, bos.data);
    }
    b->failed |= bos.failed;
    mpq_buf_free(&bos);
}

static void
put_tokenizer_config(struct mpq_buf *b, const struct vocabulary *v,
                     const struct mpq_gguf *g)
{
    static const struct {
        const char *key, *name;
    } tokens[] = { { "tokenizer.ggml.bos_token_id", "bos_token" },
                   { "tokenizer.ggml.eos_token_id", "eos_token" },
                   { "tokenizer.ggml.padding_token_id", "pad_token" } };
    char *chat = NULL;

    mpq_buf_adds(b, "{\n  \"tokenizer_class\": \"PreTrainedTokenizerFast\"");
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++) {
        struct mpq_buf one = { 0 };
        if (put_token(&one, v, g, tokens[i].key))
            mpq_buf_printf(b, ",\n  \"%s\": %s", tokens[i].name, one.data);
        b->failed |= one.failed;
        mpq_buf_free(&one);
    }
    if (mpq_gguf_get_str(g, "tokenizer.chat_template", &chat) > 0) {
        mpq_buf_adds(b, ",\n  \"chat_template\": ");
        mpq_json_quote(b, chat, strlen(chat));
    }
    free(chat);
    mpq_buf_adds(b, "\n}\n");
}

int
mpq_unconvert_tokenizer(struct mpq_unconvert *u, const struct mpq_source *s,
                        struct mpq_err *err)
{
    const struct mpq_gguf *g = mpq_source_keys(s);
    const struct vocabulary v = { mpq_gguf_kv_find(g, "tokenizer.ggml.tokens"),
                                  mpq_gguf_kv_find(g, "tokenizer.ggml.token_type"),
                                  mpq_gguf_kv_find(g, "tokenizer.ggml.merges") };
    char *model = NULL, *pre = NULL;
    struct mpq_buf *b = &u->tokenizer;
    int ignores = 0;

    (void)mpq_gguf_get_str(g, "tokenizer.ggml.model", &model);
    (void)mpq_gguf_get_str(g, "tokenizer.ggml.pre", &pre);
    const char *stages = pre ? mpq_convert_stages(pre, &ignores) : NULL;
    if (model && !strcmp(model, "gpt2") && stages && v.tokens && v.merges) {
        mpq_buf_adds(b, "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n"
                        "  \"padding\": null,\n");
        put_added(b, &v);
        mpq_buf_adds(b, "  \"normalizer\": null,\n");
        put_stages(b, stages);
        put_processor(b, &v, g, pre);
        mpq_buf_printf(b,
                       "  \"decoder\": {\"type\": \"ByteLevel\", \"add_prefix_space\": "
                       "true, \"trim_offsets\": true, \"use_regex\": true},\n"
                       "  \"model\": {\"type\": \"BPE\", \"dropout\": null, "
                       "\"unk_token\": null, \"continuing_subword_prefix\": null, "
                       "\"end_of_word_suffix\": null, \"fuse_unk\": false, "
                       "\"byte_fallback\": false, \"ignore_merges\": %s,\n\"vocab\": {",
                       ignores ? "true" : "false");
        put_strings(b, v.tokens, 1);
        mpq_buf_adds(b, "},\n\"merges\": [");
        put_strings(b, v.merges, 0);
        mpq_buf_adds(b, "]}\n}\n");
        put_tokenizer_config(&u->tokenizer_config, &v, g);
    }
    free(model);
    free(pre);
    return b->failed || u->tokenizer_config.failed
               ? mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", mpq_source_name(s))
               : 0;
}
