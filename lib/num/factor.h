/* The factor of an inverse matrix that error feedback walks along, and its update. */
#ifndef MPQ_NUM_FACTOR_H
#define MPQ_NUM_FACTOR_H

#include "base/err.h"

#include <stddef.h>

/*
 * h[n][n], symmetric, its lower triangle read, becomes the upper triangular U with
 * h^-1 = U^T U, zeros below the diagonal. The inverse itself is never formed: with the
 * order of rows and columns reversed h = L L^T, and U is L^-1 reversed back.
 * 0, or -1 (h is spoilt) when it is not positive definite.
 */
MPQ_MUST_CHECK int mpq_inverse_factor(double *h, size_t n);

/* c[m][n] -= a^T b for a[k][m], b[k][n], row lengths lda, ldb, ldc. */
void mpq_gemm_sub(size_t m, size_t n, size_t k, const float *a, size_t lda,
                  const float *b, size_t ldb, float *c, size_t ldc);

#endif
