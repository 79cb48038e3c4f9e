#include "method/mix.h"

#include "base/buf.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double
dot(const double *a, const double *b, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

double
mpq_cosine(const double *a, const double *b, size_t n)
{
    const double length = sqrt(dot(a, a, n)) * sqrt(dot(b, b, n));

    return length > 0 ? dot(a, b, n) / length : 0;
}

void
mpq_mix_target(const double *traces, size_t k, size_t n, double *target)
{
    memset(target, 0, n * sizeof *target);
    for (size_t t = 0; t < k; t++) {
        const double length = sqrt(dot(traces + t * n, traces + t * n, n));
        for (size_t i = 0; length > 0 && i < n; i++)
            target[i] += traces[t * n + i] / length / (double)k;
    }
}

void
mpq_mix_trace(const double *traces, size_t s, size_t n, const double *shares,
              double *out)
{
    memset(out, 0, n * sizeof *out);
    for (size_t k = 0; k < s; k++)
        for (size_t i = 0; i < n; i++)
            out[i] += shares[k] * traces[k * n + i];
}

/* Ways to deal STEPS steps to S sources; MOST + 1 when there are more. */
static size_t
count_points(size_t s, size_t steps, size_t most)
{
    double ways = 1;

    for (size_t i = 1; i < s; i++)
        ways = ways * (double)(steps + i) / (double)i;
    return ways > (double)most ? most + 1 : (size_t)(ways + 0.5);
}

int
mpq_mix_grid(size_t s, size_t steps, size_t most, double **points, size_t *count,
             struct mpq_err *err)
{
    const size_t n = count_points(s, steps, most);
    size_t *deal = NULL;

    *points = NULL;
    if (n > most)
        return mpq_fail(err, MPQ_EUSAGE,
                        "%zu sources in steps of 1/%zu: more than %zu mixtures", s,
                        steps, most);
    *points = mpq_array(n, s * sizeof **points);
    deal = mpq_array(s, sizeof *deal);
    if (!*points || !deal) {
        free(*points);
        free(deal);
        *points = NULL;
        return mpq_fail(err, MPQ_ENOMEM, "out of memory for %zu mixtures", n);
    }
    deal[0] = steps;
    for (size_t p = 0; p < n; p++) {
        for (size_t k = 0; k < s; k++)
            (*points)[p * s + k] = (double)deal[k] / (double)steps;
        /* the last step that is not in the last place moves one on, and takes with it
         * all that lies there */
        size_t k = s - 1, rest = deal[s - 1];
        deal[s - 1] = 0;
        while (k > 0 && deal[k - 1] == 0)
            k--;
        if (k == 0)
            break;
        deal[k - 1]--;
        deal[k] = rest + 1;
    }
    *count = n;
    free(deal);
    return 0;
}

/* Solves a x = b for the symmetric positive definite a[m][m], both destroyed; columns
 * that hang together get 0. */
static void
solve(double *a, double *b, size_t m)
{
    for (size_t i = 0; i < m; i++) {
        double d = a[i * m + i];
        for (size_t k = 0; k < i; k++)
            d -= a[i * m + k] * a[i * m + k];
        const int dependent = !(d > 1e-12 * a[i * m + i]);
        a[i * m + i] = dependent ? 0 : sqrt(d);
        for (size_t j = i + 1; j < m; j++) {
            double x = a[j * m + i];
            for (size_t k = 0; k < i; k++)
                x -= a[j * m + k] * a[i * m + k];
            a[j * m + i] = dependent ? 0 : x / a[i * m + i];
        }
    }
    for (size_t i = 0; i < m; i++) {
        for (size_t k = 0; k < i; k++)
            b[i] -= a[i * m + k] * b[k];
        b[i] = a[i * m + i] > 0 ? b[i] / a[i * m + i] : 0;
    }
    for (size_t i = m; i-- > 0;) {
        for (size_t k = i + 1; k < m; k++)
            b[i] -= a[k * m + i] * b[k];
        b[i] = a[i * m + i] > 0 ? b[i] / a[i * m + i] : 0;
    }
}

/* An active-set problem: least |sum x_s h_s - t|^2 over x >= 0, by Gram matrix and
 * right side. */
struct nnls {
    size_t s;
    const double *g, *b; /* [s][s], [s] */
    double *x, *z, *a;   /* [s], [s], [s][s] */
    unsigned char *in;   /* [s] may be above 0 */
};

/* The unconstrained optimum over the set, into z. */
static size_t
optimum(struct nnls *p)
{
    size_t m = 0;

    for (size_t i = 0; i < p->s; i++)
        if (p->in[i])
            p->z[m++] = p->b[i];
    for (size_t i = 0, r = 0; i < p->s; i++) {
        if (!p->in[i])
            continue;
        for (size_t j = 0, c = 0; j < p->s; j++)
            if (p->in[j])
                p->a[r * m + c++] = p->g[i * p->s + j];
        r++;
    }
    solve(p->a, p->z, m);
    return m;
}

/* From x toward z as far as nothing falls below 0; what reaches 0 leaves the set. 1
 * when z was reached. */
static int
step(struct nnls *p)
{
    double by = 1;
    size_t m = 0;

    for (size_t i = 0; i < p->s; i++) {
        if (!p->in[i])
            continue;
        if (p->z[m] <= 0 && p->x[i] / (p->x[i] - p->z[m]) < by)
            by = p->x[i] / (p->x[i] - p->z[m]);
        m++;
    }
    m = 0;
    for (size_t i = 0; i < p->s; i++) {
        if (!p->in[i])
            continue;
        p->x[i] += by * (p->z[m++] - p->x[i]);
        if (by < 1 && p->x[i] <= 1e-15) {
            p->x[i] = 0;
            p->in[i] = 0;
        }
    }
    return !(by < 1);
}

static void
run(struct nnls *p)
{
    for (size_t round = 0; round < 3 * p->s; round++) {
        size_t next = p->s;
        double most = 1e-12;
        for (size_t i = 0; i < p->s; i++) { /* where the error falls fastest */
            double w = p->b[i];
            for (size_t j = 0; j < p->s; j++)
                w -= p->g[i * p->s + j] * p->x[j];
            w /= sqrt(p->g[i * p->s + i]);
            if (!p->in[i] && w > most) {
                most = w;
                next = i;
            }
        }
        if (next == p->s)
            return;
        p->in[next] = 1;
        for (size_t k = 0; k <= p->s; k++) {
            optimum(p);
            if (step(p))
                break;
        }
    }
}

int
mpq_mix_best(const double *traces, size_t s, size_t n, const double *target,
             double *shares, struct mpq_err *err)
{
    double *g = mpq_array(s, s * sizeof *g), *b = mpq_array(s, sizeof *b);
    struct nnls p = { .s = s, .g = g, .b = b, .x = shares };
    double sum = 0;
    int rc = -1;

    p.z = mpq_array(s, sizeof *p.z);
    p.a = mpq_array(s, s * sizeof *p.a);
    p.in = mpq_array(s, 1);
    if (!g || !b || !p.z || !p.a || !p.in) {
        mpq_fail(err, MPQ_ENOMEM, "out of memory for %zu sources", s);
        goto out;
    }
    const double length = sqrt(dot(target, target, n));
    for (size_t i = 0; i < s; i++) {
        const double *h = traces + i * n;
        const double own = sqrt(dot(h, h, n));
        if (!(own > 0) || !isfinite(own) || !(length > 0) || !isfinite(length)) {
            mpq_fail(err, MPQ_EDATA, "source %zu: a trace of zeros or not finite",
                     i + 1);
            goto out;
        }
        shares[i] = 0;
        b[i] = dot(h, target, n) / own / length; /* sources of unit length */
        for (size_t j = 0; j < s; j++) {
            const double *k = traces + j * n;
            g[i * s + j] = dot(h, k, n) / own / sqrt(dot(k, k, n));
        }
    }
    run(&p);
    for (size_t i = 0; i < s; i++) { /* back to the sources' own lengths */
        shares[i] /= sqrt(dot(traces + i * n, traces + i * n, n));
        sum += shares[i];
    }
    if (!(sum > 0)) {
        mpq_fail(err, MPQ_EDATA, "no mixture of the sources points to the target");
        goto out;
    }
    for (size_t i = 0; i < s; i++)
        shares[i] /= sum;
    rc = 0;
out:
    free(g);
    free(b);
    free(p.z);
    free(p.a);
    free(p.in);
    return rc;
}

void
mpq_mix_tokens(const double *shares, size_t s, uint64_t total, uint64_t *tokens)
{
    uint64_t given = 0;

    for (size_t i = 0; i < s; i++) {
        tokens[i] = (uint64_t)floor(shares[i] * (double)total + 1e-9);
        tokens[i] = tokens[i] > total - given ? total - given : tokens[i];
        given += tokens[i];
    }
    while (given < total) { /* at most one each: the remainders sum to what is left */
        size_t next = 0;
        double most = -INFINITY;
        for (size_t i = 0; i < s; i++) {
            const double rest = shares[i] * (double)total - (double)tokens[i];
            if (rest > most) {
                most = rest;
                next = i;
            }
        }
        tokens[next]++;
        given++;
    }
}
