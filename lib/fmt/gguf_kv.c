#include "fmt/gguf.h"

#include "base/le.h"
#include "fmt/gguf_own.h"
#include "fmt/safe.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_KEY = 65535 }; /* bytes; ggml's specification */

/* Bytes of a value of TYPE; 0 for strings, arrays and what there is not. */
static unsigned
type_size(uint32_t type)
{
    switch (type) {
    case MPQ_GGUF_U8:
    case MPQ_GGUF_I8:
    case MPQ_GGUF_BOOL:
        return 1;
    case MPQ_GGUF_U16:
    case MPQ_GGUF_I16:
        return 2;
    case MPQ_GGUF_U32:
    case MPQ_GGUF_I32:
    case MPQ_GGUF_F32:
        return 4;
    case MPQ_GGUF_U64:
    case MPQ_GGUF_I64:
    case MPQ_GGUF_F64:
        return 8;
    default:
        return 0;
    }
}

static int
skip_strings(struct mpq_gguf_at *at, uint64_t n)
{
    if (n > (at->size - at->pos) / 8)
        return mpq_fail(at->err, MPQ_EDATA,
                        "%s: %s: %" PRIu64 " strings cannot be in %" PRIu64 " bytes",
                        at->file, at->place, n, at->size - at->pos);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t len;
        if (mpq_gguf_take_u64(at, &len) < 0 || !mpq_gguf_take(at, len))
            return -1;
    }
    return 0;
}

/* N values of TYPE side by side. */
static int
skip_plain(struct mpq_gguf_at *at, uint32_t type, uint64_t n)
{
    unsigned size = type_size(type);
    const unsigned char *p;

    if (!size)
        return mpq_fail(at->err, MPQ_EDATA, "%s: %s: unknown value type %" PRIu32,
                        at->file, at->place, type);
    if (n > (at->size - at->pos) / size)
        return mpq_fail(at->err, MPQ_EDATA,
                        "%s: %s: cut short: %" PRIu64
                        " values of %u bytes at offset %" PRIu64
                        " of a file of %" PRIu64,
                        at->file, at->place, n, size, at->pos, at->size);
    p = mpq_gguf_take(at, n * size);
    if (!p)
        return -1;
    for (uint64_t i = 0; type == MPQ_GGUF_BOOL && i < n; i++)
        if (p[i] > 1)
            return mpq_fail(at->err, MPQ_EDATA, "%s: %s: bool of value %u", at->file,
                            at->place, p[i]);
    return 0;
}

static int
read_value(struct mpq_gguf_at *at, struct mpq_gguf_kv *kv)
{
    kv->raw = at->data + at->pos;
    if (mpq_gguf_take_u32(at, &kv->type) < 0)
        return -1;
    kv->count = 1;
    kv->item_type = kv->type;
    if (kv->type == MPQ_GGUF_ARR && (mpq_gguf_take_u32(at, &kv->item_type) < 0 ||
                                     mpq_gguf_take_u64(at, &kv->count)))
        return -1;
    if (kv->type == MPQ_GGUF_STR) {
        if (mpq_gguf_take_u64(at, &kv->count) < 0)
            return -1;
        kv->data = mpq_gguf_take(at, kv->count);
        if (!kv->data)
            return -1;
    } else {
        kv->data = at->data + at->pos;
        if (kv->type == MPQ_GGUF_ARR && kv->item_type == MPQ_GGUF_ARR)
            return mpq_fail(at->err, MPQ_EDATA, "%s: %s: array of arrays", at->file,
                            at->place);
        if ((kv->item_type == MPQ_GGUF_STR
                 ? skip_strings(at, kv->count)
                 : skip_plain(at, kv->item_type, kv->count)) < 0)
            return -1;
    }
    kv->raw_size = (uint64_t)(at->data + at->pos - kv->raw);
    return 0;
}

static int
read_key(struct mpq_gguf *g, struct mpq_gguf_at *at, struct mpq_gguf_kv *kv)
{
    const unsigned char *p;
    uint64_t len;

    if (mpq_gguf_take_u64(at, &len) < 0)
        return -1;
    if (len > MAX_KEY)
        return mpq_fail(at->err, MPQ_EDATA,
                        "%s: %s: key of %" PRIu64 " bytes, at most %d are read",
                        at->file, at->place, len, MAX_KEY);
    p = mpq_gguf_take(at, len);
    if (!p)
        return -1;
    const char *fault = mpq_safe_key((const char *)p, (size_t)len);
    if (fault)
        return mpq_fail(at->err, MPQ_EDATA, "%s: %s: key \"%.*s\" %s", at->file,
                        at->place, (int)(len > 80 ? 80 : len), (const char *)p, fault);
    kv->key = mpq_pool_strndup(&g->strings, (const char *)p, (size_t)len);
    if (!kv->key)
        return mpq_fail(at->err, MPQ_ENOMEM, "%s: out of memory", at->file);
    snprintf(at->place, sizeof at->place, "key %.200s", kv->key);
    return 0;
}

static int
sort_keys(struct mpq_gguf *g, struct mpq_err *err)
{
    mpq_index_free(&g->keys);
    for (size_t i = 0; i < g->n_kv; i++)
        if (mpq_index_add(&g->keys, g->kv[i].key, i) < 0)
            return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", g->name);
    const char *twice = mpq_index_sort(&g->keys);
    if (twice)
        return mpq_fail(err, MPQ_EDATA, "%s: key %.200s: is there twice", g->name,
                        twice);
    return 0;
}

int
mpq_gguf_read_kvs(struct mpq_gguf *g, struct mpq_gguf_at *at, uint64_t n)
{
    g->kv = mpq_array((size_t)n, sizeof *g->kv);
    if (!g->kv)
        return mpq_fail(at->err, MPQ_ENOMEM, "%s: out of memory", at->file);
    for (uint64_t i = 0; i < n; i++) {
        snprintf(at->place, sizeof at->place, "key %" PRIu64 " of %" PRIu64, i + 1, n);
        if (read_key(g, at, &g->kv[i]) < 0 || read_value(at, &g->kv[i]) < 0)
            return -1;
        g->n_kv++;
    }
    return sort_keys(g, at->err);
}

int
mpq_gguf_drop_keys(struct mpq_gguf *g, const char *prefix, struct mpq_err *err)
{
    size_t n = 0;

    for (size_t i = 0; i < g->n_kv; i++)
        if (strncmp(g->kv[i].key, prefix, strlen(prefix)))
            g->kv[n++] = g->kv[i];
    g->n_kv = n;
    return sort_keys(g, err);
}

size_t
mpq_gguf_kv_count(const struct mpq_gguf *g)
{
    return g->n_kv;
}

const struct mpq_gguf_kv *
mpq_gguf_kv_at(const struct mpq_gguf *g, size_t i)
{
    return &g->kv[i];
}

const struct mpq_gguf_kv *
mpq_gguf_kv_find(const struct mpq_gguf *g, const char *key)
{
    size_t i;

    return mpq_index_find(&g->keys, key, &i) ? &g->kv[i] : NULL;
}

/* A signed number of SIZE bytes is negative: its last byte has the top bit. */
static int
is_negative(uint32_t type, const unsigned char *p, unsigned size)
{
    return (type == MPQ_GGUF_I8 || type == MPQ_GGUF_I16 || type == MPQ_GGUF_I32 ||
            type == MPQ_GGUF_I64) &&
           p[size - 1] >> 7;
}

int
mpq_gguf_item_u64(const struct mpq_gguf_kv *kv, uint64_t i, uint64_t *out)
{
    uint32_t type = kv->item_type;
    unsigned size = type_size(type);

    if (!size || type == MPQ_GGUF_F32 || type == MPQ_GGUF_F64 ||
        type == MPQ_GGUF_BOOL || i >= kv->count)
        return -1;
    const unsigned char *p = kv->data + i * size;
    if (is_negative(type, p, size))
        return -1;
    *out = 0;
    for (unsigned b = 0; b < size; b++)
        *out |= (uint64_t)p[b] << 8 * b;
    return 0;
}

int
mpq_gguf_item_f64(const struct mpq_gguf_kv *kv, uint64_t i, double *out)
{
    uint64_t bits;

    if (i >= kv->count)
        return -1;
    if (kv->item_type == MPQ_GGUF_F32) {
        uint32_t b = mpq_le32(kv->data + i * 4);
        float f;
        memcpy(&f, &b, sizeof f);
        *out = (double)f;
        return 0;
    }
    if (kv->item_type == MPQ_GGUF_F64) {
        bits = mpq_le64(kv->data + i * 8);
        memcpy(out, &bits, sizeof *out);
        return 0;
    }
    unsigned size = type_size(kv->item_type);
    if (size && is_negative(kv->item_type, kv->data + i * size, size)) {
        bits = UINT64_MAX; /* sign bits above the number's own */
        for (unsigned b = 0; b < size; b++)
            bits = (bits & ~((uint64_t)0xff << 8 * b)) |
                   (uint64_t)kv->data[i * size + b] << 8 * b;
        *out = -(double)(~bits + 1);
        return 0;
    }
    if (mpq_gguf_item_u64(kv, i, &bits) < 0)
        return -1;
    *out = (double)bits;
    return 0;
}

int
mpq_gguf_next_str(const struct mpq_gguf_kv *kv, uint64_t *pos, const char **s,
                  uint64_t *n)
{
    const unsigned char *end = kv->raw + kv->raw_size;

    if (kv->type != MPQ_GGUF_ARR || kv->item_type != MPQ_GGUF_STR ||
        *pos >= (uint64_t)(end - kv->data))
        return 0;
    const unsigned char *p = kv->data + *pos;
    *n = mpq_le64(p);
    *s = (const char *)p + 8;
    *pos += 8 + *n;
    return 1;
}

int
mpq_gguf_get_u64(const struct mpq_gguf *g, const char *key, uint64_t *out)
{
    const struct mpq_gguf_kv *kv = mpq_gguf_kv_find(g, key);

    if (!kv)
        return 0;
    if (kv->type == MPQ_GGUF_ARR || kv->type == MPQ_GGUF_STR)
        return -1;
    return mpq_gguf_item_u64(kv, 0, out) < 0 ? -1 : 1;
}

int
mpq_gguf_get_f64(const struct mpq_gguf *g, const char *key, double *out)
{
    const struct mpq_gguf_kv *kv = mpq_gguf_kv_find(g, key);

    if (!kv)
        return 0;
    if (kv->type == MPQ_GGUF_ARR || kv->type == MPQ_GGUF_STR)
        return -1;
    return mpq_gguf_item_f64(kv, 0, out) < 0 ? -1 : 1;
}

int
mpq_gguf_get_bool(const struct mpq_gguf *g, const char *key, int *out)
{
    const struct mpq_gguf_kv *kv = mpq_gguf_kv_find(g, key);

    if (!kv)
        return 0;
    if (kv->type != MPQ_GGUF_BOOL)
        return -1;
    *out = kv->data[0];
    return 1;
}

int
mpq_gguf_get_str(const struct mpq_gguf *g, const char *key, char **out)
{
    const struct mpq_gguf_kv *kv = mpq_gguf_kv_find(g, key);

    *out = NULL;
    if (!kv)
        return 0;
    if (kv->type != MPQ_GGUF_STR || memchr(kv->data, '\0', (size_t)kv->count))
        return -1;
    *out = mpq_strndup((const char *)kv->data, (size_t)kv->count);
    return *out ? 1 : -1;
}
