/* The tables of mpq_type_error: entries derived anew, and known values. */
#include "quant/codec.h"

#include "suite.h"

#include <math.h>
#include <stdint.h>

enum { ROWS = 24, COLS = 4096 };

/* Other numbers than the tables were made with: xorshift64* and the polar method. */
static double
uniform(void)
{
    static uint64_t s = 88172645463325252u;
    s ^= s >> 12;
    s ^= s << 25;
    s ^= s >> 27;
    return ((double)((s * 2685821657736338717u) >> 11) + 0.5) / 9007199254740992.0;
}

static float
normal(void)
{
    double a, b, r;

    do {
        a = 2 * uniform() - 1;
        b = 2 * uniform() - 1;
        r = a * a + b * b;
    } while (r >= 1 || r <= 0);
    return (float)(a * sqrt(-2 * log(r) / r));
}

static struct mpq_type
type_of(const char *name)
{
    struct mpq_type t;
    ck_assert_int_eq(mpq_type_parse(name, &t), 0);
    return t;
}

static const char *const names[] = {
    "q8_0",     "q6_k",    "q5_k", "q5_1",     "q5_0",  "q4_k",    "q4_1",  "q4_0",
    "iq4_nl",   "iq4_xs",  "q3_k", "q2_k",     "f16",   "bf16",    "int1s", "int2",
    "int3g128", "int4g32", "int4", "int5g64s", "int8s", "int3g48s"
};

START_TEST(entries_are_what_encoding_normal_rows_gives)
{
    static float row[COLS], back[COLS];
    static unsigned char packed[8 * COLS];
    const struct mpq_type t = type_of(names[_i]);
    double sum = 0;

    for (int r = 0; r < ROWS; r++) {
        for (int i = 0; i < COLS; i++)
            row[i] = normal();
        const size_t cols = t.group == 48 ? 48 * 85 : COLS;
        mpq_encode_row(t, row, NULL, packed, cols, MPQ_EFFORT_DEFAULT);
        mpq_decode_row(t, packed, back, cols);
        for (size_t i = 0; i < cols; i++)
            sum +=
                ((double)row[i] - (double)back[i]) * ((double)row[i] - (double)back[i]);
    }
    const double error = sum / ((double)ROWS * COLS);
    /* 98,304 numbers leave a standard error of 0.5% (0.7% at 1 bit). A row of 8 bits
     * with one scale must reach to its largest element, whose square varies by some 14%
     * from row to row: 3% over 24 rows. */
    const int one_scale = t.id == MPQ_INT && t.bits == 8 && t.group == 0;
    ck_assert_double_eq_tol(mpq_type_error(t) / error, 1.0, one_scale ? 0.12 : 0.03);
}
END_TEST

/* J. Max, Quantizing for minimum distortion (1960), table II: least error of evenly
 * spaced levels for a normal distribution. A scale for a whole row comes close; the
 * asymmetric types have Max's levels among theirs. */
START_TEST(whole_rows_come_close_to_max)
{
    static const double max_error[] = { 0.3634, 0.1188, 0.03744, 0.01154, 0.003495 };
    for (uint8_t bits = 1; bits <= 5; bits++) {
        const struct mpq_type t = { .id = MPQ_INT, .bits = bits };
        ck_assert_double_eq_tol(mpq_type_error(t) / max_error[bits - 1], 1.0, 0.02);
    }
}
END_TEST

START_TEST(errors_fall_with_bits_and_grow_with_groups)
{
    for (uint8_t s = 0; s < 2; s++) {
        for (uint8_t bits = 1; bits <= 8; bits++) {
            struct mpq_type t = { .id = MPQ_INT, .bits = bits, .symmetric = s };
            double last = 0;
            for (t.group = 1; t.group <= 10000; t.group += 1 + t.group / 8) {
                const double e = mpq_type_error(t);
                ck_assert(e > 0 && e >= last);
                last = e;
                struct mpq_type more = t;
                more.bits++;
                if (bits < 8)
                    ck_assert(mpq_type_error(more) < e);
            }
            t.group = 0;
            ck_assert(mpq_type_error(t) >= last);
        }
    }
}
END_TEST

START_TEST(a_type_without_codec_has_none)
{
    ck_assert(isnan(mpq_type_error(type_of("q8_1"))));
    ck_assert(isnan(mpq_type_error(type_of("i32"))));
    ck_assert_double_eq(mpq_type_error(type_of("f32")), 0.0);
}
END_TEST

Suite *
mpq_suite(void)
{
    Suite *s = suite_create("type error");
    TCase *tc = tcase_create("tables");
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, entries_are_what_encoding_normal_rows_gives, 0,
                        sizeof names / sizeof *names);
    tcase_add_test(tc, whole_rows_come_close_to_max);
    tcase_add_test(tc, errors_fall_with_bits_and_grow_with_groups);
    tcase_add_test(tc, a_type_without_codec_has_none);
    suite_add_tcase(s, tc);
    return s;
}
