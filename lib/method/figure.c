#include "method/figure.h"

#include <math.h>

/* One observation of item I. */
typedef double value_fn(const void *ctx, size_t i);

/* Two passes: the values can be large and alike. */
static struct mpq_figure
mean_of(value_fn *value, const void *ctx, size_t n)
{
    struct mpq_figure f = { .n = n };
    double sum = 0, squares = 0;

    for (size_t i = 0; i < n; i++)
        sum += value(ctx, i);
    f.value = sum / (double)n;
    for (size_t i = 0; i < n; i++) {
        const double d = value(ctx, i) - f.value;
        squares += d * d;
    }
    if (n > 1)
        f.se = sqrt(squares / ((double)n * ((double)n - 1)));
    return f;
}

/* a x - b y; y may be NULL. */
struct pair {
    const double *x, *y;
    double a, b;
};

static double
weighted(const void *ctx, size_t i)
{
    const struct pair *p = ctx;
    return p->a * p->x[i] - (p->y ? p->b * p->y[i] : 0);
}

static double
probability_gap(const void *ctx, size_t i)
{
    const struct pair *p = ctx;
    return exp(-p->x[i]) - exp(-p->y[i]);
}

static double
squared_gap(const void *ctx, size_t i)
{
    const double d = probability_gap(ctx, i);
    return d * d;
}

struct mpq_figure
mpq_figure_mean(const double *x, size_t n)
{
    return mean_of(weighted, &(struct pair){ x, NULL, 1, 0 }, n);
}

struct mpq_figure
mpq_figure_diff(const double *x, const double *y, size_t n)
{
    return mean_of(weighted, &(struct pair){ x, y, 1, 1 }, n);
}

struct mpq_figure
mpq_figure_ppl(const double *nll, size_t n)
{
    struct mpq_figure f = mpq_figure_mean(nll, n);

    f.value = exp(f.value);
    f.se *= f.value;
    return f;
}

struct mpq_figure
mpq_figure_ppl_diff(const double *nll, const double *ref, size_t n)
{
    const double a = mpq_figure_ppl(nll, n).value, b = mpq_figure_ppl(ref, n).value;
    /* d exp(mean) = exp(mean) d mean: the error is that of the mean of a x - b y */
    struct mpq_figure f = mean_of(weighted, &(struct pair){ nll, ref, a, b }, n);

    f.value = a - b;
    return f;
}

struct mpq_figure
mpq_figure_dp(const double *nll, const double *ref, size_t n)
{
    return mean_of(probability_gap, &(struct pair){ nll, ref, 0, 0 }, n);
}

struct mpq_figure
mpq_figure_dp_rms(const double *nll, const double *ref, size_t n)
{
    struct mpq_figure f = mean_of(squared_gap, &(struct pair){ nll, ref, 0, 0 }, n);

    f.value = sqrt(f.value);
    f.se = f.value > 0 ? f.se / (2 * f.value) : 0;
    return f;
}
