#ifdef __linux__
#define _GNU_SOURCE /* sched_setaffinity */
#endif
#include "suite.h"

#include "base/buf.h"
#include "base/io.h"
#include "base/par.h"
#include "base/parse.h"

#include <errno.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

START_TEST(first_failure_is_kept_and_masked)
{
    struct mpq_err err = { 0 };
    ck_assert_int_eq(mpq_fail(&err, MPQ_EDATA, "a\tb\n%s", "\x1b[31m"), -1);
    ck_assert_str_eq(err.text, "a?b??[31m");
    mpq_fail(&err, MPQ_ENOMEM, "second");
    ck_assert_int_eq(err.code, MPQ_EDATA);
    ck_assert_int_eq(mpq_fail(NULL, MPQ_EDATA, "nobody listens"), -1);
}
END_TEST

static const struct {
    const char *text;
    int rc;
    uint64_t value;
} bytes[] = {
    { "0", 0, 0 },
    { "18446744073709551615", 0, UINT64_MAX },
    { "18446744073709551616", -1, 0 },
    { "90M", 0, 90000000 },
    { "90MB", 0, 90000000 },
    { "1.5GiB", 0, 1610612736 },
    { "2k", 0, 2000 },
    { "2Ki", 0, 2048 },
    { "90m", 0, 90000000 },
    { "90mb", 0, 90000000 },
    { "90Mb", 0, 90000000 },
    { "86mib", 0, 86 * 1048576 },
    { "86MIB", 0, 86 * 1048576 },
    { "86MiB", 0, 86 * 1048576 },
    { "2K", 0, 2000 },
    { "1.5g", 0, 1500000000 },
    { "1t", 0, 1000000000000 },
    { "512b", 0, 512 },
    { "1i", -1, 0 },
    { "1bm", -1, 0 },
    { "1mm", -1, 0 },
    { "1miib", -1, 0 },
    { "1e", -1, 0 },
    { "-1", -1, 0 },
    { "1e3M", 0, 1000000000 },
    { "", -1, 0 },
    { "M", -1, 0 },
    { "1Q", -1, 0 },
    { "1MiBs", -1, 0 },
    { "99999999999T", -1, 0 },
    { "nan", -1, 0 },
    { "0x10", -1, 0 },
};

START_TEST(a_long_message_keeps_its_file_and_its_cause)
{
    struct mpq_err err = { 0 };
    char path[2000] = "folder/";

    memset(path + 7, 'x', sizeof path - 8);
    errno = ENOENT;
    mpq_fail_errno(&err, "%s", path);
    ck_assert_uint_eq(strlen(err.text), sizeof err.text - 1);
    ck_assert_int_eq(strncmp(err.text, "folder/x", 8), 0);
    ck_assert_ptr_nonnull(strstr(err.text, "x...x"));
    ck_assert_ptr_nonnull(strstr(err.text, "x: No such file or directory"));
    for (size_t i = 0; i + 1 < sizeof path; i++) /* never half a character */
        path[i] = "\xe2\x82\xac"[i % 3];
    err.code = 0;
    mpq_fail(&err, MPQ_EDATA, "a%s: cause", path);
    const char *gap = strstr(err.text, "...");
    ck_assert_ptr_nonnull(gap);
    ck_assert_int_eq((unsigned char)gap[-1], 0xac);
    ck_assert_int_eq((unsigned char)gap[3], 0xe2);
}
END_TEST

START_TEST(sizes_take_suffixes_and_nothing_else)
{
    uint64_t v = 0;
    ck_assert_int_eq(mpq_parse_bytes(bytes[_i].text, &v), bytes[_i].rc);
    if (bytes[_i].rc == 0)
        ck_assert_uint_eq(v, bytes[_i].value);
}
END_TEST

START_TEST(numbers_must_be_the_whole_text)
{
    static const char *const bad[] = { "",    " 1",  "1 ",    "1x",  "inf",
                                       "nan", "0x1", "1e999", "--1", "1,5" };
    double v;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(mpq_parse_double(bad[i], &v) < 0, "%s", bad[i]);
    ck_assert_int_eq(mpq_parse_double("-1.25e-3", &v), 0);
    ck_assert_double_eq(v, -1.25e-3);
}
END_TEST

START_TEST(ranges_are_ordered)
{
    uint64_t a, b;
    ck_assert_int_eq(mpq_parse_range("3-7", &a, &b), 0);
    ck_assert_uint_eq(a, 3);
    ck_assert_uint_eq(b, 7);
    ck_assert_int_eq(mpq_parse_range("4", &a, &b), 0);
    ck_assert_uint_eq(b, 4);
    ck_assert_int_eq(mpq_parse_range("7-3", &a, &b), -1);
    ck_assert_int_eq(mpq_parse_range("3-", &a, &b), -1);
    ck_assert_int_eq(mpq_parse_range("-3", &a, &b), -1);
}
END_TEST

START_TEST(sums_and_products_refuse_overflow)
{
    uint64_t v;
    ck_assert_int_eq(mpq_mul_u64(UINT64_C(1) << 32, UINT64_C(1) << 32, &v), -1);
    ck_assert_int_eq(mpq_mul_u64(UINT64_MAX, 1, &v), 0);
    ck_assert_int_eq(mpq_add_u64(UINT64_MAX, 1, &v), -1);
    ck_assert_int_eq(mpq_mul_u64(0, 5, &v), 0);
    ck_assert_uint_eq(v, 0);
    char *p = NULL;
    size_t cap = 0;
    ck_assert_int_eq(mpq_grow(&p, &cap, SIZE_MAX / 2, 8), -1);
    ck_assert_ptr_null(p);
}
END_TEST

static int
square(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    size_t *out = ctx;
    (void)thread;
    if (item == 70 || item == 90)
        return mpq_fail(err, MPQ_EDATA, "item %zu", item);
    out[item] = item * item;
    return 0;
}

START_TEST(loops_run_every_item_once_and_report_the_lowest_failure)
{
    size_t out[70] = { 0 };
    struct mpq_err err = { 0 };

    ck_assert_int_eq(mpq_par_for((unsigned)_i, 70, square, out, &err), 0);
    for (size_t i = 0; i < 70; i++)
        ck_assert_uint_eq(out[i], i * i);
    size_t more[100];
    ck_assert_int_eq(mpq_par_for((unsigned)_i, 100, square, more, &err), -1);
    ck_assert_str_eq(err.text, "item 70");
}
END_TEST

#ifdef __linux__
START_TEST(cores_are_those_that_are_left_to_the_process)
{
    cpu_set_t all, one;
    size_t core = 0;

    ck_assert_int_eq(sched_getaffinity(0, sizeof all, &all), 0);
    ck_assert_int_eq(mpq_par_cores(), CPU_COUNT(&all));
    while (!CPU_ISSET(core, &all))
        core++;
    CPU_ZERO(&one);
    CPU_SET(core, &one);
    ck_assert_int_eq(sched_setaffinity(0, sizeof one, &one), 0);
    ck_assert_int_eq(mpq_par_cores(), 1);
    ck_assert_int_eq(sched_setaffinity(0, sizeof all, &all), 0);
}
END_TEST
#endif

static char dir[] = "/tmp/mpq-test-XXXXXX";

static void
make_dir(void)
{
    strcpy(dir + strlen(dir) - 6, "XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void
remove_dir(void)
{
    ck_assert_msg(rmdir(dir) == 0, "%s is not empty: %s", dir, strerror(errno));
}

START_TEST(output_appears_only_when_closed)
{
    char path[64];
    struct mpq_out *out;
    struct mpq_err err = { 0 };
    struct stat st;

    snprintf(path, sizeof path, "%s/x", dir);
    ck_assert_int_eq(mpq_out_open(&out, path, &err), 0);
    ck_assert_int_eq(mpq_out_write(out, "abc", 3, &err), 0);
    ck_assert_int_eq(mpq_out_flush(out, &err), 0);
    ck_assert_int_lt(stat(path, &st), 0);
    mpq_out_free(out); /* given up: nothing stays */
    ck_assert_int_lt(stat(path, &st), 0);

    ck_assert_int_eq(mpq_out_open(&out, path, &err), 0);
    ck_assert_int_eq(mpq_out_write(out, "abc", 3, &err), 0);
    ck_assert_int_eq(mpq_out_zeros(out, 10000, &err), 0);
    ck_assert_uint_eq(mpq_out_size(out), 10003);
    ck_assert_int_eq(mpq_out_close(out, &err), 0);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq((int)st.st_size, 10003);
    unlink(path);
}
END_TEST

START_TEST(the_longest_name_that_there_can_be_is_written)
{
    char path[400];
    struct mpq_out *out;
    struct mpq_err err = { 0 };
    int n = snprintf(path, sizeof path, "%s/", dir);

    memset(path + n, 'x', 256);
    path[n + 255] = '\0';
    ck_assert_int_eq(mpq_out_open(&out, path, &err), 0);
    ck_assert_int_eq(mpq_out_close(out, &err), 0);
    ck_assert_int_eq(unlink(path), 0);
    path[n + 255] = 'x';
    path[n + 256] = '\0';
    ck_assert_int_eq(mpq_out_open(&out, path, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "x: File name too long"));
}
END_TEST

START_TEST(an_output_can_be_gone_on_with)
{
    struct mpq_err err = { 0 };
    struct mpq_out *out, *other;
    struct mpq_map map;
    char path[256];

    snprintf(path, sizeof path, "%s/append", dir);
    ck_assert_int_eq(mpq_out_append(&out, path, &err), 0);
    ck_assert_int_eq(mpq_out_write(out, "first second", 12, &err), 0);
    ck_assert_int_eq(mpq_out_flush(out, &err), 0);
    mpq_out_free(out); /* as if ended: it stays */
    ck_assert_int_eq(mpq_out_append(&out, path, NULL), 0);
    ck_assert_int_eq(mpq_out_cut(out, 13, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "has only 12 bytes"));
    ck_assert_int_eq(mpq_out_map(out, &map, NULL), 1);
    ck_assert_int_eq(memcmp(map.data, "first second", 12), 0);
    mpq_map_close(&map);
    ck_assert_int_eq(mpq_out_cut(out, 6, NULL), 0);
    ck_assert_uint_eq(mpq_out_size(out), 6);
    ck_assert_int_eq(mpq_out_write(out, "third", 5, NULL), 0);
    ck_assert_int_eq(mpq_out_close(out, NULL), 0);
    ck_assert_int_eq(mpq_map_open(&map, path, NULL), 0);
    ck_assert_uint_eq(map.size, 11);
    ck_assert_int_eq(memcmp(map.data, "first third", 11), 0);
    mpq_map_close(&map);
    unlink(path);
    err = (struct mpq_err){ 0 };
    ck_assert_int_eq(mpq_out_append(&other, "/dev/null", &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "is no regular file"));
    ck_assert_int_eq(mpq_out_append(&other, "/no/such", &err), -1);
}
END_TEST

START_TEST(full_device_is_an_error)
{
    struct mpq_out *out;
    struct mpq_err err = { 0 };

    ck_assert_int_eq(mpq_out_open(&out, "/dev/full", &err), 0);
    ck_assert_int_eq(mpq_out_write(out, "abc", 3, &err), 0);
    ck_assert_int_eq(mpq_out_close(out, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "/dev/full: No space left on device"));
}
END_TEST

START_TEST(missing_and_odd_inputs_are_named)
{
    struct mpq_map m;
    struct mpq_err err = { 0 };

    ck_assert_int_eq(mpq_map_open(&m, "/nonexistent/x", &err), -1);
    ck_assert_str_eq(err.text, "/nonexistent/x: No such file or directory");
    err.code = 0;
    ck_assert_int_eq(mpq_map_open(&m, dir, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "is a folder"));
    err.code = 0;
    ck_assert_int_eq(mpq_map_open(&m, "/dev/null", &err), 0);
    ck_assert_uint_eq(m.size, 0);
    mpq_map_close(&m);
}
END_TEST

START_TEST(a_pipe_is_spooled_whole)
{
    int ends[2];
    struct mpq_map m;
    struct mpq_err err = { 0 };

    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_eq((int)write(ends[1], "piped bytes", 11), 11);
    close(ends[1]);
    int saved = dup(STDIN_FILENO);
    dup2(ends[0], STDIN_FILENO);
    close(ends[0]);
    ck_assert_int_eq(mpq_map_open(&m, "-", &err), 0);
    dup2(saved, STDIN_FILENO);
    close(saved);
    ck_assert_uint_eq(m.size, 11);
    ck_assert_int_eq(memcmp(m.data, "piped bytes", 11), 0);
    mpq_map_close(&m);
}
END_TEST

Suite *
mpq_suite(void)
{
    Suite *s = suite_create("base");
    TCase *tc = tcase_create("text and numbers");
    tcase_add_test(tc, first_failure_is_kept_and_masked);
    tcase_add_test(tc, a_long_message_keeps_its_file_and_its_cause);
    tcase_add_loop_test(tc, sizes_take_suffixes_and_nothing_else, 0,
                        sizeof bytes / sizeof *bytes);
    tcase_add_test(tc, numbers_must_be_the_whole_text);
    tcase_add_test(tc, ranges_are_ordered);
    tcase_add_test(tc, sums_and_products_refuse_overflow);
    tcase_add_loop_test(tc, loops_run_every_item_once_and_report_the_lowest_failure, 1,
                        5);
#ifdef __linux__
    tcase_add_test(tc, cores_are_those_that_are_left_to_the_process);
#endif
    suite_add_tcase(s, tc);

    TCase *files = tcase_create("files");
    tcase_add_checked_fixture(files, make_dir, remove_dir);
    tcase_add_test(files, output_appears_only_when_closed);
    tcase_add_test(files, the_longest_name_that_there_can_be_is_written);
    tcase_add_test(files, an_output_can_be_gone_on_with);
    tcase_add_test(files, full_device_is_an_error);
    tcase_add_test(files, missing_and_odd_inputs_are_named);
    tcase_add_test(files, a_pipe_is_spooled_whole);
    suite_add_tcase(s, files);
    return s;
}
