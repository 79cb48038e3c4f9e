/*
 * Eigenvalues of a symmetric tridiagonal matrix, and eigenvectors one by one from them,
 * by twisted factorizations (Dhillon and Parlett 2004, "Orthogonal eigenvectors and
 * relative gaps"): O(n) each, so that any part of them can be had at any time, and
 * many at once in the lanes of vector registers. Vectors of eigenvalues closer than
 * some 1e-9 of the norm are not orthogonal: callers look for such clusters first.
 */
#ifndef MPQ_NUM_TRIDIAG_H
#define MPQ_NUM_TRIDIAG_H

#include <stddef.h>

enum { MPQ_TRIDIAG_LANES = 16 };

/* All eigenvalues, ascending, into value[n], to some 1e-15 of the norm, which is about
 * 1. -1 when some lie too close together for that (or memory ended): the caller takes
 * another method then. */
int mpq_tridiag_values(size_t n, const double *d, const double *e, double *value);

/* Doubles of scratch memory for order n. */
size_t mpq_tridiag_scratch(size_t n);

/*
 * Unit eigenvectors for lambda[m], m <= MPQ_TRIDIAG_LANES, as y[m][n], of the matrix
 * with diagonal d[n] and off-diagonal e[n - 1] whose norm is about 1. Each lambda is
 * right to some 1e-12 and is refined in place. Returns the largest residual
 * ||T y - lambda y||.
 */
double mpq_tridiag_vectors(size_t n, const double *d, const double *e, double *lambda,
                           size_t m, float *y, double *scratch);

#endif
