/* A tokenizer.json as GGUF keys. */
#include "base/buf.h"
#include "model/convert_own.h"
#include "model/tok_own.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY(x) "tokenizer.ggml." x

/* Of added tokens, as llama.cpp's converters give it; they are never merged. */
static const float added_score = -1000;

struct vocab {
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

static const char *
text_at(const struct mpq_json *v, const char *key)
{
    const char *s = mpq_json_str(mpq_json_get(v, key), NULL);

    return s ? s : "";
}

static int
flag_at(const struct mpq_json *v, const char *key)
{
    int on = 0;

    mpq_json_bool(mpq_json_get(v, key), &on);
    return on;
}

static int
no_memory(const struct vocab *v, struct mpq_err *err)
{
    return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", mpq_source_name(v->source));
}

/* Does a token that is not called special look like one? (does_token_look_special of
 * conversion/base.py.) */
static int
looks_special(const char *s, size_t n)
{
    static const char *const names[] = { "<pad>", "<mask>", "<2mass>", "[@BOS@]" };
    static const struct {
        const char *begin, *end;
    } forms[] = { { "<|", "|>" },
                  { "<\xef\xbd\x9c", "\xef\xbd\x9c>" },
                  { "<unused", ">" } };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(s, names[i]) == 0)
            return 1;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        const size_t b = strlen(forms[i].begin), e = strlen(forms[i].end);
        if (n >= b && n >= e && strncmp(s, forms[i].begin, b) == 0 &&
            strcmp(s + n - e, forms[i].end) == 0)
            return 1;
    }
    return 0;
}

static int
is_byte_token(const char *s, size_t n)
{
    static const char hex[] = "0123456789ABCDEFabcdef";

    return n == 6 && strncmp(s, "<0x", 3) == 0 && strchr(hex, s[3]) &&
           strchr(hex, s[4]) && s[5] == '>';
}

/* The token ID must be a row of the embedding and, unless it is the same, free. */
static int
set_token(struct vocab *v, const struct mpq_json *id_value, const char *s, size_t n,
          enum mpq_tok_kind kind, struct mpq_err *err)
{
    const char *name = mpq_source_name(v->source);
    uint64_t id;

    if (mpq_json_u64(id_value, &id) != 1)
        return mpq_fail(err, MPQ_EDATA, "%s: tokenizer.json: token %.99s: no id", name,
                        s);
    if (id >= v->n)
        return mpq_fail(err, MPQ_EDATA,
                        "%s: tokenizer.json: token %.99s has id %" PRIu64
                        ", the embedding %zu rows",
                        name, s, id, v->n);
    if (v->kind[id] && (v->len[id] != n || memcmp(v->text[id], s, n) != 0))
        return mpq_fail(err, MPQ_EDATA,
                        "%s: tokenizer.json: tokens %.99s and %.99s have the same id "
                        "%" PRIu64,
                        name, v->text[id], s, id);
    v->text[id] = s;
    v->len[id] = n;
    v->kind[id] = (uint32_t)kind;
    return 0;
}

static int
read_vocab(struct vocab *v, struct mpq_err *err)
{
    const struct mpq_json *vocab = mpq_json_get(v->model, "vocab"), *id;
    const char *s;

    if (!mpq_json_is_object(vocab) || !mpq_json_count(vocab))
        return mpq_fail(err, MPQ_EDATA,
                        "%s: tokenizer.json: model.vocab is no object with tokens",
                        mpq_source_name(v->source));
    for (const void *i = NULL; (i = mpq_json_next(vocab, i, &s, &id));) {
        const size_t n = strlen(s);
        if (set_token(v, id, s, n,
                      v->by_score && is_byte_token(s, n) ? MPQ_TOK_BYTE
                                                         : MPQ_TOK_NORMAL,
                      err) < 0)
            return -1;
    }
    return 0;
}

/* U+2581 becomes a blank: llama.cpp looks for user-defined tokens in the plain text. */
static int
plain_blanks(struct vocab *v, uint64_t id, struct mpq_err *err)
{
    char *copy, *to;

    if (!strstr(v->text[id], MPQ_TOK_MARK))
        return 0;
    to = copy = mpq_pool_strndup(&v->pool, v->text[id], v->len[id]);
    if (!copy)
        return no_memory(v, err);
    for (const char *from = v->text[id]; *from;) {
        const int mark = strncmp(from, MPQ_TOK_MARK, MPQ_TOK_MARK_LEN) == 0;
        *to++ = mark ? ' ' : *from;
        from += mark ? MPQ_TOK_MARK_LEN : 1;
    }
    *to = '\0';
    v->text[id] = copy;
    v->len[id] = (size_t)(to - copy);
    return 0;
}

static int
read_added(struct vocab *v, struct mpq_err *err)
{
    const struct mpq_json *added = mpq_json_get(v->json, "added_tokens");

    for (size_t i = 0; i < mpq_json_count(added); i++) {
        const struct mpq_json *t = mpq_json_item(added, i), *id = mpq_json_get(t, "id");
        size_t n;
        const char *s = mpq_json_str(mpq_json_get(t, "content"), &n);
        if (!s || !n || strlen(s) != n)
            return mpq_fail(err, MPQ_EDATA,
                            "%s: tokenizer.json: added token %zu has no content",
                            mpq_source_name(v->source), i);
        const int special = flag_at(t, "special") || looks_special(s, n);
        uint64_t at;
        if (set_token(v, id, s, n, special ? MPQ_TOK_CONTROL : MPQ_TOK_USER, err) < 0)
            return -1;
        if (mpq_json_u64(id, &at) == 1) {
            v->score[at] = added_score;
            if (!special && plain_blanks(v, at, err) < 0)
                return -1;
        }
    }
    return 0;
}

/* Rows of the embedding that are no token. */
static int
fill_holes(struct vocab *v, struct mpq_err *err)
{
    char name[32];

    for (size_t i = 0; i < v->n; i++) {
        if (v->kind[i])
            continue;
        v->len[i] = (size_t)snprintf(name, sizeof name, "[PAD%zu]", i);
        v->text[i] = mpq_pool_strdup(&v->pool, name);
        if (!v->text[i])
            return no_memory(v, err);
        v->kind[i] = MPQ_TOK_UNUSED;
        v->score[i] = -10000;
    }
    return 0;
}

/* The two sides of a merge, "left right" or ["left", "right"]. */
static int
sides(const struct mpq_json *m, const char **a, size_t *n_a, const char **b,
      size_t *n_b)
{
    *a = mpq_json_str(m, n_a);
    *b = *a ? memchr(*a, ' ', *n_a) : NULL;
    if (*b) {
        *n_b = *n_a - (size_t)(*b - *a) - 1;
        *n_a = (size_t)(*b - *a);
        ++*b;
    } else if (!*a) {
        *a = mpq_json_str(mpq_json_item(m, 0), n_a);
        *b = mpq_json_str(mpq_json_item(m, 1), n_b);
    }
    return *a && *b && *n_a && *n_b;
}

static int
bad_merge(const struct vocab *v, size_t i, struct mpq_err *err)
{
    return mpq_fail(err, MPQ_EDATA, "%s: tokenizer.json: merge %zu is no pair of texts",
                    mpq_source_name(v->source), i);
}

/* "left right" for each merge; a blank within a side as U+0120, as llama.cpp's reader
 * expects it. */
static int
put_merges(struct vocab *v, struct mpq_err *err)
{
    const struct mpq_json *merges = mpq_json_get(v->model, "merges");
    const size_t n = mpq_json_count(merges);
    const char **text = mpq_array(n, sizeof *text);
    size_t *len = mpq_array(n, sizeof *len), n_a, n_b;
    struct mpq_buf b = { 0 };
    const char *side[2];
    int rc = -1;

    if (!text || !len) {
        no_memory(v, err);
        goto out;
    }
    for (size_t i = 0; i < n; i++) {
        if (!sides(mpq_json_item(merges, i), &side[0], &n_a, &side[1], &n_b)) {
            bad_merge(v, i, err);
            goto out;
        }
        b.len = 0;
        for (int k = 0; k < 2; k++) {
            const size_t m = k ? n_b : n_a;
            if (k)
                mpq_buf_add(&b, " ", 1);
            for (size_t c = 0; c < m; c++)
                mpq_buf_add(&b, side[k][c] == ' ' ? "\xc4\xa0" : &side[k][c],
                            side[k][c] == ' ' ? 2 : 1);
        }
        len[i] = b.len;
        text[i] = b.failed ? NULL : mpq_pool_strndup(&v->pool, b.data, b.len);
        if (!text[i]) {
            no_memory(v, err);
            goto out;
        }
    }
    mpq_gguf_put_strings(v->h, KEY("merges"), text, len, n);
    rc = 0;
out:
    mpq_buf_free(&b);
    free(text);
    free(len);
    return rc;
}

/* Scores from merges: SentencePiece merges what makes the best token, `tokenizers` the
 * first merge in its list, and the list was sorted by the tokens' scores. So a token's
 * score is less the number of tokens that merges made before it, as it was in the
 * original (there the scores count down). Single characters, which nothing makes,
 * follow. */
static int
make_scores(struct vocab *v, struct mpq_err *err)
{
    const struct mpq_json *merges = mpq_json_get(v->model, "merges"),
                          *vocab = mpq_json_get(v->model, "vocab");
    unsigned char *made = mpq_array(v->n, 1);
    struct mpq_buf b = { 0 };
    const char *left, *right;
    size_t n_a, n_b, n_made = 0;
    uint64_t id;
    int rc = -1;

    if (!made) {
        no_memory(v, err);
        goto out;
    }
    for (size_t i = 0; i < mpq_json_count(merges); i++) {
        if (!sides(mpq_json_item(merges, i), &left, &n_a, &right, &n_b)) {
            bad_merge(v, i, err);
            goto out;
        }
        b.len = 0;
        mpq_buf_add(&b, left, n_a);
        mpq_buf_add(&b, right, n_b);
        if (b.failed) {
            no_memory(v, err);
            goto out;
        }
        if (mpq_json_u64(mpq_json_get(vocab, b.data), &id) != 1 || id >= v->n) {
            mpq_fail(err, MPQ_EDATA, "%s: tokenizer.json: merge %zu makes no token",
                     mpq_source_name(v->source), i);
            goto out;
        }
        if (made[id])
            continue;
        made[id] = 1;
        if (v->kind[id] == MPQ_TOK_NORMAL)
            v->score[id] = -(float)n_made;
        n_made++;
    }
    for (size_t i = 0; i < v->n; i++)
        if (v->kind[i] == MPQ_TOK_NORMAL && !made[i])
            v->score[i] = -(float)n_made++;
    rc = 0;
out:
    mpq_buf_free(&b);
    free(made);
    return rc;
}

/* Does the text get a mark before it? Prepend in the normalizer, or Metaspace. */
static int
adds_prefix(const struct mpq_json *v)
{
    const char *type = text_at(v, "type"), *scheme = text_at(v, "prepend_scheme");
    const struct mpq_json *all = mpq_json_get(v, "normalizers");

    if (!all)
        all = mpq_json_get(v, "pretokenizers");
    for (size_t i = 0; i < mpq_json_count(all); i++)
        if (adds_prefix(mpq_json_item(all, i)))
            return 1;
    if (strcmp(type, "Metaspace") == 0)
        return *scheme ? strcmp(scheme, "never") != 0
                       : !mpq_json_get(v, "add_prefix_space") ||
                             flag_at(v, "add_prefix_space");
    return strcmp(type, "Prepend") == 0;
}

static int
put_tokens(struct vocab *v, struct mpq_err *err)
{
    struct mpq_buf stages = { 0 };
    const char *pre = "default";

    if (!v->by_score) {
        const char *forced = mpq_source_pre(v->source);
        pre = forced ? forced : mpq_convert_pre(v->json, &stages);
        for (size_t i = 0; i < stages.len; i++)
            if (stages.data[i] == '\1')
                stages.data[i] = ' ';
        if (!pre) {
            mpq_fail(err, MPQ_EDATA,
                     "%s: tokenizer.json: a pre-tokenizer that is not known: %.150s: "
                     "--pre NAME says which of llama.cpp's it is",
                     mpq_source_name(v->source), stages.data ? stages.data : "none");
            mpq_buf_free(&stages);
            return -1;
        }
    }
    mpq_buf_free(&stages);
    mpq_gguf_put_str(v->h, KEY("model"), v->by_score ? "llama" : "gpt2",
                     v->by_score ? 5 : 4);
    mpq_gguf_put_str(v->h, KEY("pre"), pre, strlen(pre));
    mpq_gguf_put_strings(v->h, KEY("tokens"), v->text, v->len, v->n);
    if (v->by_score)
        mpq_gguf_put_array(v->h, KEY("scores"), MPQ_GGUF_F32, v->score, sizeof(float),
                           v->n);
    mpq_gguf_put_array(v->h, KEY("token_type"), MPQ_GGUF_I32, v->kind, sizeof(uint32_t),
                       v->n);
    if (!v->by_score && put_merges(v, err) < 0)
        return -1;
    if (v->by_score)
        mpq_gguf_put_bool(v->h, KEY("add_space_prefix"),
                          adds_prefix(mpq_json_get(v->json, "normalizer")) ||
                              adds_prefix(mpq_json_get(v->json, "pre_tokenizer")));
    return 0;
}

/* The id of the token called S, or -1. */
static int64_t
id_of(const struct vocab *v, const char *s)
{
    const size_t n = strlen(s);

    for (size_t i = 0; n && i < v->n; i++)
        if (v->len[i] == n && memcmp(v->text[i], s, n) == 0)
            return (int64_t)i;
    return -1;
}

/* bos_token and the like in tokenizer_config.json: a text, or an object with it. */
static const char *
named_token(const struct vocab *v, const char *type)
{
    char key[32];

    snprintf(key, sizeof key, "%s_token", type);
    const struct mpq_json *t = mpq_json_get(v->tokenizer_config, key);
    return mpq_json_is_object(t) ? text_at(t, "content")
                                 : text_at(v->tokenizer_config, key);
}

/* An id, or the first of a list, that config.json or generation_config.json gives. */
static int64_t
configured_id(const struct vocab *v, const char *type)
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
special_id(const struct vocab *v, const char *type)
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
    const char *type = text_at(post, "type"), *found = NULL;

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
        const char *id = text_at(mpq_json_get(t, "SpecialToken"), "id");
        found = *id ? id : NULL;
    }
    return found;
}

static void
put_add(struct vocab *v, const char *type, int first, int64_t id)
{
    char key[64];
    int told = 0, on = 0;
    const char *s =
        template_token(mpq_json_get(v->json, "post_processor"), first, &told);

    snprintf(key, sizeof key, "add_%s_token", type);
    if (s)
        on = id >= 0 && id_of(v, s) == id;
    else if (!told)
        on = flag_at(v->tokenizer_config, key);
    snprintf(key, sizeof key, KEY("add_%s_token"), type);
    mpq_gguf_put_bool(v->h, key, on);
}

/* Ends of generation beside eos, unless llama.cpp knows them by their names. */
static void
put_ends(struct vocab *v, int64_t eos)
{
    static const char *const known[] = {
        "<|eot_id|>", "<|im_end|>",    "<|end|>",         "<end_of_turn>",
        "<|eom_id|>", "<|endoftext|>", "<|end_of_text|>", "<EOT>",
        "<|return|>", "<|call|>",      "[EOT]",           "</s>",
    };
    static const char *const keys[] = { KEY("eot_token_id"), KEY("eom_token_id") };
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

static void
put_special(struct vocab *v)
{
    static const struct {
        const char *type, *key;
    } all[] = {
        { "bos", KEY("bos_token_id") },     { "eos", KEY("eos_token_id") },
        { "unk", KEY("unknown_token_id") }, { "sep", KEY("seperator_token_id") },
        { "pad", KEY("padding_token_id") }, { "cls", KEY("cls_token_id") },
        { "mask", KEY("mask_token_id") }
    };
    int64_t ids[2] = { -1, -1 };

    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        int64_t id = special_id(v, all[i].type);
        if (id < 0 && i == 2) /* the model's own word */
            id = id_of(v, text_at(v->model, "unk_token"));
        if (id >= 0)
            mpq_gguf_put_u32(v->h, all[i].key, (uint32_t)id);
        if (i < 2)
            ids[i] = id;
    }
    put_ends(v, ids[1]);
    put_add(v, "bos", 1, ids[0]);
    put_add(v, "eos", 0, ids[1]);
}

/* chat_template of tokenizer_config.json (a text, or a list with a default one), else
 * the file chat_template.jinja. */
static int
put_template(struct vocab *v, struct mpq_err *err)
{
    const struct mpq_json *t = mpq_json_get(v->tokenizer_config, "chat_template");
    const char *text = mpq_json_str(t, NULL);

    for (size_t i = 0; i < mpq_json_count(t); i++)
        if (strcmp(text_at(mpq_json_item(t, i), "name"), "default") == 0)
            text = text_at(mpq_json_item(t, i), "template");
    if (!text && mpq_source_text(v->source, "chat_template.jinja", &text, err) < 0)
        return -1;
    if (text)
        mpq_gguf_put_str(v->h, "tokenizer.chat_template", text, strlen(text));
    return 0;
}

static int
put_all(struct vocab *v, struct mpq_err *err)
{
    const char *type = text_at(v->model, "type");

    v->model = mpq_json_get(v->json, "model");
    type = text_at(v->model, "type");
    if ((*type && strcmp(type, "BPE") != 0) || !mpq_json_get(v->model, "merges"))
        return mpq_fail(err, MPQ_EDATA,
                        "%s: tokenizer.json: a tokenizer of type %.40s cannot become a "
                        "GGUF's, BPE can: -f safetensors",
                        mpq_source_name(v->source), *type ? type : "unknown");
    v->by_score = flag_at(v->model, "byte_fallback");
    v->text = mpq_array(v->n, sizeof *v->text);
    v->len = mpq_array(v->n, sizeof *v->len);
    v->kind = mpq_array(v->n, sizeof *v->kind);
    v->score = mpq_array(v->n, sizeof *v->score);
    if (!v->text || !v->len || !v->kind || !v->score)
        return no_memory(v, err);
    if (read_vocab(v, err) < 0 || read_added(v, err) < 0 || fill_holes(v, err) < 0 ||
        (v->by_score && make_scores(v, err) < 0) || put_tokens(v, err) < 0)
        return -1;
    put_special(v);
    return put_template(v, err);
}

/* The file FILE as JSON into *out, which stays NULL where there is none. */
static int
parse(const struct mpq_source *s, const char *file, struct mpq_json **out,
      struct mpq_err *err)
{
    char name[128];
    const char *text;

    if (mpq_source_text(s, file, &text, err) < 0)
        return -1;
    snprintf(name, sizeof name, "%.90s: %s", mpq_source_name(s), file);
    return text ? mpq_json_parse(out, text, strlen(text), name, err) : 0;
}

int
mpq_convert_put_tokenizer(struct mpq_gguf_head *h, const struct mpq_source *s,
                          size_t n_vocab, struct mpq_err *err)
{
    static const char *const files[] = { "tokenizer.json", "config.json",
                                         "tokenizer_config.json",
                                         "generation_config.json" };
    enum { N = sizeof files / sizeof *files };
    struct mpq_json *json[N] = { NULL };
    struct vocab v = { .source = s, .h = h, .n = n_vocab };
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < N; i++)
        rc = parse(s, files[i], &json[i], err);
    if (rc == 0 && !json[0])
        rc = mpq_fail(err, MPQ_EDATA,
                      "%s: no tokenizer.json: a GGUF needs its tokens: -f safetensors",
                      mpq_source_name(s));
    if (rc == 0) {
        v.json = json[0];
        v.config = json[1];
        v.tokenizer_config = json[2];
        v.generation = json[3];
        rc = put_all(&v, err);
    }
    for (size_t i = 0; i < N; i++)
        mpq_json_free(json[i]);
    free(v.text);
    free(v.len);
    free(v.kind);
    free(v.score);
    mpq_pool_free(&v.pool);
    return rc;
}
