#include "suite.h"

#include "fmt/st.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIR "tests/data/formats/"

/* A file by hand: length, JSON, N bytes of data. The caller frees it. */
static struct mpq_buf
file(const char *json, size_t n)
{
    struct mpq_buf b = { 0 };
    size_t len = strlen(json);

    for (int i = 0; i < 8; i++)
        mpq_buf_add(&b, &(unsigned char){ (unsigned char)((uint64_t)len >> 8 * i) }, 1);
    mpq_buf_adds(&b, json);
    for (size_t i = 0; i < n; i++)
        mpq_buf_add(&b, "", 1);
    ck_assert_int_eq(b.failed, 0);
    return b;
}

static int
open_bytes(struct mpq_st **st, const void *bytes, size_t n, struct mpq_err *err)
{
    const struct mpq_map map = { n ? bytes : NULL, n };

    *err = (struct mpq_err){ 0 };
    return mpq_st_open(st, &map, "m.safetensors", err);
}

static void
refused(const void *bytes, size_t n, const char *says)
{
    struct mpq_st *st;
    struct mpq_err err;

    ck_assert_int_eq(open_bytes(&st, bytes, n, &err), -1);
    ck_assert_ptr_null(st);
    ck_assert_int_eq(err.code, MPQ_EDATA);
    ck_assert_msg(!strncmp(err.text, "m.safetensors: ", 15), "%s", err.text);
    ck_assert_msg(strstr(err.text, says) != NULL, "'%s' lacks '%s'", err.text, says);
}

static struct mpq_st *
open_file(const char *path, struct mpq_map *map)
{
    struct mpq_st *st = NULL;
    struct mpq_err err = { 0 };

    ck_assert_msg(mpq_map_open(map, path, &err) == 0, "%s", err.text);
    ck_assert_msg(mpq_st_open(&st, map, path, &err) == 0, "%s", err.text);
    return st;
}

START_TEST(what_the_safetensors_package_wrote_is_read)
{
    struct mpq_map map;
    struct mpq_st *st = open_file(DIR "dtypes.safetensors", &map);
    static const struct {
        const char *name;
        enum mpq_dtype type;
    } want[] = {
        { "f64", MPQ_F64 },   { "f32", MPQ_F32 },         { "f16", MPQ_F16 },
        { "bf16", MPQ_BF16 }, { "i64", MPQ_I64 },         { "i32", MPQ_I32 },
        { "i16", MPQ_I16 },   { "i8", MPQ_I8 },           { "u8", MPQ_U8 },
        { "bool", MPQ_BOOL }, { "f8_e4m3", MPQ_F8_E4M3 }, { "f8_e5m2", MPQ_F8_E5M2 },
    };

    ck_assert_uint_eq(mpq_st_count(st), 14);
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        const struct mpq_tensor *t = mpq_st_find(st, want[i].name);
        ck_assert_ptr_nonnull(t);
        ck_assert_int_eq(t->type.id, want[i].type);
        ck_assert_uint_eq(t->n_dims, 2);
        ck_assert_uint_eq(t->dim[0], 3); /* the last of the shape */
        ck_assert_uint_eq(t->dim[1], 2);
    }
    /* 0 1 2 3 4 5, little-endian */
    ck_assert_mem_eq(mpq_st_find(st, "u8")->data, "\0\1\2\3\4\5", 6);
    ck_assert_mem_eq(mpq_st_find(st, "i16")->data, "\0\0\1\0\2\0\3\0\4\0\5\0", 12);
    const struct mpq_tensor *scalar = mpq_st_find(st, "scalar");
    ck_assert_uint_eq(scalar->n_dims, 0);
    ck_assert_uint_eq(scalar->n_elements, 1);
    ck_assert_mem_eq(scalar->data, "\0\0\x20\x40", 4); /* 2.5f */
    const struct mpq_tensor *cube = mpq_st_find(st, "cube");
    ck_assert_uint_eq(mpq_tensor_cols(cube), 4);
    ck_assert_uint_eq(mpq_tensor_rows(cube), 6);
    ck_assert_uint_eq(cube->size_bytes, 96);
    ck_assert_ptr_null(mpq_st_find(st, "cubes"));
    ck_assert_uint_eq(mpq_st_meta_count(st), 1);
    ck_assert_str_eq(mpq_st_meta(st, "note"), "\xc3\xbc"
                                              "ber \"quotes\"\n\\");
    ck_assert_ptr_null(mpq_st_meta(st, "absent"));
    mpq_st_free(st);
    mpq_map_close(&map);
}
END_TEST

START_TEST(every_cut_of_a_file_is_refused)
{
    struct mpq_err err = { 0 };
    struct mpq_map map;

    ck_assert_int_eq(mpq_map_open(&map, DIR "dtypes.safetensors", &err), 0);
    for (uint64_t n = 0; n < map.size; n++) {
        unsigned char *bytes = malloc(n ? (size_t)n : 1);
        ck_assert_ptr_nonnull(bytes);
        memcpy(bytes, map.data, (size_t)n);
        refused(bytes, (size_t)n, "");
        free(bytes);
    }
    mpq_map_close(&map);
}
END_TEST

START_TEST(every_changed_byte_is_read_or_refused_in_one_line)
{
    struct mpq_err err = { 0 };
    struct mpq_map map;
    struct mpq_st *st;
    static const unsigned char patterns[] = { 0x00, '"', ']', '9', 0x80, 0xff };

    ck_assert_int_eq(mpq_map_open(&map, DIR "dtypes.safetensors", &err), 0);
    unsigned char *copy = malloc((size_t)map.size);
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, map.data, (size_t)map.size);
    for (uint64_t i = 0; i < map.size; i++) {
        for (size_t k = 0; k < sizeof patterns; k++) {
            copy[i] = patterns[k];
            if (open_bytes(&st, copy, (size_t)map.size, &err) < 0)
                ck_assert_msg(!strncmp(err.text, "m.safetensors: ", 15), "%s",
                              err.text);
            mpq_st_free(st);
        }
        copy[i] = map.data[i];
    }
    free(copy);
    mpq_map_close(&map);
}
END_TEST

#define T(dtype, shape, offsets)                                                       \
    "{\"t\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}}"

static const struct {
    const char *json;
    size_t data;
    const char *says;
} bad[] = {
    { "[]", 0, "header is no JSON object" },
    { "{", 0, "JSON, line 1" },
    { "{} x", 0, "JSON, line 1" },
    { "{\"t\":1}", 0, "tensor t: no JSON object" },
    { "{\"t\":{}}", 0, "tensor t: no dtype" },
    { "{\"t\":{\"dtype\":7}}", 0, "tensor t: no dtype" },
    { T("F31", "[1]", "[0,4]"), 4, "tensor t: unknown dtype F31" },
    { T("F32", "1", "[0,4]"), 4, "tensor t: no shape" },
    { T("F32", "[1.5]", "[0,4]"), 4, "tensor t: dimension 1 is no whole number" },
    { T("F32", "[-1]", "[0,4]"), 4, "tensor t: dimension 1 is no whole number" },
    { T("F32", "[2,0]", "[0,0]"), 0, "tensor t: dimension 2 is zero" },
    { T("F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]"), 4,
      "tensor t: 9 dimensions, at most 8" },
    { T("F32", "[4294967296,4294967296]", "[0,4]"), 4,
      "tensor t: more than 2^64 elem" },
    { T("F32", "[9223372036854775807]", "[0,4]"), 4,
      "tensor t: size overflows 64 bits" },
    { T("F32", "[9223372036854775808]", "[0,4]"), 4, "JSON, line 1" },
    { T("F32", "[2]", "[0]"), 8, "tensor t: no data_offsets of two numbers" },
    { T("F32", "[2]", "[0,8.0]"), 8, "tensor t: no data_offsets of two numbers" },
    { T("F32", "[2]", "[0,4]"), 8,
      "tensor t: offsets 0 to 4, but its shape takes 8 bytes" },
    { T("F32", "[2]", "[8,0]"), 8, "tensor t: offsets 8 to 0, but" },
    { T("F32", "[2]", "[0,8]"), 7, "tensor t: ends at byte 8 of 7 bytes of data" },
    { T("F32", "[2]", "[9223372036854775799,9223372036854775807]"), 8,
      "tensor t: ends at byte 9223372036854775807 of 8" },
    { T("F32", "[2]", "[4,12]"), 12, "begins at byte 4 of the data, leaves a hole" },
    { T("F32", "[2]", "[0,8]"), 9, "9 bytes of data, the tensors take 8" },
    { "{}", 1, "1 bytes of data, the tensors take 0" },
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
      "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[2,6]}}",
      6, "tensor b: begins at byte 2 of the data, overlaps what ends at 4" },
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
      "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}",
      2, "duplicate object key" },
    { "{\"a\\tb\":{}}", 0, "has a tab" },
    { "{\"a\\nb\":{}}", 0, "has a newline" },
    { "{\"a b\":{}}", 0, "has a blank" },
    { "{\"\":{}}", 0, "is empty" },
    { "{\"a\\u0000b\":{}}", 0, "JSON, line 1" },
    { "{\"a\xff\":{}}", 0, "JSON, line 1" },
    { "{\"__metadata__\":[]}", 0, "__metadata__: no JSON object" },
    { "{\"__metadata__\":{\"k\":1}}", 0, "__metadata__: k: no string" },
    { "{\"__metadata__\":{\"k\":\"a\\u0000b\"}}", 0,
      "__metadata__: k: has a NUL byte" },
};

START_TEST(broken_headers_are_refused)
{
    struct mpq_buf b = file(bad[_i].json, bad[_i].data);

    refused(b.data, b.len, bad[_i].says);
    mpq_buf_free(&b);
}
END_TEST

START_TEST(header_lengths_at_the_integer_limits_are_refused)
{
    static const char *const lengths[] = {
        "\xff\xff\xff\xff\xff\xff\xff\xff",
        "\xff\xff\xff\xff\xff\xff\xff\x7f",
        "\x03\0\0\0\0\0\0\0",
        "\xf8\xff\xff\xff\xff\xff\xff\xff",
    };

    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        char bytes[10];
        memcpy(bytes, lengths[i], 8);
        memcpy(bytes + 8, "{}", 2);
        refused(bytes, sizeof bytes, "cut short: header of ");
    }
}
END_TEST

START_TEST(deep_nesting_is_refused_not_a_crash)
{
    struct mpq_buf json = { 0 };

    for (int i = 0; i < 100000; i++)
        mpq_buf_adds(&json, "[");
    struct mpq_buf b = file(json.data, 0);
    refused(b.data, b.len, "JSON, line 1");
    mpq_buf_free(&b);
    mpq_buf_free(&json);
}
END_TEST

START_TEST(what_the_writer_puts_is_read_back)
{
    const uint64_t dim[] = { 3, 2 }, one[] = { 5 };
    struct mpq_st_head *h;
    struct mpq_buf out;
    struct mpq_st *st;
    struct mpq_err err = { 0 };
    static const char value[] = "{\"a\": \"b\\c\"}\n\ttab \x01 \x7f \xc3\xa9";

    ck_assert_int_eq(mpq_st_head_new(&h, &err), 0);
    ck_assert_int_eq(mpq_st_put_meta(h, "config.json", value, &err), 0);
    ck_assert_int_eq(mpq_st_put_meta(h, "k", "", &err), 0);
    ck_assert_int_eq(mpq_st_put_tensor(h, "a", MPQ_TYPE(MPQ_BF16), 2, dim, &err), 0);
    ck_assert_int_eq(mpq_st_put_tensor(h, "b", MPQ_TYPE(MPQ_U8), 1, one, &err), 0);
    ck_assert_int_eq(mpq_st_put_tensor(h, "c", MPQ_TYPE(MPQ_F32), 0, one, &err), 0);
    ck_assert_int_eq(mpq_st_head_finish(h, 1001, &out, &err), 0);
    ck_assert_uint_eq(out.len, 1008); /* at least 1001, a multiple of 8 */
    for (int i = 0; i < 12 + 5 + 4; i++)
        mpq_buf_add(&out, "", 1);
    ck_assert_msg(open_bytes(&st, out.data, out.len, &err) == 0, "%s", err.text);
    ck_assert_str_eq(mpq_st_meta(st, "config.json"), value);
    ck_assert_str_eq(mpq_st_meta(st, "k"), "");
    ck_assert_str_eq(mpq_st_meta_key(st, 1), "k");
    ck_assert_uint_eq(mpq_st_count(st), 3);
    ck_assert_uint_eq(mpq_st_tensor(st, 0)->offset, 1008);
    ck_assert_uint_eq(mpq_st_tensor(st, 0)->dim[0], 3);
    ck_assert_uint_eq(mpq_st_tensor(st, 1)->size_bytes, 5);
    ck_assert_uint_eq(mpq_st_tensor(st, 2)->n_dims, 0);
    mpq_st_free(st);
    mpq_buf_free(&out);
    mpq_st_head_free(h);
}
END_TEST

START_TEST(the_writer_refuses_what_the_format_lacks)
{
    const uint64_t dim[] = { 256, 2 }, huge[] = { (uint64_t)1 << 62, 4 };
    struct mpq_st_head *h;
    struct mpq_buf out;
    struct mpq_err err = { 0 };

    ck_assert_int_eq(mpq_st_head_new(&h, &err), 0);
    ck_assert_int_eq(mpq_st_put_tensor(h, "t", MPQ_TYPE(MPQ_Q4_K), 2, dim, &err), -1);
    ck_assert_str_eq(err.text, "tensor t: safetensors has no type q4_k");
    err.code = 0;
    ck_assert_int_eq(mpq_st_put_tensor(h, "t", MPQ_TYPE(MPQ_F32), 2, huge, &err), -1);
    ck_assert_str_eq(err.text, "tensor t: size overflows 64 bits");
    err.code = 0;
    ck_assert_int_eq(mpq_st_head_finish(h, 0, &out, &err), 0);
    ck_assert_uint_eq(out.len, 16); /* nothing was added: {} */
    ck_assert_mem_eq(out.data, "\10\0\0\0\0\0\0\0{}      ", 16);
    mpq_buf_free(&out);
    mpq_st_head_free(h);
}
END_TEST

Suite *
mpq_suite(void)
{
    Suite *s = suite_create("st");
    TCase *tc = tcase_create("st");

    tcase_add_test(tc, what_the_safetensors_package_wrote_is_read);
    tcase_add_test(tc, every_cut_of_a_file_is_refused);
    tcase_add_test(tc, every_changed_byte_is_read_or_refused_in_one_line);
    tcase_add_loop_test(tc, broken_headers_are_refused, 0, sizeof bad / sizeof *bad);
    tcase_add_test(tc, header_lengths_at_the_integer_limits_are_refused);
    tcase_add_test(tc, deep_nesting_is_refused_not_a_crash);
    tcase_add_test(tc, what_the_writer_puts_is_read_back);
    tcase_add_test(tc, the_writer_refuses_what_the_format_lacks);
    suite_add_tcase(s, tc);
    return s;
}
