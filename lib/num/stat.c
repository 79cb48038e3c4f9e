#include "num/stat.h"

#include "base/buf.h"
#include "base/simd.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    BLOCK = 1024,
    AHEAD = 1024, /* floats: a page, where the processor's own prefetching ends */
};
static const double FAR = 4; /* squared standard deviations */

/* Eight doubles, or as many floats: GCC and clang lower these to what there is. */
typedef double v8d __attribute__((vector_size(64)));
typedef float v16f __attribute__((vector_size(64)));
typedef double v16d __attribute__((vector_size(128)));
typedef int32_t v16i __attribute__((vector_size(64)));

/* x[16] as two vectors of doubles: converted as one, because GCC would convert eight
 * floats by halves. */
#define WIDEN(x, halves)                                                               \
    do {                                                                               \
        v16f narrow_;                                                                  \
        memcpy(&narrow_, x, sizeof narrow_);                                           \
        const v16d wide_ = __builtin_convertvector(narrow_, v16d);                     \
        memcpy(halves, &wide_, sizeof wide_);                                          \
    } while (0)

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
    v8d f[4];

    for (size_t i = 0; i < n; i += 32) {
        WIDEN(x + i, f);
        WIDEN(x + i + 16, f + 2);
        s0 += f[0];
        s1 += f[1];
        s2 += f[2];
        s3 += f[3];
    }
    s0 = (s0 + s1) + (s2 + s3);
    return sum8(&s0);
}

/* Sums of the second to fourth powers of x - mean; n a multiple of 16. */
MPQ_CLONES static void
block_powers(const float *x, size_t n, double mean, double out[3])
{
    v8d a2 = { 0 }, a3 = { 0 }, a4 = { 0 }, b2 = { 0 }, b3 = { 0 }, b4 = { 0 };
    v8d f[2];

    for (size_t i = 0; i < n; i += 16) {
        WIDEN(x + i, f);
        v8d a = f[0] - mean, b = f[1] - mean;
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

/* Sums of the first to fourth powers of x - c, and the extremes, in one pass; n a
 * multiple of 16. */
MPQ_CLONES static void
block_all(const float *x, size_t n, double c, double out[4], float *min, float *max)
{
    v8d a1 = { 0 }, a2 = { 0 }, a3 = { 0 }, a4 = { 0 };
    v8d b1 = { 0 }, b2 = { 0 }, b3 = { 0 }, b4 = { 0 };
    v16f lo, hi, f;
    v8d h[2];

    memcpy(&lo, x, sizeof lo);
    hi = lo;
    for (size_t i = 0; i < n; i += 16) {
        memcpy(&f, x + i, sizeof f);
        __builtin_prefetch((const char *)x + (i + AHEAD) * sizeof *x);
        WIDEN(x + i, h);
        const v16i below = f<lo, above = f> hi;
        lo = (v16f)((below & (v16i)f) | (~below & (v16i)lo));
        hi = (v16f)((above & (v16i)f) | (~above & (v16i)hi));
        const v8d a = h[0] - c, b = h[1] - c;
        const v8d aa = a * a, bb = b * b;
        a1 += a;
        b1 += b;
        a2 += aa;
        b2 += bb;
        a3 += aa * a;
        b3 += bb * b;
        a4 += aa * aa;
        b4 += bb * bb;
    }
    a1 += b1;
    a2 += b2;
    a3 += b3;
    a4 += b4;
    out[0] = sum8(&a1);
    out[1] = sum8(&a2);
    out[2] = sum8(&a3);
    out[3] = sum8(&a4);
    *min = lo[0];
    *max = hi[0];
    for (int l = 1; l < 16; l++) {
        *min = lo[l] < *min ? lo[l] : *min;
        *max = hi[l] > *max ? hi[l] : *max;
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

/* About the guess C of the mean, and once more about the mean itself where the guess
 * was so far off that the powers would cancel. */
static void
vector_block(struct mpq_moments *b, const float *x, size_t n, double c)
{
    const double count = (double)n;
    double p[4];

    b->n = n;
    block_all(x, n, c, p, &b->min, &b->max);
    const double d = p[0] / count;
    if (d * d <= FAR * (p[1] / count - d * d)) {
        b->mean = c + d;
        b->m2 = p[1] - count * d * d;
        b->m3 = p[2] - 3 * d * p[1] + 2 * count * d * d * d;
        b->m4 = p[3] - 4 * d * p[2] + 6 * d * d * p[1] - 3 * count * d * d * d * d;
        return;
    }
    b->mean = block_sum(x, n) / count;
    block_powers(x, n, b->mean, p);
    b->m2 = p[0];
    b->m3 = p[1];
    b->m4 = p[2];
}

void
mpq_moments_add(struct mpq_moments *m, const float *x, size_t n)
{
    struct mpq_moments b;

    while (n > 0) {
        size_t len = n < BLOCK ? n : BLOCK;
        if (len >= 32) {
            len -= len % 32;
            vector_block(&b, x, len, m->n ? m->mean : (double)x[0]);
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

/* Sums of the first to fourth powers; n a multiple of 16. */
MPQ_CLONES static void
block_raw(const float *x, size_t n, double out[4])
{
    v8d a1 = { 0 }, a2 = { 0 }, a3 = { 0 }, a4 = { 0 };
    v8d b1 = { 0 }, b2 = { 0 }, b3 = { 0 }, b4 = { 0 };
    v8d f[2];

    for (size_t i = 0; i < n; i += 16) {
        WIDEN(x + i, f);
        const v8d a = f[0], b = f[1];
        const v8d aa = a * a, bb = b * b;
        a1 += a;
        b1 += b;
        a2 += aa;
        b2 += bb;
        a3 += aa * a;
        b3 += bb * b;
        a4 += aa * aa;
        b4 += bb * bb;
    }
    a1 += b1;
    a2 += b2;
    a3 += b3;
    a4 += b4;
    out[0] += sum8(&a1);
    out[1] += sum8(&a2);
    out[2] += sum8(&a3);
    out[3] += sum8(&a4);
}

void
mpq_power_sums(const float *x, size_t n, double sums[4])
{
    const size_t whole = n - n % 16;

    block_raw(x, whole, sums);
    for (size_t i = whole; i < n; i++) {
        const double d = (double)x[i], dd = d * d;
        sums[0] += d;
        sums[1] += dd;
        sums[2] += dd * d;
        sums[3] += dd * dd;
    }
}

double
mpq_power_kurt(const double sums[4], double n)
{
    const double m = sums[0] / n, m2 = sums[1] / n - m * m, square = m2 * m2;
    const double m4 =
        sums[3] / n - 4 * m * sums[2] / n + 6 * m * m * sums[1] / n - 3 * m * m * m * m;

    return (square > 0 && m2 > 0 ? m4 / square : 0) - 3;
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
