/* The order of merges and added tokens, in long texts and in words that come again. */
#include "vocab.h"

#include <time.h>

START_TEST(merges_go_by_rank_then_from_the_left)
{
    /* worked out by hand: "a b" comes before "b a" and before "aa" */
    struct opened o = small_bpe("a|b|ab|ba|aa|aba", "", "a b|b a|a a|ab a");

    check(o.t, "ab", PLAIN, "2");
    check(o.t, "aba", PLAIN, "5");
    check(o.t, "baab", PLAIN, "3 2");
    check(o.t, "aaa", PLAIN, "4 0");
    check(o.t, "bb", PLAIN, "1 1");
    close_both(&o);
}
END_TEST

START_TEST(what_merges_make_need_not_be_a_token)
{
    /* "ab" is none: with a c behind it becomes one, alone it falls back to bytes that
     * are tokens; d is unknown and vanishes, as in llama.cpp */
    struct opened o = small_bpe("a|b|c|abc", "", "a b|ab c|x y");

    check(o.t, "abc", PLAIN, "3");
    check(o.t, "abd", PLAIN, "0 1");
    check(o.t, "dcd", PLAIN, "2");
    close_both(&o);
}
END_TEST

START_TEST(the_longest_added_token_takes_its_place_first)
{
    struct opened o = small_bpe("a|b|c|d|e|abc|bcde|<x>", "11111443", "");

    check(o.t, "abcde", PLAIN, "0 6"); /* not abc, which stands before it */
    check(o.t, "abcd", PLAIN, "5 3");
    check(o.t, "abcabcde", PLAIN, "5 0 6");
    check(o.t, "a<x>b", PLAIN, "0 1"); /* hidden; <, x and > are unknown */
    check(o.t, "a<x>b", MPQ_TOKENS_PARSE_SPECIAL, "0 7 1");
    close_both(&o);
}
END_TEST

static double
seconds_for(const struct mpq_tokenizer *t, const char *text, size_t n)
{
    struct timespec a, b;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
    struct mpq_tokens ids = encode(t, text, n, PLAIN);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
    ck_assert_uint_gt(ids.n, 0);
    mpq_tokens_free(&ids);
    return (double)(b.tv_sec - a.tv_sec) + 1e-9 * (double)(b.tv_nsec - a.tv_nsec);
}

/* What is quadratic takes minutes here; the limit is for slow machines and sanitizers.
 */
START_TEST(a_megabyte_without_a_cut_takes_seconds)
{
    static const char *const models[] = { "spm-prefix.gguf", "gemma.json",
                                          "llama3.json" };
    static const char *const units[] = { "a", " ", "\n",           "ab",
                                         "1", "A", "\xe4\xbb\x8a", "<b>" };
    struct opened o = open_data(models[_i]);

    for (size_t k = 0; k < sizeof units / sizeof *units; k++) {
        struct mpq_buf b = { 0 };
        while (b.len < 1000000)
            mpq_buf_adds(&b, units[k]);
        ck_assert_double_lt(seconds_for(o.t, b.data, b.len), 60);
        mpq_buf_free(&b);
    }
    close_both(&o);
}
END_TEST

START_TEST(words_that_come_again_are_the_same)
{
    /* short texts do without the store of words; tokens behind the end of the shorter
     * one, whose last word may go on, are not compared */
    struct opened o = open_data(vocabularies[_i]);
    static const char unit[] = "the other thing \xe4\xbb\x8a and\n 12 theories\n\n";
    struct mpq_buf b = { 0 };
    struct mpq_tokens some = { 0 };

    for (int i = 0; i < 500; i++) {
        if (i == 20)
            some = encode(o.t, b.data, b.len, PLAIN);
        mpq_buf_adds(&b, unit);
    }
    struct mpq_tokens all = encode(o.t, b.data, b.len, PLAIN);
    ck_assert_uint_gt(some.n, 20 * 5);
    ck_assert_uint_gt(all.n, 24 * some.n);
    ck_assert_mem_eq(all.ids, some.ids, (some.n - 3) * sizeof *some.ids);
    mpq_tokens_free(&some);
    mpq_tokens_free(&all);
    mpq_buf_free(&b);
    close_both(&o);
}
END_TEST

Suite *
mpq_suite(void)
{
    Suite *s = suite_create("tokenizer_merge");
    TCase *tc = tcase_create("tokenizer_merge");

    tcase_set_timeout(tc, 600);
    tcase_add_checked_fixture(tc, make_tmp, remove_tmp);
    tcase_add_test(tc, merges_go_by_rank_then_from_the_left);
    tcase_add_test(tc, what_merges_make_need_not_be_a_token);
    tcase_add_test(tc, the_longest_added_token_takes_its_place_first);
    tcase_add_loop_test(tc, a_megabyte_without_a_cut_takes_seconds, 0, 3);
    tcase_add_loop_test(tc, words_that_come_again_are_the_same, 0,
                        sizeof vocabularies / sizeof *vocabularies);
    suite_add_tcase(s, tc);
    return s;
}
