/* Linear algebra, against its definitions: products by plain loops, eigenpairs by their
 * residuals. */
#include "suite.h"

#include "base/buf.h"
#include "num/eig.h"
#include "num/linalg.h"
#include "num/tridiag.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void
random_weights(float *x, size_t n, uint32_t seed)
{
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525U + 1013904223U;
        x[i] = (float)((seed >> 8) / 16777216.0 - 0.5);
    }
}

/* Rows, columns: within a tile, over its edge, over the depth of a block. */
static const struct {
    size_t rows, cols;
} shapes[] = { { 5, 7 }, { 300, 33 }, { 3, 700 }, { 513, 641 }, { 1, 1 } };

START_TEST(gram_matrices_are_those_of_plain_loops)
{
    const size_t r = shapes[_i].rows, c = shapes[_i].cols;
    float *w = need(r * c, sizeof *w),
          *scratch = need(mpq_gram_scratch(), sizeof *scratch);

    random_weights(w, r * c, 3);
    for (int by_cols = 0; by_cols < 2; by_cols++) {
        const size_t n = by_cols ? c : r, k = by_cols ? r : c;
        const size_t sn = by_cols ? 1 : c, sk = by_cols ? c : 1;
        double *g = need(n * n, sizeof *g);
        if (by_cols)
            mpq_gram_rows(g, w, r, c, scratch);
        else
            mpq_gram_cols(g, w, r, c, scratch);
        for (size_t i = 0; i < n; i += 1 + n / 40)
            for (size_t j = i; j < n; j += 1 + n / 40) {
                double want = 0;
                for (size_t l = 0; l < k; l++)
                    want += (double)w[i * sn + l * sk] * (double)w[j * sn + l * sk];
                /* floats over 256 terms of at most 1/4 */
                ck_assert_double_eq_tol(g[i * n + j], want, 3e-6 * (1 + fabs(want)));
            }
        free(g);
    }
    free(w);
    free(scratch);
}
END_TEST

/* A symmetric matrix [n][n], both triangles, of one of several kinds. */
static double *
symmetric(size_t n, int kind)
{
    double *a = need(n * n, sizeof *a);
    float *w = need((n + 3) * n, sizeof *w);

    random_weights(w, (n + 3) * n, 17);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            double x = 0;
            if (kind == 0) /* a Gram matrix */
                for (size_t l = 0; l < n + 3; l++)
                    x += (double)w[l * n + i] * (double)w[l * n + j];
            else if (kind == 1) /* diagonal, every value twice: clusters */
                x = i == j ? (double)(1 + i / 2) : 0;
            else if (kind == 2) /* of rank 2: a cluster of zeros */
                x = (double)(w[i] * w[j] + w[n + i] * w[n + j]);
            else if (kind == 3) /* tridiagonal already, graded over ten decades */
                x = i == j                     ? pow(10, -10 * (double)i / (double)n)
                    : i + 1 == j || j + 1 == i ? 1e-3
                                               : 0;
            a[i * n + j] = x;
        }
    free(w);
    return a;
}

/* Vectors [first, first + count) of X, rotated. */
static float *
vectors(struct mpq_eig *x, size_t n, size_t first, size_t count)
{
    struct mpq_err err = { 0 };
    float *y = need(count * n, sizeof *y);
    float *scratch = need(mpq_eig_scratch(x, count), sizeof *scratch);

    ck_assert_int_eq(mpq_eig_prepare(x, first, count, &err), 0);
    ck_assert_int_eq(mpq_eig_coords(x, first, count, y, &err), 0);
    mpq_eig_rotate(x, y, count, scratch);
    free(scratch);
    return y;
}

START_TEST(eigenpairs_satisfy_their_equation)
{
    static const size_t sizes[] = { 1, 2, 3, 32, 33, 50, 131, 160 };
    const size_t n = sizes[_i / 4];
    double *a = symmetric(n, _i % 4), *copy = need(n * n, sizeof *copy);
    struct mpq_eig *x = NULL;
    struct mpq_err err = { 0 };

    memcpy(copy, a, n * n * sizeof *a);
    ck_assert_int_eq(mpq_eig_new(&x, a, n, 1, &err), 0);
    const double *value = mpq_eig_values(x);
    const double norm = fmax(fabs(value[0]), fabs(value[n - 1]));
    float *v = vectors(x, n, 0, n);
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            ck_assert_double_ge(value[i - 1], value[i]);
        double residual = 0;
        for (size_t r = 0; r < n; r++) {
            double sum = -value[i] * (double)v[i * n + r];
            for (size_t c = 0; c < n; c++)
                sum += copy[r * n + c] * (double)v[i * n + c];
            residual += sum * sum;
        }
        ck_assert_double_le(sqrt(residual), 3e-6 * norm); /* floats, n terms */
        for (size_t j = 0; j <= i; j++) {
            double dot = 0;
            for (size_t c = 0; c < n; c++)
                dot += (double)v[i * n + c] * (double)v[j * n + c];
            ck_assert_double_eq_tol(dot, i == j ? 1 : 0, 3e-6);
        }
    }
    free(v);
    free(copy);
    mpq_eig_free(x);
}
END_TEST

START_TEST(eigenvalues_alone_are_the_same)
{
    struct mpq_eig *x = NULL, *y = NULL;
    struct mpq_err err = { 0 };

    ck_assert_int_eq(mpq_eig_new(&x, symmetric(57, 0), 57, 1, &err), 0);
    ck_assert_int_eq(mpq_eig_new(&y, symmetric(57, 0), 57, 0, &err), 0);
    for (size_t i = 0; i < 57; i++)
        ck_assert_double_eq(mpq_eig_values(x)[i], mpq_eig_values(y)[i]);
    mpq_eig_free(x);
    mpq_eig_free(y);
}
END_TEST

START_TEST(part_of_the_vectors_is_part_of_all)
{
    struct mpq_eig *x = NULL;
    struct mpq_err err = { 0 };

    ck_assert_int_eq(mpq_eig_new(&x, symmetric(67, 0), 67, 1, &err), 0);
    float *all = vectors(x, 67, 0, 67), *some = vectors(x, 67, 20, 30);
    for (size_t i = 0; i < 30; i++) {
        double dot = 0;
        for (size_t c = 0; c < 67; c++)
            dot += (double)some[i * 67 + c] * (double)all[(20 + i) * 67 + c];
        ck_assert_double_eq_tol(fabs(dot), 1, 1e-5);
    }
    free(all);
    free(some);
    mpq_eig_free(x);
}
END_TEST

START_TEST(turning_back_undoes_turning)
{
    const size_t n = 131, count = 19;
    struct mpq_eig *x = NULL;
    struct mpq_err err = { 0 };
    float *y = need(count * n, sizeof *y), *was = need(count * n, sizeof *was);

    ck_assert_int_eq(mpq_eig_new(&x, symmetric(n, 0), n, 1, &err), 0);
    float *scratch = need(mpq_eig_scratch(x, count), sizeof *scratch);
    random_weights(y, count * n, 8);
    memcpy(was, y, count * n * sizeof *y);
    mpq_eig_rotate(x, y, count, scratch);
    mpq_eig_unrotate(x, y, count, scratch);
    for (size_t i = 0; i < count * n; i++)
        ck_assert_double_eq_tol((double)y[i], (double)was[i], 2e-6);
    free(y);
    free(was);
    free(scratch);
    mpq_eig_free(x);
}
END_TEST

START_TEST(vectors_of_a_known_tridiagonal_matrix)
{
    /* Diagonal 0, off-diagonal 1/2: values cos(k pi / (n + 1)), vectors sines. */
    enum { N = 40 };
    const double step = acos(-1) / (N + 1);
    double d[N] = { 0 }, e[N], lambda[3];
    float y[3 * N];
    double *scratch = need(mpq_tridiag_scratch(N), sizeof *scratch);

    for (int i = 0; i < N; i++)
        e[i] = 0.5;
    for (int k = 0; k < 3; k++)
        lambda[k] = cos(step * (2 * k + 1)) + 1e-13;
    ck_assert_double_le(mpq_tridiag_vectors(N, d, e, lambda, 3, y, scratch), 1e-12);
    for (int k = 0; k < 3; k++) {
        double dot = 0;
        for (int i = 0; i < N; i++)
            dot += (double)y[k * N + i] * sin(step * (2 * k + 1) * (i + 1)) *
                   sqrt(2.0 / (N + 1));
        ck_assert_double_eq_tol(fabs(dot), 1, 1e-6);
    }
    free(scratch);
}
END_TEST

START_TEST(cholesky_tells_what_is_not_definite)
{
    double good[] = { 4, 2, 2, 5 }, singular[] = { 1, 1, 1, 1 }, none[] = { 0 };
    double x[] = { 2, 2 };

    ck_assert_double_eq_tol(mpq_cholesky(good, 2), 1, 1e-15); /* L = 2 0; 1 2 */
    ck_assert_double_eq_tol(good[2], 1, 1e-15);
    ck_assert_double_eq(good[1], 0);
    mpq_solve_lt(good, 2, x, 1); /* L^T x = 2 2: x = 1/2 1 */
    ck_assert_double_eq_tol(x[0], 0.5, 1e-15);
    ck_assert_double_eq_tol(x[1], 1, 1e-15);
    ck_assert_double_eq(mpq_cholesky(singular, 2), 0);
    ck_assert_double_eq(mpq_cholesky(none, 1), 0);
}
END_TEST

START_TEST(qr_and_svd_give_the_matrix_back)
{
    const size_t m = 9, n = 4;
    struct mpq_err err = { 0 };
    double a[36], q[36], r[16], s[4], u[36], vt[16], c[36];
    float w[36];

    random_weights(w, 36, 4);
    for (int i = 0; i < 36; i++)
        a[i] = q[i] = c[i] = (double)w[i];
    ck_assert_int_eq(mpq_qr(q, m, n, r, &err), 0);
    ck_assert_int_eq(mpq_svd(c, m, n, s, u, vt, &err), 0);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) {
            double x = 0, y = 0;
            for (size_t l = 0; l < n; l++) {
                x += q[i * n + l] * r[l * n + j];
                y += u[i * n + l] * s[l] * vt[l * n + j];
            }
            ck_assert_double_eq_tol(x, a[i * n + j], 1e-14);
            ck_assert_double_eq_tol(y, a[i * n + j], 1e-14);
        }
}
END_TEST

START_TEST(double_products_are_symmetric)
{
    const double a[] = { 1, 2, 3, 4, 5, 6 };
    double g[4];

    mpq_gram_d(g, a, 2, 3);
    ck_assert_double_eq(g[0], 14);
    ck_assert_double_eq(g[1], 32);
    ck_assert_double_eq(g[2], 32);
    ck_assert_double_eq(g[3], 77);
}
END_TEST

START_TEST(products_add_to_what_is_there)
{
    const size_t m = shapes[_i].rows, n = shapes[_i].cols, k = 5;
    float *a = need(m * k, sizeof *a), *b = need(n * k, sizeof *b);
    float *was = need(m * n, sizeof *was), *c = need(m * n, sizeof *c);
    float *row = need(n, sizeof *row); /* the first alone */

    random_weights(a, m * k, 5);
    random_weights(b, n * k, 6);
    random_weights(was, m * n, 7);
    memcpy(c, was, m * n * sizeof *c);
    memcpy(row, was, n * sizeof *row);
    mpq_gemm_add_f(0, 1, m, n, k, 3, a, k, b, k, 2, c, n);
    mpq_gemm_add_f(0, 1, 1, n, k, 3, a, k, b, k, 2, row, n);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) {
            double want = 2 * (double)was[i * n + j];
            for (size_t l = 0; l < k; l++)
                want += 3 * (double)a[i * k + l] * (double)b[j * k + l];
            ck_assert_double_eq_tol((double)c[i * n + j], want, 2e-6);
            if (i == 0)
                ck_assert_double_eq_tol((double)row[j], want, 2e-6);
        }
    free(a);
    free(b);
    free(was);
    free(c);
    free(row);
}
END_TEST

Suite *
mpq_suite(void)
{
    Suite *s = suite_create("linalg");
    TCase *tc = tcase_create("linalg");

    if (mpq_linalg_init(1, NULL) < 0)
        abort();
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, gram_matrices_are_those_of_plain_loops, 0,
                        sizeof shapes / sizeof *shapes);
    tcase_add_loop_test(tc, eigenpairs_satisfy_their_equation, 0, 32);
    tcase_add_test(tc, eigenvalues_alone_are_the_same);
    tcase_add_test(tc, part_of_the_vectors_is_part_of_all);
    tcase_add_test(tc, turning_back_undoes_turning);
    tcase_add_test(tc, vectors_of_a_known_tridiagonal_matrix);
    tcase_add_test(tc, cholesky_tells_what_is_not_definite);
    tcase_add_test(tc, qr_and_svd_give_the_matrix_back);
    tcase_add_test(tc, double_products_are_symmetric);
    tcase_add_loop_test(tc, products_add_to_what_is_there, 0,
                        sizeof shapes / sizeof *shapes);
    suite_add_tcase(s, tc);
    return s;
}
