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
    if (!found && l->tied && strcmp(unit, "output") == 0)
        return mpq_fail(err, MPQ_EDATA,
                        "%s: unit output is tied to token_embd: one matrix, one row",
                        place);
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

/* A plan that does not fit may be another model's: then both are named. */
static void
name_models(struct mpq_tsv *t, const struct mpq_layout *layout, struct mpq_err *err)
{
    const char *model = mpq_tsv_info(t, "model");
    struct mpq_err said = *err;

    if (!model || !layout->name[0] || strcmp(model, layout->name) == 0 ||
        said.code != MPQ_EDATA)
        return;
    *err = (struct mpq_err){ 0 };
    mpq_fail(err, MPQ_EDATA, "%.300s (the plan is of %.80s, the model is %.80s)",
             said.text, model, layout->name);
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
        if (rc < 0)
            name_models(t, layout, err);
    }
out:
    mpq_tsv_free(t);
    mpq_map_close(&m);
    return rc;
}

/* A row to be written. */
struct row {
    uint64_t params, bytes;
    struct mpq_type type;
    int written;
};

/* Adds matrix I to its row. */
static int
add_to_row(const struct mpq_plan *p, size_t i, struct row *row, struct mpq_err *err)
{
    const struct mpq_matrix *m = &p->layout->matrices[i];
    uint64_t size;

    if (mpq_plan_fits(m, p->types[i], "plan", err) < 0)
        return -1;
    if (mpq_type_bytes(p->types[i], m->rows, m->cols, &size) < 0 ||
        mpq_add_u64(row->bytes, size, &row->bytes) < 0)
        return mpq_fail(err, MPQ_EDATA, "plan: %s is too large", m->name);
    row->params += m->rows * m->cols;
    row->type = p->types[i];
    return 0;
}

static int
write_row(const struct row *row, const char *unit, struct mpq_tsv_writer *w,
          struct mpq_err *err)
{
    char type[MPQ_TYPE_NAME_MAX];

    return mpq_tsv_row(w, err, "%s\t%s\t%.17g\t%" PRIu64 "\t%" PRIu64, unit,
                       mpq_type_name(row->type, type),
                       8.0 * (double)row->bytes / (double)row->params, row->params,
                       row->bytes);
}

/* The rows of the layers, summed up in one pass: *rows is an array by layer number. */
static int
sum_layers(const struct mpq_plan *p, struct row **rows, struct mpq_err *err)
{
    const struct mpq_layout *l = p->layout;
    size_t n = 0;

    for (size_t i = 0; i < l->n; i++)
        if (l->matrices[i].layer >= (int)n)
            n = (size_t)l->matrices[i].layer + 1;
    *rows = mpq_array(n, sizeof **rows);
    if (!*rows)
        return mpq_fail(err, MPQ_ENOMEM, "plan: out of memory");
    for (size_t i = 0; i < l->n; i++)
        if (p->by_layer[i] && add_to_row(p, i, &(*rows)[l->matrices[i].layer], err) < 0)
            return -1;
    return 0;
}

int
mpq_plan_write(const struct mpq_plan *p, struct mpq_tsv_writer *w, struct mpq_err *err)
{
    struct row *layers = NULL;
    char unit[32];
    int rc = -1;

    if (mpq_tsv_columns(w, "unit\ttype\tbits\tparams\tbytes", err) < 0 ||
        sum_layers(p, &layers, err) < 0)
        goto out;
    for (size_t i = 0; i < p->layout->n; i++) {
        const struct mpq_matrix *m = &p->layout->matrices[i];
        struct row own = { 0 }, *row = p->by_layer[i] ? &layers[m->layer] : &own;
        if (row->written++)
            continue;
        if (row == &own && add_to_row(p, i, row, err) < 0)
            goto out;
        snprintf(unit, sizeof unit, "blk.%d", m->layer);
        if (write_row(row, row == &own ? m->name : unit, w, err) < 0)
            goto out;
    }
    rc = 0;
out:
    free(layers);
    return rc;
}
