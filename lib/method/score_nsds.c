/* NSDS scores from stats: which unit is which component, and the fused scores as rows.
 */
#include "base/buf.h"
#include "method/nsds.h"
#include "method/score_own.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The component that a unit bears figures of, or -1. */
static int
component_of(const struct mpq_stat_unit *u)
{
    const char *dot = strrchr(u->name, '.');

    if (!mpq_stat_is_tensor(u)) { /* one on paper: blk.3.qk */
        for (int c = 0; dot && c < MPQ_N_COMPONENTS; c++)
            if (strcmp(dot + 1, mpq_component_names[c]) == 0)
                return c;
        return -1;
    }
    switch (u->role) {
    case MPQ_ROLE_GATE:
        return MPQ_GATE;
    case MPQ_ROLE_UP:
        return MPQ_UP;
    case MPQ_ROLE_DOWN:
        return MPQ_DOWN;
    default:
        return -1;
    }
}

static int
has_nsds(const struct mpq_stat_unit *u)
{
    return u->has &
           (1U << MPQ_STAT_NV | 1U << MPQ_STAT_SE | 1U << MPQ_STAT_SE_OFFICIAL);
}

/* Mean of component C over the units of a layer that bear it. 1, 0 when there is none.
 */
static int
layer_component(const struct mpq_statset *s, const struct mpq_stat_span *span, int c,
                struct mpq_nsds *out, struct mpq_err *err)
{
    double n = 0;

    *out = (struct mpq_nsds){ 0 };
    for (size_t i = span->first; i < span->end; i++) {
        const struct mpq_stat_unit *u = &s->units[i];
        if (component_of(u) != c || !has_nsds(u))
            continue;
        if (mpq_stat_need(u, MPQ_STAT_NV, err) < 0 ||
            mpq_stat_need(u, MPQ_STAT_SE, err) < 0 ||
            mpq_stat_need(u, MPQ_STAT_SE_OFFICIAL, err) < 0)
            return -1;
        out->nv += u->stat[MPQ_STAT_NV];
        out->se += u->stat[MPQ_STAT_SE];
        out->se_official += u->stat[MPQ_STAT_SE_OFFICIAL];
        n++;
    }
    if (n == 0)
        return 0;
    out->nv /= n;
    out->se /= n;
    out->se_official /= n;
    /* Of tensors with one role all must have it (a fused ffn_up has none, and its
     * figures are those of the paper components). */
    for (size_t i = span->first; i < span->end; i++) {
        const struct mpq_stat_unit *u = &s->units[i];
        if (mpq_stat_is_tensor(u) && component_of(u) == c && !has_nsds(u) && n > 1 &&
            mpq_stat_need(u, MPQ_STAT_NV, err) < 0)
            return -1;
    }
    return 1;
}

static int
no_component(const struct mpq_statset *s, const struct mpq_stat_span *span, int c,
             struct mpq_err *err)
{
    static const char *const units[MPQ_N_COMPONENTS] = { "qk", "ffn_gate", "ffn_up",
                                                         "ov", "ffn_down" };

    return mpq_fail(err, MPQ_EDATA, "%s: blk.%d.%s: no stat nv (mpq-stats --only nsds)",
                    mpq_tsv_name(s->units[span->first].table), span->layer, units[c]);
}

/* Fills in the components of all layers; a bit of *used for each. A gate may be missing
 * from all layers (plain feed-forwards have none), anything else from none. */
static int
gather(struct mpq_nsds_layer *layers, const struct mpq_statset *s,
       const struct mpq_stat_span *spans, unsigned *used, struct mpq_err *err)
{
    *used = 0;
    for (int c = 0; c < MPQ_N_COMPONENTS; c++) {
        size_t seen = 0, without = s->n_layers;
        for (size_t i = 0; i < s->n_layers; i++) {
            int got = layer_component(s, &spans[i], c, &layers[i].in[c], err);
            if (got < 0)
                return -1;
            seen += got > 0;
            if (!got && without == s->n_layers)
                without = i;
        }
        if (seen == s->n_layers) {
            *used |= 1U << c;
            continue;
        }
        if (seen > 0 || c != MPQ_GATE)
            return no_component(s, &spans[without], c, err);
        for (size_t i = 0; i < s->n; i++)
            if (s->units[i].role == MPQ_ROLE_GATE ||
                s->units[i].role == MPQ_ROLE_GATE_UP)
                return mpq_stat_need(&s->units[i], MPQ_STAT_NV, err);
    }
    return 0;
}

static double
layer_params(const struct mpq_statset *s, const struct mpq_stat_span *span)
{
    double n = 0;

    for (size_t i = span->first; i < span->end; i++)
        n += mpq_stat_is_tensor(&s->units[i]) ? s->units[i].stat[MPQ_STAT_N] : 0;
    return n;
}

static int
put_layer(struct mpq_scores *out, const struct mpq_statset *s,
          const struct mpq_stat_span *span, const struct mpq_nsds_layer *y,
          enum mpq_score_method method, struct mpq_err *err)
{
    struct mpq_score *r =
        mpq_score_add(out, NULL, span->layer, layer_params(s, span), err);

    if (!r)
        return -1;
    if (!(r->params > 0))
        return mpq_stat_need(&s->units[span->first], MPQ_STAT_N, err);
    r->score = method == MPQ_SCORE_NV   ? y->score_nv
               : method == MPQ_SCORE_SE ? y->score_se
                                        : y->score;
    r->detail[0] = y->nsds;
    r->detail[1] = y->nv;
    r->detail[2] = y->se;
    for (int c = 0; c < MPQ_N_COMPONENTS; c++) {
        r->detail[3 + c] = y->p_nv[c];
        r->detail[3 + MPQ_N_COMPONENTS + c] = y->p_se[c];
    }
    return 0;
}

/* Components that a tensor has a part in, a bit each. */
static unsigned
components_of(const struct mpq_stat_unit *u, unsigned used)
{
    switch (u->role) {
    case MPQ_ROLE_Q:
    case MPQ_ROLE_K:
        return 1U << MPQ_QK;
    case MPQ_ROLE_V:
    case MPQ_ROLE_O:
        return 1U << MPQ_OV;
    case MPQ_ROLE_QKV:
        return 1U << MPQ_QK | 1U << MPQ_OV;
    case MPQ_ROLE_GATE:
        return 1U << MPQ_GATE & used;
    case MPQ_ROLE_DOWN:
        return 1U << MPQ_DOWN;
    case MPQ_ROLE_GATE_UP:
        return 1U << MPQ_GATE | 1U << MPQ_UP;
    case MPQ_ROLE_UP: /* one without figures of its own holds both */
        return has_nsds(u) ? 1U << MPQ_UP : (1U << MPQ_GATE | 1U << MPQ_UP) & used;
    default:
        return 0;
    }
}

/* A tensor's row: P and softplus of its component, or the mean of its components'. */
static int
put_tensor(struct mpq_scores *out, const struct mpq_stat_unit *u,
           const struct mpq_nsds_layer *y, unsigned used,
           const struct mpq_score_how *how, struct mpq_err *err)
{
    const unsigned in = components_of(u, used);
    double nv = 0, se = 0, n = 0;

    for (int c = 0; c < MPQ_N_COMPONENTS; c++)
        if (in >> c & 1) {
            nv += y->soft_nv[c];
            se += y->soft_se[c];
            n++;
        }
    if (n == 0)
        return 0;
    struct mpq_score *r =
        mpq_score_add(out, u->name, u->layer, u->stat[MPQ_STAT_N], err);
    if (!r)
        return -1;
    nv /= n;
    se /= n;
    const double both = how->official ? (nv + se) / 2 : nv + se;
    r->score = how->method == MPQ_SCORE_NV   ? nv
               : how->method == MPQ_SCORE_SE ? se
                                             : both;
    r->detail[0] = -expm1(-both);
    r->detail[1] = -expm1(-nv);
    r->detail[2] = -expm1(-se);
    return 0;
}

int
mpq_score_nsds(struct mpq_scores *out, const struct mpq_statset *s,
               const struct mpq_score_how *how, struct mpq_err *err)
{
    static const char *const columns[MPQ_SCORE_DETAILS] = {
        "nsds",    "nv",      "se",        "p_nv_qk", "p_nv_gate",
        "p_nv_up", "p_nv_ov", "p_nv_down", "p_se_qk", "p_se_gate",
        "p_se_up", "p_se_ov", "p_se_down",
    };
    struct mpq_nsds_layer *layers = mpq_array(s->n_layers, sizeof *layers);
    struct mpq_stat_span *spans = mpq_stat_spans(s);
    unsigned used;
    int rc = -1;

    out->columns = columns;
    out->n_details = how->by_tensor ? 3 : MPQ_SCORE_DETAILS;
    if (!layers || !spans) {
        mpq_fail(err, MPQ_ENOMEM, "scores: out of memory");
        goto out;
    }
    if (gather(layers, s, spans, &used, err) < 0 ||
        mpq_nsds_fuse(layers, s->n_layers, used, how->official, err) < 0)
        goto out;
    for (size_t i = 0; i < s->n_layers; i++) {
        if (!how->by_tensor &&
            put_layer(out, s, &spans[i], &layers[i], how->method, err) < 0)
            goto out;
        for (size_t j = spans[i].first; how->by_tensor && j < spans[i].end; j++)
            if (mpq_stat_is_tensor(&s->units[j]) &&
                put_tensor(out, &s->units[j], &layers[i], used, how, err) < 0)
                goto out;
    }
    rc = 0;
out:
    free(layers);
    free(spans);
    return rc;
}
