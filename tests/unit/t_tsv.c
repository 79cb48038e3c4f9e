#include "suite.h"

#include "fmt/gz.h"
#include "fmt/tsv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* crc32 of "1\t2\n" by Python's zlib.crc32: 6ba7c638 */
#define GOOD                                                                           \
    "##mpq scores 1 tool=t model=a%20b%25\n#unit\tscore\n1\t2\n##end 1 crc32=" CRC1 "\n"
#define CRC1 "6ba7c638"

static int
parse(const char *text, const char *kind, struct mpq_tsv **t, struct mpq_err *err)
{
    *err = (struct mpq_err){ 0 };
    return mpq_tsv_parse(t, text, strlen(text), "x.tsv", kind, err);
}

START_TEST(a_table_gives_its_cells_and_metadata)
{
    struct mpq_tsv *t;
    struct mpq_err err;
    double v;

    ck_assert_msg(parse(GOOD, "scores", &t, &err) == 0, "%s", err.text);
    ck_assert_uint_eq(mpq_tsv_rows(t), 1);
    ck_assert_uint_eq(mpq_tsv_cols(t), 2);
    ck_assert_str_eq(mpq_tsv_info(t, "model"), "a b%");
    ck_assert_ptr_null(mpq_tsv_info(t, "odel"));
    ck_assert_int_eq(mpq_tsv_need(t, "score", &err), 1);
    ck_assert_int_eq(mpq_tsv_double(t, 0, 1, &v, &err), 0);
    ck_assert_double_eq(v, 2);
    ck_assert_int_eq(mpq_tsv_need(t, "bits", &err), -1);
    ck_assert_str_eq(err.text, "x.tsv: no column bits");
    mpq_tsv_free(t);
}
END_TEST

START_TEST(sections_of_one_kind_join_and_metadata_comes_once)
{
    struct mpq_tsv *t;
    struct mpq_err err;
    static const char text[] = "##mpq s 1\n##tensor a\n#u\n1\n##end 1\n"
                               "##mpq s 1\n##tensor a\n##tensor b\n#u\n2\n##end 1\n";

    ck_assert_msg(parse(text, NULL, &t, &err) == 0, "%s", err.text);
    ck_assert_uint_eq(mpq_tsv_rows(t), 2);
    ck_assert_str_eq(mpq_tsv_cell(t, 1, 0), "2");
    ck_assert_uint_eq(mpq_tsv_line(t, 1), 10);
    ck_assert_uint_eq(mpq_tsv_meta_count(t), 2);
    ck_assert_str_eq(mpq_tsv_meta(t, 0), "tensor a");
    ck_assert_str_eq(mpq_tsv_meta(t, 1), "tensor b");
    mpq_tsv_free(t);
}
END_TEST

START_TEST(filtered_tables_are_served_without_the_end_check)
{
    struct mpq_tsv *t;
    struct mpq_err err;
    ck_assert_int_eq(parse("#u\tv\na\tb\n", "scores", &t, &err), 0);
    ck_assert_ptr_null(mpq_tsv_kind(t));
    mpq_tsv_free(t);
}
END_TEST

START_TEST(a_plan_may_be_edited_by_hand)
{
    struct mpq_tsv *t;
    struct mpq_err err;
    ck_assert_int_eq(
        parse("##mpq plan 1\n#u\nedited\n##end 1 crc32=00000000\n", "plan", &t, &err),
        0);
    ck_assert_str_eq(mpq_tsv_cell(t, 0, 0), "edited");
    mpq_tsv_free(t);
}
END_TEST

static const struct {
    const char *in, *says;
} bad[] = {
    { "", "x.tsv: empty" },
    { "##mpq s 1\n#u\n1\n", "cut short: begins with ##mpq and has no ##end" },
    { "##mpq s 1\n#u\n1", "x.tsv:3: the last line has no end" },
    { "##mpq s 2\n#u\n##end 0\n", "x.tsv:1: table version 2" },
    { "##mpq s\n#u\n##end 0\n", "without kind and version" },
    { "##mpq s 1\n#u\n1\n##end 2\n", "x.tsv:4: ##end says 2 rows, there are 1" },
    { "##mpq s 1\n#u\n1\n##end 1 crc32=00000000\n",
      "checksum 00000000, the rows give" },
    { "##mpq s 1\n#u\n1\n##mpq s 1\n", "x.tsv:4: a table begins before ##end" },
    { "##mpq s 1\n#u\n##end 0\n##mpq t 1\n", "x.tsv:4: a table of t, s expected" },
    { "##mpq s 1\n#u\n##end 0\n##mpq s 1\n#v\n", "columns differ" },
    { "#a\tb\n1\n", "x.tsv:2: 1 fields, the header has 2" },
    { "#a\ta\n", "x.tsv:1: column a twice" },
    { "1\t2\n", "x.tsv:1: a row before the line of column names, such as "
                "#unit<TAB>score<TAB>params" },
    { "##mpq plan 1\n1\t2\n", "x.tsv:2: a row before the line of column names, such as "
                              "#unit<TAB>type" },
    { "##mpq plan 1\n#u\n##end 0\n##mpq stats 1\n",
      "x.tsv:4: a table of stats (mpq-score reads it), plan expected, from mpq-alloc" },
    { "GGUF\n", "x.tsv: a GGUF model, not a table: run mpq-stats on it first" },
    { "#a\n\n", "x.tsv:2: an empty line" },
    { "##end 0\n", "##end without ##mpq" },
    { "##x\n", "no line of column names" },
    { "#u\tv\r\n1\t2\r\n", "x.tsv:1: ends in CR LF" },
    { "#u\tv\n1\t2\r\n", "x.tsv:2: ends in CR LF" },
    { "##tensor a\r\n#u\n", "x.tsv:1: ends in CR LF" },
    { "##mpq plan 1\r\n#u\r\n##end 0\r\n", "x.tsv:1: ends in CR LF" },
    { "#u\n\r\n", "x.tsv:2: ends in CR LF" },
};

START_TEST(broken_tables_are_refused_with_line_and_cause)
{
    struct mpq_tsv *t;
    struct mpq_err err;
    ck_assert_int_eq(parse(bad[_i].in, NULL, &t, &err), -1);
    ck_assert_ptr_null(t);
    ck_assert_msg(strstr(err.text, bad[_i].says) != NULL, "%s", err.text);
}
END_TEST

START_TEST(every_truncation_is_noticed)
{
    struct mpq_tsv *t;
    struct mpq_err err = { 0 };
    for (size_t n = 0; n < strlen(GOOD); n++) {
        err.code = 0;
        ck_assert_msg(mpq_tsv_parse(&t, GOOD, n, "x", NULL, &err) < 0, "%zu bytes", n);
    }
}
END_TEST

START_TEST(numbers_are_checked_with_place_and_text)
{
    struct mpq_tsv *t;
    struct mpq_err err;
    double v;
    uint64_t u;

    ck_assert_int_eq(parse("#u\tv\n-1\tnan\n", NULL, &t, &err), 0);
    ck_assert_int_eq(mpq_tsv_double(t, 0, 1, &v, &err), -1);
    ck_assert_str_eq(err.text, "x.tsv:2: v: 'nan' is not a finite number");
    err.code = 0;
    ck_assert_int_eq(mpq_tsv_u64(t, 0, 0, &u, &err), -1);
    ck_assert_str_eq(err.text, "x.tsv:2: u: '-1' is not a whole number");
    mpq_tsv_free(t);
}
END_TEST

/* A file of N bytes under a new name; the test removes it. */
static void
put_file(char path[32], const void *bytes, size_t n)
{
    strcpy(path, "/tmp/mpq-tsv-XXXXXX");
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq((int)write(fd, bytes, n), (int)n);
    close(fd);
}

START_TEST(what_is_written_is_read_back)
{
    static const char *const info[] = { "model", "odd %\tname", NULL };
    char path[32];
    struct mpq_out *out;
    struct mpq_tsv_writer w;
    struct mpq_tsv *t;
    struct mpq_err err = { 0 };

    put_file(path, "", 0);
    ck_assert_int_eq(mpq_out_open(&out, path, &err), 0);
    ck_assert_int_eq(mpq_tsv_begin(&w, out, "scores", info, &err), 0);
    ck_assert_int_eq(mpq_tsv_put_meta(&w, &err, "tensor %s", "a"), 0);
    ck_assert_int_eq(mpq_tsv_columns(&w, "unit\tscore", &err), 0);
    for (int i = 0; i < 1000; i++)
        ck_assert_int_eq(mpq_tsv_row(&w, &err, "blk.%d\t%.17g", i, i / 3.0), 0);
    ck_assert_int_eq(mpq_tsv_end(&w, &err), 0);
    ck_assert_int_eq(mpq_out_close(out, &err), 0);
    ck_assert_msg(mpq_tsv_read(&t, path, "scores", &err) == 0, "%s", err.text);
    ck_assert_uint_eq(mpq_tsv_rows(t), 1000);
    double v;
    ck_assert_int_eq(mpq_tsv_double(t, 7, 1, &v, &err), 0);
    ck_assert_double_eq(v, 7 / 3.0); /* %.17g reads back exactly */
    ck_assert_str_eq(mpq_tsv_info(t, "model"), "odd %\tname");
    mpq_tsv_free(t);
    unlink(path);
}
END_TEST

/* printf '#u\n1\n' | gzip -9n */
static const unsigned char gz[] = { 0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00,
                                    0x00, 0x02, 0x03, 0x53, 0x2e, 0xe5, 0x32,
                                    0xe4, 0x02, 0x00, 0x1d, 0x99, 0xbd, 0x37,
                                    0x05, 0x00, 0x00, 0x00 };

START_TEST(gzip_is_read_and_its_damage_noticed)
{
    char path[32];
    struct mpq_tsv *t;
    struct mpq_err err = { 0 };

    put_file(path, gz, sizeof gz);
    ck_assert_msg(mpq_tsv_read(&t, path, NULL, &err) == 0, "%s", err.text);
    ck_assert_str_eq(mpq_tsv_cell(t, 0, 0), "1");
    mpq_tsv_free(t);
    unlink(path);
    for (size_t n = 2; n < sizeof gz; n++) {
        err.code = 0;
        put_file(path, gz, n);
        ck_assert_int_eq(mpq_tsv_read(&t, path, NULL, &err), -1);
        ck_assert_ptr_nonnull(strstr(err.text, "gzip data"));
        unlink(path);
    }
}
END_TEST

Suite *
mpq_suite(void)
{
    Suite *s = suite_create("tsv");
    TCase *tc = tcase_create("tables");
    tcase_add_test(tc, a_table_gives_its_cells_and_metadata);
    tcase_add_test(tc, sections_of_one_kind_join_and_metadata_comes_once);
    tcase_add_test(tc, filtered_tables_are_served_without_the_end_check);
    tcase_add_test(tc, a_plan_may_be_edited_by_hand);
    tcase_add_loop_test(tc, broken_tables_are_refused_with_line_and_cause, 0,
                        sizeof bad / sizeof *bad);
    tcase_add_test(tc, every_truncation_is_noticed);
    tcase_add_test(tc, numbers_are_checked_with_place_and_text);
    tcase_add_test(tc, what_is_written_is_read_back);
    tcase_add_test(tc, gzip_is_read_and_its_damage_noticed);
    suite_add_tcase(s, tc);
    return s;
}
