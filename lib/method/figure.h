/* Figures with their standard errors, and the differences of paired observations. */
#ifndef MPQ_METHOD_FIGURE_H
#define MPQ_METHOD_FIGURE_H

#include <stddef.h>

/* SE is 0 where one observation says nothing about it. */
struct mpq_figure {
    double value, se;
    size_t n;
};

/* Mean of x[n], n > 0; se = sd / sqrt(n), sd with n - 1. */
struct mpq_figure mpq_figure_mean(const double *x, size_t n);
/* Mean of x - y, pair by pair. */
struct mpq_figure mpq_figure_diff(const double *x, const double *y, size_t n);
/* exp of the mean of nll[n]; se = value * se of the mean. */
struct mpq_figure mpq_figure_ppl(const double *nll, size_t n);
/* exp(mean nll) - exp(mean ref); the error by the delta method, with the covariance. */
struct mpq_figure mpq_figure_ppl_diff(const double *nll, const double *ref, size_t n);
/* Mean of exp(-nll) - exp(-ref), the change of the probability of what came. */
struct mpq_figure mpq_figure_dp(const double *nll, const double *ref, size_t n);
/* The root of the mean of its square; se = se of the mean square / (2 value). */
struct mpq_figure mpq_figure_dp_rms(const double *nll, const double *ref, size_t n);

#endif
