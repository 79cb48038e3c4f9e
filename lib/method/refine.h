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
 * One plan gives all types one factor, which changes no plan. Plans that are more than
 * MPQ_REFINE_MOST times off f, or that ask as much of a type, contradict each other:
 * the squares would give factors of 0 and below, and a type would be free.
 */
#ifndef MPQ_METHOD_REFINE_H
#define MPQ_METHOD_REFINE_H

#include "base/err.h"
#include "fmt/dtype.h"

#include <stddef.h>

#define MPQ_REFINE_SPREAD 0.2 /* of f_t about f: so far they are trusted to differ */
#define MPQ_REFINE_MOST   10.0

struct mpq_refine {
    size_t n_plans, n_types;
    const double *d; /* [n_plans][n_types] the summed damage of what each plan has of
                        each type, some of it above 0 in every plan */
    const double *total;          /* [n_plans] > 0, measured */
    const char *const *plans;     /* [n_plans] for messages */
    const struct mpq_type *types; /* [n_types] for messages */
};

/* Sets factor[n_types], of a type in no plan the mean, and *mean, which is f: each
 * factor is from f / MPQ_REFINE_MOST to f * MPQ_REFINE_MOST. -1: the plans contradict
 * each other, f is beyond 1e-100 to 1e100, or no memory. */
MPQ_MUST_CHECK int mpq_refine(const struct mpq_refine *in, double *factor, double *mean,
                              struct mpq_err *err);

#endif
