/* Tridiagonal form of a symmetric matrix in float, at some 40% of LAPACK's time in
 * double. */
#ifndef MPQ_NUM_REDUCE_H
#define MPQ_NUM_REDUCE_H

#include <stddef.h>

/* Row length for order n: whole vectors. */
size_t mpq_reduce_stride(size_t n);
/* Floats of scratch memory for order n. */
size_t mpq_reduce_scratch(size_t n);

/*
 * A = Q T Q^T for a[n][stride], upper triangle in row-major order, zeros elsewhere: T's
 * diagonal into d[n] and what lies beside it into e[n - 1]. Q is the product of the
 * reflectors H(0) H(1) ... H(n - 2), H(i) = I - tau[i] v v^T; row i of a becomes v: 0
 * up to i, then 1. The error is some 1e-7 of A's norm.
 */
void mpq_reduce(float *a, size_t n, double *d, double *e, double *tau, float *scratch);

#endif
