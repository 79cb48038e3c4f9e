/* Half precision against its definition, worked out in double with ldexp. */
#include "quant/half.h"

#include "suite.h"

#include <math.h>

/* Value of sign, EXPONENT_BITS and MANTISSA_BITS of H, finite ones only. */
static double
value(uint32_t h, int exponent_bits, int mantissa_bits)
{
    const int bias = (1 << (exponent_bits - 1)) - 1;
    const int exponent = (int)(h >> mantissa_bits) & ((1 << exponent_bits) - 1);
    const double mantissa = (double)(h & ((1u << mantissa_bits) - 1));
    const double one = ldexp(1.0, mantissa_bits);
    const double x = exponent == 0
                         ? ldexp(mantissa, 1 - bias - mantissa_bits)
                         : ldexp(one + mantissa, exponent - bias - mantissa_bits);
    return h >> (exponent_bits + mantissa_bits) & 1 ? -x : x;
}

START_TEST(all_65536_f16_decode_to_their_definition_and_back)
{
    for (uint32_t h = 0; h < 65536; h++) {
        const float x = mpq_f16_to_f32((uint16_t)h);
        if ((h & 0x7c00) == 0x7c00) {
            if (h & 0x3ff) {
                ck_assert(isnan(x));
                ck_assert_uint_eq(mpq_f32_to_f16(x) | 0x200, h | 0x200);
                continue;
            }
            ck_assert(isinf(x) && !signbit(x) == !(h & 0x8000));
        } else {
            ck_assert_double_eq((double)x, value(h, 5, 10));
            ck_assert(!signbit(x) == !(h & 0x8000));
        }
        ck_assert_uint_eq(mpq_f32_to_f16(x), h);
    }
}
END_TEST

START_TEST(all_65536_bf16_decode_to_their_definition_and_back)
{
    for (uint32_t h = 0; h < 65536; h++) {
        const float x = mpq_bf16_to_f32((uint16_t)h);
        if ((h & 0x7f80) == 0x7f80 && (h & 0x7f)) {
            ck_assert(isnan(x));
            ck_assert_uint_eq(mpq_f32_to_bf16(x), h | 0x40);
            continue;
        }
        if ((h & 0x7f80) != 0x7f80)
            ck_assert_double_eq((double)x, value(h, 8, 7));
        ck_assert_uint_eq(mpq_f32_to_bf16(x), h);
    }
}
END_TEST

/* Between every two neighbors: the middle goes to the even one, what lies a float
 * beside it to the nearer one. The middles are exact in single precision. */
START_TEST(f16_rounds_to_nearest_and_ties_to_even)
{
    for (uint32_t h = 0; h < 0x7c00; h++) {
        const double above = h == 0x7bff ? 65536.0 : value(h + 1, 5, 10);
        const float middle = (float)((value(h, 5, 10) + above) / 2);
        for (int sign = 0; sign < 2; sign++) {
            const float s = sign ? -1.0f : 1.0f;
            const uint32_t bit = sign ? 0x8000 : 0;
            ck_assert_uint_eq(mpq_f32_to_f16(s * nextafterf(middle, 0)), h | bit);
            ck_assert_uint_eq(mpq_f32_to_f16(s * middle), ((h + 1) & ~1u) | bit);
            ck_assert_uint_eq(mpq_f32_to_f16(s * nextafterf(middle, INFINITY)),
                              (h + 1) | bit);
        }
    }
    ck_assert_uint_eq(mpq_f32_to_f16(3e38f), 0x7c00);
    ck_assert_uint_eq(mpq_f32_to_f16(-1e-45f), 0x8000);
}
END_TEST

START_TEST(bf16_rounds_to_nearest_and_ties_to_even)
{
    for (uint32_t h = 0; h < 0x7f80; h++) {
        const float middle = mpq_bits_f32(h << 16 | 0x8000);
        ck_assert_uint_eq(mpq_f32_to_bf16(mpq_bits_f32(h << 16 | 0x7fff)), h);
        ck_assert_uint_eq(mpq_f32_to_bf16(middle), (h + 1) & ~1u);
        ck_assert_uint_eq(mpq_f32_to_bf16(mpq_bits_f32(h << 16 | 0x8001)), h + 1);
    }
}
END_TEST

START_TEST(what_is_stored_in_f16_is_finite)
{
    unsigned char b[2];
    mpq_put_f16(b, 1e30f);
    ck_assert_float_eq(mpq_get_f16(b), 65504.0f);
    mpq_put_f16(b, -65530.0f);
    ck_assert_float_eq(mpq_get_f16(b), -65504.0f);
    ck_assert_float_eq(mpq_f16_round(70000.0f), 65504.0f);
    ck_assert_float_eq(mpq_f16_round(1.0f + 1.0f / 4096), 1.0f);
}
END_TEST

Suite *
mpq_suite(void)
{
    Suite *s = suite_create("half");
    TCase *tc = tcase_create("conversions");
    tcase_add_test(tc, all_65536_f16_decode_to_their_definition_and_back);
    tcase_add_test(tc, all_65536_bf16_decode_to_their_definition_and_back);
    tcase_add_test(tc, f16_rounds_to_nearest_and_ties_to_even);
    tcase_add_test(tc, bf16_rounds_to_nearest_and_ties_to_even);
    tcase_add_test(tc, what_is_stored_in_f16_is_finite);
    suite_add_tcase(s, tc);
    return s;
}
