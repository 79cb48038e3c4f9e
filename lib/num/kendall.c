/* W. R. Knight, A computer method for calculating Kendall's tau with ungrouped data,
 * JASA 61, 1966: sort by x, then count what a merge sort exchanges in y. */
#include "num/kendall.h"

#include "base/buf.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct point {
    double x, y;
};

static int
by_x_then_y(const void *a, const void *b)
{
    const struct point *p = a, *q = b;

    if (p->x != q->x)
        return p->x < q->x ? -1 : 1;
    return (p->y > q->y) - (p->y < q->y);
}

/* Sums over the runs of equal values; t is the length of a run. */
struct ties {
    double pairs; /* t (t - 1) / 2 */
    double third; /* t (t - 1) (t - 2) */
    double fifth; /* t (t - 1) (2 t + 5) */
};

static void
add_run(struct ties *s, size_t run)
{
    const double t = (double)run;

    s->pairs += t * (t - 1) / 2;
    s->third += t * (t - 1) * (t - 2);
    s->fifth += t * (t - 1) * (2 * t + 5);
}

/* Runs in sorted points: of equal x in *x, of equal x and y in *both. */
static void
find_ties(const struct point *p, size_t n, struct ties *x, struct ties *both)
{
    size_t run = 1, joint = 1;

    for (size_t i = 1; i <= n; i++) {
        const int same = i < n && p[i].x == p[i - 1].x;
        if (same && p[i].y == p[i - 1].y) {
            joint++;
        } else {
            add_run(both, joint);
            joint = 1;
        }
        if (same) {
            run++;
        } else {
            add_run(x, run);
            run = 1;
        }
    }
}

/* Sorts y[n], tmp being scratch; returns how many pairs stood the wrong way round. */
static double
sort_counting(double *y, double *tmp, size_t n)
{
    double exchanges = 0;

    for (size_t width = 1; width < n; width *= 2)
        for (size_t from = 0; from + width < n; from += 2 * width) {
            const size_t middle = from + width;
            const size_t end = middle + width < n ? middle + width : n;
            size_t a = from, b = middle, to = from;
            while (to < end) {
                if (a < middle && (b == end || y[a] <= y[b])) {
                    tmp[to++] = y[a++];
                } else {
                    exchanges += (double)(middle - a);
                    tmp[to++] = y[b++];
                }
            }
            memcpy(y + from, tmp + from, (end - from) * sizeof *y);
        }
    return exchanges;
}

/* Share of all orders of N with at most C inversions, twice (two-sided). The number of
 * orders with k inversions grows item by item: an item put in place i from the end of
 * m makes i more, 0 <= i < m. C is at most half of all pairs. */
static int
exact_p(size_t n, size_t c, double *p)
{
    double *share = mpq_array(c + 1, sizeof *share),
           *next = mpq_array(c + 1, sizeof *next), sum = 0;

    if (!share || !next) {
        free(share);
        free(next);
        return -1;
    }
    share[0] = 1;
    for (size_t m = 2; m <= n; m++) {
        double window = 0;
        for (size_t k = 0; k <= c; k++) {
            window += share[k];
            if (k >= m)
                window -= share[k - m];
            next[k] = fmax(window, 0) / (double)m;
        }
        memcpy(share, next, (c + 1) * sizeof *share);
    }
    for (size_t k = 0; k <= c; k++)
        sum += share[k];
    *p = fmin(2 * sum, 1);
    free(share);
    free(next);
    return 0;
}

static double
normal_p(double score, double n, const struct ties *x, const struct ties *y)
{
    const double m = n * (n - 1);
    double var =
        (m * (2 * n + 5) - x->fifth - y->fifth) / 18 + 2 * x->pairs * y->pairs / m;

    if (n > 2)
        var += x->third * y->third / (9 * m * (n - 2));
    return erfc(fabs(score) / sqrt(2 * var));
}

int
mpq_kendall(const double *x, const double *y, size_t n, struct mpq_kendall *out)
{
    struct point *p = mpq_array(n, sizeof *p);
    double *sorted = mpq_array(n, sizeof *sorted), *tmp = mpq_array(n, sizeof *tmp);
    struct ties tx = { 0 }, ty = { 0 }, both = { 0 }, unused = { 0 };
    int rc = -1;

    *out = (struct mpq_kendall){ NAN, NAN };
    if (!p || !sorted || !tmp)
        goto out;
    for (size_t i = 0; i < n; i++)
        p[i] = (struct point){ x[i], y[i] };
    qsort(p, n, sizeof *p, by_x_then_y);
    find_ties(p, n, &tx, &both);
    for (size_t i = 0; i < n; i++)
        sorted[i] = p[i].y;
    const double discordant = sort_counting(sorted, tmp, n);
    for (size_t i = 0; i < n; i++)
        p[i] = (struct point){ sorted[i], 0 };
    find_ties(p, n, &ty, &unused);
    rc = 0;
    const double total = (double)n * ((double)n - 1) / 2;
    if (n < 2 || tx.pairs == total || ty.pairs == total)
        goto out;
    const double score = total - tx.pairs - ty.pairs + both.pairs - 2 * discordant;
    out->tau = score / sqrt((total - tx.pairs) * (total - ty.pairs));
    out->tau = fmax(-1, fmin(1, out->tau));
    if (n <= MPQ_KENDALL_EXACT && tx.pairs == 0 && ty.pairs == 0)
        rc = exact_p(n, (size_t)fmin(discordant, total - discordant), &out->p);
    else
        out->p = normal_p(score, (double)n, &tx, &ty);
out:
    free(p);
    free(sorted);
    free(tmp);
    return rc;
}
