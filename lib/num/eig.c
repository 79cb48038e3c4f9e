#include "num/eig.h"

#include "base/buf.h"
#include "base/simd.h"
#include "num/reduce.h"
#include "num/tridiag.h"

#include <cblas.h>
#include <lapacke.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    PANEL = 32,   /* reflectors applied at once */
    CHUNK = 1024, /* vectors at a time ... */
    SMALL = 1024, /* ... for orders above this */
};

static const double CLUSTER = 1e-9; /* gap, relative to the norm */

/*
 * The reduction in float takes 60% of the time, and its error of 1e-7 of the norm turns
 * vectors by that over the gap to their neighbors, some 1/n of the mean eigenvalue. It
 * is taken where the norm is not far above the mean: for a Frobenius norm up to this
 * times that of n equal eigenvalues (1.2 for random weights; 1.5 where, for n = 576,
 * one eigenvalue is 20 times the mean). Below order 128 there is nothing to gain.
 */
static const double TAME = 1.5;
enum { FLOAT_FROM = 128 };

struct mpq_eig {
    size_t n, n_panels, ld; /* ld: row length of v */
    double *a;              /* [n][n]; becomes ... */
    float *v;               /* ... the same memory [n][ld]: reflectors as rows */
    float *t;               /* [n_panels][PANEL][PANEL] */
    double *d, *e;          /* T, divided by its norm */
    double *value;          /* [n] descending, of A */
    double *unit;           /* [n] descending, of T / norm */
    double norm;
    double *all; /* [n][n] vectors of T, ascending, where they were computed together */
    double *scratch; /* of mpq_tridiag_vectors */
};

static int
out_of_memory(struct mpq_err *err, size_t n)
{
    return mpq_fail(err, MPQ_ENOMEM, "eigenvalues of order %zu: out of memory", n);
}

static int
lapack_failed(struct mpq_err *err, const char *what, size_t n, int info)
{
    if (info < -1000)
        return out_of_memory(err, n);
    return mpq_fail(err, MPQ_EDATA, "%s of order %zu: LAPACK returned %d", what, n,
                    info);
}

/* A = Q T Q^T in place. TAU is [n]. */
static int
reduce(struct mpq_eig *x, double *tau, struct mpq_err *err)
{
    const int n = (int)x->n;
    double size = 0;
    int info = LAPACKE_dsytrd_work(LAPACK_COL_MAJOR, 'L', n, x->a, n, x->d, x->e, tau,
                                   &size, -1);
    double *work = info ? NULL : mpq_array((size_t)size, sizeof *work);

    if (!info && !work)
        return out_of_memory(err, x->n);
    if (!info)
        info = LAPACKE_dsytrd_work(LAPACK_COL_MAJOR, 'L', n, x->a, n, x->d, x->e, tau,
                                   work, (int)size);
    free(work);
    return info ? lapack_failed(err, "tridiagonal form", x->n, info) : 0;
}

/* Are the eigenvalues of A, upper triangle, even enough for the reduction in float? */
static int
is_tame(const double *a, size_t n)
{
    double trace = 0, square = 0;

    for (size_t i = 0; i < n; i++) {
        double off[8] = { 0 };
        size_t j = i + 1;
        for (; j + 8 <= n; j += 8)
            for (size_t l = 0; l < 8; l++)
                off[l] += a[i * n + j + l] * a[i * n + j + l];
        for (; j < n; j++)
            off[0] += a[i * n + j] * a[i * n + j];
        for (int l = 0; l < 8; l++)
            square += 2 * off[l];
        square += a[i * n + i] * a[i * n + i];
        trace += a[i * n + i];
    }
    return square * (double)n < TAME * TAME * trace * trace;
}

/* Divides T by its norm, so that tolerances and guards are absolute. */
static void
scale_down(struct mpq_eig *x)
{
    for (size_t i = 0; i < x->n; i++) {
        const double off =
            (i > 0 ? fabs(x->e[i - 1]) : 0) + (i + 1 < x->n ? fabs(x->e[i]) : 0);
        x->norm = fmax(x->norm, fabs(x->d[i]) + off);
    }
    for (size_t i = 0; x->norm > 0 && i < x->n; i++) {
        x->d[i] /= x->norm;
        x->e[i] /= x->norm; /* e has a spare entry at the end */
    }
}

/* Eigenvalues, ascending, whatever their gaps. */
static int
surely_values(struct mpq_eig *x, struct mpq_err *err)
{
    const size_t n = x->n;
    double *e = mpq_array(n, sizeof *e);

    if (!e)
        return out_of_memory(err, n);
    memcpy(e, x->e, n * sizeof *e);
    memcpy(x->unit, x->d, n * sizeof *x->unit);
    int info = LAPACKE_dsterf_work((int)n, x->unit, e);
    free(e);
    return info ? lapack_failed(err, "eigenvalues", n, info) : 0;
}

static int
find_values(struct mpq_eig *x, struct mpq_err *err)
{
    const size_t n = x->n;

    if (mpq_tridiag_values(n, x->d, x->e, x->unit) < 0 && surely_values(x, err) < 0)
        return -1;
    for (size_t i = 0; i < n / 2; i++) {
        const double t = x->unit[i];
        x->unit[i] = x->unit[n - 1 - i];
        x->unit[n - 1 - i] = t;
    }
    for (size_t i = 0; i < n; i++)
        x->value[i] = x->unit[i] * x->norm;
    return 0;
}

MPQ_CLONES static void
to_floats(const double *restrict from, float *restrict to, size_t n)
{
    for (size_t j = 0; j < n; j++)
        to[j] = (float)from[j];
}

/*
 * A's rows as floats with row length ld, in the first half of its memory; 0 in front of
 * column i + SKIP of row i, and behind the end.
 */
static int
pack(struct mpq_eig *x, size_t skip, struct mpq_err *err)
{
    const size_t n = x->n, ld = x->ld;
    float *row = mpq_array(ld, sizeof *row);

    if (!row)
        return out_of_memory(err, n);
    for (size_t i = 0; i < n;
         i++) { /* a row never overtakes what is still to be read */
        const size_t zeros = i + skip < n ? i + skip : n;
        to_floats(x->a + i * n, row, n);
        memset(row, 0, zeros * sizeof *row);
        memcpy((char *)x->a + i * ld * sizeof *row, row, ld * sizeof *row);
    }
    free(row);
    void *half = realloc(x->a, n * ld * sizeof *x->v);
    if (half)
        x->a = half;
    x->v = (float *)(void *)x->a;
    return 0;
}

/* A = Q T Q^T: T into d and e, Q's reflectors I - tau v v^T as the rows of v, each 0 up
 * to its own place and then 1, so that panels of them are plain matrices. */
static int
reduce_float(struct mpq_eig *x, double *tau, struct mpq_err *err)
{
    float *scratch = mpq_array(mpq_reduce_scratch(x->n), sizeof *scratch);

    if (!scratch)
        return out_of_memory(err, x->n);
    x->ld = mpq_reduce_stride(x->n);
    int rc = pack(x, 0, err);
    if (!rc)
        mpq_reduce(x->v, x->n, x->d, x->e, tau, scratch);
    free(scratch);
    return rc;
}

static int
reduce_double(struct mpq_eig *x, double *tau, struct mpq_err *err)
{
    x->ld = x->n;
    if (reduce(x, tau, err) < 0 || pack(x, 2, err) < 0)
        return -1;
    for (size_t i = 0; i + 1 < x->n; i++) /* LAPACK leaves the ones out */
        x->v[i * x->ld + i + 1] = 1;
    return 0;
}

/* T of each panel, H(1) ... H(k) = I - V^T T V (V's rows are the vectors): column j is
 * -tau_j T V v_j above the diagonal, tau_j on it. Row-major here. */
static int
panel_factors(struct mpq_eig *x, const double *tau, struct mpq_err *err)
{
    const size_t n = x->n;
    float vv[PANEL * PANEL];

    x->n_panels = n > 1 ? (n - 2) / PANEL + 1 : 0;
    x->t = mpq_array(x->n_panels * PANEL * PANEL + 1, sizeof *x->t);
    if (!x->t)
        return out_of_memory(err, n);
    for (size_t p = 0; p < x->n_panels; p++) {
        const size_t first = p * PANEL;
        const size_t k = n - 1 - first < PANEL ? n - 1 - first : PANEL;
        const float *v = x->v + first * x->ld;
        float *t = x->t + p * PANEL * PANEL;
        cblas_ssyrk(CblasRowMajor, CblasUpper, CblasNoTrans, (int)k, (int)n, 1, v,
                    (int)x->ld, 0, vv, PANEL);
        for (size_t j = 0; j < k; j++) {
            const double tj = tau[first + j];
            t[j * PANEL + j] = (float)tj;
            for (size_t i = 0; i < j; i++) {
                double sum = 0;
                for (size_t l = i; l < j; l++)
                    sum += (double)t[i * PANEL + l] * (double)vv[l * PANEL + j];
                t[i * PANEL + j] = (float)(-tj * sum);
            }
        }
    }
    return 0;
}

int
mpq_eig_new(struct mpq_eig **out, double *a, size_t n, int vectors, struct mpq_err *err)
{
    struct mpq_eig *x = calloc(1, sizeof *x);
    double *tau = mpq_array(n, sizeof *tau);
    int rc = -1;

    *out = NULL;
    if (!x || !tau) {
        free(a);
        out_of_memory(err, n);
        goto out;
    }
    x->n = n;
    x->a = a;
    x->d = mpq_array(n, sizeof *x->d);
    x->e = mpq_array(n, sizeof *x->e);
    x->value = mpq_array(n, sizeof *x->value);
    x->unit = mpq_array(n, sizeof *x->unit);
    if (!x->d || !x->e || !x->value || !x->unit) {
        out_of_memory(err, n);
        goto out;
    }
    if (n >= FLOAT_FROM && is_tame(x->a, n) ? reduce_float(x, tau, err) < 0
                                            : reduce_double(x, tau, err) < 0)
        goto out;
    scale_down(x);
    if (find_values(x, err) < 0)
        goto out;
    if (vectors) {
        x->scratch = mpq_array(mpq_tridiag_scratch(n), sizeof *x->scratch);
        if (!x->scratch) {
            out_of_memory(err, n);
            goto out;
        }
        if (panel_factors(x, tau, err) < 0)
            goto out;
    } else {
        free(x->a);
        x->a = NULL;
    }
    *out = x;
    x = NULL; /* handed over */
    rc = 0;
out:
    free(tau);
    mpq_eig_free(x);
    return rc;
}

void
mpq_eig_free(struct mpq_eig *x)
{
    if (!x)
        return;
    free(x->a);
    free(x->t);
    free(x->d);
    free(x->e);
    free(x->value);
    free(x->unit);
    free(x->all);
    free(x->scratch);
    free(x);
}

const double *
mpq_eig_values(const struct mpq_eig *x)
{
    return x->value;
}

size_t
mpq_eig_chunk(const struct mpq_eig *x)
{
    return x->n <= SMALL ? x->n : CHUNK;
}

static int
has_cluster(const struct mpq_eig *x, size_t first, size_t count)
{
    const size_t begin = first > 0 ? first - 1 : 0;
    const size_t end = first + count < x->n ? first + count : x->n - 1;

    for (size_t i = begin; i < end; i++)
        if (x->unit[i] - x->unit[i + 1] < CLUSTER)
            return 1;
    return 0;
}

/* All vectors of T by divide and conquer. */
static int
all_together(struct mpq_eig *x, struct mpq_err *err)
{
    const size_t n = x->n;
    double *d = mpq_array(n, sizeof *d), *e = mpq_array(n, sizeof *e);
    int rc = -1;

    x->all = mpq_array(n * n, sizeof *x->all);
    if (!d || !e || !x->all) {
        out_of_memory(err, n);
        goto out;
    }
    memcpy(d, x->d, n * sizeof *d);
    memcpy(e, x->e, n * sizeof *e);
    int info = LAPACKE_dstedc(LAPACK_COL_MAJOR, 'I', (int)n, d, e, x->all, (int)n);
    if (info) {
        lapack_failed(err, "eigenvectors", n, info);
        goto out;
    }
    rc = 0;
out:
    free(d);
    free(e);
    return rc;
}

int
mpq_eig_prepare(struct mpq_eig *x, size_t first, size_t count, struct mpq_err *err)
{
    if (x->all || count == 0 || !has_cluster(x, first, count))
        return 0;
    return all_together(x, err);
}

int
mpq_eig_coords(struct mpq_eig *x, size_t first, size_t count, float *y,
               struct mpq_err *err)
{
    const size_t n = x->n;

    for (size_t i = 0; x->all && i < count; i++)
        for (size_t j = 0; j < n; j++)
            y[i * n + j] = (float)x->all[(n - 1 - first - i) * n + j];
    if (x->all)
        return 0;
    for (size_t i = 0; i < count; i += MPQ_TRIDIAG_LANES) {
        const size_t m = count - i < MPQ_TRIDIAG_LANES ? count - i : MPQ_TRIDIAG_LANES;
        double lambda[MPQ_TRIDIAG_LANES];
        memcpy(lambda, x->unit + first + i, m * sizeof *lambda);
        double left =
            mpq_tridiag_vectors(n, x->d, x->e, lambda, m, y + i * n, x->scratch);
        if (!(left < 1e-12)) /* never seen; then the sure way */
            return all_together(x, err) < 0 ? -1
                                            : mpq_eig_coords(x, first, count, y, err);
    }
    return 0;
}

size_t
mpq_eig_scratch(const struct mpq_eig *x, size_t count)
{
    return PANEL * (x->n + count);
}

/* Y <- Y (I - V^T S V), S = T^T or T: each row y of Y is multiplied by the panel's
 * product of reflectors (or its inverse). V T is formed first, so that two products do.
 */
static void
apply_panel(const struct mpq_eig *x, size_t p, int inverse, float *y, size_t count,
            float *scratch)
{
    const size_t n = x->n, first = p * PANEL, skip = first + 1, len = n - skip;
    const size_t k = n - 1 - first < PANEL ? n - 1 - first : PANEL;
    const float *v = x->v + first * x->ld + skip, *t = x->t + p * PANEL * PANEL;
    float *sv = scratch, *w = scratch + PANEL * n; /* [k][len], [count][k] */

    cblas_sgemm(CblasRowMajor, inverse ? CblasNoTrans : CblasTrans, CblasNoTrans,
                (int)k, (int)len, (int)k, 1, t, PANEL, v, (int)x->ld, 0, sv, (int)len);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)count, (int)k, (int)len,
                1, y + skip, (int)n, v, (int)x->ld, 0, w, (int)k);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)count, (int)len, (int)k,
                -1, w, (int)k, sv, (int)len, 1, y + skip, (int)n);
}

void
mpq_eig_rotate(struct mpq_eig *x, float *y, size_t count, float *scratch)
{
    for (size_t p = x->n_panels; p-- > 0;)
        apply_panel(x, p, 0, y, count, scratch);
}

void
mpq_eig_unrotate(struct mpq_eig *x, float *y, size_t count, float *scratch)
{
    for (size_t p = 0; p < x->n_panels; p++)
        apply_panel(x, p, 1, y, count, scratch);
}
