#include "num/reduce.h"

#include "base/simd.h"

#include <cblas.h>
#include <math.h>
#include <string.h>

enum {
    PANEL =
        32,    /* rows whose reflectors wait until the rest is updated by all of them */
    ROWS = 8,  /* rows of A that one pass over x and y serves */
    WIDE = 16, /* floats in a vector */
};

typedef float v16f __attribute__((vector_size(64), aligned(4)));
typedef float v8f __attribute__((vector_size(32), aligned(4)));
typedef float v4f __attribute__((vector_size(16), aligned(4)));
typedef double v8d __attribute__((vector_size(64), aligned(8)));

/* The sum of a v16f, by halves. */
static inline float
sum16(const float *x)
{
    v8f a[2];
    v4f b[2];

    memcpy(a, x, sizeof a);
    a[0] += a[1];
    memcpy(b, a, sizeof b);
    b[0] += b[1];
    return (b[0][0] + b[0][2]) + (b[0][1] + b[0][3]);
}

size_t
mpq_reduce_stride(size_t n)
{
    return (n + WIDE - 1) / WIDE * WIDE;
}

size_t
mpq_reduce_scratch(size_t n)
{
    return (2 * PANEL + 1) * mpq_reduce_stride(n);
}

/*
 * y += A x for rows [i, i + rows) of a[n][ld] and what mirrors them: each element is
 * read once and used twice. Zeros left of the diagonal and behind the end let the
 * vectors begin and end where they will. The diagonal is counted twice: taken off at
 * the end.
 */
MPQ_CLONES static void
symv_rows(const float *restrict a, size_t ld, size_t i, const float *restrict x,
          float *restrict y)
{
    const float *r = a + i * ld;
    v16f dot[ROWS] = { 0 };
    float sum[ROWS];

    for (size_t j = i / WIDE * WIDE; j < ld; j += WIDE) {
        const v16f xj = *(const v16f *)(x + j);
        v16f yj = *(const v16f *)(y + j);
        for (size_t k = 0; k < ROWS; k++) {
            const v16f ak = *(const v16f *)(r + k * ld + j);
            dot[k] += ak * xj;
            yj += ak * x[i + k];
        }
        *(v16f *)(y + j) = yj;
    }
    for (size_t k = 0; k < ROWS; k++)
        sum[k] = sum16((const float *)&dot[k]);
    for (size_t k = 0; k < ROWS; k++)
        y[i + k] += sum[k] - r[k * ld + i + k] * x[i + k];
}

/* y = A x on rows and columns from FIRST on; x is 0 before that and behind n. */
static void
symv(const float *a, size_t n, size_t ld, size_t first, const float *x, float *y)
{
    size_t i = first;

    memset(y, 0, ld * sizeof *y);
    for (; i + ROWS <= n; i += ROWS)
        symv_rows(a, ld, i, x, y);
    for (; i < n; i++) {
        y[i] += a[i * ld + i] * x[i];
        for (size_t j = i + 1; j < n; j++) {
            y[i] += a[i * ld + j] * x[j];
            y[j] += a[i * ld + j] * x[i];
        }
    }
}

/* In double. */
MPQ_CLONES static double
dot(const float *x, const float *y, size_t n)
{
    v8d s = { 0 }, t = { 0 };
    double sum = 0;
    size_t j = 0;

    for (; j + 16 <= n; j += 16) {
        s += __builtin_convertvector(*(const v8f *)(x + j), v8d) *
             __builtin_convertvector(*(const v8f *)(y + j), v8d);
        t += __builtin_convertvector(*(const v8f *)(x + j + 8), v8d) *
             __builtin_convertvector(*(const v8f *)(y + j + 8), v8d);
    }
    for (; j < n; j++)
        sum += (double)x[j] * (double)y[j];
    s += t;
    for (int l = 0; l < 8; l++)
        sum += s[l];
    return sum;
}

/* The reflector that turns x[n] into (beta, 0 ...): x becomes v with v[0] = 1. */
static double
reflector(float *x, size_t n, double *beta)
{
    const double rest = dot(x + 1, x + 1, n - 1), alpha = (double)x[0];

    x[0] = 1;
    *beta = alpha;
    if (!(rest > 0))
        return 0;
    *beta = -copysign(sqrt(alpha * alpha + rest), alpha);
    const float scale = (float)(1 / (alpha - *beta));
    for (size_t j = 1; j < n; j++)
        x[j] *= scale;
    return (*beta - alpha) / *beta;
}

/* c[i] and c[i + 1] change places, for [0, 2 k): coefficients of v go with w. */
static void
swap_pairs(float *c, size_t k)
{
    for (size_t p = 0; p < k; p++) {
        const float t = c[2 * p];
        c[2 * p] = c[2 * p + 1];
        c[2 * p + 1] = t;
    }
}

/*
 * The panel's vectors are rows v0 w0 v1 w1 ... of vw[2 PANEL][ld]. Row i of A gets what
 * the first k reflectors have changed in it:
 * a[i][j] -= sum_p v_p[i] w_p[j] + w_p[i] v_p[j], j >= i.
 */
static void
catch_up(float *row, size_t n, size_t ld, size_t i, const float *vw, size_t k)
{
    float c[2 * PANEL];

    for (size_t p = 0; p < 2 * k; p++)
        c[p] = vw[p * ld + i];
    swap_pairs(c, k);
    if (k > 0)
        cblas_sgemv(CblasRowMajor, CblasTrans, (int)(2 * k), (int)(n - i), -1, vw + i,
                    (int)ld, c, 1, 1, row + i, 1);
}

/* w = tau (A v - what the panel has changed in A), less its part along v; on [first,
 * n). */
static void
find_w(const float *a, size_t n, size_t ld, size_t first, const float *vw, size_t k,
       double tau, const float *v, float *w)
{
    const int len = (int)(n - first), m = (int)(2 * k);
    float c[2 * PANEL];

    symv(a, n, ld, first, v, w);
    if (k > 0) {
        cblas_sgemv(CblasRowMajor, CblasNoTrans, m, len, 1, vw + first, (int)ld,
                    v + first, 1, 0, c, 1);
        swap_pairs(c, k);
        cblas_sgemv(CblasRowMajor, CblasTrans, m, len, -1, vw + first, (int)ld, c, 1, 1,
                    w + first, 1);
    }
    memset(w, 0, first * sizeof *w); /* vectors began before FIRST */
    const double along = -0.5 * tau * tau * dot(w + first, v + first, (size_t)len);
    const float by_w = (float)tau, by_v = (float)along;
    for (size_t j = first; j < n; j++)
        w[j] = by_w * w[j] + by_v * v[j];
}

void
mpq_reduce(float *a, size_t n, double *d, double *e, double *tau, float *scratch)
{
    const size_t ld = mpq_reduce_stride(n);
    float *vw = scratch;

    for (size_t first = 0; first < n; first += PANEL) {
        const size_t end = n - first < PANEL ? n : first + PANEL;
        memset(vw, 0, 2 * PANEL * ld * sizeof *vw);
        for (size_t i = first; i < end; i++) {
            const size_t k = i - first;
            float *row = a + i * ld, *v = vw + 2 * k * ld, *w = v + ld;
            catch_up(row, n, ld, i, vw, k);
            d[i] = (double)row[i];
            row[i] = 0;
            if (i + 1 == n)
                break;
            tau[i] = reflector(row + i + 1, n - i - 1, &e[i]);
            memcpy(v + i + 1, row + i + 1, (n - i - 1) * sizeof *v);
            find_w(a, n, ld, i + 1, vw, k, tau[i], v, w);
        }
        if (end < n)
            cblas_ssyr2k(CblasRowMajor, CblasUpper, CblasTrans, (int)(n - end),
                         (int)(end - first), -1, vw + end, (int)(2 * ld), vw + ld + end,
                         (int)(2 * ld), 1, a + end * ld + end, (int)ld);
    }
}
