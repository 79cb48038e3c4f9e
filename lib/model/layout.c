#include "model/layout.h"

#include "base/buf.h"
#include "model/packfile.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int
mpq_layout_index(struct mpq_layout *l, const char *file, struct mpq_err *err)
{
    for (size_t i = 0; i < l->n; i++)
        if (mpq_index_add(&l->index, l->matrices[i].name, i) < 0)
            return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", file);
    const char *twice = mpq_index_sort(&l->index);
    if (twice)
        return mpq_fail(err, MPQ_EDATA,
                        "%s: ##tensor %s: two different lines: of two models?", file,
                        twice);
    return 0;
}

/* The model's other tensors: bytes in the container, each padded to ALIGNMENT. */
static int
rest_bytes(const struct mpq_source *s, uint64_t alignment, uint64_t *bytes,
           struct mpq_err *err)
{
    *bytes = 0;
    for (size_t i = 0; i < mpq_source_count(s); i++) {
        const struct mpq_weight *w = mpq_source_weight(s, i);
        uint64_t size = w->tensor.size_bytes;
        if (w->is_matrix)
            continue;
        uint64_t padding = (alignment - size % alignment) % alignment;
        if (mpq_add_u64(*bytes, size, bytes) < 0 ||
            mpq_add_u64(*bytes, padding, bytes) < 0)
            return mpq_fail(err, MPQ_EDATA, "%s: tensors of more than 2^64 bytes",
                            mpq_source_name(s));
    }
    return 0;
}

static int
measure_source(struct mpq_layout *l, const struct mpq_source *s, struct mpq_err *err)
{
    const struct mpq_gguf *g = mpq_source_gguf(s);

    if (mpq_packfile_native_head_bytes(s, &l->st_header_bytes, err) < 0 ||
        rest_bytes(s, 1, &l->st_rest_bytes, err) < 0)
        return -1;
    struct mpq_err why = { 0 }; /* a model that can be no GGUF is none, that is all */
    if (mpq_packfile_gguf_head_bytes(s, &l->header_bytes, &l->rest_bytes,
                                     g ? err : &why) < 0) {
        if (g)
            return -1;
        l->container = MPQ_CONTAINER_NATIVE;
        l->header_bytes = l->st_header_bytes;
        l->alignment = 1;
        l->rest_bytes = l->st_rest_bytes;
        return 0;
    }
    l->container = MPQ_CONTAINER_GGUF;
    l->alignment = g ? mpq_gguf_alignment(g) : MPQ_CONVERT_ALIGNMENT;
    return 0;
}

/* A matrix that a converted model does not have: it keeps its type elsewhere. */
static int
is_left_out(const struct mpq_source *s, const struct mpq_weight *w)
{
    return !mpq_source_gguf(s) && !mpq_source_keys(s) && mpq_convert_drops(w);
}

int
mpq_layout_from_source(struct mpq_layout *out, const struct mpq_source *s,
                       struct mpq_err *err)
{
    const struct mpq_hparams *hp = mpq_source_hparams(s);
    struct mpq_layout l = { .n_layer = hp->n_layer, .tied = hp->tied };
    size_t cap = 0;
    int rc = -1;

    *out = (struct mpq_layout){ 0 };
    snprintf(l.arch, sizeof l.arch, "%s", hp->arch);
    snprintf(l.name, sizeof l.name, "%s", hp->name);
    if (mpq_source_id(s, l.id, err) < 0 || measure_source(&l, s, err) < 0)
        goto out;
    for (size_t i = 0; i < mpq_source_count(s); i++) {
        const struct mpq_weight *w = mpq_source_weight(s, i);
        if (!w->is_matrix)
            continue;
        if (l.container == MPQ_CONTAINER_GGUF && is_left_out(s, w)) {
            if (mpq_add_u64(l.st_rest_bytes, w->tensor.size_bytes, &l.st_rest_bytes) <
                0) {
                mpq_fail(err, MPQ_EDATA, "%s: tensors of more than 2^64 bytes",
                         mpq_source_name(s));
                goto out;
            }
            continue;
        }
        char *name = mpq_pool_strdup(&l.names, w->name);
        if (!name || mpq_grow(&l.matrices, &cap, l.n + 1, sizeof *l.matrices) < 0) {
            mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", mpq_source_name(s));
            goto out;
        }
        l.matrices[l.n++] = (struct mpq_matrix){ .name = name,
                                                 .type = w->tensor.type,
                                                 .rows = w->rows,
                                                 .cols = w->cols,
                                                 .layer = w->layer,
                                                 .role = w->role,
                                                 .is_linear = w->is_linear };
    }
    if (mpq_layout_index(&l, mpq_source_name(s), err) < 0)
        goto out;
    *out = l;
    l = (struct mpq_layout){ 0 };
    rc = 0;
out:
    mpq_layout_free(&l);
    return rc;
}

void
mpq_layout_free(struct mpq_layout *l)
{
    free(l->matrices);
    mpq_pool_free(&l->names);
    mpq_index_free(&l->index);
    *l = (struct mpq_layout){ 0 };
}

const struct mpq_matrix *
mpq_layout_find(const struct mpq_layout *l, const char *name)
{
    size_t i;
    return mpq_index_find(&l->index, name, &i) ? &l->matrices[i] : NULL;
}

int
mpq_layout_matrix_bytes(const struct mpq_layout *l, enum mpq_container c,
                        const struct mpq_matrix *m, struct mpq_type type,
                        uint64_t *bytes)
{
    uint64_t alignment = c == MPQ_CONTAINER_GGUF ? l->alignment : 1;

    if (c == MPQ_CONTAINER_GGUF && !mpq_type_is_ggml(type))
        return -1;
    if (mpq_type_bytes(type, m->rows, m->cols, bytes) < 0)
        return -1;
    return mpq_add_u64(*bytes, (alignment - *bytes % alignment) % alignment, bytes);
}

enum mpq_container
mpq_layout_container(const struct mpq_layout *l, const struct mpq_type *types)
{
    for (size_t i = 0; i < l->n; i++)
        if (!mpq_type_is_ggml(types[i]))
            return MPQ_CONTAINER_NATIVE;
    return l->container;
}

int
mpq_layout_file_bytes(const struct mpq_layout *l, enum mpq_container c,
                      const struct mpq_type *types, uint64_t *bytes,
                      struct mpq_err *err)
{
    int native = c == MPQ_CONTAINER_NATIVE;
    uint64_t size;

    if (mpq_add_u64(native ? l->st_header_bytes : l->header_bytes,
                    native ? l->st_rest_bytes : l->rest_bytes, bytes) < 0)
        return mpq_fail(err, MPQ_EDATA, "layout: file of more than 2^64 bytes");
    for (size_t i = 0; i < l->n; i++) {
        char name[MPQ_TYPE_NAME_MAX];
        if (mpq_layout_matrix_bytes(l, c, &l->matrices[i], types[i], &size) < 0)
            return mpq_fail(err, MPQ_EDATA,
                            "tensor %s: type %s does not fit rows of %" PRIu64
                            " or the file",
                            l->matrices[i].name, mpq_type_name(types[i], name),
                            l->matrices[i].cols);
        if (mpq_add_u64(*bytes, size, bytes) < 0)
            return mpq_fail(err, MPQ_EDATA, "layout: file of more than 2^64 bytes");
    }
    return 0;
}
