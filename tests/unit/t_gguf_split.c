/* GGUF in several files. */
#include "folder.h"
#include "gguf_open.h"

#include <string.h>

#define DIR "tests/data/formats/"

START_TEST(a_split_model_is_read_as_one)
{
    struct mpq_map map, whole_map;
    struct mpq_gguf *g = open_file(DIR "split-00001-of-00003.gguf", &map);
    struct mpq_gguf *whole = open_file(DIR "llama.gguf", &whole_map);

    ck_assert_uint_eq(mpq_gguf_count(g), mpq_gguf_count(whole));
    for (size_t i = 0; i < mpq_gguf_count(g); i++) {
        const struct mpq_tensor *a = mpq_gguf_tensor(g, i),
                                *b = mpq_gguf_tensor(whole, i);
        ck_assert_str_eq(a->name, b->name);
        ck_assert_uint_eq(a->size_bytes, b->size_bytes);
        ck_assert_mem_eq(a->data, b->data, (size_t)a->size_bytes);
        ck_assert_uint_eq(a->part, i / 9);
    }
    ck_assert_uint_eq(mpq_gguf_kv_count(g), mpq_gguf_kv_count(whole));
    for (size_t i = 0; i < mpq_gguf_kv_count(g); i++)
        ck_assert_str_eq(mpq_gguf_kv_at(g, i)->key, mpq_gguf_kv_at(whole, i)->key);
    ck_assert_ptr_null(mpq_gguf_kv_find(g, "split.count"));
    mpq_gguf_free(g);
    mpq_gguf_free(whole);
    mpq_map_close(&map);
    mpq_map_close(&whole_map);
}
END_TEST

/* Opens the file PART under the name PATH: the error's text. */
static const char *
split_error(const char *part, const char *path)
{
    static struct mpq_err err;
    struct mpq_map map;
    struct mpq_gguf *g;

    err = (struct mpq_err){ 0 };
    ck_assert_int_eq(mpq_map_open(&map, part, &err), 0);
    ck_assert_int_eq(mpq_gguf_open(&g, &map, path, &err), -1);
    mpq_map_close(&map);
    return err.text;
}

/* The file FROM, in the folder of the test as NAME. */
static void
copy_in(const char *from, const char *name)
{
    struct mpq_err err = { 0 };
    struct mpq_map map;

    ck_assert_int_eq(mpq_map_open(&map, from, &err), 0);
    put_file(name, map.data, (size_t)map.size);
    mpq_map_close(&map);
}

START_TEST(a_split_model_with_a_fault_names_the_part)
{
    const char *first = DIR "split-00001-of-00003.gguf";
    const char *second = DIR "split-00002-of-00003.gguf";
    char path[128];

    snprintf(path, sizeof path, "%s", in_tmp("m-00001-of-00003.gguf"));
    ck_assert_str_eq(split_error(second, second),
                     DIR "split-00002-of-00003.gguf: part 2 of 3 of a split model: "
                         "give the first part");
    ck_assert_ptr_nonnull(
        strstr(split_error(first, "standard input"),
               "standard input: part 1 of 3 of a split model, but not a file named "
               "NAME-00001-of-00003.gguf"));
    copy_in(first, "m-00001-of-00003.gguf");
    ck_assert_ptr_nonnull(
        strstr(split_error(path, path), "m-00002-of-00003.gguf: No such file"));
    copy_in(second, "m-00002-of-00003.gguf");
    ck_assert_ptr_nonnull(
        strstr(split_error(path, path), "m-00003-of-00003.gguf: No such file"));
    copy_in(second, "m-00003-of-00003.gguf");
    ck_assert_ptr_nonnull(
        strstr(split_error(path, path),
               "m-00003-of-00003.gguf: says it is part 2 of 3, not 3 of 3"));
}
END_TEST

Suite *
mpq_suite(void)
{
    Suite *s = suite_create("gguf_split");
    TCase *tc = tcase_create("gguf_split");

    tcase_add_checked_fixture(tc, make_tmp, remove_tmp);
    tcase_add_test(tc, a_split_model_is_read_as_one);
    tcase_add_test(tc, a_split_model_with_a_fault_names_the_part);
    suite_add_tcase(s, tc);
    return s;
}
