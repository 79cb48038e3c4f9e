/* The vocabulary tile by tile: of each row only sums are kept. */
#include "method/eval.h"

#include "base/buf.h"
#include "num/logsum.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A run over some rows. */
struct run {
    const struct mpq_eval_rows *q;
    const struct mpq_eval_scores *out;
    struct mpq_divergence *sums; /* [n]; without a reference model only sums.x */
    float *logits, *logits_ref;  /* [targets] */
    struct mpq_topk *top;        /* [n] for out->save */
    float *top_values;
    float *known; /* [n][k] logits of the known tokens */
    size_t n_vocab;
};

static void
close_run(struct run *r)
{
    free(r->sums);
    free(r->logits);
    free(r->logits_ref);
    free(r->top);
    free(r->top_values);
    free(r->known);
}

static int
open_run(struct run *r, const struct mpq_eval_rows *q,
         const struct mpq_eval_scores *out, size_t n_vocab, struct mpq_err *err)
{
    const size_t n_targets = q->first[q->n];
    const struct mpq_saved *save = out->save, *known = out->known;

    *r = (struct run){ .q = q, .out = out, .n_vocab = n_vocab };
    r->sums = mpq_array(q->n, sizeof *r->sums);
    r->logits = mpq_array(n_targets, sizeof *r->logits);
    r->logits_ref = mpq_array(n_targets, sizeof *r->logits_ref);
    r->top = mpq_array(save ? q->n : 0, sizeof *r->top);
    r->top_values = mpq_array(save ? q->n : 0, (save ? save->k : 0) * sizeof(float));
    r->known = mpq_array(known ? q->n : 0, (known ? known->k : 0) * sizeof(float));
    if (!r->sums || !r->logits || !r->logits_ref || !r->top || !r->top_values ||
        !r->known)
        return mpq_fail(err, MPQ_ENOMEM, "scores of %zu tokens: out of memory", q->n);
    for (size_t i = 0; i < q->n; i++) {
        mpq_divergence_start(&r->sums[i]);
        if (save) /* ids are below 2^31: they end up in a signed tensor */
            r->top[i] =
                (struct mpq_topk){ .values = r->top_values + i * save->k,
                                   .ids = (uint32_t *)(void *)(save->ids + i * save->k),
                                   .k = save->k };
    }
    return 0;
}

/* Picks the logits of the row's targets out of a tile. */
static void
take_targets(struct run *r, size_t row, const struct mpq_logit_tile *t,
             const float *logits, const float *ref)
{
    for (size_t i = r->q->first[row]; i < r->q->first[row + 1]; i++) {
        const uint32_t at = r->q->targets[i] - t->vocab;
        if (r->q->targets[i] < t->vocab || at >= t->n_vocab)
            continue;
        r->logits[i] = logits[at];
        if (ref)
            r->logits_ref[i] = ref[at];
    }
}

static void
take_known(struct run *r, size_t row, const struct mpq_logit_tile *t,
           const float *logits)
{
    const size_t k = r->out->known->k;
    const int32_t *ids = r->out->known->ids + row * k;

    for (size_t i = 0; i < k; i++) {
        const uint32_t id = (uint32_t)ids[i];
        if (id >= t->vocab && id - t->vocab < t->n_vocab)
            r->known[row * k + i] = logits[id - t->vocab];
    }
}

static int
take_tile(void *ctx, const struct mpq_logit_tile *t, unsigned thread,
          struct mpq_err *err)
{
    struct run *r = ctx;

    (void)thread;
    (void)err;
    for (size_t i = 0; i < t->n_rows; i++) {
        const size_t row = t->row + i;
        const float *logits = t->logits + i * t->stride;
        const size_t at = row * r->n_vocab + t->vocab;
        const float *ref = t->ref ? t->ref + i * t->stride : NULL;
        if (r->out->kept)
            ref = r->out->kept + at;
        if (r->out->keep)
            memcpy(r->out->keep + at, logits, t->n_vocab * sizeof *logits);
        if (ref && (r->out->kld || r->out->same)) {
            mpq_divergence_add(&r->sums[row], logits, ref, t->n_vocab, t->vocab);
        } else {
            mpq_logsum_add(&r->sums[row].x, logits, t->n_vocab, t->vocab);
            if (ref)
                mpq_logsum_add(&r->sums[row].ref, ref, t->n_vocab, t->vocab);
        }
        take_targets(r, row, t, logits, ref);
        if (r->out->save)
            mpq_topk_add(&r->top[row], logits, t->n_vocab, t->vocab);
        if (r->out->known)
            take_known(r, row, t, logits);
    }
    return 0;
}

/* The row of a reference to be kept. */
static void
keep(const struct run *r, size_t row, double lse)
{
    struct mpq_saved *s = r->out->save;
    double inside = 0;

    for (size_t i = 0; i < s->k; i++) {
        const double logp = r->top[row].values[i] - lse;
        s->logp[row * s->k + i] = (float)logp;
        inside += exp(logp);
    }
    s->tail[row] = inside < 1 ? (float)(1 - inside) : 0;
    s->target[row] = (float)(r->logits[r->q->first[row]] - lse);
}

/* The same from a saved reference: a lower bound. */
static int
compare_known(const struct run *r, size_t row, double lse, struct mpq_err *err)
{
    const struct mpq_saved *s = r->out->known;
    const size_t k = s->k;
    double *logq = mpq_array(k, sizeof *logq);

    if (!logq)
        return mpq_fail(err, MPQ_ENOMEM, "saved reference: out of memory");
    for (size_t i = 0; i < k; i++)
        logq[i] = r->known[row * k + i] - lse;
    if (r->out->kld)
        r->out->kld[row] =
            mpq_divergence_topk(s->logp + row * k, logq, k, (double)s->tail[row]);
    if (r->out->same)
        r->out->same[row] = (uint32_t)s->ids[row * k] == r->sums[row].x.at;
    if (r->out->logp_ref)
        for (size_t i = r->q->first[row]; i < r->q->first[row + 1]; i++)
            r->out->logp_ref[i] = (double)s->target[row];
    free(logq);
    return 0;
}

static int
finish_row(const struct run *r, size_t row, int with_ref, struct mpq_err *err)
{
    const struct mpq_divergence *d = &r->sums[row];
    const double lse = mpq_logsum_value(&d->x);
    const double lse_ref = with_ref ? mpq_logsum_value(&d->ref) : 0;

    if (!isfinite(lse) || !isfinite(lse_ref))
        return mpq_fail(err, MPQ_EDATA, "logits of the %s are NaN or infinite",
                        isfinite(lse) ? "reference" : "model");
    for (size_t i = r->q->first[row]; i < r->q->first[row + 1]; i++) {
        if (r->out->logp)
            r->out->logp[i] = r->logits[i] - lse;
        if (r->out->logp_ref && with_ref)
            r->out->logp_ref[i] = r->logits_ref[i] - lse_ref;
    }
    if (with_ref && r->out->kld)
        r->out->kld[row] = mpq_divergence_value(d);
    if (with_ref && r->out->same)
        r->out->same[row] = d->x.at == d->ref.at;
    if (r->out->save)
        keep(r, row, lse);
    return r->out->known ? compare_known(r, row, lse, err) : 0;
}

int
mpq_eval_rows(const struct mpq_eval *e, const struct mpq_states *x,
              const struct mpq_states *x_ref, const struct mpq_eval_rows *q,
              const struct mpq_eval_scores *out, struct mpq_err *err)
{
    const struct mpq_logits_side side = { e->model, x };
    const struct mpq_logits_side ref = { e->ref, x_ref };
    const size_t n_vocab = mpq_forward_net(e->model)->n_vocab;
    struct run r;
    int rc = -1;

    if (open_run(&r, q, out, n_vocab, err) < 0)
        goto out;
    for (size_t i = q->first[0]; i < q->first[q->n]; i++)
        if (q->targets[i] >= n_vocab) {
            mpq_fail(err, MPQ_EDATA, "token %u in a model of %zu", q->targets[i],
                     n_vocab);
            goto out;
        }
    if (mpq_forward_logits(&side, x_ref ? &ref : NULL, q->rows, q->n, take_tile, &r,
                           err) < 0)
        goto out;
    for (size_t i = 0; i < q->n; i++)
        if (finish_row(&r, i, x_ref || out->kept, err) < 0)
            goto out;
    rc = 0;
out:
    close_run(&r);
    return rc;
}
