#include "suite.h"

#include "quant/codec.h"
#include "quant/gptq.h"
#include "quant/grid.h"
#include "quant/vary.h"
#include "small.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { COLS = 72, GROUP = 16, GROUPS = 5, FULL = 4, ROWS = 24 };

static struct mpq_type
type_of(const char *name)
{
    struct mpq_type t;

    ck_assert_int_eq(mpq_type_parse(name, &t), 0);
    return t;
}

static const struct {
    const char *type;
    int reach;
    double salience[GROUPS];
    unsigned char map[GROUPS];
} maps[] = {
    { "int3g16v", 1, { 1, 1, 1, 1, 9 }, { 3, 3, 3, 3, 3 } },
    { "int3g16v", 1, { 1, 3.9, 1, 1, 9 }, { 3, 3, 3, 3, 3 } }, /* less than a bit's 4 */
    { "int3g16v", 1, { 1, 4.1, 1.1, 1.1, 9 }, { 2, 4, 3, 3, 3 } },
    { "int3g16v", 1, { 100, 1, 100, 1, 9 }, { 4, 2, 4, 2, 3 } },
    { "int3g16v", 7, { 1e9, 1, 0, 0, 9 }, { 8, 2, 1, 1, 3 } },
    { "int3g16vs", 2, { 1e9, 1, 1, 1, 9 }, { 5, 3, 2, 2, 3 } },
    { "int2g16v", 7, { 0, 0, 0, 0, 0 }, { 5, 1, 1, 1, 2 } },
    { "int7g16v", 1, { 1, 100, 1, 100, 9 }, { 6, 8, 6, 8, 7 } },
};

START_TEST(bits_go_where_salience_is_and_keep_their_mean)
{
    const struct mpq_type t = type_of(maps[_i].type);
    unsigned char map[GROUPS];

    mpq_vary(t, maps[_i].salience, COLS, maps[_i].reach, map);
    ck_assert_mem_eq(map, maps[_i].map, GROUPS);
    ck_assert_int_eq(mpq_type_map_fits(t, COLS, map), 1);
}
END_TEST

START_TEST(a_row_is_as_long_as_one_of_even_groups)
{
    const struct mpq_type t = type_of("int3g16v"), even = type_of("int3g16");
    const unsigned char bad[][GROUPS] = {
        { 3, 3, 3, 3, 4 }, { 3, 3, 3, 3, 2 }, { 0, 6, 3, 3, 3 }, { 9, 1, 1, 1, 3 }
    };
    uint64_t a, b;

    ck_assert_int_eq(mpq_type_row_bytes(t, COLS, &a), 0);
    ck_assert_int_eq(mpq_type_row_bytes(even, COLS, &b), 0);
    ck_assert_uint_eq(a, b + GROUPS);
    ck_assert_int_eq(mpq_type_bytes(t, 100, COLS, &a), 0);
    ck_assert_int_eq(mpq_type_bytes(even, 100, COLS, &b), 0);
    ck_assert_uint_eq(a, b + GROUPS); /* one map for all rows */
    ck_assert_double_eq(mpq_type_bpw(t, COLS), mpq_type_bpw(even, COLS));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_int_eq(mpq_type_map_fits(t, COLS, bad[i]), 0);
}
END_TEST

/* By hand: bits 2 and 4, codes 0 1 2 3 0 1 2 3 | 0 1 2 3 4 5 6 15; scales 1 and 0.5,
 * zeros 0 and 2. */
START_TEST(decodes_a_row_worked_out_by_hand)
{
    static const unsigned char row[] = {
        2,    4,    0xe4, 0xe4, 0x10, 0x32, 0x54, 0xf6,
        0x00, 0x3c, 0x00, 0x38, 0x00, 0x00, 0x00, 0x40
    };
    static const float want[] = { 0,  1,     2, 3,    0, 1,    2, 3,
                                  -1, -0.5f, 0, 0.5f, 1, 1.5f, 2, 6.5f };
    float x[16];
    uint64_t bytes;

    ck_assert_int_eq(mpq_type_row_bytes(type_of("int3g8v"), 16, &bytes), 0);
    ck_assert_uint_eq(bytes, sizeof row);
    mpq_decode_row(type_of("int3g8v"), row, x, 16);
    for (size_t i = 0; i < 16; i++)
        ck_assert_float_eq(x[i], want[i]);
}
END_TEST

static void
make_row(float *x, uint32_t *state)
{
    for (size_t j = 0; j < COLS; j++)
        x[j] = small_random(state);
}

/* Each group has the values that its own type would give it by itself. */
START_TEST(groups_are_those_of_plain_types)
{
    static const unsigned char map[GROUPS] = { 2, 4, 1, 5, 3 };
    const struct mpq_type t = type_of(_i ? "int3g16vs" : "int3g16v");
    unsigned char row[256] = { 0 }, part[64];
    float x[COLS], importance[COLS], got[COLS], want[GROUP];
    uint32_t state = 5;

    make_row(x, &state);
    make_row(importance, &state);
    for (size_t j = 0; j < COLS; j++)
        importance[j] = fabsf(importance[j]);
    memcpy(row, map, GROUPS);
    mpq_encode_row(t, x, importance, row, COLS, MPQ_EFFORT_DEFAULT);
    ck_assert_mem_eq(row, map, GROUPS);
    mpq_decode_row(t, row, got, COLS);
    for (size_t g = 0; g < GROUPS; g++) {
        const size_t from = g * GROUP, n = g < FULL ? GROUP : COLS - from;
        struct mpq_type own = t;
        own.varied = 0;
        own.group = 0;
        own.bits = map[g];
        mpq_encode_row(own, x + from, importance + from, part, n, MPQ_EFFORT_DEFAULT);
        mpq_decode_row(own, part, want, n);
        for (size_t j = 0; j < n; j++)
            ck_assert_float_eq(got[from + j], want[j]);
    }
}
END_TEST

static void
make_hessian(double *h, uint32_t *state)
{
    float x[COLS];

    memset(h, 0, COLS * COLS * sizeof *h);
    for (size_t k = 0; k < 4 * COLS; k++) {
        make_row(x, state);
        for (size_t i = 0; i < COLS; i++)
            for (size_t j = 0; j < COLS; j++)
                h[i * COLS + j] += (double)x[i] * (double)x[j];
    }
}

/* The loss of rows W as type T with MAP, by GPTQ as it tells it. */
static double
gptq_loss(const double *h, const float *w, const char *type, const unsigned char *map,
          unsigned char *rows)
{
    const struct mpq_type t = type_of(type);
    const struct mpq_gptq_options o = { .damping = 0.01, .by_salience = 1 };
    struct mpq_err err = { 0 };
    struct mpq_gptq *g;
    double loss = 0;
    uint64_t bytes;

    ck_assert_int_eq(mpq_type_row_bytes(t, COLS, &bytes), 0);
    for (size_t r = 0; map && r < ROWS; r++)
        memcpy(rows + r * bytes, map, GROUPS);
    ck_assert_int_eq(mpq_gptq_new(&g, h, COLS, t, &o, NULL, NULL, &err), 0);
    float *scratch = calloc(mpq_gptq_scratch(g), sizeof *scratch);
    mpq_gptq_encode(g, w, NULL, ROWS, rows, scratch, &loss);
    free(scratch);
    mpq_gptq_free(g);
    return loss;
}

START_TEST(gptq_serves_groups_of_their_own_bits)
{
    static const unsigned char flat[GROUPS] = { 3, 3, 3, 3, 3 },
                               map[GROUPS] = { 2, 5, 4, 1, 3 };
    static double h[COLS * COLS];
    static float w[ROWS * COLS], x[COLS], y[COLS];
    static unsigned char rows[ROWS * 256], even[ROWS * 256];
    const struct mpq_type t = type_of("int3g16v"), plain = type_of("int3g16");
    uint32_t state = 9;
    uint64_t bytes, even_bytes;

    make_hessian(h, &state);
    for (size_t r = 0; r < ROWS; r++)
        make_row(w + r * COLS, &state);
    ck_assert_int_eq(mpq_type_row_bytes(t, COLS, &bytes), 0);
    ck_assert_int_eq(mpq_type_row_bytes(plain, COLS, &even_bytes), 0);
    const double loss = gptq_loss(h, w, "int3g16v", flat, rows);
    ck_assert_double_eq(loss, gptq_loss(h, w, "int3g16", NULL, even));
    for (size_t r = 0; r < ROWS; r++) {
        mpq_decode_row(t, rows + r * bytes, x, COLS);
        mpq_decode_row(plain, even + r * even_bytes, y, COLS);
        ck_assert_mem_eq(x, y, sizeof x);
    }
    /* with groups of their own the loss is that of the decoded rows */
    const double told = gptq_loss(h, w, "int3g16v", map, rows);
    double mean = 0, sum = 0;
    for (size_t j = 0; j < COLS; j++)
        mean += h[j * COLS + j] / COLS;
    for (size_t r = 0; r < ROWS; r++) {
        mpq_decode_row(t, rows + r * bytes, x, COLS);
        for (size_t i = 0; i < COLS; i++)
            for (size_t j = 0; j < COLS; j++)
                sum += ((double)x[i] - (double)w[r * COLS + i]) *
                       (h[i * COLS + j] + (i == j ? 0.01 * mean : 0)) *
                       ((double)x[j] - (double)w[r * COLS + j]);
    }
    ck_assert_double_eq_tol(told, sum, 1e-3 * sum); /* sums in float */
}
END_TEST

/* H of 2 by 2: the inverse's diagonal is h11 / det, h00 / det. */
START_TEST(the_diagonal_of_the_inverse_is_that)
{
    const double h[] = { 4, 1, 1, 2 };
    const struct mpq_gptq_options o = { .damping = 0, .by_salience = 1 };
    struct mpq_err err = { 0 };
    struct mpq_gptq *g;
    double d[2];

    ck_assert_int_eq(mpq_gptq_new(&g, h, 2, type_of("int3"), &o, NULL, NULL, &err), 0);
    mpq_gptq_inverse_diagonal(g, d);
    ck_assert_double_eq_tol(d[0], 2.0 / 7, 1e-6);
    ck_assert_double_eq_tol(d[1], 4.0 / 7, 1e-6);
    mpq_gptq_free(g);
}
END_TEST

Suite *
mpq_suite(void)
{
    Suite *s = suite_create("vary");
    TCase *tc = tcase_create("vary");

    tcase_add_loop_test(tc, bits_go_where_salience_is_and_keep_their_mean, 0,
                        sizeof maps / sizeof *maps);
    tcase_add_test(tc, a_row_is_as_long_as_one_of_even_groups);
    tcase_add_test(tc, decodes_a_row_worked_out_by_hand);
    tcase_add_loop_test(tc, groups_are_those_of_plain_types, 0, 2);
    tcase_add_test(tc, gptq_serves_groups_of_their_own_bits);
    tcase_add_test(tc, the_diagonal_of_the_inverse_is_that);
    suite_add_tcase(s, tc);
    return s;
}
