#include "suite.h"

#include "method/control.h"

#include <math.h>
#include <string.h>

enum { UNITS = 64, TYPES = 4 };

/* Units of equal or unequal size, all with the same four types; scores at random. */
static size_t first[UNITS + 1];
static uint64_t size[UNITS * TYPES];
static double damage[UNITS * TYPES], error[UNITS * TYPES], params[UNITS];
static uint32_t type[UNITS * TYPES], pick[UNITS];
static struct mpq_knap k;
static struct mpq_control c;
static struct mpq_knap_plan p = { .pick = pick };

static const uint64_t bits[TYPES] = { 2, 3, 4, 8 };

static double
score(size_t u)
{
    return 1 + (double)(u * 37 % 64) / 8; /* a permutation of 64 values */
}

static void
build(size_t n, int unequal)
{
    for (size_t u = 0; u < n; u++) {
        params[u] = unequal ? (double)(1000 + u * 129 % 300) : 1000;
        first[u + 1] = first[u] + TYPES;
        for (size_t t = 0; t < TYPES; t++) {
            size_t at = u * TYPES + t;
            size[at] = bits[t] * (uint64_t)params[u];
            error[at] = params[u] * exp2(-2 * (double)bits[t]);
            damage[at] = score(u) * error[at];
            type[at] = (uint32_t)t;
        }
    }
    k = (struct mpq_knap){ n, first, size, damage, 0, 0 };
    c = (struct mpq_control){ &k, error, params, type, TYPES };
}

static int
by_name(const char *name, struct mpq_err *err)
{
    if (strcmp(name, "uniform") == 0)
        return mpq_control_uniform(&c, &p, err);
    if (strcmp(name, "random") == 0)
        return mpq_control_random(&c, 1, &p, err);
    return mpq_control_inverted(&c, &p, err);
}

static const char *const names[] = { "uniform", "random", "inverted" };

START_TEST(every_control_fills_the_budget_to_half_a_percent)
{
    struct mpq_err err = { 0 };

    build(UNITS, 1);
    for (uint64_t budget = mpq_knap_min_size(&k) * 102 / 100;
         budget < mpq_control_most(&c); budget += budget / 37) {
        k.budget = budget;
        ck_assert_int_eq(by_name(names[_i], &err), 0);
        ck_assert_uint_le(p.size, budget);
        ck_assert_double_ge((double)p.size, 0.995 * (double)budget);
    }
    k.budget = mpq_knap_min_size(&k) - 1;
    ck_assert_int_eq(by_name(names[_i], &err), -1);
    ck_assert_int_eq(err.code, MPQ_ENOFIT);
}
END_TEST

START_TEST(uniform_is_one_type_when_that_fills_the_budget)
{
    struct mpq_err err = { 0 };

    build(UNITS, 1);
    for (size_t t = 0; t < TYPES; t++) {
        k.budget = 0;
        for (size_t u = 0; u < UNITS; u++)
            k.budget += size[u * TYPES + t];
        ck_assert_int_eq(mpq_control_uniform(&c, &p, &err), 0);
        for (size_t u = 0; u < UNITS; u++)
            ck_assert_uint_eq(pick[u], t);
    }
}
END_TEST

START_TEST(uniform_spreads_its_steps_over_the_depth)
{
    struct mpq_err err = { 0 };

    build(UNITS, 0);
    for (size_t n = 0; n <= UNITS; n++) { /* n units of 3 bits, the rest of 2 */
        size_t raised = 0;
        k.budget = (2 * UNITS + n) * 1000;
        ck_assert_int_eq(mpq_control_uniform(&c, &p, &err), 0);
        for (size_t u = 0; u < UNITS; u++) {
            raised += pick[u] == 1;
            /* van der Corput's discrepancy: at most log2(n) / 2 + 1 off at any depth */
            double even = (double)n * (double)(u + 1) / UNITS;
            ck_assert_double_le(fabs((double)raised - even), 4);
        }
        ck_assert_uint_eq(raised, n);
    }
}
END_TEST

START_TEST(a_single_unit_and_a_type_that_not_all_take_are_no_trouble)
{
    struct mpq_err err = { 0 };

    build(1, 0);
    k.budget = 3999;
    ck_assert_int_eq(mpq_control_uniform(&c, &p, &err), 0);
    ck_assert_uint_eq(pick[0], 1);
    build(2, 0);
    type[0] = 3; /* unit 0 takes no 2-bit type: 8 bits come first in its list */
    type[3] = 0;
    k.budget = 6000;
    ck_assert_int_eq(mpq_control_uniform(&c, &p, &err), 0);
    ck_assert_uint_eq(p.size, 6000);
}
END_TEST

START_TEST(random_depends_on_its_seed_alone)
{
    struct mpq_err err = { 0 };
    uint32_t one[UNITS];

    build(UNITS, 1);
    k.budget = mpq_knap_min_size(&k) * 3 / 2;
    ck_assert_int_eq(mpq_control_random(&c, 7, &p, &err), 0);
    memcpy(one, pick, sizeof one);
    ck_assert_int_eq(mpq_control_random(&c, 7, &p, &err), 0);
    ck_assert_mem_eq(one, pick, sizeof one);
    ck_assert_int_eq(mpq_control_random(&c, 8, &p, &err), 0);
    ck_assert_mem_ne(one, pick, sizeof one);
}
END_TEST

START_TEST(inverted_gives_the_bits_to_the_least_sensitive)
{
    struct mpq_err err = { 0 };
    uint32_t best[UNITS];
    struct mpq_knap_plan exact = { .pick = best };

    build(UNITS, 0);
    k.budget = 3500 * UNITS;
    ck_assert_int_eq(mpq_knap_exact(&k, &exact, &err), 0);
    ck_assert_int_eq(mpq_control_inverted(&c, &p, &err), 0);
    ck_assert_uint_eq(p.size, exact.size);
    ck_assert_double_gt(p.damage, exact.damage);
    for (size_t u = 0; u < UNITS; u++)
        for (size_t v = 0; v < UNITS; v++) {
            if (score(u) <= score(v))
                continue;
            ck_assert_uint_ge(best[u], best[v]);
            ck_assert_uint_le(pick[u], pick[v]);
        }
}
END_TEST

START_TEST(topk_gives_the_higher_type_to_the_best_scored)
{
    struct mpq_err err = { 0 };

    build(UNITS, 0);
    k.budget = (2 * UNITS + 2 * 10 + 1) * 1000; /* room for 10 at 4 bits, and a half */
    ck_assert_int_eq(mpq_control_topk(&c, 0, 2, &p, &err), 0);
    ck_assert_uint_eq(p.size, (2 * UNITS + 2 * 10) * 1000);
    for (size_t u = 0; u < UNITS; u++) /* scores are 1 + i/8, the best ten from 54 on */
        ck_assert_uint_eq(pick[u], score(u) >= 1 + 54 / 8.0 ? 2 : 0);
    k.budget = (2 * UNITS) * 1000 - 1;
    ck_assert_int_eq(mpq_control_topk(&c, 0, 2, &p, &err), -1);
    ck_assert_int_eq(err.code, MPQ_ENOFIT);
    err.code = 0;
    ck_assert_int_eq(mpq_control_topk(&c, 7, 8, &p, &err), -1);
    ck_assert_int_eq(err.code, MPQ_EUSAGE);
}
END_TEST

START_TEST(what_costs_nothing_is_spent_on_the_types_of_less_error)
{
    struct mpq_err err = { 0 };

    build(4, 0);
    for (size_t i = 0; i < 4 * TYPES; i++) /* two units without any damage */
        damage[i] = i < 2 * TYPES ? 0 : error[i];
    k.budget = 2 * 8000 + 8000 + 3500;
    ck_assert_int_eq(mpq_knap_exact(&k, &p, &err), 0);
    ck_assert_uint_eq(p.size, 2 * 2000 + 2 * 8000);
    mpq_control_spend(&c, &p);
    /* room for 4 and 4 bits, or for 8 and 3; the former has less error */
    ck_assert_uint_eq(p.size, 2 * 4000 + 2 * 8000);
    ck_assert_double_eq(p.damage, error[2 * TYPES + 3] + error[3 * TYPES + 3]);
    ck_assert_uint_eq(pick[0], 2);
    ck_assert_uint_eq(pick[1], 2);
    ck_assert_uint_eq(mpq_control_most(&c), 4 * 8000); /* with room for all */
}
END_TEST

Suite *
mpq_suite(void)
{
    Suite *s = suite_create("control");
    TCase *tc = tcase_create("control");

    tcase_add_loop_test(tc, every_control_fills_the_budget_to_half_a_percent, 0, 3);
    tcase_add_test(tc, uniform_is_one_type_when_that_fills_the_budget);
    tcase_add_test(tc, uniform_spreads_its_steps_over_the_depth);
    tcase_add_test(tc, a_single_unit_and_a_type_that_not_all_take_are_no_trouble);
    tcase_add_test(tc, random_depends_on_its_seed_alone);
    tcase_add_test(tc, inverted_gives_the_bits_to_the_least_sensitive);
    tcase_add_test(tc, topk_gives_the_higher_type_to_the_best_scored);
    tcase_add_test(tc, what_costs_nothing_is_spent_on_the_types_of_less_error);
    suite_add_tcase(s, tc);
    return s;
}
