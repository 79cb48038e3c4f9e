#include "model/damage.h"

#include "fmt/sniff.h"
#include "model/rules.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TYPES = 256 };
/* Of a score or damage: sums and products with counts of weights stay finite. */
static const double MAX_VALUE = 1e100;

/* The columns in use; -1 where there is none. */
struct columns {
    int unit, score, params, type, damage, se;
};

static int
no_memory(const struct mpq_damage *d, struct mpq_err *err)
{
    return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", d->file);
}

static int
find_columns(struct mpq_damage *d, const struct mpq_tsv *t, struct columns *c,
             struct mpq_err *err)
{
    const char *kind = mpq_tsv_kind(t);

    *c = (struct columns){ -1, -1, -1, -1, -1, -1 };
    if (kind && strcmp(kind, "scores") != 0 && strcmp(kind, "damage") != 0)
        return mpq_fail_kind(d->file, kind, "scores or damage", "mpq-score", err);
    d->is_scores = kind ? strcmp(kind, "scores") == 0 : mpq_tsv_find(t, "damage") < 0;
    c->unit = mpq_tsv_need(t, "unit", err);
    c->params = mpq_tsv_need(t, "params", err);
    if (d->is_scores) {
        c->score = mpq_tsv_need(t, "score", err);
    } else {
        c->type = mpq_tsv_need(t, "type", err);
        c->damage = mpq_tsv_need(t, "damage", err);
        c->se = mpq_tsv_find(t, "se");
        d->has_se = c->se >= 0;
    }
    return err->code ? -1 : 0;
}

/* A number from 0 to MAX_VALUE. */
static int
read_number(const struct mpq_tsv *t, size_t row, int col, double *out,
            struct mpq_err *err)
{
    if (mpq_tsv_double(t, row, (size_t)col, out, err) < 0)
        return -1;
    if (*out >= 0 && *out <= MAX_VALUE)
        return 0;
    return mpq_fail(
        err, MPQ_EDATA, "%s:%zu: %s of %.40s: a number from 0 to %g is expected",
        mpq_tsv_name(t), mpq_tsv_line(t, row), mpq_tsv_col_name(t, (size_t)col),
        mpq_tsv_cell(t, row, (size_t)col), MAX_VALUE);
}

static uint64_t
common_divisor(uint64_t a, uint64_t b)
{
    while (b) {
        uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static struct mpq_damage_group *
group_of(const struct mpq_damage *d, int layer, enum mpq_module module)
{
    return &d->groups[(size_t)layer * MPQ_N_MODULES + module];
}

static void
add_matrix(struct mpq_damage_group *g, const struct mpq_matrix *m)
{
    g->params += (double)m->rows * (double)m->cols;
    g->cols = common_divisor(m->cols, g->cols);
}

/* Sums up layers and modules, once for all rows that name one. */
static int
survey_layers(struct mpq_damage *d, struct mpq_err *err)
{
    const struct mpq_layout *l = d->layout;

    for (size_t i = 0; i < l->n; i++)
        if (l->matrices[i].layer >= (int)d->n_layers)
            d->n_layers = (size_t)l->matrices[i].layer + 1;
    d->groups = mpq_array(d->n_layers, MPQ_N_MODULES * sizeof *d->groups);
    if (!d->groups)
        return no_memory(d, err);
    for (size_t i = 0; i < l->n; i++) {
        const struct mpq_matrix *m = &l->matrices[i];
        if (!m->is_linear || m->layer < 0)
            continue;
        add_matrix(group_of(d, m->layer, MPQ_MODULE_NONE), m);
        add_matrix(group_of(d, m->layer, mpq_role_module(m->role)), m);
    }
    return 0;
}

/* What the unit has in the model: sets params and cols; 0 when there is no such. */
static int
find_unit(const struct mpq_damage *d, struct mpq_damage_unit *u)
{
    const struct mpq_layout *l = d->layout;
    const struct mpq_matrix *m = mpq_layout_find(l, u->name);
    int layer;

    u->params = 0;
    if (!m && l->tied && strcmp(u->name, "output") == 0)
        m = mpq_layout_find(l, "token_embd");
    if (m) {
        u->params = (double)m->rows * (double)m->cols;
        return 1;
    }
    const enum mpq_module module = mpq_name_unit_module(u->name, &layer);
    if (!module)
        layer = mpq_name_unit_layer(u->name);
    if (layer < 0 || (size_t)layer >= d->n_layers)
        return 0;
    u->params = group_of(d, layer, module)->params;
    u->cols = group_of(d, layer, module)->cols;
    return u->params > 0;
}

/* Has unit U of this row as many weights as in the model? */
static int
check_params(const struct mpq_damage *d, const struct mpq_damage_unit *u,
             const struct mpq_tsv *t, size_t row, const struct columns *c,
             struct mpq_err *err)
{
    uint64_t params;

    if (mpq_tsv_u64(t, row, (size_t)c->params, &params, err) < 0)
        return -1;
    if ((double)params == u->params)
        return 0;
    return mpq_fail(
        err, MPQ_EDATA, "%s:%zu: unit %.120s has %llu params, the model's has %.0f",
        d->file, mpq_tsv_line(t, row), u->name, (unsigned long long)params, u->params);
}

/* The unit of a row, new or known. */
static int
take_unit(struct mpq_damage *d, const struct mpq_tsv *t, size_t row,
          const struct columns *c, size_t *cap, struct mpq_err *err)
{
    struct mpq_damage_unit u = { .line = mpq_tsv_line(t, row) };

    u.name = mpq_pool_strdup(&d->strings, mpq_tsv_cell(t, row, (size_t)c->unit));
    if (!u.name || mpq_grow(&d->units, cap, d->n + 1, sizeof *d->units) < 0)
        return no_memory(d, err);
    if (!find_unit(d, &u))
        return mpq_fail(err, MPQ_EDATA,
                        "%s:%zu: unit %.120s is no layer or matrix of the model",
                        d->file, u.line, u.name);
    if (check_params(d, &u, t, row, c, err) < 0)
        return -1;
    if (d->is_scores && read_number(t, row, c->score, &u.score, err) < 0)
        return -1;
    d->units[d->n++] = u;
    return 0;
}

static int
read_scores(struct mpq_damage *d, const struct mpq_tsv *t, const struct columns *c,
            struct mpq_err *err)
{
    size_t cap = 0;

    for (size_t r = 0; r < mpq_tsv_rows(t); r++)
        if (take_unit(d, t, r, c, &cap, err) < 0 ||
            mpq_index_add(&d->index, d->units[r].name, r) < 0)
            return err->code ? -1 : no_memory(d, err);
    const char *twice = mpq_index_sort(&d->index);
    if (twice)
        return mpq_fail(err, MPQ_EDATA, "%s: two rows for unit %.120s", d->file, twice);
    return 0;
}

/* Position of the row's type in d->types, added if new. */
static int
take_type(struct mpq_damage *d, const char *text, size_t line, size_t *pos,
          struct mpq_err *err)
{
    struct mpq_type type;

    if (mpq_type_parse(text, &type) < 0)
        return mpq_fail(err, MPQ_EDATA, "%s:%zu: unknown type %.40s", d->file, line,
                        text);
    for (*pos = 0; *pos < d->n_types; ++*pos)
        if (mpq_type_eq(d->types[*pos], type))
            return 0;
    if (d->n_types == MAX_TYPES)
        return mpq_fail(err, MPQ_EDATA, "%s:%zu: more than %d types", d->file, line,
                        MAX_TYPES);
    d->types[d->n_types++] = type;
    return 0;
}

/* First all units and types, so that the arrays have their sizes. */
static int
collect(struct mpq_damage *d, const struct mpq_tsv *t, const struct columns *c,
        struct mpq_err *err)
{
    struct mpq_index seen = { 0 };
    size_t cap = 0, pos;
    int rc = -1;

    d->types = mpq_array(MAX_TYPES, sizeof *d->types);
    if (!d->types)
        return no_memory(d, err);
    for (size_t r = 0; r < mpq_tsv_rows(t); r++)
        if (mpq_index_add(&seen, mpq_tsv_cell(t, r, (size_t)c->unit), r) < 0) {
            no_memory(d, err);
            goto out;
        }
    (void)mpq_index_sort(&seen); /* a unit has a row for each type */
    for (size_t r = 0; r < mpq_tsv_rows(t); r++) {
        const char *name = mpq_tsv_cell(t, r, (size_t)c->unit);
        const char *type = mpq_tsv_cell(t, r, (size_t)c->type);
        if (take_type(d, type, mpq_tsv_line(t, r), &pos, err) < 0)
            goto out;
        if (!mpq_index_find(&seen, name, &pos))
            goto out;
        if (pos != r)
            continue;
        if (take_unit(d, t, r, c, &cap, err) < 0 ||
            mpq_index_add(&d->index, d->units[d->n - 1].name, d->n - 1) < 0) {
            no_memory(d, err);
            goto out;
        }
    }
    (void)mpq_index_sort(&d->index);
    rc = 0;
out:
    mpq_index_free(&seen);
    return rc;
}

static int
read_damages(struct mpq_damage *d, const struct mpq_tsv *t, const struct columns *c,
             struct mpq_err *err)
{
    size_t unit = 0, type, cells;

    if (collect(d, t, c, err) < 0)
        return -1;
    cells = d->n * d->n_types; /* both are bounded by the rows read, types by 256 */
    d->damage = mpq_array(cells, sizeof *d->damage);
    d->se = mpq_array(cells, sizeof *d->se);
    if (!d->damage || !d->se)
        return no_memory(d, err);
    for (size_t i = 0; i < cells; i++)
        d->damage[i] = NAN;
    for (size_t r = 0; r < mpq_tsv_rows(t); r++) {
        const char *name = mpq_tsv_cell(t, r, (size_t)c->unit);
        const char *text = mpq_tsv_cell(t, r, (size_t)c->type);
        if (take_type(d, text, mpq_tsv_line(t, r), &type, err) < 0)
            return -1;
        if (!mpq_index_find(&d->index, name, &unit))
            return mpq_fail(err, MPQ_EDATA, "%s: unit %.120s is lost", d->file, name);
        if (check_params(d, &d->units[unit], t, r, c, err) < 0)
            return -1;
        size_t cell = unit * d->n_types + type;
        if (!isnan(d->damage[cell]))
            return mpq_fail(err, MPQ_EDATA, "%s:%zu: a second row for unit %.120s, %s",
                            d->file, mpq_tsv_line(t, r), name, text);
        if (read_number(t, r, c->damage, &d->damage[cell], err) < 0 ||
            (c->se >= 0 && read_number(t, r, c->se, &d->se[cell], err) < 0))
            return -1;
    }
    return 0;
}

static int
by_score(const void *a_, const void *b_)
{
    const struct mpq_damage_unit *const *a = a_, *const *b = b_;

    return ((*a)->score > (*b)->score) - ((*a)->score < (*b)->score);
}

/* The score below which half of the parameters lie. */
static int
take_median(struct mpq_damage *d, struct mpq_err *err)
{
    const struct mpq_damage_unit **order = mpq_array(d->n, sizeof *order);
    double params = 0, below = 0;

    if (!order)
        return no_memory(d, err);
    for (size_t u = 0; u < d->n; u++) {
        order[u] = &d->units[u];
        params += d->units[u].params;
    }
    qsort(order, d->n, sizeof *order, by_score);
    for (size_t u = 0; u < d->n && 2 * below < params; u++) {
        below += order[u]->params;
        d->median_score = order[u]->score;
    }
    free(order);
    return 0;
}

/* Means for each parameter, for what has no row. */
static int
take_means(struct mpq_damage *d, struct mpq_err *err)
{
    d->mean = mpq_array(d->n_types, sizeof *d->mean);
    d->mean_se = mpq_array(d->n_types, sizeof *d->mean_se);
    if (!d->mean || !d->mean_se)
        return no_memory(d, err);
    if (take_median(d, err) < 0)
        return -1;
    for (size_t j = 0; j < d->n_types; j++) {
        double damage = 0, se = 0, over = 0;
        for (size_t u = 0; u < d->n; u++) {
            if (isnan(d->damage[u * d->n_types + j]))
                continue;
            damage += d->damage[u * d->n_types + j];
            se += d->se[u * d->n_types + j];
            over += d->units[u].params;
        }
        d->mean[j] = over > 0 ? damage / over : NAN;
        d->mean_se[j] = over > 0 ? se / over : NAN;
    }
    return 0;
}

/* Notes that matrix I has one of the types of the table, and so has it already when its
 * group, unit U, was given it as a whole. */
static void
count_kept(struct mpq_damage *d, size_t u, const struct mpq_matrix *m)
{
    for (size_t j = 0; j < d->n_types; j++)
        if (mpq_type_eq(d->types[j], m->type))
            d->kept[u * d->n_types + j] += (double)m->rows * (double)m->cols;
}

/* The unit of M's module, or else of its layer; SIZE_MAX when neither has a row. */
static size_t
find_group(struct mpq_damage *d, const struct mpq_matrix *m)
{
    char name[64];
    size_t unit;

    snprintf(name, sizeof name, "blk.%d%s", m->layer,
             mpq_module_names[mpq_role_module(m->role)]);
    if (mpq_index_find(&d->index, name, &unit)) {
        d->has_modules = 1;
        return unit;
    }
    snprintf(name, sizeof name, "blk.%d", m->layer);
    return mpq_index_find(&d->index, name, &unit) ? unit : SIZE_MAX;
}

/* Which unit tells of which matrix. */
static int
link_matrices(struct mpq_damage *d, struct mpq_err *err)
{
    const struct mpq_layout *l = d->layout;

    d->own = mpq_array(l->n, sizeof *d->own);
    d->group = mpq_array(l->n, sizeof *d->group);
    d->kept = mpq_array(d->n * d->n_types, sizeof *d->kept);
    if (!d->own || !d->group || !d->kept)
        return no_memory(d, err);
    for (size_t i = 0; i < l->n; i++) {
        const struct mpq_matrix *m = &l->matrices[i];
        d->own[i] = SIZE_MAX;
        if (mpq_index_find(&d->index, m->name, &d->own[i]))
            d->has_tensors |= m->is_linear;
        else
            d->own[i] = SIZE_MAX;
        d->group[i] = m->is_linear ? find_group(d, m) : SIZE_MAX;
        if (d->group[i] != SIZE_MAX)
            count_kept(d, d->group[i], m);
    }
    if (!l->tied || mpq_layout_find(l, "output") ||
        !mpq_index_find(&d->index, "output", &d->second))
        d->second = SIZE_MAX;
    return 0;
}

int
mpq_damage_read(struct mpq_damage *d, const struct mpq_tsv *t,
                const struct mpq_layout *layout, struct mpq_err *err)
{
    struct columns c;
    int rc = -1;

    *d = (struct mpq_damage){ .layout = layout, .second = SIZE_MAX };
    d->file = mpq_strdup(mpq_tsv_name(t));
    if (!d->file) {
        mpq_fail(err, MPQ_ENOMEM, "damages: out of memory");
        goto out;
    }
    if (find_columns(d, t, &c, err) < 0)
        goto out;
    if (mpq_tsv_rows(t) == 0) {
        mpq_fail(err, MPQ_EDATA, "%s: no rows", d->file);
        goto out;
    }
    rc = survey_layers(d, err);
    if (rc == 0)
        rc = d->is_scores ? read_scores(d, t, &c, err) : read_damages(d, t, &c, err);
    if (rc == 0)
        rc = take_means(d, err);
    if (rc == 0)
        rc = link_matrices(d, err);
out:
    if (rc < 0)
        mpq_damage_free(d);
    return rc;
}

void
mpq_damage_free(struct mpq_damage *d)
{
    free(d->units);
    free(d->types);
    free(d->damage);
    free(d->se);
    free(d->mean);
    free(d->mean_se);
    free(d->own);
    free(d->group);
    free(d->kept);
    free(d->groups);
    free(d->file);
    mpq_index_free(&d->index);
    mpq_pool_free(&d->strings);
    *d = (struct mpq_damage){ 0 };
}
