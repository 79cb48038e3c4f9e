#include "quant/imatrix.h"

#include "base/buf.h"
#include "base/hash.h"
#include "base/io.h"
#include "fmt/gguf.h"
#include "fmt/safe.h"
#include "quant/codec.h"
#include "quant/imatrix_own.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char sums_suffix[] = ".in_sum2", counts_suffix[] = ".counts";

/* S without SUFFIX: the length that is left, or 0 when S does not end so. */
static size_t
stem(const char *s, size_t n, const char *suffix)
{
    const size_t k = strlen(suffix);
    return n > k && memcmp(s + n - k, suffix, k) == 0 ? n - k : 0;
}

float *
mpq_imatrix_add(struct mpq_imatrix *m, const char *name, size_t n_name, uint64_t n,
                struct mpq_err *err)
{
    const char *fault = mpq_safe_name(name, n_name);
    const size_t without = stem(name, n_name, ".weight");
    float *values = NULL;

    if (fault) {
        mpq_fail(err, MPQ_EDATA, "%s: entry %zu: name %s", m->path, m->n, fault);
        return NULL;
    }
    const char *copy = mpq_pool_strndup(&m->names, name, without ? without : n_name);
    if (copy && n <= SIZE_MAX)
        values = mpq_array((size_t)n, sizeof *values);
    if (!values || mpq_grow(&m->entries, &m->cap, m->n + 1, sizeof *m->entries) < 0 ||
        mpq_index_add(&m->index, copy, m->n) < 0) {
        free(values);
        mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", m->path);
        return NULL;
    }
    m->entries[m->n++] =
        (struct mpq_imatrix_entry){ .name = copy, .values = values, .n_values = n };
    return values;
}

int
mpq_imatrix_check(const struct mpq_imatrix *m, const char *name, const float *values,
                  uint64_t n, struct mpq_err *err)
{
    for (uint64_t i = 0; i < n; i++)
        if (!(values[i] >= 0.0f && isfinite(values[i])))
            return mpq_fail(err, MPQ_EDATA,
                            "%s: %s: value %" PRIu64 " is %g, not from 0 up and finite",
                            m->path, name, i, (double)values[i]);
    return 0;
}

/* Counts of T are wanted: one for each row of SUMS. */
static int
check_shapes(const struct mpq_imatrix *m, const struct mpq_tensor *sums,
             const struct mpq_tensor *counts, struct mpq_err *err)
{
    const struct mpq_tensor *const both[] = { sums, counts };

    for (int i = 0; i < 2; i++) {
        char name[MPQ_TYPE_NAME_MAX];
        if (both[i]->type.id != MPQ_F32)
            return mpq_fail(err, MPQ_EDATA, "%s: tensor %s: is %s, not f32", m->path,
                            both[i]->name, mpq_type_name(both[i]->type, name));
    }
    if (counts->n_elements != mpq_tensor_rows(sums))
        return mpq_fail(
            err, MPQ_EDATA, "%s: tensor %s: %" PRIu64 " counts for %" PRIu64 " parts",
            m->path, counts->name, counts->n_elements, mpq_tensor_rows(sums));
    return 0;
}

/* Sums to means, part by part. */
static int
read_pair(struct mpq_imatrix *m, const struct mpq_tensor *sums, size_t n_name,
          const struct mpq_tensor *counts, struct mpq_err *err)
{
    const uint64_t cols = mpq_tensor_cols(sums), parts = mpq_tensor_rows(sums);

    if (check_shapes(m, sums, counts, err) < 0)
        return -1;
    float *values = mpq_imatrix_add(m, sums->name, n_name, sums->n_elements, err);
    if (!values)
        return -1;
    struct mpq_imatrix_entry *e = &m->entries[m->n - 1];
    e->n_parts = parts;
    mpq_decode_row(sums->type, sums->data, values, (size_t)sums->n_elements);
    if (mpq_imatrix_check(m, sums->name, values, sums->n_elements, err) < 0)
        return -1;
    for (uint64_t p = 0; p < parts; p++) {
        float count;
        mpq_decode_row(counts->type, counts->data + 4 * p, &count, 1);
        if (mpq_imatrix_check(m, counts->name, &count, 1, err) < 0)
            return -1;
        for (uint64_t i = p * cols; i < (p + 1) * cols; i++)
            values[i] = count > 0.0f ? values[i] / count : 1.0f;
        e->n_empty += count == 0.0f;
    }
    /* once more: a sum over a tiny count may be infinite */
    return mpq_imatrix_check(m, sums->name, values, sums->n_elements, err);
}

static int
check_kind(const struct mpq_imatrix *m, const struct mpq_gguf *g, struct mpq_err *err)
{
    char *kind = NULL;
    int rc = 0;

    if (mpq_gguf_get_str(g, "general.type", &kind) == 1 && strcmp(kind, "imatrix") != 0)
        rc = mpq_fail(err, MPQ_EDATA, "%s: general.type is %s, not imatrix", m->path,
                      kind);
    free(kind);
    return rc;
}

/* The counts that belong to the sums named NAME, of which N bytes are the matrix's. */
static const struct mpq_tensor *
find_counts(const struct mpq_gguf *g, const struct mpq_index *tensors, const char *name,
            size_t n)
{
    char wanted[MPQ_NAME_MAX + sizeof counts_suffix];
    size_t pos;

    if (n > MPQ_NAME_MAX)
        return NULL;
    memcpy(wanted, name, n);
    memcpy(wanted + n, counts_suffix, sizeof counts_suffix);
    return mpq_index_find(tensors, wanted, &pos) ? mpq_gguf_tensor(g, pos) : NULL;
}

static int
read_pairs(struct mpq_imatrix *m, const struct mpq_gguf *g,
           const struct mpq_index *tensors, struct mpq_err *err)
{
    for (size_t i = 0; i < mpq_gguf_count(g); i++) {
        const struct mpq_tensor *t = mpq_gguf_tensor(g, i);
        const size_t n = stem(t->name, strlen(t->name), sums_suffix);
        if (!n)
            continue;
        const struct mpq_tensor *counts = find_counts(g, tensors, t->name, n);
        if (!counts)
            return mpq_fail(err, MPQ_EDATA, "%s: tensor %s: has no %.*s%s", m->path,
                            t->name, (int)n, t->name, counts_suffix);
        if (read_pair(m, t, n, counts, err) < 0)
            return -1;
    }
    return 0;
}

static int
read_gguf(struct mpq_imatrix *m, const struct mpq_map *map, struct mpq_err *err)
{
    struct mpq_gguf *g = NULL;
    struct mpq_index tensors = { 0 };
    int rc = -1;

    if (mpq_gguf_open(&g, map, m->path, err) < 0 || check_kind(m, g, err) < 0)
        goto out;
    for (size_t i = 0; i < mpq_gguf_count(g); i++) {
        if (mpq_index_add(&tensors, mpq_gguf_tensor(g, i)->name, i) < 0) {
            mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", m->path);
            goto out;
        }
    }
    mpq_index_sort(&tensors);
    rc = read_pairs(m, g, &tensors, err);
out:
    mpq_index_free(&tensors);
    mpq_gguf_free(g);
    return rc;
}

static int
read_any(struct mpq_imatrix *m, const struct mpq_map *map, struct mpq_err *err)
{
    const int gguf = map->size >= 4 && memcmp(map->data, "GGUF", 4) == 0;

    if (gguf ? read_gguf(m, map, err) < 0
             : mpq_imatrix_read_old(m, map->data, map->size, err) < 0)
        return -1;
    if (m->n == 0)
        return mpq_fail(err, MPQ_EDATA, "%s: no importance of any matrix in it",
                        m->path);
    const char *twice = mpq_index_sort(&m->index);
    if (twice)
        return mpq_fail(err, MPQ_EDATA, "%s: entry %s: there twice", m->path, twice);
    return 0;
}

int
mpq_imatrix_open(struct mpq_imatrix **out, const char *path, struct mpq_err *err)
{
    struct mpq_imatrix *m = NULL;
    struct mpq_map map = { 0 };
    int rc = -1;

    *out = NULL;
    if (mpq_map_open(&map, path, err) < 0)
        return -1;
    m = calloc(1, sizeof *m);
    if (m)
        m->path =
            mpq_pool_strdup(&m->names, strcmp(path, "-") ? path : "standard input");
    if (!m || !m->path) {
        mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", path);
        goto out;
    }
    if (read_any(m, &map, err) < 0)
        goto out;
    *out = m;
    m = NULL;
    rc = 0;
out:
    mpq_imatrix_free(m);
    mpq_map_close(&map);
    return rc;
}

uint64_t
mpq_imatrix_sum(const struct mpq_imatrix *m)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < m->n; i++) {
        const struct mpq_imatrix_entry *e = &m->entries[i];
        sum = mpq_hash64(e->name, strlen(e->name), sum);
        sum = mpq_hash64(e->values, (size_t)e->n_values * sizeof *e->values, sum);
    }
    return sum;
}

void
mpq_imatrix_free(struct mpq_imatrix *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->n; i++)
        free((void *)m->entries[i].values);
    free(m->entries);
    mpq_index_free(&m->index);
    mpq_pool_free(&m->names);
    free(m);
}

size_t
mpq_imatrix_count(const struct mpq_imatrix *m)
{
    return m->n;
}

const struct mpq_imatrix_entry *
mpq_imatrix_at(const struct mpq_imatrix *m, size_t i)
{
    return &m->entries[i];
}

int
mpq_imatrix_find(const struct mpq_imatrix *m, const char *name, uint64_t rows,
                 uint64_t cols, const float **values, uint64_t *n_parts,
                 struct mpq_err *err)
{
    size_t pos;

    *values = NULL;
    *n_parts = 0;
    if (!mpq_index_find(&m->index, name, &pos))
        return 0;
    const struct mpq_imatrix_entry *e = &m->entries[pos];
    const uint64_t parts = e->n_parts ? e->n_parts : cols ? e->n_values / cols : 0;
    if (parts == 0 || cols != e->n_values / parts || e->n_values % parts != 0 ||
        rows % parts != 0)
        return mpq_fail(err, MPQ_EDATA,
                        "%s: %s: %" PRIu64 " values for %" PRIu64 " rows of %" PRIu64,
                        m->path, name, e->n_values, rows, cols);
    if (e->n_empty == parts)
        return 0;
    *values = e->values;
    *n_parts = parts;
    return 1;
}
