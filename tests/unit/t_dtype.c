#include "suite.h"

#include "fmt/dtype.h"

#include <stdio.h>
#include <string.h>

START_TEST(ggml_types_have_the_sizes_that_the_gguf_package_gives)
{
    FILE *f = fopen("tests/data/ggml_types.tsv", "r"); /* gen_dtype.py */
    unsigned id, block, bytes, n = 0;
    char name[32], ours[MPQ_TYPE_NAME_MAX];

    ck_assert_ptr_nonnull(f);
    while (fscanf(f, "%u %31s %u %u", &id, name, &block, &bytes) == 4) {
        struct mpq_type t, parsed;
        uint64_t size = 0;
        ck_assert_msg(mpq_type_from_ggml(id, &t) == 0, "id %u", id);
        ck_assert_str_eq(mpq_type_name(t, ours), name);
        ck_assert_int_eq(mpq_type_parse(name, &parsed), 0);
        ck_assert_int_eq(mpq_type_eq(t, parsed), 1);
        ck_assert_uint_eq(mpq_type_block(t), block);
        ck_assert_int_eq(mpq_type_row_bytes(t, 3 * (uint64_t)block, &size), 0);
        ck_assert_uint_eq(size, 3 * bytes);
        n++;
    }
    fclose(f);
    ck_assert_uint_ge(n, 33);
    /* newer than the package: 64 codes of 2 bits and an f16 scale */
    uint64_t q2_0 = 0;
    ck_assert_int_eq(mpq_type_row_bytes(MPQ_TYPE(MPQ_Q2_0), 128, &q2_0), 0);
    ck_assert_uint_eq(q2_0, 36);
}
END_TEST

START_TEST(removed_and_unknown_ids_are_refused)
{
    static const uint64_t bad[] = { 4,  5,  31, 32, 33,       36,        37,
                                    38, 43, 64, 96, 1u << 31, UINT64_MAX };
    struct mpq_type t;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_int_eq(mpq_type_from_ggml(bad[i], &t), -1);
}
END_TEST

static const struct {
    const char *name;
    uint64_t cols, bytes;
} native[] = {
    /* bytes = ceil(cols bits / 8) + groups * (2 scale [+ 2 zero]) */
    { "int4g128", 256, 128 + 2 * 4 },
    { "int4g128s", 256, 128 + 2 * 2 },
    { "int3", 10, 4 + 4 },
    { "int3g4", 10, 4 + 3 * 4 },
    { "int1g1000s", 10, 2 + 2 },
    { "int8s", 7, 7 + 2 },
    { "int2g64", 576, 144 + 9 * 4 },
    { "int3g128v", 576, 5 + 216 + 5 * 4 },
    { "int3g128vs", 256, 2 + 96 + 2 * 2 },
};

START_TEST(native_rows_hold_codes_scales_and_zeros)
{
    struct mpq_type t;
    uint64_t bytes;
    char name[MPQ_TYPE_NAME_MAX];

    ck_assert_int_eq(mpq_type_parse(native[_i].name, &t), 0);
    ck_assert_str_eq(mpq_type_name(t, name), native[_i].name);
    ck_assert_int_eq(mpq_type_row_bytes(t, native[_i].cols, &bytes), 0);
    ck_assert_uint_eq(bytes, native[_i].bytes);
    bytes -= mpq_type_map_bytes(t, native[_i].cols); /* the matrix has one map */
    ck_assert_double_eq(mpq_type_bpw(t, native[_i].cols),
                        8.0 * (double)bytes / (double)native[_i].cols);
}
END_TEST

START_TEST(names_that_are_no_type_are_refused)
{
    static const char *const bad[] = { "",
                                       "int",
                                       "int0",
                                       "int9",
                                       "int4g",
                                       "int4g0",
                                       "int4x",
                                       "q4",
                                       "q4_k ",
                                       "int4gs",
                                       "int04294967",
                                       "intel",
                                       "int4g99999999999",
                                       "int3v",
                                       "int3g12v",
                                       "int1g128v",
                                       "int8g128v",
                                       "int3g128sv" };
    struct mpq_type t;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(mpq_type_parse(bad[i], &t) < 0, "%s", bad[i]);
    ck_assert_int_eq(mpq_type_parse("Q4_K", &t), 0);
    ck_assert_int_eq(t.id, MPQ_Q4_K);
}
END_TEST

START_TEST(rows_must_be_whole_blocks_and_sizes_must_not_overflow)
{
    uint64_t bytes;
    ck_assert_int_eq(mpq_type_fits(MPQ_TYPE(MPQ_Q4_K), 576), 0);
    ck_assert_int_eq(mpq_type_fits(MPQ_TYPE(MPQ_Q4_0), 576), 1);
    ck_assert_int_eq(mpq_type_fits(MPQ_TYPE(MPQ_F32), 0), 0);
    ck_assert_int_eq(mpq_type_row_bytes(MPQ_TYPE(MPQ_Q4_K), 576, &bytes), -1);
    ck_assert_int_eq(mpq_type_bytes(MPQ_TYPE(MPQ_F32), UINT64_MAX / 8, 4, &bytes), -1);
    ck_assert_int_eq(mpq_type_row_bytes(MPQ_TYPE(MPQ_F32), UINT64_MAX / 2, &bytes), -1);
    struct mpq_type t = { .id = MPQ_INT, .bits = 8, .group = 1 };
    ck_assert_int_eq(mpq_type_row_bytes(t, UINT64_MAX / 4, &bytes), -1);
}
END_TEST

Suite *
mpq_suite(void)
{
    Suite *s = suite_create("dtype");
    TCase *tc = tcase_create("types");
    tcase_add_test(tc, ggml_types_have_the_sizes_that_the_gguf_package_gives);
    tcase_add_test(tc, removed_and_unknown_ids_are_refused);
    tcase_add_loop_test(tc, native_rows_hold_codes_scales_and_zeros, 0,
                        sizeof native / sizeof *native);
    tcase_add_test(tc, names_that_are_no_type_are_refused);
    tcase_add_test(tc, rows_must_be_whole_blocks_and_sizes_must_not_overflow);
    suite_add_tcase(s, tc);
    return s;
}
