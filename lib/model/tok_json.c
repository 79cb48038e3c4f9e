/* The model of a tokenizer.json (Hugging Face `tokenizers`): vocabulary, merges, added
 * tokens, what texts begin and end with. Its other stages are read in tok_json_pre.c.
 */
#include "model/tok_own.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct reader {
    struct mpq_tokenizer *t;
    const struct mpq_json *json, *model;
    const char *name;
};

/* Sets the name of token ID, which must be free and not far beyond the number COUNT of
 * all tokens: ids are indices. */
static int
set_token(const struct reader *r, uint64_t id, size_t count, const char *s, size_t n,
          enum mpq_tok_kind kind, struct mpq_err *err)
{
    struct mpq_tokenizer *t = r->t;

    if (id >= (uint64_t)count * 2 + (1 << 16))
        return mpq_fail(err, MPQ_EDATA, "%s: token %.*s: id %" PRIu64 " for %zu tokens",
                        r->name, (int)(n < 99 ? n : 99), s, id, count);
    while (t->n_all <= id)
        if (mpq_tok_add(t, NULL, 0, MPQ_TOK_UNUSED, err) < 0)
            return -1;
    struct mpq_tok_piece *p = &t->pieces[id];
    if (p->raw.s && (p->raw.n != n || memcmp(p->raw.s, s, n) != 0))
        return mpq_fail(err, MPQ_EDATA,
                        "%s: tokens %.*s and %.*s have the same id %" PRIu64, r->name,
                        (int)(p->raw.n < 99 ? p->raw.n : 99), p->raw.s,
                        (int)(n < 99 ? n : 99), s, id);
    p->kind = (uint8_t)kind;
    if (!p->raw.s && !(p->raw = mpq_tok_copy(t, s, n)).s)
        return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", r->name);
    return 0;
}

static int
read_vocab(const struct reader *r, struct mpq_err *err)
{
    const struct mpq_json *vocab = mpq_json_get(r->model, "vocab"), *v, *added;
    const size_t count = mpq_json_count(vocab);
    const char *key, *s;
    uint64_t id;
    size_t n;

    if (!mpq_json_is_object(vocab) || !count)
        return mpq_fail(err, MPQ_EDATA, "%s: model.vocab is no object with tokens",
                        r->name);
    for (const void *i = NULL; (i = mpq_json_next(vocab, i, &key, &v));) {
        if (mpq_json_u64(v, &id) != 1)
            return mpq_fail(err, MPQ_EDATA, "%s: token %.99s: its id is no number",
                            r->name, key);
        if (set_token(r, id, count, key, strlen(key), MPQ_TOK_NORMAL, err) < 0)
            return -1;
    }
    added = mpq_json_get(r->json, "added_tokens");
    for (size_t i = 0; i < mpq_json_count(added); i++) {
        v = mpq_json_item(added, i);
        s = mpq_json_str(mpq_json_get(v, "content"), &n);
        if (!s || !n || mpq_json_u64(mpq_json_get(v, "id"), &id) != 1)
            return mpq_fail(err, MPQ_EDATA,
                            "%s: added token %zu has no content or no id", r->name, i);
        if (strlen(s) != n) /* texts of tokens end at a byte 0 */
            return mpq_fail(err, MPQ_EDATA,
                            "%s: added token %zu has a character U+0000, which is not "
                            "supported",
                            r->name, i);
        if (set_token(r, id, count + mpq_json_count(added), s, n,
                      mpq_json_flag(v, "special", 0) ? MPQ_TOK_CONTROL : MPQ_TOK_USER,
                      err) < 0)
            return -1;
        struct mpq_tok_piece *p = &r->t->pieces[id];
        p->lstrip = (uint8_t)mpq_json_flag(v, "lstrip", 0);
        p->rstrip = (uint8_t)mpq_json_flag(v, "rstrip", 0);
        p->single_word = (uint8_t)mpq_json_flag(v, "single_word", 0);
    }
    return 0;
}

/* A merge is "left right" or, in newer files, ["left", "right"]. */
static int
read_merge(const struct reader *r, const struct mpq_json *v, uint32_t rank,
           struct mpq_err *err)
{
    size_t n_a = 0, n_b = 0;
    const char *a = mpq_json_str(v, &n_a), *b = NULL;

    if (a) {
        b = memchr(a, ' ', n_a);
        if (b) {
            n_b = n_a - (size_t)(b - a) - 1;
            n_a = (size_t)(b - a);
            b++;
        }
    } else if (mpq_json_count(v) == 2) {
        a = mpq_json_str(mpq_json_item(v, 0), &n_a);
        b = mpq_json_str(mpq_json_item(v, 1), &n_b);
    }
    if (!a || !b || !n_a || !n_b)
        return mpq_fail(err, MPQ_EDATA, "%s: merge %" PRIu32 " is no pair of texts",
                        r->name, rank);
    const int rc = mpq_tok_add_merge(r->t, a, n_a, b, n_b, rank, err);
    if (rc == 0)
        mpq_fail(err, MPQ_EDATA, "%s: merge %" PRIu32 " (%.*s %.*s) names no tokens",
                 r->name, rank, (int)(n_a < 99 ? n_a : 99), a,
                 (int)(n_b < 99 ? n_b : 99), b);
    return rc == 1 ? 0 : -1;
}

static int
read_merges(const struct reader *r, struct mpq_err *err)
{
    const struct mpq_json *merges = mpq_json_get(r->model, "merges");
    const size_t n = mpq_json_count(merges);

    if (!mpq_json_is_array(merges) || n >= UINT32_MAX / 4)
        return mpq_fail(err, MPQ_EDATA, "%s: model.merges is no array of pairs",
                        r->name);
    if (mpq_tok_merges_init(r->t, n, err) < 0)
        return -1;
    for (size_t i = 0; i < n; i++)
        if (read_merge(r, mpq_json_item(merges, i), (uint32_t)i, err) < 0)
            return -1;
    return 0;
}

static int
read_model(const struct reader *r, struct mpq_err *err)
{
    struct mpq_tokenizer *t = r->t;
    const char *type = mpq_json_text(r->model, "type"), *unknown;
    double dropout = 0;
    size_t n;

    /* old files do not say what they are */
    if (*type ? strcmp(type, "BPE") != 0 : !mpq_json_get(r->model, "merges"))
        return mpq_fail(err, MPQ_EDATA,
                        "%s: a tokenizer of type %s is not supported; BPE "
                        "is",
                        r->name, *type ? type : "unknown");
    mpq_json_f64(mpq_json_get(r->model, "dropout"), &dropout);
    if (*mpq_json_text(r->model, "continuing_subword_prefix") ||
        *mpq_json_text(r->model, "end_of_word_suffix") || dropout > 0)
        return mpq_fail(err, MPQ_EDATA,
                        "%s: BPE with a subword prefix, a word suffix or "
                        "dropout is not supported",
                        r->name);
    t->byte_fallback = mpq_json_flag(r->model, "byte_fallback", 0);
    t->ignore_merges = mpq_json_flag(r->model, "ignore_merges", 0);
    t->fuse_unknown = mpq_json_flag(r->model, "fuse_unk", 0);
    if (read_vocab(r, err) < 0 || mpq_tok_index(t, r->name, err) < 0 ||
        read_merges(r, err) < 0)
        return -1;
    unknown = mpq_json_str(mpq_json_get(r->model, "unk_token"), &n);
    if (unknown)
        t->unknown = mpq_tok_named(t, unknown, n);
    return 0;
}

static int
add_added(const struct reader *r, struct mpq_err *err)
{
    const struct mpq_json *added = mpq_json_get(r->json, "added_tokens");
    struct mpq_tokenizer *t = r->t;
    struct mpq_regex_work *work = mpq_regex_work_new();
    struct mpq_buf b = { 0 };
    int rc = work ? 0 : mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", r->name);

    for (size_t i = 0; rc == 0 && i < mpq_json_count(added); i++) {
        const struct mpq_json *v = mpq_json_item(added, i);
        uint64_t id = 0;
        size_t n;
        const char *s = mpq_json_str(mpq_json_get(v, "content"), &n);
        mpq_json_u64(mpq_json_get(v, "id"), &id);
        if (!mpq_json_flag(v, "normalized", 0)) {
            rc = mpq_tok_trie_add(&t->added, s, n, (uint32_t)id, err);
            continue;
        }
        rc = mpq_tok_normalize(t, work, s, n, &b, err);
        if (rc == 0)
            rc = mpq_tok_trie_add(&t->added_norm, b.data, b.len, (uint32_t)id, err);
        mpq_buf_free(&b);
    }
    mpq_regex_work_free(work);
    return rc;
}

/* The parts of a template before and behind the text. */
static int
read_template(const struct reader *r, const struct mpq_json *post, struct mpq_err *err)
{
    const struct mpq_json *single = mpq_json_get(post, "single");
    struct mpq_tokens *to = &r->t->before;

    for (size_t i = 0; i < mpq_json_count(single); i++) {
        const struct mpq_json *v = mpq_json_item(single, i);
        if (mpq_json_get(v, "Sequence")) {
            to = &r->t->after;
            continue;
        }
        const char *id = mpq_json_text(mpq_json_get(v, "SpecialToken"), "id");
        const struct mpq_json *ids =
            mpq_json_get(mpq_json_get(mpq_json_get(post, "special_tokens"), id), "ids");
        if (!mpq_json_count(ids))
            return mpq_fail(err, MPQ_EDATA, "%s: post_processor: token %s has no ids",
                            r->name, id);
        for (size_t k = 0; k < mpq_json_count(ids); k++) {
            uint64_t n;
            if (mpq_json_u64(mpq_json_item(ids, k), &n) != 1 || n >= r->t->n)
                return mpq_fail(err, MPQ_EDATA,
                                "%s: post_processor: token %s has an id "
                                "beyond the vocabulary of %zu",
                                r->name, id, r->t->n);
            if (mpq_tokens_add(to, (uint32_t)n, err) < 0)
                return -1;
        }
    }
    return 0;
}

static int
read_post(const struct reader *r, const struct mpq_json *post, struct mpq_err *err)
{
    const char *type = mpq_json_text(post, "type");

    if (!strcmp(type, "TemplateProcessing"))
        return read_template(r, post, err);
    if (!strcmp(type, "Sequence")) {
        const struct mpq_json *all = mpq_json_get(post, "processors");
        for (size_t i = 0; i < mpq_json_count(all); i++)
            if (!strcmp(mpq_json_text(mpq_json_item(all, i), "type"),
                        "TemplateProcessing"))
                return read_template(r, mpq_json_item(all, i), err);
        return 0;
    }
    if (!*type || !strcmp(type, "ByteLevel"))
        return 0;
    return mpq_fail(err, MPQ_EDATA, "%s: post_processor %s is not supported", r->name,
                    type);
}

/* The id under KEY of config.json, a number or a list of which the first counts (the
 * others of eos end generation as well); -1 where there is none. */
static int64_t
config_id(const struct reader *r, const struct mpq_json *config, const char *key,
          int is_eos)
{
    const struct mpq_json *v = mpq_json_get(config, key);
    int64_t first = -1;
    uint64_t id;

    if (!v)
        v = mpq_json_get(mpq_json_get(config, "text_config"), key);
    if (mpq_json_u64(v, &id) == 1 && id < r->t->n)
        first = (int64_t)id;
    for (size_t i = 0; i < mpq_json_count(v); i++)
        if (mpq_json_u64(mpq_json_item(v, i), &id) == 1 && id < r->t->n) {
            if (first < 0)
                first = (int64_t)id;
            if (is_eos)
                r->t->eog[id] = 1;
        }
    return first;
}

int
mpq_tok_read_json(struct mpq_tokenizer *t, const struct mpq_json *json,
                  const struct mpq_json *config, const char *name, struct mpq_err *err)
{
    const struct reader r = { t, json, mpq_json_get(json, "model"), name };

    t->hf = 1;
    if (!mpq_json_is_object(r.model))
        return mpq_fail(err, MPQ_EDATA, "%s: no model", name);
    if (mpq_tok_read_stages(t, json, name, err) < 0 || read_model(&r, err) < 0 ||
        add_added(&r, err) < 0)
        return -1;
    if (!(t->eog = mpq_array(t->n, 1)))
        return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", name);
    if (read_post(&r, mpq_json_get(json, "post_processor"), err) < 0)
        return -1;
    t->bos = config_id(&r, config, "bos_token_id", 0);
    t->eos = config_id(&r, config, "eos_token_id", 1);
    if (t->bos < 0 && t->before.n)
        t->bos = t->before.ids[0];
    t->add_bos = t->before.n && t->before.ids[0] == t->bos;
    t->add_eos = t->after.n && t->after.ids[t->after.n - 1] == t->eos;
    return mpq_tok_finish(t, name, err);
}
