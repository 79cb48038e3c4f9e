/* Broken vocabularies and texts that are refused. */
#include "vocab.h"

START_TEST(text_that_is_not_utf8_is_refused_with_its_place)
{
    static const struct {
        const char *text, *says;
    } bad[] = {
        { "abc\xff", "notes.txt: byte 3 (0xff) is not UTF-8" },
        { "\xc3\xa9\xc3", "notes.txt: byte 2 (0xc3) is not UTF-8" },
        { "\xed\xa0\x80", "notes.txt: byte 0 (0xed) is not UTF-8" },
        { "a\xc0\x80", "notes.txt: byte 1 (0xc0) is not UTF-8" },
    };
    struct opened o = open_both(TINY);

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct mpq_tokens ids = { 0 };
        struct mpq_err err = { 0 };
        ck_assert_int_eq(mpq_tokenizer_encode(o.t, bad[i].text, strlen(bad[i].text),
                                              PLAIN, "notes.txt", &ids, &err),
                         -1);
        ck_assert_str_eq(err.text, bad[i].says);
        mpq_tokens_free(&ids);
    }
    close_both(&o);
}
END_TEST

/* Broken vocabularies as JSON: what replaces what in a small one that is sound. */
static const char sound_json[] =
    "{\"added_tokens\":[{\"id\":4,\"content\":\"<s>\",\"special\":true}],"
    "\"normalizer\":null,\"pre_tokenizer\":null,\"post_processor\":null,"
    "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,\"c\":3},"
    "\"merges\":[\"a b\"]}}";
static const struct {
    const char *old, *new, *says;
} bad_json[] = {
    { "\"BPE\"", "\"Unigram\"", "a tokenizer of type Unigram is not supported" },
    { "\"ab\":2", "\"ab\":1", "tokens b and ab have the same id 1" },
    { "\"ab\":2", "\"ab\":-2", "token ab: its id is no number" },
    { "\"ab\":2", "\"ab\":4000000000", "token ab: id 4000000000 for 4 tokens" },
    { "\"a b\"", "\"ab\"", "merge 0 is no pair of texts" },
    { "\"a b\"", "[\"a\"]", "merge 0 is no pair of texts" },
    { "\"a b\"", "\"a x\"", "merge 0 (a x) names no tokens" },
    { "\"a b\"", "\"b a\"", "merge 0 (b a) names no tokens" },
    { "[\"a b\"]", "7", "model.merges is no array of pairs" },
    { "\"id\":4,", "", "added token 0 has no content or no id" },
    { "\"<s>\"", "\"<\\u0000s>\"", "added token 0 has a character U+0000" },
    { "\"id\":4", "\"id\":2", "tokens ab and <s> have the same id 2" },
    { "\"id\":4,\"content\":\"<s>\"", "\"id\":4,\"content\":\"b\"",
      "tokens 1 and 4 are both b" },
    { "\"vocab\":", "\"words\":", "model.vocab is no object with tokens" },
    { "\"model\"", "\"mode\"", "no model" },
    { "\"merges\"", "\"dropout\":0.5,\"merges\"", "dropout is not supported" },
    { "\"normalizer\":null", "\"normalizer\":{\"type\":\"NFKC\"}",
      "normalizer NFKC is not supported" },
    { "\"pre_tokenizer\":null", "\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"}",
      "pre_tokenizer BertPreTokenizer is not supported" },
    { "\"pre_tokenizer\":null",
      "\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(a\"},"
      "\"behavior\":\"Isolated\"}",
      "regular expression (a: missing closing parenthesis" },
    { "\"pre_tokenizer\":null",
      "\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"[a&&b]\"},"
      "\"behavior\":\"Isolated\"}",
      "this kind of set is not supported" },
    { "\"pre_tokenizer\":null",
      "\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"a\"},"
      "\"behavior\":\"Doubled\"}",
      "unknown behavior Doubled" },
    { "\"pre_tokenizer\":null",
      "\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{},\"behavior\":\"Isolated\"}",
      "no String and no Regex in a pattern" },
    { "\"post_processor\":null",
      "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":"
      "{\"id\":\"<s>\"}}],\"special_tokens\":{\"<s>\":{\"ids\":[5]}}}",
      "token <s> has an id beyond the vocabulary of 5" },
    { "\"post_processor\":null", "\"post_processor\":{\"type\":\"BertProcessing\"}",
      "post_processor BertProcessing is not supported" },
};

static struct opened
open_changed(const char *old, const char *new)
{
    struct mpq_buf b = { 0 };
    const char *at = strstr(sound_json, old);

    ck_assert_ptr_nonnull(at);
    mpq_buf_add(&b, sound_json, (size_t)(at - sound_json));
    mpq_buf_adds(&b, new);
    mpq_buf_adds(&b, at + strlen(old));
    struct opened o = try_open(folder(b.data, b.len));
    mpq_buf_free(&b);
    return o;
}

START_TEST(a_broken_tokenizer_json_is_refused)
{
    struct opened o = open_changed("\"BPE\"", "\"BPE\"");

    ck_assert_ptr_nonnull(o.t);
    check(o.t, "abxc<s>", PLAIN, "2 3");
    close_both(&o);
    o = open_changed(bad_json[_i].old, bad_json[_i].new);
    ck_assert_msg(!o.t && strstr(o.err.text, bad_json[_i].says) &&
                      strstr(o.err.text, ": tokenizer.json"),
                  "'%s' lacks '%s'", o.err.text, bad_json[_i].says);
    close_both(&o);
}
END_TEST

static const struct {
    const char *model, *pre, *says;
} bad_gguf[] = {
    { "bert", "default", "unknown tokenizer bert" },
    { "gpt2", "no-such", "unknown pre-tokenizer no-such (tokenizer.ggml.pre)" },
    { "gpt2", "", "tokenizer.ggml.merges is missing" }, /* no name is the default */
    { "gpt2", "gpt-2x", "unknown pre-tokenizer gpt-2x" },
    { "gpt2", "gpt-2", "tokenizer.ggml.merges is missing" },
    { "llama", "default", "tokenizer.ggml.scores has 2 items for 3 tokens" },
};

START_TEST(a_broken_gguf_vocabulary_is_refused)
{
    const char *const list[] = { "a", "b", "c" };
    const size_t length[] = { 1, 1, 1 };
    const float scores[] = { 0, 1 };
    struct mpq_gguf_head h;

    mpq_gguf_head_init(&h, 32);
    mpq_gguf_put_str(&h, "tokenizer.ggml.model", bad_gguf[_i].model,
                     strlen(bad_gguf[_i].model));
    mpq_gguf_put_str(&h, "tokenizer.ggml.pre", bad_gguf[_i].pre,
                     strlen(bad_gguf[_i].pre));
    mpq_gguf_put_strings(&h, "tokenizer.ggml.tokens", list, length, 3);
    mpq_gguf_put_array(&h, "tokenizer.ggml.scores", MPQ_GGUF_F32, scores, 4, 2);
    finish_gguf(&h, "bad.gguf");
    struct opened o = try_open(in_tmp("bad.gguf"));
    ck_assert_msg(!o.t && strstr(o.err.text, bad_gguf[_i].says), "'%s' lacks '%s'",
                  o.err.text, bad_gguf[_i].says);
    close_both(&o);
    o = small_bpe("a|b|c|b", "", "");
    ck_assert_msg(!o.t && strstr(o.err.text, "tokens 1 and 3 are both b"), "'%s'",
                  o.err.text);
    close_both(&o);
}
END_TEST

START_TEST(a_vocabulary_without_bytes_says_what_it_lacks)
{
    const char *const list[] = { "a", "b" };
    const size_t length[] = { 1, 1 };
    const float scores[] = { 0, 1 };
    struct mpq_gguf_head h;
    struct mpq_tokens ids = { 0 };
    struct mpq_err err = { 0 };

    mpq_gguf_head_init(&h, 32);
    mpq_gguf_put_str(&h, "tokenizer.ggml.model", "llama", 5);
    mpq_gguf_put_strings(&h, "tokenizer.ggml.tokens", list, length, 2);
    mpq_gguf_put_array(&h, "tokenizer.ggml.scores", MPQ_GGUF_F32, scores, 4, 2);
    mpq_gguf_put_bool(&h, "tokenizer.ggml.add_space_prefix", 0);
    finish_gguf(&h, "bytes.gguf");
    struct opened o = open_both(in_tmp("bytes.gguf"));
    check(o.t, "abba", PLAIN, "0 1 1 0");
    check(o.t, "c", PLAIN,
          "0"); /* llama.cpp's unknown token is 0 where none is named */
    ck_assert_int_eq(mpq_tokenizer_encode(o.t, "\xff", 1, PLAIN, "x", &ids, &err), -1);
    close_both(&o);
}
END_TEST

START_TEST(a_model_without_tokenizer_says_so)
{
    struct opened o = try_open("tests/data/formats/llama.gguf");

    ck_assert_msg(!o.t && strstr(o.err.text, "no tokenizer: neither"), "'%s'",
                  o.err.text);
    close_both(&o);
}
END_TEST

Suite *
mpq_suite(void)
{
    Suite *s = suite_create("tokenizer_bad");
    TCase *tc = tcase_create("tokenizer_bad");

    tcase_set_timeout(tc, 600);
    tcase_add_checked_fixture(tc, make_tmp, remove_tmp);
    tcase_add_test(tc, text_that_is_not_utf8_is_refused_with_its_place);
    tcase_add_loop_test(tc, a_broken_tokenizer_json_is_refused, 0,
                        sizeof bad_json / sizeof *bad_json);
    tcase_add_loop_test(tc, a_broken_gguf_vocabulary_is_refused, 0,
                        sizeof bad_gguf / sizeof *bad_gguf);
    tcase_add_test(tc, a_vocabulary_without_bytes_says_what_it_lacks);
    tcase_add_test(tc, a_model_without_tokenizer_says_so);
    suite_add_tcase(s, tc);
    return s;
}
