/* Texts and JSON lines as sequences, with a vocabulary of single characters whose ids
 * are told by hand: <unk> 0, <s> 1, </s> 2, newline 3, a blank 4, '!' 5 and so on. */
#include "suite.h"

#include "model/calib.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MODEL "tests/data/nets/llama.gguf"
enum { BOS = 1, BLANK = 4 };
#define ID(c) ((uint32_t)((c) - '!' + 5))

static struct mpq_source *
open_model(const char *path)
{
    struct mpq_source *s;
    struct mpq_err err = { 0 };

    ck_assert_msg(mpq_source_open(&s, path, NULL, &err) == 0, "%s", err.text);
    return s;
}

/* Reads TEXT[n] as a file; PATH is where it lay. */
static int
read_as(struct mpq_calib *c, const char *model, const char *text, size_t n, size_t ctx,
        size_t n_seqs, char path[64], struct mpq_err *err)
{
    struct mpq_source *s = open_model(model);

    snprintf(path, 64, "/tmp/mpq-calib-XXXXXX");
    const int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, n), (ssize_t)n);
    close(fd);
    *err = (struct mpq_err){ 0 };
    const int rc = mpq_calib_read(c, path, s, ctx, n_seqs, err);
    unlink(path);
    mpq_source_free(s);
    return rc;
}

static void
read_good(struct mpq_calib *c, const char *text, size_t ctx, size_t n_seqs)
{
    struct mpq_err err;
    char path[64];

    ck_assert_msg(read_as(c, MODEL, text, strlen(text), ctx, n_seqs, path, &err) == 0,
                  "%s", err.text);
}

/* Sequence K is these tokens: a letter stands for itself, ^ for BOS, _ for a blank. */
static void
is(const struct mpq_calib *c, size_t k, const char *want)
{
    ck_assert_uint_lt(k, c->seqs.n);
    const uint32_t *got = c->seqs.tokens + c->seqs.start[k];
    ck_assert_uint_eq(c->seqs.start[k + 1] - c->seqs.start[k], strlen(want));
    for (size_t i = 0; want[i]; i++)
        ck_assert_uint_eq(got[i], want[i] == '^'   ? BOS
                                  : want[i] == '_' ? BLANK
                                                   : ID(want[i]));
}

START_TEST(text_is_cut_into_chunks_with_bos_first)
{
    struct mpq_calib c;

    read_good(&c, "abcdefghij", 4, 0); /* ^_ab cdef ghij, then BOS for c and g */
    ck_assert_uint_eq(c.seqs.n, 3);
    is(&c, 0, "^_ab");
    is(&c, 1, "^def");
    is(&c, 2, "^hij");
    mpq_calib_free(&c);
    read_good(&c, "abcdefghij", 5, 0); /* the rest, ij, is left out */
    ck_assert_uint_eq(c.seqs.n, 2);
    is(&c, 1, "^efgh");
    mpq_calib_free(&c);
    read_good(&c, "abcdefghij", 4, 2);
    ck_assert_uint_eq(c.seqs.n, 2);
    is(&c, 1, "^def");
    mpq_calib_free(&c);
    read_good(&c, "abcdefghij", 12, 0);
    is(&c, 0, "^_abcdefghij");
    mpq_calib_free(&c);
    ck_assert_uint_eq(c.seqs.n, 0);
}
END_TEST

/* The checksum of the model's vocabulary. */
static void
vocabulary(char hex[17])
{
    struct mpq_source *s = open_model(MODEL);
    struct mpq_tokenizer *t;
    struct mpq_err err = { 0 };

    ck_assert_int_eq(mpq_tokenizer_new(&t, s, &err), 0);
    mpq_tokenizer_checksum(t, hex);
    mpq_tokenizer_free(t);
    mpq_source_free(s);
}

START_TEST(lines_are_sequences)
{
    struct mpq_calib c;
    char text[1024], hex[17];

    vocabulary(hex);
    snprintf(
        text, sizeof text,
        "{\"text\": \"ab\"}\n\n"
        "{\"prompt\": \"ab\", \"answer\": \"cd\"}\n"
        "{\"prompt\": \"a\", \"choices\": [\"x\", \"y\", \"z\"], \"gold\": 1}\n"
        "{\"tokens\": [70, 71, 69], \"vocabulary\": \"%s\", \"text\": \"x\"}\n"
        "{\"tokens\": [7], \"vocabulary\": \"0123456789abcdef\", \"text\": \"w\"}\n"
        "{\"text\": \"abcdefgh\"}",
        hex);
    read_good(&c, text, 6, 0);
    ck_assert_uint_eq(c.seqs.n, 6);
    is(&c, 0, "^_ab");
    is(&c, 1, "^_abcd");
    is(&c, 2, "^_ay");
    is(&c, 3, "bca"); /* as they stand, without BOS */
    is(&c, 4, "^_w");
    is(&c, 5, "^_abcd");
    mpq_calib_free(&c);
    read_good(&c, text, 2, 4);
    ck_assert_uint_eq(c.seqs.n, 4);
    is(&c, 2, "^_");
    is(&c, 3, "bc");
    mpq_calib_free(&c);
}
END_TEST

/* What editors put around lines does not make a text of them. */
START_TEST(marks_and_blank_lines_are_passed_over)
{
    static const char *const texts[] = {
        "\xef\xbb\xbf{\"text\": \"ab\"}\n{\"text\": \"c\"}\n",
        "\n\r\n \t\n{\"text\": \"ab\"}\n{\"text\": \"c\"}",
        "  {\"text\": \"ab\"}\n{\"text\": \"c\"}",
        "\xef\xbb\xbf\r\n{\"text\": \"ab\"}\r\n\r\n \t \r\n{\"text\": \"c\"}\r\n\r\n",
    };
    struct mpq_calib c;

    read_good(&c, texts[_i], 8, 0);
    ck_assert_uint_eq(c.seqs.n, 2);
    is(&c, 0, "^_ab");
    is(&c, 1, "^_c");
    mpq_calib_free(&c);
}
END_TEST

static const struct {
    const char *model, *text, *says;
} bad[] = {
    { MODEL, "", ": an empty text" },
    { MODEL, "ab", ": 4 tokens, a chunk has 8" },
    { MODEL, "abcdefgh\377ij", "UTF-8" },
    { MODEL, "abcdefgh\377ij", "byte 8" },
    { MODEL, "{\"text\": \"abc\"}\n{\"text\": 1}\n", ":2: neither text nor prompt" },
    { MODEL, "{\"text\": \"abc\"}\n\n{\"text\": \"ab\n", ":3: " },
    { MODEL, "\xef\xbb\xbf\r\n \r\n{\"text\": 1}\n", ":3: neither text nor prompt" },
    { MODEL, "{\"prompt\": \"abc\"}\n", ":1: neither text nor prompt" },
    { MODEL, "{\"prompt\": \"abc\", \"choices\": [\"a\"], \"gold\": 1}\n",
      ":1: neither" },
    { MODEL, "{\"tokens\": [5, 96], \"vocabulary\": \"V\"}",
      ":1: tokens: item 2 is no id below 96" },
    { MODEL, "{\"tokens\": [5, -1], \"vocabulary\": \"V\"}", ":1: tokens: item 2" },
    { MODEL, "{\"tokens\": [5, 7.5], \"vocabulary\": \"V\"}", ":1: tokens: item 2" },
    { MODEL, "{\"tokens\": [5], \"vocabulary\": \"0123456789abcdef\"}",
      ":1: neither text nor prompt and answer (nor tokens of this vocabulary, " },
    { MODEL, "{\"tokens\": [], \"vocabulary\": \"V\"}", "no tokens" },
    { "tests/data/nets/llama", "abcdefgh", "tokenizer.json" },
};

START_TEST(what_is_wrong_is_told_with_its_place)
{
    struct mpq_calib c;
    struct mpq_err err;
    char path[64], text[256], hex[17], *v;

    snprintf(text, sizeof text, "%s", bad[_i].text);
    vocabulary(hex);
    if ((v = strstr(text, "\"V\""))) { /* this vocabulary's checksum */
        char rest[64];
        snprintf(rest, sizeof rest, "%s", v + 3);
        snprintf(v, sizeof text - (size_t)(v - text), "\"%s\"%s", hex, rest);
    }
    ck_assert_int_eq(read_as(&c, bad[_i].model, text, strlen(text), 8, 0, path, &err),
                     -1);
    ck_assert_msg(strstr(err.text, bad[_i].says) != NULL, "%s", err.text);
    if (!strcmp(bad[_i].model, MODEL))
        ck_assert_msg(strstr(err.text, path) != NULL, "%s", err.text);
    ck_assert_ptr_null(c.start);
    ck_assert_uint_eq(c.seqs.n, 0);
}
END_TEST

/* Behind BOS and the prompt's own tokens; blanks that end the prompt are the answer's.
 */
static void
recut(struct mpq_calib *c)
{
    struct mpq_err err = { 0 };

    ck_assert_msg(mpq_calib_recut(c, 8, &err) == 0, "%s", err.text);
}

START_TEST(it_is_kept_where_answers_begin)
{
    static const size_t want[] = { 0, 4, 3, 4, 1, 0 };
    struct mpq_calib c;

    read_good(&c,
              "{\"text\": \"ab\"}\n"
              "{\"prompt\": \"ab\", \"answer\": \"cd\"}\n"
              "{\"prompt\": \"a\", \"choices\": [\"x\", \"yz\"], \"gold\": 1}\n"
              "{\"prompt\": \"ab \", \"answer\": \"c\"}\n"
              "{\"prompt\": \"\", \"answer\": \"c\"}\n"
              "{\"text\": \"x\", \"answer\": \"c\"}\n",
              8, 0);
    ck_assert_uint_eq(c.seqs.n, 6);
    is(&c, 3, "^_ab_c");
    for (size_t i = 0; i < 6; i++)
        ck_assert_uint_eq(c.answer[i], want[i]);
    recut(&c);
    ck_assert_uint_eq(c.answer[0], 0);
    mpq_calib_free(&c);
}
END_TEST

START_TEST(sequences_are_joined_and_cut_anew)
{
    struct mpq_calib c;

    read_good(&c, "{\"text\": \"ab\"}\n{\"text\": \"c\"}\n{\"text\": \"def\"}\n", 8, 0);
    recut(&c); /* ^_ab ^_c ^_def: 12 tokens */
    ck_assert_uint_eq(c.seqs.n, 1);
    is(&c, 0, "^_ab^_c^");
    mpq_calib_free(&c);
    read_good(&c, "{\"text\": \"ab\"}\n{\"text\": \"c\"}\n", 8, 0);
    recut(&c); /* all there is */
    ck_assert_uint_eq(c.seqs.n, 1);
    is(&c, 0, "^_ab^_c");
    mpq_calib_free(&c);
    /* parted by what stands between, here the first token's own */
    read_good(&c, "{\"text\": \"ab\"}\n{\"text\": \"c\"}\n", 8, 0);
    struct mpq_err err = { 0 };
    ck_assert_uint_eq(c.between.n, 0); /* where each begins with a token of its own */
    ck_assert_int_eq(mpq_tokens_add(&c.between, c.tokens.ids[3], &err), 0);
    recut(&c);
    ck_assert_uint_eq(c.seqs.n, 1);
    is(&c, 0, "^_abb^_c");
    mpq_calib_free(&c);
}
END_TEST

START_TEST(a_draw_takes_each_once_and_cuts_the_last)
{
    struct mpq_calib c, some = { 0 }, same = { 0 }, all = { 0 };
    struct mpq_err err = { 0 };
    uint64_t drawn;
    int seen[6] = { 0 };

    read_good(&c, "abcdefghijklmnopqrstuv", 4, 0); /* six chunks of four */
    ck_assert_uint_eq(c.seqs.n, 6);
    ck_assert_int_eq(mpq_calib_draw(&some, &c, 10, 5, &drawn, &err), 0);
    ck_assert_uint_eq(drawn, 10);
    ck_assert_uint_eq(some.seqs.n, 3);
    ck_assert_uint_eq(some.start[2] - some.start[1], 4);
    ck_assert_uint_eq(some.start[3] - some.start[2], 2);
    ck_assert_int_eq(mpq_calib_draw(&same, &c, 10, 5, &drawn, &err), 0);
    ck_assert_mem_eq(some.tokens.ids, same.tokens.ids, 10 * sizeof(uint32_t));
    ck_assert_int_eq(mpq_calib_draw(&all, &c, 100, 9, &drawn, &err), 0);
    ck_assert_uint_eq(drawn, 24);
    for (size_t i = 0; i < all.seqs.n; i++)
        for (size_t k = 0; k < 6; k++)
            seen[k] += !memcmp(all.tokens.ids + all.start[i], c.tokens.ids + c.start[k],
                               4 * sizeof(uint32_t));
    for (size_t k = 0; k < 6; k++)
        ck_assert_int_eq(seen[k], 1);
    mpq_calib_free(&c);
    mpq_calib_free(&some);
    mpq_calib_free(&same);
    mpq_calib_free(&all);
}
END_TEST

Suite *
mpq_suite(void)
{
    Suite *s = suite_create("calib");
    TCase *tc = tcase_create("calib");

    tcase_add_test(tc, text_is_cut_into_chunks_with_bos_first);
    tcase_add_test(tc, lines_are_sequences);
    tcase_add_loop_test(tc, marks_and_blank_lines_are_passed_over, 0, 4);
    tcase_add_loop_test(tc, what_is_wrong_is_told_with_its_place, 0,
                        sizeof bad / sizeof *bad);
    tcase_add_test(tc, it_is_kept_where_answers_begin);
    tcase_add_test(tc, sequences_are_joined_and_cut_anew);
    tcase_add_test(tc, a_draw_takes_each_once_and_cuts_the_last);
    suite_add_tcase(s, tc);
    return s;
}
