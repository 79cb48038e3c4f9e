/* Filling in: laws, on tables made from the model that is assumed, with a seed. */
#include "method/fill.h"

#include "suite.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

enum { U = 30, T = 5, F = 3 };

static double cheap[U * T], truth[U * T], measured[U * T], se[U * T], out[U * T],
    out_se[U * T];
static size_t family[U];
static const double coarse[T] = { 1e-5, 1e-4, 1e-3, 1e-2, 1e-1 };
static const struct mpq_fill in = { U, T, F, family, coarse, cheap, measured, se };

/* About normal, variance 1. */
static double
normal(void)
{
    static uint32_t state = 11;
    double sum = -6;

    for (int i = 0; i < 12; i++) {
        state = state * 1664525u + 1013904223u;
        sum += (double)(state >> 8) / 16777216.0;
    }
    return sum;
}

/* truth = cheap * family * unit * type * scatter. Nothing is measured. */
static void
make(double unit, double type, double scatter)
{
    for (size_t u = 0; u < U; u++) {
        const double own = exp(unit * normal() + log(3) * (double)(u % F));
        family[u] = u % F;
        for (size_t t = 0; t < T; t++) {
            const size_t i = u * T + t;
            cheap[i] = coarse[t] * exp(normal());
            truth[i] = cheap[i] * own * exp(type * (double)t + scatter * normal());
            measured[i] = se[i] = NAN;
        }
    }
}

static void
measure(size_t u, size_t t, double relative)
{
    const size_t i = u * T + t;

    measured[i] = truth[i] * (1 + relative * normal());
    se[i] = relative * truth[i];
}

/* rms of ln(out / truth). */
static double
error(void)
{
    double sum = 0;

    for (size_t i = 0; i < U * T; i++)
        sum += log(out[i] / truth[i]) * log(out[i] / truth[i]);
    return sqrt(sum / (U * T));
}

START_TEST(scales_of_families_are_found)
{
    struct mpq_fill_family fit[F];
    struct mpq_err err = { 0 };

    make(0, 0, 0);
    for (size_t u = 0; u < 9; u++)
        measure(u, 2, 0.01);
    ck_assert_int_eq(mpq_fill(&in, out, out_se, fit, &err), 0);
    ck_assert_double_lt(error(), 0.02);
    for (size_t f = 0; f < F; f++) {
        ck_assert_uint_eq(fit[f].n, 3);
        ck_assert_double_eq_tol(fit[f].scale / pow(3, (double)f), 1, 0.03);
        ck_assert_double_gt(fit[f].correlation, 0.99);
        ck_assert_double_lt(fit[f].factor, 1.03);
    }
}
END_TEST

START_TEST(one_probe_of_a_unit_serves_its_other_types)
{
    struct mpq_err err = { 0 };

    make(0.8, 0, 0.05);
    for (size_t u = 0; u < U; u++)
        measure(u, 2, 0.05);
    ck_assert_int_eq(mpq_fill(&in, out, out_se, NULL, &err), 0);
    ck_assert_double_lt(error(), 0.2);
}
END_TEST

START_TEST(types_between_two_that_were_measured_lie_between)
{
    struct mpq_err err = { 0 };

    make(0.3, 0.4, 0.05);
    for (size_t u = 0; u < U; u++) {
        measure(u, 1, 0.02);
        measure(u, 3, 0.02);
    }
    ck_assert_int_eq(mpq_fill(&in, out, out_se, NULL, &err), 0);
    for (size_t u = 0; u < U; u++)
        ck_assert_double_lt(fabs(log(out[u * T + 2] / truth[u * T + 2])), 0.35);
}
END_TEST

START_TEST(what_is_measured_well_stays)
{
    struct mpq_err err = { 0 };

    make(0.5, 0.2, 0.5);
    for (size_t u = 0; u < U; u++)
        measure(u, u % T, u ? 0.3 : 1e-6);
    ck_assert_int_eq(mpq_fill(&in, out, out_se, NULL, &err), 0);
    ck_assert_double_eq_tol(out[0] / measured[0], 1, 1e-5);
    ck_assert_double_lt(out_se[0], 1e-5 * out[0]);
    for (size_t i = 0; i < U * T; i++)
        ck_assert(out[i] > 0 && out_se[i] >= 0);
}
END_TEST

START_TEST(noise_is_drawn_toward_the_model)
{
    struct mpq_err err = { 0 };
    double before = 0, after = 0;

    make(0, 0, 0.02);
    for (size_t u = 0; u < U; u++)
        for (size_t t = 0; t < T; t++)
            measure(u, t, 0.3);
    ck_assert_int_eq(mpq_fill(&in, out, out_se, NULL, &err), 0);
    for (size_t i = 0; i < U * T; i++) {
        before += fabs(log(fmax(measured[i], se[i]) / truth[i]));
        after += fabs(log(out[i] / truth[i]));
    }
    ck_assert_double_lt(after, 0.5 * before);
}
END_TEST

START_TEST(a_delta_below_zero_counts_as_its_error)
{
    struct mpq_err err = { 0 };

    make(0, 0, 0);
    for (size_t u = 0; u < U; u++)
        measure(u, 1, 0.05);
    measured[1] = -truth[1];
    se[1] = truth[1];
    ck_assert_int_eq(mpq_fill(&in, out, out_se, NULL, &err), 0);
    ck_assert_double_gt(out[1], 0.3 * truth[1]);
    ck_assert_double_lt(out[1], 1.2 * truth[1]);
}
END_TEST

START_TEST(no_change_without_an_error_is_small_not_unknown)
{
    struct mpq_err err = { 0 };

    make(0, 0, 0);
    for (size_t u = 0; u < U; u++)
        measure(u, 1, 0.05);
    measured[1] = se[1] = 0;
    double least = INFINITY;
    for (size_t i = 0; i < U * T; i++)
        least = se[i] > 0 ? fmin(least, se[i]) : least;
    ck_assert_int_eq(mpq_fill(&in, out, out_se, NULL, &err), 0);
    ck_assert_double_lt(out[1], truth[1]);
    ck_assert_double_ge(out[1], 0.9 * least);
    ck_assert_double_gt(out_se[1], 0);
}
END_TEST

START_TEST(holes_stay_holes)
{
    struct mpq_err err = { 0 };

    make(0, 0, 0);
    measure(1, 0, 0.1);
    cheap[0] = NAN; /* neither */
    cheap[7] = 0;   /* no damage */
    cheap[8] = NAN; /* measured only */
    measured[8] = 5;
    se[8] = 1;
    ck_assert_int_eq(mpq_fill(&in, out, out_se, NULL, &err), 0);
    ck_assert(isnan(out[0]) && isnan(out_se[0]));
    ck_assert_double_eq(out[7], 0);
    ck_assert_double_eq(out[8], 5);
    ck_assert_double_eq(out_se[8], 1);
}
END_TEST

START_TEST(nothing_measured_is_refused)
{
    struct mpq_err err = { 0 };

    make(0, 0, 0);
    ck_assert_int_eq(mpq_fill(&in, out, out_se, NULL, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "nothing is measured"));
}
END_TEST

Suite *
mpq_suite(void)
{
    Suite *s = suite_create("fill");
    TCase *tc = tcase_create("fill");

    tcase_add_test(tc, scales_of_families_are_found);
    tcase_add_test(tc, one_probe_of_a_unit_serves_its_other_types);
    tcase_add_test(tc, types_between_two_that_were_measured_lie_between);
    tcase_add_test(tc, what_is_measured_well_stays);
    tcase_add_test(tc, noise_is_drawn_toward_the_model);
    tcase_add_test(tc, a_delta_below_zero_counts_as_its_error);
    tcase_add_test(tc, no_change_without_an_error_is_small_not_unknown);
    tcase_add_test(tc, holes_stay_holes);
    tcase_add_test(tc, nothing_measured_is_refused);
    suite_add_tcase(s, tc);
    return s;
}
