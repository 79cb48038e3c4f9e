#include "method/baseline.h"

#include "num/stat.h"

#include <math.h>

static const double NORMAL_MAD = 1.4826;
static const double JUMP = 2; /* standard deviations */

double
mpq_mean(const double *x, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += x[i];
    return n ? sum / (double)n : 0;
}

double
mpq_weighted_mean(const double *x, const double *w, size_t n)
{
    double sum = 0, weight = 0;

    for (size_t i = 0; i < n; i++) {
        sum += x[i] * w[i];
        weight += w[i];
    }
    return weight > 0 ? sum / weight : 0;
}

void
mpq_kurtboost(const double *kurt, double *raw, size_t n)
{
    double mean = 0, var = 0, below = n ? kurt[0] : 0;
    const double steps = n > 1 ? (double)(n - 1) : 1;

    if (n > 1)
        mean = (kurt[n - 1] - kurt[0]) / steps; /* the steps add up to this */
    for (size_t i = 1; i < n; i++) {
        const double d = kurt[i] - kurt[i - 1] - mean;
        var += d * d / steps;
    }
    const double limit = JUMP * sqrt(var);
    for (size_t i = 0; i < n; i++) {
        const double here = kurt[i];
        const int jumps = i > 0 && fabs(here - below - mean) > limit;
        raw[i] = jumps ? 2 * here : here;
        below = here;
    }
}

int
mpq_positive(const double *raw, double *score, size_t n)
{
    if (mpq_mad_z(raw, n, NORMAL_MAD, score) < 0)
        return -1;
    for (size_t i = 0; i < n; i++)
        score[i] = mpq_softplus(score[i]);
    return 0;
}
