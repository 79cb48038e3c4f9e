#include "method/refine.h"

#include "base/buf.h"
#include "num/linalg.h"

#include <math.h>
#include <stdlib.h>

/* Of the types' spread, in units of the plans': (0.02 / 0.2)^2, see refine.h. */
static const double TRUST = 0.02 / MPQ_REFINE_SPREAD * (0.02 / MPQ_REFINE_SPREAD);

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

/* ln of what plan K has lost by what its damages come to; their quotient may overflow.
 */
static double
log_ratio(const struct mpq_refine *in, size_t k)
{
    return log(in->total[k]) - log(sum(in->d + k * in->n_types, in->n_types));
}

/* The plans' mean factor, which none of them is far from. */
static int
find_mean(const struct mpq_refine *in, double *mean, struct mpq_err *err)
{
    double logs = 0;
    size_t far = 0;

    for (size_t k = 0; k < in->n_plans; k++) {
        logs += log_ratio(in, k);
        far = fabs(log_ratio(in, k)) > fabs(log_ratio(in, far)) ? k : far;
    }
    logs /= (double)in->n_plans;
    if (fabs(logs) > log(1e100))
        return mpq_fail(err, MPQ_EDATA,
                        "%.160s: a loss of %g where the damages come to %g",
                        in->plans[far], in->total[far],
                        sum(in->d + far * in->n_types, in->n_types));
    *mean = exp(logs);
    for (size_t k = 0; k < in->n_plans; k++)
        if (fabs(log_ratio(in, k) - logs) > log(MPQ_REFINE_MOST))
            return mpq_fail(err, MPQ_EDATA,
                            "%.160s: lost %.3g times its damages, the plans on the mean"
                            " %.3g times theirs: they contradict each other",
                            in->plans[k], exp(log_ratio(in, k)), *mean);
    return 0;
}

/* FACTOR[i] = F (1 + g[i]), where that is one. */
static int
take_factors(const struct mpq_refine *in, double f, const double *g, double *factor,
             struct mpq_err *err)
{
    char name[MPQ_TYPE_NAME_MAX];

    for (size_t i = 0; i < in->n_types; i++) {
        factor[i] = f * (1 + g[i]);
        if (1 + g[i] >= 1 / MPQ_REFINE_MOST && 1 + g[i] <= MPQ_REFINE_MOST)
            continue;
        return mpq_fail(
            err, MPQ_EDATA,
            "the plans contradict each other: by them %s would lose %.3g"
            " times its damages, the plans on the mean lost %.3g times theirs",
            mpq_type_name(in->types[i], name), factor[i], f);
    }
    return 0;
}

int
mpq_refine(const struct mpq_refine *in, double *factor, double *mean,
           struct mpq_err *err)
{
    const size_t n = in->n_types;
    double *a = mpq_array(n, n * sizeof *a), *b = mpq_array(n, sizeof *b);
    int rc = -1;

    if (!a || !b) {
        mpq_fail(err, MPQ_ENOMEM, "out of memory for %zu types", n);
        goto out;
    }
    if (mpq_linalg_init(1, err) < 0 || find_mean(in, mean, err) < 0)
        goto out;
    set_equations(in->d, in->total, in->n_plans, n, *mean, a, b);
    (void)mpq_cholesky(a, n); /* positive definite by its diagonal */
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < i; j++)
            b[i] -= a[i * n + j] * b[j];
        b[i] /= a[i * n + i];
    }
    mpq_solve_lt(a, n, b, 1);
    rc = take_factors(in, *mean, b, factor, err);
out:
    free(a);
    free(b);
    return rc;
}
