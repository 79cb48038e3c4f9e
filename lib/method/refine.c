#include "method/refine.h"

#include "base/buf.h"
#include "num/linalg.h"

#include <math.h>
#include <stdlib.h>

/* (0.02 / 0.2)^2, see refine.h */
static const double TRUST = 0.01;

static double
sum(const double *x, size_t n)
{
    double s = 0;

    for (size_t i = 0; i < n; i++)
        s += x[i];
    return s;
}

/* a[n][n] and b[n] of the equations for g = f_t / f - 1. */
static void
set_equations(const double *d, const double *total, size_t n_plans, size_t n, double f,
              double *a, double *b)
{
    for (size_t i = 0; i < n; i++)
        a[i * n + i] = TRUST;
    for (size_t k = 0; k < n_plans; k++, d += n) {
        const double scale = f / total[k], rest = 1 - scale * sum(d, n);
        for (size_t i = 0; i < n; i++) {
            b[i] += scale * d[i] * rest;
            for (size_t j = 0; j < n; j++)
                a[i * n + j] += scale * d[i] * scale * d[j];
        }
    }
}

int
mpq_refine(const double *d, const double *total, size_t n_plans, size_t n_types,
           double *factor, struct mpq_err *err)
{
    const size_t n = n_types;
    double *a = mpq_array(n, n * sizeof *a), *b = mpq_array(n, sizeof *b), logs = 0;
    int rc = -1;

    if (!a || !b) {
        mpq_fail(err, MPQ_ENOMEM, "out of memory for %zu types", n);
        goto out;
    }
    if (mpq_linalg_init(1, err) < 0)
        goto out;
    for (size_t k = 0; k < n_plans; k++)
        logs += log(total[k] / sum(d + k * n, n));
    const double f = exp(logs / (double)n_plans);
    set_equations(d, total, n_plans, n, f, a, b);
    (void)mpq_cholesky(a, n); /* positive definite by its diagonal */
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < i; j++)
            b[i] -= a[i * n + j] * b[j];
        b[i] /= a[i * n + i];
    }
    mpq_solve_lt(a, n, b, 1);
    for (size_t i = 0; i < n; i++)
        factor[i] = f * fmax(1 + b[i], 0);
    rc = 0;
out:
    free(a);
    free(b);
    return rc;
}
