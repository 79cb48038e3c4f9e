/* One file of a GGUF model: its header, held against the bytes there are. */
#include "fmt/gguf.h"

#include "base/le.h"
#include "fmt/gguf_own.h"
#include "fmt/safe.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    FIXED_HEAD = 24,   /* magic, version, two counts */
    LEAST_KV = 14,     /* bytes of the smallest key: length, 1 byte, type, 1 byte */
    LEAST_TENSOR = 33, /* length, 1 byte, n_dims, 1 dim, type, offset */
    GGML_MAX_DIMS = 4,
    DEFAULT_ALIGNMENT = 32,
};

/* Magic, version and the two counts, held against the bytes there are. */
static int
read_fixed_head(struct mpq_gguf *g, struct mpq_gguf_at *at, uint64_t *n_tensors,
                uint64_t *n_kv)
{
    snprintf(at->place, sizeof at->place, "header");
    if (at->size < 4 || memcmp(at->data, "GGUF", 4))
        return mpq_fail(at->err, MPQ_EDATA, "%s: not a GGUF file", at->file);
    at->pos = 4;
    if (mpq_gguf_take_u32(at, &g->version) < 0)
        return -1;
    if (g->version && !(g->version & 0xffff))
        return mpq_fail(at->err, MPQ_EDATA,
                        "%s: big-endian GGUF (version reads as 0x%08" PRIx32
                        "), only little-endian is read",
                        at->file, g->version);
    if (g->version != 2 && g->version != 3)
        return mpq_fail(at->err, MPQ_EDATA,
                        "%s: GGUF version %" PRIu32 ", only 2 and 3 are read", at->file,
                        g->version);
    if (mpq_gguf_take_u64(at, n_tensors) < 0 || mpq_gguf_take_u64(at, n_kv) < 0)
        return -1;
    uint64_t left = at->size - at->pos;
    if (*n_kv > left / LEAST_KV)
        return mpq_fail(at->err, MPQ_EDATA,
                        "%s: header: %" PRIu64 " keys cannot be in %" PRIu64 " bytes",
                        at->file, *n_kv, left);
    if (*n_tensors > left / LEAST_TENSOR)
        return mpq_fail(at->err, MPQ_EDATA,
                        "%s: header: %" PRIu64 " tensors cannot be in %" PRIu64
                        " bytes",
                        at->file, *n_tensors, left);
    return 0;
}

static int
read_alignment(struct mpq_gguf *g, struct mpq_err *err)
{
    const struct mpq_gguf_kv *kv = mpq_gguf_kv_find(g, "general.alignment");

    g->alignment = DEFAULT_ALIGNMENT;
    if (!kv)
        return 0;
    if (kv->type != MPQ_GGUF_U32)
        return mpq_fail(err, MPQ_EDATA,
                        "%s: general.alignment: value of type %" PRIu32
                        ", not %d (u32)",
                        g->name, kv->type, MPQ_GGUF_U32);
    g->alignment = mpq_le32(kv->data);
    if (!g->alignment || (g->alignment & (g->alignment - 1)))
        return mpq_fail(err, MPQ_EDATA,
                        "%s: general.alignment: %" PRIu64 " is no power of two",
                        g->name, g->alignment);
    return 0;
}

static int
read_tensor_name(struct mpq_gguf *g, struct mpq_gguf_at *at, struct mpq_tensor *t)
{
    uint64_t len;
    const unsigned char *p;

    if (mpq_gguf_take_u64(at, &len) < 0 || !(p = mpq_gguf_take(at, len)))
        return -1;
    const char *fault = mpq_safe_name((const char *)p, (size_t)len);
    if (fault)
        return mpq_fail(at->err, MPQ_EDATA, "%s: %s: name \"%.*s\" %s", at->file,
                        at->place, (int)(len > 80 ? 80 : len), (const char *)p, fault);
    t->name = mpq_pool_strndup(&g->strings, (const char *)p, (size_t)len);
    if (!t->name)
        return mpq_fail(at->err, MPQ_ENOMEM, "%s: out of memory", at->file);
    snprintf(at->place, sizeof at->place, "tensor %s", t->name);
    return 0;
}

static int
read_shape(struct mpq_gguf_at *at, struct mpq_tensor *t)
{
    uint32_t n_dims;

    if (mpq_gguf_take_u32(at, &n_dims) < 0)
        return -1;
    if (n_dims < 1 || n_dims > GGML_MAX_DIMS)
        return mpq_fail(at->err, MPQ_EDATA,
                        "%s: %s: %" PRIu32 " dimensions, not 1 to %d", at->file,
                        at->place, n_dims, GGML_MAX_DIMS);
    t->n_dims = n_dims;
    t->n_elements = 1;
    for (unsigned i = 0; i < n_dims; i++) {
        if (mpq_gguf_take_u64(at, &t->dim[i]) < 0)
            return -1;
        if (!t->dim[i])
            return mpq_fail(at->err, MPQ_EDATA, "%s: %s: dimension %u is zero",
                            at->file, at->place, i + 1);
        if (mpq_mul_u64(t->n_elements, t->dim[i], &t->n_elements) < 0 ||
            t->n_elements > INT64_MAX)
            return mpq_fail(at->err, MPQ_EDATA,
                            "%s: %s: more than 2^63 elements (dimension %u is %" PRIu64
                            ")",
                            at->file, at->place, i + 1, t->dim[i]);
    }
    return 0;
}

static int
read_type(struct mpq_gguf_at *at, struct mpq_tensor *t)
{
    char name[MPQ_TYPE_NAME_MAX];
    uint32_t id;

    if (mpq_gguf_take_u32(at, &id) < 0)
        return -1;
    if (mpq_type_from_ggml(id, &t->type) < 0)
        return mpq_fail(at->err, MPQ_EDATA, "%s: %s: unknown type %" PRIu32, at->file,
                        at->place, id);
    if (!mpq_type_fits(t->type, t->dim[0]))
        return mpq_fail(at->err, MPQ_EDATA,
                        "%s: %s: rows of %" PRIu64
                        " are no multiple of %s's block of %" PRIu32,
                        at->file, at->place, t->dim[0], mpq_type_name(t->type, name),
                        mpq_type_block(t->type));
    if (mpq_type_bytes(t->type, mpq_tensor_rows(t), mpq_tensor_cols(t),
                       &t->size_bytes) < 0)
        return mpq_fail(at->err, MPQ_EDATA,
                        "%s: %s: %" PRIu64 " elements of type %s overflow 64 bits",
                        at->file, at->place, t->n_elements,
                        mpq_type_name(t->type, name));
    return 0;
}

static int
read_tensors(struct mpq_gguf *g, struct mpq_gguf_at *at, uint64_t n, unsigned part)
{
    g->tensors = mpq_array((size_t)n, sizeof *g->tensors);
    if (!g->tensors)
        return mpq_fail(at->err, MPQ_ENOMEM, "%s: out of memory", at->file);
    for (uint64_t i = 0; i < n; i++) {
        struct mpq_tensor *t = &g->tensors[i];
        snprintf(at->place, sizeof at->place, "tensor %" PRIu64 " of %" PRIu64, i + 1,
                 n);
        t->part = part;
        if (read_tensor_name(g, at, t) < 0 || read_shape(at, t) < 0 ||
            read_type(at, t) < 0 || mpq_gguf_take_u64(at, &t->offset) < 0)
            return -1;
        if (t->offset & (g->alignment - 1))
            return mpq_fail(at->err, MPQ_EDATA,
                            "%s: %s: offset %" PRIu64 " is no multiple of %" PRIu64,
                            at->file, at->place, t->offset, g->alignment);
        g->n_tensors++;
    }
    return 0;
}

/* Turns offsets into places in the file, each tensor within it. */
static int
place_tensors(struct mpq_gguf *g, struct mpq_gguf_at *at)
{
    uint64_t start = at->pos + (g->alignment - at->pos % g->alignment) % g->alignment;

    for (size_t i = 0; i < g->n_tensors; i++) {
        struct mpq_tensor *t = &g->tensors[i];
        uint64_t end;
        if (mpq_add_u64(t->offset, start, &t->offset) < 0 ||
            mpq_add_u64(t->offset, t->size_bytes, &end) < 0)
            return mpq_fail(at->err, MPQ_EDATA,
                            "%s: tensor %s: offset and size overflow 64 bits", at->file,
                            t->name);
        if (end > at->size)
            return mpq_fail(at->err, MPQ_EDATA,
                            "%s: tensor %s: ends at byte %" PRIu64
                            " of a file of %" PRIu64,
                            at->file, t->name, end, at->size);
        t->data = at->data + t->offset;
    }
    return 0;
}

static int
compare_offsets(const void *a, const void *b)
{
    const struct mpq_tensor *x = *(const struct mpq_tensor *const *)a;
    const struct mpq_tensor *y = *(const struct mpq_tensor *const *)b;

    return (x->offset > y->offset) - (x->offset < y->offset);
}

static int
check_overlap(const struct mpq_gguf *g, struct mpq_err *err)
{
    const struct mpq_tensor **order = mpq_array(g->n_tensors, sizeof *order);
    int rc = -1;

    if (!order) {
        mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", g->name);
        goto out;
    }
    for (size_t i = 0; i < g->n_tensors; i++)
        order[i] = &g->tensors[i];
    if (g->n_tensors)
        qsort(order, g->n_tensors, sizeof *order, compare_offsets);
    for (size_t i = 1; i < g->n_tensors; i++) {
        const struct mpq_tensor *a = order[i - 1], *b = order[i];
        if (a->offset + a->size_bytes > b->offset) {
            mpq_fail(err, MPQ_EDATA,
                     "%s: tensor %s: begins at byte %" PRIu64
                     ", before %s ends at %" PRIu64,
                     g->name, b->name, b->offset, a->name, a->offset + a->size_bytes);
            goto out;
        }
    }
    rc = 0;
out:
    free(order);
    return rc;
}

int
mpq_gguf_check_names(const struct mpq_gguf *g, struct mpq_err *err)
{
    struct mpq_index names = { 0 };
    int rc = -1;

    for (size_t i = 0; i < g->n_tensors; i++)
        if (mpq_index_add(&names, g->tensors[i].name, i) < 0) {
            mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", g->name);
            goto out;
        }
    const char *twice = mpq_index_sort(&names);
    if (twice) {
        mpq_fail(err, MPQ_EDATA, "%s: tensor %s: is there twice", g->name, twice);
        goto out;
    }
    rc = 0;
out:
    mpq_index_free(&names);
    return rc;
}

int
mpq_gguf_read_file(struct mpq_gguf **out, const struct mpq_map *map, const char *path,
                   unsigned part, struct mpq_err *err)
{
    struct mpq_gguf_at at = { .data = map->data, .size = map->size, .err = err };
    uint64_t n_tensors, n_kv;
    struct mpq_gguf *g = NULL;
    int rc = -1;

    *out = NULL;
    g = calloc(1, sizeof *g);
    if (!g || !(g->name = mpq_strdup(path))) {
        mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", path);
        goto out;
    }
    at.file = g->name;
    g->file_size = map->size;
    if (read_fixed_head(g, &at, &n_tensors, &n_kv) < 0 ||
        mpq_gguf_read_kvs(g, &at, n_kv) < 0 || read_alignment(g, err) < 0 ||
        read_tensors(g, &at, n_tensors, part) < 0 || mpq_gguf_check_names(g, err) < 0 ||
        place_tensors(g, &at) < 0 || check_overlap(g, err) < 0)
        goto out;
    *out = g;
    g = NULL;
    rc = 0;
out:
    mpq_gguf_free(g);
    return rc;
}

void
mpq_gguf_free(struct mpq_gguf *g)
{
    if (!g)
        return;
    for (size_t i = 0; i < g->n_parts; i++)
        mpq_map_close(&g->parts[i]);
    free(g->parts);
    mpq_index_free(&g->keys);
    mpq_pool_free(&g->strings);
    free(g->kv);
    free(g->tensors);
    free(g->name);
    free(g);
}
