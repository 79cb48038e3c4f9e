/*
 * Damages of all pairs of a unit and a type, from a cheap figure that is there for all
 * of them (an error weighted by a Hessian, a gradient) and measurements of some.
 *
 *   ln measured = ln cheap + family + unit + type + noise
 *
 * A family is all units of one kind (ffn_down of every layer). Its term is the mean
 * over its pairs; a unit's own deviation from it is drawn toward 0 the more, the less
 * was measured of the unit and the more alike units are; a type's term tells how far
 * the cheap figure is off for coarse types beside fine ones. How much units and pairs
 * scatter is estimated from the same data. A pair that was measured is drawn toward
 * what the model says only as far as its standard error asks for.
 */
#ifndef MPQ_METHOD_FILL_H
#define MPQ_METHOD_FILL_H

#include "base/err.h"

#include <stddef.h>

struct mpq_fill {
    size_t n_units, n_types, n_families;
    const size_t *family;   /* [n_units] */
    const double *coarse;   /* [n_types] greater = fewer bits, for types between others;
                               > 0 */
    const double *cheap;    /* [n_units][n_types] >= 0, NAN where there is none */
    const double *measured; /* [n_units][n_types] any sign, NAN where there is none */
    const double *se;       /* [n_units][n_types] of measured, >= 0 */
};

/* How well the cheap figure foretells the measured one, for a family. */
struct mpq_fill_family {
    size_t n;           /* pairs that were measured, with a cheap figure above 0 */
    double scale;       /* measured / cheap, geometric mean */
    double correlation; /* of the logarithms over units and types; NAN for n < 3 */
    double within;      /* mean correlation over the units of each type alone: what an
                           order of units is worth; NAN where n is too small */
    double factor;      /* exp of the rms deviation of ln(measured / cheap) */
};

/* damage[n_units][n_types] and its standard error se[]: NAN where neither a cheap nor a
 * measured figure is there. FAMILIES[n_families] may be NULL. -1 when nothing was
 * measured that has a cheap figure above 0, or without memory. */
MPQ_MUST_CHECK int mpq_fill(const struct mpq_fill *in, double *damage, double *se,
                            struct mpq_fill_family *families, struct mpq_err *err);

#endif
