/* Kendall's rank correlation, tau-b, with its two-sided p-value. */
#ifndef MPQ_NUM_KENDALL_H
#define MPQ_NUM_KENDALL_H

#include "base/err.h"

#include <stddef.h>

struct mpq_kendall {
    double tau; /* -1 to 1; NAN where one side is all ties, or n < 2 */
    double p;   /* that of no association; NAN with tau */
};

/* Of the pairs x[i], y[i], finite. Without ties and up to MPQ_KENDALL_EXACT pairs, p is
 * that of all orders alike, else it is from the normal distribution, its variance
 * corrected for ties. n log n. -1: no memory. */
enum { MPQ_KENDALL_EXACT = 100 };
MPQ_MUST_CHECK int
mpq_kendall(const double *x, const double *y, size_t n, struct mpq_kendall *out);

#endif
