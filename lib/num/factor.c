#include "num/factor.h"

#include <cblas.h>
#include <lapacke.h>

/* Turns a matrix by half: element (i, j) to (n-1-i, n-1-j). */
static void
turn(double *a, size_t n)
{
    const size_t all = n * n;

    for (size_t i = 0; i < all / 2; i++) {
        const double x = a[i];
        a[i] = a[all - 1 - i];
        a[all - 1 - i] = x;
    }
}

int
mpq_inverse_factor(double *h, size_t n)
{
    /* Turned, the lower triangle of a row-major matrix is the upper one, and that is
     * what LAPACK, which counts columns first, calls the lower: h reversed = L L^T. */
    turn(h, n);
    if (LAPACKE_dpotrf_work(LAPACK_COL_MAJOR, 'L', (int)n, h, (int)n) ||
        LAPACKE_dtrtri_work(LAPACK_COL_MAJOR, 'L', 'N', (int)n, h, (int)n))
        return -1;
    /* L^-1 by columns is its transpose by rows; turned and transposed it is U. */
    turn(h, n);
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < i; j++) {
            h[j * n + i] = h[i * n + j];
            h[i * n + j] = 0;
        }
    }
    return 0;
}

void
mpq_gemm_sub(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b,
             size_t ldb, float *c, size_t ldc)
{
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)m, (int)n, (int)k, -1, a,
                (int)lda, b, (int)ldb, 1, c, (int)ldc);
}
