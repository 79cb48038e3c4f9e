#include "suite.h"

#include "base/buf.h"
#include "method/match.h"
#include "model/task_list.h"

#include <string.h>

static const char choice[] =
    "{\"id\": \"a-1\", \"prompt\": \"2 and 2 is\", \"choices\": [\" 3\", \" 4\"], "
    "\"gold\": 1, \"subject\": \"sums\"}\n"
    "\n"
    "{\"prompt\": \"Gr\\u00fc\\u00dfe\", \"choices\": [\"\\u00e4bc\", \"d\"], \"gold\": "
    "0, \"score_from\": [1, 0]}\n";
static const char generate[] =
    "{\"id\": \"b\", \"prompt\": \"1+1?\\nAnswer:\", \"answer\": \" 1+1=2. #### 2\", "
    "\"gold\": \"2\", \"aliases\": [\"two\", \"II\"]}";

static int
parse(struct mpq_task_file *f, const char *text, enum mpq_task_kind kind,
      struct mpq_err *err)
{
    *err = (struct mpq_err){ 0 };
    return mpq_task_file_parse(f, text, strlen(text), "t.jsonl", kind, 0, err);
}

START_TEST(items_are_read_with_all_they_have)
{
    struct mpq_task_file f;
    struct mpq_err err;

    ck_assert_msg(parse(&f, choice, MPQ_TASK_ANY, &err) == 0, "%s", err.text);
    ck_assert_int_eq(f.kind, MPQ_TASK_CHOICE);
    ck_assert_uint_eq(f.n, 2);
    ck_assert_str_eq(f.items[0].id, "a-1");
    ck_assert_str_eq(f.items[0].prompt, "2 and 2 is");
    ck_assert_str_eq(f.items[0].choices[1], " 4");
    ck_assert_uint_eq(f.items[0].right, 1);
    ck_assert_uint_eq(f.items[0].score_from[1], 0);
    ck_assert_str_eq(mpq_task_item_field(&f.items[0], "subject"), "sums");
    ck_assert_ptr_null(mpq_task_item_field(&f.items[0], "gold"));
    ck_assert_str_eq(f.items[1].id, "3"); /* its line */
    ck_assert_uint_eq(f.items[1].line, 3);
    ck_assert_uint_eq(f.items[1].score_from[0], 2); /* one character, two bytes */
    mpq_task_file_free(&f);

    ck_assert_msg(parse(&f, generate, MPQ_TASK_ANY, &err) == 0, "%s", err.text);
    ck_assert_int_eq(f.kind, MPQ_TASK_GENERATE);
    ck_assert_str_eq(f.items[0].answer, " 1+1=2. #### 2");
    ck_assert_str_eq(f.items[0].gold, "2");
    ck_assert_uint_eq(f.items[0].n_aliases, 2);
    ck_assert_str_eq(f.items[0].aliases[1], "II");
    mpq_task_file_free(&f);
}
END_TEST

START_TEST(what_lies_beyond_the_limit_is_not_looked_at)
{
    static const char text[] = "{\"prompt\":\"p\",\"answer\":\"a\",\"gold\":\"a\"}\nno";
    struct mpq_task_file f;

    ck_assert_int_eq(
        mpq_task_file_parse(&f, text, strlen(text), "t", MPQ_TASK_ANY, 1, NULL), 0);
    ck_assert_uint_eq(f.n, 1);
    mpq_task_file_free(&f);
}
END_TEST

static const struct {
    const char *in, *says;
    enum mpq_task_kind kind;
} bad[] = {
    { "", "t.jsonl: no items", MPQ_TASK_ANY },
    { "\n \n", "t.jsonl: no items", MPQ_TASK_ANY },
    { "{\"prompt\":\"p\"", "t.jsonl:1", MPQ_TASK_ANY },
    { "[1]", "t.jsonl:1: no JSON object", MPQ_TASK_ANY },
    { "{\"choices\":[\"a\",\"b\"],\"gold\":0}", "t.jsonl:1: prompt is missing",
      MPQ_TASK_ANY },
    { "{\"prompt\":7,\"choices\":[\"a\",\"b\"],\"gold\":0}",
      "t.jsonl:1: prompt is no string", MPQ_TASK_ANY },
    { "\n{\"prompt\":\"p\",\"choices\":[\"a\",\"b\"],\"gold\":2}",
      "t.jsonl:2: gold 2 of 2 choices", MPQ_TASK_ANY },
    { "{\"prompt\":\"p\",\"choices\":[\"a\",\"b\"],\"gold\":-1}",
      "t.jsonl:1: gold is no index", MPQ_TASK_ANY },
    { "{\"prompt\":\"p\",\"choices\":[\"a\",\"b\"],\"gold\":\"a\"}",
      "t.jsonl:1: gold is no index", MPQ_TASK_ANY },
    { "{\"prompt\":\"p\",\"choices\":[\"a\",\"b\"]}", "t.jsonl:1: gold is missing",
      MPQ_TASK_ANY },
    { "{\"prompt\":\"p\",\"choices\":[\"a\"],\"gold\":0}",
      "t.jsonl:1: 1 choices, at least 2", MPQ_TASK_ANY },
    { "{\"prompt\":\"p\",\"choices\":[\"a\",3],\"gold\":0}",
      "t.jsonl:1: choices is no string", MPQ_TASK_ANY },
    { "{\"prompt\":\"p\",\"choices\":{},\"gold\":0}", "t.jsonl:1: choices is no list",
      MPQ_TASK_ANY },
    { "{\"prompt\":\"p\",\"choices\":[\"a\",\"\"],\"gold\":0}",
      "t.jsonl:1: a choice is empty", MPQ_TASK_ANY },
    { "{\"prompt\":\"p\",\"choices\":[\"a\",\"b\"],\"gold\":0,\"score_from\":[0]}",
      "t.jsonl:1: score_from has 1 numbers, choices 2", MPQ_TASK_ANY },
    { "{\"prompt\":\"p\",\"choices\":[\"a\",\"b\"],\"gold\":0,\"score_from\":[0,1]}",
      "score_from leaves nothing", MPQ_TASK_ANY },
    { "{\"prompt\":\"p\",\"choices\":[\"a\",\"b\"],\"gold\":0,\"score_from\":[0,9]}",
      "score_from leaves nothing", MPQ_TASK_ANY },
    { "{\"prompt\":\"p\",\"gold\":\"1\"}", "t.jsonl:1: answer is missing",
      MPQ_TASK_ANY },
    { "{\"prompt\":\"p\",\"answer\":\" 1\"}", "t.jsonl:1: gold is missing",
      MPQ_TASK_ANY },
    { "{\"prompt\":\"p\",\"answer\":\"\",\"gold\":\"\"}", "t.jsonl:1: answer is empty",
      MPQ_TASK_ANY },
    { "{\"prompt\":\"p\",\"answer\":\" 1\",\"gold\":\"1\"}",
      "t.jsonl:1: choices is missing", MPQ_TASK_CHOICE },
    { "{\"prompt\":\"p\\u0000\",\"answer\":\" 1\",\"gold\":\"1\"}", "t.jsonl:1",
      MPQ_TASK_ANY },
};

START_TEST(broken_items_are_refused)
{
    struct mpq_task_file f;
    struct mpq_err err;

    ck_assert_int_eq(parse(&f, bad[_i].in, bad[_i].kind, &err), -1);
    ck_assert_msg(strstr(err.text, bad[_i].says) != NULL, "%s", err.text);
}
END_TEST

static int
parse_list(struct mpq_task_list *l, const char *text, struct mpq_err *err)
{
    *l = (struct mpq_task_list){ 0 };
    *err = (struct mpq_err){ 0 };
    return mpq_task_list_parse(l, text, strlen(text), "t.yaml", "d/", err);
}

START_TEST(every_key_of_a_task_is_taken)
{
    struct mpq_task_list l;
    struct mpq_err err;

    ck_assert_msg(parse_list(&l,
                             "- file: gsm8k.eval.jsonl\n"
                             "- file: /x/y.jsonl\n  name: five\n  kind: generate\n"
                             "  template: 'Q: {prompt}'\n  shots: 5\n"
                             "  shots_from: gsm8k.calib.jsonl\n  limit: 100\n"
                             "  metrics: [em, loss]\n  match: word\n"
                             "  stop: [\"\\n\\n\", Q]\n  max_new: 64\n"
                             "- { file: z, pattern: '#### \\K[0-9]+' }\n",
                             &err) == 0,
                  "%s", err.text);
    ck_assert_uint_eq(l.n, 3);
    ck_assert_str_eq(l.tasks[0].name, "gsm8k.eval");
    ck_assert_str_eq(l.tasks[0].file, "d/gsm8k.eval.jsonl");
    ck_assert_str_eq(l.tasks[1].name, "five");
    ck_assert_str_eq(l.tasks[1].file, "/x/y.jsonl");
    ck_assert_int_eq(l.tasks[1].kind, MPQ_TASK_GENERATE);
    ck_assert_str_eq(l.tasks[1].template_text, "Q: {prompt}");
    ck_assert_uint_eq(l.tasks[1].shots, 5);
    ck_assert_str_eq(l.tasks[1].shots_from, "d/gsm8k.calib.jsonl");
    ck_assert_uint_eq(l.tasks[1].limit, 100);
    ck_assert_uint_eq(l.tasks[1].metrics, MPQ_TASK_EM | MPQ_TASK_LOSS);
    ck_assert_int_eq(l.tasks[1].match, MPQ_MATCH_WORD);
    ck_assert_uint_eq(l.tasks[1].n_stop, 2);
    ck_assert_str_eq(l.tasks[1].stop[0], "\n\n");
    ck_assert_uint_eq(l.tasks[1].max_new, 64);
    ck_assert_str_eq(l.tasks[1].place, "t.yaml:2");
    ck_assert_int_eq(l.tasks[2].match, MPQ_MATCH_PATTERN);
    ck_assert_str_eq(l.tasks[2].pattern, "#### \\K[0-9]+");
    mpq_task_list_free(&l);
}
END_TEST

static const struct {
    const char *in, *says;
} bad_lists[] = {
    { "", "a task file is to be a list" },
    { "[]", "no tasks" },
    { "- a\n", "t.yaml:1: a task is to be a map" },
    { "- { name: a }\n", "a task without file" },
    { "- { file: a, speed: 1 }\n", "unknown key speed" },
    { "- { file: a, kind: mc }\n", "'mc' is none of: choice generate" },
    { "- { file: a, match: numbers }\n", "'numbers' is none of: number word text" },
    { "- { file: a, metrics: [acc, f1] }\n",
      "'f1' is none of: acc acc_norm loss em kld" },
    { "- { file: a, metrics: acc }\n", "metrics is to be a list" },
    { "- { file: a, shots: 3 }\n", "shots and shots_from belong together" },
    { "- { file: a, shots_from: b }\n", "shots and shots_from belong together" },
    { "- file: a\n  limit: 0\n", "t.yaml:2: '0' is no number from 1" },
    { "- { file: '' }\n", "an empty file name" },
    { "- { file: a, pattern: '' }\n", "an empty value" },
    { "- { file: a, pattern: x, match: word }\n", "match and pattern: one of them" },
};

START_TEST(broken_lists_are_refused)
{
    struct mpq_task_list l;
    struct mpq_err err;

    ck_assert_int_eq(parse_list(&l, bad_lists[_i].in, &err), -1);
    ck_assert_msg(strstr(err.text, bad_lists[_i].says) != NULL, "%s", err.text);
    mpq_task_list_free(&l);
}
END_TEST

START_TEST(templates_are_filled_in)
{
    struct mpq_task_file f;
    struct mpq_buf text = { 0 };
    struct mpq_err err;

    ck_assert_int_eq(parse(&f, choice, MPQ_TASK_ANY, &err), 0);
    ck_assert_int_eq(
        mpq_task_fill("{{{subject}} {prompt}", &f.items[0], "t", &text, NULL), 0);
    ck_assert_str_eq(text.data, "{sums} 2 and 2 is");
    text.len = 0;
    ck_assert_int_eq(mpq_task_fill(NULL, &f.items[0], "t", &text, NULL), 0);
    ck_assert_str_eq(text.data, "2 and 2 is");
    ck_assert_int_eq(mpq_task_fill("{topic}", &f.items[1], "t", &text, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "t:3: no string for '{topic}'"));
    mpq_buf_free(&text);
    mpq_task_file_free(&f);
}
END_TEST

static const struct {
    const char *in, *number;
} numbers[] = {
    { " 7+48=55. #### 55", "55" },
    { "so 1,234.50 dollars.", "1234.50" },
    { "the answer is 18.", "18" },
    { "-3", "-3" },
    { "5-3", "3" },
    { "from 4 to -2", "-2" },
    { "$1,000,000!", "1000000" },
    { "3.14.15", "15" },
    { "half is .5", ".5" },
    { "(-.25)", "-.25" },
    { "blk.5 or v1.5.3", "3" },
    { "..5", ".5" },
    { "end. 7", "7" },
    { "1 ..", "1" },
    { "none", NULL },
    { "-", NULL },
    { "", NULL },
};

START_TEST(the_last_number_is_found)
{
    struct mpq_buf out = { 0 };
    const int found = mpq_match_number(numbers[_i].in, strlen(numbers[_i].in), &out);

    ck_assert_int_eq(found, numbers[_i].number != NULL);
    if (found)
        ck_assert_str_eq(out.data, numbers[_i].number);
    mpq_buf_free(&out);
}
END_TEST

static const struct {
    const char *in, *out;
} normal[] = {
    { "  The  U.S.A.\t", "the usa" },
    { "\xc3\x89mile ZOLA!", "\xc3\xa9mile zola" },              /* É */
    { "\xd0\x9c\xd0\x98\xd0\xa0", "\xd0\xbc\xd0\xb8\xd1\x80" }, /* МИР */
    { "\xc5\x81\xc3\xb3"
      "d\xc5\xba",
      "\xc5\x82\xc3\xb3"
      "d\xc5\xba" }, /* Łódź */
    { "a \xff b", "a \xff b" },
    { "..", "" },
};

START_TEST(text_is_normalized)
{
    struct mpq_buf out = { 0 };

    mpq_match_normalize(normal[_i].in, strlen(normal[_i].in), &out);
    mpq_buf_add(&out, "", 1);
    ck_assert_str_eq(out.data, normal[_i].out);
    mpq_buf_free(&out);
}
END_TEST

/* What is generated for ITEM, and whether it is right. */
static const struct {
    enum mpq_match match;
    const char *pattern, *gold, *alias, *text;
    int right;
} answers[] = {
    { MPQ_MATCH_NUMBER, NULL, "1234", NULL, " so 1,234.00", 1 },
    { MPQ_MATCH_NUMBER, NULL, "1234", NULL, " 1234\n\nQuestion: 5 and 6?", 1 },
    { MPQ_MATCH_NUMBER, NULL, "1234", NULL, " 1234 or 5", 0 },
    { MPQ_MATCH_NUMBER, NULL, "1234", NULL, " none", 0 },
    { MPQ_MATCH_WORD, NULL, "Gabriel", NULL, " Gabriel, who", 1 },
    { MPQ_MATCH_WORD, NULL, "Gabriel", NULL, " \"Gabriel\"", 1 },
    { MPQ_MATCH_WORD, NULL, "Gabriel", NULL, " Gabriela", 0 },
    { MPQ_MATCH_WORD, NULL, "Gabriel", NULL, " the Gabriel", 0 },
    { MPQ_MATCH_TEXT, NULL, "Sinclair Lewis", "Harry Lewis", " sinclair lewis.\nQ", 1 },
    { MPQ_MATCH_TEXT, NULL, "Sinclair Lewis", "Harry Lewis", " Harry Lewis", 1 },
    { MPQ_MATCH_TEXT, NULL, "Sinclair Lewis", "Harry Lewis", " Lewis", 0 },
    { MPQ_MATCH_TEXT, NULL, "Sinclair Lewis", "", "", 0 },
    { MPQ_MATCH_PATTERN, "#### \\K[0-9,]+", "1000", NULL, "5 #### 1,000 and 7", 1 },
    { MPQ_MATCH_PATTERN, "#### \\K[0-9,]+", "1000", NULL, "1000", 0 },
    { MPQ_MATCH_PATTERN, "\\b[A-D]\\b", "C", NULL, "A? no, C", 1 },
    { MPQ_MATCH_PATTERN, "\\b[A-D]\\b", "C", NULL, "C \xe2\x82", 1 },
    { MPQ_MATCH_PATTERN, "x*", "xx", NULL, "a xx b", 0 }, /* the last match is empty */
};

START_TEST(answers_are_judged)
{
    const char *alias[] = { answers[_i].alias };
    struct mpq_task_item item = { .gold = answers[_i].gold,
                                  .answer = "",
                                  .aliases = alias,
                                  .n_aliases = answers[_i].alias ? 1 : 0 };
    const struct mpq_task_file f = { .items = &item, .n = 1 };
    const struct mpq_task t = { .match = answers[_i].match,
                                .pattern = answers[_i].pattern,
                                .place = "t" };
    struct mpq_matcher *m;
    struct mpq_err err = { 0 };

    ck_assert_msg(mpq_matcher_new(&m, &t, &f, &err) == 0, "%s", err.text);
    ck_assert_int_eq(
        mpq_matcher_is(m, answers[_i].text, strlen(answers[_i].text), &item, &err),
        answers[_i].right);
    mpq_matcher_free(m);
}
END_TEST

START_TEST(a_broken_pattern_is_told)
{
    const struct mpq_task t = { .match = MPQ_MATCH_PATTERN,
                                .pattern = "(",
                                .place = "t.yaml:3" };
    struct mpq_matcher *m;
    struct mpq_err err = { 0 };

    ck_assert_int_eq(mpq_matcher_new(&m, &t, NULL, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "t.yaml:3"));
}
END_TEST

static const struct {
    const char *answer, *gold, *alias;
    enum mpq_match match;
} kinds[] = {
    { " 1+1=2. #### 2", "2", NULL, MPQ_MATCH_NUMBER },
    { " Gabriel", "Gabriel", NULL, MPQ_MATCH_WORD },
    { " two words", "two words", NULL, MPQ_MATCH_TEXT },
    { " 2", "2", "two", MPQ_MATCH_TEXT },
};

START_TEST(the_match_is_guessed_from_the_answers)
{
    const char *alias[] = { kinds[_i].alias };
    struct mpq_task_item item = { .gold = kinds[_i].gold,
                                  .answer = kinds[_i].answer,
                                  .aliases = alias,
                                  .n_aliases = kinds[_i].alias ? 1 : 0 };

    ck_assert_int_eq(mpq_match_guess(&(struct mpq_task_file){ .items = &item, .n = 1 }),
                     kinds[_i].match);
}
END_TEST

#define N(x) ((int)(sizeof(x) / sizeof *(x)))

Suite *
mpq_suite(void)
{
    Suite *s = suite_create("task");
    TCase *tc = tcase_create("task");

    tcase_add_test(tc, items_are_read_with_all_they_have);
    tcase_add_test(tc, what_lies_beyond_the_limit_is_not_looked_at);
    tcase_add_loop_test(tc, broken_items_are_refused, 0, N(bad));
    tcase_add_test(tc, every_key_of_a_task_is_taken);
    tcase_add_loop_test(tc, broken_lists_are_refused, 0, N(bad_lists));
    tcase_add_test(tc, templates_are_filled_in);
    tcase_add_loop_test(tc, the_last_number_is_found, 0, N(numbers));
    tcase_add_loop_test(tc, text_is_normalized, 0, N(normal));
    tcase_add_loop_test(tc, answers_are_judged, 0, N(answers));
    tcase_add_test(tc, a_broken_pattern_is_told);
    tcase_add_loop_test(tc, the_match_is_guessed_from_the_answers, 0, N(kinds));
    suite_add_tcase(s, tc);
    return s;
}
