/* Elementwise functions against the C library in double. */
#include "suite.h"

#include "num/vgrad.h"
#include "num/vmath.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { N = 1000 };

static void
spread(float *x, size_t n, double lo, double hi)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (float)(lo + (hi - lo) * (double)((i * 7919) % n) / (double)(n - 1));
}

START_TEST(exp_is_good_to_two_units_in_the_last_place)
{
    float x[N], y[N];
    double sum = 0;

    spread(x, N, -87.2, 88.7);
    memcpy(y, x, sizeof y);
    for (size_t n = 0; n < 40; n++) { /* every length of the last block */
        memcpy(y, x, sizeof y);
        sum = 0;
        for (size_t i = 0; i < n; i++)
            sum += exp((double)x[i] - 85);
        ck_assert_double_le(fabs(mpq_vsum_exp(x, n, 85) - sum),
                            1e-6 * sum + 40 * 0x1p-126);
        ck_assert_double_le(fabs(mpq_vexp(y, n, 85) - sum), 1e-6 * sum + 40 * 0x1p-126);
        ck_assert_mem_eq(y + n, x + n, (N - n) * sizeof *x);
    }
    memcpy(y, x, sizeof y);
    mpq_vexp(y, N, 0);
    for (size_t i = 0; i < N; i++) {
        const double want = exp((double)x[i]);
        ck_assert_double_le(fabs((double)y[i] / want - 1), 2 * 0x1p-23);
    }
}
END_TEST

START_TEST(exp_of_what_no_float_holds)
{
    float x[] = { -INFINITY, -200, -88, 88.8f, 1000, INFINITY, NAN, 0, 88.72f };

    mpq_vexp(x, 9, 0);
    ck_assert_float_eq(x[0], 0);
    ck_assert_float_eq(x[1], 0);
    ck_assert_float_eq(x[2], 0);
    ck_assert_float_infinite(x[3]);
    ck_assert_float_infinite(x[4]);
    ck_assert_float_infinite(x[5]);
    ck_assert_float_nan(x[6]);
    ck_assert_float_eq(x[7], 1);
    ck_assert_float_finite(x[8]);
    ck_assert_double_nan(mpq_vsum_exp(x + 6, 1, 0));
}
END_TEST

START_TEST(largest_and_finite_see_every_place)
{
    float x[70];

    for (size_t n = 1; n <= 70; n++)
        for (size_t at = 0; at < n; at++) {
            spread(x, n > 1 ? n : 2, -9, -5);
            x[at] = -1;
            ck_assert_float_eq(mpq_vmax(x, n), -1);
            ck_assert_int_eq(mpq_vfinite(x, n), 1);
            x[at] = -INFINITY;
            ck_assert_int_eq(mpq_vfinite(x, n), 0);
            x[at] = NAN;
            ck_assert_float_nan(mpq_vmax(x, n));
            ck_assert_int_eq(mpq_vfinite(x, n), 0);
        }
    x[0] = -INFINITY;
    ck_assert_float_infinite(mpq_vmax(x, 1));
}
END_TEST

START_TEST(activations_and_soft_caps_are_their_formulas)
{
    float x[N], y[N], up[N];

    spread(x, N, -30, 30);
    spread(up, N, 3, -2);
    memcpy(y, x, sizeof y);
    mpq_vsilu_mul(y, up, N);
    for (size_t i = 0; i < N; i++) {
        const double v = (double)x[i], want = v / (1 + exp(-v)) * (double)up[i];
        ck_assert_double_le(fabs((double)y[i] - want), 5e-7 * fabs(want) + 1e-30);
    }
    spread(x, N, -8, 8);
    memcpy(y, x, sizeof y);
    mpq_vgelu_mul(y, up, N);
    for (size_t i = 0; i < N; i++) {
        const double v = (double)x[i];
        const double want = v / 2 * (double)up[i] *
                            (1 + tanh(sqrt(2 / acos(-1)) * (v + 0.044715 * v * v * v)));
        ck_assert_double_le(fabs((double)y[i] - want), 1e-6);
    }
    spread(x, N, -200, 200);
    memcpy(y, x, sizeof y);
    mpq_vsoftcap(y, N, 30);
    for (size_t i = 0; i < N; i++) {
        const double want = 30 * tanh((double)x[i] / 30);
        ck_assert_double_le(fabs((double)y[i] - want), 4e-7 * fabs(want));
    }
    float far[] = { -1e30f, 1e30f, NAN };
    mpq_vsoftcap(far, 3, 30);
    ck_assert_float_eq(far[0], -30);
    ck_assert_float_eq(far[1], 30);
    ck_assert_float_nan(far[2]);
}
END_TEST

START_TEST(a_normed_row_has_its_root_mean_square)
{
    float x[N], gain[N], y[N];

    for (size_t n = 1; n < 40; n++) {
        double square = 0;
        spread(x, N, -3, 5);
        spread(gain, N, 0.5, 2);
        for (size_t i = 0; i < n; i++)
            square += (double)x[i] * (double)x[i] / (double)n;
        ck_assert_double_le(fabs(mpq_vrms_norm(y, x, gain, n, 0.25f) - square),
                            1e-13 * square);
        for (size_t i = 0; i < n; i++) {
            const double want = (double)x[i] / sqrt(square + 0.25) * (double)gain[i];
            ck_assert_double_le(fabs((double)y[i] - want), 4e-7 * fabs(want));
        }
    }
    x[3] = INFINITY;
    ck_assert_int_eq(isfinite(mpq_vrms_norm(y, x, gain, 20, 0)), 0);
}
END_TEST

START_TEST(rotation_turns_each_pair)
{
    for (int adjacent = 0; adjacent < 2; adjacent++) {
        float x[26], y[26], cosine[13], sine[13];
        spread(x, 26, -1, 1);
        memcpy(y, x, sizeof y);
        for (size_t i = 0; i < 13; i++) {
            cosine[i] = (float)cos((double)i);
            sine[i] = (float)sin((double)i);
        }
        mpq_vrotate(y, cosine, sine, 13, adjacent);
        for (size_t i = 0; i < 13; i++) {
            const size_t a = adjacent ? 2 * i : i, b = adjacent ? a + 1 : i + 13;
            const double c = cos((double)i), s = sin((double)i);
            const double u = (double)x[a], v = (double)x[b];
            ck_assert_double_eq_tol((double)y[a], u * c - v * s, 1e-6);
            ck_assert_double_eq_tol((double)y[b], u * s + v * c, 1e-6);
        }
    }
}
END_TEST

START_TEST(sums_and_scales)
{
    float x[37], y[37];

    spread(x, 37, -1, 1);
    memcpy(y, x, sizeof y);
    mpq_vscale(y, 37, 3);
    mpq_vadd(y, x, 37);
    for (size_t i = 0; i < 37; i++)
        ck_assert_float_eq(y[i], x[i] * 3 + x[i]);
}
END_TEST

/* Derivatives of the plain formulas by differences in double. */
static double
act(double x, int gelu)
{
    return gelu ? x / 2 * (1 + tanh(sqrt(2 / acos(-1)) * (x + 0.044715 * x * x * x)))
                : x / (1 + exp(-x));
}

START_TEST(activations_go_back_by_their_derivatives)
{
    float x[N], up[N], dy[N], gate[N], dup[N];
    const double h = 1e-5;

    for (int gelu = 0; gelu < 2; gelu++) {
        spread(x, N, -9, 9);
        spread(up, N, 3, -2);
        spread(dy, N, -1, 2);
        memcpy(gate, x, sizeof gate);
        memcpy(dup, up, sizeof dup);
        (gelu ? mpq_vgelu_back : mpq_vsilu_back)(gate, dup, dy, N);
        for (size_t i = 0; i < N; i++) {
            const double v = (double)x[i], d = (double)dy[i];
            const double slope = (act(v + h, gelu) - act(v - h, gelu)) / (2 * h);
            ck_assert_double_le(fabs((double)gate[i] - d * (double)up[i] * slope),
                                5e-6);
            ck_assert_double_le(fabs((double)dup[i] - d * act(v, gelu)), 5e-6);
        }
    }
    spread(x, N, -29, 29); /* capped values at 30 */
    memcpy(gate, dy, sizeof gate);
    mpq_vsoftcap_back(gate, x, N, 30);
    for (size_t i = 0; i < N; i++) {
        const double z = 30 * atanh((double)x[i] / 30),
                     slope = (tanh((z + h) / 30) - tanh((z - h) / 30)) * 15 / h;
        ck_assert_double_le(fabs((double)gate[i] - (double)dy[i] * slope), 2e-6);
    }
}
END_TEST

START_TEST(norm_and_rotation_go_back_by_their_transposes)
{
    float x[N], gain[N], dy[N], dx[N], y[N], c[8], s[8];

    spread(x, N, -3, 5);
    spread(gain, N, 0.5, 2);
    for (size_t n = 1; n < 40; n++) {
        spread(dy, N, -1, 2);
        mpq_vrms_back(dx, dy, x, gain, n, 0.25f, 0);
        for (size_t k = 0; k < n; k++) {
            double f[2] = { 0, 0 }; /* dy times the norm, x[k] moved down and up */
            for (int up = 0; up < 2; up++) {
                double square = 0;
                for (size_t i = 0; i < n; i++) {
                    const double v = (double)x[i] + (i == k) * (up ? 1e-5 : -1e-5);
                    square += v * v / (double)n;
                    f[up] += v * (double)gain[i] * (double)dy[i];
                }
                f[up] /= sqrt(square + 0.25);
            }
            ck_assert_double_le(fabs((double)dx[k] - (f[1] - f[0]) / 2e-5), 5e-6);
        }
        memcpy(y, dx, n * sizeof *y);
        mpq_vrms_back(y, dy, x, gain, n, 0.25f, 1);
        for (size_t k = 0; k < n; k++)
            ck_assert_float_eq_tol(y[k], 2 * dx[k], 1e-5f);
        mpq_vrms_back(dy, dy, x, gain, n, 0.25f, 0); /* in place */
        ck_assert_mem_eq(dy, dx, n * sizeof *dx);
    }
    for (size_t i = 0; i < 8; i++) {
        c[i] = (float)(1.5 * cos((double)i));
        s[i] = (float)(1.5 * sin((double)i));
    }
    for (int adjacent = 0; adjacent < 2; adjacent++) { /* <R x, dy> = <x, R^T dy> */
        spread(dy, N, -1, 2);
        memcpy(y, x, sizeof y);
        memcpy(dx, dy, sizeof dx);
        mpq_vrotate(y, c, s, 8, adjacent);
        mpq_vrotate_back(dx, c, s, 8, adjacent);
        ck_assert_double_eq_tol(mpq_vdot(y, dy, 16), mpq_vdot(x, dx, 16), 1e-4);
        for (size_t i = 0; i < 8; i++) { /* and of each pair */
            float unit[16] = { 0 }, turned[16] = { 0 };
            unit[i] = turned[i] = 1;
            mpq_vrotate(turned, c, s, 8, adjacent);
            mpq_vrotate_back(turned, c, s, 8, adjacent);
            for (size_t k = 0; k < 16; k++)
                ck_assert_float_eq_tol(turned[k], 2.25f * unit[k], 1e-5f);
        }
    }
}
END_TEST

Suite *
mpq_suite(void)
{
    Suite *s = suite_create("vmath");
    TCase *tc = tcase_create("vmath");

    tcase_add_test(tc, exp_is_good_to_two_units_in_the_last_place);
    tcase_add_test(tc, exp_of_what_no_float_holds);
    tcase_add_test(tc, largest_and_finite_see_every_place);
    tcase_add_test(tc, activations_and_soft_caps_are_their_formulas);
    tcase_add_test(tc, a_normed_row_has_its_root_mean_square);
    tcase_add_test(tc, rotation_turns_each_pair);
    tcase_add_test(tc, sums_and_scales);
    tcase_add_test(tc, activations_go_back_by_their_derivatives);
    tcase_add_test(tc, norm_and_rotation_go_back_by_their_transposes);
    suite_add_tcase(s, tc);
    return s;
}
