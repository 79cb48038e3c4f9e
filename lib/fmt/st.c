#include "fmt/st.h"

#include "base/index.h"
#include "base/le.h"
#include "fmt/json.h"
#include "fmt/safe.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    LENGTH = 8,
    MAX_HEAD = 100000000
}; /* MAX_HEAD: as the reference reader has it */

struct mpq_st {
    char *name; /* for messages */
    struct mpq_json *json;
    const struct mpq_json *meta; /* __metadata__, or NULL */
    const char **keys;           /* of meta */
    struct mpq_tensor *tensors;
    size_t n_tensors;
    struct mpq_index by_name;
    int head_only; /* the data are not there (yet) */
};

/* The header's length, held against the file; then its JSON. */
static int
read_head(struct mpq_st *st, const struct mpq_map *map, uint64_t *head,
          struct mpq_err *err)
{
    if (map->size < LENGTH)
        return mpq_fail(err, MPQ_EDATA,
                        "%s: cut short: header length of 8 bytes in a file of %" PRIu64,
                        st->name, map->size);
    *head = mpq_le64(map->data);
    if (*head > map->size - LENGTH)
        return mpq_fail(err, MPQ_EDATA,
                        "%s: cut short: header of %" PRIu64
                        " bytes in a file of %" PRIu64,
                        st->name, *head, map->size);
    if (*head > MAX_HEAD)
        return mpq_fail(err, MPQ_EDATA,
                        "%s: header of %" PRIu64 " bytes, at most %d are read",
                        st->name, *head, MAX_HEAD);
    if (mpq_json_parse(&st->json, map->data + LENGTH, (size_t)*head, st->name, err) < 0)
        return -1;
    if (!mpq_json_is_object(st->json))
        return mpq_fail(err, MPQ_EDATA, "%s: header is no JSON object", st->name);
    return 0;
}

static int
read_meta(struct mpq_st *st, struct mpq_err *err)
{
    const struct mpq_json *value;
    const char *key;
    size_t n = 0;

    st->meta = mpq_json_get(st->json, "__metadata__");
    if (!st->meta)
        return 0;
    if (!mpq_json_is_object(st->meta))
        return mpq_fail(err, MPQ_EDATA, "%s: __metadata__: no JSON object", st->name);
    st->keys = mpq_array(mpq_json_count(st->meta), sizeof *st->keys);
    if (!st->keys)
        return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", st->name);
    for (const void *i = NULL; (i = mpq_json_next(st->meta, i, &key, &value));) {
        size_t len;
        const char *text = mpq_json_str(value, &len);
        if (!text)
            return mpq_fail(err, MPQ_EDATA, "%s: __metadata__: %.200s: no string",
                            st->name, key);
        if (strlen(text) != len)
            return mpq_fail(err, MPQ_EDATA, "%s: __metadata__: %.200s: has a NUL byte",
                            st->name, key);
        st->keys[n++] = key;
    }
    return 0;
}

static int
read_dtype(const struct mpq_st *st, struct mpq_tensor *t, const struct mpq_json *v,
           struct mpq_err *err)
{
    const char *dtype = mpq_json_str(mpq_json_get(v, "dtype"), NULL);

    if (!dtype)
        return mpq_fail(err, MPQ_EDATA, "%s: tensor %s: no dtype", st->name, t->name);
    if (mpq_type_from_st(dtype, &t->type) < 0)
        return mpq_fail(err, MPQ_EDATA, "%s: tensor %s: unknown dtype %.40s", st->name,
                        t->name, dtype);
    return 0;
}

static int
read_shape(const struct mpq_st *st, struct mpq_tensor *t, const struct mpq_json *v,
           struct mpq_err *err)
{
    const struct mpq_json *shape = mpq_json_get(v, "shape");
    size_t n = mpq_json_count(shape);

    if (!mpq_json_is_array(shape))
        return mpq_fail(err, MPQ_EDATA, "%s: tensor %s: no shape", st->name, t->name);
    if (n > MPQ_MAX_DIMS)
        return mpq_fail(err, MPQ_EDATA, "%s: tensor %s: %zu dimensions, at most %d",
                        st->name, t->name, n, MPQ_MAX_DIMS);
    t->n_dims = (unsigned)n;
    t->n_elements = 1;
    for (size_t i = 0; i < n; i++) {
        uint64_t *dim = &t->dim[n - 1 - i];
        if (mpq_json_u64(mpq_json_item(shape, i), dim) != 1)
            return mpq_fail(err, MPQ_EDATA,
                            "%s: tensor %s: dimension %zu is no whole number", st->name,
                            t->name, i + 1);
        if (!*dim)
            return mpq_fail(err, MPQ_EDATA, "%s: tensor %s: dimension %zu is zero",
                            st->name, t->name, i + 1);
        if (mpq_mul_u64(t->n_elements, *dim, &t->n_elements) < 0)
            return mpq_fail(err, MPQ_EDATA,
                            "%s: tensor %s: more than 2^64 elements (dimension %zu is "
                            "%" PRIu64 ")",
                            st->name, t->name, i + 1, *dim);
    }
    if (mpq_type_bytes(t->type, mpq_tensor_rows(t), mpq_tensor_cols(t),
                       &t->size_bytes) < 0)
        return mpq_fail(err, MPQ_EDATA, "%s: tensor %s: size overflows 64 bits",
                        st->name, t->name);
    return 0;
}

/* data_offsets, held against the shape and the SIZE bytes of data. */
static int
read_offsets(const struct mpq_st *st, struct mpq_tensor *t, const struct mpq_json *v,
             uint64_t size, struct mpq_err *err)
{
    const struct mpq_json *offsets = mpq_json_get(v, "data_offsets");
    uint64_t begin, end;

    if (!mpq_json_is_array(offsets) || mpq_json_count(offsets) != 2 ||
        mpq_json_u64(mpq_json_item(offsets, 0), &begin) != 1 ||
        mpq_json_u64(mpq_json_item(offsets, 1), &end) != 1)
        return mpq_fail(err, MPQ_EDATA, "%s: tensor %s: no data_offsets of two numbers",
                        st->name, t->name);
    if (end < begin || end - begin != t->size_bytes)
        return mpq_fail(err, MPQ_EDATA,
                        "%s: tensor %s: offsets %" PRIu64 " to %" PRIu64
                        ", but its shape takes %" PRIu64 " bytes",
                        st->name, t->name, begin, end, t->size_bytes);
    if (end > size)
        return mpq_fail(err, MPQ_EDATA,
                        "%s: tensor %s: ends at byte %" PRIu64 " of %" PRIu64
                        " bytes of data",
                        st->name, t->name, end, size);
    t->offset = begin;
    return 0;
}

static int
read_tensors(struct mpq_st *st, uint64_t size, struct mpq_err *err)
{
    const struct mpq_json *value;
    const char *key;

    st->tensors = mpq_array(mpq_json_count(st->json), sizeof *st->tensors);
    if (!st->tensors)
        return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", st->name);
    for (const void *i = NULL; (i = mpq_json_next(st->json, i, &key, &value));) {
        struct mpq_tensor *t = &st->tensors[st->n_tensors];
        if (value == st->meta)
            continue;
        const char *fault = mpq_safe_name(key, strlen(key));
        if (fault)
            return mpq_fail(err, MPQ_EDATA, "%s: tensor name \"%.80s\" %s", st->name,
                            key, fault);
        t->name = key;
        if (!mpq_json_is_object(value))
            return mpq_fail(err, MPQ_EDATA, "%s: tensor %s: no JSON object", st->name,
                            key);
        if (read_dtype(st, t, value, err) < 0 || read_shape(st, t, value, err) < 0 ||
            read_offsets(st, t, value, size, err) < 0)
            return -1;
        st->n_tensors++;
    }
    return 0;
}

static int
compare_offsets(const void *a, const void *b)
{
    const struct mpq_tensor *x = a, *y = b;

    return (x->offset > y->offset) - (x->offset < y->offset);
}

/* Tensors side by side from the first byte of data to the last. */
static int
place_tensors(struct mpq_st *st, const struct mpq_map *map, uint64_t start,
              struct mpq_err *err)
{
    uint64_t end = 0;

    if (st->n_tensors)
        qsort(st->tensors, st->n_tensors, sizeof *st->tensors, compare_offsets);
    for (size_t i = 0; i < st->n_tensors; i++) {
        struct mpq_tensor *t = &st->tensors[i];
        if (t->offset != end)
            return mpq_fail(err, MPQ_EDATA,
                            "%s: tensor %s: begins at byte %" PRIu64
                            " of the data, %s at %" PRIu64,
                            st->name, t->name, t->offset,
                            t->offset < end ? "overlaps what ends"
                                            : "leaves a hole behind what ends",
                            end);
        end += t->size_bytes;
        t->offset += start;
        t->data = st->head_only ? NULL : map->data + t->offset;
    }
    if (!st->head_only && end != map->size - start)
        return mpq_fail(err, MPQ_EDATA,
                        "%s: %" PRIu64 " bytes of data, the tensors take %" PRIu64,
                        st->name, map->size - start, end);
    return 0;
}

static int
index_names(struct mpq_st *st, struct mpq_err *err)
{
    for (size_t i = 0; i < st->n_tensors; i++)
        if (mpq_index_add(&st->by_name, st->tensors[i].name, i) < 0)
            return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", st->name);
    mpq_index_sort(&st->by_name); /* no name is there twice: JSON refused it */
    return 0;
}

static int
open_st(struct mpq_st **out, const struct mpq_map *map, int head_only, const char *path,
        struct mpq_err *err)
{
    struct mpq_st *st = NULL;
    uint64_t head = 0;
    int rc = -1;

    *out = NULL;
    st = calloc(1, sizeof *st);
    if (!st || !(st->name = mpq_strdup(path))) {
        mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", path);
        goto out;
    }
    st->head_only = head_only;
    if (read_head(st, map, &head, err) < 0 || read_meta(st, err) < 0 ||
        read_tensors(st, (head_only ? UINT64_MAX : map->size) - LENGTH - head, err) <
            0 ||
        place_tensors(st, map, LENGTH + head, err) < 0 || index_names(st, err) < 0)
        goto out;
    *out = st;
    st = NULL;
    rc = 0;
out:
    mpq_st_free(st);
    return rc;
}

int
mpq_st_open(struct mpq_st **out, const struct mpq_map *map, const char *path,
            struct mpq_err *err)
{
    return open_st(out, map, 0, path, err);
}

int
mpq_st_open_head(struct mpq_st **out, const struct mpq_map *map, const char *path,
                 struct mpq_err *err)
{
    return open_st(out, map, 1, path, err);
}

void
mpq_st_free(struct mpq_st *st)
{
    if (!st)
        return;
    mpq_json_free(st->json);
    mpq_index_free(&st->by_name);
    free(st->keys);
    free(st->tensors);
    free(st->name);
    free(st);
}

size_t
mpq_st_count(const struct mpq_st *st)
{
    return st->n_tensors;
}

const struct mpq_tensor *
mpq_st_tensor(const struct mpq_st *st, size_t i)
{
    return &st->tensors[i];
}

const struct mpq_tensor *
mpq_st_find(const struct mpq_st *st, const char *name)
{
    size_t i;

    return mpq_index_find(&st->by_name, name, &i) ? &st->tensors[i] : NULL;
}

size_t
mpq_st_meta_count(const struct mpq_st *st)
{
    return mpq_json_count(st->meta);
}

const char *
mpq_st_meta_key(const struct mpq_st *st, size_t i)
{
    return st->keys[i];
}

const char *
mpq_st_meta(const struct mpq_st *st, const char *key)
{
    return mpq_json_str(mpq_json_get(st->meta, key), NULL);
}
