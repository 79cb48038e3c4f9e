/* Importance matrices in both forms, from tests/data/gen_codec_imatrix.py. */
#include "quant/imatrix.h"

#include "suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const good[] = { "tests/data/imatrix/good.gguf",
                                    "tests/data/imatrix/good.dat" };

START_TEST(both_forms_give_the_means_of_each_token)
{
    static const float q[] = { 1, 2, 3, 4 }, experts[] = { 1, 2, 1, 1, 0.5f, 1.5f };
    struct mpq_err err = { 0 };
    struct mpq_imatrix *m;
    const float *values;
    uint64_t parts;

    ck_assert_msg(mpq_imatrix_open(&m, good[_i], &err) == 0, "%s", err.text);
    ck_assert_int_eq(mpq_imatrix_find(m, "blk.0.attn_q", 6, 4, &values, &parts, &err),
                     1);
    ck_assert_uint_eq(parts, 1);
    for (int i = 0; i < 4; i++)
        ck_assert_float_eq_tol(values[i], q[i], 1e-6f);
    /* 3 experts: the second saw nothing and counts evenly */
    ck_assert_int_eq(
        mpq_imatrix_find(m, "blk.1.ffn_down_exps", 15, 2, &values, &parts, &err), 1);
    ck_assert_uint_eq(parts, 3);
    for (int i = 0; i < 6; i++)
        ck_assert_float_eq_tol(values[i], experts[i], 1e-6f);
    mpq_imatrix_free(m);
}
END_TEST

START_TEST(what_no_token_reached_or_the_file_lacks_is_missing)
{
    struct mpq_err err = { 0 };
    struct mpq_imatrix *m;
    const float *values;
    uint64_t parts;

    ck_assert_int_eq(mpq_imatrix_open(&m, good[_i], &err), 0);
    ck_assert_int_eq(mpq_imatrix_find(m, "blk.2.ffn_up", 2, 3, &values, &parts, &err),
                     0);
    ck_assert_ptr_null(values);
    ck_assert_int_eq(mpq_imatrix_find(m, "blk.9.ffn_up", 2, 3, &values, &parts, &err),
                     0);
    ck_assert_int_eq(
        mpq_imatrix_find(m, "blk.0.attn_q.weight", 6, 4, &values, &parts, &err), 0);
    ck_assert_int_eq(err.code, 0);
    mpq_imatrix_free(m);
}
END_TEST

START_TEST(an_entry_of_another_shape_is_refused)
{
    struct mpq_err err = { 0 };
    struct mpq_imatrix *m;
    const float *values;
    uint64_t parts;

    ck_assert_int_eq(mpq_imatrix_open(&m, good[_i], &err), 0);
    ck_assert_int_eq(mpq_imatrix_find(m, "blk.0.attn_q", 6, 5, &values, &parts, &err),
                     -1);
    ck_assert_ptr_nonnull(strstr(err.text, "blk.0.attn_q: 4 values for 6 rows of 5"));
    err.code = 0; /* 3 parts do not divide 16 rows */
    ck_assert_int_eq(
        mpq_imatrix_find(m, "blk.1.ffn_down_exps", 16, 2, &values, &parts, &err), -1);
    mpq_imatrix_free(m);
}
END_TEST

/* A temporary file with these bytes: its name, to be freed. */
static char *
file_of(const unsigned char *bytes, size_t n)
{
    const char *dir = getenv("TMPDIR");
    char *name = malloc(300);
    snprintf(name, 300, "%s/mpq-imatrix.XXXXXX", dir ? dir : "/tmp");
    const int fd = mkstemp(name);
    ck_assert_int_ge(fd, 0);
    ck_assert(write(fd, bytes, n) == (ssize_t)n);
    close(fd);
    return name;
}

static void
refuse(const unsigned char *bytes, size_t n, const char *says)
{
    struct mpq_err err = { 0 };
    struct mpq_imatrix *m;
    char *name = file_of(bytes, n);

    ck_assert_int_eq(mpq_imatrix_open(&m, name, &err), -1);
    ck_assert_ptr_null(m);
    ck_assert_msg(strstr(err.text, says) && strstr(err.text, name),
                  "\"%s\" lacks \"%s\"", err.text, says);
    unlink(name);
    free(name);
}

static size_t
read_good(const char *path, unsigned char *bytes, size_t size)
{
    FILE *f = fopen(path, "rb");
    ck_assert_ptr_nonnull(f);
    const size_t n = fread(bytes, 1, size, f);
    fclose(f);
    return n;
}

#define ENTRY "\1\0\0\0\1\0\0\0a\1\0\0\0" /* 1 entry: "a", 1 call */
static const struct {
    const char *bytes;
    size_t n;
    const char *says;
} bad[] = {
    { "", 0, "cut short: 0 of 4 bytes for the number of entries" },
    { "\0\0\0\0", 4, "not an importance matrix: 0 entries in 4 bytes" },
    { "\377\377\377\377", 4, "negative number of entries (-1)" },
    { "\377\377\377\177aaaaaaaaaaaa", 16, "2147483647 entries in 16 bytes" },
    { "\1\0\0\0\377\377\377\177aaaaaaaaaaaa", 20, "name of 2147483647 bytes, 12 left" },
    { "\1\0\0\0\0\0\0\0\1\0\0\0\1\0\0\0\0\0\200\77", 20, "name is empty" },
    { "\1\0\0\0\1\0\0\0\t\1\0\0\0\1\0\0\0\0\0\200\77", 21, "has a tab" },
    { ENTRY "\0\0\0\0", 17, "a: no values" },
    { ENTRY "\377\377\377\177\0\0\200\77", 21, "values of 8589934588 bytes, 4 left" },
    { ENTRY "\1\0\0\0\0\0\300\177", 21, "a: value 0 is nan" },
    { ENTRY "\1\0\0\0\0\0\200\177", 21, "a: value 0 is inf" },
    { ENTRY "\1\0\0\0\0\0\200\277", 21, "a: value 0 is -1" },
    { ENTRY "\1\0\0\0\0\0\200\77\2\0\0\0\1\0\0\0tt", 31, "1 bytes after the end" },
    { ENTRY "\1\0\0\0\0\0\200\77\2\0\0\0\377\0\0\0t", 30, "text's name of 255 bytes" },
};

START_TEST(refuses_broken_files_of_the_old_form)
{
    refuse((const unsigned char *)bad[_i].bytes, bad[_i].n, bad[_i].says);
}
END_TEST

START_TEST(every_cut_of_either_form_is_refused)
{
    static unsigned char bytes[65536];
    const size_t n = read_good(good[_i], bytes, sizeof bytes);
    /* the old form may end after its entries, and after the number of chunks; the last
     * tensor of the other has 4 bytes and 28 of padding */
    const size_t trailer = _i == 1 ? 4 + 4 + 8 : 0, padding = _i == 0 ? 28 : 0;

    for (size_t k = 0; k < n - padding; k++)
        if (!trailer || (k != n - trailer && k != n - trailer + 4))
            refuse(bytes, k, ": ");
}
END_TEST

/* Changes the one place in the GGUF file where OLD stands. */
static void
refuse_changed(const void *old, const void *new, size_t size, const char *says)
{
    static unsigned char bytes[65536];
    const size_t n = read_good(good[0], bytes, sizeof bytes);
    size_t at = 0;

    while (at + size <= n && memcmp(bytes + at, old, size) != 0)
        at++;
    ck_assert_uint_le(at + size, n);
    memcpy(bytes + at, new, size);
    refuse(bytes, n, says);
}

START_TEST(refuses_broken_gguf_files)
{
    refuse_changed("\0\0\240\101", "\0\0\300\177", 4, "value 1 is nan"); /* 20 */
    refuse_changed("\0\0\240\101", "\0\0\240\301", 4, "value 1 is -20");
    refuse_changed("attn_q.weight.counts", "attn_q.weight.countz", 20,
                   "blk.0.attn_q.weight.in_sum2: has no blk.0.attn_q.weight.counts");
    refuse_changed("general.type\10\0\0\0\7\0\0\0\0\0\0\0imatrix",
                   "general.type\10\0\0\0\7\0\0\0\0\0\0\0adapter", 31,
                   "general.type is adapter, not imatrix");
    refuse((const unsigned char *)"GGUF", 4, "cut short");
}
END_TEST

Suite *
mpq_suite(void)
{
    Suite *s = suite_create("imatrix");
    TCase *tc = tcase_create("files");
    tcase_add_loop_test(tc, both_forms_give_the_means_of_each_token, 0, 2);
    tcase_add_loop_test(tc, what_no_token_reached_or_the_file_lacks_is_missing, 0, 2);
    tcase_add_loop_test(tc, an_entry_of_another_shape_is_refused, 0, 2);
    tcase_add_loop_test(tc, refuses_broken_files_of_the_old_form, 0,
                        sizeof bad / sizeof *bad);
    tcase_add_loop_test(tc, every_cut_of_either_form_is_refused, 0, 2);
    tcase_add_test(tc, refuses_broken_gguf_files);
    suite_add_tcase(s, tc);
    return s;
}
