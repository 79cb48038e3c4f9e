/* Factors of types from plans: values of a plain solver (Python, Gauss), laws, and what
 * must be refused. */
#include "method/refine.h"

#include "suite.h"

#include <math.h>
#include <string.h>

enum { K = 2, N = 3 };

static const struct mpq_type types[N] = { { .id = MPQ_Q2_K },
                                          { .id = MPQ_Q4_K },
                                          { .id = MPQ_Q8_0 } };
static const char *const plans[K] = { "a.plan=1", "b.plan=2" };

static int
fit(const double d[K * N], const double total[K], size_t n_plans, double factor[N],
    double *mean, struct mpq_err *err)
{
    const struct mpq_refine in = { n_plans, N, d, total, plans, types };

    *err = (struct mpq_err){ 0 };
    return mpq_refine(&in, factor, mean, err);
}

START_TEST(one_plan_gives_one_factor)
{
    const double d[K * N] = { 3, 1, 0 }, total[K] = { 6 };
    double factor[N], mean;
    struct mpq_err err;

    ck_assert_msg(fit(d, total, 1, factor, &mean, &err) == 0, "%s", err.text);
    ck_assert_double_eq_tol(mean, 1.5, 1e-14);
    for (size_t i = 0; i < N; i++)
        ck_assert_double_eq_tol(factor[i], 1.5, 1e-14);
}
END_TEST

START_TEST(two_plans_are_least_squares)
{
    static const double want[N] = { 1.6911804911695365, 0.8592030257564872,
                                    0.649029585959911 };
    const double d[K * N] = { 3, 1, 0, 0, 2, 2 }, total[K] = { 6, 3 };
    double factor[N], mean;
    struct mpq_err err;

    ck_assert_msg(fit(d, total, 2, factor, &mean, &err) == 0, "%s", err.text);
    ck_assert_double_eq_tol(mean, sqrt(1.125), 1e-14);
    for (size_t i = 0; i < N; i++)
        ck_assert_double_eq_tol(factor[i], want[i], 1e-12);
}
END_TEST

START_TEST(units_of_the_damages_do_not_matter)
{
    const double d[K * N] = { 3e-90, 1e-90, 0, 0, 2e-90, 2e-90 },
                       total[K] = { 6e9, 3e9 };
    double factor[N], mean;
    struct mpq_err err;

    ck_assert_msg(fit(d, total, 2, factor, &mean, &err) == 0, "%s", err.text);
    ck_assert_double_eq_tol(factor[0] / 1.6911804911695365e99, 1, 1e-10);
}
END_TEST

static const struct {
    double d[K * N], total[K];
    size_t n_plans;
    const char *says;
} bad[] = {
    /* the squares would make of q4_k 3 times less than nothing */
    { { 0.9, 0, 0, 0.6, 0.1, 0 },
      { 0.9, 0.1 },
      2,
      "the plans contradict each other: by them q4_k would lose -1.12 times its" },
    { { 1, 0, 0, 0, 1, 0 },
      { 1, 1000 },
      2,
      "a.plan=1: lost 1 times its damages, the plans on the mean 31.6 times theirs" },
    { { 1, 0, 0, 0, 1, 0 }, { 1e99, 1e-99 }, 2, "they contradict each other" },
    { { 1e-90, 0, 0 },
      { 1e99 },
      1,
      "a.plan=1: a loss of 1e+99 where the damages come" },
    { { 1e-300, 0, 0 }, { 1e100 }, 1, "to 1e-300" },
    { { 1e100, 0, 0 }, { 1e-300 }, 1, "a loss of 1e-300" },
};

START_TEST(plans_that_contradict_each_other_are_refused)
{
    double factor[N], mean;
    struct mpq_err err;

    ck_assert_int_eq(
        fit(bad[_i].d, bad[_i].total, bad[_i].n_plans, factor, &mean, &err), -1);
    ck_assert_int_eq(err.code, MPQ_EDATA);
    ck_assert_msg(strstr(err.text, bad[_i].says) != NULL, "%s", err.text);
}
END_TEST

START_TEST(no_type_is_free)
{
    struct mpq_err err;
    double factor[N], mean;
    int done = 0;

    for (int i = -40; i <= 40; i++)
        for (int j = 0; j <= 20; j++) {
            const double d[K * N] = { 1, 0.05 * j, 0, 0.05 * (20 - j), 1, 0.1 };
            const double total[K] = { 1, pow(10, 0.05 * i) };
            if (fit(d, total, 2, factor, &mean, &err) < 0)
                continue;
            done++;
            for (size_t t = 0; t < N; t++) {
                ck_assert_double_ge(factor[t], 0.0999 * mean);
                ck_assert_double_le(factor[t], 10.001 * mean);
            }
        }
    ck_assert_int_gt(done, 300);
}
END_TEST

Suite *
mpq_suite(void)
{
    Suite *s = suite_create("refine");
    TCase *tc = tcase_create("factors");

    tcase_add_test(tc, one_plan_gives_one_factor);
    tcase_add_test(tc, two_plans_are_least_squares);
    tcase_add_test(tc, units_of_the_damages_do_not_matter);
    tcase_add_loop_test(tc, plans_that_contradict_each_other_are_refused, 0,
                        sizeof bad / sizeof *bad);
    tcase_add_test(tc, no_type_is_free);
    suite_add_tcase(s, tc);
    return s;
}
