/*
 * Linear algebra over BLAS and LAPACK, for what the scores need. Matrices are dense; a
 * symmetric one is held by its upper triangle in row-major order (LAPACK's "L", since
 * it counts columns first).
 */
#ifndef MPQ_NUM_LINALG_H
#define MPQ_NUM_LINALG_H

#include "base/err.h"

#include <stddef.h>

/* To be called first of all, ARGV that of main. OpenBLAS starts a thread for each core
 * when it is loaded; where address space is limited (ulimit -v), such a thread tries
 * without end to map its memory, and the program cannot even exit. There it is executed
 * anew, told to start none. */
void mpq_linalg_start(char **argv);
/* Makes the BLAS run in the thread that calls it, where it has a switch for that:
 * parallel work is divided above it, in pieces that do not depend on the number of
 * threads, so that results do not either. Where OpenBLAS does not know the processor
 * (one newer than itself) and took its oldest kernels, it is given those that fit,
 * unless the user chose some in OPENBLAS_CORETYPE. To be called before threads start;
 * more than once is fine. -1 when address space is limited and has no room for what
 * OpenBLAS maps for N_THREADS that call it. */
MPQ_MUST_CHECK int mpq_linalg_init(unsigned n_threads, struct mpq_err *err);

/*
 * g += W^T W for w[rows][cols], upper triangle of g[cols][cols]. Products are summed in
 * float over 256 rows and in double beyond: what is lost is some 1e-7 of each entry.
 * SCRATCH has mpq_gram_scratch() floats.
 */
void mpq_gram_rows(double *g, const float *w, size_t rows, size_t cols, float *scratch);
/* g += W W^T for w[rows][cols], upper triangle of g[rows][rows]. */
void mpq_gram_cols(double *g, const float *w, size_t rows, size_t cols, float *scratch);
size_t mpq_gram_scratch(void);
/* One tile of mpq_gram_rows, for callers that spread tiles over threads: tile T of
 * mpq_gram_tiles(cols); rows begin LD >= cols floats apart. */
size_t mpq_gram_tiles(size_t n);
void mpq_gram_tile(double *g, const float *w, size_t rows, size_t cols, size_t ld,
                   size_t t, float *scratch);

/* c[m][n] = a^T b (TRANS_A) or a b, b transposed too with TRANS_B; row-major with row
 * lengths lda, ldb, ldc; K is the length that is summed over. */
void mpq_gemm_f(int trans_a, int trans_b, size_t m, size_t n, size_t k, const float *a,
                size_t lda, const float *b, size_t ldb, float *c, size_t ldc);
/* The same, c = alpha a b + beta c; beta = 0 does not read c. One row at a time (m = 1)
 * it goes at the speed of memory. */
void mpq_gemm_add_f(int trans_a, int trans_b, size_t m, size_t n, size_t k, float alpha,
                    const float *a, size_t lda, const float *b, size_t ldb, float beta,
                    float *c, size_t ldc);
void mpq_gemm_d(int trans_a, int trans_b, size_t m, size_t n, size_t k, const double *a,
                size_t lda, const double *b, size_t ldb, double *c, size_t ldc);

/* g[m][m] = a a^T for a[m][k], both triangles. */
void mpq_gram_d(double *g, const double *a, size_t m, size_t k);

/* Singular values of a[m][n] (row length n; destroyed) with their vectors, r = min(m,
 * n): s[r] descending, u[m][r], vt[r][n]. -1 when LAPACK gives up or memory ends. */
MPQ_MUST_CHECK int mpq_svd(double *a, size_t m, size_t n, double *s, double *u,
                           double *vt, struct mpq_err *err);
/* Thin QR of a[m][n], m >= n: a becomes Q [m][n], r[n][n] upper triangular. */
MPQ_MUST_CHECK int
mpq_qr(double *a, size_t m, size_t n, double *r, struct mpq_err *err);
/* a[n][n] symmetric, both triangles, = L L^T: L into the lower triangle, zeros above.
 * Returns the square of the smallest over the largest of L's diagonal, about the
 * reciprocal condition of a; 0 when a is not positive definite. */
double mpq_cholesky(double *a, size_t n);
/* x[n][m] = L^-T x for L from mpq_cholesky. */
void mpq_solve_lt(const double *l, size_t n, double *x, size_t m);

#endif
