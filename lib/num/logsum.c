#include "num/logsum.h"

#include "num/lanes.h"
#include "num/vmath.h"

#include <math.h>
#include <string.h>

void
mpq_logsum_start(struct mpq_logsum *s)
{
    *s = (struct mpq_logsum){ .top = -INFINITY };
}

/* Takes TOP of x[n] for the new largest value if it is one. Returns the factor that
 * brings what was summed so far to the new scale, -1 when TOP is no number. */
static double
raise_top(struct mpq_logsum *s, const float *x, size_t n, uint32_t id, float top)
{
    size_t i = 0;

    if (!isfinite(top)) {
        s->unsound = 1;
        return -1;
    }
    if (top <= s->top)
        return 1;
    const double factor = exp((double)s->top - top); /* 0 at first */
    while (i < n - 1 && x[i] != top)
        i++;
    s->top = top;
    s->at = id + (uint32_t)i;
    s->sum *= factor;
    return factor;
}

void
mpq_logsum_add(struct mpq_logsum *s, const float *x, size_t n, uint32_t id)
{
    if (n > 0 && raise_top(s, x, n, id, mpq_vmax(x, n)) >= 0)
        s->sum += mpq_vsum_exp(x, n, s->top);
}

double
mpq_logsum_value(const struct mpq_logsum *s)
{
    return s->unsound ? NAN : s->top + log(s->sum);
}

void
mpq_divergence_start(struct mpq_divergence *d)
{
    mpq_logsum_start(&d->x);
    mpq_logsum_start(&d->ref);
    d->cross = 0;
}

/* sum of w (ref - x) */
static double
weighted_gap(const float *w, const float *ref, const float *x, size_t n)
{
    v8d sum = { 0 };
    double all = 0;
    size_t i = 0;

    for (; i + 8 <= n; i += 8)
        for (size_t k = 0; k < 8; k++)
            sum[k] += (double)w[i + k] * ((double)ref[i + k] - (double)x[i + k]);
    for (; i < n; i++)
        all += (double)w[i] * ((double)ref[i] - (double)x[i]);
    for (size_t k = 0; k < 8; k++)
        all += sum[k];
    return all;
}

void
mpq_divergence_add(struct mpq_divergence *d, const float *x, const float *ref, size_t n,
                   uint32_t id)
{
    enum { BLOCK = 512 };
    float w[BLOCK];

    if (n == 0 || raise_top(&d->x, x, n, id, mpq_vmax(x, n)) < 0)
        return;
    const double factor = raise_top(&d->ref, ref, n, id, mpq_vmax(ref, n));
    if (factor < 0)
        return;
    d->cross *= factor;
    /* both sums in the same way: of equal distributions they are equal to the bit */
    for (size_t i = 0; i < n; i += BLOCK) {
        const size_t m = n - i < BLOCK ? n - i : BLOCK;
        memcpy(w, x + i, m * sizeof *w);
        d->x.sum += mpq_vexp(w, m, d->x.top);
        memcpy(w, ref + i, m * sizeof *w);
        d->ref.sum += mpq_vexp(w, m, d->ref.top);
        d->cross += weighted_gap(w, ref + i, x + i, m);
    }
}

double
mpq_divergence_value(const struct mpq_divergence *d)
{
    const double kl =
        d->cross / d->ref.sum + mpq_logsum_value(&d->x) - mpq_logsum_value(&d->ref);

    return kl < 0 ? 0 : kl; /* a NaN stays one */
}

static void
insert(struct mpq_topk *t, float value, uint32_t id)
{
    size_t at = t->n < t->k ? t->n++ : t->k - 1;

    for (; at > 0 && value > t->values[at - 1]; at--) {
        t->values[at] = t->values[at - 1];
        t->ids[at] = t->ids[at - 1];
    }
    t->values[at] = value;
    t->ids[at] = id;
}

void
mpq_topk_add(struct mpq_topk *t, const float *x, size_t n, uint32_t id)
{
    enum { BLOCK = 64 }; /* most blocks have no value that counts */

    if (t->k == 0)
        return;
    for (size_t i = 0; i < n; i += BLOCK) {
        const size_t end = n - i < BLOCK ? n : i + BLOCK;
        if (t->n == t->k && mpq_vmax(x + i, end - i) <= t->values[t->k - 1])
            continue;
        for (size_t j = i; j < end; j++)
            if (t->n < t->k || x[j] > t->values[t->k - 1])
                insert(t, x[j], id + (uint32_t)j);
    }
}

double
mpq_divergence_topk(const float *logp, const double *logq, size_t k, double tail)
{
    const double least = 1e-12; /* what the rest of q may shrink to by rounding */
    double sum = 0, q = 0;

    for (size_t i = 0; i < k; i++) {
        sum += exp((double)logp[i]) * ((double)logp[i] - logq[i]);
        q += exp(logq[i]);
    }
    if (tail > 0)
        sum += tail * (log(tail) - log(1 - q > least ? 1 - q : least));
    return sum < 0 ? 0 : sum;
}
