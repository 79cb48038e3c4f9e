/* The ids of texts, which are those of llama.cpp and of the package tokenizers, and the
 * pieces that ids stand for. */
#include "vocab.h"

#include "fmt/json.h"

#include <dirent.h>

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

    ck_assert_msg(mpq_json_open(root, TOKEN_DATA "texts.json", &err) == 0, "%s",
                  err.text);
    return *root;
}

START_TEST(ids_are_those_of_llama_cpp_and_tokenizers)
{
    struct opened o = open_data(vocabularies[_i]);
    struct mpq_json *root;
    const struct mpq_json *all = texts(&root);
    struct mpq_buf b = { 0 };
    size_t n, checked = 0;
    char *table = read_all(TOKEN_DATA "ids.tsv", &n), *at = table, *line, *field[4];

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
    char *table = read_all(TOKEN_DATA "pre.tsv", &n), *at = table, *line, *field[3];
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
    char *table = read_all(TOKEN_DATA "models.tsv", &n), *at = table, *line, *field[3];

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
    tcase_add_test(tc, pieces_are_bytes_and_control_tokens_their_names);
    tcase_add_test(tc, larger_models_have_llama_tokenizes_ids);
    suite_add_tcase(s, tc);
    return s;
}
