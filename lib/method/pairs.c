#include "method/pairs.h"

#include "base/buf.h"
#include "fmt/sniff.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of figures and their errors: squares and sums stay finite. */
static const double MAX_VALUE = 1e100;

/* The columns in use; -1 where there is none. */
struct columns {
    int unit, type, bits, params, task, metric, value, se, inputs;
};

int
mpq_pairs_kind(const struct mpq_tsv *t, struct mpq_err *err)
{
    static const char *const names[] = { "scores", "damage", "probe" };
    const char *kind = mpq_tsv_kind(t);

    for (int k = 0; kind && k < 3; k++)
        if (strcmp(kind, names[k]) == 0)
            return k;
    if (kind)
        return mpq_fail_kind(mpq_tsv_name(t), kind, "scores, damage or probe",
                             "mpq-score or mpq-eval --each", err);
    return mpq_tsv_find(t, "delta") >= 0    ? MPQ_PAIRS_PROBE
           : mpq_tsv_find(t, "damage") >= 0 ? MPQ_PAIRS_DAMAGE
                                            : MPQ_PAIRS_SCORES;
}

static int
find_columns(const struct mpq_tsv *t, int kind, struct columns *c, struct mpq_err *err)
{
    static const char *const values[] = { "score", "damage", "delta" };

    *c = (struct columns){ -1, -1, -1, -1, -1, -1, -1, -1, -1 };
    if ((c->unit = mpq_tsv_need(t, "unit", err)) < 0 ||
        (c->params = mpq_tsv_need(t, "params", err)) < 0 ||
        (c->value = mpq_tsv_need(t, values[kind], err)) < 0)
        return -1;
    if (kind == MPQ_PAIRS_SCORES)
        return 0;
    c->se = mpq_tsv_find(t, "se");
    if (kind == MPQ_PAIRS_DAMAGE)
        c->inputs = mpq_tsv_find(t, "inputs");
    if ((c->type = mpq_tsv_need(t, "type", err)) < 0 ||
        (c->bits = mpq_tsv_need(t, "bits", err)) < 0)
        return -1;
    if (kind == MPQ_PAIRS_PROBE && ((c->task = mpq_tsv_need(t, "task", err)) < 0 ||
                                    (c->metric = mpq_tsv_need(t, "metric", err)) < 0))
        return -1;
    return 0;
}

/* A number from LOW to MAX_VALUE, 0 where there is no column. */
static int
read_number(const struct mpq_tsv *t, size_t row, int col, double low, double *out,
            struct mpq_err *err)
{
    *out = 0;
    if (col < 0)
        return 0;
    if (mpq_tsv_double(t, row, (size_t)col, out, err) < 0)
        return -1;
    if (*out >= low && *out <= MAX_VALUE)
        return 0;
    return mpq_fail(err, MPQ_EDATA, "%s:%zu: %s of %.40s: a number from %g to %g",
                    mpq_tsv_name(t), mpq_tsv_line(t, row),
                    mpq_tsv_col_name(t, (size_t)col), mpq_tsv_cell(t, row, (size_t)col),
                    low, MAX_VALUE);
}

/* Is the row one of those asked for? Sets its type's usual name. */
static int
is_meant(const struct mpq_tsv *t, size_t row, const struct columns *c,
         const struct mpq_pairs_how *how, char name[MPQ_TYPE_NAME_MAX],
         struct mpq_err *err)
{
    struct mpq_type type;

    name[0] = '\0';
    if (c->task >= 0 &&
        (strcmp(mpq_tsv_cell(t, row, (size_t)c->task), how->task) != 0 ||
         strcmp(mpq_tsv_cell(t, row, (size_t)c->metric), how->metric) != 0))
        return 0;
    if (c->type < 0)
        return 1;
    const char *text = mpq_tsv_cell(t, row, (size_t)c->type);
    if (mpq_type_parse(text, &type) < 0)
        return mpq_fail(err, MPQ_EDATA, "%s:%zu: unknown type %.40s", mpq_tsv_name(t),
                        mpq_tsv_line(t, row), text);
    mpq_type_name(type, name);
    for (size_t i = 0; i < how->n_types; i++)
        if (mpq_type_eq(how->types[i], type))
            return 1;
    return how->n_types == 0;
}

static int
no_memory(const struct mpq_pairs *p, struct mpq_err *err)
{
    return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", p->file);
}

static int
add_row(struct mpq_pairs *p, const struct mpq_tsv *t, size_t row,
        const struct columns *c, const char *type, struct mpq_err *err)
{
    struct mpq_pair r = { .unit = mpq_tsv_cell(t, row, (size_t)c->unit),
                          .line = mpq_tsv_line(t, row) };
    struct mpq_buf key = { 0 };

    if (read_number(t, row, c->bits, 0, &r.bits, err) < 0 ||
        read_number(t, row, c->params, 0, &r.params, err) < 0 ||
        read_number(t, row, c->value, -MAX_VALUE, &r.value, err) < 0 ||
        read_number(t, row, c->se, 0, &r.se, err) < 0 ||
        read_number(t, row, c->inputs, 0, &r.inputs, err) < 0)
        return -1;
    mpq_buf_printf(&key, "%s\t%s", r.unit, type);
    r.key = key.failed ? NULL : mpq_pool_strdup(&p->strings, key.data);
    mpq_buf_free(&key);
    if (!r.key || mpq_grow(&p->rows, &p->cap, p->n + 1, sizeof *p->rows) < 0 ||
        mpq_index_add(&p->index, r.key, p->n) < 0)
        return no_memory(p, err);
    r.type = strchr(r.key, '\t') + 1;
    p->rows[p->n++] = r;
    return 0;
}

static int
read_table(struct mpq_pairs *p, const struct mpq_tsv *t,
           const struct mpq_pairs_how *how, struct mpq_err *err)
{
    char type[MPQ_TYPE_NAME_MAX];
    struct columns c;

    if (find_columns(t, how->kind, &c, err) < 0)
        return -1;
    for (size_t r = 0; r < mpq_tsv_rows(t); r++) {
        const int meant = is_meant(t, r, &c, how, type, err);
        if (meant < 0 || (meant && add_row(p, t, r, &c, type, err) < 0))
            return -1;
    }
    return 0;
}

/* "blk.3, q4_k" of a key, in TEXT. */
static const char *
words(const char *key, char text[160])
{
    const size_t unit = strcspn(key, "\t");

    snprintf(text, 160, key[unit + 1] ? "%.*s, %.24s" : "%.*s",
             (int)(unit < 120 ? unit : 120), key, key + unit + 1);
    return text;
}

int
mpq_pairs_read(struct mpq_pairs *out, struct mpq_tsv *const *tables, size_t n_tables,
               const struct mpq_pairs_how *how, struct mpq_err *err)
{
    char text[160];

    *out = (struct mpq_pairs){ .file = mpq_tsv_name(tables[0]),
                               .task = how->task,
                               .metric = how->metric,
                               .typed = how->kind != MPQ_PAIRS_SCORES };
    for (size_t t = 0; t < n_tables; t++)
        if (read_table(out, tables[t], how, err) < 0)
            goto fail;
    if (out->n == 0) {
        mpq_fail(err, MPQ_EDATA, "%s: no rows%s", out->file,
                 how->n_types ? " of these types" : "");
        goto fail;
    }
    const char *twice = mpq_index_sort(&out->index);
    if (!twice)
        return 0;
    mpq_fail(err, MPQ_EDATA, "%s: two rows for %s%s%.40s", out->file,
             words(twice, text), out->metric ? ", " : "",
             out->metric ? out->metric : "");
fail:
    mpq_pairs_free(out);
    return -1;
}

void
mpq_pairs_free(struct mpq_pairs *p)
{
    free(p->rows);
    mpq_index_free(&p->index);
    mpq_pool_free(&p->strings);
    *p = (struct mpq_pairs){ 0 };
}

const struct mpq_pair *
mpq_pairs_find(const struct mpq_pairs *p, const char *key)
{
    size_t pos;

    return mpq_index_find(&p->index, key, &pos) ? &p->rows[pos] : NULL;
}

int
mpq_pairs_within(const struct mpq_pairs *a, const struct mpq_pairs *b,
                 struct mpq_err *err)
{
    char text[160];

    for (size_t i = 0; i < a->n; i++)
        if (!mpq_pairs_find(b, a->rows[i].key))
            return mpq_fail(err, MPQ_EDATA, "%s: no row for %s%s%.40s, which %s has",
                            b->file, words(a->rows[i].key, text), b->metric ? ", " : "",
                            b->metric ? b->metric : "", a->file);
    return 0;
}

/* Objectives */

static int
add_objective(struct mpq_objective *list, size_t *n, struct mpq_objective o,
              const struct mpq_tsv *t, struct mpq_err *err)
{
    for (size_t i = *n; i-- > 0;)
        if (strcmp(list[i].task, o.task) == 0 && strcmp(list[i].metric, o.metric) == 0)
            return 0;
    if (*n == MPQ_MAX_OBJECTIVES)
        return mpq_fail(err, MPQ_EDATA, "%s: more than %d tasks and metrics",
                        mpq_tsv_name(t), MPQ_MAX_OBJECTIVES);
    list[(*n)++] = o;
    return 0;
}

int
mpq_objectives(struct mpq_tsv *const *tables, size_t n_tables,
               struct mpq_objective *list, size_t *n, struct mpq_err *err)
{
    struct columns c;

    *n = 0;
    for (size_t i = 0; i < n_tables; i++) {
        const struct mpq_tsv *t = tables[i];
        if (find_columns(t, MPQ_PAIRS_PROBE, &c, err) < 0)
            return -1;
        for (size_t r = 0; r < mpq_tsv_rows(t); r++) {
            const struct mpq_objective o = { mpq_tsv_cell(t, r, (size_t)c.task),
                                             mpq_tsv_cell(t, r, (size_t)c.metric) };
            if (add_objective(list, n, o, t, err) < 0)
                return -1;
        }
    }
    return 0;
}

/* Keeps those of list[n] that have TASK and METRIC, where not NULL; how many. */
static size_t
keep(struct mpq_objective *list, size_t n, const char *task, const char *metric)
{
    size_t kept = 0;

    for (size_t i = 0; i < n; i++)
        if ((!task || strcmp(list[i].task, task) == 0) &&
            (!metric || strcmp(list[i].metric, metric) == 0))
            list[kept++] = list[i];
    return kept;
}

/* Several are left: says between which to choose. */
static int
fail_several(const struct mpq_objective *list, size_t n, const char *file,
             struct mpq_err *err)
{
    size_t i = 1;

    while (i < n && strcmp(list[i].metric, list[0].metric) == 0)
        i++;
    if (i < n)
        return mpq_fail(err, MPQ_EUSAGE,
                        "%s: metrics %.40s and %.40s: name one with --metric", file,
                        list[0].metric, list[i].metric);
    return mpq_fail(err, MPQ_EUSAGE, "%s: tasks %.80s and %.80s: name one with --task",
                    file, list[0].task, list[1].task);
}

int
mpq_objective_choose(struct mpq_tsv *const *tables, size_t n_tables, const char *task,
                     const char *metric, const char *preferred,
                     struct mpq_objective *out, struct mpq_err *err)
{
    struct mpq_objective list[MPQ_MAX_OBJECTIVES], some[MPQ_MAX_OBJECTIVES];
    const char *file = mpq_tsv_name(tables[0]);
    size_t n, left;

    if (mpq_objectives(tables, n_tables, list, &n, err) < 0)
        return -1;
    n = keep(list, n, task, metric);
    if (n == 0)
        return mpq_fail(err, MPQ_EDATA, "%s: no rows%s%.40s%s%.80s", file,
                        metric ? " of metric " : "", metric ? metric : "",
                        task ? " of task " : "", task ? task : "");
    if (!metric) {
        memcpy(some, list, n * sizeof *list);
        left = keep(some, n, NULL, preferred);
        if (left > 0)
            memcpy(list, some, (n = left) * sizeof *list);
    }
    if (n > 1)
        return fail_several(list, n, file, err);
    *out = list[0];
    return 0;
}
