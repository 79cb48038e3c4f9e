/* mpq-score --fill: damages for all pairs, from probes of some and a cheap figure of
 * all. */
#include "score_fill_own.h"

#include "model/layout.h"

#include <math.h>
#include <stdio.h>

/* From what was fitted to what is written: scaled, inputs added, and held against what
 * a table can take. */
static int
finish(struct fill_job *j, struct mpq_err *err)
{
    for (size_t i = 0; i < j->all.n + j->probe.n; i++) {
        const struct mpq_pair *r = fill_row(j, i);
        const size_t p = fill_pair(j, i);
        const double x = score_scale_of(&j->scales, r->unit);
        if (i >= j->all.n && !fill_is_appended(j, i))
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
say_doubts(const struct fill_job *j)
{
    size_t above = 0, appended = 0;

    for (size_t i = j->all.n; i < j->all.n + j->probe.n; i++) {
        above += fill_row(j, i)->value > 0;
        appended += (size_t)fill_is_appended(j, i);
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
compute(struct fill_job *j, struct mpq_err *err)
{
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
put_fits(const struct fill_job *j, struct mpq_tsv_writer *w, struct mpq_err *err)
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
put_rows(const struct fill_job *j, struct mpq_tsv_writer *w, struct mpq_err *err)
{
    if (mpq_tsv_columns(w,
                        j->has_inputs ? "unit\ttype\tbits\tparams\tdamage\tse\tcheap\t"
                                        "delta1\tse1\tinputs"
                                      : "unit\ttype\tbits\tparams\tdamage\tse\tcheap\t"
                                        "delta1\tse1",
                        err) < 0)
        return -1;
    for (size_t i = 0; i < j->all.n + j->probe.n; i++) {
        const struct mpq_pair *r = fill_row(j, i);
        const size_t p = fill_pair(j, i);
        if (i >= j->all.n && !fill_is_appended(j, i))
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
    const struct fill_job *j = job;

    return put_fits(j, w, err) < 0 || put_rows(j, w, err) < 0 ? -1 : 0;
}

int
score_fill(char **names, size_t n, struct mpq_err *err)
{
    struct fill_job j = { 0 };
    int rc = -1;

    if (fill_read(&j, names, n, err) < 0 || compute(&j, err) < 0)
        goto out;
    say_doubts(&j);
    /* Probes by --each back are of a packed file, the plan is for DAMAGE's model. */
    const int has_layout = mpq_layout_in_tsv(j.cheap.meta);
    rc = score_write(has_layout ? &j.cheap : &j.probes, "damage", put_all, &j, err);
out:
    fill_free(&j);
    return rc;
}
