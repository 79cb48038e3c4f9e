#include "num/tridiag.h"

#include "base/simd.h"
#include "num/lanes.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { L = MPQ_TRIDIAG_LANES, V = L / 8, MAX_STEPS = 4 };

/* A pivot that is nearly 0 is moved this far off it: with a norm of 1, nothing. */
static const double TINY = 1e-150;
static const double GOOD = 1e-13; /* residual at which refining ends */

/* L doubles; in memory that is only aligned for one. */
struct lanes {
    v8d v[V];
};

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
factor_down(size_t n, const double *d, const double *e, const struct lanes *lambda,
            struct lanes *restrict pivot, struct lanes *restrict step)
{
    const v8d tiny = V8_ALL(TINY);
    v8d off[V] = { 0 }; /* e[i-1]^2 / d+[i-1] */

    for (size_t i = 0; i < n; i++) {
        const double ei = i + 1 < n ? e[i] : 0;
        for (int h = 0; h < V; h++) {
            v8d p = (d[i] - lambda->v[h]) - off[h];
            p = V8_SELECT(V8_ABS(p) < tiny, -tiny, p);
            const v8d s = ei / p;
            pivot[i].v[h] = p;
            step[i].v[h] = -s;
            off[h] = ei * s;
        }
    }
}

/*
 * The same from the bottom, T - lambda = U- D- U-^T, and where the two meet: gamma[i] =
 * d+[i] + d-[i] - (d[i] - lambda) is smallest at the vector's largest entry. Keeps
 * -e[i-1] / d-[i], the step from z[i-1] to z[i], and per lane the best i and gamma.
 */
MPQ_CLONES static void
factor_up(size_t n, const double *d, const double *e, const struct lanes *lambda,
          const struct lanes *restrict pivot, struct lanes *restrict step,
          struct lanes *restrict gamma, struct lanes *restrict at)
{
    const v8d tiny = V8_ALL(TINY);
    v8d off[V] = { 0 }, best[V], where[V] = { 0 };

    for (int h = 0; h < V; h++)
        best[h] = V8_ALL(DBL_MAX);
    for (size_t i = n; i-- > 0;) {
        const double ei = i > 0 ? e[i - 1] : 0;
        const v8d here = V8_ALL((double)i);
        for (int h = 0; h < V; h++) {
            const v8d g = pivot[i].v[h] - off[h];
            const v8l less = V8_ABS(g) < V8_ABS(best[h]);
            best[h] = V8_SELECT(less, g, best[h]);
            where[h] = V8_SELECT(less, here, where[h]);
            v8d p = (d[i] - lambda->v[h]) - off[h];
            p = V8_SELECT(V8_ABS(p) < tiny, -tiny, p);
            const v8d s = ei / p;
            step[i].v[h] = -s;
            off[h] = ei * s;
        }
    }
    for (int h = 0; h < V; h++) {
        gamma->v[h] = best[h];
        at->v[h] = where[h];
    }
}

/* z[at] = 1, outward from there by the steps; into z, with the squared norms. What has
 * faded to 1e-150 is 0: products of denormals are slow. */
MPQ_CLONES static void
solve(size_t n, const struct lanes *down, const struct lanes *up,
      const struct lanes *at, struct lanes *restrict z, struct lanes *restrict norm2)
{
    const v8d tiny = V8_ALL(TINY), zero = { 0 }, one = V8_ALL(1);
    v8d cur[V] = { 0 }, sum[V] = { 0 };

    for (size_t i = n; i-- > 0;) { /* from the twist toward 0 */
        const v8d here = V8_ALL((double)i);
        for (int h = 0; h < V; h++) {
            v8d x = down[i].v[h] * cur[h];
            x = V8_SELECT(V8_ABS(x) < tiny, zero, x);
            x = V8_SELECT(here == at->v[h], one, x);
            cur[h] = x;
            z[i].v[h] = x;
            sum[h] += x * x;
        }
    }
    for (int h = 0; h < V; h++)
        cur[h] = zero;
    for (size_t i = 0; i < n; i++) { /* and toward n */
        const v8d here = V8_ALL((double)i);
        for (int h = 0; h < V; h++) {
            v8d x = up[i].v[h] * cur[h];
            x = V8_SELECT(V8_ABS(x) < tiny, zero, x);
            x = V8_SELECT(here > at->v[h], x, zero);
            sum[h] += x * x;
            z[i].v[h] += x;
            cur[h] = V8_SELECT(here == at->v[h], one, x);
        }
    }
    for (int h = 0; h < V; h++)
        norm2->v[h] = sum[h];
}

/* y[m][n] from z[n][L], to unit length: 16 rows of z at a time, so that both the read
 * and the written lines stay in the cache. */
MPQ_CLONES static void
store(size_t n, const double *z, const double *norm2, size_t m, float *y)
{
    for (size_t i = 0; i < n; i += 16) {
        const size_t end = n - i < 16 ? n : i + 16;
        for (size_t l = 0; l < m; l++) {
            const double scale = 1 / sqrt(norm2[l]);
            for (size_t r = i; r < end; r++)
                y[l * n + r] = (float)(z[r * L + l] * scale);
        }
    }
}

double
mpq_tridiag_vectors(size_t n, const double *d, const double *e, double *lambda,
                    size_t m, float *y, double *scratch)
{
    struct lanes *pivot = (struct lanes *)scratch, *down = pivot + n, *up = down + n;
    struct lanes *z = up + n, x, at_v, gamma_v, norm2_v;
    double lam[L], gamma[L], norm2[L], worst;

    for (size_t l = 0; l < L; l++)
        lam[l] = lambda[l < m ? l : 0]; /* idle lanes repeat the first */
    for (int step = 0;; step++) {
        memcpy(&x, lam, sizeof x);
        factor_down(n, d, e, &x, pivot, down);
        factor_up(n, d, e, &x, pivot, up, &gamma_v, &at_v);
        solve(n, down, up, &at_v, z, &norm2_v);
        memcpy(gamma, &gamma_v, sizeof gamma);
        memcpy(norm2, &norm2_v, sizeof norm2);
        worst = 0;
        for (size_t l = 0; l < L; l++)
            worst = fmax(worst, fabs(gamma[l]) / sqrt(norm2[l]));
        if (worst <= GOOD || step == MAX_STEPS)
            break;
        for (size_t l = 0; l < L; l++) /* the Rayleigh quotient of z */
            lam[l] += gamma[l] / norm2[l];
    }
    memcpy(lambda, lam, m * sizeof *lambda);
    store(n, (const double *)z, norm2, m, y);
    return worst;
}
