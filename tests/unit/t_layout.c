#include "suite.h"

#include "base/buf.h"
#include "model/layout.h"
#include "model/packfile.h"
#include "small.h"

#include <inttypes.h>

static struct mpq_source *
open_small(const char *path, uint64_t cols)
{
    struct mpq_source *s = NULL;
    struct mpq_err err = { 0 };

    small_write(path, cols, -1);
    ck_assert_msg(mpq_source_open(&s, path, NULL, &err) == 0, "%s", err.text);
    return s;
}

/* The table that a tool would write: a first line, the layout, no rows. */
static struct mpq_tsv *
through_tsv(const struct mpq_layout *l)
{
    const char *path = small_path("layout.tsv");
    struct mpq_tsv_writer w;
    struct mpq_out *out;
    struct mpq_tsv *t = NULL;
    struct mpq_err err = { 0 };

    ck_assert_int_eq(mpq_out_open(&out, path, &err), 0);
    ck_assert_int_eq(mpq_tsv_begin(&w, out, "stats", NULL, &err), 0);
    ck_assert_int_eq(mpq_layout_put(l, &w, &err), 0);
    ck_assert_int_eq(mpq_tsv_columns(&w, "layer\tunit", &err), 0);
    ck_assert_int_eq(mpq_tsv_end(&w, &err), 0);
    ck_assert_int_eq(mpq_out_close(out, &err), 0);
    ck_assert_msg(mpq_tsv_read(&t, path, "stats", &err) == 0, "%s", err.text);
    unlink(path);
    return t;
}

START_TEST(gguf_header_has_the_bytes_counted_by_hand)
{
    const char *path = small_path("layout.gguf");
    struct mpq_source *s = open_small(path, 256);
    struct mpq_layout l;
    /* a key: length and name, type, value; a string: length and bytes; an array: type
     * and count, then items */
    const uint64_t keys = (8 + 20 + 4 + 8 + 5) +    /* general.architecture: llama */
                          (8 + 17 + 4 + 4) +        /* general.file_type */
                          (8 + 12 + 4 + 8 + 9) +    /* general.name: small one */
                          (8 + 17 + 4 + 4) +        /* llama.block_count */
                          (8 + 9 + 4 + 4 + 8 + 8) + /* small.u64: one item */
                          (8 + 28 + 4 + 4) +        /* general.quantization_version */
                          (8 + 8 + 4 + 4 + 8 + 6) + /* mpq.plan: six tensors */
                          (8 + 14 + 4 + 8 + 1024);  /* mpq.provenance */
    /* a tensor: length and name, number of dimensions, these, type, offset */
    const uint64_t tensors = (8 + 17 + 4 + 16 + 4 + 8) + (8 + 22 + 4 + 8 + 4 + 8) +
                             (8 + 19 + 4 + 16 + 4 + 8) + (8 + 21 + 4 + 16 + 4 + 8) +
                             (8 + 19 + 4 + 16 + 4 + 8) + (8 + 18 + 4 + 8 + 4 + 8);
    const uint64_t head = 24 + keys + tensors;

    ck_assert_int_eq(mpq_layout_from_source(&l, s, NULL), 0);
    ck_assert_uint_eq(l.header_bytes, (head + 31) / 32 * 32);
    ck_assert_uint_eq(l.alignment, 32);
    ck_assert_uint_eq(l.rest_bytes, 2 * 256 * 4); /* two vectors of f32 */
    ck_assert_uint_eq(l.st_rest_bytes, 2 * 256 * 4);
    ck_assert_uint_eq(l.n, 4);
    ck_assert_uint_eq(l.n_layer, 2);
    ck_assert_int_eq(l.tied, 1);
    ck_assert_str_eq(l.name, "small one");
    mpq_layout_free(&l);
    mpq_source_free(s);
    unlink(path);
}
END_TEST

START_TEST(layout_survives_a_table)
{
    const char *path = small_path("layout.gguf");
    struct mpq_source *s = open_small(path, 64);
    struct mpq_layout a, b;

    ck_assert_int_eq(mpq_layout_from_source(&a, s, NULL), 0);
    struct mpq_tsv *t = through_tsv(&a);
    ck_assert_int_eq(mpq_layout_in_tsv(t), 1);
    ck_assert_int_eq(mpq_layout_from_tsv(&b, t, NULL), 0);
    ck_assert_uint_eq(a.n, b.n);
    for (size_t i = 0; i < a.n; i++) {
        ck_assert_str_eq(a.matrices[i].name, b.matrices[i].name);
        ck_assert_int_eq(mpq_type_eq(a.matrices[i].type, b.matrices[i].type), 1);
        ck_assert_uint_eq(a.matrices[i].rows, b.matrices[i].rows);
        ck_assert_uint_eq(a.matrices[i].cols, b.matrices[i].cols);
        ck_assert_int_eq(a.matrices[i].layer, b.matrices[i].layer);
        ck_assert_int_eq(a.matrices[i].role, b.matrices[i].role);
        ck_assert_int_eq(a.matrices[i].is_linear, b.matrices[i].is_linear);
        ck_assert_ptr_eq(mpq_layout_find(&b, a.matrices[i].name), &b.matrices[i]);
    }
    ck_assert_ptr_null(mpq_layout_find(&b, "blk.0"));
    ck_assert_int_eq(a.container, b.container);
    ck_assert_uint_eq(a.header_bytes, b.header_bytes);
    ck_assert_uint_eq(a.rest_bytes, b.rest_bytes);
    ck_assert_uint_eq(a.st_header_bytes, b.st_header_bytes);
    ck_assert_uint_eq(a.st_rest_bytes, b.st_rest_bytes);
    ck_assert_uint_eq(a.n_layer, b.n_layer);
    ck_assert_int_eq(a.tied, b.tied);
    ck_assert_str_eq(a.arch, b.arch);
    ck_assert_str_eq(a.name, b.name); /* has a blank in it */
    ck_assert_str_eq(a.id, b.id);
    char id[MPQ_ID_SIZE];
    mpq_layout_tsv_id(t, id);
    ck_assert_str_eq(id, a.id);
    ck_assert_uint_eq(strlen(id), 16);
    mpq_tsv_free(t);
    mpq_layout_free(&a);
    mpq_layout_free(&b);
    mpq_source_free(s);
    unlink(path);
}
END_TEST

static const char *const some_types[] = { "f32",      "f16",   "bf16",   "q8_0",
                                          "q4_0",     "q5_1",  "int3",   "int2g32",
                                          "int5g24s", "int1s", "int8g1", "iq4_nl" };
enum { N_TYPES = sizeof some_types / sizeof *some_types };

/* _i seeds the choice of types; every third run is of GGUF's types alone. */
START_TEST(size_of_a_file_is_known_before_it_is_planned)
{
    const char *path = small_path("layout.gguf");
    struct mpq_source *s = open_small(path, 32 * (uint64_t)(_i % 3 + 1));
    struct mpq_type types[4], all[SMALL_TENSORS];
    struct mpq_packfile f;
    struct mpq_layout l;
    struct mpq_err err = { 0 };
    uint32_t state = (uint32_t)_i + 1;
    uint64_t bytes;
    size_t n = 0;

    ck_assert_int_eq(mpq_layout_from_source(&l, s, NULL), 0);
    for (size_t i = 0; i < mpq_source_count(s); i++) {
        const struct mpq_weight *w = mpq_source_weight(s, i);
        all[i] = w->tensor.type;
        if (!w->is_matrix)
            continue;
        do {
            float x = small_random(&state);
            size_t k = (size_t)((x + 1) / 2 * N_TYPES) % N_TYPES;
            ck_assert_int_eq(mpq_type_parse(some_types[k], &all[i]), 0);
        } while (_i % 3 == 0 && !mpq_type_is_ggml(all[i]));
        types[n++] = all[i];
    }
    ck_assert_uint_eq(n, l.n);
    enum mpq_container c = mpq_layout_container(&l, types);
    ck_assert_int_eq(mpq_layout_file_bytes(&l, c, types, &bytes, &err), 0);
    ck_assert_msg(mpq_packfile_plan(
                      &f, s, c == MPQ_CONTAINER_GGUF ? MPQ_PACK_GGUF : MPQ_PACK_NATIVE,
                      all, "some provenance", &err) == 0,
                  "%s", err.text);
    ck_assert_uint_eq(f.size_bytes, bytes);
    mpq_packfile_free(&f);
    /* a native container of the same types, also where a GGUF would do */
    c = MPQ_CONTAINER_NATIVE;
    ck_assert_int_eq(mpq_layout_file_bytes(&l, c, types, &bytes, &err), 0);
    ck_assert_int_eq(mpq_packfile_plan(&f, s, MPQ_PACK_NATIVE, all, "other", &err), 0);
    ck_assert_uint_eq(f.size_bytes, bytes);
    mpq_packfile_free(&f);
    mpq_layout_free(&l);
    mpq_source_free(s);
    unlink(path);
}
END_TEST

#define FILE_LINE "##file 100 32 rest=64\n"
#define TENSOR    "##tensor a f32 2 4\n"

static const struct {
    const char *lines, *says;
} bad[] = {
    { "", "no ##file lines" },
    { TENSOR, "no ##file lines" },
    { FILE_LINE, "no ##tensor lines" },
    { FILE_LINE TENSOR "##file 100 32\n", "a second ##file line" },
    { FILE_LINE TENSOR "##tensor a f16 2 4\n", "a: two different lines" },
    { FILE_LINE "##tensor a f32 2\n", "NAME TYPE ROWS COLS expected" },
    { FILE_LINE "##tensor a f32 2 4 5\n", "NAME TYPE ROWS COLS expected" },
    { FILE_LINE "##tensor  f32 2 4\n", "no name" },
    { FILE_LINE "##tensor a f33 2 4\n", "unknown type" },
    { FILE_LINE "##tensor a f32 2 -4\n", "whole numbers from 1 on" },
    { FILE_LINE "##tensor a f32 0 4\n", "whole numbers from 1 on" },
    { FILE_LINE "##tensor a f32 2 0\n", "whole numbers from 1 on" },
    { FILE_LINE "##tensor a f32 4294967296 4294967296\n", "too large" },
    { FILE_LINE "##tensor a f32 18446744073709551615 18446744073709551615\n",
      "too large" },
    { FILE_LINE "##tensor a q4_k 1 255\n", "whole blocks" },
    { TENSOR "##file 100\n", "HEADER_BYTES ALIGNMENT expected" },
    { TENSOR "##file x 32\n", "HEADER_BYTES ALIGNMENT expected" },
    { TENSOR "##file 100 0\n", "HEADER_BYTES ALIGNMENT expected" },
    { TENSOR "##file 100 32 rest=-1\n", "a value is wrong" },
    { TENSOR "##file 100 32 rest\n", "a value is wrong" },
    { TENSOR "##file 18446744073709551615 32 rest=0\n", "more than 2^56 bytes" },
    { TENSOR "##file 100 32 st_rest=18446744073709551615\n", "more than 2^56 bytes" },
    { TENSOR "##file 100 32 container=zip\n", "a value is wrong" },
    { TENSOR "##file 100 32 model_id=0123456789abcde\n", "a value is wrong" },
    { TENSOR "##file 100 32 model_id=0123456789abcdef0\n", "a value is wrong" },
    { TENSOR "##file 100 32 model_id=0123456789ABCDEF\n", "a value is wrong" },
    { TENSOR "##file 100 32 st_header=18446744073709551616\n", "a value is wrong" },
    { TENSOR "##file 1 1 a=1 a=1 a=1 a=1 a=1 a=1 a=1 a=1 a=1 a=1 a=1 a=1 a=1 a=1 a=1"
             " a=1 a=1 a=1 a=1 a=1 a=1 a=1 a=1 a=1 a=1 a=1 a=1 a=1 a=1 a=1\n",
      "too many words" },
};

START_TEST(edited_lines_are_held_to_the_rules)
{
    struct mpq_buf text = { 0 };
    struct mpq_layout l;
    struct mpq_tsv *t;
    struct mpq_err err = { 0 };

    mpq_buf_printf(&text, "%s#layer\tunit\n", bad[_i].lines);
    ck_assert_int_eq(mpq_tsv_parse(&t, text.data, text.len, "t", NULL, &err), 0);
    ck_assert_int_eq(mpq_layout_from_tsv(&l, t, &err), -1);
    ck_assert_int_eq(err.code, MPQ_EDATA);
    ck_assert_msg(strstr(err.text, bad[_i].says) != NULL, "%s", err.text);
    mpq_layout_free(&l);
    mpq_tsv_free(t);
    mpq_buf_free(&text);
}
END_TEST

START_TEST(words_of_later_versions_are_passed_over)
{
    static const char text[] = TENSOR "##file 100 32 rest=64 new=thing name=a%20b\n"
                                      "#layer\tunit\n";
    struct mpq_layout l;
    struct mpq_tsv *t;
    struct mpq_type f16 = MPQ_TYPE(MPQ_F16);
    uint64_t bytes;

    ck_assert_int_eq(mpq_tsv_parse(&t, text, sizeof text - 1, "t", NULL, NULL), 0);
    ck_assert_int_eq(mpq_layout_from_tsv(&l, t, NULL), 0);
    ck_assert_str_eq(l.name, "a b");
    /* 100 of header, 64 of vectors, 16 padded to 32 */
    ck_assert_int_eq(mpq_layout_file_bytes(&l, MPQ_CONTAINER_GGUF, &f16, &bytes, NULL),
                     0);
    ck_assert_uint_eq(bytes, 100 + 64 + 32);
    mpq_layout_free(&l);
    mpq_tsv_free(t);
}
END_TEST

Suite *
mpq_suite(void)
{
    Suite *s = suite_create("layout");
    TCase *tc = tcase_create("layout");

    tcase_add_test(tc, gguf_header_has_the_bytes_counted_by_hand);
    tcase_add_test(tc, layout_survives_a_table);
    tcase_add_loop_test(tc, size_of_a_file_is_known_before_it_is_planned, 0, 30);
    tcase_add_loop_test(tc, edited_lines_are_held_to_the_rules, 0,
                        sizeof bad / sizeof *bad);
    tcase_add_test(tc, words_of_later_versions_are_passed_over);
    suite_add_tcase(s, tc);
    return s;
}
