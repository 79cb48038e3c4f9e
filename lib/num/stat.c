#include "num/stat.h"

#include "base/buf.h"
#include "base/simd.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 1024 };

/* Eight doubles, or as many floats: GCC and clang lower these to what there is. */
typedef double v8d __attribute__((vector_size(64)));
typedef float v8f __attribute__((vector_size(32)));

static double
sum8(const v8d *v)
{
    const v8d a = *v;
    return ((a[0] + a[4]) + (a[2] + a[6])) + ((a[1] + a[5]) + (a[3] + a[7]));
}

/* Sum of x[n], n a multiple of 32. */
MPQ_CLONES static double
block_sum(const float *x, size_t n)
{
    v8d s0 = { 0 }, s1 = { 0 }, s2 = { 0 }, s3 = { 0 };
    v8f f[4];

    for (size_t i = 0; i < n; i += 32) {
        memcpy(f, x + i, sizeof f);
        s0 += __builtin_convertvector(f[0], v8d);
        s1 += __builtin_convertvector(f[1], v8d);
        s2 += __builtin_convertvector(f[2], v8d);
        s3 += __builtin_convertvector(f[3], v8d);
    }
    s0 = (s0 + s1) + (s2 + s3);
    return sum8(&s0);
}

/* Sums of the second to fourth powers of x - mean; n a multiple of 16. */
MPQ_CLONES static void
block_powers(const float *x, size_t n, double mean, double out[3])
{
    v8d a2 = { 0 }, a3 = { 0 }, a4 = { 0 }, b2 = { 0 }, b3 = { 0 }, b4 = { 0 };
    v8f f[2];

    for (size_t i = 0; i < n; i += 16) {
        memcpy(f, x + i, sizeof f);
        v8d a = __builtin_convertvector(f[0], v8d) - mean;
        v8d b = __builtin_convertvector(f[1], v8d) - mean;
        v8d aa = a * a, bb = b * b;
        a2 += aa;
        b2 += bb;
        a3 += aa * a;
        b3 += bb * b;
        a4 += aa * aa;
        b4 += bb * bb;
    }
    a2 += b2;
    a3 += b3;
    a4 += b4;
    out[0] = sum8(&a2);
    out[1] = sum8(&a3);
    out[2] = sum8(&a4);
}

MPQ_CLONES static void
block_extremes(const float *x, size_t n, float *min, float *max)
{
    float lo[32], hi[32];

    for (int j = 0; j < 32; j++)
        lo[j] = hi[j] = x[j];
    for (size_t i = 32; i < n; i += 32)
        for (int j = 0; j < 32; j++) {
            lo[j] = x[i + (size_t)j] < lo[j] ? x[i + (size_t)j] : lo[j];
            hi[j] = x[i + (size_t)j] > hi[j] ? x[i + (size_t)j] : hi[j];
        }
    *min = lo[0];
    *max = hi[0];
    for (int j = 1; j < 32; j++) {
        *min = lo[j] < *min ? lo[j] : *min;
        *max = hi[j] > *max ? hi[j] : *max;
    }
}

/* A short end, and whatever is no multiple of the vector length. */
static void
plain_block(struct mpq_moments *b, const float *x, size_t n)
{
    double sum = 0;

    *b = (struct mpq_moments){ .n = n, .min = x[0], .max = x[0] };
    for (size_t i = 0; i < n; i++) {
        sum += (double)x[i];
        b->min = x[i] < b->min ? x[i] : b->min;
        b->max = x[i] > b->max ? x[i] : b->max;
    }
    b->mean = sum / (double)n;
    for (size_t i = 0; i < n; i++) {
        double d = (double)x[i] - b->mean, dd = d * d;
        b->m2 += dd;
        b->m3 += dd * d;
        b->m4 += dd * dd;
    }
}

static void
vector_block(struct mpq_moments *b, const float *x, size_t n)
{
    double p[3];

    b->n = n;
    b->mean = block_sum(x, n) / (double)n;
    block_powers(x, n, b->mean, p);
    b->m2 = p[0];
    b->m3 = p[1];
    b->m4 = p[2];
    block_extremes(x, n, &b->min, &b->max);
}

void
mpq_moments_add(struct mpq_moments *m, const float *x, size_t n)
{
    struct mpq_moments b;

    while (n > 0) {
        size_t len = n < BLOCK ? n : BLOCK;
        if (len >= 32) {
            len -= len % 32;
            vector_block(&b, x, len);
        } else {
            plain_block(&b, x, len);
        }
        if (b.min == b.max) { /* a rounded mean must not pass for spread */
            b.mean = (double)b.min;
            b.m2 = b.m3 = b.m4 = 0;
        }
        mpq_moments_merge(m, &b);
        x += len;
        n -= len;
    }
}

void
mpq_moments_merge(struct mpq_moments *m, const struct mpq_moments *b)
{
    if (b->n == 0)
        return;
    if (m->n == 0) {
        *m = *b;
        return;
    }
    const double na = (double)m->n, nb = (double)b->n, n = na + nb;
    const double d = b->mean - m->mean, dn = d / n, dn2 = dn * dn;
    const double t = d * dn * na * nb; /* d^2 na nb / n */

    m->m4 += b->m4 + t * dn2 * (na * na - na * nb + nb * nb) +
             6 * dn2 * (na * na * b->m2 + nb * nb * m->m2) +
             4 * dn * (na * b->m3 - nb * m->m3);
    m->m3 += b->m3 + t * dn * (na - nb) + 3 * dn * (na * b->m2 - nb * m->m2);
    m->m2 += b->m2 + t;
    m->mean += dn * nb;
    m->n += b->n;
    m->min = b->min < m->min ? b->min : m->min;
    m->max = b->max > m->max ? b->max : m->max;
}

void
mpq_power_sums(const float *x, size_t n, double mean, double out[3])
{
    const size_t whole = n - n % 16;
    double p[3];

    block_powers(x, whole, mean, p);
    for (size_t i = whole; i < n; i++) {
        const double d = (double)x[i] - mean, dd = d * d;
        p[0] += dd;
        p[1] += dd * d;
        p[2] += dd * dd;
    }
    for (int i = 0; i < 3; i++)
        out[i] += p[i];
}

double
mpq_moments_var(const struct mpq_moments *m)
{
    return m->n ? m->m2 / (double)m->n : 0;
}

double
mpq_moments_skew(const struct mpq_moments *m)
{
    const double var = mpq_moments_var(m);
    return var > 0 ? m->m3 / (double)m->n / (var * sqrt(var)) : 0;
}

double
mpq_moments_kurt(const struct mpq_moments *m)
{
    const double var = mpq_moments_var(m), square = var * var;
    return (square > 0 ? m->m4 / (double)m->n / square : 0) - 3;
}

double
mpq_kurt(const float *x, size_t n)
{
    struct mpq_moments m = { 0 };

    mpq_moments_add(&m, x, n);
    return mpq_moments_kurt(&m);
}

static int
by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double
mpq_median(double *x, size_t n)
{
    qsort(x, n, sizeof *x, by_value);
    return n % 2 ? x[n / 2] : 0.5 * (x[n / 2 - 1] + x[n / 2]);
}

int
mpq_mad_z(const double *x, size_t n, double scale, double *z)
{
    double *copy = mpq_array(n, sizeof *copy);

    if (!copy)
        return -1;
    if (n > 0) {
        memcpy(copy, x, n * sizeof *copy);
        const double median = mpq_median(copy, n);
        for (size_t i = 0; i < n; i++)
            copy[i] = fabs(x[i] - median);
        const double spread = scale * mpq_median(copy, n);
        for (size_t i = 0; i < n; i++)
            z[i] = spread > 0 ? (x[i] - median) / spread : 0;
    }
    free(copy);
    return 0;
}

double
mpq_softplus(double x)
{
    return (x > 0 ? x : 0) + log1p(exp(-fabs(x)));
}
