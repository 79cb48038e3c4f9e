/* mpq-score: from statistics to scores, or damages by the error of types. */
#include "score_own.h"

#include "base/buf.h"
#include "method/score.h"
#include "model/layout.h"
#include "quant/codec.h"

#include <string.h>

/* What was read, and what came of it. */
struct job {
    struct score_tables tables;
    struct mpq_statset stats;
    struct mpq_scores scores;
    struct mpq_layout layout;
};

static void
close_job(struct job *j)
{
    mpq_layout_free(&j->layout);
    mpq_scores_free(&j->scores);
    mpq_statset_free(&j->stats);
    score_free(&j->tables);
}

static int
put_scores(const struct job *j, struct mpq_tsv_writer *w, struct mpq_err *err)
{
    const struct mpq_scores *s = &j->scores;
    struct mpq_buf text = { 0 };
    int rc = -1;

    mpq_buf_adds(&text, "unit\tscore\tparams");
    for (size_t c = 0; c < s->n_details; c++)
        mpq_buf_printf(&text, "\t%s", s->columns[c]);
    if (text.failed || mpq_tsv_columns(w, text.data, err) < 0)
        goto out;
    for (size_t i = 0; i < s->n; i++) {
        mpq_buf_free(&text);
        mpq_buf_printf(&text, "%s\t%.17g\t%.17g", s->rows[i].unit, s->rows[i].score,
                       s->rows[i].params);
        for (size_t c = 0; c < s->n_details; c++)
            mpq_buf_printf(&text, "\t%.17g", s->rows[i].detail[c]);
        if (text.failed || mpq_tsv_row(w, err, "%s", text.data) < 0)
            goto out;
    }
    rc = 0;
out:
    if (text.failed)
        mpq_fail(err, MPQ_ENOMEM, "out of memory");
    mpq_buf_free(&text);
    return rc;
}

/* Is M part of the unit of row R? */
static int
covers(const struct mpq_score *r, const struct mpq_matrix *m)
{
    return score.by ? strcmp(r->unit, m->name) == 0
                    : m->is_linear && m->layer == r->layer;
}

/* Mean bits of a weight of the unit, scales included; 0 when a row of it does not take
 * the type. Without the model's shape rows are taken to be long. */
static double
unit_bits(const struct job *j, const struct mpq_score *r, struct mpq_type t)
{
    double sum = 0, weights = 0;

    for (size_t i = 0; i < j->layout.n; i++) {
        const struct mpq_matrix *m = &j->layout.matrices[i];
        if (!covers(r, m))
            continue;
        if (!mpq_type_fits(t, m->cols))
            return 0;
        const double n = (double)m->rows * (double)m->cols;
        sum += n * mpq_type_bpw(t, m->cols);
        weights += n;
    }
    return weights > 0 ? sum / weights : mpq_type_bpw(t, UINT64_C(1) << 24);
}

static double
damage_of(const struct mpq_score *r, struct mpq_type t)
{
    return r->score * r->params * mpq_type_error(t);
}

/* Figures from a file may be of any size: what comes of them is held against what
 * readers take, before anything is written. */
static int
check(const struct job *j, struct mpq_err *err)
{
    const char *file = mpq_tsv_name(j->tables.all[0]);
    char name[MPQ_TYPE_NAME_MAX];

    for (size_t i = 0; i < j->scores.n; i++) {
        const struct mpq_score *r = &j->scores.rows[i];
        if (score_check(file, r->unit, "score", r->score, 0, err) < 0)
            return -1;
        for (size_t c = 0; c < j->scores.n_details; c++)
            if (score_check(file, r->unit, j->scores.columns[c], r->detail[c], -1e100,
                            err) < 0)
                return -1;
        for (size_t t = 0; t < score.n_types; t++)
            if (score_check_pair(file, r->unit, mpq_type_name(score.types[t], name),
                                 damage_of(r, score.types[t]), 0, err) < 0)
                return -1;
    }
    return 0;
}

static int
put_damages(const struct job *j, struct mpq_tsv_writer *w, struct mpq_err *err)
{
    char name[MPQ_TYPE_NAME_MAX];

    if (mpq_tsv_columns(w, "unit\ttype\tbits\tparams\tdamage\tse", err) < 0)
        return -1;
    for (size_t i = 0; i < j->scores.n; i++)
        for (size_t t = 0; t < score.n_types; t++) {
            const struct mpq_score *r = &j->scores.rows[i];
            const double wide = unit_bits(j, r, score.types[t]);
            if (!(wide > 0)) {
                cli_debug("%s: no %s: it does not divide the rows", r->unit,
                          mpq_type_name(score.types[t], name));
                continue;
            }
            if (mpq_tsv_row(w, err, "%s\t%s\t%.17g\t%.17g\t%.17g\t0", r->unit,
                            mpq_type_name(score.types[t], name), wide, r->params,
                            damage_of(r, score.types[t])) < 0)
                return -1;
        }
    return 0;
}

/* All rows, with what stands before them. */
static int
put_all(const void *job, struct mpq_tsv_writer *w, struct mpq_err *err)
{
    const struct job *j = job;

    return score.n_types ? put_damages(j, w, err) : put_scores(j, w, err);
}

int
score_stats(char **names, size_t n, struct mpq_err *err)
{
    static const int widths[] = { 2, 3, 4, 8 };
    const struct mpq_score_how how = { .method = (enum mpq_score_method)score.method,
                                       .official = score.variant,
                                       .bits = widths[score.bits],
                                       .by_tensor = score.by };
    struct job j = { 0 };
    int rc = -1;

    if (score_read(&j.tables, names, n, "stats", err) < 0 ||
        (mpq_layout_in_tsv(j.tables.meta) &&
         mpq_layout_from_tsv(&j.layout, j.tables.meta, err) < 0) ||
        score_one_model(&j.tables, err) < 0 ||
        mpq_statset_new(&j.stats, j.tables.all, j.tables.n, err) < 0 ||
        mpq_score_run(&j.scores, &j.stats, &how, err) < 0 || check(&j, err) < 0)
        goto out;
    rc = score_write(&j.tables, score.n_types ? "damage" : "scores", put_all, &j, err);
out:
    close_job(&j);
    return rc;
}
