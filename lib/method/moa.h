/*
 * Multi-objective aggregation (TASA, arXiv 2607.00908): measured deltas of several
 * objectives become one damage for each unit and type.
 *
 *   damage = sum over k of w_k max(delta_k, 0) / sum_k
 *
 * sum_k is that of the objective's positive deltas over all pairs, or 1. The standard
 * errors are taken as independent between objectives, and sum_k as exact: it is common
 * to all rows, and what is common changes no plan.
 */
#ifndef MPQ_METHOD_MOA_H
#define MPQ_METHOD_MOA_H

#include "method/pairs.h"

/* damage[sets->n] and se[sets->n], in the order of the first of SETS[n]; sums[n]. The
 * sets have the same pairs, else -1 with the one that is missing; -1 too when a sum is
 * needed and 0. */
MPQ_MUST_CHECK int
mpq_moa(const struct mpq_pairs *sets, size_t n, const double *weights, int normalize,
        double *damage, double *se, double *sums, struct mpq_err *err);

#endif
