#include "method/reach.h"

#include "base/buf.h"
#include "base/par.h"
#include "base/simd.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    ROWS = 64, /* hidden states that are a task's */
    LANES = 8
};

/* The likeliest tokens of a state, the first of them the likeliest; of equal ones that
 * with the smaller id. */
struct top {
    float logit[MPQ_REACH_TOP];
    uint32_t id[MPQ_REACH_TOP];
    size_t n;
};

struct mpq_reach {
    struct mpq_forward *f;
    const struct mpq_seqs *q;
    size_t first, last;
    unsigned n_threads;
    struct mpq_states before; /* the states of the depth before */
    double *moved;            /* [tokens] 1 - cosine */
    size_t n_places;
    struct mpq_states seen; /* [depths][n_places] those that are projected */
    struct top *top;        /* [depths][n_places] */
    double *lim, *lsaq;     /* [layers] */
};

int
mpq_reach_new(struct mpq_reach **out, struct mpq_forward *f, const struct mpq_seqs *q,
              size_t first, size_t last, size_t max_bytes, unsigned n_threads,
              struct mpq_err *err)
{
    const size_t n = q->start[q->n], d = mpq_forward_net(f)->n_embd;
    struct mpq_reach *r = calloc(1, sizeof *r);
    int rc = -1;

    *out = NULL;
    assert(first <= last && last < mpq_forward_net(f)->n_layer);
    const size_t layers = last - first + 1;
    if (r) {
        r->f = f;
        r->q = q;
        r->first = first;
        r->last = last;
        r->n_threads = n_threads;
        r->n_places = q->n < MPQ_REACH_PLACES ? q->n : MPQ_REACH_PLACES;
        r->moved = mpq_array(n, sizeof *r->moved);
        r->top = mpq_array(layers + 1, r->n_places * sizeof *r->top);
        r->lim = mpq_array(layers, sizeof *r->lim);
        r->lsaq = mpq_array(layers, sizeof *r->lsaq);
    }
    if (!r || !r->moved || !r->top || !r->lim || !r->lsaq) {
        mpq_fail(err, MPQ_ENOMEM, "out of memory for %zu tokens", n);
        goto out;
    }
    if (mpq_states_new(&r->before, n, d, max_bytes, err) < 0 ||
        mpq_states_new(&r->seen, (layers + 1) * r->n_places, d, max_bytes, err) < 0)
        goto out;
    *out = r;
    r = NULL;
    rc = 0;
out:
    mpq_reach_free(r);
    return rc;
}

void
mpq_reach_free(struct mpq_reach *r)
{
    if (!r)
        return;
    mpq_states_free(&r->before);
    mpq_states_free(&r->seen);
    free(r->moved);
    free(r->top);
    free(r->lim);
    free(r->lsaq);
    free(r);
}

/* 1 - cos(a, b), not below 0; two zeros point the same way. Sums go in lanes that the
 * compiler makes vectors of. */
MPQ_CLONES static double
distance(const float *a, const float *b, size_t n)
{
    double ab[LANES] = { 0 }, aa[LANES] = { 0 }, bb[LANES] = { 0 };

    for (size_t i = 0; i < n; i += LANES) {
        const size_t here = n - i < LANES ? n - i : LANES;
        for (size_t k = 0; k < here; k++) {
            const double x = (double)a[i + k], y = (double)b[i + k];
            ab[k] += x * y;
            aa[k] += x * x;
            bb[k] += y * y;
        }
    }
    for (size_t k = 1; k < LANES; k++) {
        ab[0] += ab[k];
        aa[0] += aa[k];
        bb[0] += bb[k];
    }
    if (aa[0] == 0 || bb[0] == 0)
        return aa[0] != bb[0];
    const double d = 1 - ab[0] / (sqrt(aa[0]) * sqrt(bb[0]));
    return d > 0 ? d : 0;
}

/* States under work. */
struct seeing {
    struct mpq_reach *r;
    const struct mpq_states *x;
    int compare; /* with those before */
};

static int
see_some(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    const struct seeing *k = ctx;
    struct mpq_reach *r = k->r;
    const size_t n = r->q->start[r->q->n], d = k->x->width;

    (void)thread, (void)err;
    for (size_t t = item * ROWS; t < (item + 1) * ROWS && t < n; t++) {
        const float *x = k->x->x + t * d;
        float *before = r->before.x + t * d;
        if (k->compare)
            r->moved[t] = distance(before, x, d);
        memcpy(before, x, d * sizeof *before);
    }
    return 0;
}

/* The last token of the sequence that place P takes. */
static size_t
place(const struct mpq_reach *r, size_t p)
{
    return r->q->start[p * r->q->n / r->n_places + 1] - 1;
}

int
mpq_reach_see(struct mpq_reach *r, size_t depth, const struct mpq_states *x,
              struct mpq_err *err)
{
    const size_t n = r->q->start[r->q->n], d = x->width;
    struct seeing k = { r, x, depth > r->first };

    if (depth < r->first || depth > r->last + 1)
        return 0;
    if (mpq_par_for(r->n_threads, n / ROWS + (n % ROWS != 0), see_some, &k, err) < 0)
        return -1;
    if (k.compare) {
        double sum = 0;
        for (size_t t = 0; t < n; t++)
            sum += r->moved[t];
        r->lim[depth - 1 - r->first] = n ? sum / (double)n : 0;
    }
    float *seen = r->seen.x + (depth - r->first) * r->n_places * d;
    for (size_t p = 0; p < r->n_places; p++)
        memcpy(seen + p * d, x->x + place(r, p) * d, d * sizeof *seen);
    return 0;
}

static void
keep(struct top *t, float logit, uint32_t id)
{
    size_t i = t->n < MPQ_REACH_TOP ? t->n++ : MPQ_REACH_TOP - 1;

    for (; i > 0 && t->logit[i - 1] < logit; i--) {
        t->logit[i] = t->logit[i - 1];
        t->id[i] = t->id[i - 1];
    }
    t->logit[i] = logit;
    t->id[i] = id;
}

static int
keep_top(void *ctx, const struct mpq_logit_tile *tile, unsigned thread,
         struct mpq_err *err)
{
    const struct mpq_reach *r = ctx;

    (void)thread, (void)err;
    for (size_t i = 0; i < tile->n_rows; i++) {
        const float *logits = tile->logits + i * tile->stride;
        struct top *t = &r->top[tile->row + i];
        for (uint32_t v = 0; v < tile->n_vocab; v++)
            if (t->n < MPQ_REACH_TOP || logits[v] > t->logit[MPQ_REACH_TOP - 1])
                keep(t, logits[v], tile->vocab + v);
    }
    return 0;
}

static double
jaccard_distance(const struct top *a, const struct top *b)
{
    size_t both = 0;

    for (size_t i = 0; i < a->n; i++)
        for (size_t k = 0; k < b->n; k++)
            both += a->id[i] == b->id[k];
    return 1 - (double)both / (double)(a->n + b->n - both);
}

int
mpq_reach_project(struct mpq_reach *r, struct mpq_err *err)
{
    const struct mpq_logits_side side = { r->f, &r->seen };
    const size_t layers = r->last - r->first + 1, n = (layers + 1) * r->n_places;
    size_t *rows = mpq_array(n, sizeof *rows);
    int rc;

    if (!rows)
        return mpq_fail(err, MPQ_ENOMEM, "out of memory for %zu states", n);
    for (size_t i = 0; i < n; i++) {
        rows[i] = i;
        r->top[i].n = 0;
    }
    rc = mpq_forward_logits(&side, NULL, rows, n, keep_top, r, err);
    for (size_t l = 0; rc == 0 && l < layers; l++) {
        const struct top *t = &r->top[l * r->n_places];
        double sum = 0;
        for (size_t p = 0; p < r->n_places; p++)
            sum += jaccard_distance(&t[p], &t[r->n_places + p]);
        r->lsaq[l] = sum / (double)r->n_places;
    }
    free(rows);
    return rc;
}

double
mpq_reach_lim(const struct mpq_reach *r, size_t layer)
{
    assert(layer >= r->first && layer <= r->last);
    return r->lim[layer - r->first];
}

double
mpq_reach_lsaq(const struct mpq_reach *r, size_t layer)
{
    assert(layer >= r->first && layer <= r->last);
    return r->lsaq[layer - r->first];
}
