#include "num/tridiag.h"

#include "base/simd.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { L = MPQ_TRIDIAG_LANES, MAX_STEPS = 4 };

/* A pivot that is nearly 0 is moved this far off it: with a norm of 1, nothing. */
static const double TINY = 1e-150;
static const double GOOD = 1e-13; /* residual at which refining ends */

typedef double lanes[L];

size_t
mpq_tridiag_scratch(size_t n)
{
    return 4 * n * L;
}

/*
 * T - lambda = L+ D+ L+^T from the top: d+[0] = d[0] - lambda, d+[i] = d[i] - lambda -
 * e[i-1]^2 / d+[i-1]. Keeps d+ and -e[i] / d+[i], the step from z[i+1] to z[i].
 */
MPQ_CLONES static void
factor_down(size_t n, const double *d, const double *e, const double *lambda,
            lanes *restrict pivot, lanes *restrict step)
{
    double off[L] = { 0 }; /* e[i-1]^2 / d+[i-1] */

    for (size_t i = 0; i < n; i++) {
        const double di = d[i], ei = i + 1 < n ? e[i] : 0;
        for (int l = 0; l < L; l++) {
            double p = (di - lambda[l]) - off[l];
            p = fabs(p) < TINY ? -TINY : p;
            const double s = ei / p;
            pivot[i][l] = p;
            step[i][l] = -s;
            off[l] = ei * s;
        }
    }
}

/*
 * The same from the bottom, T - lambda = U- D- U-^T, and where the two meet: gamma[i] =
 * d+[i] + d-[i] - (d[i] - lambda) is smallest at the vector's largest entry. Keeps
 * -e[i-1] / d-[i], the step from z[i-1] to z[i], and per lane the best i and gamma.
 */
MPQ_CLONES static void
factor_up(size_t n, const double *d, const double *e, const double *lambda,
          lanes *restrict pivot, lanes *restrict step, double *restrict gamma,
          double *restrict at)
{
    double off[L] = { 0 };
    double best[L], where[L];

    for (int l = 0; l < L; l++) {
        best[l] = DBL_MAX;
        where[l] = 0;
    }
    for (size_t i = n; i-- > 0;) {
        const double di = d[i], ei = i > 0 ? e[i - 1] : 0, here = (double)i;
        for (int l = 0; l < L; l++) {
            const double g = pivot[i][l] - off[l];
            const int less = fabs(g) < fabs(best[l]);
            best[l] = less ? g : best[l];
            where[l] = less ? here : where[l];
            double p = (di - lambda[l]) - off[l];
            p = fabs(p) < TINY ? -TINY : p;
            const double s = ei / p;
            step[i][l] = -s;
            off[l] = ei * s;
        }
    }
    for (int l = 0; l < L; l++) {
        gamma[l] = best[l];
        at[l] = where[l];
    }
}

/* z[at] = 1, outward from there by the steps; into z, with the squared norms. What has
 * faded to 1e-150 is 0: products of denormals are slow. */
MPQ_CLONES static void
solve(size_t n, const lanes *down, const lanes *up, const double *at, lanes *restrict z,
      double *restrict norm2)
{
    double cur[L] = { 0 }, sum[L] = { 0 };

    for (size_t i = n; i-- > 0;) { /* from the twist toward 0 */
        const double here = (double)i;
        for (int l = 0; l < L; l++) {
            double v = down[i][l] * cur[l];
            v = fabs(v) < TINY ? 0 : v;
            v = here == at[l] ? 1 : v;
            cur[l] = v;
            z[i][l] = v;
            sum[l] += v * v;
        }
    }
    for (int l = 0; l < L; l++)
        cur[l] = 0;
    for (size_t i = 0; i < n; i++) { /* and toward n */
        const double here = (double)i;
        for (int l = 0; l < L; l++) {
            double v = up[i][l] * cur[l];
            v = fabs(v) < TINY ? 0 : v;
            v = here > at[l] ? v : 0;
            sum[l] += v * v;
            z[i][l] += v;
            cur[l] = here == at[l] ? 1 : v;
        }
    }
    for (int l = 0; l < L; l++)
        norm2[l] = sum[l];
}

/* y[m][n] from z[n][L], to unit length. */
MPQ_CLONES static void
store(size_t n, const lanes *z, const double *norm2, size_t m, float *y)
{
    double scale[L];

    for (int l = 0; l < L; l++)
        scale[l] = 1 / sqrt(norm2[l]);
    for (size_t l = 0; l < m; l++)
        for (size_t i = 0; i < n; i++)
            y[l * n + i] = (float)(z[i][l] * scale[l]);
}

double
mpq_tridiag_vectors(size_t n, const double *d, const double *e, double *lambda,
                    size_t m, float *y, double *scratch)
{
    lanes *pivot = (lanes *)scratch, *down = pivot + n, *up = down + n, *z = up + n;
    lanes lam, gamma, at, norm2;
    double worst = 0;

    for (size_t l = 0; l < L; l++)
        lam[l] = lambda[l < m ? l : 0]; /* idle lanes repeat the first */
    for (int step = 0;; step++) {
        factor_down(n, d, e, lam, pivot, down);
        factor_up(n, d, e, lam, pivot, up, gamma, at);
        solve(n, (const lanes *)down, (const lanes *)up, at, z, norm2);
        worst = 0;
        for (size_t l = 0; l < L; l++)
            worst = fmax(worst, fabs(gamma[l]) / sqrt(norm2[l]));
        if (worst <= GOOD || step == MAX_STEPS)
            break;
        for (size_t l = 0; l < L; l++) /* the Rayleigh quotient of z */
            lam[l] += gamma[l] / norm2[l];
    }
    memcpy(lambda, lam, m * sizeof *lambda);
    store(n, (const lanes *)z, norm2, m, y);
    return worst;
}
