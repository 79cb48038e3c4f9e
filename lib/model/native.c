#include "model/native.h"

#include "base/buf.h"
#include "base/parse.h"
#include "base/text.h"
#include "fmt/kvtext.h"
#include "fmt/safe.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char type_key[] = "mpq.type.";
static const char bad_type[] = "its mpq.type is no type with a shape that fits";

/* What is joined, and for whom. */
struct joiner {
    const struct mpq_st *st;
    const char *name; /* of the file, for messages */
    struct mpq_pool *names;
    struct mpq_err *err;
};

int
mpq_native_is(const struct mpq_st *st)
{
    return mpq_st_meta(st, "mpq.container") != NULL;
}

static int
bad_tensor(const struct joiner *j, const char *tensor, const char *fault)
{
    return mpq_fail(j->err, MPQ_EDATA, "%s: tensor %s: %s", j->name, tensor, fault);
}

/* The mpq.type string of NAME[n], or NULL. */
static const char *
type_text(const struct mpq_st *st, const char *name, size_t n)
{
    char key[sizeof type_key + MPQ_NAME_MAX + 1];

    if (n > MPQ_NAME_MAX)
        return NULL;
    snprintf(key, sizeof key, "%s%.*s", type_key, (int)n, name);
    return mpq_st_meta(st, key);
}

/* "TYPE DIM DIM", the row length last. -1 when TEXT is no such thing, or the type does
 * not fit the rows, or a size overflows. */
static int
parse_type(const char *text, struct mpq_tensor *t, uint64_t *row_bytes)
{
    char copy[256], *dims[MPQ_MAX_DIMS];
    uint64_t bytes;

    t->n_dims = 0;
    if (strlen(text) >= sizeof copy)
        return -1;
    memcpy(copy, text, strlen(text) + 1);
    for (char *p = strchr(copy, ' '); p; p = strchr(p, ' ')) {
        *p++ = '\0';
        if (t->n_dims == MPQ_MAX_DIMS)
            return -1;
        dims[t->n_dims++] = p;
    }
    if (t->n_dims == 0 || mpq_type_parse(copy, &t->type) < 0)
        return -1;
    t->n_elements = 1;
    for (unsigned d = 0; d < t->n_dims; d++) {
        uint64_t *dim = &t->dim[t->n_dims - 1 - d];
        if (mpq_parse_u64(dims[d], dim) < 0 || *dim == 0 ||
            mpq_mul_u64(t->n_elements, *dim, &t->n_elements) < 0)
            return -1;
    }
    if (mpq_type_row_bytes(t->type, t->dim[0], row_bytes) < 0 ||
        mpq_type_bytes(t->type, mpq_tensor_rows(t), t->dim[0], &bytes) < 0)
        return -1;
    return 0;
}

/* The part NAME of a packed matrix, which must be DTYPE [rows, cols]. */
static const struct mpq_tensor *
find_part(const struct joiner *j, const char *base, const char *part, int dtype,
          uint64_t rows, uint64_t cols)
{
    char name[MPQ_NAME_MAX + 16];

    snprintf(name, sizeof name, "%s%s", base, part);
    const struct mpq_tensor *t = mpq_st_find(j->st, name);
    if (!t) {
        bad_tensor(j, name, "is missing");
        return NULL;
    }
    if (t->type.id != dtype || t->n_dims != 2 || t->dim[1] != rows ||
        t->dim[0] != cols) {
        mpq_fail(j->err, MPQ_EDATA,
                 "%s: tensor %s: is not %s [%" PRIu64 ", %" PRIu64
                 "] as its type asks for",
                 j->name, name, mpq_type_st_name(MPQ_TYPE(dtype)), rows, cols);
        return NULL;
    }
    return t;
}

/* The matrix BASE, packed as the string TEXT says. */
static int
join(const struct joiner *j, const char *base, const char *text,
     struct mpq_native_tensor *out)
{
    struct mpq_tensor t = { .name = base };
    const struct mpq_tensor *data, *part;
    uint64_t row_bytes;

    if (parse_type(text, &t, &row_bytes) < 0)
        return bad_tensor(j, base, bad_type);
    const uint64_t rows = mpq_tensor_rows(&t);
    if (t.type.id == MPQ_INT) {
        uint64_t groups = mpq_type_groups(t.type, t.dim[0]);
        uint64_t codes = row_bytes - groups * (t.type.symmetric ? 2 : 4) -
                         mpq_type_map_bytes(t.type, t.dim[0]);
        data = find_part(j, base, ".codes", MPQ_U8, rows, codes);
        part = data ? find_part(j, base, ".scales", MPQ_F16, rows, groups) : NULL;
        if (!part)
            return -1;
        out->scales = part->data;
        if (!t.type.symmetric) {
            part = find_part(j, base, ".zeros", MPQ_F16, rows, groups);
            if (!part)
                return -1;
            out->zeros = part->data;
        }
        if (t.type.varied) {
            part = find_part(j, base, ".bits", MPQ_U8, 1, groups);
            if (!part)
                return -1;
            if (!mpq_type_map_fits(t.type, t.dim[0], part->data))
                return bad_tensor(j, base,
                                  "its bits are not from 1 to 8, or not on the"
                                  " mean what its type says");
            out->map = part->data;
        }
    } else {
        data = find_part(j, base, "", MPQ_U8, rows, row_bytes);
        if (!data)
            return -1;
    }
    t.size_bytes = data->size_bytes;
    t.offset = data->offset;
    t.part = data->part;
    t.data = data->data;
    out->tensor = t;
    return 0;
}

/* NAME without SUFFIX, if it ends so and the rest is a packed matrix; else NULL. On
 * lack of memory NULL too, with *err set. */
static const char *
base_name(const struct joiner *j, const char *name, const char *suffix)
{
    size_t n = strlen(name), m = strlen(suffix);
    struct mpq_tensor t = { 0 };
    uint64_t row_bytes;

    if (n <= m || strcmp(name + n - m, suffix) != 0)
        return NULL;
    const char *text = type_text(j->st, name, n - m);
    if (!text || parse_type(text, &t, &row_bytes) < 0 || t.type.id != MPQ_INT)
        return NULL;
    const char *base = mpq_pool_strndup(j->names, name, n - m);
    if (!base)
        mpq_fail(j->err, MPQ_ENOMEM, "%s: out of memory", j->name);
    return base;
}

/* Sets *out from the tensor T of the file: 1, or 0 when T is but a part of another. */
static int
take(const struct joiner *j, const struct mpq_tensor *t, struct mpq_native_tensor *out,
     size_t *n_packed)
{
    const char *text = type_text(j->st, t->name, strlen(t->name));
    const char *base = t->name;

    *out = (struct mpq_native_tensor){ .tensor = *t };
    if (!text) {
        if (base_name(j, t->name, ".scales") || base_name(j, t->name, ".zeros") ||
            base_name(j, t->name, ".bits"))
            return 0;
        base = base_name(j, t->name, ".codes");
        if (!base)
            return j->err && j->err->code ? -1 : 1;
        text = type_text(j->st, base, strlen(base));
    }
    ++*n_packed;
    return join(j, base, text, out) < 0 ? -1 : 1;
}

/* Each mpq.type string must have found its tensor: names the first that has not. */
static int
check_types(const struct joiner *j, size_t n_packed)
{
    size_t n = 0;

    for (size_t i = 0; i < mpq_st_meta_count(j->st); i++)
        n += mpq_text_begins(mpq_st_meta_key(j->st, i), type_key) != 0;
    for (size_t i = 0; n != n_packed && i < mpq_st_meta_count(j->st); i++) {
        const char *key = mpq_st_meta_key(j->st, i);
        const char *tensor = key + strlen(type_key);
        char codes[MPQ_NAME_MAX + 16];
        struct mpq_tensor t = { 0 };
        uint64_t row_bytes;
        if (!mpq_text_begins(key, type_key))
            continue;
        if (parse_type(mpq_st_meta(j->st, key), &t, &row_bytes) < 0)
            return bad_tensor(j, tensor, bad_type);
        snprintf(codes, sizeof codes, "%s.codes", tensor);
        if (!mpq_st_find(j->st, t.type.id == MPQ_INT ? codes : tensor))
            return bad_tensor(j, tensor, "has a type but no data");
    }
    return 0;
}

int
mpq_native_tensors(const struct mpq_st *st, const char *name, struct mpq_pool *names,
                   struct mpq_native_tensor **out, size_t *n, struct mpq_err *err)
{
    struct mpq_err local = { 0 }; /* take() must be able to see a failure */
    struct joiner j = { .st = st, .name = name, .names = names, .err = &local };
    const char *container = mpq_st_meta(st, "mpq.container");
    int native = container && mpq_text_begins(container, "native ");
    size_t n_packed = 0;
    int rc = 0;

    *n = 0;
    *out = mpq_array(mpq_st_count(st), sizeof **out);
    if (!*out)
        return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", name);
    if (container && strcmp(container, "native 1") != 0 &&
        strcmp(container, "fake 1") != 0)
        rc = mpq_fail(&local, MPQ_EDATA,
                      "%s: container '%.40s', this program reads"
                      " native 1 and fake 1",
                      name, container);
    for (size_t i = 0; rc == 0 && i < mpq_st_count(st); i++) {
        const struct mpq_tensor *t = mpq_st_tensor(st, i);
        (*out)[*n] = (struct mpq_native_tensor){ .tensor = *t };
        int took = native ? take(&j, t, &(*out)[*n], &n_packed) : 1;
        if (took < 0)
            rc = -1;
        else
            *n += (size_t)took;
    }
    if (rc == 0 && native)
        rc = check_types(&j, n_packed);
    if (rc < 0) {
        free(*out);
        *out = NULL;
        mpq_fail(err, (enum mpq_code)local.code, "%s", local.text);
    }
    return rc;
}

/* Is the metadata string KEY one of the GGUF keys? */
static int
is_gguf_key(const char *key)
{
    /* the alignment of tensors that are not there */
    static const char *const others[] = { "config.json", "tokenizer.json", "format",
                                          "general.alignment" };

    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strcmp(key, others[i]) == 0)
            return 0;
    return !mpq_text_begins(key, "mpq.");
}

int
mpq_native_keys(const struct mpq_st *st, const char *name, struct mpq_buf *out,
                struct mpq_err *err)
{
    struct mpq_gguf_head h;
    int rc = 0;

    *out = (struct mpq_buf){ 0 };
    if (!mpq_native_is(st) || !mpq_st_meta(st, "general.architecture"))
        return 0;
    mpq_gguf_head_init(&h, 32);
    for (size_t i = 0; rc == 0 && i < mpq_st_meta_count(st); i++) {
        const char *key = mpq_st_meta_key(st, i);
        if (is_gguf_key(key))
            rc = mpq_kvtext_put(&h, key, mpq_st_meta(st, key), name, err);
    }
    if (rc == 0)
        rc = mpq_gguf_head_finish(&h, out, err);
    mpq_gguf_head_free(&h);
    return rc < 0 ? -1 : 1;
}

int
mpq_native_rounded(const struct mpq_st *st, const char *name, struct mpq_type *type)
{
    const char *text = type_text(st, name, strlen(name));
    struct mpq_tensor t = { 0 };
    uint64_t row_bytes;

    if (!text || parse_type(text, &t, &row_bytes) < 0)
        return 0;
    *type = t.type;
    return 1;
}
