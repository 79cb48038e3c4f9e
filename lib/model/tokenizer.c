#include "model/tokenizer.h"

#include "fmt/safe.h"
#include "model/tok_own.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Words are looked up only where the text is long enough to meet some again. */
enum { SEEN_TEXT_MIN = 1024, SEEN_MAX = 1 << 16 };

int
mpq_tokens_add(struct mpq_tokens *t, uint32_t id, struct mpq_err *err)
{
    if (t->n == t->room && mpq_grow(&t->ids, &t->room, t->n + 1, sizeof *t->ids) < 0)
        return mpq_fail(err, MPQ_ENOMEM, "out of memory for %zu tokens", t->n);
    t->ids[t->n++] = id;
    return 0;
}

void
mpq_tokens_free(struct mpq_tokens *t)
{
    free(t->ids);
    *t = (struct mpq_tokens){ 0 };
}

/* From tokenizer.json, and config.json for what it leaves out. */
static int
read_json(struct mpq_tokenizer *t, const struct mpq_source *s, const char *text,
          struct mpq_err *err)
{
    const char *name = mpq_source_name(s), *config_text;
    struct mpq_json *json = NULL, *config = NULL;
    struct mpq_buf at = { 0 };
    int rc = -1;

    mpq_buf_printf(&at, "%s: tokenizer.json", name);
    if (at.failed) {
        mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", name);
        goto out;
    }
    if (mpq_source_text(s, "config.json", &config_text, err) < 0 ||
        (config_text &&
         mpq_json_parse(&config, config_text, strlen(config_text), name, err) < 0) ||
        mpq_json_parse(&json, text, strlen(text), at.data, err) < 0)
        goto out;
    rc = mpq_tok_read_json(t, json, config, at.data, err);
out:
    mpq_json_free(json);
    mpq_json_free(config);
    mpq_buf_free(&at);
    return rc;
}

int
mpq_tokenizer_new(struct mpq_tokenizer **out, const struct mpq_source *s,
                  struct mpq_err *err)
{
    const char *name = mpq_source_name(s), *text = NULL;
    const struct mpq_gguf *keys = mpq_source_keys(s);
    struct mpq_tokenizer *t = calloc(1, sizeof *t);
    int rc = -1;

    *out = NULL;
    if (!t)
        return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", name);
    t->bos = t->eos = -1;
    t->unknown = MPQ_TOK_NONE;
    if (keys && mpq_gguf_kv_find(keys, "tokenizer.ggml.model")) {
        rc = mpq_tok_read_gguf(t, keys, name, err);
    } else if (mpq_source_text(s, "tokenizer.json", &text, err) == 0) {
        rc = text ? read_json(t, s, text, err)
                  : mpq_fail(err, MPQ_EDATA,
                             "%s: no tokenizer: neither tokenizer.ggml.model nor a "
                             "tokenizer.json",
                             name);
    }
    if (rc < 0)
        mpq_tokenizer_free(t);
    else
        *out = t;
    return rc;
}

void
mpq_tokenizer_free(struct mpq_tokenizer *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->n_steps; i++)
        mpq_regex_free(t->steps[i].regex);
    for (size_t i = 0; i < t->n_norms; i++)
        mpq_regex_free(t->norms[i].regex);
    free(t->steps);
    free(t->norms);
    free(t->pieces);
    free(t->raw.slots);
    free(t->keys.slots);
    free(t->merges.slots);
    free(t->added.nodes);
    free(t->added_norm.nodes);
    free(t->eog);
    mpq_tokens_free(&t->before);
    mpq_tokens_free(&t->after);
    mpq_pool_free(&t->pool);
    free(t);
}

size_t
mpq_tokenizer_count(const struct mpq_tokenizer *t)
{
    return t->n;
}

static int
check_utf8(const char *text, size_t n, const char *name, struct mpq_err *err)
{
    const unsigned char *u = (const unsigned char *)text;

    for (size_t i = 0, len; i < n; i += len) {
        len = u[i] < 0x80 ? 1 : mpq_utf8_length(u + i, n - i);
        if (!len)
            return mpq_fail(err, MPQ_EDATA, "%s: byte %zu (0x%02x) is not UTF-8", name,
                            i, u[i]);
    }
    return 0;
}

static int
on_norm_part(void *arg, uint32_t id, const char *s, size_t n, struct mpq_err *err)
{
    struct mpq_tok_run *run = arg;

    if (id == MPQ_TOK_NONE)
        return mpq_tok_text(run, s, n, err);
    run->first = 0;
    return mpq_tokens_add(run->out, id, err);
}

/* A part of the text as it was given: changes it, and looks for the added tokens that
 * are found in changed text only. */
static int
on_part(void *arg, uint32_t id, const char *s, size_t n, struct mpq_err *err)
{
    struct mpq_tok_run *run = arg;
    const struct mpq_tokenizer *t = run->t;
    struct mpq_buf changed = { 0 };

    if (id != MPQ_TOK_NONE) {
        run->first = 0;
        return mpq_tokens_add(run->out, id, err);
    }
    if (t->n_norms) {
        if (mpq_tok_normalize(t, run->work, s, n, &changed, err) < 0) {
            mpq_buf_free(&changed);
            return -1;
        }
        s = changed.data;
        n = changed.len;
    }
    int rc = mpq_tok_split_added(t, &t->added_norm, s, n, run->flags, on_norm_part, run,
                                 err);
    mpq_buf_free(&changed);
    return rc;
}

static int
add_all(struct mpq_tokens *out, const struct mpq_tokens *more, struct mpq_err *err)
{
    for (size_t i = 0; i < more->n; i++)
        if (mpq_tokens_add(out, more->ids[i], err) < 0)
            return -1;
    return 0;
}

int
mpq_tokenizer_encode(const struct mpq_tokenizer *t, const char *text, size_t n,
                     unsigned flags, const char *name, struct mpq_tokens *out,
                     struct mpq_err *err)
{
    struct mpq_tok_run run = { .t = t, .flags = flags, .out = out, .first = 1 };
    struct mpq_err fault = { 0 };
    int rc = -1;

    if (check_utf8(text, n, name, err) < 0)
        return -1;
    if (!(run.work = mpq_regex_work_new()))
        return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", name);
    if (n >= SEEN_TEXT_MIN) {
        size_t slots = 64;
        while (slots < n / 8 && slots < SEEN_MAX)
            slots *= 2;
        run.seen =
            mpq_array(slots, sizeof *run.seen); /* or none: it is only for speed */
        run.seen_mask = slots - 1;
    }
    if ((flags & MPQ_TOKENS_ADD_SPECIAL) && add_all(out, &t->before, err) < 0)
        goto out;
    if (n &&
        mpq_tok_split_added(t, &t->added, text, n, flags, on_part, &run, &fault) < 0) {
        mpq_fail(err, (enum mpq_code)fault.code, "%s: %s", name, fault.text);
        goto out;
    }
    if ((flags & MPQ_TOKENS_ADD_SPECIAL) && add_all(out, &t->after, err) < 0)
        goto out;
    rc = 0;
out:
    mpq_regex_work_free(run.work);
    free(run.symbols);
    free(run.heap);
    free(run.seen);
    mpq_buf_free(&run.words);
    return rc;
}

static int
is_control(const struct mpq_tok_piece *p)
{
    return p->kind == MPQ_TOK_CONTROL || p->kind == MPQ_TOK_UNKNOWN;
}

void
mpq_tokenizer_decode(const struct mpq_tokenizer *t, const uint32_t *ids, size_t n,
                     struct mpq_buf *text)
{
    int first = t->strip_first;

    for (size_t i = 0; i < n; i++) {
        if (ids[i] >= t->n || is_control(&t->pieces[ids[i]]))
            continue;
        struct mpq_tok_text x = t->pieces[ids[i]].text;
        if (first && x.n && x.s[0] == ' ') {
            x.s++;
            x.n--;
        }
        first = 0;
        if (x.n)
            mpq_buf_add(text, x.s, x.n);
    }
}

const char *
mpq_tokenizer_piece(const struct mpq_tokenizer *t, uint32_t id, size_t *n)
{
    const struct mpq_tok_text none = { "", 0 };
    const struct mpq_tok_text x =
        id < t->n && t->pieces[id].text.s ? t->pieces[id].text : none;

    *n = x.n;
    return x.s;
}

int64_t
mpq_tokenizer_bos(const struct mpq_tokenizer *t)
{
    return t->bos;
}

int
mpq_tokenizer_is_eog(const struct mpq_tokenizer *t, uint32_t id)
{
    return id < t->n && t->eog[id];
}

int
mpq_tokenizer_adds_bos(const struct mpq_tokenizer *t)
{
    return t->add_bos;
}

void
mpq_tokenizer_checksum(const struct mpq_tokenizer *t, char hex[17])
{
    snprintf(hex, 17, "%016" PRIx64, t->checksum);
}
