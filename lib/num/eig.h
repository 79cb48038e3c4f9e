/*
 * The symmetric eigenproblem for large Gram matrices: all eigenvalues, and eigenvectors
 * in any number at a time, so that none has to wait in memory.
 *
 *   A = Q T Q^T (Householder, float or double), eigenvalues of T (double), vectors y of
 *   T (double, stored as float), x = Q y (float)
 *
 * The reduction and T's eigenproblem are where rounding is magnified by close
 * eigenvalues. The latter is done in double, the reduction too, unless A is large and
 * its norm not far above its mean eigenvalue (eig.c has the rule). Rotating a finished
 * unit vector magnifies nothing: float leaves it right to some 1e-6.
 */
#ifndef MPQ_NUM_EIG_H
#define MPQ_NUM_EIG_H

#include "base/err.h"

#include <stddef.h>

struct mpq_eig; /* opaque: owns the reduced matrix */

/* Takes A [n][n], from mpq_array, upper triangle in row-major order; owned from here
 * on, also on failure. Eigenvalues alone with VECTORS 0 (then A is freed at once). */
MPQ_MUST_CHECK int mpq_eig_new(struct mpq_eig **out, double *a, size_t n, int vectors,
                               struct mpq_err *err);
void mpq_eig_free(struct mpq_eig *x);
/* [n], descending. */
const double *mpq_eig_values(const struct mpq_eig *x);

/* How many vectors to ask for at a time: all of a small matrix, some of a large one. */
size_t mpq_eig_chunk(const struct mpq_eig *x);
/* Says which vectors will be asked for, [first, first + n): where eigenvalues there are
 * so close that single vectors are not orthogonal, all are computed together instead
 * (LAPACK's divide and conquer, n^2 more doubles). */
MPQ_MUST_CHECK int
mpq_eig_prepare(struct mpq_eig *x, size_t first, size_t count, struct mpq_err *err);
/* Vectors [first, first + count) of T as y[count][n]. */
MPQ_MUST_CHECK int mpq_eig_coords(struct mpq_eig *x, size_t first, size_t count,
                                  float *y, struct mpq_err *err);
/* y[count][n] becomes Q y, each row: eigenvectors of A from those of T ... */
void mpq_eig_rotate(struct mpq_eig *x, float *y, size_t count, float *scratch);
/* ... and Q^T y, the way back. SCRATCH has mpq_eig_scratch() floats. */
void mpq_eig_unrotate(struct mpq_eig *x, float *y, size_t count, float *scratch);
size_t mpq_eig_scratch(const struct mpq_eig *x, size_t count);

#endif
