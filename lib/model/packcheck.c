#include "model/packcheck.h"

#include "fmt/st.h"
#include "model/checkpoint.h"
#include "model/native.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int
same_shape(const struct mpq_tensor *a, const struct mpq_tensor *b)
{
    return a->n_dims == b->n_dims &&
           memcmp(a->dim, b->dim, a->n_dims * sizeof *a->dim) == 0;
}

/* Holds the tensor T of the file against the piece P. ROUNDED: what a fake file says
 * that it was rounded to; otherwise NULL. */
static int
compare(const struct mpq_piece *p, const struct mpq_tensor *t,
        const struct mpq_type *rounded, const char *name, struct mpq_err *err)
{
    char wanted[MPQ_TYPE_NAME_MAX], found[MPQ_TYPE_NAME_MAX];
    struct mpq_type got = rounded ? *rounded : t->type;
    struct mpq_type want = rounded ? p->type : p->stored;

    if (strcmp(t->name, p->name) != 0)
        return mpq_fail(err, MPQ_EDATA, "%s: read back: tensor %s instead of %s", name,
                        t->name, p->name);
    if (!mpq_type_eq(got, want) || !mpq_type_eq(t->type, p->stored))
        return mpq_fail(
            err, MPQ_EDATA, "%s: read back: tensor %s: type %s instead of %s", name,
            t->name, mpq_type_name(got, found), mpq_type_name(want, wanted));
    if (!same_shape(t, &p->weight->tensor))
        return mpq_fail(err, MPQ_EDATA, "%s: read back: tensor %s: another shape", name,
                        t->name);
    return 0;
}

static int
bad_count(const struct mpq_packfile *f, size_t n, const char *name, struct mpq_err *err)
{
    return mpq_fail(err, MPQ_EDATA, "%s: read back: %zu tensors instead of %zu", name,
                    n, f->n);
}

static int
check_gguf(const struct mpq_packfile *f, const struct mpq_map *map, const char *name,
           struct mpq_err *err)
{
    struct mpq_gguf *g;
    int rc = 0;

    if (mpq_gguf_open(&g, map, name, err) < 0)
        return -1;
    if (mpq_gguf_count(g) != f->n)
        rc = bad_count(f, mpq_gguf_count(g), name, err);
    for (size_t i = 0; rc == 0 && i < f->n; i++)
        rc = compare(&f->pieces[i], mpq_gguf_tensor(g, i), NULL, name, err);
    mpq_gguf_free(g);
    return rc;
}

static int
check_st(const struct mpq_packfile *f, const struct mpq_map *map, const char *name,
         struct mpq_err *err)
{
    struct mpq_native_tensor *tensors = NULL;
    struct mpq_pool names = { 0 };
    struct mpq_st *st = NULL;
    size_t n = 0;
    int rc = -1;

    if (mpq_st_open(&st, map, name, err) < 0 ||
        mpq_native_tensors(st, name, &names, &tensors, &n, err) < 0)
        goto out;
    if (n != f->n) {
        bad_count(f, n, name, err);
        goto out;
    }
    for (size_t i = 0; i < n; i++) {
        const struct mpq_piece *p = &f->pieces[i];
        struct mpq_type rounded = { 0 };
        int fake = f->form == MPQ_PACK_FAKE && p->weight->is_matrix;
        if (fake && !mpq_native_rounded(st, p->weight->file_name, &rounded)) {
            mpq_fail(err, MPQ_EDATA, "%s: read back: tensor %s: no type", name,
                     p->weight->file_name);
            goto out;
        }
        if (compare(p, &tensors[i].tensor, fake ? &rounded : NULL, name, err) < 0)
            goto out;
    }
    rc = 0;
out:
    free(tensors);
    mpq_pool_free(&names);
    mpq_st_free(st);
    return rc;
}

/* Holds the tensor T of a checkpoint against a part of P, NULL: all of it. */
static int
compare_part(const struct mpq_piece *p, const struct mpq_part *part,
             const struct mpq_tensor *t, const char *name, struct mpq_err *err)
{
    const size_t module = strlen(p->name) - (part ? strlen(".weight") : 0);

    if (!part)
        return compare(p, t, NULL, name, err);
    if (strncmp(t->name, p->name, module) != 0 ||
        strcmp(t->name + module, part->suffix) != 0)
        return mpq_fail(err, MPQ_EDATA, "%s: read back: tensor %s instead of %.*s%s",
                        name, t->name, (int)module, p->name, part->suffix);
    if (!mpq_type_eq(t->type, part->type) || t->n_dims != part->n_dims ||
        memcmp(t->dim, part->dim, t->n_dims * sizeof *t->dim) != 0)
        return mpq_fail(err, MPQ_EDATA, "%s: read back: tensor %s: type or shape", name,
                        t->name);
    return 0;
}

static int
check_checkpoint(const struct mpq_packfile *f, const struct mpq_map *map,
                 const char *name, struct mpq_err *err)
{
    struct mpq_st *st = NULL;
    size_t at = 0, n = 1;
    int rc = mpq_st_open(&st, map, name, err);

    for (size_t i = 0; rc == 0 && i < f->n; i++) {
        const struct mpq_piece *p = &f->pieces[i];
        const int packed = p->stored.id == MPQ_INT;
        struct mpq_part parts[MPQ_PARTS_MAX];
        n = 1;
        if (packed && mpq_checkpoint_parts(f->form, p->stored, p->weight->rows,
                                           p->weight->cols, parts, &n) < 0)
            n = SIZE_MAX;
        for (size_t k = 0; rc == 0 && k < n; k++, at++)
            rc = at < mpq_st_count(st) ? compare_part(p, packed ? &parts[k] : NULL,
                                                      mpq_st_tensor(st, at), name, err)
                                       : bad_count(f, mpq_st_count(st), name, err);
    }
    if (rc == 0 && at != mpq_st_count(st))
        rc = bad_count(f, mpq_st_count(st), name, err);
    mpq_st_free(st);
    return rc;
}

/* Maps a file with the header of F and as long as F will be: holes take no room. */
static int
map_header(const struct mpq_packfile *f, struct mpq_map *map, struct mpq_err *err)
{
    int fd = mpq_tmp_open(err), rc = -1;

    if (fd < 0)
        return -1;
    if (mpq_tmp_write(fd, f->head.data, f->head.len, "header", err) == 0) {
        if (ftruncate(fd, (off_t)f->size_bytes) < 0)
            mpq_fail_errno(err, "temporary file");
        else
            rc = mpq_map_fd(map, fd, "temporary file", err);
    }
    close(fd);
    return rc;
}

int
mpq_packcheck_written(const struct mpq_packfile *f, struct mpq_out *out,
                      struct mpq_err *err)
{
    const char *name = mpq_out_name(out);
    struct mpq_map map;
    int rc = mpq_out_map(out, &map, err);

    if (rc < 0 || (rc == 0 && map_header(f, &map, err) < 0))
        return -1;
    if (map.size != f->size_bytes)
        rc = mpq_fail(err, MPQ_EDATA,
                      "%s: read back: %" PRIu64 " bytes instead of %" PRIu64, name,
                      map.size, f->size_bytes);
    else if (f->form == MPQ_PACK_GGUF)
        rc = check_gguf(f, &map, name, err);
    else if (mpq_checkpoint_is(f->form))
        rc = check_checkpoint(f, &map, name, err);
    else
        rc = check_st(f, &map, name, err);
    mpq_map_close(&map);
    return rc;
}

void
mpq_packcheck_types(const struct mpq_source *s, const struct mpq_type *types,
                    struct mpq_packcheck *out)
{
    const struct mpq_st *st = mpq_source_st(s);

    *out = (struct mpq_packcheck){ 0 };
    for (size_t i = 0; i < mpq_source_count(s); i++) {
        const struct mpq_weight *w = mpq_source_weight(s, i);
        struct mpq_type found = w->tensor.type;
        if (!w->is_matrix)
            continue;
        if (st && mpq_native_is(st))
            (void)mpq_native_rounded(st, w->file_name, &found);
        if (mpq_type_eq(found, types[i]))
            continue;
        if (out->n_wrong++ == 0) {
            out->first = w;
            out->wanted = types[i];
            out->found = found;
        }
    }
}
