/*
 * Products in 8 bits: rows of every block type as integers against the decoder,
 * rounding against its rule in double, products against sums in double over what was
 * rounded. All kernels that this processor has.
 */
#include "suite.h"

#include "base/buf.h"
#include "num/gemm8.h"
#include "quant/codec.h"
#include "quant/half.h"
#include "quant/round8.h"
#include "quant/split.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t types[] = { MPQ_Q8_0, MPQ_Q5_0, MPQ_Q5_1,   MPQ_Q4_0,
                                 MPQ_Q4_1, MPQ_Q6_K, MPQ_Q5_K,   MPQ_Q4_K,
                                 MPQ_Q3_K, MPQ_Q2_K, MPQ_IQ4_NL, MPQ_IQ4_XS };
enum { N_TYPES = sizeof types / sizeof *types };

static void
random_numbers(float *x, size_t n, uint32_t seed)
{
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525U + 1013904223U;
        x[i] = (float)((seed >> 8) / 16777216.0 - 0.5);
    }
}

/* --- weights --------------------------------------------------------------------- */

START_TEST(rows_as_integers_are_those_of_the_decoder)
{
    const struct mpq_type t = { .id = types[_i] };
    struct mpq_gemm8_form form;
    enum { COLS = 768 };
    uint64_t bytes;

    ck_assert_int_eq(mpq_split_form(t, &form), 1);
    ck_assert_int_eq(mpq_type_row_bytes(t, COLS, &bytes), 0);
    unsigned char *row = need(bytes, 1);
    float *x = need(COLS, sizeof *x), *want = need(COLS, sizeof *want);
    float *scale = need(COLS / 16, sizeof *scale), *min = need(COLS / 16, sizeof *min);
    signed char *code = need(COLS, 1);
    for (uint32_t seed = 1; seed < 20; seed++) {
        random_numbers(x, COLS, seed);
        for (int i = 0; i < COLS; i++)
            x[i] = x[i] * (float)(i / 32 % 5) + (float)(seed % 3); /* mins, zeros */
        mpq_encode_row(t, x, NULL, row, COLS, MPQ_EFFORT_FAST);
        mpq_decode_row(t, row, want, COLS);
        mpq_split_row(t, row, code, scale, min, COLS);
        for (size_t i = 0; i < COLS; i++) {
            const float part = scale[i / form.group] * (float)code[i];
            const float got = form.has_min ? part + min[i / form.group] : part;
            ck_assert_msg(got == want[i], "column %zu: %.9g, not %.9g", i, (double)got,
                          (double)want[i]);
        }
    }
    free(row);
    free(x);
    free(want);
    free(scale);
    free(min);
    free(code);
}
END_TEST

START_TEST(float_and_own_types_have_no_integers)
{
    static const char *const names[] = { "f32", "f16", "bf16", "int4g64", "int3" };
    struct mpq_gemm8_form form;
    struct mpq_type t;

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        ck_assert_int_eq(mpq_type_parse(names[i], &t), 0);
        ck_assert_int_eq(mpq_split_form(t, &form), 0);
    }
}
END_TEST

/* --- inputs ---------------------------------------------------------------------- */

/* What row T of X has at column C: code and scale. */
static int
code_of(const struct mpq_gemm8_inputs *x, size_t t, size_t c)
{
    return x->codes[(t / 6 * x->cols + c / 4 * 4) * 6 + 4 * (t % 6) + c % 4];
}

static float
scale_of(const struct mpq_gemm8_inputs *x, size_t t, size_t c)
{
    return x->scales[(t / 6 * (x->cols / x->block) + c / x->block) * 6 + t % 6];
}

static void
begin(struct mpq_gemm8_inputs *x, const float *src, size_t rows, size_t cols,
      unsigned block)
{
    struct mpq_err err = { 0 };

    *x = (struct mpq_gemm8_inputs){ 0 };
    ck_assert_int_eq(mpq_gemm8_reserve(x, rows, cols, &err), 0);
    mpq_gemm8_begin(x, rows, cols, block);
    mpq_round8(x, 0, rows, src, cols);
}

START_TEST(inputs_are_rounded_to_the_nearest_of_255_levels)
{
    const unsigned block = _i ? 256 : 32;
    const size_t rows = 8, cols = 768;
    float *src = need(rows * cols, sizeof *src);
    struct mpq_gemm8_inputs x;

    random_numbers(src, rows * cols, 5);
    for (size_t i = 0; i < rows * cols; i++)
        src[i] *= ldexpf(1, (int)(i / 32 % 9) - 4);
    memset(src, 0, block * sizeof *src);
    memset(src + cols, 0, block * sizeof *src);
    src[cols] = 1e-40f; /* below what 127 can be divided by: 0 */
    begin(&x, src, rows, cols, block);
    for (size_t t = 0; t < rows; t++)
        for (size_t b = 0; b < cols; b += block) {
            const float *at = src + t * cols + b;
            double most = 0;
            for (size_t c = 0; c < block; c++)
                most = fmax(most, fabs((double)at[c]));
            /* a bit of f16, and of the float division */
            if (most < 1e-30)
                most = 0;
            const double scale = (double)scale_of(&x, t, b);
            ck_assert_double_eq_tol(scale, most / 127,
                                    most / 127 * (_i ? 2e-7 : 5e-4) + 1e-35);
            if (!_i)
                ck_assert(mpq_f16_round((float)scale) == (float)scale);
            for (size_t c = 0; c < block; c++) {
                const double level = most > 0 ? (double)at[c] * 127 / most : 0;
                ck_assert_double_eq_tol(code_of(&x, t, b + c), level, 0.5001);
            }
        }
    mpq_gemm8_inputs_free(&x);
    free(src);
}
END_TEST

/* As floats they are the codes times their scales. */
START_TEST(rounded_rows_are_codes_times_scales)
{
    const unsigned block = _i ? 256 : 32;
    const size_t rows = 7, cols = 512;
    float *src = need(rows * cols, sizeof *src), *row = need(cols, sizeof *row);
    struct mpq_gemm8_inputs x;

    random_numbers(src, rows * cols, 6);
    memset(src + cols, 0, block * sizeof *src);
    src[3 * cols + 9] = 1e6f;
    src[4 * cols] = INFINITY;
    begin(&x, src, rows, cols, block);
    for (size_t t = 0; t < rows; t++) {
        mpq_round8_row(src + t * cols, cols, block, row);
        for (size_t c = 0; c < cols; c++) {
            const float want = scale_of(&x, t, c) * (float)code_of(&x, t, c);
            ck_assert(row[c] == want || (isnan(row[c]) && isnan(want)));
        }
    }
    mpq_gemm8_inputs_free(&x);
    free(src);
    free(row);
}
END_TEST

START_TEST(halves_go_to_even_and_the_largest_is_127)
{
    float src[256] = { 254, 1, 3, 5, -1, -3, -254, 2 }; /* steps of 2: halves */
    static const int want[] = { 127, 0, 2, 2, 0, -2, -127, 1 };
    struct mpq_gemm8_inputs x;

    for (unsigned block = 32; block <= 256; block += 224) {
        begin(&x, src, 1, 256, block);
        for (size_t c = 0; c < 8; c++)
            ck_assert_int_eq(code_of(&x, 0, c), want[c]);
        ck_assert(scale_of(&x, 0, 0) == 2);
        ck_assert_int_eq(x.offsets[1][0], -128 * 3);
        ck_assert(x.sums[1][0] == (block == 32 ? 6 : 3)); /* with the scale, without */
        if (block == 256)
            ck_assert_int_eq(x.offsets[0][0], -128 * 3);
        mpq_gemm8_inputs_free(&x);
    }
}
END_TEST

/* --- products -------------------------------------------------------------------- */

/* Weights, inputs and their product by definition. */
struct problem {
    size_t rows, cols, inputs;
    float *src;
    struct mpq_gemm8_weights w;
    struct mpq_gemm8_inputs x;
    double *want, *size; /* [inputs][rows]; sum of the sizes of what was summed */
    float *got;
};

/* Weights of type T, their product with x by the rule of round8.h. */
static void
make_problem(struct problem *p, struct mpq_type t, size_t rows, size_t cols,
             size_t inputs)
{
    struct mpq_gemm8_form form;
    struct mpq_err err = { 0 };
    uint64_t bytes;

    *p = (struct problem){ .rows = rows, .cols = cols, .inputs = inputs };
    ck_assert_int_eq(mpq_split_form(t, &form), 1);
    ck_assert_int_eq(mpq_type_row_bytes(t, cols, &bytes), 0);
    p->src = need(inputs * cols, sizeof *p->src);
    p->want = need(inputs * rows, sizeof *p->want);
    p->size = need(inputs * rows, sizeof *p->size);
    p->got = need(inputs * rows, sizeof *p->got);
    random_numbers(p->src, inputs * cols, 3);
    begin(&p->x, p->src, inputs, cols, form.block);
    ck_assert_int_eq(mpq_gemm8_shape(&p->w, form, rows, cols, &err), 0);
    unsigned char *row = need(bytes, 1);
    float *w = need(cols, sizeof *w);
    float *scale = need(cols / 16, sizeof *scale), *min = need(cols / 16, sizeof *min);
    signed char *code = need(cols, 1);
    for (size_t r = 0; r < rows; r++) {
        random_numbers(w, cols, 100 + (uint32_t)r);
        mpq_encode_row(t, w, NULL, row, cols, MPQ_EFFORT_FAST);
        mpq_split_row(t, row, code, scale, min, cols);
        mpq_gemm8_put(&p->w, r, code, scale, min);
        for (size_t i = 0; i < inputs; i++)
            for (size_t g = 0; g < cols; g += form.group) {
                const double s = (double)scale[g / form.group],
                             x_scale = (double)scale_of(&p->x, i, g);
                double sum = 0, times = 0;
                for (size_t c = g; c < g + form.group; c++) {
                    const int x = code_of(&p->x, i, c);
                    sum += s * code[c] * x_scale * x;
                    p->size[i * rows + r] += fabs(s * code[c] * x_scale * x);
                    times += x;
                }
                times *= x_scale;
                if (form.has_min)
                    sum += (double)min[g / form.group] * times;
                p->want[i * rows + r] += sum;
            }
    }
    free(row);
    free(w);
    free(scale);
    free(min);
    free(code);
}

static void
free_problem(struct problem *p)
{
    mpq_gemm8_free(&p->w);
    mpq_gemm8_inputs_free(&p->x);
    free(p->src);
    free(p->want);
    free(p->size);
    free(p->got);
}

/* Rows, columns (of blocks of 32, of 256), inputs: one, whole panels, over their edge;
 * over the depth of a block. */
static const struct {
    size_t rows, cols, k_cols, inputs;
} shapes[] = {
    { 1, 32, 256, 1 }, { 32, 576, 512, 6 }, { 70, 640, 768, 13 }, { 33, 1088, 1280, 7 }
};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

START_TEST(products_are_those_of_double_arithmetic_for_every_kernel)
{
    const struct mpq_type t = { .id = types[_i] };
    struct problem p;

    for (size_t s = 0; s < N_SHAPES; s++) {
        const size_t cols = mpq_type_block(t) == 32 ? shapes[s].cols : shapes[s].k_cols;
        make_problem(&p, t, shapes[s].rows, cols, shapes[s].inputs);
        const struct mpq_gemm8_part whole = { 0, p.rows, 0, 0, p.inputs };
        float *first = need(p.inputs * p.rows, sizeof *first);
        mpq_gemm8(&p.w, &p.x, &whole, 0, first, p.rows);
        for (size_t i = 0; i < p.inputs * p.rows; i++) {
            /* float sums of up to 80 groups; mins are multiplied with an f16 of the
             * inputs' sum, whose last bit is 2^-11 */
            const double tol =
                p.size[i] * (p.w.form.has_min && p.x.block == 32 ? 5e-4 : 2e-6);
            ck_assert_msg(fabs((double)first[i] - p.want[i]) <= tol + 1e-12,
                          "type %d, shape %zu, %zu: %.9g, not %.9g", (int)t.id, s, i,
                          (double)first[i], p.want[i]);
        }
        for (size_t k = 0; mpq_gemm8_name(k); k++) {
            ck_assert_int_eq(mpq_gemm8_by(k, &p.w, &p.x, &whole, 0, p.got, p.rows), 1);
            ck_assert_msg(!memcmp(first, p.got, p.inputs * p.rows * sizeof *first),
                          "%s gives other bits", mpq_gemm8_name(k));
        }
        free(first);
        free_problem(&p);
    }
}
END_TEST

/* One row of 32 weights, all with the one scale and min, by one input: both to be
 * freed.
 */
static void
make_row(struct mpq_gemm8_weights *w, struct mpq_gemm8_inputs *x, int has_min,
         const signed char code[32], const float src[32])
{
    const struct mpq_gemm8_form form = { 32, 32, has_min };
    const float scale = 1, min = 2;
    struct mpq_err err = { 0 };

    *w = (struct mpq_gemm8_weights){ 0 };
    begin(x, src, 1, 32, 32);
    ck_assert_int_eq(mpq_gemm8_shape(w, form, 1, 32, &err), 0);
    mpq_gemm8_put(w, 0, code, &scale, &min);
}

START_TEST(codes_at_their_limits_do_not_saturate)
{
    /* the largest sums of products: q8_0's -128 with inputs at 127 and -127 */
    const struct mpq_gemm8_part part = { 0, 1, 0, 0, 1 };
    struct mpq_gemm8_weights w;
    struct mpq_gemm8_inputs x;
    signed char code[32];
    float src[32], got;

    memset(code, -128, sizeof code);
    for (int sign = -1; sign <= 1; sign += 2) {
        for (int i = 0; i < 32; i++)
            src[i] = 127.0f * (float)sign;
        make_row(&w, &x, 0, code, src);
        for (size_t k = 0; mpq_gemm8_by(k, &w, &x, &part, 0, &got, 1); k++)
            ck_assert_msg(got == -32.0f * 128 * 127 * (float)sign, "%s: %.9g",
                          mpq_gemm8_name(k), (double)got);
        mpq_gemm8_inputs_free(&x);
        mpq_gemm8_free(&w);
    }
}
END_TEST

START_TEST(parts_have_the_bits_of_the_whole)
{
    struct mpq_type t = { .id = MPQ_Q4_0 };
    struct problem p;

    make_problem(&p, t, 96, 320, 14);
    const struct mpq_gemm8_part whole = { 0, 96, 0, 0, 14 },
                                rows = { 64, 32, 0, 0, 14 }, some = { 32, 17, 0, 6, 5 };
    float *all = need(14 * 96, sizeof *all), *got = p.got;
    mpq_gemm8(&p.w, &p.x, &whole, 0, all, 96);
    mpq_gemm8(&p.w, &p.x, &rows, 0, got + 64, 96);
    mpq_gemm8(&p.w, &p.x, &some, 0, got, 96);
    for (size_t i = 0; i < 14; i++)
        ck_assert_mem_eq(all + i * 96 + 64, got + i * 96 + 64, 32 * sizeof *got);
    for (size_t i = 0; i < 5; i++) {
        ck_assert_mem_eq(all + (6 + i) * 96 + 32, got + i * 96, 17 * sizeof *got);
        ck_assert(got[i * 96 + 17] == 0); /* nothing beyond what was asked for */
    }
    /* columns 256 on, added to what is there */
    struct mpq_gemm8_inputs end;
    const struct mpq_gemm8_part from = { 0, 96, 0, 0, 14 },
                                back = { 0, 96, 256, 0, 14 };
    float *cut = need(14 * 320, sizeof *cut);
    for (size_t i = 0; i < 14; i++)
        memcpy(cut + i * 256, p.src + i * 320, 256 * sizeof *cut);
    begin(&end, cut, 14, 256, 32);
    mpq_gemm8(&p.w, &end, &from, 0, got, 96);
    mpq_gemm8_inputs_free(&end);
    for (size_t i = 0; i < 14; i++)
        memcpy(cut + i * 64, p.src + i * 320 + 256, 64 * sizeof *cut);
    begin(&end, cut, 14, 64, 32);
    mpq_gemm8(&p.w, &end, &back, 1, got, 96);
    ck_assert_mem_eq(all, got, 14 * 96 * sizeof *got);
    mpq_gemm8_inputs_free(&end);
    free(cut);
    free(all);
    free_problem(&p);
}
END_TEST

START_TEST(what_is_not_finite_spoils_its_own_row_alone)
{
    static const float bad[] = { NAN, -NAN, INFINITY, -INFINITY };
    struct mpq_type t = { .id = _i % 2 ? MPQ_Q4_K : MPQ_Q4_1 };
    struct problem p;

    make_problem(&p, t, 40, 512, 7);
    const struct mpq_gemm8_part whole = { 0, 40, 0, 0, 7 };
    p.src[3 * 512 + 300] = bad[_i / 2];
    mpq_round8(&p.x, 0, 7, p.src, 512);
    for (size_t k = 0; mpq_gemm8_by(k, &p.w, &p.x, &whole, 0, p.got, 40); k++)
        for (size_t i = 0; i < 7 * 40; i++)
            ck_assert_int_eq(isnan(p.got[i]) != 0, i / 40 == 3);
    free_problem(&p);
}
END_TEST

START_TEST(numbers_beyond_f16_keep_their_size)
{
    /* ggml's f16 scales are infinite from 127 * 65504 on */
    const struct mpq_gemm8_part part = { 0, 1, 0, 0, 1 };
    struct mpq_gemm8_weights w;
    struct mpq_gemm8_inputs x;
    signed char code[32] = { 1, 1 };
    float src[32] = { 1e30f, -1e30f, 1e30f }, got;

    make_row(&w, &x, 1, code, src);
    mpq_gemm8(&w, &x, &part, 0, &got, 1);
    ck_assert_double_eq_tol((double)got, 2e30, 1e24);
    mpq_gemm8_inputs_free(&x);
    mpq_gemm8_free(&w);
}
END_TEST

Suite *
mpq_suite(void)
{
    Suite *s = suite_create("gemm8");
    TCase *tc = tcase_create("gemm8");

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, rows_as_integers_are_those_of_the_decoder, 0, N_TYPES);
    tcase_add_test(tc, float_and_own_types_have_no_integers);
    tcase_add_loop_test(tc, inputs_are_rounded_to_the_nearest_of_255_levels, 0, 2);
    tcase_add_loop_test(tc, rounded_rows_are_codes_times_scales, 0, 2);
    tcase_add_test(tc, halves_go_to_even_and_the_largest_is_127);
    tcase_add_loop_test(tc, products_are_those_of_double_arithmetic_for_every_kernel, 0,
                        N_TYPES);
    tcase_add_test(tc, codes_at_their_limits_do_not_saturate);
    tcase_add_test(tc, parts_have_the_bits_of_the_whole);
    tcase_add_loop_test(tc, what_is_not_finite_spoils_its_own_row_alone, 0, 8);
    tcase_add_test(tc, numbers_beyond_f16_keep_their_size);
    suite_add_tcase(s, tc);
    return s;
}
