/*
 * The last norm and the unembedding: loss, labels and the gradient by the last states,
 * in one pass over the vocabulary, which goes by in tiles. A row carries the largest
 * logit so far, the sum of exp(logit - top) and the same sum of the unembedding's rows;
 * what was summed before is scaled down when a larger logit comes.
 *
 * A label could be drawn by p itself. But where the model is nearly sure, almost every
 * draw is then the likeliest id, whose gradient e - p is nearly 0, and one in a
 * thousand tells all: squares of gradients would be those of a handful of positions. So
 * the draw is by q, about p |e - p|^2 (the likeliest id apart from all others, among
 * which p decides), and the gradient is multiplied with sqrt(p / q), which leaves the
 * mean of its squares what it was, and with a random sign, so that its own mean is 0 as
 * with p. The others' draw is taken on the way: a tile takes it over with its share of
 * the mass so far, and then one of its ids with that id's share.
 */
#include "base/buf.h"
#include "base/par.h"
#include "model/backward_own.h"
#include "num/linalg.h"
#include "num/rng.h"
#include "num/vgrad.h"
#include "num/vmath.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    IDS = 2048, /* of the vocabulary in a tile */
    ROWS = 128,
    FAR = 1000,             /* of logits: exp of it is 0 */
    BATCH_FLOATS = 32 << 20 /* in the rows that go by at a time */
};

/* A position with a label. */
struct row {
    size_t token;
    int drawn;
    uint64_t random;
    uint32_t label, top_id, other_id; /* the likeliest; one of the others, drawn */
    float top, other, logit;          /* their logits, and the label's */
    double others;                    /* sum of exp(logit - top) but for the top's 1 */
    double weight;                    /* p / q of the label */
};

struct output {
    struct mpq_backward *b;
    const struct mpq_weight *w;
    const float *ready; /* the whole unembedding where it needs no decoding */
    float *ids;         /* [IDS][d] */
    struct row *rows;   /* [n] of the batch */
    size_t n, d, vocab, n_ids;
    const float *x;       /* last states */
    float *normed, *sums; /* [n][d] */
};

static int
norm_rows(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    const struct output *o = ctx;
    const struct mpq_forward *f = o->b->f;

    (void)thread, (void)err;
    for (size_t i = item * ROWS; i < o->n && i < (item + 1) * ROWS; i++)
        mpq_vrms_norm(o->normed + i * o->d, o->x + o->rows[i].token * o->d,
                      f->final_norm, o->d, f->net.norm_eps);
    return 0;
}

/* One of p[n], whose sum is SUM > 0, by its share; not SKIP, which is none of it. */
static size_t
draw(const float *p, size_t n, size_t skip, double sum, uint64_t *random)
{
    const double at = mpq_rng_double(random) * sum;
    double seen = 0;
    size_t last = skip;

    for (size_t i = 0; i < n; i++) {
        if (i == skip || !(p[i] > 0))
            continue;
        last = i;
        if ((seen += (double)p[i]) > at)
            break;
    }
    return last;
}

/* Is the draw taken over by a part of the others' mass, which is counted already? */
static int
takes_over(struct row *r, double part)
{
    return r->drawn && part > 0 && mpq_rng_double(&r->random) * r->others < part;
}

/* The likeliest id is from now on that at AT of the tile, with logit TOP; the one
 * before it is one of the others. Returns what all sums are to be scaled down by. */
static float
new_top(struct row *r, float top, uint32_t at)
{
    const float scale = r->top > -INFINITY ? expf(r->top - top) : 0;

    r->others = (r->others + (r->top > -INFINITY)) * (double)scale;
    if (takes_over(r, (double)scale)) {
        r->other_id = r->top_id;
        r->other = r->top;
    }
    r->top = top;
    r->top_id = at;
    return scale;
}

/* Takes logits X of a tile into R; X becomes the weights of the unembedding's rows in
 * SUMS. LOGITS is scratch memory. */
static void
take_logits(const struct output *o, struct row *r, float *x, float *logits, float *sums)
{
    const float cap = o->b->f->net.final_softcap;
    const size_t n = o->n_ids;

    if (cap > 0)
        mpq_vsoftcap(x, n, cap);
    memcpy(logits, x, n * sizeof *x);
    const float top = mpq_vmax(x, n);
    size_t own = n; /* where the top stands, if in this tile */
    if (top > r->top) {
        for (own = 0; logits[own] != top;)
            own++;
        mpq_vscale(sums, o->d, new_top(r, top, (uint32_t)(o->vocab + own)));
        x[own] = top - FAR;
    }
    const double sum = mpq_vexp(x, n, r->top); /* the top left out, however near 0 */
    if (own < n)
        x[own] = 1;
    r->others += sum;
    if (takes_over(r, sum)) {
        const size_t i = draw(x, n, own, sum, &r->random);
        r->other_id = (uint32_t)(o->vocab + i);
        r->other = logits[i];
    }
    if (!r->drawn && r->label >= o->vocab && r->label - o->vocab < n)
        r->logit = logits[r->label - o->vocab];
    if (cap > 0)
        mpq_vsoftcap_back(x, logits, n, cap);
}

static int
take_tile(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    const struct output *o = ctx;
    const size_t row = item * ROWS, n = mpq_fwd_min(ROWS, o->n - row);
    const float *w = o->ready ? o->ready + o->vocab * o->d : o->ids;
    float *x = o->b->f->scratch[thread], *logits = x + ROWS * IDS;
    float *sums = o->sums + row * o->d;

    mpq_gemm_add_f(0, 1, n, o->n_ids, o->d, 1, o->normed + row * o->d, o->d, w, o->d, 0,
                   x, IDS);
    for (size_t i = 0; i < n; i++) {
        if (!mpq_vfinite(x + i * IDS, o->n_ids))
            return mpq_fail(
                err, MPQ_EDATA, "%s: %s: a logit is NaN or infinite (token %zu)",
                mpq_source_name(o->b->f->s), o->w->name, o->rows[row + i].token + 1);
        take_logits(o, &o->rows[row + i], x + i * IDS, logits, sums + i * o->d);
    }
    mpq_gemm_add_f(0, 0, n, o->d, o->n_ids, 1, x, IDS, w, o->d, 1, sums, o->d);
    return 0;
}

/* Draws the label, from the likeliest id and the one of the others. Squares of e - p
 * are about 1 + p^2 for these, 1.3 (1 - p)^2 for that, p being its probability. */
static void
choose_label(struct row *r)
{
    const double p = 1 / (1 + r->others), rest = r->others / (1 + r->others);
    const double of_others = 1 + p * p, of_top = 1.3 * p * rest;
    const double q = of_others / (of_others + of_top);
    const int other = rest > 0 && mpq_rng_double(&r->random) < q;

    r->label = other ? r->other_id : r->top_id;
    r->logit = other ? r->other : r->top;
    r->weight = !(rest > 0) ? 1 : other ? rest / q : p / (1 - q);
}

/* From the sums to the gradient by the states: p less 1 for the label, times the
 * unembedding, back through the norm. */
static int
finish_rows(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    const struct output *o = ctx;
    const struct mpq_forward *f = o->b->f;
    const float cap = f->net.final_softcap;
    float *w = f->scratch[thread];

    for (size_t i = item * ROWS; i < o->n && i < (item + 1) * ROWS; i++) {
        struct row *r = &o->rows[i];
        float *dh = o->sums + i * o->d, times = 1;
        if (r->drawn) {
            choose_label(r);
            times = (float)sqrt(r->weight) * (mpq_rng_next(&r->random) >> 63 ? 1 : -1);
        }
        if (mpq_source_read_rows(f->s, o->w, r->label, 1, w, err) < 0)
            return -1;
        float by = 1;
        if (cap > 0)
            mpq_vsoftcap_back(&by, &r->logit, 1, cap);
        for (size_t k = 0; k < o->d; k++)
            dh[k] = times * (dh[k] * (float)(1 / (1 + r->others)) - by * w[k]);
        mpq_vrms_back(o->b->dx.x + r->token * o->d, dh, o->x + r->token * o->d,
                      f->final_norm, o->d, f->net.norm_eps, 0);
    }
    return 0;
}

static int
run_batch(struct output *o, struct mpq_err *err)
{
    const struct mpq_forward *f = o->b->f;
    const size_t tiles = mpq_fwd_pieces(o->n, ROWS);

    memset(o->sums, 0, o->n * o->d * sizeof *o->sums);
    if (mpq_par_for(f->n_threads, tiles, norm_rows, o, err) < 0)
        return -1;
    for (o->vocab = 0; o->vocab < f->net.n_vocab; o->vocab += IDS) {
        o->n_ids = mpq_fwd_min(IDS, f->net.n_vocab - o->vocab);
        if ((!o->ready && mpq_fwd_rows(f, o->w, o->vocab, o->n_ids, o->ids, err) < 0) ||
            mpq_par_for(f->n_threads, tiles, take_tile, o, err) < 0)
            return -1;
    }
    return mpq_par_for(f->n_threads, tiles, finish_rows, o, err);
}

/* The next positions with a label, from *TOKEN on. */
static int
gather(struct output *o, const uint32_t *labels, uint64_t seed, size_t most,
       size_t *token, struct mpq_err *err)
{
    const size_t n_vocab = o->b->f->net.n_vocab;

    o->n = 0;
    for (; *token < o->b->n_tokens && o->n < most; ++*token) {
        const uint32_t label = labels[*token];
        if (label == MPQ_LABEL_NONE)
            continue;
        if (label != MPQ_LABEL_DRAW && label >= n_vocab)
            return mpq_fail(err, MPQ_EDATA,
                            "%s: token id %" PRIu32 " in a vocabulary of %zu",
                            mpq_source_name(o->b->f->s), label, n_vocab);
        o->rows[o->n++] = (struct row){ .token = *token,
                                        .drawn = label == MPQ_LABEL_DRAW,
                                        .random = mpq_rng_at(seed, *token),
                                        .label = label,
                                        .top = -INFINITY,
                                        .weight = 1 };
    }
    return 0;
}

int
mpq_backward_output(struct mpq_backward *b, uint32_t *labels, uint64_t seed,
                    struct mpq_err *err)
{
    struct mpq_states x;
    struct output o = { .b = b, .w = mpq_fwd_unembed(b->f), .d = b->f->net.n_embd };
    size_t most = BATCH_FLOATS / o.d / 2 + ROWS, token = 0, scratch = ROWS * IDS + IDS;
    int rc = -1;

    if (most > b->n_tokens)
        most = b->n_tokens;
    mpq_backward_states(b, b->f->net.n_layer, &x);
    o.x = x.x;
    o.ready = mpq_fwd_unembed_ready(b->f, o.w);
    o.rows = mpq_array(most, sizeof *o.rows);
    o.normed = mpq_array(most, o.d * sizeof *o.normed);
    o.sums = mpq_array(most, o.d * sizeof *o.sums);
    o.ids = mpq_array(IDS, o.d * sizeof *o.ids);
    if (!o.rows || !o.normed || !o.sums || !o.ids) {
        mpq_fail(err, MPQ_ENOMEM, "out of memory for logits");
        goto out;
    }
    if (mpq_fwd_scratch(b->f, scratch > o.d ? scratch : o.d, err) < 0)
        goto out;
    memset(b->dx.x, 0, b->n_tokens * o.d * sizeof *b->dx.x);
    b->loss = 0;
    b->n_labels = 0;
    while (token < b->n_tokens) {
        if (gather(&o, labels, seed, most, &token, err) < 0 || run_batch(&o, err) < 0)
            goto out;
        for (size_t i = 0; i < o.n; i++) {
            const struct row *r = &o.rows[i];
            labels[r->token] = r->label;
            b->loss +=
                r->weight * (log1p(r->others) + (double)r->top - (double)r->logit);
        }
        b->n_labels += o.n;
    }
    b->depth = b->f->net.n_layer;
    rc = 0;
out:
    free(o.rows);
    free(o.normed);
    free(o.sums);
    free(o.ids);
    return rc;
}
