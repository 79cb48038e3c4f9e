/* The second pass of num/stat.h. */
#include "num/stat.h"

#include "base/simd.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { BLOCK = 1024, LANES = 8 };

typedef double v8d __attribute__((vector_size(64)));
typedef float v8f __attribute__((vector_size(32)));
typedef int64_t v8l __attribute__((vector_size(64)));

const int mpq_rtn_bits[MPQ_N_RTN] = { 2, 3, 4, 8 };

/* The greatest float <= t and the smallest >= t: comparing floats with them is exactly
 * comparing with the double t. */
static float
float_at_most(double t)
{
    float f = (float)t;
    return (double)f > t ? nextafterf(f, -FLT_MAX) : f;
}

static float
float_at_least(double t)
{
    float f = (float)t;
    return (double)f < t ? nextafterf(f, FLT_MAX) : f;
}

void
mpq_tally_plan(struct mpq_tally_plan *p, const struct mpq_moments *m, unsigned what)
{
    const double sd = sqrt(mpq_moments_var(m));
    const double size = fmax(fabs((double)m->min), fabs((double)m->max));

    *p = (struct mpq_tally_plan){ .what = what, .top = (double)m->max, .n = m->n };
    /* Without spread z is 0/0 = 0: nothing lies outside. */
    p->above = sd > 0 ? float_at_most(m->mean + sd) : m->max;
    p->below = sd > 0 ? float_at_least(m->mean - sd) : m->min;
    for (int i = 0; i < MPQ_N_RTN; i++) {
        p->step[i] = size / (double)((1 << (mpq_rtn_bits[i] - 1)) - 1);
        /* Below the smallest normal float the squared error is 0 in any case. */
        p->inv[i] = p->step[i] > (double)FLT_MIN ? (float)(1 / p->step[i]) : 0;
    }
}

MPQ_CLONES static uint64_t
count_outside(const float *x, size_t n, float below, float above)
{
    uint32_t count[16] = { 0 };
    uint64_t sum = 0;
    size_t i = 0;

    for (; i + 16 <= n; i += 16)
        for (size_t j = 0; j < 16; j++)
            count[j] += (uint32_t)((x[i + j] > above) | (x[i + j] < below));
    for (; i < n; i++)
        sum += x[i] > above || x[i] < below;
    for (int j = 0; j < 16; j++)
        sum += count[j];
    return sum;
}

/*
 * Sums of e^y and y e^y, y = x - top <= 0, for n a multiple of LANES. e^y = 2^k e^r,
 * |r| <= ln 2 / 2, e^r by its series up to r^12 / 12!: the rest is below 2e-16. Below
 * -700 e^y counts as e^-700, which nothing shows against the e^0 of the top.
 */
MPQ_CLONES static void
sum_exp(const float *x, size_t n, double top, double *sum_e, double *sum_xe)
{
    const double shift = 0x1.8p52, log2e = 0x1.71547652b82fep0;
    const double ln2_hi = 0x1.62e42fee00000p-1, ln2_lo = 0x1.a39ef35793c76p-33;
    v8d se = { 0 }, sxe = { 0 };
    v8f f;

    for (size_t i = 0; i < n; i += LANES) {
        memcpy(&f, x + i, sizeof f);
        v8d y = __builtin_convertvector(f, v8d) - top;
        const v8d low = (v8d){ 0 } - 700.0;
        const v8l small = y < low;
        y = (v8d)(((v8l)low & small) | ((v8l)y & ~small));
        v8d k = y * log2e + shift; /* the integer sits in the low bits */
        const v8l power = (v8l)k << 52;
        k -= shift;
        const v8d r = (y - k * ln2_hi) - k * ln2_lo;
        v8d e = r * (1.0 / 479001600) + 1.0 / 39916800;
        e = e * r + 1.0 / 3628800;
        e = e * r + 1.0 / 362880;
        e = e * r + 1.0 / 40320;
        e = e * r + 1.0 / 5040;
        e = e * r + 1.0 / 720;
        e = e * r + 1.0 / 120;
        e = e * r + 1.0 / 24;
        e = e * r + 1.0 / 6;
        e = e * r + 0.5;
        e = e * r + 1.0;
        e = e * r + 1.0;
        e = (v8d)((v8l)e + power);
        se += e;
        sxe += y * e;
    }
    for (int j = 0; j < LANES; j++) {
        *sum_e += se[j];
        *sum_xe += sxe[j];
    }
}

/* Squared distance of x / step to the nearest integer, in four grids at once. */
MPQ_CLONES static void
sum_rtn(const float *x, size_t n, const float inv[MPQ_N_RTN], double out[MPQ_N_RTN])
{
    const float shift = 0x1.8p23f; /* t + shift - shift rounds half to even */

    for (int b = 0; b < MPQ_N_RTN; b++) {
        float acc[32] = { 0 };
        double sum = 0;
        size_t i = 0;
        for (; i + 32 <= n; i += 32)
            for (size_t j = 0; j < 32; j++) {
                const float t = x[i + j] * inv[b];
                const float d = t - ((t + shift) - shift);
                acc[j] += d * d;
            }
        for (; i < n; i++) {
            const float t = x[i] * inv[b];
            const float d = t - ((t + shift) - shift);
            sum += (double)(d * d);
        }
        for (int j = 0; j < 32; j++)
            sum += (double)acc[j];
        out[b] += sum;
    }
}

void
mpq_tally_add(struct mpq_tally *t, const struct mpq_tally_plan *p, const float *x,
              size_t n)
{
    for (size_t i = 0; i < n; i += BLOCK) {
        const size_t len = n - i < BLOCK ? n - i : BLOCK;
        if (p->what & MPQ_TALLY_ZSHARE)
            t->outside += count_outside(x + i, len, p->below, p->above);
        if (p->what & MPQ_TALLY_RTN)
            sum_rtn(x + i, len, p->inv, t->rtn2);
        if (!(p->what & MPQ_TALLY_ENTROPY))
            continue;
        const size_t whole = len - len % LANES;
        double se = 0, sxe = 0;
        sum_exp(x + i, whole, p->top, &se, &sxe);
        for (size_t j = whole; j < len; j++) {
            const double y = fmax((double)x[i + j] - p->top, -700);
            se += exp(y);
            sxe += y * exp(y);
        }
        t->sum_e += se;
        t->sum_xe += sxe;
    }
}

void
mpq_tally_merge(struct mpq_tally *t, const struct mpq_tally *b)
{
    t->outside += b->outside;
    t->sum_e += b->sum_e;
    t->sum_xe += b->sum_xe;
    for (int i = 0; i < MPQ_N_RTN; i++)
        t->rtn2[i] += b->rtn2[i];
}

double
mpq_tally_zshare(const struct mpq_tally *t, const struct mpq_tally_plan *p)
{
    return p->n ? (double)t->outside / (double)p->n : 0;
}

double
mpq_tally_entropy(const struct mpq_tally *t, const struct mpq_tally_plan *p)
{
    /* -sum p ln p with p = e^y / S is ln S - sum(y e^y) / S; rounding may take a
     * single peak's 0 below. */
    return p->n ? fmax(0, log(t->sum_e) - t->sum_xe / t->sum_e) / (double)p->n : 0;
}

double
mpq_tally_mse(const struct mpq_tally *t, const struct mpq_tally_plan *p, int i)
{
    return p->n ? t->rtn2[i] * p->step[i] * p->step[i] / (double)p->n : 0;
}
