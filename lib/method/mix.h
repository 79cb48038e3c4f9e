/*
 * Which mixture of calibration texts moves a model as the target does (TASA, arXiv
 * 2607.00908): the shares of the sources whose activation traces, layer by layer, have
 * the greatest cosine with the target's. A trace is a mean over tokens, so that of a
 * mixture is linear in the token shares: h(mix) = sum share_s h_s, and one pass over
 * each source gives every mixture.
 */
#ifndef MPQ_METHOD_MIX_H
#define MPQ_METHOD_MIX_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

/* Cosine of a[n] and b[n]; 0 when one of them is 0. */
double mpq_cosine(const double *a, const double *b, size_t n);
/* target = mean of the L2-normalized traces of TRACES[k][n] (several targets). */
void mpq_mix_target(const double *traces, size_t k, size_t n, double *target);
/* out[n] = sum shares[s] traces[s][n] over S sources. */
void mpq_mix_trace(const double *traces, size_t s, size_t n, const double *shares,
                   double *out);

/*
 * Every point of the grid: shares that are multiples of 1 / STEPS and add up to 1, the
 * first source's falling. Into points[count][s], the caller's to free; -1 with a
 * message when there are more than MOST.
 */
MPQ_MUST_CHECK int mpq_mix_grid(size_t s, size_t steps, size_t most, double **points,
                                size_t *count, struct mpq_err *err);

/*
 * The best point of the whole simplex: shares[s] >= 0 with sum 1 of greatest cosine.
 * The rays of all mixtures form a cone; that next to the target in angle is the
 * target's projection onto the cone, least squares without negative shares (Lawson and
 * Hanson's active sets). -1: out of memory, or no trace that is not 0.
 */
MPQ_MUST_CHECK int
mpq_mix_best(const double *traces, size_t s, size_t n, const double *target,
             double *shares, struct mpq_err *err);

/* Tokens of each source so that they sum to TOTAL and none is off its share by a whole
 * token: the largest remainders are rounded up. */
void mpq_mix_tokens(const double *shares, size_t s, uint64_t total, uint64_t *tokens);

#endif
