/* Plans in memory, and as tables. */
#include "model/plan.h"

#include "base/io.h"
#include "fmt/gz.h"
#include "fmt/sniff.h"
#include "model/plan_own.h"
#include "model/rules.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int
mpq_plan_new(struct mpq_plan *p, const struct mpq_layout *layout, struct mpq_err *err)
{
    *p = (struct mpq_plan){ .layout = layout };
    p->types = mpq_array(layout->n, sizeof *p->types);
    p->by_layer = mpq_array(layout->n, sizeof *p->by_layer);
    if (!p->types || !p->by_layer) {
        mpq_plan_free(p);
        return mpq_fail(err, MPQ_ENOMEM, "plan: out of memory");
    }
    for (size_t i = 0; i < layout->n; i++)
        p->types[i] = layout->matrices[i].type;
    return 0;
}

void
mpq_plan_free(struct mpq_plan *p)
{
    free(p->types);
    free(p->by_layer);
    *p = (struct mpq_plan){ 0 };
}

int
mpq_plan_fits(const struct mpq_matrix *m, struct mpq_type type, const char *place,
              struct mpq_err *err)
{
    char name[MPQ_TYPE_NAME_MAX];

    if (mpq_type_fits(type, m->cols))
        return 0;
    return mpq_fail(
        err, MPQ_EDATA, "%s: %s needs rows of a multiple of %u, %s has %" PRIu64, place,
        mpq_type_name(type, name), (unsigned)mpq_type_block(type), m->name, m->cols);
}

/* While a table is read: what covers each matrix. */
enum cover { NOTHING, BY_LAYER, BY_ITSELF };

static int
set(struct mpq_plan *p, unsigned char *cover, size_t i, struct mpq_type type,
    enum cover how, const char *unit, const char *place, struct mpq_err *err)
{
    const struct mpq_matrix *m = &p->layout->matrices[i];

    if (cover[i] == (unsigned char)how)
        return mpq_fail(err, MPQ_EDATA, "%s: a second row for unit %s", place, unit);
    if (cover[i] == BY_ITSELF)
        return 0;
    if (how == BY_ITSELF && mpq_plan_fits(m, type, place, err) < 0)
        return -1;
    cover[i] = (unsigned char)how;
    p->types[i] = type;
    p->by_layer[i] = how == BY_LAYER;
    return 0;
}

static int
read_row(struct mpq_plan *p, unsigned char *cover, const char *unit, const char *text,
         const char *place, struct mpq_err *err)
{
    const struct mpq_layout *l = p->layout;
    int layer = mpq_name_unit_layer(unit), found = 0;
    struct mpq_type type;
    size_t at;

    if (mpq_type_parse(text, &type) < 0)
        return mpq_fail(err, MPQ_EDATA, "%s: unit %.80s: unknown type %.40s", place,
                        unit, text);
    if (mpq_index_find(&l->index, unit, &at))
        return set(p, cover, at, type, BY_ITSELF, unit, place, err);
    for (size_t i = 0; i < l->n && layer >= 0; i++) {
        if (l->matrices[i].layer != layer || !l->matrices[i].is_linear)
            continue;
        found = 1;
        if (set(p, cover, i, type, BY_LAYER, unit, place, err) < 0)
            return -1;
    }
    if (!found)
        return mpq_fail(err, MPQ_EDATA,
                        "%s: unit %.120s is no layer or matrix of the "
                        "model",
                        place, unit);
    return 0;
}

int
mpq_plan_from_tsv(struct mpq_plan *p, const struct mpq_tsv *t,
                  const struct mpq_layout *layout, struct mpq_err *err)
{
    const char *file = mpq_tsv_name(t);
    unsigned char *cover = mpq_array(layout->n, 1);
    char place[512];
    int rc = -1;

    *p = (struct mpq_plan){ 0 };
    int unit = mpq_tsv_need(t, "unit", err), type = mpq_tsv_need(t, "type", err);
    if (!cover)
        mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", file);
    if (unit < 0 || type < 0 || !cover || mpq_plan_new(p, layout, err) < 0)
        goto out;
    mpq_layout_tsv_id(t, p->model_id);
    for (size_t r = 0; r < mpq_tsv_rows(t); r++) {
        snprintf(place, sizeof place, "%.200s:%zu", file, mpq_tsv_line(t, r));
        if (read_row(p, cover, mpq_tsv_cell(t, r, (size_t)unit),
                     mpq_tsv_cell(t, r, (size_t)type), place, err) < 0)
            goto out;
    }
    for (size_t i = 0; i < layout->n; i++) {
        if (cover[i] == NOTHING) {
            mpq_fail(err, MPQ_EDATA,
                     "%s: no row for %s, neither of its own nor of its layer", file,
                     layout->matrices[i].name);
            goto out;
        }
        /* A layer's type need not fit a matrix that has its own: checked only here. */
        if (mpq_plan_fits(&layout->matrices[i], p->types[i], file, err) < 0)
            goto out;
    }
    rc = 0;
out:
    free(cover);
    if (rc < 0)
        mpq_plan_free(p);
    return rc;
}

/* Does TEXT[n] begin like a table: "##...", or "#" and tab-separated names? So does one
 * without names, which is told what is missing, and what is no text at all. */
static int
is_table(const char *text, size_t n)
{
    const char *end = n ? memchr(text, '\n', n) : NULL;
    size_t first = end ? (size_t)(end - text) : n;

    if (n >= 2 && text[0] == '#' && text[1] == '#')
        return 1;
    if (mpq_sniff_model(text, n))
        return 1;
    if (!memchr(text, '\t', first))
        return 0;
    return text[0] == '#' || !memchr(text, '=', first);
}

int
mpq_plan_read(struct mpq_plan *p, const char *path, const struct mpq_layout *layout,
              struct mpq_err *err)
{
    const char *name = strcmp(path, "-") == 0 ? "standard input" : path;
    struct mpq_tsv *t = NULL;
    struct mpq_map m;
    int rc = -1;

    *p = (struct mpq_plan){ 0 };
    if (mpq_map_open(&m, path, err) < 0)
        return -1;
    if (mpq_gz_expand(&m, name, err) < 0)
        goto out;
    if (m.size == 0) {
        mpq_fail(err, MPQ_EDATA, "%s: empty", name);
    } else if (!is_table((const char *)m.data, (size_t)m.size)) {
        rc = mpq_plan_from_lines(p, (const char *)m.data, (size_t)m.size, name, layout,
                                 err);
    } else if (mpq_tsv_parse(&t, (const char *)m.data, (size_t)m.size, name, "plan",
                             err) == 0) {
        rc = mpq_plan_from_tsv(p, t, layout, err);
    }
out:
    mpq_tsv_free(t);
    mpq_map_close(&m);
    return rc;
}

/* The row of matrix FIRST, or, by_layer, of all that share its row. */
static int
write_row(const struct mpq_plan *p, size_t first, struct mpq_tsv_writer *w,
          struct mpq_err *err)
{
    const struct mpq_matrix *m = &p->layout->matrices[first];
    uint64_t params = 0, bytes = 0, size;
    char type[MPQ_TYPE_NAME_MAX], unit[32];

    for (size_t i = first; i < p->layout->n; i++) {
        const struct mpq_matrix *o = &p->layout->matrices[i];
        if (i != first &&
            !(p->by_layer[first] && p->by_layer[i] && o->layer == m->layer))
            continue;
        if (mpq_plan_fits(o, p->types[first], "plan", err) < 0)
            return -1;
        if (mpq_type_bytes(p->types[first], o->rows, o->cols, &size) < 0 ||
            mpq_add_u64(bytes, size, &bytes) < 0)
            return mpq_fail(err, MPQ_EDATA, "plan: %s is too large", o->name);
        params += o->rows * o->cols;
    }
    snprintf(unit, sizeof unit, "blk.%d", m->layer);
    return mpq_tsv_row(w, err, "%s\t%s\t%.17g\t%" PRIu64 "\t%" PRIu64,
                       p->by_layer[first] ? unit : m->name,
                       mpq_type_name(p->types[first], type),
                       8.0 * (double)bytes / (double)params, params, bytes);
}

int
mpq_plan_write(const struct mpq_plan *p, struct mpq_tsv_writer *w, struct mpq_err *err)
{
    int last = -1; /* the layer whose row was written last; layers come in order */

    if (mpq_tsv_columns(w, "unit\ttype\tbits\tparams\tbytes", err) < 0)
        return -1;
    for (size_t i = 0; i < p->layout->n; i++) {
        if (p->by_layer[i]) {
            if (p->layout->matrices[i].layer == last)
                continue;
            last = p->layout->matrices[i].layer;
        }
        if (write_row(p, i, w, err) < 0)
            return -1;
    }
    return 0;
}
