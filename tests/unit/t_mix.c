/* Mixtures: by laws, and the simplex optimum against a fine search of the simplex. */
#include "method/mix.h"

#include "suite.h"

#include <math.h>
#include <stdlib.h>

static double
next(void)
{
    static uint32_t state = 5;
    state = state * 1664525u + 1013904223u;
    return (double)(state >> 8) / 16777216.0;
}

START_TEST(the_grid_has_every_point_once)
{
    struct mpq_err err = { 0 };
    double *p;
    size_t n;

    ck_assert_int_eq(mpq_mix_grid(2, 4, 100, &p, &n, &err), 0);
    ck_assert_uint_eq(n, 5); /* the paper's: 1, .75, .5, .25, 0 */
    for (size_t i = 0; i < n; i++) {
        ck_assert_double_eq(p[2 * i], 1 - 0.25 * (double)i);
        ck_assert_double_eq(p[2 * i] + p[2 * i + 1], 1);
    }
    free(p);
    ck_assert_int_eq(mpq_mix_grid(4, 6, 100, &p, &n, &err), 0);
    ck_assert_uint_eq(n, 84); /* 9 over 3 */
    for (size_t i = 0; i < n; i++) {
        double sum = 0;
        for (size_t k = 0; k < 4; k++)
            sum += p[4 * i + k];
        ck_assert_double_eq_tol(sum, 1, 1e-12);
        for (size_t j = 0; j < i; j++) {
            double d = 0;
            for (size_t k = 0; k < 4; k++)
                d += fabs(p[4 * i + k] - p[4 * j + k]);
            ck_assert_double_gt(d, 0.1);
        }
    }
    free(p);
    ck_assert_int_eq(mpq_mix_grid(1, 4, 100, &p, &n, &err), 0);
    ck_assert_uint_eq(n, 1);
    free(p);
    ck_assert_int_eq(mpq_mix_grid(9, 50, 100000, &p, &n, &err), -1);
}
END_TEST

START_TEST(no_point_of_a_fine_grid_is_better_than_the_best)
{
    enum { S = 4, N = 9 };
    struct mpq_err err = { 0 };
    double h[S * N], t[N], shares[S], mix[N], *p;
    size_t n;

    for (size_t i = 0; i < S * N; i++)
        h[i] = next() * next();
    for (size_t i = 0; i < N; i++)
        t[i] = _i % 3 == 0 ? next() : 0.3 * h[i] + 0.5 * h[2 * N + i] + 0.05 * next();
    ck_assert_int_eq(mpq_mix_best(h, S, N, t, shares, &err), 0);
    double sum = 0;
    for (size_t s = 0; s < S; s++) {
        ck_assert_double_ge(shares[s], 0);
        sum += shares[s];
    }
    ck_assert_double_eq_tol(sum, 1, 1e-12);
    mpq_mix_trace(h, S, N, shares, mix);
    const double best = mpq_cosine(mix, t, N);
    double found = 0;
    ck_assert_int_eq(mpq_mix_grid(S, 40, 20000, &p, &n, &err), 0);
    for (size_t i = 0; i < n; i++) {
        mpq_mix_trace(h, S, N, p + S * i, mix);
        const double c = mpq_cosine(mix, t, N);
        found = c > found ? c : found;
    }
    ck_assert_double_ge(best, found - 1e-12);
    ck_assert_double_le(best, found + 2e-3);
    free(p);
}
END_TEST

START_TEST(a_target_among_the_sources_is_chosen_alone)
{
    struct mpq_err err = { 0 };
    const double h[3 * 3] = { 1, 2, 3, 3, 2, 1, 1, 0, 0 }, t[3] = { 6, 4, 2 };
    double shares[3];

    ck_assert_int_eq(mpq_mix_best(h, 3, 3, t, shares, &err), 0);
    ck_assert_double_eq_tol(shares[1], 1, 1e-9);
}
END_TEST

START_TEST(targets_count_alike_whatever_their_size)
{
    const double h[2 * 2] = { 100, 0, 0, 1 };
    double t[2];

    mpq_mix_target(h, 2, 2, t);
    ck_assert_double_eq(t[0], 0.5);
    ck_assert_double_eq(t[1], 0.5);
}
END_TEST

START_TEST(tokens_add_up)
{
    const double shares[3] = { 1.0 / 3, 1.0 / 3, 1.0 / 3 };
    uint64_t n[3];

    mpq_mix_tokens(shares, 3, 1000, n);
    ck_assert_uint_eq(n[0] + n[1] + n[2], 1000);
    for (int i = 0; i < 3; i++)
        ck_assert(n[i] == 333 || n[i] == 334);
    mpq_mix_tokens((const double[]){ 0, 1, 0 }, 3, 7, n);
    ck_assert_uint_eq(n[1], 7);
}
END_TEST

Suite *
mpq_suite(void)
{
    Suite *s = suite_create("mix");
    TCase *tc = tcase_create("laws");

    tcase_add_test(tc, the_grid_has_every_point_once);
    tcase_add_loop_test(tc, no_point_of_a_fine_grid_is_better_than_the_best, 0, 12);
    tcase_add_test(tc, a_target_among_the_sources_is_chosen_alone);
    tcase_add_test(tc, targets_count_alike_whatever_their_size);
    tcase_add_test(tc, tokens_add_up);
    suite_add_tcase(s, tc);
    return s;
}
