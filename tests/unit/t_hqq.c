/* HQQ against the objective of the authors' package (numbers from
 * tests/data/gen_hqq.py), and laws. */
#include "quant/hqq.h"

#include "suite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 64, COLS = 512 };
static float x[ROWS][COLS];

static const struct {
    const char *type;
    double objective; /* mean |error|^0.7 */
} theirs[] = {
    { "int2g64", 0.0632095034 },  { "int2g128", 0.0741912881 },
    { "int3g64", 0.0362898165 },  { "int3g128", 0.0446255792 },
    { "int4g64", 0.0211966574 },  { "int4g128", 0.0261825582 },
    { "int8g64", 0.00291643912 }, { "int8g128", 0.00359509778 },
};
static const char *const served[] = { "q8_0",   "q5_1", "q5_0",     "q4_1",   "q4_0",
                                      "iq4_nl", "int4", "int3g48s", "int2g32" };

static float
next(void)
{
    static uint32_t state = 12345;
    state = state * 1664525u + 1013904223u;
    return (float)(state >> 8) / 16777216.0f;
}

/* As the script makes it. */
static void
make(void)
{
    float *all = &x[0][0];

    for (int i = 0; i < ROWS * COLS; i++) {
        double sum = 0;
        for (int k = 0; k < 6; k++)
            sum += (double)next();
        all[i] = (float)((sum - 3) / 16);
    }
    for (int i = 0; i < ROWS * COLS; i += 97)
        all[i] *= 6;
}

static struct mpq_type
type_of(const char *name)
{
    struct mpq_type t;
    ck_assert_int_eq(mpq_type_parse(name, &t), 0);
    ck_assert_int_eq(mpq_hqq_serves(t), 1);
    return t;
}

/* Mean |error|^p of all rows times SCALE, decoded rows divided by it again. */
static double
mean_error(struct mpq_type t, double p, float scale, int hqq)
{
    static unsigned char row[COLS * 4];
    static float y[COLS], z[COLS];
    double sum = 0;

    for (int r = 0; r < ROWS; r++) {
        for (int c = 0; c < COLS; c++)
            y[c] = x[r][c] * scale;
        if (hqq)
            mpq_hqq_encode_row(t, y, NULL, row, COLS);
        else
            mpq_encode_row(t, y, NULL, row, COLS, MPQ_EFFORT_FAST);
        mpq_decode_row(t, row, z, COLS);
        for (int c = 0; c < COLS; c++)
            sum += pow(fabs((double)y[c] - (double)z[c]) / (double)scale, p);
    }
    return sum / (ROWS * COLS);
}

START_TEST(objective_is_that_of_the_package_or_less)
{
    const struct mpq_type t = type_of(theirs[_i].type);

    make();
    const double ours = mean_error(t, 0.7, 1, 1);
    ck_assert_msg(ours <= 1.02 * theirs[_i].objective, "%s: %g, package %g",
                  theirs[_i].type, ours, theirs[_i].objective);
}
END_TEST

START_TEST(no_worse_than_least_squares_by_its_own_measure)
{
    const struct mpq_type t = type_of(served[_i]);

    make();
    const double a = mean_error(t, 0.7, 1, 1), b = mean_error(t, 0.7, 1, 0);
    ck_assert_msg(a <= b, "%s: %g, least squares %g", served[_i], a, b);
}
END_TEST

START_TEST(the_scale_of_the_weights_does_not_matter)
{
    const struct mpq_type t = type_of(served[_i]);

    make();
    const double a = mean_error(t, 0.7, 1, 1), b = mean_error(t, 0.7, 0.125f, 1);
    ck_assert_double_eq_tol(a / b, 1, 0.02);
}
END_TEST

START_TEST(edges_stay_finite)
{
    const struct mpq_type t = type_of(served[_i]);
    static const float fill[] = { 0, -3, 1e30f, 1e-30f, 65504 };
    unsigned char row[64 * 4];
    float y[64], z[64], importance[64] = { 0 };

    for (size_t k = 0; k < sizeof fill / sizeof *fill; k++) {
        for (int c = 0; c < 64; c++)
            y[c] = c % 2 ? fill[k] : 0.5f * fill[k];
        mpq_hqq_encode_row(t, y, importance, row, 64);
        mpq_decode_row(t, row, z, 64);
        for (int c = 0; c < 64; c++)
            ck_assert(isfinite(z[c]));
        if (fill[k] == 0 || fill[k] == -3)
            for (int c = 0; c < 64; c++)
                ck_assert_double_eq_tol((double)y[c], (double)z[c], 0.35);
    }
}
END_TEST

/* A block whose elements are all alike has no spread that the search could go by; nor
 * has a group of one. 65504 is the most that f16 has of an offset. */
START_TEST(constant_blocks_keep_their_value)
{
    static const char *const types[] = { "q8_0",    "q5_1",   "q5_0",   "q4_1",
                                         "q4_0",    "iq4_nl", "int4",   "int3g48s",
                                         "int2g32", "int4g1", "int5g3", "int8g7" };
    static const float fill[] = { 0.5f, -0.3f, 0.01f, 3, -500, 65504 };
    unsigned char row[64 * 8];
    float y[64], z[64];
    struct mpq_type t;

    ck_assert_int_eq(mpq_type_parse(types[_i % 12], &t), 0);
    ck_assert_int_eq(mpq_hqq_serves(t), 1);
    for (int c = 0; c < 64; c++)
        y[c] = fill[_i / 12];
    mpq_hqq_encode_row(t, y, NULL, row, 64);
    mpq_decode_row(t, row, z, 64);
    for (int c = 0; c < 64; c++)
        ck_assert_double_eq_tol((double)z[c] / (double)y[c], 1, 2e-3);
}
END_TEST

/* Beyond what sums can hold it is as plain rounding has it, not 0. */
START_TEST(what_is_too_large_to_search_is_rounded)
{
    const struct mpq_type t = type_of(served[_i]);
    unsigned char row[64 * 4], plain[64 * 4];
    float y[64], z[64], want[64];

    for (int c = 0; c < 64; c++)
        y[c] = c % 2 ? 1e30f : -1e30f;
    mpq_hqq_encode_row(t, y, NULL, row, 64);
    mpq_encode_row(t, y, NULL, plain, 64, MPQ_EFFORT_FAST);
    mpq_decode_row(t, row, z, 64);
    mpq_decode_row(t, plain, want, 64);
    for (int c = 0; c < 64; c++)
        ck_assert_msg(z[c] == want[c] && z[c] * y[c] > 0, "%s: %g, not %g", served[_i],
                      (double)z[c], (double)want[c]);
}
END_TEST

/* Importance up to the greatest float, and down to where it is subnormal. */
START_TEST(the_scale_of_the_importance_does_not_matter)
{
    static const float times[] = { 0x1p60f, 0x1p126f, 0x1p-120f };
    const struct mpq_type t = type_of(served[_i / 3]);
    static unsigned char row[COLS * 4], again[COLS * 4];
    static float w[COLS], y[COLS], z[COLS];

    make();
    for (int c = 0; c < COLS; c++)
        w[c] = c % 5 ? 0.25f : 1.75f;
    mpq_hqq_encode_row(t, x[0], w, row, COLS);
    mpq_decode_row(t, row, y, COLS);
    for (int c = 0; c < COLS; c++)
        w[c] *= times[_i % 3];
    mpq_hqq_encode_row(t, x[0], w, again, COLS);
    mpq_decode_row(t, again, z, COLS);
    double energy = 0, error = 0;
    for (int c = 0; c < COLS; c++) {
        energy += ((double)y[c] - (double)x[0][c]) * ((double)y[c] - (double)x[0][c]);
        error += ((double)z[c] - (double)x[0][c]) * ((double)z[c] - (double)x[0][c]);
    }
    if (_i % 3 == 0)
        ck_assert_mem_eq(again, row, sizeof row);
    /* at the ends of float the plain encoder's line, one to start from, is another */
    ck_assert_double_lt(error, 1.15 * energy);
}
END_TEST

Suite *
mpq_suite(void)
{
    Suite *s = suite_create("hqq");
    TCase *tc = tcase_create("laws");
    const int n = sizeof served / sizeof *served;

    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, objective_is_that_of_the_package_or_less, 0,
                        sizeof theirs / sizeof *theirs);
    tcase_add_loop_test(tc, no_worse_than_least_squares_by_its_own_measure, 0, n);
    tcase_add_loop_test(tc, the_scale_of_the_weights_does_not_matter, 0, n);
    tcase_add_loop_test(tc, edges_stay_finite, 0, n);
    tcase_add_loop_test(tc, constant_blocks_keep_their_value, 0, 12 * 6);
    tcase_add_loop_test(tc, what_is_too_large_to_search_is_rounded, 0, n);
    tcase_add_loop_test(tc, the_scale_of_the_importance_does_not_matter, 0, 3 * n);
    suite_add_tcase(s, tc);
    return s;
}
