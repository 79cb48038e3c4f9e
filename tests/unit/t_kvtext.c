#include "suite.h"

#include "fmt/json.h"
#include "fmt/kvtext.h"

#include <stdlib.h>
#include <string.h>

/* Is what is counted what quoting the text gives? */
static void
check_json_bytes(const struct mpq_gguf_kv *kv, const char *text)
{
    struct mpq_buf quoted = { 0 };
    uint64_t bytes;

    mpq_json_quote(&quoted, text, strlen(text));
    ck_assert_int_eq(mpq_kvtext_json_bytes(kv, &bytes), 0);
    ck_assert_uint_eq(bytes + 2, quoted.len);
    mpq_buf_free(&quoted);
}

/* KEY = the value that TEXT stands for, read back by the GGUF reader, as text again. */
static char *
round_trip(const char *text, struct mpq_err *err)
{
    struct mpq_gguf_head h;
    struct mpq_buf bytes = { 0 }, again = { 0 };
    struct mpq_gguf *g = NULL;

    mpq_gguf_head_init(&h, 32);
    if (mpq_kvtext_put(&h, "key", text, "file", err) == 0 &&
        mpq_gguf_head_finish(&h, &bytes, err) == 0) {
        const struct mpq_map map = { (const unsigned char *)bytes.data, bytes.len };
        ck_assert_msg(mpq_gguf_open(&g, &map, "file", err) == 0, "%s", err->text);
        mpq_kvtext_add(&again, mpq_gguf_kv_at(g, 0));
        check_json_bytes(mpq_gguf_kv_at(g, 0), again.data);
    }
    mpq_gguf_free(g);
    mpq_gguf_head_free(&h);
    mpq_buf_free(&bytes);
    return again.data;
}

static const char *const good[] = {
    "u8 255",
    "i8 -128",
    "u16 65535",
    "i16 -1",
    "u32 4294967295",
    "i32 -2147483648",
    "u64 18446744073709551615",
    "i64 -9223372036854775808",
    "i64 9223372036854775807",
    "f32 0.100000001",
    "f32 -0",
    "f32 -12345678",
    "f32 999999936",
    "f32 1e+09",
    "f32 -0.5",
    "f32 inf",
    "f32 nan",
    "f64 0.10000000000000001",
    "f64 -inf",
    "f64 4.9406564584124654e-324",
    "bool 0",
    "bool 1",
    "str ",
    "str a b",
    "str 100%25 %00 %ff %c3( \n\t\"\\ \xc3\xa9 \xe2\x82\xac",
    "str \x01\x1f\x7f\xf0\x9f\x98\x80 %f0%9f\r",
    "str[3] a\\\"b %7f%c3( \xf0\x9f\x98\x80%ff",
    "u8[0]",
    "u8[3] 0 1 255",
    "f32[2] nan 1.5",
    "bool[2] 0 1",
    "str[0]",
    "str[1] ",
    "str[3]   ",
    "str[4] a%20b %0a %25 \xc4\xa0the",
};

START_TEST(every_value_comes_back_as_it_was)
{
    struct mpq_err err = { 0 };
    char *again = round_trip(good[_i], &err);

    ck_assert_msg(again != NULL, "%s", err.text);
    ck_assert_str_eq(again, good[_i]);
    free(again);
}
END_TEST

static const char *const bad[] = {
    "",
    "u8",
    "u8 ",
    "u8 256",
    "u8 -1",
    "u8 1 ",
    "i8 128",
    "i8 -129",
    "u7 1",
    "array 1",
    "bool 2",
    "f32 ",
    "f32 1x",
    "f32 0x10",
    "f32  1",
    "u8[]",
    "u8[1]",
    "u8[1] ",
    "u8[2] 1",
    "u8[1] 1 2",
    "u8[x] 1",
    "u8[1 1",
    "u8[1]1",
    "str %",
    "str %0",
    "str %zz",
    "str[1] %F",
    "str[2] a",
    "u8[-1]",
    "U8 1",
    "u64 18446744073709551616",
    "i64 9223372036854775808",
    "f64 nan(1)",
    "u8[18446744073709551615] 1",
};

START_TEST(anything_else_is_refused_and_named)
{
    struct mpq_err err = { 0 };

    ck_assert_ptr_null(round_trip(bad[_i], &err));
    ck_assert_int_eq(err.code, MPQ_EDATA);
    ck_assert_ptr_nonnull(strstr(err.text, "file: key key: "));
}
END_TEST

/* Bits by hand: 1.5f is 0x3fc00000. */
START_TEST(bytes_are_those_of_a_gguf_file)
{
    static const unsigned char value[] = { 9, 0, 0, 0, 6, 0, 0, 0, 1,    0,
                                           0, 0, 0, 0, 0, 0, 0, 0, 0xc0, 0x3f };
    struct mpq_gguf_head h;

    mpq_gguf_head_init(&h, 32);
    ck_assert_int_eq(mpq_kvtext_put(&h, "key", "f32[1] 1.5", "file", NULL), 0);
    ck_assert_uint_eq(h.n_kv, 1);
    ck_assert_uint_eq(h.kvs.len, 8 + 3 + 4 + 4 + 8 + 4);
    ck_assert_mem_eq(h.kvs.data + 8, "key", 3);
    ck_assert_mem_eq(h.kvs.data + 11, value, sizeof value);
    mpq_gguf_head_free(&h);
}
END_TEST

Suite *
mpq_suite(void)
{
    Suite *s = suite_create("kvtext");
    TCase *tc = tcase_create("kvtext");

    tcase_add_loop_test(tc, every_value_comes_back_as_it_was, 0,
                        sizeof good / sizeof *good);
    tcase_add_loop_test(tc, anything_else_is_refused_and_named, 0,
                        sizeof bad / sizeof *bad);
    tcase_add_test(tc, bytes_are_those_of_a_gguf_file);
    suite_add_tcase(s, tc);
    return s;
}
