/* The header of model.safetensors in a folder that other programs load. */
#include "model/packfile.h"

#include "base/text.h"
#include "fmt/st.h"
#include "model/checkpoint.h"
#include "model/packfile_own.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The widest element of a piece's parts, if they are as long as that, so that what
 * comes behind is aligned; 1: they are not. */
static unsigned
width(const struct mpq_piece *p)
{
    uint64_t bytes = 0;

    if (p->stored.id == MPQ_INT)
        return p->bytes % 8 ? 1 : 8;
    return mpq_type_row_bytes(p->stored, 1, &bytes) < 0 ? 1 : (unsigned)bytes;
}

static int
set_piece(struct mpq_piece *p, const struct mpq_packfile *f, const struct mpq_source *s,
          size_t i, struct mpq_type type, struct mpq_err *err)
{
    const struct mpq_unconverted *u = f->unconvert.tensors;
    const enum mpq_packform form = f->form;
    const struct mpq_weight *w = mpq_source_weight(s, i);
    struct mpq_part parts[MPQ_PARTS_MAX];
    size_t n = 0;
    int rc = 0;

    *p = (struct mpq_piece){ .weight = w, .name = w->file_name, .index = i };
    if (u) {
        p->name = u[i].name;
        p->head = u[i].head;
        p->gathers = 1;
        p->plus = u[i].plus;
    }
    type.whole = type.id == MPQ_INT && !type.varied;
    p->type = p->stored = type;
    if (w->is_matrix && mpq_checkpoint_packs(form) && type.id == MPQ_INT) {
        rc = mpq_checkpoint_parts(form, type, w->rows, w->cols, parts, &n);
        for (size_t k = 0; rc == 0 && k < n; k++)
            rc = mpq_add_u64(p->bytes, parts[k].bytes, &p->bytes);
    } else {
        if (!mpq_type_st_name(type) || (w->is_matrix && !mpq_type_is_float(type)))
            p->stored = mpq_packst_float(w, type);
        rc = mpq_type_bytes(p->stored, w->rows, w->cols, &p->bytes);
    }
    return rc < 0 ? mpq_fail(err, MPQ_EDATA, "tensor %s: its size overflows", w->name)
                  : 0;
}

static int
set_pieces(struct mpq_packfile *out, const struct mpq_source *s,
           const struct mpq_type *types, struct mpq_err *err)
{
    for (unsigned bytes = 8; bytes; bytes /= 2)
        for (size_t i = 0; i < mpq_source_count(s); i++) {
            struct mpq_piece p;
            if (set_piece(&p, out, s, i, types[i], err) < 0)
                return -1;
            if (!p.name || width(&p) != bytes) /* without a name: left out */
                continue;
            if (p.head > (p.weight->is_matrix ? SIZE_MAX : MPQ_CONVERT_HEAD_MAX))
                return mpq_fail(err, MPQ_EDATA,
                                "tensor %s: heads of %" PRIu64 " values", p.name,
                                p.head);
            if (mpq_add_u64(out->size_bytes, p.bytes, &out->size_bytes) < 0)
                return mpq_fail(err, MPQ_EDATA, "%s: its size overflows",
                                mpq_source_name(s));
            out->pieces[out->n++] = p;
        }
    return 0;
}

static int
put_parts(struct mpq_st_head *h, enum mpq_packform form, const struct mpq_piece *p,
          struct mpq_err *err)
{
    struct mpq_part parts[MPQ_PARTS_MAX];
    char name[512];
    size_t n = 0;
    const size_t module = strlen(p->name) - strlen(".weight");

    if (mpq_checkpoint_parts(form, p->stored, p->weight->rows, p->weight->cols, parts,
                             &n) < 0)
        return mpq_fail(err, MPQ_EDATA, "tensor %s: its size overflows", p->name);
    for (size_t i = 0; i < n; i++) {
        snprintf(name, sizeof name, "%.*s%s", (int)module, p->name, parts[i].suffix);
        if (mpq_st_put_tensor(h, name, parts[i].type, parts[i].n_dims, parts[i].dim,
                              err) < 0)
            return -1;
    }
    return 0;
}

static int
put_piece(struct mpq_st_head *h, enum mpq_packform form, const struct mpq_piece *p,
          struct mpq_err *err)
{
    if (p->stored.id != MPQ_INT)
        return mpq_st_put_tensor(h, p->name, p->stored, p->weight->tensor.n_dims,
                                 p->weight->tensor.dim, err);
    if (!mpq_text_ends(p->name, ".weight"))
        return mpq_fail(err, MPQ_EDATA, "tensor %s: is no module's weight", p->name);
    return put_parts(h, form, p, err);
}

int
mpq_packhf_plan(struct mpq_packfile *out, const struct mpq_source *s,
                const struct mpq_type *types, const char *provenance,
                struct mpq_err *err)
{
    char padded[MPQ_PROVENANCE_BYTES + 1];
    struct mpq_st_head *h = NULL;
    const char *config = NULL;
    int rc = -1;

    if (mpq_source_keys(s) ? mpq_unconvert_open(&out->unconvert, s, err) < 0
                           : mpq_source_text(s, "config.json", &config, err) < 0)
        return -1;
    if (!config && !mpq_source_keys(s))
        return mpq_fail(err, MPQ_EDATA, "%s: no config.json: %s needs it",
                        mpq_source_name(s), mpq_checkpoint_name(out->form));
    mpq_packfile_pad(padded, provenance);
    if (mpq_st_head_new(&h, err) < 0 || set_pieces(out, s, types, err) < 0 ||
        mpq_st_put_meta(h, "format", "pt", err) < 0 ||
        mpq_st_put_meta(h, "mpq.provenance", padded, err) < 0)
        goto out;
    for (size_t i = 0; i < out->n; i++)
        if (put_piece(h, out->form, &out->pieces[i], err) < 0)
            goto out;
    if (mpq_st_head_finish(h, 0, &out->head, err) < 0)
        goto out;
    rc = mpq_add_u64(out->size_bytes, out->head.len, &out->size_bytes);
    if (rc < 0)
        mpq_fail(err, MPQ_EDATA, "%s: its size overflows", mpq_source_name(s));
out:
    mpq_st_head_free(h);
    return rc;
}
