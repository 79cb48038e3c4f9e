#include "suite.h"

#include "fmt/percent.h"

#include <string.h>

static const struct {
    const char *text, *coded;
} words[] = {
    { "", "" },
    { "plain-1.5_x", "plain-1.5_x" },
    { "a b%\t\x7f\n", "a%20b%25%09%7f%0a" },
    { "\xc3\xa9", "\xc3\xa9" },
};

START_TEST(a_word_comes_back_as_it_was)
{
    struct mpq_buf b = { 0 };

    mpq_percent_add_word(&b, words[_i].text);
    ck_assert_str_eq(b.data ? b.data : "", words[_i].coded);
    if (b.data)
        mpq_percent_decode(b.data);
    ck_assert_str_eq(b.data ? b.data : "", words[_i].text);
    mpq_buf_free(&b);
}
END_TEST

START_TEST(what_is_no_code_stays)
{
    static const char *const as_it_is[] = { "%", "%2", "%zz", "%g0", "100%", "a%0gb" };
    char text[16];

    for (size_t i = 0; i < sizeof as_it_is / sizeof *as_it_is; i++) {
        strcpy(text, as_it_is[i]);
        mpq_percent_decode(text);
        ck_assert_str_eq(text, as_it_is[i]);
    }
    strcpy(text, "%4aX%4A%%41");
    mpq_percent_decode(text);
    ck_assert_str_eq(text, "JXJ%A");
}
END_TEST

START_TEST(bytes_are_read_within_their_bounds)
{
    ck_assert_int_eq(mpq_percent_byte("%fF", 3), 0xff);
    ck_assert_int_eq(mpq_percent_byte("%00", 3), 0);
    ck_assert_int_eq(mpq_percent_byte("%41", 2), -1);
    ck_assert_int_eq(mpq_percent_byte("% 1", 3), -1);
}
END_TEST

Suite *
mpq_suite(void)
{
    Suite *s = suite_create("percent");
    TCase *tc = tcase_create("percent");

    tcase_add_loop_test(tc, a_word_comes_back_as_it_was, 0,
                        sizeof words / sizeof *words);
    tcase_add_test(tc, what_is_no_code_stays);
    tcase_add_test(tc, bytes_are_read_within_their_bounds);
    suite_add_tcase(s, tc);
    return s;
}
