/* A tokenizer.json as GGUF keys. */
#include "base/buf.h"
#include "model/convert_vocab.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of added tokens, as llama.cpp's converters give it; they are never merged. */
static const float added_score = -1000;

static int
no_memory(const struct mpq_convert_vocab *v, struct mpq_err *err)
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
set_token(struct mpq_convert_vocab *v, const struct mpq_json *id_value, const char *s,
          size_t n, enum mpq_tok_kind kind, struct mpq_err *err)
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
read_vocab(struct mpq_convert_vocab *v, struct mpq_err *err)
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
plain_blanks(struct mpq_convert_vocab *v, uint64_t id, struct mpq_err *err)
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
read_added(struct mpq_convert_vocab *v, struct mpq_err *err)
{
    const struct mpq_json *added = mpq_json_get(v->json, "added_tokens");

    for (size_t i = 0; i < mpq_json_count(added); i++) {
        const struct mpq_json *t = mpq_json_item(added, i), *id = mpq_json_get(t, "id");
        size_t n;
        const char *s = mpq_json_str(mpq_json_get(t, "content"), &n);
        if (!s || !n)
            return mpq_fail(err, MPQ_EDATA,
                            "%s: tokenizer.json: added token %zu has no content",
                            mpq_source_name(v->source), i);
        if (strlen(s) != n)
            return mpq_fail(
                err, MPQ_EDATA,
                "%s: tokenizer.json: added token %zu has a character U+0000, which is "
                "not supported",
                mpq_source_name(v->source), i);
        const int special = mpq_json_flag(t, "special", 0) || looks_special(s, n);
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
fill_holes(struct mpq_convert_vocab *v, struct mpq_err *err)
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
bad_merge(const struct mpq_convert_vocab *v, size_t i, struct mpq_err *err)
{
    return mpq_fail(err, MPQ_EDATA, "%s: tokenizer.json: merge %zu is no pair of texts",
                    mpq_source_name(v->source), i);
}

/* "left right" for each merge; a blank within a side as U+0120, as llama.cpp's reader
 * expects it. */
static int
put_merges(struct mpq_convert_vocab *v, struct mpq_err *err)
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
    mpq_gguf_put_strings(v->h, MPQ_CONVERT_KEY("merges"), text, len, n);
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
make_scores(struct mpq_convert_vocab *v, struct mpq_err *err)
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
    const char *type = mpq_json_text(v, "type"),
               *scheme = mpq_json_text(v, "prepend_scheme");
    const struct mpq_json *all = mpq_json_get(v, "normalizers");

    if (!all)
        all = mpq_json_get(v, "pretokenizers");
    for (size_t i = 0; i < mpq_json_count(all); i++)
        if (adds_prefix(mpq_json_item(all, i)))
            return 1;
    if (strcmp(type, "Metaspace") == 0)
        return *scheme ? strcmp(scheme, "never") != 0
                       : !mpq_json_get(v, "add_prefix_space") ||
                             mpq_json_flag(v, "add_prefix_space", 0);
    return strcmp(type, "Prepend") == 0;
}

static int
put_tokens(struct mpq_convert_vocab *v, struct mpq_err *err)
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
    mpq_gguf_put_str(v->h, MPQ_CONVERT_KEY("model"), v->by_score ? "llama" : "gpt2",
                     v->by_score ? 5 : 4);
    mpq_gguf_put_str(v->h, MPQ_CONVERT_KEY("pre"), pre, strlen(pre));
    mpq_gguf_put_strings(v->h, MPQ_CONVERT_KEY("tokens"), v->text, v->len, v->n);
    if (v->by_score)
        mpq_gguf_put_array(v->h, MPQ_CONVERT_KEY("scores"), MPQ_GGUF_F32, v->score,
                           sizeof(float), v->n);
    mpq_gguf_put_array(v->h, MPQ_CONVERT_KEY("token_type"), MPQ_GGUF_I32, v->kind,
                       sizeof(uint32_t), v->n);
    if (!v->by_score && put_merges(v, err) < 0)
        return -1;
    if (v->by_score)
        mpq_gguf_put_bool(v->h, MPQ_CONVERT_KEY("add_space_prefix"),
                          adds_prefix(mpq_json_get(v->json, "normalizer")) ||
                              adds_prefix(mpq_json_get(v->json, "pre_tokenizer")));
    return 0;
}

static int
put_all(struct mpq_convert_vocab *v, struct mpq_err *err)
{
    const char *type = mpq_json_text(v->model, "type");

    v->model = mpq_json_get(v->json, "model");
    type = mpq_json_text(v->model, "type");
    const int has_merges = mpq_json_is_array(mpq_json_get(v->model, "merges"));
    if (!strcmp(type, "BPE") && !has_merges)
        return mpq_fail(err, MPQ_EDATA,
                        "%s: tokenizer.json: model.merges is no array of pairs",
                        mpq_source_name(v->source));
    if ((*type && strcmp(type, "BPE") != 0) || !has_merges)
        return mpq_fail(err, MPQ_EDATA,
                        "%s: tokenizer.json: a tokenizer of type %.40s cannot become a "
                        "GGUF's, BPE can: -f safetensors",
                        mpq_source_name(v->source), *type ? type : "unknown");
    v->by_score = mpq_json_flag(v->model, "byte_fallback", 0);
    v->text = mpq_array(v->n, sizeof *v->text);
    v->len = mpq_array(v->n, sizeof *v->len);
    v->kind = mpq_array(v->n, sizeof *v->kind);
    v->score = mpq_array(v->n, sizeof *v->score);
    if (!v->text || !v->len || !v->kind || !v->score)
        return no_memory(v, err);
    if (read_vocab(v, err) < 0 || read_added(v, err) < 0 || fill_holes(v, err) < 0 ||
        (v->by_score && make_scores(v, err) < 0) || put_tokens(v, err) < 0)
        return -1;
    return mpq_convert_put_special(v, err);
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
    struct mpq_convert_vocab v = { .source = s, .h = h, .n = n_vocab };
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
