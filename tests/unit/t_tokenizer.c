#include "folder.h"
#include "suite.h"

#include "base/buf.h"
#include "base/io.h"
#include "fmt/json.h"
#include "fmt/regex.h"
#include "model/source.h"
#include "model/tokenizer.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DIR_  "tests/data/tokens/"
#define TINY  "examples/tiny-model"
#define PLAIN 0u
#define BOTH  (unsigned)(MPQ_TOKENS_PARSE_SPECIAL | MPQ_TOKENS_ADD_SPECIAL)

static char *
read_all(const char *path, size_t *n)
{
    struct mpq_map map;
    struct mpq_err err = { 0 };

    ck_assert_msg(mpq_map_open(&map, path, &err) == 0, "%s", err.text);
    char *copy = mpq_strndup(map.data ? (const char *)map.data : "", (size_t)map.size);
    *n = (size_t)map.size;
    mpq_map_close(&map);
    ck_assert_ptr_nonnull(copy);
    return copy;
}

/* A model folder in tmp with the text JSON as its tokenizer.json. */
static const char *
folder(const char *json, size_t n)
{
    static const char *const files[] = { "config.json", "model.safetensors" };

    for (size_t i = 0; i < 2; i++) {
        char from[96];
        size_t size;
        snprintf(from, sizeof from, "tests/data/formats/hf/%s", files[i]);
        char *bytes = read_all(from, &size);
        put_file(files[i], bytes, size);
        free(bytes);
    }
    put_file("tokenizer.json", json, n);
    return tmp;
}

/* The open model at PATH and its tokenizer; *says takes the message where there is
 * none. */
struct opened {
    struct mpq_source *source;
    struct mpq_tokenizer *t;
    struct mpq_err err;
};

static struct opened
try_open(const char *path)
{
    struct opened o = { 0 };

    if (mpq_source_open(&o.source, path, NULL, &o.err) == 0 &&
        mpq_tokenizer_new(&o.t, o.source, &o.err) < 0)
        ck_assert_ptr_null(o.t);
    return o;
}

static void
close_both(struct opened *o)
{
    mpq_tokenizer_free(o->t);
    mpq_source_free(o->source);
}

static struct opened
open_both(const char *path)
{
    struct opened o = try_open(path);

    ck_assert_msg(o.t != NULL, "%s", o.err.text);
    return o;
}

/* A vocabulary of tests/data/tokens, by its name there. */
static struct opened
open_data(const char *name)
{
    char path[96];
    size_t n;

    snprintf(path, sizeof path, DIR_ "%s", name);
    if (strstr(name, ".gguf"))
        return open_both(path);
    char *json = read_all(path, &n);
    struct opened o = open_both(folder(json, n));
    free(json);
    return o;
}

static struct mpq_tokens
encode(const struct mpq_tokenizer *t, const char *text, size_t n, unsigned flags)
{
    struct mpq_tokens ids = { 0 };
    struct mpq_err err = { 0 };

    ck_assert_msg(mpq_tokenizer_encode(t, text, n, flags, "text", &ids, &err) == 0,
                  "%s", err.text);
    return ids;
}

static struct mpq_tokens
encode_str(const struct mpq_tokenizer *t, const char *text, unsigned flags)
{
    return encode(t, text, strlen(text), flags);
}

static void
say_ids(const struct mpq_tokens *ids, struct mpq_buf *b)
{
    b->len = 0;
    mpq_buf_add(b, "", 0);
    for (size_t i = 0; i < ids->n; i++)
        mpq_buf_printf(b, i ? " %u" : "%u", (unsigned)ids->ids[i]);
}

/* TEXT becomes IDS ("5 2 7"). */
static void
check(const struct mpq_tokenizer *t, const char *text, unsigned flags, const char *ids)
{
    struct mpq_tokens got = encode_str(t, text, flags);
    struct mpq_buf b = { 0 };

    say_ids(&got, &b);
    ck_assert_str_eq(b.data, ids);
    mpq_buf_free(&b);
    mpq_tokens_free(&got);
}

/* Fields of a line of a table, parted by tabs; the line is changed. */
static size_t
fields(char *line, char **field, size_t max)
{
    size_t n = 0;

    for (char *p = line; p && n < max; n++) {
        field[n] = p;
        if ((p = strchr(p, '\t')))
            *p++ = '\0';
    }
    return n;
}

/* A table's next line, or NULL; *at moves on. */
static char *
next_line(char **at)
{
    char *line = *at, *end = strchr(line, '\n');

    if (!end)
        return NULL;
    *end = '\0';
    *at = end + 1;
    return line;
}

static const struct mpq_json *
texts(struct mpq_json **root)
{
    struct mpq_err err = { 0 };

    ck_assert_msg(mpq_json_open(root, DIR_ "texts.json", &err) == 0, "%s", err.text);
    return *root;
}

/* The vocabularies of gen_tokens.py, whose ids.tsv was written by llama-tokenize and
 * the package tokenizers. */
static const char *const vocabularies[] = {
    "spm-prefix.gguf",      "spm-plain.gguf",       "llama2.json",
    "gemma.json",           "llama3.json",          "gpt2.json",
    "metaspace-first.json", "metaspace-whole.json", "splits.json",
};

START_TEST(ids_are_those_of_llama_cpp_and_tokenizers)
{
    struct opened o = open_data(vocabularies[_i]);
    struct mpq_json *root;
    const struct mpq_json *all = texts(&root);
    struct mpq_buf b = { 0 };
    size_t n, checked = 0;
    char *table = read_all(DIR_ "ids.tsv", &n), *at = table, *line, *field[4];

    while ((line = next_line(&at))) {
        ck_assert_uint_eq(fields(line, field, 4), 4);
        if (strcmp(field[0], vocabularies[_i]) != 0)
            continue;
        const char *text = mpq_json_str(mpq_json_item(all, (size_t)atol(field[2])), &n);
        struct mpq_tokens ids = encode(o.t, text, n, field[1][0] == 's' ? BOTH : PLAIN);
        say_ids(&ids, &b);
        ck_assert_msg(!strcmp(b.data, field[3]), "%s, flags %s, text %s:\n%s\nnot\n%s",
                      field[0], field[1], field[2], b.data, field[3]);
        mpq_tokens_free(&ids);
        checked++;
    }
    ck_assert_uint_ge(checked, 30);
    free(table);
    mpq_buf_free(&b);
    mpq_json_free(root);
    close_both(&o);
}
END_TEST

/* Byte B in GPT-2's alphabet. */
static size_t
put_byte(char *out, unsigned b)
{
    unsigned c = 256;

    for (unsigned i = 0; i < 256; i++) {
        const int plain = (i >= 33 && i < 127) || (i >= 161 && i < 173) || i >= 174;
        if (i == b) {
            c = plain ? b : c;
            break;
        }
        c += !plain;
    }
    if (c < 128) {
        out[0] = (char)c;
        return 1;
    }
    out[0] = (char)(0xc0 | c >> 6);
    out[1] = (char)(0x80 | (c & 0x3f));
    return 2;
}

/* A GGUF header with a layer, so that it is a model, written to FILE in tmp. */
static void
finish_gguf(struct mpq_gguf_head *h, const char *file)
{
    const uint64_t dim[] = { 32, 4 };
    struct mpq_buf out;
    struct mpq_err err = { 0 };

    mpq_gguf_put_str(h, "general.architecture", "llama", 5);
    mpq_gguf_put_u32(h, "llama.block_count", 1);
    ck_assert_int_eq(mpq_gguf_put_tensor(h, "blk.0.attn_norm.weight", MPQ_TYPE(MPQ_F32),
                                         1, dim, &err),
                     0);
    ck_assert_int_eq(mpq_gguf_head_finish(h, &out, &err), 0);
    for (size_t i = 0; i < 32 * 4; i++)
        mpq_buf_add(&out, "", 1);
    put_file(file, out.data, out.len);
    mpq_buf_free(&out);
    mpq_gguf_head_free(h);
}

/* gen_tokens.py's make_pairs. */
static void
put_pairs(const char *pre)
{
    enum { N = 257 + 65536 };
    static char bytes[256][2], token[65536][4], merge[65536][5];
    static const char *tokens[N], *merges[65536];
    static size_t lengths[N], merge_lengths[65536];
    static int32_t types[N];
    struct mpq_gguf_head h;

    tokens[0] = "<|endoftext|>";
    lengths[0] = strlen(tokens[0]);
    types[0] = 3;
    for (unsigned b = 0; b < 256; b++) {
        lengths[1 + b] = put_byte(bytes[b], b);
        tokens[1 + b] = bytes[b];
        types[1 + b] = 1;
    }
    for (unsigned i = 0; i < 65536; i++) {
        const size_t n = lengths[1 + i / 256], m = lengths[1 + i % 256];
        memcpy(token[i], bytes[i / 256], n);
        memcpy(token[i] + n, bytes[i % 256], m);
        memcpy(merge[i], bytes[i / 256], n);
        merge[i][n] = ' ';
        memcpy(merge[i] + n + 1, bytes[i % 256], m);
        tokens[257 + i] = token[i];
        lengths[257 + i] = n + m;
        types[257 + i] = 1;
        merges[i] = merge[i];
        merge_lengths[i] = n + m + 1;
    }
    mpq_gguf_head_init(&h, 32);
    mpq_gguf_put_str(&h, "tokenizer.ggml.model", "gpt2", 4);
    mpq_gguf_put_str(&h, "tokenizer.ggml.pre", pre, strlen(pre));
    mpq_gguf_put_strings(&h, "tokenizer.ggml.tokens", tokens, lengths, N);
    mpq_gguf_put_array(&h, "tokenizer.ggml.token_type", MPQ_GGUF_I32, types, 4, N);
    mpq_gguf_put_strings(&h, "tokenizer.ggml.merges", merges, merge_lengths, 65536);
    mpq_gguf_put_u32(&h, "tokenizer.ggml.bos_token_id", 0);
    mpq_gguf_put_u32(&h, "tokenizer.ggml.eos_token_id", 0);
    finish_gguf(&h, "pairs.gguf");
}

START_TEST(every_pre_tokenizer_cuts_where_llama_cpp_does)
{
    struct mpq_json *root;
    const struct mpq_json *all = texts(&root);
    struct opened o = { 0 };
    size_t n, pres = 0;
    char *table = read_all(DIR_ "pre.tsv", &n), *at = table, *line, *field[3];
    char now[64] = "";

    while ((line = next_line(&at))) {
        ck_assert_uint_eq(fields(line, field, 3), 3);
        if (strcmp(field[0], now) != 0) {
            close_both(&o);
            put_pairs(field[0]);
            o = open_both(in_tmp("pairs.gguf"));
            snprintf(now, sizeof now, "%s", field[0]);
            pres++;
        }
        const char *text = mpq_json_str(mpq_json_item(all, (size_t)atol(field[1])), &n);
        struct mpq_tokens ids = encode(o.t, text, n, PLAIN);
        struct mpq_buf cuts = { 0 }, back = { 0 };
        mpq_buf_add(&cuts, "", 0);
        for (size_t i = 0; i < ids.n; i++)
            mpq_buf_adds(&cuts, ids.ids[i] > 0 && ids.ids[i] < 257 ? "1" : "2");
        ck_assert_msg(!strcmp(cuts.data, field[2]), "%s, text %s:\n%s\nnot\n%s",
                      field[0], field[1], cuts.data, field[2]);
        mpq_tokenizer_decode(o.t, ids.ids, ids.n, &back);
        ck_assert_uint_eq(back.len, n);
        ck_assert(n == 0 || !memcmp(back.data, text, n));
        mpq_buf_free(&cuts);
        mpq_buf_free(&back);
        mpq_tokens_free(&ids);
    }
    ck_assert_uint_eq(pres, 30);
    close_both(&o);
    free(table);
    mpq_json_free(root);
}
END_TEST

START_TEST(the_tiny_model_is_the_same_as_gguf_and_as_folder)
{
    struct opened a = open_both(TINY), b = open_both(TINY "/tiny-model.gguf");
    char sum[2][17];
    size_t n;
    char *text = read_all(TINY "/text.valid.txt", &n);
    struct mpq_tokens x = encode(a.t, text, n, PLAIN), y = encode(b.t, text, n, PLAIN);
    struct mpq_buf back = { 0 };

    ck_assert_uint_eq(mpq_tokenizer_count(a.t), 2048);
    ck_assert_uint_eq(mpq_tokenizer_count(b.t), 2048);
    mpq_tokenizer_checksum(a.t, sum[0]);
    mpq_tokenizer_checksum(b.t, sum[1]);
    ck_assert_str_eq(sum[0], sum[1]);
    ck_assert_uint_eq(strlen(sum[0]), 16);
    ck_assert_uint_gt(x.n, n / 5);
    ck_assert_uint_eq(x.n, y.n);
    ck_assert_mem_eq(x.ids, y.ids, x.n * sizeof *x.ids);
    mpq_tokenizer_decode(a.t, x.ids, x.n, &back);
    ck_assert_uint_eq(back.len, n);
    ck_assert_mem_eq(back.data, text, n);
    ck_assert_int_eq(mpq_tokenizer_bos(b.t), 0);
    ck_assert_int_eq(mpq_tokenizer_eos(a.t), 0);
    ck_assert(mpq_tokenizer_is_eog(a.t, 0) && mpq_tokenizer_is_eog(b.t, 0));
    ck_assert(!mpq_tokenizer_is_eog(b.t, 1) && !mpq_tokenizer_is_eog(b.t, 4000000000u));
    ck_assert(mpq_tokenizer_adds_bos(b.t));
    mpq_buf_free(&back);
    mpq_tokens_free(&x);
    mpq_tokens_free(&y);
    free(text);
    close_both(&a);
    close_both(&b);
}
END_TEST

/* A byte-level vocabulary of our own: TOKENS and MERGES are parted by '|', types are 1
 * but where TYPES has another digit. */
static struct opened
small_bpe(const char *tokens, const char *types, const char *merges)
{
    const char *list[64];
    size_t length[64], n = 0;
    int32_t kinds[64];
    struct mpq_gguf_head h;

    mpq_gguf_head_init(&h, 32);
    mpq_gguf_put_str(&h, "tokenizer.ggml.model", "gpt2", 4);
    mpq_gguf_put_str(&h, "tokenizer.ggml.pre", "gpt-2", 5);
    for (int pass = 0; pass < 2; pass++) {
        const char *p = pass ? merges : tokens;
        for (n = 0; *p; n++) {
            list[n] = p;
            length[n] = strcspn(p, "|");
            kinds[n] = 1;
            p += length[n] + (p[length[n]] == '|');
        }
        mpq_gguf_put_strings(&h,
                             pass ? "tokenizer.ggml.merges" : "tokenizer.ggml.tokens",
                             list, length, n);
        if (!pass) {
            for (size_t i = 0; types[i]; i++)
                kinds[i] = types[i] - '0';
            mpq_gguf_put_array(&h, "tokenizer.ggml.token_type", MPQ_GGUF_I32, kinds, 4,
                               n);
        }
    }
    finish_gguf(&h, "small.gguf");
    return try_open(in_tmp("small.gguf"));
}

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

START_TEST(pieces_are_bytes_and_control_tokens_their_names)
{
    struct opened o = open_data("spm-prefix.gguf");
    static const struct {
        uint32_t id;
        const char *piece;
        size_t n;
    } some[] = {
        { 0, "<unk>", 5 },    { 1, "<s>", 3 },       { 4, "<end_of_turn>", 13 },
        { 5, "\n\n", 2 },     { 12, "\0", 1 },       { 12 + 0xe9, "\xe9", 1 },
        { 12 + ' ', " ", 1 }, { 4000000000u, "", 0 }
    };
    struct mpq_buf b = { 0 };
    size_t n;

    for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
        const char *s = mpq_tokenizer_piece(o.t, some[i].id, &n);
        ck_assert_uint_eq(n, some[i].n);
        ck_assert_int_eq(memcmp(s, some[i].piece, n), 0);
    }
    /* the blank that was put before the text goes, control tokens are left out */
    struct mpq_tokens ids = encode_str(o.t, "the \xe4\xbb\x8a\xe6\x97\xa5 end", BOTH);
    ck_assert_uint_eq(ids.ids[0], 1);
    mpq_tokenizer_decode(o.t, ids.ids, ids.n, &b);
    ck_assert_str_eq(b.data, "the \xe4\xbb\x8a\xe6\x97\xa5 end");
    /* a control token by its name, though the file calls it a plain one */
    ck_assert(mpq_tokenizer_is_eog(o.t, 4));
    mpq_buf_free(&b);
    mpq_tokens_free(&ids);
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

/* The texts that models.tsv calls by a word; *n bytes, to be freed. */
static char *
long_text(const char *name, size_t *n)
{
    const int digits = strcmp(name, "digits") == 0;
    uint64_t state = 1;

    if (strcmp(name, "valid") == 0)
        return read_all(TINY "/text.valid.txt", n);
    *n = digits ? 20000 : 100000;
    char *text = malloc(*n);
    ck_assert_ptr_nonnull(text);
    for (size_t i = 0; i < *n; i++) { /* gen_model_ids.py's */
        state = (state * 1103515245 + 12345) & 0x7fffffff;
        text[i] = (char)((digits ? '0' : 'a') + (state >> 16) % (digits ? 10 : 26));
    }
    return text;
}

static void
say_checksum(const struct mpq_tokens *ids, struct mpq_buf *b)
{
    uint32_t h = 0;

    for (size_t i = 0; i < ids->n; i++)
        h = h * 1000003u + ids->ids[i];
    b->len = 0;
    mpq_buf_printf(b, "%zu %u", ids->n, (unsigned)h);
}

/* Rows of models.tsv, which llama-tokenize wrote, for the model FILE. */
static void
check_rows(const struct mpq_tokenizer *t, const char *file, const struct mpq_json *all)
{
    struct mpq_buf b = { 0 };
    size_t n;
    char *table = read_all(DIR_ "models.tsv", &n), *at = table, *line, *field[3];

    while ((line = next_line(&at))) {
        ck_assert_uint_eq(fields(line, field, 3), 3);
        if (strncmp(file, field[0], strlen(field[0])) != 0)
            continue;
        const int in_full = field[1][0] >= '0' && field[1][0] <= '9';
        char *own = in_full ? NULL : long_text(field[1], &n);
        const char *text =
            own ? own : mpq_json_str(mpq_json_item(all, (size_t)atol(field[1])), &n);
        struct mpq_tokens ids = encode(t, text, n, PLAIN);
        if (in_full)
            say_ids(&ids, &b);
        else
            say_checksum(&ids, &b);
        ck_assert_msg(!strcmp(b.data, field[2]), "%s, text %s:\n%s\nnot\n%s", file,
                      field[1], b.data, field[2]);
        mpq_tokens_free(&ids);
        free(own);
    }
    free(table);
    mpq_buf_free(&b);
}

START_TEST(larger_models_have_llama_tokenizes_ids)
{
    const char *dir = getenv("MPQ_TEST_MODELS");
    DIR *d = dir ? opendir(dir) : NULL;
    size_t n;
    char *text = read_all(TINY "/text.valid.txt", &n);
    struct mpq_json *root;
    const struct mpq_json *all = texts(&root);

    for (struct dirent *e; d && (e = readdir(d));) {
        char path[512];
        if (!strstr(e->d_name, ".gguf"))
            continue;
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        struct opened o = open_both(path);
        struct mpq_tokens ids = encode(o.t, text, n, PLAIN);
        struct mpq_buf b = { 0 };
        mpq_tokenizer_decode(o.t, ids.ids, ids.n, &b);
        ck_assert_msg(b.len == n && !memcmp(b.data, text, n), "%s", path);
        check_rows(o.t, e->d_name, all);
        mpq_buf_free(&b);
        mpq_tokens_free(&ids);
        close_both(&o);
    }
    if (d)
        closedir(d);
    mpq_json_free(root);
    free(text);
}
END_TEST

Suite *
mpq_suite(void)
{
    Suite *s = suite_create("tokenizer");
    TCase *tc = tcase_create("tokenizer");

    tcase_set_timeout(tc, 600);
    tcase_add_checked_fixture(tc, make_tmp, remove_tmp);
    tcase_add_loop_test(tc, ids_are_those_of_llama_cpp_and_tokenizers, 0,
                        sizeof vocabularies / sizeof *vocabularies);
    tcase_add_test(tc, every_pre_tokenizer_cuts_where_llama_cpp_does);
    tcase_add_test(tc, the_tiny_model_is_the_same_as_gguf_and_as_folder);
    tcase_add_test(tc, merges_go_by_rank_then_from_the_left);
    tcase_add_test(tc, what_merges_make_need_not_be_a_token);
    tcase_add_test(tc, the_longest_added_token_takes_its_place_first);
    tcase_add_loop_test(tc, a_megabyte_without_a_cut_takes_seconds, 0, 3);
    tcase_add_loop_test(tc, words_that_come_again_are_the_same, 0,
                        sizeof vocabularies / sizeof *vocabularies);
    tcase_add_test(tc, text_that_is_not_utf8_is_refused_with_its_place);
    tcase_add_test(tc, pieces_are_bytes_and_control_tokens_their_names);
    tcase_add_loop_test(tc, a_broken_tokenizer_json_is_refused, 0,
                        sizeof bad_json / sizeof *bad_json);
    tcase_add_loop_test(tc, a_broken_gguf_vocabulary_is_refused, 0,
                        sizeof bad_gguf / sizeof *bad_gguf);
    tcase_add_test(tc, a_vocabulary_without_bytes_says_what_it_lacks);
    tcase_add_test(tc, a_model_without_tokenizer_says_so);
    tcase_add_loop_test(tc, patterns_are_read_in_the_dialect_of_tokenizers, 0,
                        sizeof matches / sizeof *matches);
    tcase_add_test(tc, a_pattern_that_takes_forever_is_stopped);
    tcase_add_test(tc, larger_models_have_llama_tokenizes_ids);
    suite_add_tcase(s, tc);
    return s;
}
