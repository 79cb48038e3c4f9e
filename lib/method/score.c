#include "method/score.h"

#include "base/buf.h"
#include "method/baseline.h"
#include "method/score_own.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int
out_of_memory(struct mpq_err *err)
{
    return mpq_fail(err, MPQ_ENOMEM, "scores: out of memory");
}

struct mpq_stat_span *
mpq_stat_spans(const struct mpq_statset *s)
{
    struct mpq_stat_span *spans = mpq_array(s->n_layers, sizeof *spans);
    size_t n = 0;

    for (size_t i = 0; spans && i < s->n; i++) {
        if (s->units[i].layer < 0)
            continue;
        if (n == 0 || spans[n - 1].layer != s->units[i].layer)
            spans[n++] = (struct mpq_stat_span){ s->units[i].layer, i, i };
        spans[n - 1].end = i + 1;
    }
    return spans;
}

int
mpq_stat_is_tensor(const struct mpq_stat_unit *u)
{
    return u->has >> MPQ_STAT_N & 1;
}

struct mpq_score *
mpq_score_add(struct mpq_scores *out, const char *unit, int layer, double params,
              struct mpq_err *err)
{
    struct mpq_score *r = &out->rows[out->n];
    char text[32];

    snprintf(text, sizeof text, "blk.%d", layer);
    *r = (struct mpq_score){ .unit = mpq_strdup(unit ? unit : text),
                             .layer = layer,
                             .params = params };
    if (!r->unit) {
        out_of_memory(err);
        return NULL;
    }
    out->n++;
    return r;
}

/* The baselines */

static enum mpq_stat
stat_of(const struct mpq_score_how *how)
{
    switch (how->method) {
    case MPQ_SCORE_ZD:
        return MPQ_STAT_ZSHARE;
    case MPQ_SCORE_EWQ:
        return MPQ_STAT_ENTROPY;
    case MPQ_SCORE_KURTBOOST:
        return MPQ_STAT_KURT;
    default:
        return how->bits == 2   ? MPQ_STAT_MSE2
               : how->bits == 3 ? MPQ_STAT_MSE3
               : how->bits == 4 ? MPQ_STAT_MSE4
                                : MPQ_STAT_MSE8;
    }
}

/* Mean of a stat over a layer's tensors, X and W being scratch; *params their weights.
 */
static int
layer_mean(const struct mpq_statset *s, const struct mpq_stat_span *span,
           enum mpq_stat stat, double *x, double *w, double *mean, double *params,
           struct mpq_err *err)
{
    const int weighted = stat != MPQ_STAT_ZSHARE && stat != MPQ_STAT_KURT;
    size_t n = 0;

    *params = 0;
    for (size_t i = span->first; i < span->end; i++) {
        const struct mpq_stat_unit *u = &s->units[i];
        if (!mpq_stat_is_tensor(u))
            continue;
        if (mpq_stat_need(u, stat, err) < 0)
            return -1;
        x[n] = u->stat[stat];
        w[n++] = u->stat[MPQ_STAT_N];
        *params += u->stat[MPQ_STAT_N];
    }
    if (n == 0)
        return mpq_stat_need(&s->units[span->first], MPQ_STAT_N, err);
    *mean = weighted ? mpq_weighted_mean(x, w, n) : mpq_mean(x, n);
    return 0;
}

static int
layer_rows(struct mpq_scores *out, const struct mpq_statset *s, enum mpq_stat stat,
           struct mpq_err *err)
{
    struct mpq_stat_span *spans = mpq_stat_spans(s);
    double *x = mpq_array(s->n, sizeof *x), *w = mpq_array(s->n, sizeof *w);
    int rc = -1;

    if (!spans || !x || !w) {
        out_of_memory(err);
        goto out;
    }
    for (size_t i = 0; i < s->n_layers; i++) {
        double mean = 0, params = 0;
        if (layer_mean(s, &spans[i], stat, x, w, &mean, &params, err) < 0)
            goto out;
        struct mpq_score *r = mpq_score_add(out, NULL, spans[i].layer, params, err);
        if (!r)
            goto out;
        r->score = r->detail[0] = mean;
    }
    rc = 0;
out:
    free(spans);
    free(x);
    free(w);
    return rc;
}

static int
tensor_rows(struct mpq_scores *out, const struct mpq_statset *s, enum mpq_stat stat,
            struct mpq_err *err)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct mpq_stat_unit *u = &s->units[i];
        if (!mpq_stat_is_tensor(u))
            continue;
        if (mpq_stat_need(u, stat, err) < 0)
            return -1;
        struct mpq_score *r =
            mpq_score_add(out, u->name, u->layer, u->stat[MPQ_STAT_N], err);
        if (!r)
            return -1;
        r->score = r->detail[0] = u->stat[stat];
    }
    return 0;
}

/* What follows "blk.N.", so that tensors of one kind can be told; NULL outside. */
static const char *
kind_of(const char *unit)
{
    const char *dot = strncmp(unit, "blk.", 4) ? NULL : strchr(unit + 4, '.');
    return dot ? dot + 1 : NULL;
}

static int
same_kind(const struct mpq_score *a, const struct mpq_score *b, int by_tensor)
{
    const char *x, *y;

    if (!by_tensor)
        return 1;
    x = kind_of(a->unit);
    y = kind_of(b->unit);
    return x && y && strcmp(x, y) == 0;
}

/* LIM and LSAQ: a figure of the whole layer, which its weights share. */
static int
span_rows(struct mpq_scores *out, const struct mpq_statset *s,
          const struct mpq_stat_span *span, enum mpq_stat stat, int by_tensor,
          struct mpq_err *err)
{
    const struct mpq_stat_unit *layer = NULL;
    struct mpq_score *r = NULL;
    double params = 0;

    for (size_t i = span->first; i < span->end; i++) {
        const struct mpq_stat_unit *u = &s->units[i];
        if (u->has >> stat & 1)
            layer = u;
        if (mpq_stat_is_tensor(u))
            params += u->stat[MPQ_STAT_N];
    }
    if (!layer)
        return mpq_fail(err, MPQ_EDATA, "%s: blk.%d: no stat %s",
                        mpq_tsv_name(s->units[span->first].table), span->layer,
                        mpq_stat_names[stat]);
    if (params == 0)
        return mpq_stat_need(&s->units[span->first], MPQ_STAT_N, err);
    const double value = layer->stat[stat];
    if (!(value >= 0))
        return mpq_fail(err, MPQ_EDATA, "%s: %s: stat %s is %g, below 0",
                        mpq_tsv_name(layer->table), layer->name, mpq_stat_names[stat],
                        value);
    for (size_t i = span->first; by_tensor && i < span->end; i++) {
        const struct mpq_stat_unit *u = &s->units[i];
        if (!mpq_stat_is_tensor(u))
            continue;
        if (!(r = mpq_score_add(out, u->name, u->layer, u->stat[MPQ_STAT_N], err)))
            return -1;
        r->score = r->detail[0] = value;
    }
    if (by_tensor)
        return 0;
    if (!(r = mpq_score_add(out, NULL, span->layer, params, err)))
        return -1;
    r->score = r->detail[0] = value;
    return 0;
}

static int
score_reach(struct mpq_scores *out, const struct mpq_statset *s,
            const struct mpq_score_how *how, struct mpq_err *err)
{
    static const char *const names[] = { "lim", "lsaq" };
    const int lsaq = how->method == MPQ_SCORE_LSAQ;
    struct mpq_stat_span *spans = mpq_stat_spans(s);
    int rc = spans ? 0 : out_of_memory(err);

    out->columns = &names[lsaq];
    out->n_details = 1;
    for (size_t i = 0; rc == 0 && i < s->n_layers; i++)
        rc = span_rows(out, s, &spans[i], lsaq ? MPQ_STAT_LSAQ : MPQ_STAT_LIM,
                       how->by_tensor, err);
    free(spans);
    return rc;
}

/* KurtBoost along the depth, for each kind of tensor by itself; details raw, kurt. */
static int
boost(struct mpq_scores *out, int by_tensor, struct mpq_err *err)
{
    double *kurt = mpq_array(out->n, sizeof *kurt),
           *raw = mpq_array(out->n, sizeof *raw);
    unsigned char *done = mpq_array(out->n, 1);
    int rc = -1;

    if (!kurt || !raw || !done) {
        out_of_memory(err);
        goto out;
    }
    for (size_t i = 0; i < out->n; i++) {
        size_t n = 0;
        for (size_t j = i; !done[i] && j < out->n; j++)
            if (j == i || same_kind(&out->rows[i], &out->rows[j], by_tensor))
                kurt[n++] = out->rows[j].score;
        mpq_kurtboost(kurt, raw, n);
        n = 0;
        for (size_t j = i; !done[i] && j < out->n; j++)
            if (j > i && same_kind(&out->rows[i], &out->rows[j], by_tensor)) {
                out->rows[j].detail[0] = raw[++n];
                done[j] = 1;
            }
        if (!done[i])
            out->rows[i].detail[0] = raw[0];
        done[i] = 1;
    }
    for (size_t i = 0; i < out->n; i++) {
        out->rows[i].detail[1] = out->rows[i].score;
        raw[i] = out->rows[i].detail[0];
    }
    if (mpq_positive(raw, kurt, out->n) < 0) {
        out_of_memory(err);
        goto out;
    }
    for (size_t i = 0; i < out->n; i++)
        out->rows[i].score = kurt[i];
    rc = 0;
out:
    free(kurt);
    free(raw);
    free(done);
    return rc;
}

static int
score_baseline(struct mpq_scores *out, const struct mpq_statset *s,
               const struct mpq_score_how *how, struct mpq_err *err)
{
    static const char *const names[] = { "mse", "zshare", "entropy" };
    static const char *const boosted[] = { "raw", "kurt" };
    const enum mpq_stat stat = stat_of(how);
    const int boosts = how->method == MPQ_SCORE_KURTBOOST;

    out->columns = boosts ? boosted : &names[how->method - MPQ_SCORE_MSE];
    out->n_details = boosts ? 2 : 1;
    if (how->by_tensor ? tensor_rows(out, s, stat, err) < 0
                       : layer_rows(out, s, stat, err) < 0)
        return -1;
    return boosts ? boost(out, how->by_tensor, err) : 0;
}

int
mpq_score_run(struct mpq_scores *out, const struct mpq_statset *s,
              const struct mpq_score_how *how, struct mpq_err *err)
{
    int rc;

    *out = (struct mpq_scores){ 0 };
    out->rows = mpq_array(s->n, sizeof *out->rows);
    if (!out->rows)
        return out_of_memory(err);
    if (how->method <= MPQ_SCORE_SE)
        rc = mpq_score_nsds(out, s, how, err);
    else
        rc = how->method >= MPQ_SCORE_LIM ? score_reach(out, s, how, err)
                                          : score_baseline(out, s, how, err);
    if (rc < 0)
        mpq_scores_free(out);
    return rc;
}

void
mpq_scores_free(struct mpq_scores *s)
{
    for (size_t i = 0; i < s->n; i++)
        free(s->rows[i].unit);
    free(s->rows);
    *s = (struct mpq_scores){ 0 };
}
