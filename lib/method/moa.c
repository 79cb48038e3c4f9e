#include "method/moa.h"

#include <math.h>

/* The sum of the positive deltas. */
static int
find_sum(const struct mpq_pairs *p, double *sum, struct mpq_err *err)
{
    *sum = 0;
    for (size_t i = 0; i < p->n; i++)
        *sum += fmax(p->rows[i].value, 0);
    if (*sum > 0)
        return 0;
    return mpq_fail(err, MPQ_EDATA,
                    "%s: %.40s: no delta above 0: there is nothing to divide by",
                    p->file, p->metric ? p->metric : "delta");
}

/* Adds one objective; se[] holds squares. */
static int
add(const struct mpq_pairs *first, const struct mpq_pairs *p, double factor,
    double *damage, double *se, struct mpq_err *err)
{
    for (size_t i = 0; i < first->n; i++) {
        const struct mpq_pair *r = mpq_pairs_find(p, first->rows[i].key);
        if (!r)
            return mpq_pairs_within(first, p, err);
        if (r->params != first->rows[i].params)
            return mpq_fail(err, MPQ_EDATA, "%s: %.120s has %.0f params, in %s %.0f",
                            p->file, r->unit, r->params, first->file,
                            first->rows[i].params);
        damage[i] += factor * fmax(r->value, 0);
        se[i] += factor * r->se * factor * r->se;
    }
    return 0;
}

int
mpq_moa(const struct mpq_pairs *sets, size_t n, const double *weights, int normalize,
        double *damage, double *se, double *sums, struct mpq_err *err)
{
    for (size_t i = 0; i < sets->n; i++)
        damage[i] = se[i] = 0;
    for (size_t k = 0; k < n; k++) {
        sums[k] = 1;
        if (mpq_pairs_within(&sets[k], sets, err) < 0 ||
            (normalize && find_sum(&sets[k], &sums[k], err) < 0) ||
            add(sets, &sets[k], weights[k] / sums[k], damage, se, err) < 0)
            return -1;
    }
    for (size_t i = 0; i < sets->n; i++)
        se[i] = sqrt(se[i]);
    return 0;
}
