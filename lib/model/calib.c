#include "model/calib.h"

#include "base/buf.h"
#include "base/hash.h"
#include "base/io.h"
#include "base/text.h"
#include "fmt/json.h"
#include "model/text_file.h"
#include "num/rng.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct reader {
    struct mpq_calib *c;
    const struct mpq_tokenizer *tok;
    const char *name;
    size_t ctx, n_seqs;
    size_t line; /* tokens that are kept of a line of JSON */
    char vocabulary[17];
    size_t n_vocab;
};

/* Makes what was added since the last sequence a sequence, if it is anything. */
static int
close_sequence(struct mpq_calib *c, struct mpq_err *err)
{
    if (c->seqs.n + 2 > c->room) {
        const size_t room = c->room ? 2 * c->room : 64;
        size_t **arrays[] = { &c->start, &c->answer };
        for (size_t i = 0; i < 2; i++) {
            size_t *more = room <= SIZE_MAX / sizeof *more
                               ? realloc(*arrays[i], room * sizeof *more)
                               : NULL;
            if (!more)
                return mpq_fail(err, MPQ_ENOMEM, "out of memory for %zu sequences",
                                room);
            *arrays[i] = more;
        }
        if (!c->room)
            c->start[0] = 0;
        c->room = room;
    }
    if (c->tokens.n > c->start[c->seqs.n]) {
        c->answer[c->seqs.n] = 0;
        c->start[++c->seqs.n] = c->tokens.n;
    }
    c->seqs.start = c->start;
    c->seqs.tokens = c->tokens.ids;
    return 0;
}

/* Ends the line that begins where the last one ended. */
static int
end_line(struct reader *r, struct mpq_err *err)
{
    struct mpq_calib *c = r->c;
    const size_t from = c->seqs.n ? c->start[c->seqs.n] : 0;

    if (c->tokens.n - from > r->line)
        c->tokens.n = from + r->line;
    return close_sequence(c, err);
}

/* The first token of a sequence: room for BOS, which replaces a chunk's first token. */
static int
begin_text(struct reader *r, struct mpq_err *err)
{
    const int64_t bos = mpq_text_bos(r->tok);

    return bos < 0 ? 0 : mpq_tokens_add(&r->c->tokens, (uint32_t)bos, err);
}

static int
cut_text(struct reader *r, const char *text, size_t n, struct mpq_err *err)
{
    struct mpq_tokens all = { 0 };
    const int64_t bos = mpq_text_bos(r->tok);
    size_t chunks, at = 0;
    int rc = -1;

    if ((bos >= 0 && mpq_tokens_add(&all, (uint32_t)bos, err) < 0) ||
        mpq_tokenizer_encode(r->tok, text, n, 0, r->name, &all, err) < 0)
        goto out;
    chunks = all.n / r->ctx;
    if (chunks == 0) {
        mpq_fail(err, MPQ_EDATA, "%s: %zu tokens, a chunk has %zu", r->name, all.n,
                 r->ctx);
        goto out;
    }
    if (r->n_seqs && chunks > r->n_seqs)
        chunks = r->n_seqs;
    for (size_t k = 0; k < chunks; k++) {
        for (size_t t = 0; t < r->ctx; t++, at++) {
            const uint32_t id = t == 0 && bos >= 0 ? (uint32_t)bos : all.ids[at];
            if (mpq_tokens_add(&r->c->tokens, id, err) < 0)
                goto out;
        }
        if (close_sequence(r->c, err) < 0)
            goto out;
    }
    rc = 0;
out:
    mpq_tokens_free(&all);
    return rc;
}

/* Tokens as they stand, held against the vocabulary. */
static int
take_tokens(struct reader *r, const struct mpq_json *ids, size_t line,
            struct mpq_err *err)
{
    const size_t n = mpq_json_count(ids);
    uint64_t id;

    for (size_t i = 0; i < n && i < r->line; i++) {
        if (mpq_json_u64(mpq_json_item(ids, i), &id) != 1 || id >= r->n_vocab)
            return mpq_fail(err, MPQ_EDATA,
                            "%s:%zu: tokens: item %zu is no id below %zu", r->name,
                            line, i + 1, r->n_vocab);
        if (mpq_tokens_add(&r->c->tokens, (uint32_t)id, err) < 0)
            return -1;
    }
    return 0;
}

/* What stands in a line in the place of "text": the question and its answer, which
 * begins at *ANSWER, with the blanks before it. */
static int
join_answer(const struct mpq_json *v, struct mpq_buf *text, size_t *answer_at)
{
    const struct mpq_json *answer = mpq_json_get(v, "answer");
    const char *prompt, *rest;
    size_t n, m;
    uint64_t gold;

    prompt = mpq_json_str(mpq_json_get(v, "prompt"), &n);
    if (!answer && mpq_json_u64(mpq_json_get(v, "gold"), &gold) == 1)
        answer = mpq_json_item(mpq_json_get(v, "choices"), (size_t)gold);
    rest = mpq_json_str(answer, &m);
    if (!prompt || !rest)
        return 0;
    mpq_buf_add(text, prompt, n);
    mpq_buf_add(text, rest, m);
    *answer_at = mpq_text_trim(prompt, n);
    return 1;
}

/* Notes in the last sequence that what TEXT[n] makes alone comes before its answer. At
 * least one token does, or nothing would predict the first. */
static int
mark_answer(struct reader *r, const char *text, size_t n, const char *name,
            struct mpq_err *err)
{
    struct mpq_calib *c = r->c;
    struct mpq_tokens alone = { 0 };
    const size_t bos = mpq_text_bos(r->tok) >= 0;

    if (mpq_tokenizer_encode(r->tok, text, n, 0, name, &alone, err) < 0) {
        mpq_tokens_free(&alone);
        return -1;
    }
    const size_t before = alone.n + bos;
    c->answer[c->seqs.n - 1] = before ? before : 1;
    mpq_tokens_free(&alone);
    return 0;
}

static int
read_line(struct reader *r, const char *s, size_t n, size_t line, struct mpq_err *err)
{
    struct mpq_json *v = NULL;
    struct mpq_buf text = { 0 };
    char name[256];
    const size_t n_before = r->c->seqs.n;
    size_t len = 0, answer = 0;
    int rc = -1, has_answer = 0;

    snprintf(name, sizeof name, "%.200s:%zu", r->name, line);
    if (mpq_json_parse(&v, s, n, name, err) < 0)
        return -1;
    const struct mpq_json *ids = mpq_json_get(v, "tokens");
    const char *vocabulary = mpq_json_str(mpq_json_get(v, "vocabulary"), NULL);
    const char *plain = mpq_json_str(mpq_json_get(v, "text"), &len);
    if (mpq_json_is_array(ids) && vocabulary && !strcmp(vocabulary, r->vocabulary)) {
        if (take_tokens(r, ids, line, err) < 0)
            goto out;
    } else {
        if (plain)
            mpq_buf_add(&text, plain, len);
        else if (!(has_answer = join_answer(v, &text, &answer))) {
            mpq_fail(err, MPQ_EDATA,
                     "%s: neither text nor prompt and answer (nor tokens of this "
                     "vocabulary, %s)",
                     name, r->vocabulary);
            goto out;
        }
        if (text.failed) {
            mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", name);
            goto out;
        }
        if (begin_text(r, err) < 0 ||
            mpq_tokenizer_encode(r->tok, text.len ? text.data : "", text.len, 0, name,
                                 &r->c->tokens, err) < 0)
            goto out;
    }
    rc = end_line(r, err);
    if (rc == 0 && has_answer && r->c->seqs.n > n_before)
        rc = mark_answer(r, text.len ? text.data : "", answer, name, err);
out:
    mpq_buf_free(&text);
    mpq_json_free(v);
    return rc;
}

/* Past white space from AT on, up to END at most. */
static size_t
skip_blanks(const char *text, size_t at, size_t end)
{
    while (at < end && mpq_text_is_blank(text[at]))
        at++;
    return at;
}

/* Where JSON lines begin: behind the byte order mark that some editors write. *is_json:
 * does an object come first? */
static size_t
find_start(const char *text, size_t size, int *is_json)
{
    const size_t start = mpq_text_bom(text, size);
    const size_t first = skip_blanks(text, start, size);

    *is_json = first < size && text[first] == '{';
    return start;
}

static int
read_lines(struct reader *r, const char *text, size_t size, struct mpq_err *err)
{
    size_t line = 1;

    for (size_t at = 0; at < size; line++) {
        const char *end = memchr(text + at, '\n', size - at);
        const size_t n = end ? (size_t)(end - (text + at)) : size - at;
        if (r->n_seqs && r->c->seqs.n == r->n_seqs)
            break;
        if (skip_blanks(text, at, at + n) < at + n &&
            read_line(r, text + at, n, line, err) < 0)
            return -1;
        at += n + 1;
    }
    if (r->c->seqs.n == 0)
        return mpq_fail(err, MPQ_EDATA, "%s: no tokens", r->name);
    if (mpq_text_bos(r->tok) >= 0)
        return 0;
    return mpq_tokenizer_encode(r->tok, "\n\n", 2, 0, r->name, &r->c->between, err);
}

static int
read_file(struct reader *r, const char *path, const struct mpq_source *s,
          struct mpq_err *err)
{
    struct mpq_calib *out = r->c;
    struct mpq_tokenizer *tok = NULL;
    struct mpq_map map = { 0 };
    int rc = -1;

    *out = (struct mpq_calib){ 0 };
    const uint64_t most = mpq_source_hparams(s)->n_ctx;
    if (most && r->ctx > most)
        return mpq_fail(err, MPQ_EDATA,
                        "%s: sequences of %zu tokens, the model's context is %" PRIu64,
                        mpq_source_name(s), r->ctx, most);
    r->name = strcmp(path, "-") != 0 ? path : "standard input";
    if (mpq_tokenizer_new(&tok, s, err) < 0)
        return -1;
    r->tok = tok;
    r->n_vocab = mpq_tokenizer_count(tok);
    mpq_tokenizer_checksum(tok, r->vocabulary);
    if (mpq_map_open(&map, path, err) < 0)
        goto out;
    const char *text = (const char *)map.data;
    const size_t size = (size_t)map.size;
    int is_json;
    const size_t start = find_start(text, size, &is_json);
    out->id = mpq_hash64(text, size, 0);
    if (size == 0)
        mpq_fail(err, MPQ_EDATA, "%s: an empty text", r->name);
    else if (is_json)
        rc = read_lines(r, text + start, size - start, err);
    else
        rc = cut_text(r, text, size, err);
    mpq_map_close(&map);
out:
    mpq_tokenizer_free(tok);
    if (rc < 0)
        mpq_calib_free(out);
    return rc;
}

int
mpq_calib_read(struct mpq_calib *out, const char *path, const struct mpq_source *s,
               size_t ctx, size_t n_seqs, struct mpq_err *err)
{
    struct reader r = { .c = out, .ctx = ctx, .n_seqs = n_seqs, .line = ctx };

    return read_file(&r, path, s, err);
}

int
mpq_calib_read_whole(struct mpq_calib *out, const char *path,
                     const struct mpq_source *s, size_t ctx, struct mpq_err *err)
{
    struct reader r = { .c = out, .ctx = ctx, .line = SIZE_MAX };

    return read_file(&r, path, s, err);
}

/* All tokens of C, parted by what stands between lines. */
static int
join(struct mpq_tokens *out, const struct mpq_calib *c, struct mpq_err *err)
{
    for (size_t s = 0; s < c->seqs.n; s++) {
        for (size_t t = 0; s > 0 && t < c->between.n; t++)
            if (mpq_tokens_add(out, c->between.ids[t], err) < 0)
                return -1;
        for (size_t t = c->start[s]; t < c->start[s + 1]; t++)
            if (mpq_tokens_add(out, c->tokens.ids[t], err) < 0)
                return -1;
    }
    return 0;
}

int
mpq_calib_recut(struct mpq_calib *c, size_t ctx, struct mpq_err *err)
{
    struct mpq_calib cut = { .id = c->id };
    size_t at = 0;
    int rc = -1;

    if (join(&cut.tokens, c, err) < 0)
        goto out;
    const size_t n = cut.tokens.n;
    do {
        at += n - at < ctx ? n - at : ctx;
        cut.tokens.n = at;
        if (close_sequence(&cut, err) < 0)
            goto out;
    } while (n - at >= ctx);
    mpq_calib_free(c);
    *c = cut;
    cut = (struct mpq_calib){ 0 };
    rc = 0;
out:
    mpq_calib_free(&cut);
    return rc;
}

int
mpq_calib_draw(struct mpq_calib *out, const struct mpq_calib *c, uint64_t n_tokens,
               uint64_t seed, uint64_t *drawn, struct mpq_err *err)
{
    size_t *order = mpq_array(c->seqs.n, sizeof *order);
    int rc = -1;

    *drawn = 0;
    if (!order) {
        mpq_fail(err, MPQ_ENOMEM, "out of memory for %zu sequences", c->seqs.n);
        goto out;
    }
    for (size_t i = 0; i < c->seqs.n; i++)
        order[i] = i;
    for (size_t i = 0; i < c->seqs.n && *drawn < n_tokens; i++) {
        const size_t k = i + (size_t)(mpq_rng_next(&seed) % (c->seqs.n - i));
        const size_t s = order[k];
        order[k] = order[i];
        for (size_t t = c->start[s]; t < c->start[s + 1] && *drawn < n_tokens; t++) {
            if (mpq_tokens_add(&out->tokens, c->tokens.ids[t], err) < 0)
                goto out;
            ++*drawn;
        }
        if (close_sequence(out, err) < 0)
            goto out;
    }
    rc = 0;
out:
    free(order);
    return rc;
}

void
mpq_calib_free(struct mpq_calib *c)
{
    mpq_tokens_free(&c->tokens);
    mpq_tokens_free(&c->between);
    free(c->start);
    free(c->answer);
    *c = (struct mpq_calib){ 0 };
}
