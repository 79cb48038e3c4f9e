/* GGUF: what is read and what is written. */
#include "gguf_open.h"

#include "quant/codec.h"

#include <stdlib.h>
#include <string.h>

#define DIR "tests/data/formats/"

static const struct mpq_tensor *
find(const struct mpq_gguf *g, const char *name)
{
    for (size_t i = 0; i < mpq_gguf_count(g); i++)
        if (!strcmp(mpq_gguf_tensor(g, i)->name, name))
            return mpq_gguf_tensor(g, i);
    ck_abort_msg("no tensor %s", name);
    return NULL;
}

/* The formula of gen_formats.py. */
static double
value(const char *short_name, size_t i)
{
    return ((double)((5 * i + 3 * strlen(short_name)) % 61) - 30) / 16;
}

START_TEST(values_written_by_the_gguf_package_are_read)
{
    struct mpq_map map;
    struct mpq_gguf *g = open_file(DIR "kinds.gguf", &map);
    uint64_t u;
    double f;
    int b;
    char *s;

    ck_assert_uint_eq(mpq_gguf_version(g), 3);
    ck_assert_uint_eq(mpq_gguf_alignment(g), 32);
    ck_assert_uint_eq(mpq_gguf_file_size(g), map.size);
    ck_assert_uint_eq(mpq_gguf_kv_count(g), 19);
    ck_assert_str_eq(mpq_gguf_kv_at(g, 0)->key, "general.architecture");
    ck_assert_str_eq(mpq_gguf_kv_at(g, 18)->key, "k.strs");
    ck_assert_int_eq(mpq_gguf_get_u64(g, "k.u8", &u), 1);
    ck_assert_uint_eq(u, 200);
    ck_assert_int_eq(mpq_gguf_get_u64(g, "k.u16", &u), 1);
    ck_assert_uint_eq(u, 60000);
    ck_assert_int_eq(mpq_gguf_get_u64(g, "k.u32", &u), 1);
    ck_assert_uint_eq(u, 4000000000);
    ck_assert_int_eq(mpq_gguf_get_u64(g, "k.u64", &u), 1);
    ck_assert_uint_eq(u, UINT64_MAX);
    ck_assert_int_eq(mpq_gguf_get_u64(g, "k.i8", &u), -1);
    ck_assert_int_eq(mpq_gguf_get_u64(g, "k.f32", &u), -1);
    ck_assert_int_eq(mpq_gguf_get_u64(g, "k.str", &u), -1);
    ck_assert_int_eq(mpq_gguf_get_u64(g, "k.yes", &u), -1);
    ck_assert_int_eq(mpq_gguf_get_u64(g, "k.ints", &u), -1);
    ck_assert_int_eq(mpq_gguf_get_u64(g, "k.absent", &u), 0);
    static const struct {
        const char *key;
        double v;
    } numbers[] = { { "k.i8", -100 },     { "k.i16", -30000 }, { "k.i32", -2e9 },
                    { "k.i64", -0x1p63 }, { "k.f32", 1.5 },    { "k.f64", 1e300 },
                    { "k.u64", 0x1p64 } };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        ck_assert_int_eq(mpq_gguf_get_f64(g, numbers[i].key, &f), 1);
        ck_assert_double_eq(f, numbers[i].v);
    }
    ck_assert_int_eq(mpq_gguf_get_bool(g, "k.yes", &b), 1);
    ck_assert_int_eq(b, 1);
    ck_assert_int_eq(mpq_gguf_get_bool(g, "k.no", &b), 1);
    ck_assert_int_eq(b, 0);
    ck_assert_int_eq(mpq_gguf_get_bool(g, "k.u8", &b), -1);
    ck_assert_int_eq(mpq_gguf_get_str(g, "k.str", &s), 1);
    ck_assert_str_eq(s, "tab\there, \xc3\xbcml\xc3\xa4ut");
    free(s);
    ck_assert_int_eq(mpq_gguf_get_str(g, "k.empty", &s), 1);
    ck_assert_str_eq(s, "");
    free(s);
    ck_assert_int_eq(mpq_gguf_get_str(g, "k.u8", &s), -1);
    mpq_gguf_free(g);
    mpq_map_close(&map);
}
END_TEST

START_TEST(arrays_written_by_the_gguf_package_are_read)
{
    struct mpq_map map;
    struct mpq_gguf *g = open_file(DIR "kinds.gguf", &map);
    static const char *const strs[] = { "a", "", "ccc" };
    const struct mpq_gguf_kv *kv = mpq_gguf_kv_find(g, "k.ints");
    uint64_t u, n, pos = 0;
    const char *s;
    double f;

    ck_assert_uint_eq(kv->count, 3);
    ck_assert_int_eq(mpq_gguf_item_u64(kv, 2, &u), 0);
    ck_assert_uint_eq(u, 3);
    ck_assert_int_eq(mpq_gguf_item_u64(kv, 1, &u), -1); /* -2 */
    ck_assert_int_eq(mpq_gguf_item_f64(kv, 1, &f), 0);
    ck_assert_double_eq(f, -2);
    ck_assert_int_eq(mpq_gguf_item_u64(kv, 3, &u), -1);
    ck_assert_int_eq(mpq_gguf_item_f64(kv, 3, &f), -1);
    ck_assert_int_eq(mpq_gguf_item_f64(mpq_gguf_kv_find(g, "k.floats"), 1, &f), 0);
    ck_assert_double_eq(f, -0.25);
    kv = mpq_gguf_kv_find(g, "k.bools");
    ck_assert_uint_eq(kv->item_type, MPQ_GGUF_BOOL);
    ck_assert_int_eq(mpq_gguf_item_u64(kv, 0, &u), -1);
    kv = mpq_gguf_kv_find(g, "k.strs");
    for (size_t i = 0; i < 3; i++) {
        ck_assert_int_eq(mpq_gguf_next_str(kv, &pos, &s, &n), 1);
        ck_assert_uint_eq(n, strlen(strs[i]));
        ck_assert_mem_eq(s, strs[i], (size_t)n);
    }
    ck_assert_int_eq(mpq_gguf_next_str(kv, &pos, &s, &n), 0);
    pos = 0;
    ck_assert_int_eq(mpq_gguf_next_str(mpq_gguf_kv_find(g, "k.str"), &pos, &s, &n), 0);
    mpq_gguf_free(g);
    mpq_map_close(&map);
}
END_TEST

START_TEST(tensors_written_by_the_gguf_package_are_read)
{
    struct mpq_map map;
    struct mpq_gguf *g = open_file(DIR "kinds.gguf", &map);
    static const struct {
        const char *name, *formula;
        enum mpq_dtype type;
        unsigned n_dims;
        uint64_t cols, rows;
    } want[] = {
        { "one", "one", MPQ_F32, 1, 5, 1 },
        { "two.weight", "two", MPQ_F16, 2, 4, 3 },
        { "three", "three", MPQ_F32, 3, 4, 6 },
        { "four", "four", MPQ_F32, 4, 1, 12 },
        { "quants", NULL, MPQ_Q8_0, 2, 64, 2 },
        { "brain", "brain", MPQ_BF16, 2, 8, 2 },
    };
    float x[64];

    ck_assert_uint_eq(mpq_gguf_count(g), 6);
    for (size_t k = 0; k < 6; k++) {
        const struct mpq_tensor *t = mpq_gguf_tensor(g, k);
        ck_assert_str_eq(t->name, want[k].name);
        ck_assert_int_eq(t->type.id, want[k].type);
        ck_assert_uint_eq(t->n_dims, want[k].n_dims);
        ck_assert_uint_eq(mpq_tensor_cols(t), want[k].cols);
        ck_assert_uint_eq(mpq_tensor_rows(t), want[k].rows);
        size_t cols = (size_t)want[k].cols,
               row_bytes = (size_t)(t->size_bytes / want[k].rows);
        for (size_t r = 0; r < want[k].rows; r++) {
            mpq_decode_row(t->type, t->data + r * row_bytes, x, cols);
            for (size_t c = 0; c < cols; c++) {
                size_t i = r * cols + c;
                double v = want[k].formula ? value(want[k].formula, i)
                           : i % 32 == 0   ? 127
                                           : (double)(i * 37 % 255) - 127;
                ck_assert_double_eq((double)x[c], v);
            }
        }
    }
    mpq_gguf_free(g);
    mpq_map_close(&map);
}
END_TEST

START_TEST(a_rewritten_header_is_the_package_s_byte_for_byte)
{
    struct mpq_map map;
    struct mpq_gguf *g = open_file(DIR "kinds.gguf", &map);
    struct mpq_gguf_head h;
    struct mpq_buf out;
    struct mpq_err err = { 0 };

    mpq_gguf_head_init(&h, mpq_gguf_alignment(g));
    for (size_t i = 0; i < mpq_gguf_kv_count(g); i++)
        mpq_gguf_put_raw(&h, mpq_gguf_kv_at(g, i));
    for (size_t i = 0; i < mpq_gguf_count(g); i++) {
        const struct mpq_tensor *t = mpq_gguf_tensor(g, i);
        ck_assert_int_eq(
            mpq_gguf_put_tensor(&h, t->name, t->type, t->n_dims, t->dim, &err), 0);
    }
    ck_assert_int_eq(mpq_gguf_head_finish(&h, &out, &err), 0);
    ck_assert_uint_eq(out.len, mpq_gguf_head_size(&h));
    ck_assert_uint_eq(out.len, mpq_gguf_tensor(g, 0)->offset);
    ck_assert_mem_eq(out.data, map.data, out.len);
    ck_assert_uint_eq(out.len + h.data_size, map.size);
    mpq_buf_free(&out);
    mpq_gguf_head_free(&h);
    mpq_gguf_free(g);
    mpq_map_close(&map);
}
END_TEST

START_TEST(version_2_is_read_like_version_3)
{
    struct mpq_map map;
    struct mpq_gguf *g = open_file(DIR "llama.gguf", &map), *g2;
    struct mpq_err err;
    unsigned char *copy = malloc((size_t)map.size);

    ck_assert_ptr_nonnull(copy);
    memcpy(copy, map.data, (size_t)map.size);
    copy[4] = 2; /* what changed in version 3 is that it may be big-endian */
    ck_assert_msg(open_bytes(&g2, copy, (size_t)map.size, &err) == 0, "%s", err.text);
    ck_assert_uint_eq(mpq_gguf_version(g2), 2);
    ck_assert_uint_eq(mpq_gguf_count(g2), mpq_gguf_count(g));
    mpq_gguf_free(g2);
    mpq_gguf_free(g);
    mpq_map_close(&map);
    free(copy);
}
END_TEST

START_TEST(alignment_places_the_data)
{
    static const uint32_t alignments[] = { 1, 8, 64, 4096 };
    const uint64_t dim[] = { 3, 1 };
    struct mpq_err err = { 0 };

    for (size_t i = 0; i < sizeof alignments / sizeof *alignments; i++) {
        struct mpq_gguf_head h;
        struct mpq_buf out;
        struct mpq_gguf *g;

        mpq_gguf_head_init(&h, alignments[i]);
        mpq_gguf_put_u32(&h, "general.alignment", alignments[i]);
        for (const char *name = "a\0b\0c\0"; *name; name += 2)
            ck_assert_int_eq(
                mpq_gguf_put_tensor(&h, name, MPQ_TYPE(MPQ_F16), 2, dim, &err), 0);
        ck_assert_int_eq(mpq_gguf_head_finish(&h, &out, &err), 0);
        ck_assert_uint_eq(out.len % alignments[i], 0);
        for (uint64_t k = 0; k < h.data_size; k++)
            mpq_buf_add(&out, "", 1);
        ck_assert_msg(open_bytes(&g, out.data, out.len, &err) == 0, "%s", err.text);
        for (size_t k = 0; k < 3; k++)
            ck_assert_uint_eq(find(g, (const char *[]){ "a", "b", "c" }[k])->offset %
                                  alignments[i],
                              0);
        mpq_gguf_free(g);
        mpq_buf_free(&out);
        mpq_gguf_head_free(&h);
    }
}
END_TEST

START_TEST(what_the_writer_puts_is_read_back)
{
    static const char *const strs[] = { "x", "", "long one" };
    static const size_t lengths[] = { 1, 0, 8 };
    static const unsigned char items[] = { 1, 0, 255, 255 };
    struct mpq_gguf_head h;
    struct mpq_buf out;
    struct mpq_gguf *g;
    struct mpq_err err = { 0 };
    uint64_t u, pos = 0, n;
    const char *s;
    double f;
    int b;

    mpq_gguf_head_init(&h, 32);
    mpq_gguf_put_u32(&h, "u", 7);
    mpq_gguf_put_f32(&h, "f", -0.5f);
    mpq_gguf_put_bool(&h, "b", 5);
    mpq_gguf_put_str(&h, "s", "abc", 3);
    mpq_gguf_put_array(&h, "a", MPQ_GGUF_U16, items, 2, 2);
    mpq_gguf_put_strings(&h, "ss", strs, lengths, 3);
    ck_assert_int_eq(mpq_gguf_head_finish(&h, &out, &err), 0);
    ck_assert_msg(open_bytes(&g, out.data, out.len, &err) == 0, "%s", err.text);
    ck_assert_int_eq(mpq_gguf_get_u64(g, "u", &u), 1);
    ck_assert_uint_eq(u, 7);
    ck_assert_int_eq(mpq_gguf_get_f64(g, "f", &f), 1);
    ck_assert_double_eq(f, -0.5);
    ck_assert_int_eq(mpq_gguf_get_bool(g, "b", &b), 1);
    ck_assert_int_eq(b, 1);
    ck_assert_int_eq(mpq_gguf_item_u64(mpq_gguf_kv_find(g, "a"), 1, &u), 0);
    ck_assert_uint_eq(u, 65535);
    for (size_t i = 0; i < 3; i++) {
        ck_assert_int_eq(mpq_gguf_next_str(mpq_gguf_kv_find(g, "ss"), &pos, &s, &n), 1);
        ck_assert_uint_eq(n, lengths[i]);
    }
    mpq_gguf_free(g);
    mpq_buf_free(&out);
    mpq_gguf_head_free(&h);
}
END_TEST

Suite *
mpq_suite(void)
{
    Suite *s = suite_create("gguf");
    TCase *tc = tcase_create("gguf");

    tcase_add_test(tc, values_written_by_the_gguf_package_are_read);
    tcase_add_test(tc, arrays_written_by_the_gguf_package_are_read);
    tcase_add_test(tc, tensors_written_by_the_gguf_package_are_read);
    tcase_add_test(tc, a_rewritten_header_is_the_package_s_byte_for_byte);
    tcase_add_test(tc, version_2_is_read_like_version_3);
    tcase_add_test(tc, alignment_places_the_data);
    tcase_add_test(tc, what_the_writer_puts_is_read_back);
    suite_add_tcase(s, tc);
    return s;
}
