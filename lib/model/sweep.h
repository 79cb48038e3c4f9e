/* "A:B:STEP": budgets from A to B. Plain numbers are mean bits; with a unit (90MiB, 5M,
 * 1000B) at one of them all three are bytes. */
#ifndef MPQ_MODEL_SWEEP_H
#define MPQ_MODEL_SWEEP_H

#include "base/err.h"

#include <stddef.h>

struct mpq_sweep {
    double first, step;
    size_t n; /* budgets, A and B included when the steps meet it */
    int by_size;
};

/* -1 with MPQ_EUSAGE unless 0 < A <= B in at most 100,000 steps. */
MPQ_MUST_CHECK int
mpq_sweep_parse(struct mpq_sweep *s, const char *text, struct mpq_err *err);
/* Budget I < s->n, as TEXT and as the number that TEXT reads back to: steps of 0.1 do
 * not drift into 2.5999999999999996. */
double mpq_sweep_at(const struct mpq_sweep *s, size_t i, char text[32]);

#endif
