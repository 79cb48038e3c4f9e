#include "method/statset.h"

#include "base/buf.h"
#include "base/index.h"
#include "base/parse.h"
#include "model/layout.h"

#include <stdlib.h>
#include <string.h>

const char *const mpq_stat_names[MPQ_N_STATS] = {
    "n",    "kurt", "zshare", "entropy",     "mse2", "mse3", "mse4",
    "mse8", "nv",   "se",     "se_official", "lim",  "lsaq",
};

/* A row of a table, to be sorted by unit. */
struct row {
    const char *unit;
    const struct mpq_tsv *table;
    size_t order, row; /* over all tables; in its own */
    int layer;
};

static int
by_unit(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    const int c = strcmp(x->unit, y->unit);

    if (c)
        return c;
    return (x->order > y->order) - (x->order < y->order);
}

static int
by_layer(const void *a, const void *b)
{
    const struct mpq_stat_unit *x = a, *y = b;

    if (x->layer != y->layer)
        return x->layer < y->layer ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

static int
bad_row(const struct row *r, const char *what, struct mpq_err *err)
{
    return mpq_fail(err, MPQ_EDATA, "%s:%zu: %s: %s", mpq_tsv_name(r->table),
                    mpq_tsv_line(r->table, r->row), r->unit, what);
}

static int
read_layer(struct row *r, const char *text, struct mpq_err *err)
{
    uint64_t layer;

    r->layer = -1;
    if (strcmp(text, ".") == 0)
        return 0;
    if (mpq_parse_u64(text, &layer) < 0 || layer >= MPQ_MAX_LAYERS)
        return bad_row(r, "its layer is no number", err);
    r->layer = (int)layer;
    return 0;
}

/* Columns of a table that are read. */
struct columns {
    size_t layer, unit, stat, value;
};

static int
find_columns(const struct mpq_tsv *t, struct columns *c, struct mpq_err *err)
{
    static const char *const names[] = { "layer", "unit", "stat", "value" };
    size_t *const to[] = { &c->layer, &c->unit, &c->stat, &c->value };

    for (size_t i = 0; i < 4; i++) {
        int col = mpq_tsv_need(t, names[i], err);
        if (col < 0)
            return -1;
        *to[i] = (size_t)col;
    }
    return 0;
}

static int
collect_rows(struct row *rows, struct mpq_tsv *const *tables, size_t n_tables,
             struct mpq_err *err)
{
    struct columns c;
    size_t n = 0;

    for (size_t t = 0; t < n_tables; t++) {
        if (find_columns(tables[t], &c, err) < 0)
            return -1;
        for (size_t i = 0; i < mpq_tsv_rows(tables[t]); i++, n++) {
            rows[n] = (struct row){ .unit = mpq_tsv_cell(tables[t], i, c.unit),
                                    .table = tables[t],
                                    .order = n,
                                    .row = i };
            if (read_layer(&rows[n], mpq_tsv_cell(tables[t], i, c.layer), err) < 0)
                return -1;
        }
    }
    return 0;
}

/* Enters one row into its unit. */
static int
enter(struct mpq_stat_unit *u, const struct row *r, struct mpq_err *err)
{
    struct columns c;
    size_t s = 0;
    double value;

    if (find_columns(r->table, &c, err) < 0)
        return -1;
    if (r->layer != u->layer)
        return bad_row(r, "another layer than before", err);
    const char *stat = mpq_tsv_cell(r->table, r->row, c.stat);
    while (s < MPQ_N_STATS && strcmp(stat, mpq_stat_names[s]))
        s++;
    if (s == MPQ_N_STATS)
        return 0;
    if (mpq_tsv_double(r->table, r->row, c.value, &value, err) < 0)
        return -1;
    if (u->has >> s & 1 && (s != MPQ_STAT_N || u->stat[s] != value))
        return mpq_fail(err, MPQ_EDATA, "%s:%zu: %s: stat %s for the second time",
                        mpq_tsv_name(r->table), mpq_tsv_line(r->table, r->row), r->unit,
                        stat);
    u->has |= 1U << s;
    u->stat[s] = value;
    if (s == MPQ_STAT_N && !(u->stat[s] >= 1 && u->stat[s] < 1e18))
        return bad_row(r, "stat n is no number of weights", err);
    return 0;
}

static int
group_rows(struct mpq_statset *out, const struct row *rows, size_t n,
           struct mpq_err *err)
{
    for (size_t i = 0; i < n; i++) {
        struct mpq_stat_unit *u = out->n ? &out->units[out->n - 1] : NULL;
        if (!u || strcmp(u->name, rows[i].unit)) {
            u = &out->units[out->n++];
            *u = (struct mpq_stat_unit){ .name = rows[i].unit,
                                         .layer = rows[i].layer,
                                         .role = mpq_name_role(rows[i].unit),
                                         .row = rows[i].order,
                                         .table = rows[i].table };
        }
        if (enter(u, &rows[i], err) < 0)
            return -1;
    }
    qsort(out->units, out->n, sizeof *out->units, by_layer);
    for (size_t i = 0; i < out->n; i++)
        if (out->units[i].layer >= 0 &&
            (i == 0 || out->units[i].layer != out->units[i - 1].layer))
            out->n_layers++;
    return 0;
}

/* Is every linear weight of the model there? A part that was lost must not pass. */
static int
check_whole(const struct mpq_statset *s, const struct mpq_tsv *t, struct mpq_err *err)
{
    struct mpq_layout layout = { 0 };
    struct mpq_index index = { 0 };
    int rc = -1;
    size_t pos;

    if (!mpq_layout_in_tsv(t))
        return 0;
    if (mpq_layout_from_tsv(&layout, t, err) < 0)
        return -1;
    for (size_t i = 0; i < s->n; i++)
        if (mpq_index_add(&index, s->units[i].name, i) < 0) {
            mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", mpq_tsv_name(t));
            goto out;
        }
    (void)mpq_index_sort(&index); /* units are one each */
    for (size_t i = 0; i < layout.n; i++) {
        const struct mpq_matrix *m = &layout.matrices[i];
        if (m->is_linear && !mpq_index_find(&index, m->name, &pos)) {
            mpq_fail(err, MPQ_EDATA, "%s: %s: no stats, though the model has it",
                     mpq_tsv_name(t), m->name);
            goto out;
        }
    }
    rc = 0;
out:
    mpq_index_free(&index);
    mpq_layout_free(&layout);
    return rc;
}

int
mpq_statset_new(struct mpq_statset *out, struct mpq_tsv *const *tables, size_t n_tables,
                struct mpq_err *err)
{
    struct row *rows = NULL;
    size_t n = 0;
    int rc = -1;

    *out = (struct mpq_statset){ 0 };
    for (size_t t = 0; t < n_tables; t++)
        n += mpq_tsv_rows(tables[t]);
    rows = mpq_array(n, sizeof *rows);
    out->units = mpq_array(n, sizeof *out->units);
    if (!rows || !out->units) {
        mpq_fail(err, MPQ_ENOMEM, "stats: out of memory");
        goto out;
    }
    if (collect_rows(rows, tables, n_tables, err) < 0)
        goto out;
    qsort(rows, n, sizeof *rows, by_unit);
    if (group_rows(out, rows, n, err) < 0)
        goto out;
    for (size_t t = 0; t < n_tables; t++)
        if (check_whole(out, tables[t], err) < 0)
            goto out;
    if (out->n_layers == 0) {
        mpq_fail(err, MPQ_EDATA, "%s: no stats of any layer",
                 n_tables ? mpq_tsv_name(tables[0]) : "stats");
        goto out;
    }
    rc = 0;
out:
    free(rows);
    if (rc < 0)
        mpq_statset_free(out);
    return rc;
}

void
mpq_statset_free(struct mpq_statset *s)
{
    free(s->units);
    *s = (struct mpq_statset){ 0 };
}

int
mpq_stat_need(const struct mpq_stat_unit *u, enum mpq_stat stat, struct mpq_err *err)
{
    if (u->has >> stat & 1)
        return 0;
    return mpq_fail(err, MPQ_EDATA, "%s: %s: no stat %s", mpq_tsv_name(u->table),
                    u->name, mpq_stat_names[stat]);
}
