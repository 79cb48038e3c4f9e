#include "model/salience.h"

#include "base/buf.h"
#include "quant/vary.h"

#include <math.h>
#include <stdlib.h>

enum { REACH = 1 }; /* bits from the mean at most */

/* Sums up one row: X[cols], with what each column weighs, or NULL. */
static void
add_row(struct mpq_type type, const float *x, const double *inverse,
        const float *diagonal, int squared, size_t cols, double *salience)
{
    for (size_t j = 0; j < cols; j++) {
        const double w = x[j];
        const double h = inverse ? 1 / inverse[j] : diagonal ? (double)diagonal[j] : 1;
        salience[j / type.group] += w * w * (squared ? h * h : h);
    }
}

int
mpq_salience_map(const struct mpq_source *s, const struct mpq_weight *w,
                 struct mpq_type type, const double *inverse,
                 const struct mpq_importance *importance, enum mpq_salience how,
                 unsigned char *map, struct mpq_err *err)
{
    const size_t cols = (size_t)w->cols;
    const size_t groups = (size_t)mpq_type_groups(type, w->cols);
    const float *known = importance ? importance->values : NULL;
    const uint64_t part = known ? w->rows / importance->n_parts : w->rows;
    double *salience = mpq_array(groups, sizeof *salience);
    float *x = mpq_array(cols, sizeof *x);
    int rc = -1;

    if (!salience || !x) {
        mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", w->name);
        goto out;
    }
    for (uint64_t r = 0; r < w->rows; r++) {
        if (mpq_source_read_rows(s, w, r, 1, x, err) < 0)
            goto out;
        add_row(type, x, inverse, known ? known + r / part * cols : NULL,
                how == MPQ_SALIENCE_SQUARE, cols, salience);
    }
    for (size_t g = 0; g < groups; g++) /* beyond any double all are alike */
        salience[g] = fmin(salience[g], 1e300);
    mpq_vary(type, salience, cols, REACH, map);
    rc = 0;
out:
    free(salience);
    free(x);
    return rc;
}
