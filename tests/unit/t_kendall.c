#include "suite.h"

#include "kendall_expect.h"
#include "num/kendall.h"

#include <math.h>

START_TEST(tau_and_p_are_those_of_scipy)
{
    const double *x = kendall_values;
    struct mpq_kendall got;

    for (int i = 0; i < _i; i++)
        x += 2 * kendall_cases[i].n;
    const size_t n = kendall_cases[_i].n;
    ck_assert_int_eq(mpq_kendall(x, x + n, n, &got), 0);
    ck_assert_double_eq_tol(got.tau, kendall_cases[_i].tau, 1e-14);
    /* sums of up to 2,500 shares, of which the smallest p is 1e-10 of the largest */
    ck_assert_double_eq_tol(got.p, kendall_cases[_i].p, 1e-9 * kendall_cases[_i].p);
    /* the same whichever way round, and turned over */
    struct mpq_kendall back;
    ck_assert_int_eq(mpq_kendall(x + n, x, n, &back), 0);
    ck_assert_double_eq_tol(back.tau, got.tau, 1e-14);
    ck_assert_double_eq_tol(back.p, got.p, 1e-9 * got.p);
}
END_TEST

START_TEST(all_ties_have_no_tau)
{
    const double same[] = { 1, 1, 1 }, up[] = { 1, 2, 3 };
    struct mpq_kendall got;

    ck_assert_int_eq(mpq_kendall(same, up, 3, &got), 0);
    ck_assert(isnan(got.tau) && isnan(got.p));
    ck_assert_int_eq(mpq_kendall(up, same, 3, &got), 0);
    ck_assert(isnan(got.tau) && isnan(got.p));
    for (size_t n = 0; n < 2; n++) {
        ck_assert_int_eq(mpq_kendall(up, up, n, &got), 0);
        ck_assert(isnan(got.tau) && isnan(got.p));
    }
}
END_TEST

Suite *
mpq_suite(void)
{
    Suite *s = suite_create("kendall");
    TCase *tc = tcase_create("kendall");

    tcase_add_loop_test(tc, tau_and_p_are_those_of_scipy, 0,
                        sizeof kendall_cases / sizeof *kendall_cases);
    tcase_add_test(tc, all_ties_have_no_tau);
    suite_add_tcase(s, tc);
    return s;
}
