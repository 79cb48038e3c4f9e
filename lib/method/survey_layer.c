/*
 * Spectra and NSDS of one layer: a list of independent items (a matrix or an expert of
 * the feed-forward, a few heads), the longest first, over all threads. An item decodes
 * what it needs and frees it before the next step, so that memory stays small.
 */
#include "method/survey_layer.h"

#include "base/buf.h"
#include "base/par.h"
#include "num/linalg.h"

#include <stdlib.h>

enum { GRAM_ROWS = 256 }; /* rows decoded at a time for a Gram matrix */

int
mpq_work_no_memory(const struct mpq_layer_work *k, struct mpq_err *err)
{
    return mpq_fail(err, MPQ_ENOMEM, "%s: layer %d: out of memory",
                    mpq_source_name(k->v->source), k->layer);
}

int
mpq_work_misfit(const struct mpq_layer_work *k, const struct mpq_weight *w,
                const char *what, uint64_t has, uint64_t wants, struct mpq_err *err)
{
    return mpq_fail(err, MPQ_EDATA, "%s: %s: %s: %llu instead of %llu",
                    mpq_source_name(k->v->source), w->name, what,
                    (unsigned long long)has, (unsigned long long)wants);
}

/* Decoding, shared by the items */

struct decode {
    struct mpq_survey *v;
    const struct mpq_weight *w;
    uint64_t row, rows, step;
    float *dst;
};

static int
decode_piece(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    const struct decode *d = ctx;
    const uint64_t first = item * d->step;
    const uint64_t n = d->rows - first < d->step ? d->rows - first : d->step;

    (void)thread;
    return mpq_source_read_rows(d->v->source, d->w, d->row + first, n,
                                d->dst + first * d->w->cols, err);
}

int
mpq_survey_decode(struct mpq_survey *v, const struct mpq_weight *w, uint64_t row,
                  uint64_t rows, float *dst, struct mpq_err *err)
{
    struct decode d = { v, w, row, rows, mpq_tile_rows(w->cols), dst };

    return mpq_par_for(v->n_threads, (rows + d.step - 1) / d.step, decode_piece, &d,
                       err);
}

/* One matrix */

/* W^T W of a part, decoded piece by piece; its moments besides. */
static int
stream_gram(const struct mpq_layer_work *k, const struct mpq_part *p, double *g,
            float *scratch, struct mpq_moments *m, struct mpq_err *err)
{
    float *x = scratch + mpq_gram_scratch();

    for (uint64_t r = 0; r < p->rows; r += GRAM_ROWS) {
        const uint64_t n = p->rows - r < GRAM_ROWS ? p->rows - r : GRAM_ROWS;
        if (mpq_source_read_rows(k->v->source, p->w, p->row + r, n, x, err) < 0)
            return -1;
        mpq_moments_add(m, x, n * p->w->cols);
        mpq_gram_rows(g, x, n, p->w->cols, scratch);
    }
    return 0;
}

/* The smaller Gram matrix of a part into *g, its moments, and, where KEEP, the floats
 * into *w (NULL otherwise). All are the caller's. */
static int
gram_of(const struct mpq_layer_work *k, const struct mpq_part *p, int by_cols, int keep,
        double **g, float **w, struct mpq_moments *m, struct mpq_err *err)
{
    const size_t cols = p->w->cols, rows = p->rows, n = by_cols ? cols : rows;
    const int stream = by_cols && !keep;
    float *scratch = NULL;
    int rc = -1;

    *g = mpq_array(n, n * sizeof **g);
    *w = stream ? NULL : mpq_array(rows, cols * sizeof **w);
    scratch = mpq_array(mpq_gram_scratch() + (stream ? GRAM_ROWS * cols : 0),
                        sizeof *scratch);
    if (!*g || !scratch || (!stream && !*w)) {
        mpq_work_no_memory(k, err);
        goto out;
    }
    if (stream) {
        rc = stream_gram(k, p, *g, scratch, m, err);
        goto out;
    }
    if (mpq_source_read_rows(k->v->source, p->w, p->row, rows, *w, err) < 0)
        goto out;
    mpq_moments_add(m, *w, rows * cols);
    if (by_cols)
        mpq_gram_rows(*g, *w, rows, cols, scratch);
    else
        mpq_gram_cols(*g, *w, rows, cols, scratch);
    if (!keep) {
        free(*w);
        *w = NULL;
    }
    rc = 0;
out:
    free(scratch);
    return rc;
}

static int
do_mlp(const struct mpq_layer_work *k, struct mpq_item *it, struct mpq_err *err)
{
    const struct mpq_part *p = &it->part;
    const int writer = it->component == MPQ_DOWN;
    const int keep = mpq_mlp_needs_matrix(p->rows, p->w->cols, writer);
    const int by_cols = mpq_mlp_by_cols(p->rows, p->w->cols, writer);
    struct mpq_moments m = { 0 };
    double *g = NULL;
    float *w = NULL;
    int rc = -1;

    if (writer && p->rows != k->v->p.n)
        return mpq_work_misfit(k, p->w, "rows for the unembedding", p->rows, k->v->p.n,
                               err);
    if (gram_of(k, p, by_cols, keep, &g, &w, &m, err) < 0)
        goto out;
    it->nsds.nv = mpq_moments_kurt(&m);
    rc = mpq_nsds_mlp(&it->nsds, &it->spectrum, g, w, p->rows, p->w->cols,
                      writer ? &k->v->p : NULL, err);
    g = NULL; /* handed over */
out:
    free(g);
    free(w);
    return rc;
}

static int
do_spectrum(const struct mpq_layer_work *k, struct mpq_item *it, struct mpq_err *err)
{
    const struct mpq_part *p = &it->part;
    const int by_cols = p->w->cols <= p->rows;
    struct mpq_moments m = { 0 };
    double *g = NULL;
    float *w = NULL;
    int rc = -1;

    if (gram_of(k, p, by_cols, 0, &g, &w, &m, err) < 0)
        goto out;
    rc = mpq_nsds_spectrum(&it->spectrum, g, by_cols ? p->w->cols : p->rows, err);
    g = NULL; /* handed over */
out:
    free(g);
    free(w);
    return rc;
}

static int
run_item(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    struct mpq_layer_work *k = ctx;
    struct mpq_item *it = &k->items[item];

    (void)thread;
    switch (it->kind) {
    case MPQ_ITEM_MLP:
        return do_mlp(k, it, err);
    case MPQ_ITEM_SPECTRUM:
        return do_spectrum(k, it, err);
    default:
        return mpq_work_heads(k, it, err);
    }
}

/* The list of items */

struct mpq_item *
mpq_work_add(struct mpq_layer_work *k, enum mpq_item_kind kind, struct mpq_err *err)
{
    if (mpq_grow(&k->items, &k->cap_items, k->n_items + 1, sizeof *k->items) < 0) {
        mpq_work_no_memory(k, err);
        return NULL;
    }
    struct mpq_item *it = &k->items[k->n_items++];
    *it = (struct mpq_item){ .kind = kind };
    return it;
}

static int
add_matrix(struct mpq_layer_work *k, enum mpq_item_kind kind, enum mpq_component c,
           const struct mpq_weight *w, uint64_t row, uint64_t rows, struct mpq_err *err)
{
    struct mpq_item *it = mpq_work_add(k, kind, err);

    if (!it)
        return -1;
    it->component = c;
    it->part = (struct mpq_part){ w, row, rows };
    return 0;
}

/* A weight of the feed-forward: each expert, and of a fused one each half. */
static int
add_mlp(struct mpq_layer_work *k, const struct mpq_weight *w, struct mpq_err *err)
{
    const enum mpq_item_kind kind =
        k->v->groups & MPQ_SURVEY_NSDS ? MPQ_ITEM_MLP : MPQ_ITEM_SPECTRUM;
    const int fused = w->role == MPQ_ROLE_GATE_UP;
    const uint64_t experts = w->tensor.n_dims > 2 ? w->rows / w->tensor.dim[1] : 1;
    const uint64_t each = w->rows / experts, half = fused ? each / 2 : each;
    const enum mpq_component c = w->role == MPQ_ROLE_UP     ? MPQ_UP
                                 : w->role == MPQ_ROLE_DOWN ? MPQ_DOWN
                                                            : MPQ_GATE;

    if (fused && each % 2)
        return mpq_work_misfit(k, w, "rows of gate and up", each, half * 2, err);
    for (uint64_t e = 0; e < experts; e++) {
        if (add_matrix(k, kind, c, w, e * each, half, err) < 0)
            return -1;
        if (fused && add_matrix(k, kind, MPQ_UP, w, e * each + half, half, err) < 0)
            return -1;
    }
    return 0;
}

static int
add_matrices(struct mpq_layer_work *k, struct mpq_err *err)
{
    for (int attention = 0; attention < 2; attention++)
        for (size_t i = 0; i < k->v->n_weights; i++) {
            const struct mpq_weight *w = k->v->weights[i];
            const int mlp = w->role == MPQ_ROLE_GATE || w->role == MPQ_ROLE_UP ||
                            w->role == MPQ_ROLE_DOWN || w->role == MPQ_ROLE_GATE_UP;
            if (!attention && mlp && add_mlp(k, w, err) < 0)
                return -1;
            if (attention && !mlp && k->v->groups & MPQ_SURVEY_SPECTRUM &&
                add_matrix(k, MPQ_ITEM_SPECTRUM, MPQ_QK, w, 0, w->rows, err) < 0)
                return -1;
        }
    return 0;
}

int
mpq_layer_work_run(struct mpq_layer_work **out, struct mpq_survey *v, int layer,
                   struct mpq_err *err)
{
    struct mpq_layer_work *k = calloc(1, sizeof *k);
    int rc = -1;

    *out = NULL;
    if (!k)
        return mpq_fail(err, MPQ_ENOMEM, "layer %d: out of memory", layer);
    k->v = v;
    k->layer = layer;
    if (add_matrices(k, err) < 0)
        goto out;
    if (v->groups & MPQ_SURVEY_NSDS && mpq_work_attention(k, err) < 0)
        goto out;
    if (mpq_par_for(v->n_threads, k->n_items, run_item, k, err) < 0)
        goto out;
    *out = k;
    k = NULL; /* handed over */
    rc = 0;
out:
    mpq_layer_work_free(k);
    return rc;
}

void
mpq_layer_work_free(struct mpq_layer_work *k)
{
    if (!k)
        return;
    free(k->items);
    free(k->o_all);
    free(k->qk);
    free(k->ov);
    free(k);
}
