/* mpq-score --refine: damages against what whole plans have cost. */
#include "score_own.h"

#include "base/buf.h"
#include "base/parse.h"
#include "base/text.h"
#include "method/refine.h"
#include "model/damage.h"
#include "model/plan.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_OBJECTIVES = 64 };

struct job {
    struct score_tables tables;
    struct mpq_layout layout;
    struct mpq_damage damage;
    double weight[MAX_OBJECTIVES]; /* of each delta, by what it was divided by */
    size_t n_objectives;           /* 0: the damage is the delta */
    double *d, *total;             /* [plans][types], [plans] */
    double *factor, mean;          /* [types], of the plans */
};

static void
close_job(struct job *j)
{
    free(j->d);
    free(j->total);
    free(j->factor);
    mpq_damage_free(&j->damage);
    mpq_layout_free(&j->layout);
    score_free(&j->tables);
}

/* The number behind KEY (" sum=") in a line of metadata. */
static int
number_in(const char *line, const char *key, double *out)
{
    const char *at = strstr(line, key);
    char text[64];

    if (!at)
        return -1;
    at += strlen(key);
    const size_t n = strcspn(at, " ");
    if (n >= sizeof text)
        return -1;
    memcpy(text, at, n);
    text[n] = '\0';
    return mpq_parse_double(text, out);
}

/* What mpq-score has made the damages of. */
static int
read_objectives(struct job *j, struct mpq_err *err)
{
    const struct mpq_tsv *t = j->tables.meta;
    double weight, by;

    for (size_t i = 0; i < mpq_tsv_meta_count(t); i++) {
        const char *line = mpq_tsv_meta(t, i);
        if (!mpq_text_begins(line, "objective "))
            continue;
        if (j->n_objectives == MAX_OBJECTIVES ||
            number_in(line, " weight=", &weight) < 0 ||
            number_in(line, " sum=", &by) < 0 || !(weight >= 0) || !(by > 0))
            return mpq_fail(err, MPQ_EDATA, "%s: ##%.80s: no weight and sum",
                            mpq_tsv_name(t), line);
        j->weight[j->n_objectives++] = weight / by;
    }
    return 0;
}

/* DELTA,DELTA...: what a packed file lost by each objective, as one damage. */
static int
read_total(const struct job *j, const char *text, double *total, struct mpq_err *err)
{
    const size_t n = j->n_objectives ? j->n_objectives : 1;
    char word[64];
    double delta;

    *total = 0;
    for (size_t k = 0; k < n; k++) {
        const size_t len = strcspn(text, ",");
        snprintf(word, sizeof word, "%.*s", (int)len, text);
        if (len >= sizeof word || mpq_parse_double(word, &delta) < 0 ||
            (text[len] == ',') != (k + 1 < n))
            return mpq_fail(
                err, MPQ_EUSAGE,
                "--refine: %.40s: PLAN=DELTA takes %zu number%s, one for each"
                " objective",
                text, n, n == 1 ? "" : "s");
        if (delta > 0)
            *total += j->n_objectives ? delta * j->weight[k] : delta;
        text += len + 1;
    }
    if (!(*total > 0))
        return mpq_fail(err, MPQ_EDATA,
                        "--refine: a plan that lost nothing tells nothing");
    if (*total < 1e100)
        return 0;
    return mpq_fail(err, MPQ_EUSAGE, "--refine: a loss of %g is too large", *total);
}

/* Adds up what PLAN has of each type. */
static int
add_plan(const struct job *j, const struct mpq_plan *plan, const char *name, double *d,
         struct mpq_err *err)
{
    const struct mpq_damage *x = &j->damage;
    double damage, se, sum = 0;

    for (size_t i = 0; i < j->layout.n; i++) {
        size_t t = 0;
        while (t < x->n_types && !mpq_type_eq(x->types[t], plan->types[i]))
            t++;
        if (mpq_damage_of(x, i, plan->types[i], &damage, &se, err) < 0)
            return -1;
        if (t < x->n_types)
            d[t] += damage;
        sum += damage;
    }
    if (sum > 0)
        return 0;
    return mpq_fail(err, MPQ_EDATA, "%s: has no damage: there is nothing to rescale",
                    name);
}

static int
take_plan(struct job *j, const char *arg, size_t k, struct mpq_err *err)
{
    const char *equals = strrchr(arg, '=');
    struct mpq_plan plan = { 0 };
    char *name = equals ? mpq_strndup(arg, (size_t)(equals - arg)) : NULL;
    int rc = -1;

    if (!equals)
        return mpq_fail(err, MPQ_EUSAGE, "--refine: %.80s: PLAN=DELTA is expected",
                        arg);
    if (!name)
        return mpq_fail(err, MPQ_ENOMEM, "out of memory");
    if (read_total(j, equals + 1, &j->total[k], err) == 0 &&
        mpq_plan_read(&plan, name, &j->layout, err) == 0)
        rc = add_plan(j, &plan, name, j->d + k * j->damage.n_types, err);
    mpq_plan_free(&plan);
    free(name);
    return rc;
}

static int
compute(struct job *j, struct mpq_err *err)
{
    const size_t n = score.refine.n, types = j->damage.n_types;

    if (j->damage.is_scores)
        return mpq_fail(err, MPQ_EDATA, "%s: scores, --refine takes damages",
                        mpq_tsv_name(j->tables.meta));
    j->d = mpq_array(n, types * sizeof *j->d);
    j->total = mpq_array(n, sizeof *j->total);
    j->factor = mpq_array(types, sizeof *j->factor);
    if (!j->d || !j->total || !j->factor)
        return mpq_fail(err, MPQ_ENOMEM, "out of memory");
    for (size_t k = 0; k < n; k++)
        if (take_plan(j, score.refine.items[k], k, err) < 0)
            return -1;
    const struct mpq_refine in = { .n_plans = n,
                                   .n_types = types,
                                   .d = j->d,
                                   .total = j->total,
                                   .plans = score.refine.items,
                                   .types = j->damage.types };
    return mpq_refine(&in, j->factor, &j->mean, err);
}

/* Says which type is farthest off the mean, where that is farther than is believed. */
static void
say_spread(const struct job *j)
{
    char name[MPQ_TYPE_NAME_MAX];
    size_t far = 0;

    for (size_t i = 1; i < j->damage.n_types; i++)
        if (fabs(j->factor[i] - j->mean) > fabs(j->factor[far] - j->mean))
            far = i;
    const double off = j->factor[far] / j->mean - 1;
    if (fabs(off) > MPQ_REFINE_SPREAD)
        cli_note("%s: factor %.3g, %.0f%% %s the plans' mean of %.3g: more than the"
                 " %.0f%% that types are believed to differ",
                 mpq_type_name(j->damage.types[far], name), j->factor[far],
                 100 * fabs(off), off > 0 ? "above" : "below", j->mean,
                 100 * MPQ_REFINE_SPREAD);
}

/* What is rescaled, as columns of the table; -1 is one that it lacks. */
enum { DAMAGE, SE, INPUTS, N_VALUES };
struct columns {
    int value[N_VALUES], unit, type;
};

static struct columns
find_columns(const struct mpq_tsv *t)
{
    return (struct columns){
        .value = { mpq_tsv_find(t, "damage"), mpq_tsv_find(t, "se"),
                   mpq_tsv_find(t, "inputs") },
        .unit = mpq_tsv_find(t, "unit"),
        .type = mpq_tsv_find(t, "type"),
    };
}

/* The row's damage and error, and what inputs have in it, times the factor of its type.
 */
static int
rescale(const struct job *j, size_t row, const struct columns *c,
        double values[N_VALUES], struct mpq_err *err)
{
    const struct mpq_tsv *t = j->tables.meta;
    struct mpq_type own;
    size_t k = 0;

    if (mpq_type_parse(mpq_tsv_cell(t, row, (size_t)c->type), &own) < 0)
        return mpq_fail(err, MPQ_EDATA, "%s: unknown type", mpq_tsv_name(t));
    while (!mpq_type_eq(j->damage.types[k], own)) /* all were read from this table */
        k++;
    for (size_t i = 0; i < N_VALUES; i++) {
        values[i] = 0;
        if (c->value[i] >= 0 &&
            mpq_tsv_double(t, row, (size_t)c->value[i], &values[i], err) < 0)
            return -1;
        values[i] *= j->factor[k];
    }
    return 0;
}

/* Before anything is written. */
static int
check(const struct job *j, struct mpq_err *err)
{
    const struct mpq_tsv *t = j->tables.meta;
    const struct columns c = find_columns(t);
    const int bits = mpq_tsv_find(t, "bits");
    double values[N_VALUES], x;

    for (size_t r = 0; r < mpq_tsv_rows(t); r++) {
        const char *unit = mpq_tsv_cell(t, r, (size_t)c.unit);
        if ((bits >= 0 && mpq_tsv_double(t, r, (size_t)bits, &x, err) < 0) ||
            (bits >= 0 &&
             score_check(mpq_tsv_name(t), unit, "number of bits", x, 0, err) < 0) ||
            rescale(j, r, &c, values, err) < 0 ||
            score_check_pair(mpq_tsv_name(t), unit, mpq_tsv_cell(t, r, (size_t)c.type),
                             values[DAMAGE], values[SE], err) < 0 ||
            score_check(mpq_tsv_name(t), unit, "figure of inputs", values[INPUTS], 0,
                        err) < 0)
            return -1;
    }
    return 0;
}

/* All rows, with what stands before them: a line for each factor. */
static int
put_all(const void *job, struct mpq_tsv_writer *w, struct mpq_err *err)
{
    const struct job *j = job;
    const struct mpq_tsv *t = j->tables.meta;
    const struct columns c = find_columns(t);
    double values[N_VALUES];
    char name[MPQ_TYPE_NAME_MAX];

    if (score_put_objectives(t, w, err) < 0)
        return -1;
    for (size_t i = 0; i < j->damage.n_types; i++)
        if (mpq_tsv_put_meta(w, err, "refine %s factor=%.17g",
                             mpq_type_name(j->damage.types[i], name), j->factor[i]) < 0)
            return -1;
    if (score_put_columns(t, w, err) < 0)
        return -1;
    for (size_t r = 0; r < mpq_tsv_rows(t); r++)
        if (rescale(j, r, &c, values, err) < 0 ||
            score_put_row(t, r, c.value, values, N_VALUES, w, err) < 0)
            return -1;
    return 0;
}

int
score_refine(char **names, size_t n, struct mpq_err *err)
{
    struct job j = { 0 };
    int rc = -1;

    if (n > 1)
        return mpq_fail(err, MPQ_EUSAGE, "--refine takes one table of damages");
    if (score_read(&j.tables, names, n, NULL, err) < 0 ||
        mpq_layout_from_tsv(&j.layout, j.tables.meta, err) < 0 ||
        mpq_damage_read(&j.damage, j.tables.meta, &j.layout, err) < 0 ||
        read_objectives(&j, err) < 0 || compute(&j, err) < 0 || check(&j, err) < 0)
        goto out;
    say_spread(&j);
    rc = score_write(&j.tables, "damage", put_all, &j, err);
out:
    close_job(&j);
    return rc;
}
