/* Special tokens of a tokenizer.json and of the files beside it as GGUF keys. */
#include "model/convert_vocab.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The id of the token called S, or -1. */
static int64_t
id_of(const struct mpq_convert_vocab *v, const char *s)
{
    const size_t n = strlen(s);

    for (size_t i = 0; n && i < v->n; i++)
        if (v->len[i] == n && memcmp(v->text[i], s, n) == 0)
            return (int64_t)i;
    return -1;
}

/* bos_token and the like in tokenizer_config.json: a text, or an object with it. */
static const char *
named_token(const struct mpq_convert_vocab *v, const char *type)
{
    char key[32];

    snprintf(key, sizeof key, "%s_token", type);
    const struct mpq_json *t = mpq_json_get(v->tokenizer_config, key);
    return mpq_json_is_object(t) ? mpq_json_text(t, "content")
                                 : mpq_json_text(v->tokenizer_config, key);
}

/* An id, or the first of a list, that config.json or generation_config.json gives. */
static int64_t
configured_id(const struct mpq_convert_vocab *v, const char *type)
{
    const struct mpq_json *places[] = { v->config,
                                        mpq_json_get(v->config, "text_config"),
                                        v->generation };
    char key[32];
    uint64_t id;

    snprintf(key, sizeof key, "%s_token_id", type);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const struct mpq_json *t = mpq_json_get(places[i], key);
        if (mpq_json_is_array(t))
            t = mpq_json_item(t, 0);
        if (mpq_json_u64(t, &id) == 1 && id < v->n)
            return (int64_t)id;
    }
    return -1;
}

static int64_t
special_id(const struct mpq_convert_vocab *v, const char *type)
{
    const int64_t id = id_of(v, named_token(v, type));

    return id >= 0 ? id : configured_id(v, type);
}

/* The token that the post-processor puts FIRST, or last; NULL when it adds none there.
 * *told: it says something about this. */
static const char *
template_token(const struct mpq_json *post, int first, int *told)
{
    const struct mpq_json *all = mpq_json_get(post, "processors"),
                          *single = mpq_json_get(post, "single");
    const size_t n = mpq_json_count(single);
    const char *type = mpq_json_text(post, "type"), *found = NULL;

    for (size_t i = 0; i < mpq_json_count(all); i++) {
        const struct mpq_json *one = mpq_json_item(all, i);
        const char *s =
            mpq_json_get(one, "processors") ? NULL : template_token(one, first, told);
        found = s ? s : found;
    }
    if (strcmp(type, "ByteLevel") == 0 || strcmp(type, "TemplateProcessing") == 0)
        *told = 1;
    if (n > 1) {
        const struct mpq_json *t = mpq_json_item(single, first ? 0 : n - 1);
        const char *id = mpq_json_text(mpq_json_get(t, "SpecialToken"), "id");
        found = *id ? id : NULL;
    }
    return found;
}

static void
put_add(struct mpq_convert_vocab *v, const char *type, int first, int64_t id)
{
    char key[64];
    int told = 0, on = 0;
    const char *s =
        template_token(mpq_json_get(v->json, "post_processor"), first, &told);

    snprintf(key, sizeof key, "add_%s_token", type);
    if (s)
        on = id >= 0 && id_of(v, s) == id;
    else if (!told)
        on = mpq_json_flag(v->tokenizer_config, key, 0);
    snprintf(key, sizeof key, MPQ_CONVERT_KEY("add_%s_token"), type);
    mpq_gguf_put_bool(v->h, key, on);
}

/* Ends of generation beside eos, unless llama.cpp knows them by their names. */
static void
put_ends(struct mpq_convert_vocab *v, int64_t eos)
{
    static const char *const known[] = {
        "<|eot_id|>", "<|im_end|>",    "<|end|>",         "<end_of_turn>",
        "<|eom_id|>", "<|endoftext|>", "<|end_of_text|>", "<EOT>",
        "<|return|>", "<|call|>",      "[EOT]",           "</s>",
    };
    static const char *const keys[] = { MPQ_CONVERT_KEY("eot_token_id"),
                                        MPQ_CONVERT_KEY("eom_token_id") };
    const struct mpq_json *list = mpq_json_get(v->generation, "eos_token_id");
    size_t n = 0;
    uint64_t id;

    if (!mpq_json_is_array(list))
        list = mpq_json_get(v->config, "eos_token_id");
    for (size_t i = 0; i < mpq_json_count(list) && n < 2; i++) {
        int skip = mpq_json_u64(mpq_json_item(list, i), &id) != 1 || id >= v->n ||
                   (int64_t)id == eos;
        for (size_t k = 0; !skip && k < sizeof known / sizeof *known; k++)
            skip = strcmp(v->text[id], known[k]) == 0;
        if (!skip)
            mpq_gguf_put_u32(v->h, keys[n++], (uint32_t)id);
    }
}

/* chat_template of tokenizer_config.json (a text, or a list with a default one), else
 * the file chat_template.jinja. */
static int
put_template(struct mpq_convert_vocab *v, struct mpq_err *err)
{
    const struct mpq_json *t = mpq_json_get(v->tokenizer_config, "chat_template");
    const char *text = mpq_json_str(t, NULL);

    for (size_t i = 0; i < mpq_json_count(t); i++)
        if (strcmp(mpq_json_text(mpq_json_item(t, i), "name"), "default") == 0)
            text = mpq_json_text(mpq_json_item(t, i), "template");
    if (!text && mpq_source_text(v->source, "chat_template.jinja", &text, err) < 0)
        return -1;
    if (text)
        mpq_gguf_put_str(v->h, "tokenizer.chat_template", text, strlen(text));
    return 0;
}

int
mpq_convert_put_special(struct mpq_convert_vocab *v, struct mpq_err *err)
{
    static const struct {
        const char *type, *key;
    } all[] = { { "bos", MPQ_CONVERT_KEY("bos_token_id") },
                { "eos", MPQ_CONVERT_KEY("eos_token_id") },
                { "unk", MPQ_CONVERT_KEY("unknown_token_id") },
                { "sep", MPQ_CONVERT_KEY("seperator_token_id") },
                { "pad", MPQ_CONVERT_KEY("padding_token_id") },
                { "cls", MPQ_CONVERT_KEY("cls_token_id") },
                { "mask", MPQ_CONVERT_KEY("mask_token_id") } };
    int64_t ids[2] = { -1, -1 };

    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        int64_t id = special_id(v, all[i].type);
        if (id < 0 && i == 2) /* the model's own word */
            id = id_of(v, mpq_json_text(v->model, "unk_token"));
        if (id >= 0)
            mpq_gguf_put_u32(v->h, all[i].key, (uint32_t)id);
        if (i < 2)
            ids[i] = id;
    }
    put_ends(v, ids[1]);
    put_add(v, "bos", 1, ids[0]);
    put_add(v, "eos", 0, ids[1]);
    return put_template(v, err);
}
