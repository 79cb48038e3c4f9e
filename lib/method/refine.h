/*
 * Damages against what whole plans have cost. Units are measured one at a time, and
 * what several cost together is not quite the sum. Taken is: the damages of one type
 * are all wrong by one factor; these factors differ from one another by some 20%, and a
 * plan's total scatters by some 2% about what they make of it. Least squares of the
 * relative errors with that much trust in each:
 *
 *   sum over plans (sum over types f_t d_kt / total_k - 1)^2 / 0.02^2
 *     + sum over types (f_t / f - 1)^2 / 0.2^2,   f the plans' mean factor (geometric)
 *
 * One plan gives all types one factor, which changes no plan.
 */
#ifndef MPQ_METHOD_REFINE_H
#define MPQ_METHOD_REFINE_H

#include "base/err.h"

#include <stddef.h>

/* d[n_plans][n_types]: the summed damage of what each plan has of each type, some of it
 * above 0 in every plan; total[n_plans] > 0, the measured ones. Sets factor[n_types] >=
 * 0, of a type in no plan the mean. -1: no memory. */
MPQ_MUST_CHECK int mpq_refine(const double *d, const double *total, size_t n_plans,
                              size_t n_types, double *factor, struct mpq_err *err);

#endif
