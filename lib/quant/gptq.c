/* What all rows share: the order of the columns, the factor of H^-1. */
#include "quant/gptq.h"

#include "base/buf.h"
#include "num/factor.h"
#include "num/unit.h"
#include "quant/gptq_own.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

static const double OF_MEAN = 0.005; /* see permute */

/* Of the polish, by effort. */
static const unsigned sweeps[] = { 0, 3, 12 };

struct ranked {
    double salience;
    size_t at;
};

static int
by_salience(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;

    if (x->salience != y->salience)
        return x->salience < y->salience ? 1 : -1;
    return x->at < y->at ? -1 : x->at > y->at;
}

/* Whole blocks by their sum of the diagonal, then columns within each block. */
static int
find_order(struct mpq_gptq *g, const double *h, int sorted)
{
    const size_t n_blocks = (g->cols + g->block - 1) / g->block;
    struct ranked *blocks = mpq_array(n_blocks, sizeof *blocks);
    struct ranked *columns = mpq_array(g->block, sizeof *columns);
    size_t n = 0;
    int rc = -1;

    if (!blocks || !columns)
        goto out;
    for (size_t b = 0; b < n_blocks; b++) {
        blocks[b] = (struct ranked){ 0, b };
        for (size_t j = b * g->block; j < g->cols && j < (b + 1) * g->block; j++)
            blocks[b].salience += h[j * g->cols + j] * g->unit;
    }
    /* a block cut short stays the last: the others are found by their place */
    if (sorted)
        qsort(blocks, g->cols / g->block, sizeof *blocks, by_salience);
    for (size_t b = 0; b < n_blocks; b++) {
        const size_t from = blocks[b].at * g->block;
        size_t m = 0;
        for (; m < g->block && from + m < g->cols; m++)
            columns[m] =
                (struct ranked){ h[(from + m) * g->cols + from + m], from + m };
        if (sorted)
            qsort(columns, m, sizeof *columns, by_salience);
        for (size_t k = 0; k < m; k++)
            g->order[n++] = columns[k].at;
    }
    rc = 0;
out:
    free(blocks);
    free(columns);
    return rc;
}

/* The damped H in rounding order and in g's unit, its lower triangle. What a text is
 * too short for is how inputs go together, so what is between them is trusted less:
 * each entry of the diagonal grows by a share of its own, which is to shrink
 * correlations. The usual share of the mean spoils what is known of small columns and
 * does nothing for great ones; a 200th of it stays, for columns that other texts will
 * use more. MEAN is also what a dead column has. */
static void
permute(const struct mpq_gptq *g, const double *h, double damping, double mean,
        double *a)
{
    for (size_t i = 0; i < g->cols; i++) {
        const size_t p = g->order[i];
        for (size_t j = 0; j <= i; j++) {
            const size_t q = g->order[j];
            a[i * g->cols + j] =
                (p < q ? h[p * g->cols + q] : h[q * g->cols + p]) * g->unit;
        }
        double *d = &a[i * g->cols + i];
        *d = *d > 0 ? *d + damping * (*d + OF_MEAN * mean) : mean;
    }
}

/* The greatest of the diagonal; -1 when H is none. */
static double
greatest(const double *h, size_t n)
{
    double most = 0;

    for (size_t i = 0; i < n; i++) {
        const double d = h[i * n + i];
        if (!(d >= 0) || !isfinite(d))
            return -1;
        most = d > most ? d : most;
    }
    return most;
}

/* Mean of the diagonal, times UNIT, over the columns that have one. */
static double
mean_diagonal(const double *h, size_t n, double unit, size_t *n_dead)
{
    double sum = 0;

    *n_dead = 0;
    for (size_t i = 0; i < n; i++) {
        const double d = h[i * n + i];
        *n_dead += d == 0;
        sum += d * unit;
    }
    return *n_dead < n ? sum / (double)(n - *n_dead) : 0;
}

/* Both triangles in single precision; -1 when it has no number for one of the diagonal,
 * by which the polish divides. */
static int
keep(float *h, const double *a, size_t n)
{
    int is_normal = 1;

    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j <= i; j++)
            h[i * n + j] = h[j * n + i] = (float)a[i * n + j];
        is_normal &= isnormal(h[i * n + i]) != 0;
    }
    return is_normal ? 0 : -1;
}

/* The factor in single precision; -1 when that cannot hold it. */
static int
keep_factor(float *u, const double *a, size_t n)
{
    int is_finite = 1;

    for (size_t i = 0; i < n * n; i++) {
        u[i] = (float)a[i];
        is_finite &= isfinite(u[i]) != 0;
    }
    return is_finite ? 0 : -1;
}

static int
factorize(struct mpq_gptq *g, const double *h, double mean, double *damping,
          struct mpq_err *err)
{
    const size_t n = g->cols;
    double *a = mpq_array(n, n * sizeof *a);
    int rc = -1;

    if (!a)
        return mpq_fail(err, MPQ_ENOMEM, "%zu columns: out of memory for their Hessian",
                        n);
    mean = mean > 0 ? mean : 1;
    for (;; *damping = *damping > 0 ? *damping * 10 : 1e-6) {
        permute(g, h, *damping, mean, a);
        if ((!g->h || keep(g->h, a, n) == 0) && mpq_inverse_factor(a, n) == 0 &&
            keep_factor(g->u, a, n) == 0)
            break;
        if (!(*damping < 10)) {
            mpq_fail(err, MPQ_EDATA,
                     "Hessian of %zu columns is not positive semidefinite", n);
            goto out;
        }
    }
    for (size_t i = 0; i < n; i++)
        g->importance[g->order[i]] =
            (float)fmin(mean / (a[i * n + i] * a[i * n + i] * mean), 1e30);
    rc = 0;
out:
    free(a);
    return rc;
}

int
mpq_gptq_new(struct mpq_gptq **out, const double *h, size_t cols, struct mpq_type t,
             const struct mpq_gptq_options *options, size_t *n_dead, double *damping,
             struct mpq_err *err)
{
    struct mpq_gptq *g = NULL;
    size_t dead = 0;
    double damp = options->damping;
    int rc = -1;

    *out = NULL;
    const double most = greatest(h, cols);
    if (most < 0)
        return mpq_fail(
            err, MPQ_EDATA,
            "Hessian of %zu columns: its diagonal is negative or not finite", cols);
    g = calloc(1, sizeof *g);
    if (!g)
        goto nomem;
    g->cols = cols;
    g->unit = mpq_unit(most);
    g->type = t;
    g->effort = options->effort;
    g->sweeps = sweeps[options->effort];
    if (!mpq_grid_of(t, &g->grid))
        assert(0); /* a type without a grid */
    g->block = mpq_grid_block(t, cols);
    g->u = mpq_array(cols, cols * sizeof *g->u);
    if (g->sweeps)
        g->h = mpq_array(cols, cols * sizeof *g->h);
    g->importance = mpq_array(cols, sizeof *g->importance);
    g->order = mpq_array(cols, sizeof *g->order);
    if (!g->u || (g->sweeps && !g->h) || !g->importance || !g->order ||
        find_order(g, h, options->by_salience) < 0)
        goto nomem;
    if (factorize(g, h, mean_diagonal(h, cols, g->unit, &dead), &damp, err) < 0)
        goto out;
    if (n_dead)
        *n_dead = dead;
    if (damping)
        *damping = damp;
    *out = g;
    g = NULL;
    rc = 0;
    goto out;
nomem:
    mpq_fail(err, MPQ_ENOMEM, "%zu columns: out of memory for their Hessian", cols);
out:
    mpq_gptq_free(g);
    return rc;
}

void
mpq_gptq_free(struct mpq_gptq *g)
{
    if (!g)
        return;
    free(g->u);
    free(g->h);
    free(g->importance);
    free(g->order);
    free(g);
}

void
mpq_gptq_inverse_diagonal(const struct mpq_gptq *g, double *d)
{
    for (size_t j = 0; j < g->cols; j++) {
        double sum = 0;
        for (size_t i = 0; i <= j; i++) {
            const double u = (double)g->u[i * g->cols + j];
            sum += u * u;
        }
        d[g->order[j]] = sum * g->unit;
    }
}
