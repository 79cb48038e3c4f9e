#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include "num/linalg.h"

#include "base/buf.h"
#include "base/simd.h"

#include <cblas.h>
#include <lapacke.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    TILE =
        640, /* edge of a Gram tile: 1.6 MB of floats, and one tile for most layers */
    DEPTH = 256 /* products summed in float before they are added in double */
};

/* OpenBLAS' own; other libraries do not have them. */
extern void openblas_set_num_threads(int n) __attribute__((weak));
extern int blas_thread_shutdown_(void) __attribute__((weak));
extern char *openblas_get_corename(void) __attribute__((weak));
extern void gotoblas_dynamic_init(void) __attribute__((weak));
extern void gotoblas_dynamic_quit(void) __attribute__((weak));
extern int openblas_get_num_threads(void) __attribute__((weak));
extern void *blas_memory_alloc(int unused) __attribute__((weak));
extern void blas_memory_free(void *buffer) __attribute__((weak));

/* An OpenBLAS older than the processor takes it for a Prescott of 2004, at a fifth of
 * the speed. It reads OPENBLAS_CORETYPE when it chooses: make it choose again. */
static void
choose_kernels(void)
{
#if defined(__x86_64__) && defined(__GNUC__)
    const char *kernels = NULL;

    if (!openblas_get_corename || !gotoblas_dynamic_init || !gotoblas_dynamic_quit ||
        getenv("OPENBLAS_CORETYPE") || strcmp(openblas_get_corename(), "Prescott"))
        return;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq"))
        kernels = "SkylakeX";
    else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        kernels = "Haswell";
    if (!kernels || setenv("OPENBLAS_CORETYPE", kernels, 0))
        return;
    gotoblas_dynamic_quit();
    gotoblas_dynamic_init();
    unsetenv("OPENBLAS_CORETYPE");
#endif
}

/*
 * OpenBLAS starts its threads when it is loaded, and each spins for 2^26 cycles before
 * it sleeps: 25 ms of every core but one. The second call ends them, as OpenBLAS itself
 * does before a fork; it starts none again for one thread.
 */
static void
end_threads(void)
{
    if (openblas_set_num_threads)
        openblas_set_num_threads(1);
    if (openblas_set_num_threads && blas_thread_shutdown_)
        blas_thread_shutdown_();
}

static int
space_is_limited(void)
{
    struct rlimit space;

    return getrlimit(RLIMIT_AS, &space) == 0 && space.rlim_cur != RLIM_INFINITY;
}

void
mpq_linalg_start(char **argv)
{
    static const char variable[] = "OPENBLAS_NUM_THREADS";
    const char *threads = getenv(variable);

    if (!openblas_get_num_threads || openblas_get_num_threads() < 2 ||
        !space_is_limited() || (threads && !strcmp(threads, "1")))
        return;
    if (setenv(variable, "1", 1) == 0)
        execv("/proc/self/exe", argv); /* where that fails, all is as it was */
}

/* Takes the buffers of N_THREADS from OpenBLAS and gives them back: it keeps them. */
static int
fill_pool(unsigned n_threads, struct mpq_err *err)
{
    /* what OpenBLAS maps for each thread that calls it, and a page or so */
    enum { BUFFER_BYTES = (128 << 20) + (64 << 10) };
    const size_t bytes = (size_t)n_threads * BUFFER_BYTES;
    void **buffers = mpq_array(n_threads, sizeof *buffers);
    void *map = MAP_FAILED;

    if (buffers)
        map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                   0);
    if (map == MAP_FAILED) {
        free(buffers);
        return mpq_fail(err, MPQ_ENOMEM,
                        "out of memory: BLAS takes %zu bytes of address space for %u"
                        " thread%s",
                        bytes, n_threads, n_threads == 1 ? "" : "s");
    }
    munmap(map, bytes);
    for (unsigned i = 0; i < n_threads; i++)
        buffers[i] = blas_memory_alloc(0);
    for (unsigned i = 0; i < n_threads; i++)
        blas_memory_free(buffers[i]);
    free(buffers);
    return 0;
}

/* OpenBLAS tries without end to map a buffer for a thread that calls it: where there
 * may be no room later on, they are all mapped now. */
static int
reserve(unsigned n_threads, struct mpq_err *err)
{
    static unsigned reserved; /* in the pool, which lasts as long as the process */

    if (!blas_memory_alloc || !blas_memory_free || n_threads <= reserved ||
        !space_is_limited())
        return 0;
    if (fill_pool(n_threads, err) < 0)
        return -1;
    reserved = n_threads;
    return 0;
}

int
mpq_linalg_init(unsigned n_threads, struct mpq_err *err)
{
    end_threads();
    choose_kernels();
    return reserve(n_threads ? n_threads : 1, err);
}

static size_t
min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

size_t
mpq_gram_scratch(void)
{
    return (size_t)TILE * TILE;
}

size_t
mpq_gram_tiles(size_t n)
{
    const size_t k = (n + TILE - 1) / TILE;
    return k * (k + 1) / 2;
}

/* Adds s[m][n] to g; of a tile on the diagonal the upper triangle alone. */
MPQ_CLONES static void
add_tile(double *restrict g, size_t ldg, const float *restrict s, size_t m, size_t n,
         int diagonal)
{
    for (size_t i = 0; i < m; i++)
        for (size_t j = diagonal ? i : 0; j < n; j++)
            g[i * ldg + j] += (double)s[i * n + j];
}

/* Tile (ti, tj), ti <= tj, of the products of DEPTH or fewer vectors. TRANS: they are
 * rows of w (row length ld), else columns. */
static void
tile_step(double *g, size_t n, const float *w, size_t ld, size_t depth, int trans,
          size_t ti, size_t tj, float *s)
{
    const size_t i = ti * TILE, j = tj * TILE;
    const size_t m = min_size(TILE, n - i), l = min_size(TILE, n - j);
    const float *a = trans ? w + i : w + i * ld, *b = trans ? w + j : w + j * ld;

    if (ti == tj)
        cblas_ssyrk(CblasRowMajor, CblasUpper, trans ? CblasTrans : CblasNoTrans,
                    (int)m, (int)depth, 1, a, (int)ld, 0, s, (int)m);
    else
        mpq_gemm_f(trans, !trans, m, l, depth, a, ld, b, ld, s, l);
    add_tile(g + i * n + j, n, s, m, l, ti == tj);
}

static void
find_tile(size_t t, size_t *ti, size_t *tj)
{
    size_t j = 0;

    while (t > j) { /* tiles column by column: 1, 2, 3 ... of them */
        t -= j + 1;
        j++;
    }
    *ti = t;
    *tj = j;
}

void
mpq_gram_tile(double *g, const float *w, size_t rows, size_t cols, size_t ld, size_t t,
              float *scratch)
{
    size_t ti, tj;

    find_tile(t, &ti, &tj);
    for (size_t r = 0; r < rows; r += DEPTH)
        tile_step(g, cols, w + r * ld, ld, min_size(DEPTH, rows - r), 1, ti, tj,
                  scratch);
}

void
mpq_gram_rows(double *g, const float *w, size_t rows, size_t cols, float *scratch)
{
    for (size_t t = 0; t < mpq_gram_tiles(cols); t++)
        mpq_gram_tile(g, w, rows, cols, cols, t, scratch);
}

void
mpq_gram_cols(double *g, const float *w, size_t rows, size_t cols, float *scratch)
{
    size_t ti, tj;

    for (size_t t = 0; t < mpq_gram_tiles(rows); t++) {
        find_tile(t, &ti, &tj);
        for (size_t c = 0; c < cols; c += DEPTH)
            tile_step(g, rows, w + c, cols, min_size(DEPTH, cols - c), 0, ti, tj,
                      scratch);
    }
}

void
mpq_gemm_f(int trans_a, int trans_b, size_t m, size_t n, size_t k, const float *a,
           size_t lda, const float *b, size_t ldb, float *c, size_t ldc)
{
    cblas_sgemm(CblasRowMajor, trans_a ? CblasTrans : CblasNoTrans,
                trans_b ? CblasTrans : CblasNoTrans, (int)m, (int)n, (int)k, 1, a,
                (int)lda, b, (int)ldb, 0, c, (int)ldc);
}

void
mpq_gemm_add_f(int trans_a, int trans_b, size_t m, size_t n, size_t k, float alpha,
               const float *a, size_t lda, const float *b, size_t ldb, float beta,
               float *c, size_t ldc)
{
    if (m == 1 && !trans_a) /* y = B x: no copy of B into packed panels */
        cblas_sgemv(CblasRowMajor, trans_b ? CblasNoTrans : CblasTrans,
                    (int)(trans_b ? n : k), (int)(trans_b ? k : n), alpha, b, (int)ldb,
                    a, 1, beta, c, 1);
    else
        cblas_sgemm(CblasRowMajor, trans_a ? CblasTrans : CblasNoTrans,
                    trans_b ? CblasTrans : CblasNoTrans, (int)m, (int)n, (int)k, alpha,
                    a, (int)lda, b, (int)ldb, beta, c, (int)ldc);
}

void
mpq_gemm_d(int trans_a, int trans_b, size_t m, size_t n, size_t k, const double *a,
           size_t lda, const double *b, size_t ldb, double *c, size_t ldc)
{
    cblas_dgemm(CblasRowMajor, trans_a ? CblasTrans : CblasNoTrans,
                trans_b ? CblasTrans : CblasNoTrans, (int)m, (int)n, (int)k, 1, a,
                (int)lda, b, (int)ldb, 0, c, (int)ldc);
}

void
mpq_gram_d(double *g, const double *a, size_t m, size_t k)
{
    cblas_dsyrk(CblasRowMajor, CblasUpper, CblasNoTrans, (int)m, (int)k, 1, a, (int)k,
                0, g, (int)m);
    for (size_t i = 1; i < m; i++)
        for (size_t j = 0; j < i; j++)
            g[i * m + j] = g[j * m + i];
}

int
mpq_svd(double *a, size_t m, size_t n, double *s, double *u, double *vt,
        struct mpq_err *err)
{
    const size_t r = min_size(m, n);
    int info = LAPACKE_dgesdd(LAPACK_ROW_MAJOR, 'S', (int)m, (int)n, a, (int)n, s, u,
                              (int)r, vt, (int)n);

    if (info)
        return mpq_fail(err, info < -1000 ? MPQ_ENOMEM : MPQ_EDATA,
                        "singular values of a %zu x %zu matrix: LAPACK returned %d", m,
                        n, info);
    return 0;
}

int
mpq_qr(double *a, size_t m, size_t n, double *r, struct mpq_err *err)
{
    double *tau = mpq_array(n, sizeof *tau);
    int info = -1010; /* LAPACKE's out of memory */

    if (tau)
        info = LAPACKE_dgeqrf(LAPACK_ROW_MAJOR, (int)m, (int)n, a, (int)n, tau);
    for (size_t i = 0; !info && i < n; i++)
        for (size_t j = 0; j < n; j++)
            r[i * n + j] = j < i ? 0 : a[i * n + j];
    if (!info)
        info = LAPACKE_dorgqr(LAPACK_ROW_MAJOR, (int)m, (int)n, (int)n, a, (int)n, tau);
    free(tau);
    if (info)
        return mpq_fail(err, info < -1000 ? MPQ_ENOMEM : MPQ_EDATA,
                        "QR of a %zu x %zu matrix: LAPACK returned %d", m, n, info);
    return 0;
}

double
mpq_cholesky(double *a, size_t n)
{
    double lo = 0, hi = 0;

    /* Row-major lower is what LAPACK calls upper. */
    if (LAPACKE_dpotrf_work(LAPACK_COL_MAJOR, 'U', (int)n, a, (int)n))
        return 0;
    for (size_t i = 0; i < n; i++) {
        const double d = a[i * n + i];
        lo = i == 0 || d < lo ? d : lo;
        hi = d > hi ? d : hi;
        for (size_t j = i + 1; j < n; j++)
            a[i * n + j] = 0;
    }
    return hi > 0 ? (lo / hi) * (lo / hi) : 0;
}

void
mpq_solve_lt(const double *l, size_t n, double *x, size_t m)
{
    cblas_dtrsm(CblasRowMajor, CblasLeft, CblasLower, CblasTrans, CblasNonUnit, (int)n,
                (int)m, 1, l, (int)n, x, (int)m);
}
