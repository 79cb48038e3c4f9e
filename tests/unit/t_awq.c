/* AWQ's scales and its loss, by hand and by laws. */
#include "quant/awq.h"

#include "suite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct mpq_type
type_of(const char *name)
{
    struct mpq_type t;
    ck_assert_int_eq(mpq_type_parse(name, &t), 0);
    return t;
}

static float
next(void)
{
    static uint32_t state = 54321;
    state = state * 1664525u + 1013904223u;
    return (float)(state >> 8) / 8388608.0f - 1;
}

START_TEST(scales_are_powers_of_the_root_mean_square)
{
    static const double square[] = { 1, 16, 256 }; /* roots 1, 4, 16 */
    float s[3];

    mpq_awq_scales(square, 3, 10, s); /* 1, 2, 4 over sqrt(4) */
    ck_assert_float_eq_tol(s[0], 0.5f, 1e-6f);
    ck_assert_float_eq_tol(s[1], 1.0f, 1e-6f);
    ck_assert_float_eq_tol(s[2], 2.0f, 1e-6f);
    mpq_awq_scales(square, 3, 0, s);
    for (int i = 0; i < 3; i++)
        ck_assert_float_eq(s[i], 1);
}
END_TEST

START_TEST(dead_columns_have_a_scale_that_is_not_0)
{
    static const double square[] = { 0, 4, 4e-30 };
    float s[3];

    mpq_awq_scales(square, 3, MPQ_AWQ_STEPS - 1, s);
    ck_assert(s[0] > 0 && s[0] == s[2] && isfinite(s[1] / s[0]));
    ck_assert_float_eq_tol(s[1] / s[0], powf(1e4f, 0.95f), 1);
}
END_TEST

static const struct {
    const char *type;
    size_t cols;
} kinds[] = {
    { "q4_0", 64 },    { "q8_0", 32 },     { "q2_k", 256 },   { "q6_k", 256 },
    { "iq4_xs", 256 }, { "int3g48s", 97 }, { "int4g32", 41 }, { "int1", 5 },
};

/* The loss is that of the rows as they decode, scales taken out; in double. */
START_TEST(loss_is_the_trace_of_what_decodes)
{
    enum { N = 3 };
    const size_t cols = kinds[_i].cols;
    const struct mpq_type t = type_of(kinds[_i].type);
    uint64_t bytes;
    ck_assert_int_eq(mpq_type_row_bytes(t, cols, &bytes), 0);
    float *w = calloc(N * cols, sizeof *w), *gram = calloc(cols * cols, sizeof *gram);
    float *scale = calloc(cols, sizeof *scale), *row = calloc(cols, sizeof *row);
    float *scratch = calloc(mpq_awq_scratch(t, cols), sizeof *scratch);
    double *square = calloc(cols, sizeof *square), want = 0;
    unsigned char *out = malloc(N * bytes);

    for (size_t i = 0; i < N * cols; i++)
        w[i] = next();
    for (size_t i = 0; i < cols; i++)
        for (size_t k = 0; k <= i; k++)
            gram[i * cols + k] = gram[k * cols + i] =
                i == k ? 1 + (float)i : next() / 8;
    for (size_t i = 0; i < cols; i++)
        square[i] = (double)gram[i * cols + i];
    mpq_awq_scales(square, cols, 7, scale);
    const struct mpq_awq a = { .type = t, .cols = cols, .scale = scale, .gram = gram };
    const double loss = mpq_awq_round(&a, w, N, out, scratch);
    ck_assert_double_eq(mpq_awq_round(&a, w, N, NULL, scratch), loss);
    for (size_t r = 0; r < N; r++) {
        mpq_decode_row(t, out + r * bytes, row, cols);
        for (size_t c = 0; c < cols; c++)
            row[c] = w[r * cols + c] - row[c] / scale[c];
        for (size_t i = 0; i < cols; i++)
            for (size_t k = 0; k < cols; k++)
                want += (double)row[i] * (double)gram[i * cols + k] * (double)row[k];
    }
    ck_assert_double_eq_tol(loss / want, 1, 1e-5);
    free(w), free(gram), free(scale), free(row), free(scratch), free(square);
    free(out);
}
END_TEST

START_TEST(without_scales_rows_are_as_the_encoder_makes_them)
{
    const struct mpq_type t = type_of("q4_k");
    float w[2 * 256], importance[256];
    unsigned char ours[2 * 144], theirs[2 * 144];
    float *scratch = malloc(mpq_awq_scratch(t, 256) * sizeof *scratch);

    for (size_t i = 0; i < 512; i++)
        w[i] = next();
    for (size_t i = 0; i < 256; i++)
        importance[i] = 1 + fabsf(next());
    const struct mpq_awq a = { .type = t, .cols = 256, .importance = importance };
    ck_assert_double_eq(mpq_awq_round(&a, w, 2, ours, scratch), 0);
    for (int r = 0; r < 2; r++)
        mpq_encode_row(t, w + 256 * r, importance, theirs + 144 * r, 256, a.effort);
    ck_assert_mem_eq(ours, theirs, sizeof ours);
    free(scratch);
}
END_TEST

Suite *
mpq_suite(void)
{
    Suite *s = suite_create("awq");
    TCase *tc = tcase_create("awq");

    tcase_add_test(tc, scales_are_powers_of_the_root_mean_square);
    tcase_add_test(tc, dead_columns_have_a_scale_that_is_not_0);
    tcase_add_loop_test(tc, loss_is_the_trace_of_what_decodes, 0,
                        (int)(sizeof kinds / sizeof *kinds));
    tcase_add_test(tc, without_scales_rows_are_as_the_encoder_makes_them);
    suite_add_tcase(s, tc);
    return s;
}
