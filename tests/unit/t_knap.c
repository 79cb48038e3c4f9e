#include "suite.h"

#include "method/knap.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_UNITS = 1000, MAX_CHOICES = 12 };

/* An instance with room of its own. */
static size_t first[MAX_UNITS + 1];
static uint64_t size[MAX_UNITS * MAX_CHOICES];
static double damage[MAX_UNITS * MAX_CHOICES];
static uint32_t pick[MAX_UNITS];

/* splitmix64, as in tests/data/gen_knap.py */
static uint64_t
next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static uint64_t
below(uint64_t *state, uint64_t n)
{
    return next_random(state) % n;
}

static const uint64_t bits[MAX_CHOICES] = { 9,  11, 14, 17, 18, 20,
                                            22, 24, 26, 34, 64, 128 };

static void
choice(uint64_t *r, unsigned family, uint64_t shape, uint64_t score, size_t c,
       size_t at)
{
    switch (family) {
    case 0:
        size[at] = 1 + below(r, 100000);
        damage[at] = (double)below(r, 1000000);
        break;
    case 1:
        size[at] = shape * bits[c];
        damage[at] = (double)((score * shape * 1000) >> (bits[c] / 4));
        break;
    case 2:
        size[at] = 1 + below(r, 50000);
        damage[at] = 60000 - (double)size[at] + (double)below(r, 100);
        break;
    case 3:
    case 4:
        size[at] = shape * bits[c];
        damage[at] = (double)(shape * (2000 / bits[c]));
        break;
    default:
        size[at] = 100 * (1 + below(r, 9));
        damage[at] = 10 * (double)below(r, 9);
    }
}

/* The instance of gen_knap.py's instance(SEED). */
static struct mpq_knap
instance(uint64_t seed)
{
    uint64_t r = seed, shapes[7], low = 0, high = 0;
    unsigned family = (unsigned)(seed % 6);
    size_t n = 2 + below(&r, 29), k = 1 + below(&r, 12);

    if (family == 3 || family == 4)
        n = 2 + n / 6;
    for (size_t i = 0; i < 7; i++)
        shapes[i] = (1 + below(&r, 64)) * 32;
    for (size_t u = 0; u < n; u++) {
        if (family == 5)
            k = 1 + below(&r, 12);
        uint64_t shape = family == 3 ? 320 : shapes[below(&r, 7)];
        uint64_t score = family == 3 || family == 4 ? 1000 : 1 + below(&r, 5000);
        uint64_t least = UINT64_MAX, most = 0;
        first[u + 1] = first[u] + k;
        for (size_t c = 0; c < k; c++) {
            size_t at = first[u] + c;
            choice(&r, family, shape, score, c, at);
            least = size[at] < least ? size[at] : least;
            most = size[at] > most ? size[at] : most;
        }
        low += least;
        high += most;
    }
    return (struct mpq_knap){
        n, first, size, damage, low + (high - low) * below(&r, 101) / 100, 0
    };
}

/* Checks what every plan must be, whoever made it. */
static void
check_plan(const struct mpq_knap *k, const struct mpq_knap_plan *p)
{
    uint64_t sum = 0;
    double total = 0;

    for (size_t u = 0; u < k->n_units; u++) {
        ck_assert_uint_lt(p->pick[u], k->first[u + 1] - k->first[u]);
        sum += k->size[k->first[u] + p->pick[u]];
        total += k->damage[k->first[u] + p->pick[u]];
    }
    ck_assert_uint_le(sum, k->budget);
    ck_assert_uint_eq(sum, p->size);
    ck_assert_double_eq(total, p->damage);
    ck_assert_double_le(p->bound, p->damage);
}

START_TEST(a_thousand_optima_are_those_that_glpk_found)
{
    struct mpq_err err = { 0 };
    char line[256];
    size_t n = 0;
    FILE *f = fopen("tests/data/knap.tsv", "r");

    ck_assert_ptr_nonnull(f);
    while (fgets(line, sizeof line, f)) {
        unsigned long long seed, units, budget, want;
        if (line[0] == '#')
            continue;
        ck_assert_int_eq(
            sscanf(line, "%llu %llu %llu %llu", &seed, &units, &budget, &want), 4);
        struct mpq_knap k = instance(seed);
        struct mpq_knap_plan p = { .pick = pick };
        ck_assert_uint_eq(k.n_units, units);
        ck_assert_uint_eq(k.budget, budget);
        ck_assert_int_eq(mpq_knap_exact(&k, &p, &err), 0);
        check_plan(&k, &p);
        ck_assert_int_eq(p.optimal, 1);
        ck_assert_msg(p.damage == (double)want, "seed %llu: %.17g, glpk %llu", seed,
                      p.damage, want);
        n++;
    }
    fclose(f);
    ck_assert_uint_eq(n, 1000);
}
END_TEST

/* Least damage by trying everything. */
static double
brute(const struct mpq_knap *k, size_t u, uint64_t used, double so_far)
{
    double best = INFINITY;

    if (used > k->budget)
        return INFINITY;
    if (u == k->n_units)
        return so_far;
    for (size_t c = k->first[u]; c < k->first[u + 1]; c++)
        best = fmin(best, brute(k, u + 1, used + k->size[c], so_far + k->damage[c]));
    return best;
}

START_TEST(small_instances_with_real_damages_equal_brute_force)
{
    struct mpq_err err = { 0 };
    uint64_t r = 7;

    for (int round = 0; round < 3000; round++) {
        struct mpq_knap k = { 1 + below(&r, 5), first, size, damage, 0, 0 };
        for (size_t u = 0; u < k.n_units; u++) {
            first[u + 1] = first[u] + 1 + below(&r, 4);
            for (size_t c = first[u]; c < first[u + 1]; c++) {
                size[c] = below(&r, 30);
                damage[c] = ldexp((double)below(&r, 1 << 20), -(int)below(&r, 40));
            }
        }
        k.budget = mpq_knap_min_size(&k) + below(&r, 60);
        struct mpq_knap_plan p = { .pick = pick };
        ck_assert_int_eq(mpq_knap_exact(&k, &p, &err), 0);
        check_plan(&k, &p);
        double want = brute(&k, 0, 0, 0);
        ck_assert_double_le(p.damage, want * (1 + MPQ_KNAP_TOLERANCE));
        ck_assert_int_eq(p.optimal, 1);
    }
}
END_TEST

START_TEST(heuristics_stay_within_the_budget_and_above_the_optimum)
{
    struct mpq_err err = { 0 };

    for (uint64_t seed = 2000; seed < 2300; seed++) {
        struct mpq_knap k = instance(seed);
        static uint32_t other[MAX_UNITS];
        struct mpq_knap_plan p = { .pick = pick }, q = { .pick = other };
        ck_assert_int_eq(mpq_knap_exact(&k, &p, &err), 0);
        ck_assert_int_eq(mpq_knap_greedy(&k, &q, &err), 0);
        check_plan(&k, &q);
        ck_assert_double_ge(q.damage, p.damage);
        ck_assert_double_le(q.bound, p.damage);
        ck_assert_int_eq(mpq_knap_lagrange(&k, &q, &err), 0);
        check_plan(&k, &q);
        ck_assert_double_ge(q.damage, p.damage);
        ck_assert_double_le(q.bound, p.damage);
    }
}
END_TEST

START_TEST(a_budget_below_the_smallest_plan_has_no_answer)
{
    static const size_t f[] = { 0, 2, 3 };
    static const uint64_t s[] = { 5, 4, 7 };
    static const double d[] = { 1, 2, 3 };
    struct mpq_knap k = { 2, f, s, d, 10, 0 };
    struct mpq_knap_plan p = { .pick = pick };
    struct mpq_err err = { 0 };

    ck_assert_uint_eq(mpq_knap_min_size(&k), 11);
    ck_assert_int_eq(mpq_knap_exact(&k, &p, &err), -1);
    ck_assert_int_eq(err.code, MPQ_ENOFIT);
    ck_assert_ptr_nonnull(strstr(err.text, "budget of 10 below the smallest plan, 11"));
    err.code = 0;
    ck_assert_int_eq(mpq_knap_greedy(&k, &p, &err), -1);
    err.code = 0;
    ck_assert_int_eq(mpq_knap_lagrange(&k, &p, &err), -1);
    k.budget = 11;
    err.code = 0;
    ck_assert_int_eq(mpq_knap_exact(&k, &p, &err), 0);
    ck_assert_double_eq(p.damage, 5);
    k.budget = UINT64_MAX / 4; /* above the largest plan: no error, and no price */
    ck_assert_int_eq(mpq_knap_exact(&k, &p, &err), 0);
    ck_assert_double_eq(p.damage, 4);
    ck_assert_double_eq(p.price, 0);
}
END_TEST

START_TEST(no_units_at_all_are_a_plan)
{
    struct mpq_knap k = { 0, first, size, damage, 0, 0 };
    struct mpq_knap_plan p = { .pick = pick };
    struct mpq_err err = { 0 };

    ck_assert_int_eq(mpq_knap_exact(&k, &p, &err), 0);
    ck_assert_double_eq(p.damage, 0);
    ck_assert_int_eq(mpq_knap_greedy(&k, &p, &err), 0);
}
END_TEST

/* 1,000 units of 12 choices like a large model's; LIKE makes them alike. */
static struct mpq_knap
large(int like, double share)
{
    uint64_t r = 11;

    for (size_t u = 0; u < 1000; u++) {
        uint64_t shape = like ? 4096 * 4096 / 32 : (1 + below(&r, 16)) * 65536;
        double score = like == 1 ? 1 : ldexp((double)(1 + below(&r, 1 << 20)), -20);
        first[u + 1] = first[u] + 12;
        for (size_t c = 0; c < 12; c++) {
            size[first[u] + c] = shape * bits[c];
            damage[first[u] + c] =
                score * (double)shape * exp(-(double)bits[c] * 0.3465735902799726);
        }
    }
    struct mpq_knap k = { 1000, first, size, damage, 0, 0 };
    uint64_t low = mpq_knap_min_size(&k), high = 0;
    for (size_t u = 0; u < 1000; u++) /* the last type is the largest, and best */
        high += size[first[u] + 11];
    k.budget = low + (uint64_t)(share * (double)(high - low));
    return k;
}

START_TEST(large_instances_are_solved_with_few_nodes)
{
    struct mpq_err err = { 0 };

    for (int like = 0; like < 3; like++) {
        for (int i = 1; i < 20; i++) {
            struct mpq_knap k = large(like, i / 20.0);
            struct mpq_knap_plan p = { .pick = pick };
            ck_assert_int_eq(mpq_knap_exact(&k, &p, &err), 0);
            check_plan(&k, &p);
            ck_assert_msg(p.optimal, "kind %d, %d/20: %.17g, bound %.17g", like, i,
                          p.damage, p.bound);
            ck_assert_uint_lt(p.nodes, 20000000);
        }
    }
}
END_TEST

START_TEST(a_limit_on_nodes_still_proves_a_bound)
{
    struct mpq_err err = { 0 };

    for (uint64_t seed = 2; seed < 600; seed += 6) { /* the strongly correlated ones */
        struct mpq_knap k = instance(seed);
        static uint32_t other[MAX_UNITS];
        struct mpq_knap_plan p = { .pick = pick }, q = { .pick = other };
        ck_assert_int_eq(mpq_knap_exact(&k, &p, &err), 0);
        k.max_nodes = 1;
        ck_assert_int_eq(mpq_knap_exact(&k, &q, &err), 0);
        check_plan(&k, &q);
        ck_assert_double_ge(q.damage, p.damage);
        ck_assert_double_le(q.bound, p.damage * (1 + MPQ_KNAP_TOLERANCE));
    }
}
END_TEST

START_TEST(the_price_is_the_slope_of_the_unit_that_no_longer_fits)
{
    static const size_t f[] = { 0, 2, 4 };
    static const uint64_t s[] = { 10, 20, 10, 20 };
    static const double d[] = { 100, 0, 50, 0 };
    struct mpq_knap k = { 2, f, s, d, 35, 0 };
    struct mpq_knap_plan p = { .pick = pick };
    struct mpq_err err = { 0 };

    ck_assert_int_eq(mpq_knap_exact(&k, &p, &err), 0);
    ck_assert_double_eq(p.price, 5);
    ck_assert_double_eq(p.damage, 50);
    ck_assert_double_eq(p.bound, 50);
}
END_TEST

Suite *
mpq_suite(void)
{
    Suite *s = suite_create("knap");
    TCase *tc = tcase_create("knap");

    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, a_thousand_optima_are_those_that_glpk_found);
    tcase_add_test(tc, small_instances_with_real_damages_equal_brute_force);
    tcase_add_test(tc, heuristics_stay_within_the_budget_and_above_the_optimum);
    tcase_add_test(tc, a_budget_below_the_smallest_plan_has_no_answer);
    tcase_add_test(tc, no_units_at_all_are_a_plan);
    tcase_add_test(tc, large_instances_are_solved_with_few_nodes);
    tcase_add_test(tc, a_limit_on_nodes_still_proves_a_bound);
    tcase_add_test(tc, the_price_is_the_slope_of_the_unit_that_no_longer_fits);
    suite_add_tcase(s, tc);
    return s;
}
