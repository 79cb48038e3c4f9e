/* Moments, the second pass and order statistics, against values worked out by hand and
 * by numpy in double (tests/data/gen_nsds.py). */
#include "suite.h"

#include "nsds_expect.h"
#include "num/stat.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

/* lcg() of gen_nsds.py. */
static void
random_weights(float *x, size_t n, uint32_t seed)
{
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525U + 1013904223U;
        const double u = (seed >> 8) / 16777216.0 - 0.5;
        x[i] = (float)(u * u * u + 0.25 * u);
    }
}

static void
near(double got, double want, double relative)
{
    ck_assert_double_eq_tol(got, want, relative * fabs(want) + 1e-300);
}

START_TEST(moments_of_four_values_are_those_by_hand)
{
    const float x[] = { 1, 2, 3, 10 }; /* mean 4; deviations -3 -2 -1 6 */
    struct mpq_moments m = { 0 };

    mpq_moments_add(&m, x, 4);
    ck_assert_uint_eq(m.n, 4);
    near(m.mean, 4, 1e-15);
    near(mpq_moments_var(&m), 12.5, 1e-15);
    near(mpq_moments_skew(&m), 45 / pow(12.5, 1.5),
         1e-14); /* (-27 - 8 - 1 + 216) / 4 */
    near(mpq_moments_kurt(&m), 348.5 / 156.25 - 3, 1e-13);
    ck_assert_float_eq(m.min, 1);
    ck_assert_float_eq(m.max, 10);
}
END_TEST

START_TEST(all_statistics_agree_with_numpy)
{
    static const double want[] = WANT_STAT;
    enum { N = 5003 };
    float *x = malloc(N * sizeof *x);
    struct mpq_moments m = { 0 };
    struct mpq_tally_plan plan;
    struct mpq_tally t = { 0 };

    random_weights(x, N, 31);
    mpq_moments_add(&m, x, N);
    near(m.mean, want[0], 1e-12);
    near(mpq_moments_var(&m), want[1], 1e-13);
    near(mpq_moments_skew(&m), want[2], 1e-10);
    near(mpq_moments_kurt(&m), want[3], 1e-12);
    near((double)m.min, want[4], 1e-14);
    near((double)m.max, want[5], 1e-14);
    mpq_tally_plan(&plan, &m, MPQ_TALLY_ZSHARE | MPQ_TALLY_ENTROPY | MPQ_TALLY_RTN);
    mpq_tally_add(&t, &plan, x, N);
    near(mpq_tally_zshare(&t, &plan), want[6], 1e-14);
    near(mpq_tally_entropy(&t, &plan), want[7], 1e-12);
    for (int i = 0; i < MPQ_N_RTN; i++) /* squares are summed in float: 1e-6 */
        near(mpq_tally_mse(&t, &plan, i), want[8 + i], 2e-6);
    free(x);
}
END_TEST

START_TEST(moments_do_not_cancel_far_from_zero)
{
    enum { N = 4096 };
    static float x[N];
    struct mpq_moments m = { 0 };

    for (int i = 0; i < N; i++) /* 4,194,304 +- 0.5: exact floats */
        x[i] = 4194304.0F + (i % 2 ? 0.5F : -0.5F);
    mpq_moments_add(&m, x, N);
    near(mpq_moments_var(&m), 0.25, 1e-12);
    near(mpq_moments_kurt(&m), -2, 1e-12);
}
END_TEST

START_TEST(power_sums_give_the_same_kurtosis)
{
    enum { N = 5003 };
    static float x[N];
    double sums[4] = { 0 };

    random_weights(x, N, 31);
    for (int i = 0; i < N; i++)
        x[i] += 0.3F; /* the mean three times the spread */
    mpq_power_sums(x, 1000, sums);
    mpq_power_sums(x + 1000, N - 1000, sums);
    near(mpq_power_kurt(sums, N), mpq_kurt(x, N), 1e-10);
    sums[0] = sums[1] = sums[2] = sums[3] = 0;
    ck_assert_double_eq(mpq_power_kurt(sums, N), -3);
}
END_TEST

START_TEST(merged_parts_give_the_whole)
{
    enum { N = 7001 };
    static float x[N];
    static const size_t cuts[] = { 0, 1, 30, 33, 1024, 1025, 4000, 7001 };
    struct mpq_moments all = { 0 }, sum = { 0 };

    random_weights(x, N, 5);
    mpq_moments_add(&all, x, N);
    for (size_t i = 0; i + 1 < sizeof cuts / sizeof *cuts; i++) {
        struct mpq_moments part = { 0 };
        mpq_moments_add(&part, x + cuts[i], cuts[i + 1] - cuts[i]);
        mpq_moments_merge(&sum, &part);
    }
    ck_assert_uint_eq(sum.n, all.n);
    near(sum.mean, all.mean, 1e-11);
    near(sum.m2, all.m2, 1e-13);
    near(sum.m3, all.m3, 1e-10);
    near(sum.m4, all.m4, 1e-13);
    ck_assert_float_eq(sum.min, all.min);
    ck_assert_float_eq(sum.max, all.max);
}
END_TEST

START_TEST(a_constant_has_no_spread)
{
    float x[1500];
    struct mpq_moments m = { 0 };
    struct mpq_tally_plan plan;
    struct mpq_tally t = { 0 };

    for (int i = 0; i < 1500; i++)
        x[i] = _i ? 0.1F : 0;
    mpq_moments_add(&m, x, 1500);
    ck_assert_double_eq(mpq_moments_var(&m), 0);
    ck_assert_double_eq(mpq_moments_skew(&m), 0);
    ck_assert_double_eq(mpq_moments_kurt(&m), -3); /* 0/0 = 0, less 3 */
    mpq_tally_plan(&plan, &m, 7);
    mpq_tally_add(&t, &plan, x, 1500);
    ck_assert_double_eq(mpq_tally_zshare(&t, &plan), 0);
    near(mpq_tally_entropy(&t, &plan), log(1500) / 1500, 1e-13);
    for (int i = 0; i < MPQ_N_RTN; i++) /* every value lies on the last step */
        ck_assert_double_le(mpq_tally_mse(&t, &plan, i), 1e-12);
}
END_TEST

START_TEST(empty_and_single_arrays_are_fine)
{
    const float one = -3;
    struct mpq_moments m = { 0 };
    struct mpq_tally_plan plan;
    struct mpq_tally t = { 0 };

    mpq_moments_add(&m, &one, 0);
    ck_assert_double_eq(mpq_moments_var(&m), 0);
    mpq_moments_add(&m, &one, 1);
    ck_assert_double_eq(m.mean, -3);
    ck_assert_double_eq(mpq_kurt(&one, 1), -3);
    mpq_tally_plan(&plan, &m, 7);
    mpq_tally_add(&t, &plan, &one, 1);
    ck_assert_double_eq(mpq_tally_entropy(&t, &plan), 0);
}
END_TEST

START_TEST(rounding_is_symmetric_and_half_to_even)
{
    const float x[] = { 7, -7, 0.5F, 1.5F, 2.25F, -0.25F }; /* 4 bits: steps of 1 */
    struct mpq_moments m = { 0 };
    struct mpq_tally_plan plan;
    struct mpq_tally t = { 0 };

    mpq_moments_add(&m, x, 6);
    mpq_tally_plan(&plan, &m, MPQ_TALLY_RTN);
    mpq_tally_add(&t, &plan, x, 6);
    near(mpq_tally_mse(&t, &plan, 2), (0.25 + 0.25 + 0.0625 + 0.0625) / 6, 1e-6);
}
END_TEST

START_TEST(a_wide_range_of_weights_leaves_the_entropy_finite)
{
    const float x[] = { 3e38F, -3e38F, 0, 1, 2, 3, 4, 5, 6, 7, 8 };
    struct mpq_moments m = { 0 };
    struct mpq_tally_plan plan;
    struct mpq_tally t = { 0 };

    mpq_moments_add(&m, x, 11);
    mpq_tally_plan(&plan, &m, 7);
    mpq_tally_add(&t, &plan, x, 11);
    near(mpq_tally_entropy(&t, &plan) + 1, 1, 1e-12); /* all mass on one weight */
    ck_assert(isfinite(mpq_moments_kurt(&m)));
}
END_TEST

START_TEST(share_outside_counts_strictly)
{
    /* mean 0, sd 1: the four at +-1 are not outside. */
    const float x[] = { 1, -1, 1, -1 };
    struct mpq_moments m = { 0 };
    struct mpq_tally_plan plan;
    struct mpq_tally t = { 0 };

    mpq_moments_add(&m, x, 4);
    mpq_tally_plan(&plan, &m, MPQ_TALLY_ZSHARE);
    mpq_tally_add(&t, &plan, x, 4);
    ck_assert_double_eq(mpq_tally_zshare(&t, &plan), 0);
}
END_TEST

START_TEST(median_and_mad_are_those_by_hand)
{
    double odd[] = { 5, 1, 3 }, even[] = { 4, 1, 3, 10 };
    const double x[] = { 1, 2, 3, 4, 100 }; /* median 3, deviations 2 1 0 1 97: MAD 1 */
    double z[5];

    ck_assert_double_eq(mpq_median(odd, 3), 3);
    ck_assert_double_eq(mpq_median(even, 4), 3.5);
    ck_assert_int_eq(mpq_mad_z(x, 5, 2, z), 0);
    ck_assert_double_eq(z[0], -1);
    ck_assert_double_eq(z[4], 48.5);
}
END_TEST

START_TEST(a_mad_of_zero_gives_z_of_zero)
{
    const double x[] = { 7, 7, 7, 9 };
    double z[4] = { 1, 1, 1, 1 };

    ck_assert_int_eq(mpq_mad_z(x, 4, 1.4826, z), 0);
    for (int i = 0; i < 4; i++)
        ck_assert_double_eq(z[i], 0);
    ck_assert_int_eq(mpq_mad_z(x, 0, 1, z), 0);
}
END_TEST

START_TEST(softplus_neither_overflows_nor_vanishes)
{
    near(mpq_softplus(0), log(2), 1e-15);
    near(mpq_softplus(1000), 1000, 1e-15);
    near(mpq_softplus(-50), exp(-50), 1e-14);
}
END_TEST

Suite *
mpq_suite(void)
{
    Suite *s = suite_create("stat");
    TCase *tc = tcase_create("stat");

    tcase_add_test(tc, moments_of_four_values_are_those_by_hand);
    tcase_add_test(tc, all_statistics_agree_with_numpy);
    tcase_add_test(tc, moments_do_not_cancel_far_from_zero);
    tcase_add_test(tc, power_sums_give_the_same_kurtosis);
    tcase_add_test(tc, merged_parts_give_the_whole);
    tcase_add_loop_test(tc, a_constant_has_no_spread, 0, 2);
    tcase_add_test(tc, empty_and_single_arrays_are_fine);
    tcase_add_test(tc, rounding_is_symmetric_and_half_to_even);
    tcase_add_test(tc, a_wide_range_of_weights_leaves_the_entropy_finite);
    tcase_add_test(tc, share_outside_counts_strictly);
    tcase_add_test(tc, median_and_mad_are_those_by_hand);
    tcase_add_test(tc, a_mad_of_zero_gives_z_of_zero);
    tcase_add_test(tc, softplus_neither_overflows_nor_vanishes);
    suite_add_tcase(s, tc);
    return s;
}
