#include "method/survey.h"

#include "base/buf.h"
#include "base/par.h"
#include "method/survey_layer.h"
#include "num/linalg.h"

#include <assert.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { TILE = 65536 }; /* floats: 256 KB, decoded and reduced while in the cache */
enum { SECOND_PASS = MPQ_SURVEY_ZSHARE | MPQ_SURVEY_ENTROPY | MPQ_SURVEY_RTN };

static int
out_of_memory(const struct mpq_survey *v, struct mpq_err *err)
{
    return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", mpq_source_name(v->source));
}

int
mpq_survey_put(struct mpq_survey *v, const char *unit, const char *stat, double value,
               struct mpq_err *err)
{
    if (mpq_grow(&v->rows, &v->cap_rows, v->n_rows + 1, sizeof *v->rows) < 0)
        return out_of_memory(v, err);
    struct mpq_survey_row *r = &v->rows[v->n_rows];
    *r = (struct mpq_survey_row){ mpq_strdup(unit), stat, value };
    if (!r->unit)
        return out_of_memory(v, err);
    v->n_rows++;
    return 0;
}

uint64_t
mpq_tile_rows(uint64_t cols)
{
    return cols < TILE ? TILE / cols : 1;
}

/* The plain statistics of the matrices in hand, in two passes over tiles. */
struct plain {
    struct mpq_survey *v;
    struct mpq_tile *tiles;
    size_t n_tiles, cap_tiles;
    size_t *first;               /* [n_weights + 1]: a weight's tiles */
    struct mpq_moments *moments; /* [n_tiles] */
    struct mpq_tally *tallies;   /* [n_tiles] */
    struct mpq_moments *whole;   /* [n_weights] */
    struct mpq_tally_plan *plans;
    float **scratch; /* [n_threads][largest tile], made by the thread itself */
    size_t scratch_floats;
};

static void
plain_free(struct plain *p)
{
    for (unsigned t = 0; p->scratch && t < p->v->n_threads; t++)
        free(p->scratch[t]);
    free(p->scratch);
    free(p->tiles);
    free(p->first);
    free(p->moments);
    free(p->tallies);
    free(p->whole);
    free(p->plans);
}

static int
plain_new(struct plain *p, struct mpq_survey *v, struct mpq_err *err)
{
    *p = (struct plain){ .v = v };
    p->first = mpq_array(v->n_weights + 1, sizeof *p->first);
    p->whole = mpq_array(v->n_weights, sizeof *p->whole);
    p->plans = mpq_array(v->n_weights, sizeof *p->plans);
    p->scratch = mpq_array(v->n_threads, sizeof *p->scratch);
    if (!p->first || !p->whole || !p->plans || !p->scratch)
        return out_of_memory(v, err);
    for (size_t i = 0; i < v->n_weights; i++) {
        const struct mpq_weight *w = v->weights[i];
        const uint64_t step = mpq_tile_rows(w->cols);
        if (step * w->cols > p->scratch_floats)
            p->scratch_floats = step * w->cols;
        for (uint64_t r = 0; r < w->rows; r += step) {
            if (mpq_grow(&p->tiles, &p->cap_tiles, p->n_tiles + 1, sizeof *p->tiles) <
                0)
                return out_of_memory(v, err);
            p->tiles[p->n_tiles++] =
                (struct mpq_tile){ w, r, w->rows - r < step ? w->rows - r : step };
        }
        p->first[i + 1] = p->n_tiles;
    }
    p->moments = mpq_array(p->n_tiles, sizeof *p->moments);
    p->tallies = mpq_array(p->n_tiles, sizeof *p->tallies);
    return p->moments && p->tallies ? 0 : out_of_memory(v, err);
}

/* A tile's floats where the file holds them as they are, unchecked; else NULL. */
static const float *
mapped_tile(const struct mpq_tile *t)
{
    const unsigned char *from = t->w->tensor.data + t->row * t->w->cols * sizeof(float);

    if (t->w->tensor.type.id != MPQ_F32 || (uintptr_t)from % sizeof(float))
        return NULL;
    return (const float *)(const void *)from;
}

/* A tile's floats, checked, in the thread's scratch memory. */
static const float *
decode_tile(struct plain *p, const struct mpq_tile *t, unsigned thread,
            struct mpq_err *err)
{
    if (!p->scratch[thread])
        p->scratch[thread] = mpq_array(p->scratch_floats, sizeof **p->scratch);
    if (!p->scratch[thread]) {
        out_of_memory(p->v, err);
        return NULL;
    }
    if (mpq_source_read_rows(p->v->source, t->w, t->row, t->rows, p->scratch[thread],
                             err) < 0)
        return NULL;
    return p->scratch[thread];
}

static int
first_pass(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    struct plain *p = ctx;
    const struct mpq_tile *t = &p->tiles[item];
    const float *x = mapped_tile(t);

    if (x) { /* what is not finite shows in the sums */
        mpq_moments_add(&p->moments[item], x, t->rows * t->w->cols);
        if (isfinite(p->moments[item].m4))
            return 0;
        p->moments[item] = (struct mpq_moments){ 0 };
    }
    x = decode_tile(p, t, thread, err);
    if (!x)
        return -1;
    mpq_moments_add(&p->moments[item], x, t->rows * t->w->cols);
    return 0;
}

static int
second_pass(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    struct plain *p = ctx;
    const struct mpq_tile *t = &p->tiles[item];
    const float *x = mapped_tile(t); /* the first pass has checked it */
    size_t i = 0;

    if (!x)
        x = decode_tile(p, t, thread, err);
    if (!x)
        return -1;
    while (p->first[i + 1] <= item)
        i++;
    mpq_tally_add(&p->tallies[item], &p->plans[i], x, t->rows * t->w->cols);
    return 0;
}

static unsigned
tally_groups(unsigned groups)
{
    return (groups & MPQ_SURVEY_ZSHARE ? MPQ_TALLY_ZSHARE : 0U) |
           (groups & MPQ_SURVEY_ENTROPY ? MPQ_TALLY_ENTROPY : 0U) |
           (groups & MPQ_SURVEY_RTN ? MPQ_TALLY_RTN : 0U);
}

static int
plain_run(struct plain *p, struct mpq_err *err)
{
    struct mpq_survey *v = p->v;

    if (!(v->groups & (MPQ_SURVEY_MOMENTS | SECOND_PASS)))
        return 0;
    if (mpq_par_for(v->n_threads, p->n_tiles, first_pass, p, err) < 0)
        return -1;
    for (size_t i = 0; i < v->n_weights; i++) {
        for (size_t t = p->first[i]; t < p->first[i + 1]; t++)
            mpq_moments_merge(&p->whole[i], &p->moments[t]);
        mpq_tally_plan(&p->plans[i], &p->whole[i], tally_groups(v->groups));
    }
    if (!(v->groups & SECOND_PASS))
        return 0;
    return mpq_par_for(v->n_threads, p->n_tiles, second_pass, p, err);
}

struct figure {
    const char *stat;
    double value;
};

static int
put_figures(struct mpq_survey *v, const char *unit, const struct figure *f, size_t n,
            struct mpq_err *err)
{
    for (size_t i = 0; i < n; i++)
        if (mpq_survey_put(v, unit, f[i].stat, f[i].value, err) < 0)
            return -1;
    return 0;
}

static int
put_moments(struct mpq_survey *v, const char *unit, const struct mpq_moments *m,
            struct mpq_err *err)
{
    const struct figure f[] = {
        { "mean", m->mean },
        { "var", mpq_moments_var(m) },
        { "skew", mpq_moments_skew(m) },
        { "kurt", mpq_moments_kurt(m) },
        { "min", (double)m->min },
        { "max", (double)m->max },
    };
    return put_figures(v, unit, f, sizeof f / sizeof *f, err);
}

static int
put_tally(struct mpq_survey *v, const char *unit, const struct mpq_tally *t,
          const struct mpq_tally_plan *plan, struct mpq_err *err)
{
    static const char *const names[MPQ_N_RTN] = { "mse2", "mse3", "mse4", "mse8" };

    if (v->groups & MPQ_SURVEY_ZSHARE &&
        mpq_survey_put(v, unit, "zshare", mpq_tally_zshare(t, plan), err) < 0)
        return -1;
    if (v->groups & MPQ_SURVEY_ENTROPY &&
        mpq_survey_put(v, unit, "entropy", mpq_tally_entropy(t, plan), err) < 0)
        return -1;
    for (int i = 0; v->groups & MPQ_SURVEY_RTN && i < MPQ_N_RTN; i++)
        if (mpq_survey_put(v, unit, names[i], mpq_tally_mse(t, plan, i), err) < 0)
            return -1;
    return 0;
}

/* The rows of weight I: plain ones, then spectrum and NSDS. */
static int
put_weight(struct plain *p, size_t i, const struct mpq_layer_work *work,
           struct mpq_err *err)
{
    struct mpq_survey *v = p->v;
    const struct mpq_weight *w = v->weights[i];
    struct mpq_tally sum = { 0 };

    if (mpq_survey_put(v, w->name, "n", (double)w->rows * (double)w->cols, err) < 0)
        return -1;
    if (v->groups & MPQ_SURVEY_MOMENTS &&
        put_moments(v, w->name, &p->whole[i], err) < 0)
        return -1;
    for (size_t t = p->first[i]; t < p->first[i + 1]; t++)
        mpq_tally_merge(&sum, &p->tallies[t]);
    if (put_tally(v, w->name, &sum, &p->plans[i], err) < 0)
        return -1;
    return work ? mpq_layer_work_tensor(work, v, w, err) : 0;
}

/* Matrices that a layer is made of; outside the blocks the embedding and the output. */
static int
belongs(const struct mpq_weight *w, int layer)
{
    if (!w->is_matrix || w->layer != layer)
        return 0;
    if (layer >= 0)
        return w->is_linear;
    return w->role == MPQ_ROLE_EMBED || w->role == MPQ_ROLE_OUTPUT;
}

static int
take_weights(struct mpq_survey *v, int layer, struct mpq_err *err)
{
    v->n_weights = 0;
    for (size_t i = 0; i < mpq_source_count(v->source); i++) {
        const struct mpq_weight *w = mpq_source_weight(v->source, i);
        if (!belongs(w, layer))
            continue;
        if (mpq_grow(&v->weights, &v->cap_weights, v->n_weights + 1,
                     sizeof *v->weights) < 0)
            return out_of_memory(v, err);
        v->weights[v->n_weights++] = w;
    }
    return 0;
}

static void
clear_rows(struct mpq_survey *v)
{
    for (size_t i = 0; i < v->n_rows; i++)
        free(v->rows[i].unit);
    v->n_rows = 0;
}

int
mpq_survey_layer(struct mpq_survey *v, int layer, struct mpq_err *err)
{
    struct plain p = { .v = v };
    struct mpq_layer_work *work = NULL;
    int rc = -1;

    clear_rows(v);
    if (take_weights(v, layer, err) < 0 || plain_new(&p, v, err) < 0 ||
        plain_run(&p, err) < 0)
        goto out;
    if (layer >= 0 && v->groups & (MPQ_SURVEY_SPECTRUM | MPQ_SURVEY_NSDS) &&
        mpq_layer_work_run(&work, v, layer, err) < 0)
        goto out;
    for (size_t i = 0; i < v->n_weights; i++)
        if (put_weight(&p, i, work, err) < 0)
            goto out;
    if (work && mpq_layer_work_paper(work, v, err) < 0)
        goto out;
    for (size_t i = 0; i < v->n_weights; i++)
        mpq_source_drop(v->source, v->weights[i]);
    rc = 0;
out:
    mpq_layer_work_free(work);
    plain_free(&p);
    return rc;
}

const struct mpq_survey_row *
mpq_survey_rows(const struct mpq_survey *v, size_t *n)
{
    *n = v->n_rows;
    return v->rows;
}

uint64_t
mpq_survey_weights(const struct mpq_survey *v, int layer)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < mpq_source_count(v->source); i++) {
        const struct mpq_weight *w = mpq_source_weight(v->source, i);
        sum += belongs(w, layer) ? w->tensor.n_elements : 0;
    }
    return sum;
}

int
mpq_survey_new(struct mpq_survey **out, const struct mpq_source *s, unsigned groups,
               unsigned n_threads, struct mpq_err *err)
{
    struct mpq_survey *v = calloc(1, sizeof *v);
    int rc = -1;

    *out = NULL;
    if (!v) {
        mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", mpq_source_name(s));
        goto out;
    }
    assert(n_threads > 0);
    v->source = s;
    v->groups = groups;
    v->n_threads = n_threads;
    if (mpq_linalg_init(n_threads, err) < 0)
        goto out;
    if (groups & MPQ_SURVEY_NSDS && mpq_survey_unembedding(v, err) < 0)
        goto out;
    *out = v;
    v = NULL; /* handed over */
    rc = 0;
out:
    mpq_survey_free(v);
    return rc;
}

void
mpq_survey_free(struct mpq_survey *v)
{
    if (!v)
        return;
    clear_rows(v);
    free(v->rows);
    free(v->weights);
    mpq_subspace_free(&v->p);
    free(v);
}
