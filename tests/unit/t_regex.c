#include "suite.h"

#include "fmt/regex.h"

#include <string.h>

/* What `pattern` matches first in `text`, by the dialect of regex.h. */
static const struct {
    const char *pattern;
    unsigned flags;
    const char *text, *match;
} matches[] = {
    { "\\s+", 0, "a\xc2\x85\xe3\x80\x80 b", "\xc2\x85\xe3\x80\x80 " },
    { "\\s", 0, "\xe1\xa0\x8e\t", "\t" }, /* not U+180E */
    { "[^\\s]+", 0, " \xe1\xa0\x8e\xc2\xa0", "\xe1\xa0\x8e" },
    { "\\S+", 0, "\xc2\xa0x\xe1\xa0\x8e ", "x\xe1\xa0\x8e" },
    { "\\w+", 0, "-a\xcc\x81_9\xc2\xb2", "a\xcc\x81_9" }, /* marks; no superscripts */
    { "[a[bc]d]+", 0, "xcabdy", "cabd" },
    { "\\h+", 0, "xyzBeef0", "Beef0" },
    { "^b$", MPQ_REGEX_LINES, "a\nb\nc", "b" },
    { "b$", 0, "b\nb", "b" },
    { "(?i:'s|'ll)", 0, "I'LL", "'LL" },
    { "[\\p{L}&&x]", 0, NULL, NULL },
    { "[a[^b]]", 0, NULL, NULL },
    { "[\\S]", 0, NULL, NULL },
    { "\\C", 0, NULL, NULL },
};

START_TEST(patterns_are_read_in_the_dialect_of_tokenizers)
{
    const char *p = matches[_i].pattern, *text = matches[_i].text;
    struct mpq_regex_work *w = mpq_regex_work_new();
    struct mpq_regex *r;
    struct mpq_err err = { 0 };
    size_t start, end;
    const int rc = mpq_regex_new(&r, p, strlen(p), matches[_i].flags, "file", &err);

    if (text) {
        ck_assert_msg(rc == 0, "%s", err.text);
        ck_assert_int_eq(
            mpq_regex_next(r, w, text, strlen(text), 0, &start, &end, &err), 1);
        ck_assert_uint_eq(end - start, strlen(matches[_i].match));
        ck_assert_int_eq(memcmp(text + start, matches[_i].match, end - start), 0);
    } else {
        ck_assert_int_eq(rc, -1);
        ck_assert_msg(strstr(err.text, "file: regular expression ") != NULL, "%s",
                      err.text);
    }
    mpq_regex_free(r);
    mpq_regex_work_free(w);
}
END_TEST

START_TEST(a_pattern_that_takes_forever_is_stopped)
{
    static const char pattern[] = "(?:a+)+d\\z";
    struct mpq_regex_work *w = mpq_regex_work_new();
    struct mpq_regex *r;
    struct mpq_err err = { 0 };
    char text[64];
    size_t start, end;

    memset(text, 'a', sizeof text);
    text[62] = 'd';
    ck_assert_int_eq(mpq_regex_new(&r, pattern, sizeof pattern - 1, 0, "file", &err),
                     0);
    ck_assert_int_eq(mpq_regex_next(r, w, text, 63, 0, &start, &end, &err), 1);
    ck_assert_int_eq(mpq_regex_next(r, w, text, 64, 0, &start, &end, &err), -1);
    ck_assert_msg(strstr(err.text, "limit") != NULL, "%s", err.text);
    mpq_regex_free(r);
    mpq_regex_work_free(w);
}
END_TEST

Suite *
mpq_suite(void)
{
    Suite *s = suite_create("regex");
    TCase *tc = tcase_create("regex");

    tcase_set_timeout(tc, 600);
    tcase_add_loop_test(tc, patterns_are_read_in_the_dialect_of_tokenizers, 0,
                        sizeof matches / sizeof *matches);
    tcase_add_test(tc, a_pattern_that_takes_forever_is_stopped);
    suite_add_tcase(s, tc);
    return s;
}
