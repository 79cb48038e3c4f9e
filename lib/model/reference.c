#include "model/reference.h"

#include "base/buf.h"
#include "base/parse.h"
#include "fmt/safe.h"
#include "fmt/st.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char container[] = "reference 1";
static const char *const parts[] = { "target", "tail", "ids", "logp" };
enum { TARGET, TAIL, IDS, LOGP, N_PARTS };

int
mpq_saved_new(struct mpq_saved *s, size_t n, size_t k, struct mpq_err *err)
{
    *s = (struct mpq_saved){ .n = n, .k = k };
    s->target = mpq_array(n, sizeof *s->target);
    s->tail = mpq_array(n, sizeof *s->tail);
    if (k == 0 || n <= SIZE_MAX / k) {
        s->ids = mpq_array(n * k, sizeof *s->ids);
        s->logp = mpq_array(n * k, sizeof *s->logp);
    }
    if (s->target && s->tail && s->ids && s->logp)
        return 0;
    mpq_saved_free(s);
    return mpq_fail(err, MPQ_ENOMEM, "a reference of %zu tokens: out of memory", n);
}

void
mpq_saved_free(struct mpq_saved *s)
{
    free(s->target);
    free(s->tail);
    free(s->ids);
    free(s->logp);
    *s = (struct mpq_saved){ 0 };
}

static int
put_number(struct mpq_st_head *h, const char *key, uint64_t v, struct mpq_err *err)
{
    char text[24];

    snprintf(text, sizeof text, "%" PRIu64, v);
    return mpq_st_put_meta(h, key, text, err);
}

static int
put_text(struct mpq_st_head *h, size_t i, const struct mpq_reference_text *t,
         struct mpq_err *err)
{
    char key[64];

    snprintf(key, sizeof key, "mpq.text.%zu", i);
    if (mpq_st_put_meta(h, key, t->name, err) < 0)
        return -1;
    snprintf(key, sizeof key, "mpq.text.%zu.chunks", i);
    if (put_number(h, key, t->n_chunks, err) < 0)
        return -1;
    snprintf(key, sizeof key, "mpq.text.%zu.id", i);
    if (mpq_st_put_meta(h, key, t->id, err) < 0)
        return -1;
    for (int p = 0; p < N_PARTS; p++) {
        const uint64_t vector[] = { t->saved.n }, table[] = { t->saved.k, t->saved.n };
        snprintf(key, sizeof key, "%zu.%s", i, parts[p]);
        if (mpq_st_put_tensor(h, key, MPQ_TYPE(p == IDS ? MPQ_I32 : MPQ_F32),
                              p < IDS ? 1 : 2, p < IDS ? vector : table, err) < 0)
            return -1;
    }
    return 0;
}

int
mpq_reference_begin(struct mpq_out *out, const struct mpq_reference *r,
                    struct mpq_err *err)
{
    struct mpq_st_head *h = NULL;
    struct mpq_buf head = { 0 };
    int rc = -1;

    if (mpq_st_head_new(&h, err) < 0 ||
        mpq_st_put_meta(h, "mpq.container", container, err) < 0 ||
        mpq_st_put_meta(h, "mpq.model", r->model, err) < 0 ||
        mpq_st_put_meta(h, "mpq.model_id", r->model_id, err) < 0 ||
        mpq_st_put_meta(h, "mpq.vocab", r->vocab, err) < 0 ||
        put_number(h, "mpq.ctx", r->ctx, err) < 0 ||
        put_number(h, "mpq.stride", r->stride, err) < 0 ||
        put_number(h, "mpq.top_k", r->k, err) < 0)
        goto out;
    for (size_t i = 0; i < r->n_texts; i++)
        if (put_text(h, i, &r->texts[i], err) < 0)
            goto out;
    if (mpq_st_head_finish(h, 0, &head, err) < 0)
        goto out;
    rc = mpq_out_write(out, head.data, head.len, err);
out:
    mpq_buf_free(&head);
    mpq_st_head_free(h);
    return rc;
}

int
mpq_reference_put(struct mpq_out *out, const struct mpq_saved *s, struct mpq_err *err)
{
    const size_t row = s->k * sizeof(float);

    if (mpq_out_write(out, s->target, s->n * sizeof(float), err) < 0 ||
        mpq_out_write(out, s->tail, s->n * sizeof(float), err) < 0 ||
        mpq_out_write(out, s->ids, s->n * row, err) < 0)
        return -1;
    return mpq_out_write(out, s->logp, s->n * row, err);
}

/* A file that is being read. */
struct reader {
    struct mpq_reference *r;
    const struct mpq_st *st;
    const char *path;
    const char *vocab; /* NULL: any */
    size_t n_vocab;
    struct mpq_err *err;
};

static int
take_text(const struct reader *s, const char *key, const char **out)
{
    const char *v = mpq_st_meta(s->st, key);

    if (!v)
        return mpq_fail(s->err, MPQ_EDATA, "%s: key %s is missing", s->path, key);
    const char *fault = mpq_safe_key(v, strlen(v));
    if (fault) /* it goes into tables */
        return mpq_fail(s->err, MPQ_EDATA, "%s: key %s: %s", s->path, key, fault);
    *out = mpq_pool_strdup(&s->r->strings, v);
    return *out ? 0 : mpq_fail(s->err, MPQ_ENOMEM, "%s: out of memory", s->path);
}

static int
take_number(const struct reader *s, const char *key, uint64_t *out)
{
    const char *v;

    if (take_text(s, key, &v) < 0)
        return -1;
    if (mpq_parse_u64(v, out) < 0)
        return mpq_fail(s->err, MPQ_EDATA, "%s: key %s: '%.40s' is no number", s->path,
                        key, v);
    return 0;
}

/* The data of tensor I.PART, which has N times K numbers (K of 0: N). */
static int
take_part(const struct reader *s, size_t i, int part, size_t *n, uint64_t k, void *data)
{
    char name[64];

    snprintf(name, sizeof name, "%zu.%s", i, parts[part]);
    const struct mpq_tensor *t = mpq_st_find(s->st, name);
    const unsigned n_dims = part < IDS ? 1 : 2;
    if (!t)
        return mpq_fail(s->err, MPQ_EDATA, "%s: tensor %s is missing", s->path, name);
    if (t->type.id != (part == IDS ? MPQ_I32 : MPQ_F32) || t->n_dims != n_dims ||
        (n_dims == 2 && t->dim[0] != k) ||
        (part != TARGET && t->dim[n_dims - 1] != *n) ||
        (uintptr_t)t->data % sizeof(float))
        return mpq_fail(s->err, MPQ_EDATA, "%s: tensor %s has another shape", s->path,
                        name);
    *n = (size_t)t->dim[n_dims - 1];
    memcpy(data, &t->data, sizeof t->data);
    return 0;
}

static int
check_numbers(const struct reader *s, size_t text, const struct mpq_saved *v)
{
    size_t i = 0, bad_row = v->n;

    for (; i < v->n && bad_row == v->n; i++) {
        if (!(v->target[i] <= 1e-3f) || !isfinite(v->target[i]) ||
            !(v->tail[i] >= 0 && v->tail[i] <= 1))
            bad_row = i;
        for (size_t j = i * v->k; j < (i + 1) * v->k; j++)
            if (v->ids[j] < 0 || (size_t)v->ids[j] >= s->n_vocab ||
                !(v->logp[j] <= 1e-3f) || !isfinite(v->logp[j]))
                bad_row = i;
    }
    if (bad_row < v->n)
        return mpq_fail(s->err, MPQ_EDATA,
                        "%s: text %zu: token %zu has no probabilities", s->path, text,
                        bad_row);
    return 0;
}

static int
take_saved(const struct reader *s, size_t i, struct mpq_reference_text *t)
{
    struct mpq_saved *v = &t->saved;
    char key[64];
    const char *id;

    snprintf(key, sizeof key, "mpq.text.%zu", i);
    if (take_text(s, key, &t->name) < 0)
        return -1;
    snprintf(key, sizeof key, "mpq.text.%zu.chunks", i);
    if (take_number(s, key, &t->n_chunks) < 0)
        return -1;
    snprintf(key, sizeof key, "mpq.text.%zu.id", i);
    if (take_text(s, key, &id) < 0)
        return -1;
    snprintf(t->id, sizeof t->id, "%.16s", id);
    v->k = (size_t)s->r->k;
    if (take_part(s, i, TARGET, &v->n, 0, &v->target) < 0 ||
        take_part(s, i, TAIL, &v->n, 0, &v->tail) < 0 ||
        take_part(s, i, IDS, &v->n, s->r->k, &v->ids) < 0 ||
        take_part(s, i, LOGP, &v->n, s->r->k, &v->logp) < 0)
        return -1;
    return check_numbers(s, i, v);
}

static int
take_all(const struct reader *s)
{
    struct mpq_reference *r = s->r;
    const char *kind = mpq_st_meta(s->st, "mpq.container");

    if (!kind || strcmp(kind, container) != 0)
        return mpq_fail(s->err, MPQ_EDATA, "%s: no saved reference, but '%.60s'",
                        s->path, kind ? kind : "plain safetensors");
    if (take_text(s, "mpq.model", &r->model) < 0 ||
        take_text(s, "mpq.model_id", &r->model_id) < 0 ||
        take_text(s, "mpq.vocab", &r->vocab) < 0)
        return -1;
    if (s->vocab && strcmp(r->vocab, s->vocab) != 0)
        return mpq_fail(s->err, MPQ_EDATA, "%s: vocabulary %s, the model's is %s",
                        s->path, r->vocab, s->vocab);
    if (take_number(s, "mpq.ctx", &r->ctx) < 0 ||
        take_number(s, "mpq.stride", &r->stride) < 0 ||
        take_number(s, "mpq.top_k", &r->k) < 0)
        return -1;
    if (r->k > s->n_vocab)
        return mpq_fail(s->err, MPQ_EDATA,
                        "%s: %" PRIu64 " likeliest tokens of a vocabulary of %zu",
                        s->path, r->k, s->n_vocab);
    r->n_texts = mpq_st_count(s->st) / N_PARTS;
    r->texts = mpq_array(r->n_texts, sizeof *r->texts);
    if (!r->texts)
        return mpq_fail(s->err, MPQ_ENOMEM, "%s: out of memory", s->path);
    for (size_t i = 0; i < r->n_texts; i++)
        if (take_saved(s, i, &r->texts[i]) < 0)
            return -1;
    return 0;
}

int
mpq_reference_open(struct mpq_reference *out, const char *path, const char *vocab,
                   size_t n_vocab, struct mpq_err *err)
{
    struct mpq_st *st = NULL;
    int rc = -1;

    *out = (struct mpq_reference){ 0 };
    if (mpq_map_open(&out->map, path, err) < 0)
        return -1;
    if (mpq_st_open(&st, &out->map, path, err) == 0)
        rc = take_all(&(struct reader){ out, st, path, vocab, n_vocab, err });
    mpq_st_free(st);
    if (rc < 0)
        mpq_reference_free(out);
    return rc;
}

void
mpq_reference_free(struct mpq_reference *r)
{
    mpq_map_close(&r->map);
    mpq_pool_free(&r->strings);
    free(r->texts);
    *r = (struct mpq_reference){ 0 };
}
