/* mpq-score --fill: damages for all pairs, from probes of some and a cheap figure of
 * all. */
#include "score_own.h"

#include "base/buf.h"
#include "base/index.h"
#include "method/fill.h"
#include "method/pairs.h"
#include "model/layout.h"
#include "quant/codec.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Names told apart: name number id[i] is the i-th that was put in. */
struct set {
    const char **names; /* [n] */
    size_t n, *id;
};

struct job {
    struct score_tables probes, cheap;
    struct mpq_pairs probe, all;
    struct set units, types, families;
    double *coarse, *low, *delta, *delta_se, *damage, *se, *inputs;
    int has_inputs; /* of low, apart from them: what probes of weights do not see */
    struct mpq_fill_family *fits;
    struct score_scales scales;
};

static void
close_job(struct job *j)
{
    struct set *sets[] = { &j->units, &j->types, &j->families };

    for (size_t i = 0; i < 3; i++) {
        free(sets[i]->names);
        free(sets[i]->id);
    }
    mpq_pairs_free(&j->probe);
    mpq_pairs_free(&j->all);
    score_scales_free(&j->scales);
    score_free(&j->probes);
    score_free(&j->cheap);
    free(j->coarse);
    free(j->low);
    free(j->delta);
    free(j->delta_se);
    free(j->damage);
    free(j->se);
    free(j->inputs);
    free(j->fits);
}

static int
no_memory(struct mpq_err *err)
{
    return mpq_fail(err, MPQ_ENOMEM, "out of memory");
}

/* Tells NAMES[n] apart. */
static int
make_set(struct set *s, const char *const *names, size_t n, struct mpq_err *err)
{
    struct mpq_index index = { 0 };
    int rc = -1;

    s->names = mpq_array(n, sizeof *s->names);
    s->id = mpq_array(n, sizeof *s->id);
    if (!s->names || !s->id)
        goto out;
    for (size_t i = 0; i < n; i++)
        if (mpq_index_add(&index, names[i], i) < 0)
            goto out;
    (void)mpq_index_sort(&index);
    for (size_t i = 0; i < n; i++) {
        const struct mpq_index_entry *e = &index.entries[i];
        if (i == 0 || strcmp(e->name, index.entries[i - 1].name) != 0)
            s->names[s->n++] = e->name;
        s->id[e->pos] = s->n - 1;
    }
    rc = 0;
out:
    mpq_index_free(&index);
    return rc < 0 ? no_memory(err) : 0;
}

static int
read_inputs(struct job *j, char **names, size_t n, struct mpq_err *err)
{
    static char *fill[1];
    struct mpq_objective o;

    fill[0] = mpq_strdup(score.fill);
    if (!fill[0])
        return no_memory(err);
    int rc = score_read(&j->probes, names, n, "probe", err);
    if (rc == 0)
        rc = score_read(&j->cheap, fill, 1, "damage", err);
    free(fill[0]);
    if (rc < 0 || mpq_objective_choose(j->probes.all, j->probes.n, score.tasks,
                                       score_metric(), "kld", &o, err) < 0)
        return -1;
    struct mpq_pairs_how how = { .kind = MPQ_PAIRS_PROBE,
                                 .task = o.task,
                                 .metric = o.metric,
                                 .types = score.types,
                                 .n_types = score.n_types };
    if (mpq_pairs_read(&j->probe, j->probes.all, j->probes.n, &how, err) < 0)
        return -1;
    how.kind = MPQ_PAIRS_DAMAGE;
    if (mpq_pairs_read(&j->all, j->cheap.all, 1, &how, err) < 0 ||
        score_check_damages(&j->all, err) < 0 ||
        score_scales_read(&j->scales, score.scale, err) < 0)
        return -1;
    return score_scales_check(&j->scales, &j->all, err);
}

/* The rows of the cheap table, then those of the probe. */
static const struct mpq_pair *
row(const struct job *j, size_t i)
{
    return i < j->all.n ? &j->all.rows[i] : &j->probe.rows[i - j->all.n];
}

/* Which units, types and families there are. */
static int
make_sets(struct job *j, struct mpq_err *err)
{
    const size_t n = j->all.n + j->probe.n;
    const char **names = mpq_array(n, sizeof *names);
    int rc = -1;

    if (!names)
        return no_memory(err);
    for (size_t i = 0; i < n; i++)
        names[i] = row(j, i)->unit;
    if (make_set(&j->units, names, n, err) < 0)
        goto out;
    for (size_t i = 0; i < n; i++)
        names[i] = row(j, i)->type;
    if (make_set(&j->types, names, n, err) < 0)
        goto out;
    for (size_t u = 0; u < j->units.n; u++)
        names[u] = score_family(j->units.names[u]);
    rc = make_set(&j->families, names, j->units.n, err);
out:
    free(names);
    return rc;
}

/* Where row I's pair stands in the arrays. */
static size_t
pair_of(const struct job *j, size_t i)
{
    return j->units.id[i] * j->types.n + j->types.id[i];
}

/* The probe has units of DAMAGE's, and they are as large there. */
static int
check_units(const struct job *j, struct mpq_err *err)
{
    double *params = mpq_array(j->units.n, sizeof *params); /* NAN: not in DAMAGE */
    const struct mpq_pair *lost = NULL;
    size_t found = 0;
    int rc = -1;

    if (!params)
        return no_memory(err);
    for (size_t u = 0; u < j->units.n; u++)
        params[u] = NAN;
    for (size_t i = 0; i < j->all.n; i++)
        params[j->units.id[i]] = row(j, i)->params;
    for (size_t i = j->all.n; i < j->all.n + j->probe.n; i++) {
        const struct mpq_pair *r = row(j, i);
        const double there = params[j->units.id[i]];
        if (isnan(there)) {
            lost = lost ? lost : r;
            continue;
        }
        found++;
        if (r->params != there) {
            mpq_fail(err, MPQ_EDATA, "%s: %.120s has %.0f params, in %s %.0f",
                     j->probe.file, r->unit, r->params, j->all.file, there);
            goto out;
        }
    }
    if (!lost)
        rc = 0;
    else if (found)
        mpq_fail(err, MPQ_EDATA, "%s: no row for unit %.120s, which %s has",
                 j->all.file, lost->unit, j->probe.file);
    else
        mpq_fail(err, MPQ_EDATA,
                 "%s has units such as %.100s, %s such as %.100s, none in common:"
                 " both are to be by layer, by module or by tensor",
                 j->probe.file, lost->unit, j->all.file, j->all.rows->unit);
out:
    free(params);
    return rc;
}

static int
make_arrays(struct job *j, struct mpq_err *err)
{
    double **arrays[] = { &j->low,    &j->delta, &j->delta_se,
                          &j->damage, &j->se,    &j->inputs };
    const size_t n = j->units.n * j->types.n;

    j->coarse = mpq_array(j->types.n, sizeof *j->coarse);
    j->fits = mpq_array(j->families.n, sizeof *j->fits);
    if (!j->coarse || !j->fits || (j->types.n && n / j->types.n != j->units.n))
        return no_memory(err);
    for (size_t a = 0; a < sizeof arrays / sizeof *arrays; a++) {
        double *x = *arrays[a] = mpq_array(n, sizeof *x);
        if (!x)
            return no_memory(err);
        for (size_t i = 0; i < n; i++)
            x[i] = NAN;
    }
    for (size_t t = 0; t < j->types.n; t++) {
        struct mpq_type type;
        if (mpq_type_parse(j->types.names[t], &type) < 0)
            return mpq_fail(err, MPQ_EDATA, "unknown type %s", j->types.names[t]);
        j->coarse[t] = fmax(mpq_type_error(type), 1e-12);
    }
    for (size_t i = 0; i < j->all.n; i++) {
        const struct mpq_pair *r = row(j, i);
        j->low[pair_of(j, i)] = r->value - r->inputs;
        j->inputs[pair_of(j, i)] = r->inputs;
    }
    j->has_inputs = mpq_tsv_find(j->cheap.all[0], "inputs") >= 0;
    for (size_t i = j->all.n; i < j->all.n + j->probe.n; i++) {
        j->delta[pair_of(j, i)] = row(j, i)->value;
        j->delta_se[pair_of(j, i)] = row(j, i)->se;
    }
    return 0;
}

/* A row of the probe whose pair DAMAGE lacks: it stands behind those of DAMAGE. */
static int
is_appended(const struct job *j, size_t i)
{
    return i >= j->all.n && isnan(j->low[pair_of(j, i)]);
}

/* From what was fitted to what is written: scaled, inputs added, and held against what
 * a table can take. */
static int
finish(struct job *j, struct mpq_err *err)
{
    for (size_t i = 0; i < j->all.n + j->probe.n; i++) {
        const struct mpq_pair *r = row(j, i);
        const size_t p = pair_of(j, i);
        const double x = score_scale_of(&j->scales, r->unit);
        if (i >= j->all.n && !is_appended(j, i))
            continue;
        j->inputs[p] = isnan(j->inputs[p]) ? 0 : j->inputs[p];
        j->damage[p] = x * j->damage[p] + j->inputs[p];
        j->se[p] *= x;
        if (score_check_pair(j->probe.file, r->unit, r->type, j->damage[p], j->se[p],
                             err) < 0)
            return -1;
    }
    for (size_t f = 0; f < j->families.n; f++)
        if (j->fits[f].n && (score_check(j->probe.file, j->families.names[f], "scale",
                                         j->fits[f].scale, 0, err) < 0 ||
                             score_check(j->probe.file, j->families.names[f], "factor",
                                         j->fits[f].factor, 0, err) < 0))
            return -1;
    return 0;
}

/* What of the probes tells less than one might think. */
static void
say_doubts(const struct job *j)
{
    size_t above = 0, appended = 0;

    for (size_t i = j->all.n; i < j->all.n + j->probe.n; i++) {
        above += row(j, i)->value > 0;
        appended += (size_t)is_appended(j, i);
    }
    if (!above)
        cli_note("%s, %s: none of %zu deltas is above 0: their standard errors count",
                 j->probe.task, j->probe.metric, j->probe.n);
    if (appended)
        cli_note(
            "%s: %zu of %zu probes have types that %s lacks for the unit: there the"
            " delta is all that is known",
            j->probe.file, appended, j->probe.n, j->all.file);
}

static int
compute(struct job *j, struct mpq_err *err)
{
    if (make_sets(j, err) < 0 || check_units(j, err) < 0 || make_arrays(j, err) < 0)
        return -1;
    const struct mpq_fill in = { .n_units = j->units.n,
                                 .n_types = j->types.n,
                                 .n_families = j->families.n,
                                 .family = j->families.id,
                                 .coarse = j->coarse,
                                 .cheap = j->low,
                                 .measured = j->delta,
                                 .se = j->delta_se };
    struct mpq_err why = { 0 };

    if (mpq_fill(&in, j->damage, j->se, j->fits, &why) == 0)
        return finish(j, err);
    return mpq_fail(err, (enum mpq_code)why.code, "%s: %s", j->probe.file, why.text);
}

/* NAME and its figure, or nothing where there were too few pairs for it. */
struct agreement {
    char text[32];
};

static struct agreement
agreement(const char *name, int digits, double r)
{
    struct agreement a = { "" };

    if (isfinite(r))
        snprintf(a.text, sizeof a.text, "%s%.*f", name, digits, r);
    return a;
}

/* ##fill ffn_down n=30 scale=0.8 correlation=0.98 within=0.95 factor=1.2 */
static int
put_fits(const struct job *j, struct mpq_tsv_writer *w, struct mpq_err *err)
{
    for (size_t i = 0; i < j->families.n; i++) {
        const struct mpq_fill_family *f = &j->fits[i];
        if (f->n == 0)
            continue;
        if (f->n == 1)
            cli_debug("%s: one probe is %.3g times the figure of %s",
                      j->families.names[i], f->scale, j->all.file);
        else
            cli_debug("%s: %zu probes are %.3g times the figure of %s, give or take a "
                      "factor of %.2f%s%s",
                      j->families.names[i], f->n, f->scale, j->all.file, f->factor,
                      agreement("; correlation ", 2, f->correlation).text,
                      agreement(", of units alone ", 2, f->within).text);
        if (mpq_tsv_put_meta(w, err, "fill %s n=%zu scale=%.6g%s%s factor=%.4f",
                             j->families.names[i], f->n, f->scale,
                             agreement(" correlation=", 4, f->correlation).text,
                             agreement(" within=", 4, f->within).text, f->factor) < 0)
            return -1;
    }
    return 0;
}

static int
put_rows(const struct job *j, struct mpq_tsv_writer *w, struct mpq_err *err)
{
    if (mpq_tsv_columns(w,
                        j->has_inputs ? "unit\ttype\tbits\tparams\tdamage\tse\tcheap\t"
                                        "delta1\tse1\tinputs"
                                      : "unit\ttype\tbits\tparams\tdamage\tse\tcheap\t"
                                        "delta1\tse1",
                        err) < 0)
        return -1;
    for (size_t i = 0; i < j->all.n + j->probe.n; i++) {
        const struct mpq_pair *r = row(j, i);
        const size_t p = pair_of(j, i);
        if (i >= j->all.n && !is_appended(j, i))
            continue; /* stands among the cheap ones */
        char last[32] = "";
        if (j->has_inputs)
            snprintf(last, sizeof last, "\t%.17g", j->inputs[p]);
        if (mpq_tsv_row(w, err,
                        "%s\t%s\t%.17g\t%.17g\t%.17g\t%.17g\t%.17g\t%.17g\t%.17g%s",
                        r->unit, r->type, r->bits, r->params, j->damage[p], j->se[p],
                        j->low[p], j->delta[p], j->delta_se[p], last) < 0)
            return -1;
    }
    return 0;
}

/* All rows, with what stands before them. */
static int
put_all(const void *job, struct mpq_tsv_writer *w, struct mpq_err *err)
{
    const struct job *j = job;

    return put_fits(j, w, err) < 0 || put_rows(j, w, err) < 0 ? -1 : 0;
}

int
score_fill(char **names, size_t n, struct mpq_err *err)
{
    struct job j = { 0 };
    int rc = -1;

    if (read_inputs(&j, names, n, err) < 0 || score_one_model(&j.probes, err) < 0 ||
        score_one_whole(j.probes.all, j.probes.n, err) < 0 || compute(&j, err) < 0)
        goto out;
    say_doubts(&j);
    /* Probes by --each back are of a packed file, the plan is for DAMAGE's model. */
    const int has_layout = mpq_layout_in_tsv(j.cheap.meta);
    rc = score_write(has_layout ? &j.cheap : &j.probes, "damage", put_all, &j, err);
out:
    close_job(&j);
    return rc;
}
