#include "suite.h"

#include "eval_expect.h"
#include "num/logsum.h"
#include "small.h"

#include <math.h>

static float x[WANT_N], ref[WANT_N];

/* As tests/data/gen_eval.py does it. */
static void
make_logits(void)
{
    uint32_t state = 12345;

    for (size_t i = 0; i < WANT_N; i++)
        x[i] = 8.0f * small_random(&state);
    for (size_t i = 0; i < WANT_N; i++)
        ref[i] = x[i] + small_random(&state);
}

static const size_t widths[] = { 1, 7, 512, 1000, WANT_N };

START_TEST(tiles_of_any_width_give_the_logarithm_of_the_whole_sum)
{
    struct mpq_logsum s;

    make_logits();
    mpq_logsum_start(&s);
    for (size_t i = 0; i < WANT_N; i += widths[_i])
        mpq_logsum_add(&s, x + i, WANT_N - i < widths[_i] ? WANT_N - i : widths[_i],
                       (uint32_t)i);
    ck_assert_double_eq_tol(mpq_logsum_value(&s), want_lse, 1e-7);
}
END_TEST

START_TEST(divergence_is_that_of_numpy)
{
    struct mpq_divergence d;

    make_logits();
    mpq_divergence_start(&d);
    for (size_t i = 0; i < WANT_N; i += widths[_i])
        mpq_divergence_add(&d, x + i, ref + i,
                           WANT_N - i < widths[_i] ? WANT_N - i : widths[_i],
                           (uint32_t)i);
    ck_assert_double_eq_tol(mpq_logsum_value(&d.ref), want_lse_ref, 1e-7);
    ck_assert_double_eq_tol(mpq_divergence_value(&d), want_kl, 1e-6 * want_kl);
    ck_assert_uint_eq(d.ref.at, want_top[0]);
}
END_TEST

START_TEST(divergence_from_itself_is_zero)
{
    struct mpq_divergence d;

    make_logits();
    mpq_divergence_start(&d);
    mpq_divergence_add(&d, x, x, WANT_N, 0);
    ck_assert_double_eq(mpq_divergence_value(&d), 0);
}
END_TEST

START_TEST(large_logits_neither_overflow_nor_vanish)
{
    const float a[] = { -3e4f, 3e4f, 3e4f - 1 }, b[] = { 3e4f, 3e4f, -3e4f };
    struct mpq_divergence d;

    mpq_divergence_start(&d);
    for (uint32_t i = 0; i < 3; i++)
        mpq_divergence_add(&d, a + i, b + i, 1, i);
    ck_assert_double_eq_tol(mpq_logsum_value(&d.x), 3e4 + log(1 + exp(-1)), 1e-6);
    /* half of p is where q is exp(-60000 - ln(1 + 1/e)) */
    ck_assert_double_eq_tol(mpq_divergence_value(&d),
                            0.5 * (6e4) + log(1 + exp(-1)) - log(2), 1e-6);
}
END_TEST

START_TEST(of_equals_the_first_is_the_largest)
{
    const float tie[] = { 1, 5, 5, 2, 5 };
    struct mpq_logsum s;

    mpq_logsum_start(&s);
    mpq_logsum_add(&s, tie, 2, 10);
    mpq_logsum_add(&s, tie + 2, 3, 12);
    ck_assert_uint_eq(s.at, 11);
}
END_TEST

static const float unsound[] = { NAN, INFINITY };

START_TEST(a_logit_that_is_no_number_shows)
{
    struct mpq_logsum s;
    struct mpq_divergence d;
    const float good[] = { 1, 2, 3 }, bad[] = { 1, unsound[_i], 3 };

    mpq_logsum_start(&s);
    mpq_logsum_add(&s, bad, 3, 0);
    mpq_logsum_add(&s, good, 3, 3);
    ck_assert(isnan(mpq_logsum_value(&s)));
    mpq_divergence_start(&d);
    mpq_divergence_add(&d, good, bad, 3, 0);
    ck_assert(isnan(mpq_divergence_value(&d)));
}
END_TEST

START_TEST(top_k_comes_out_in_order)
{
    float values[WANT_K];
    uint32_t ids[WANT_K];
    struct mpq_topk t = { values, ids, WANT_K, 0 };

    make_logits();
    for (size_t i = 0; i < WANT_N; i += widths[_i])
        mpq_topk_add(&t, ref + i, WANT_N - i < widths[_i] ? WANT_N - i : widths[_i],
                     (uint32_t)i);
    ck_assert_uint_eq(t.n, WANT_K);
    for (size_t i = 0; i < WANT_K; i++) {
        ck_assert_uint_eq(ids[i], want_top[i]);
        ck_assert_float_eq(values[i], ref[ids[i]]);
    }
}
END_TEST

START_TEST(top_k_of_less_than_k)
{
    float values[9];
    uint32_t ids[9];
    const float few[] = { 2, 3, 2 };
    struct mpq_topk t = { values, ids, 9, 0 };

    mpq_topk_add(&t, few, 3, 0);
    ck_assert_uint_eq(t.n, 3);
    ck_assert_uint_eq(ids[0], 1);
    ck_assert_uint_eq(ids[1], 0); /* of equals the first */
    ck_assert_uint_eq(ids[2], 2);
}
END_TEST

START_TEST(divergence_of_the_top_is_that_of_numpy_and_below_the_whole)
{
    float logp[WANT_K];
    double logq[WANT_K];

    make_logits();
    for (size_t i = 0; i < WANT_K; i++) {
        logp[i] = (float)((double)ref[want_top[i]] - want_lse_ref);
        logq[i] = (double)x[want_top[i]] - want_lse;
    }
    const double kl = mpq_divergence_topk(logp, logq, WANT_K, want_tail);
    ck_assert_double_eq_tol(kl, want_kl_top, 1e-6);
    ck_assert_double_lt(kl, want_kl);
}
END_TEST

Suite *
mpq_suite(void)
{
    Suite *s = suite_create("logsum");
    TCase *tc = tcase_create("logsum");
    const int n = sizeof widths / sizeof *widths;

    tcase_add_loop_test(tc, tiles_of_any_width_give_the_logarithm_of_the_whole_sum, 0,
                        n);
    tcase_add_loop_test(tc, divergence_is_that_of_numpy, 0, n);
    tcase_add_test(tc, divergence_from_itself_is_zero);
    tcase_add_test(tc, large_logits_neither_overflow_nor_vanish);
    tcase_add_test(tc, of_equals_the_first_is_the_largest);
    tcase_add_loop_test(tc, a_logit_that_is_no_number_shows, 0, 2);
    tcase_add_loop_test(tc, top_k_comes_out_in_order, 0, n);
    tcase_add_test(tc, top_k_of_less_than_k);
    tcase_add_test(tc, divergence_of_the_top_is_that_of_numpy_and_below_the_whole);
    suite_add_tcase(s, tc);
    return s;
}
