/*
 * Eigenvalues of a symmetric tridiagonal matrix, many at a time: Sturm counts in float
 * close them in to some 1e-6 of the norm, Newton's method on the determinant in double
 * does the rest. Both are recurrences of one division a step, and eigenvalues fill the
 * lanes of the vector registers, where the QL method waits for one division at a time.
 */
#include "num/tridiag.h"

#include "base/buf.h"
#include "base/simd.h"
#include "num/lanes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    POINTS = 64, /* at which counts are taken together */
    L = 32,
    V = L / 8,
    MAX_SWEEPS = 40,
    MAX_NEWTON = 12,
};

static const float CLOSE = 1e-6F; /* width at which the counts have done their part */
static const double DONE = 1e-10; /* a step: its error is about the square over a gap */
static const double STRAY = 8e-6; /* farthest it may go from where counts put it */
static const double APART = 1e-10; /* least gap: below, two may have met at one */
static const double PIVOT = 1e-20; /* a pivot is moved this far off 0 */

struct search {
    size_t n;
    float *d, *e2;  /* [n]: diagonal, squared off-diagonal behind it */
    float *lo, *hi; /* [n]: eigenvalue i, ascending, lies in (lo, hi] */
    float *x;       /* [n rounded up to POINTS] */
    int *count;     /* [same]: eigenvalues below x */
};

/* How many eigenvalues lie below each of x[POINTS]: the negative pivots of T - x. The
 * e2 are positive, so that a pivot of 0 makes an infinity and no NaN. */
MPQ_CLONES static void
count_below(size_t n, const float *d, const float *e2, const float *x, int *count)
{
    float p[POINTS];
    int c[POINTS];

    for (int l = 0; l < POINTS; l++) {
        p[l] = d[0] - x[l];
        c[l] = p[l] < 0;
    }
    for (size_t i = 1; i < n; i++) {
        const float di = d[i], ei = e2[i - 1];
        for (int l = 0; l < POINTS; l++) {
            p[l] = (di - x[l]) - ei / p[l];
            c[l] += p[l] < 0;
        }
    }
    for (int l = 0; l < POINTS; l++)
        count[l] = c[l];
}

/* The points of a sweep, ascending: eigenvalues that still share an interval divide it
 * evenly. Returns the greatest width. */
static float
place_points(struct search *s)
{
    float widest = 0;

    for (size_t i = 0; i < s->n;) {
        const float lo = s->lo[i], width = s->hi[i] - lo;
        size_t m = 1;
        while (i + m < s->n && s->lo[i + m] <= lo && s->hi[i + m] >= s->hi[i] &&
               s->hi[i + m] <= s->hi[i])
            m++;
        for (size_t j = 0; j < m; j++)
            s->x[i + j] = lo + width * ((float)(j + 1) / (float)(m + 1));
        widest = width > widest ? width : widest;
        i += m;
    }
    return widest;
}

/* Every point tells of every eigenvalue: i lies above x if i or fewer lie below it. */
static void
use_counts(struct search *s)
{
    size_t j = 0;

    for (size_t i = 1; i < s->n; i++) /* rounding must not turn counts around */
        if (s->count[i] < s->count[i - 1])
            s->count[i] = s->count[i - 1];
    for (size_t i = 0; i < s->n; i++) {
        while (j < s->n && (size_t)s->count[j] <= i)
            j++;
        if (j > 0 && s->x[j - 1] > s->lo[i])
            s->lo[i] = s->x[j - 1];
        if (j < s->n && s->x[j] < s->hi[i])
            s->hi[i] = s->x[j];
    }
}

static void
close_in(struct search *s)
{
    const size_t padded = (s->n + POINTS - 1) / POINTS * POINTS;

    for (int sweep = 0; sweep < MAX_SWEEPS && place_points(s) > CLOSE; sweep++) {
        for (size_t i = s->n; i < padded; i++)
            s->x[i] = s->x[s->n - 1];
        for (size_t i = 0; i < s->n; i += POINTS)
            count_below(s->n, s->d, s->e2, s->x + i, s->count + i);
        use_counts(s);
    }
}

/*
 * f / f' of f(x) = det(T - x) at x[L]: with pivots p, f' / f is the sum of g = p' / p,
 * p[i] = d[i] - x - e^2 / p[i-1], p'[i] = -1 + e^2 / p[i-1] * g[i-1].
 */
MPQ_CLONES static void
newton_steps(size_t n, const double *d, const double *e, const double *at, double *step)
{
    const v8d least = V8_ALL(PIVOT);
    v8d x[V], off[V] = { 0 }, g[V] = { 0 }, sum[V] = { 0 };

    memcpy(x, at, sizeof x);
    for (size_t i = 0; i < n; i++) {
        const double e2 = i + 1 < n ? e[i] * e[i] : 0;
        for (int h = 0; h < V; h++) {
            v8d p = (d[i] - x[h]) - off[h];
            p = V8_SELECT(V8_ABS(p) < least, -least, p);
            const v8d r = 1 / p;
            g[h] = (off[h] * g[h] - 1) * r;
            sum[h] += g[h];
            off[h] = e2 * r;
        }
    }
    for (int h = 0; h < V; h++)
        sum[h] = 1 / sum[h];
    memcpy(step, sum, sizeof sum);
}

/* Refines x[m]; 0 when each has come to rest near its start. */
static int
refine(size_t n, const double *d, const double *e, double *value, size_t m)
{
    double x[L], start[L], step[L];

    for (size_t l = 0; l < L; l++)
        x[l] = start[l] = value[l < m ? l : 0];
    for (int i = 0; i < MAX_NEWTON; i++) {
        double worst = 0;
        newton_steps(n, d, e, x, step);
        for (size_t l = 0; l < L; l++) {
            x[l] -= step[l];
            if (!(fabs(x[l] - start[l]) < STRAY))
                return -1;
            worst = fmax(worst, fabs(step[l]));
        }
        if (worst < DONE) {
            for (size_t l = 0; l < m; l++)
                value[l] = x[l];
            return 0;
        }
    }
    return -1;
}

/* Are all of them there, each once? They add up to the trace. */
static int
check(size_t n, const double *d, const double *value)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++) {
        sum += d[i] - value[i];
        if (i > 0 && !(value[i] - value[i - 1] > APART))
            return -1;
    }
    return fabs(sum) < 1e-13 * (double)n ? 0 : -1;
}

static int
search_new(struct search *s, size_t n, const double *d, const double *e)
{
    const size_t padded = (n + POINTS - 1) / POINTS * POINTS;

    *s = (struct search){ .n = n };
    s->d = mpq_array(n, sizeof *s->d);
    s->e2 = mpq_array(n, sizeof *s->e2);
    s->lo = mpq_array(n, sizeof *s->lo);
    s->hi = mpq_array(n, sizeof *s->hi);
    s->x = mpq_array(padded, sizeof *s->x);
    s->count = mpq_array(padded, sizeof *s->count);
    if (!s->d || !s->e2 || !s->lo || !s->hi || !s->x || !s->count)
        return -1;
    double lo = d[0], hi = d[0];
    for (size_t i = 0; i < n; i++) { /* Gershgorin's bounds */
        const double off = (i > 0 ? fabs(e[i - 1]) : 0) + (i + 1 < n ? fabs(e[i]) : 0);
        lo = fmin(lo, d[i] - off);
        hi = fmax(hi, d[i] + off);
        s->d[i] = (float)d[i];
        s->e2[i] = i + 1 < n ? (float)fmax(e[i] * e[i], 1e-35) : 0;
    }
    for (size_t i = 0; i < n; i++) {
        s->lo[i] = (float)(lo - 1e-6);
        s->hi[i] = (float)(hi + 1e-6);
    }
    return 0;
}

static void
search_free(struct search *s)
{
    free(s->d);
    free(s->e2);
    free(s->lo);
    free(s->hi);
    free(s->x);
    free(s->count);
}

int
mpq_tridiag_values(size_t n, const double *d, const double *e, double *value)
{
    struct search s;
    int rc = search_new(&s, n, d, e);

    if (!rc) {
        close_in(&s);
        for (size_t i = 0; i < n; i++)
            value[i] = 0.5 * ((double)s.lo[i] + (double)s.hi[i]);
    }
    search_free(&s);
    for (size_t i = 0; !rc && i < n; i += L)
        rc = refine(n, d, e, value + i, n - i < L ? n - i : L);
    return rc || check(n, d, value) ? -1 : 0;
}
