/*
 * The scores that NSDS is compared with. Each is >= 0, per parameter, greater = more
 * bits; where the raw figure can be negative, the score is softplus of its MAD-z.
 *
 *   mse        mean squared error of symmetric round-to-nearest, one step size a tensor
 *   zd         share of weights with |z| > 1 (LieQ's and ZD's z-score density), mean
 *              over the tensors
 *   ewq        entropy of the softmax over a tensor's weights, per weight (EWQ)
 *   kurtboost  mean excess kurtosis, doubled where it jumps from the layer below
 */
#ifndef MPQ_METHOD_BASELINE_H
#define MPQ_METHOD_BASELINE_H

#include "base/err.h"

#include <stddef.h>

/* Mean of x[n], and with weights w[n] (not all 0). 0 for n = 0. */
double mpq_mean(const double *x, size_t n);
double mpq_weighted_mean(const double *x, const double *w, size_t n);
/* KurtBoost over kurt[n], from the lowest layer up: raw[i] is kurt[i], doubled where
 * the step from kurt[i - 1] lies more than two standard deviations (population) from
 * the mean step. raw may be kurt. */
void mpq_kurtboost(const double *kurt, double *raw, size_t n);
/* score[i] = softplus of the MAD-z (1.4826) of raw[n]. -1: no memory. */
MPQ_MUST_CHECK int mpq_positive(const double *raw, double *score, size_t n);

#endif
