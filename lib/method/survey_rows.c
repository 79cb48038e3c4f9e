/* What the items of a layer came to, as rows. */
#include "method/survey_layer.h"

#include <stdio.h>

static int
put_nsds(struct mpq_survey *v, const char *unit, const struct mpq_nsds *c,
         struct mpq_err *err)
{
    if (mpq_survey_put(v, unit, "nv", c->nv, err) < 0 ||
        mpq_survey_put(v, unit, "se", c->se, err) < 0)
        return -1;
    return mpq_survey_put(v, unit, "se_official", c->se_official, err);
}

static int
put_spectrum(struct mpq_survey *v, const char *unit, const struct mpq_spectrum *s,
             struct mpq_err *err)
{
    if (mpq_survey_put(v, unit, "fro", s->fro, err) < 0 ||
        mpq_survey_put(v, unit, "sigma_max", s->sigma_max, err) < 0 ||
        mpq_survey_put(v, unit, "stable_rank", s->stable_rank, err) < 0 ||
        mpq_survey_put(v, unit, "effective_rank", s->effective_rank, err) < 0)
        return -1;
    return mpq_survey_put(v, unit, "k99", s->k99, err);
}

static void
add_nsds(struct mpq_nsds *sum, const struct mpq_nsds *c, double weight)
{
    sum->nv += weight * c->nv;
    sum->se += weight * c->se;
    sum->se_official += weight * c->se_official;
}

/* Means over the items of W (of one component, if C >= 0); returns how many. */
static size_t
mean_of(const struct mpq_layer_work *k, const struct mpq_weight *w, int c,
        struct mpq_nsds *nsds, struct mpq_spectrum *s)
{
    size_t n = 0;

    *nsds = (struct mpq_nsds){ 0 };
    *s = (struct mpq_spectrum){ 0 };
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < k->n_items; i++) {
            const struct mpq_item *it = &k->items[i];
            if (it->part.w != w || it->kind > MPQ_ITEM_SPECTRUM ||
                (c >= 0 && (int)it->component != c))
                continue;
            if (pass == 0) {
                n++;
                continue;
            }
            add_nsds(nsds, &it->nsds, 1 / (double)n);
            s->fro += it->spectrum.fro / (double)n;
            s->sigma_max += it->spectrum.sigma_max / (double)n;
            s->stable_rank += it->spectrum.stable_rank / (double)n;
            s->effective_rank += it->spectrum.effective_rank / (double)n;
            s->k99 += it->spectrum.k99 / (double)n;
        }
    return n;
}

static int
is_mlp(const struct mpq_weight *w)
{
    return w->role == MPQ_ROLE_GATE || w->role == MPQ_ROLE_UP ||
           w->role == MPQ_ROLE_DOWN;
}

int
mpq_layer_work_tensor(const struct mpq_layer_work *k, struct mpq_survey *v,
                      const struct mpq_weight *w, struct mpq_err *err)
{
    struct mpq_nsds nsds;
    struct mpq_spectrum s;

    if (mean_of(k, w, -1, &nsds, &s) == 0)
        return 0;
    if (v->groups & MPQ_SURVEY_SPECTRUM && put_spectrum(v, w->name, &s, err) < 0)
        return -1;
    return v->groups & MPQ_SURVEY_NSDS && is_mlp(w) ? put_nsds(v, w->name, &nsds, err)
                                                    : 0;
}

static int
put_mean_heads(const struct mpq_layer_work *k, struct mpq_survey *v, const char *what,
               const struct mpq_nsds *heads, struct mpq_err *err)
{
    struct mpq_nsds mean = { 0 };
    char unit[64];

    if (!heads)
        return 0;
    for (uint64_t h = 0; h < k->n_head; h++)
        add_nsds(&mean, &heads[h], 1 / (double)k->n_head);
    snprintf(unit, sizeof unit, "blk.%d.%s", k->layer, what);
    return put_nsds(v, unit, &mean, err);
}

int
mpq_layer_work_paper(const struct mpq_layer_work *k, struct mpq_survey *v,
                     struct mpq_err *err)
{
    struct mpq_nsds nsds;
    struct mpq_spectrum s;
    char unit[64];

    if (put_mean_heads(k, v, "qk", k->qk, err) < 0 ||
        put_mean_heads(k, v, "ov", k->ov, err) < 0)
        return -1;
    for (size_t i = 0; i < v->n_weights; i++) {
        const struct mpq_weight *w = v->weights[i];
        for (int c = MPQ_GATE; c <= MPQ_UP; c++) {
            if (w->role != MPQ_ROLE_GATE_UP || !(v->groups & MPQ_SURVEY_NSDS))
                continue;
            mean_of(k, w, c, &nsds, &s);
            snprintf(unit, sizeof unit, "blk.%d.%s", k->layer, mpq_component_names[c]);
            if (put_nsds(v, unit, &nsds, err) < 0)
                return -1;
        }
    }
    return 0;
}
