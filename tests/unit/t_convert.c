#include "suite.h"

#include "fmt/json.h"
#include "fmt/st.h"
#include "model/convert.h"
#include "model/layout.h"
#include "model/pack.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { D = 8, HEAD = 4, ROOM = 4096 };

static const char config[] =
    "{\"model_type\": \"llama\", \"num_attention_heads\": 2, \"num_key_value_heads\": 1,"
    " \"head_dim\": 4, \"max_position_embeddings\": 64, \"rms_norm_eps\": 1e-5,"
    " \"attention_bias\": true, \"eos_token_id\": [2, 1]}";

/* A byte-level tokenizer.json with these stages; MORE is for the model. */
static void
byte_level(char text[ROOM], const char *stages, const char *more)
{
    snprintf(
        text, ROOM,
        "{\"added_tokens\": [{\"id\": 2, \"content\": \"<|end|>\", \"special\":"
        " false}, {\"id\": 3, \"content\": \"\xe2\x96\x81x\", \"special\": false}],"
        " \"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [%s]},"
        " \"model\": {\"type\": \"BPE\", %s \"vocab\": {\"a\": 0, \"b\": 1, \"ab\":"
        " 4}, \"merges\": [[\"a\", \"b\"]]}}",
        stages, more);
}

static char path[64];

static void
setup(void)
{
    strcpy(path, "/tmp/mpq-convert-XXXXXX");
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    close(fd);
}

static void
teardown(void)
{
    unlink(path);
}

static const struct tensor {
    const char *name;
    uint64_t rows, cols; /* rows 0: a vector */
} tensors[] = {
    { "model.embed_tokens.weight", 6, D },
    { "model.norm.weight", 0, D },
    { "model.layers.0.input_layernorm.weight", 0, D },
    { "model.layers.0.post_attention_layernorm.weight", 0, D },
    { "model.layers.0.self_attn.q_proj.weight", 8, D },
    { "model.layers.0.self_attn.q_proj.bias", 0, 8 },
    { "model.layers.0.self_attn.k_proj.weight", 4, D },
    { "model.layers.0.self_attn.k_proj.bias", 0, 4 },
    { "model.layers.0.self_attn.v_proj.weight", 4, D },
    { "model.layers.0.self_attn.v_proj.bias", 0, 4 },
    { "model.layers.0.self_attn.o_proj.weight", D, 8 },
    { "model.layers.0.mlp.gate_proj.weight", D, D },
    { "model.layers.0.mlp.up_proj.weight", D, D },
    { "model.layers.0.mlp.down_proj.weight", D, D },
    { "model.layers.0.self_attn.rotary_emb.inv_freq", 0, 2 },
    { "vision_tower.layers.0.mlp.fc1.weight", 4, 4 },
};
enum { N = sizeof tensors / sizeof *tensors };

/* Writes the model: the value of an element is its row (of a vector: its place). */
static void
write_model(const char *tokenizer)
{
    struct mpq_st_head *h;
    struct mpq_out *out;
    struct mpq_buf head;

    ck_assert_int_eq(mpq_st_head_new(&h, NULL), 0);
    ck_assert_int_eq(mpq_st_put_meta(h, "config.json", config, NULL), 0);
    ck_assert_int_eq(mpq_st_put_meta(h, "tokenizer.json", tokenizer, NULL), 0);
    for (size_t i = 0; i < N; i++) {
        const uint64_t dim[2] = { tensors[i].cols, tensors[i].rows };
        ck_assert_int_eq(mpq_st_put_tensor(h, tensors[i].name, MPQ_TYPE(MPQ_F32),
                                           dim[1] ? 2 : 1, dim, NULL),
                         0);
    }
    ck_assert_int_eq(mpq_st_head_finish(h, 0, &head, NULL), 0);
    ck_assert_int_eq(mpq_out_open(&out, path, NULL), 0);
    ck_assert_int_eq(mpq_out_write(out, head.data, head.len, NULL), 0);
    for (size_t i = 0; i < N; i++) {
        const uint64_t cols = tensors[i].cols, rows = tensors[i].rows;
        for (uint64_t k = 0; k < cols * (rows ? rows : 1); k++) {
            float x = (float)(rows ? k / cols : k);
            ck_assert_int_eq(mpq_out_write(out, &x, sizeof x, NULL), 0);
        }
    }
    ck_assert_int_eq(mpq_out_close(out, NULL), 0);
    mpq_buf_free(&head);
    mpq_st_head_free(h);
}

static struct mpq_source *
open_model(const char *stages, const char *more)
{
    char tokenizer[ROOM];
    struct mpq_source *s = NULL;
    struct mpq_err err = { 0 };

    byte_level(tokenizer, stages, more);
    write_model(tokenizer);
    ck_assert_msg(mpq_source_open(&s, path, NULL, &err) == 0, "%s", err.text);
    return s;
}

static const char gpt2[] = "{\"type\": \"ByteLevel\", \"add_prefix_space\": false}";

/* Packs S, every matrix as it is, and opens the result. */
static struct mpq_source *
converted(const struct mpq_source *s)
{
    const struct mpq_pack_options options = { .threads = 2 };
    struct mpq_packfile f = { 0 };
    struct mpq_source *g = NULL;
    struct mpq_type types[N];
    struct mpq_out *out;
    struct mpq_err err = { 0 };

    for (size_t i = 0; i < mpq_source_count(s); i++)
        types[i] = mpq_source_weight(s, i)->tensor.type;
    ck_assert_msg(mpq_packfile_plan(&f, s, MPQ_PACK_GGUF, types, "", &err) == 0, "%s",
                  err.text);
    char name[80];
    snprintf(name, sizeof name, "%s.gguf", path);
    ck_assert_int_eq(mpq_out_open(&out, name, &err), 0);
    ck_assert_int_eq(mpq_pack_write(&f, s, out, &options, &err), 0);
    ck_assert_uint_eq(mpq_out_size(out), f.size_bytes);
    ck_assert_int_eq(mpq_out_close(out, &err), 0);
    mpq_packfile_free(&f);
    ck_assert_msg(mpq_source_open(&g, name, NULL, &err) == 0, "%s", err.text);
    unlink(name);
    return g;
}

static void
check_first(const struct mpq_source *g, const char *name, const float *want, size_t n)
{
    const struct mpq_weight *w = mpq_source_find(g, name);
    float x[64];

    ck_assert_ptr_nonnull(w);
    ck_assert_int_eq(mpq_source_read_rows(g, w, 0, w->rows, x, NULL), 0);
    for (size_t i = 0; i < n; i++)
        ck_assert_float_eq(x[w->is_matrix ? i * w->cols : i], want[i]);
}

/* The halves of a head, rows 0 1 | 2 3, become neighbors: 0 2 1 3. */
START_TEST(rows_and_biases_of_q_and_k_are_dealt_out)
{
    static const float dealt[8] = { 0, 2, 1, 3, 4, 6, 5, 7 };
    static const float plain[4] = { 0, 1, 2, 3 };
    struct mpq_source *s = open_model(gpt2, ""), *g = converted(s);

    for (uint64_t i = 0; i < 8; i++)
        ck_assert_uint_eq(mpq_convert_row(i, HEAD), (uint64_t)dealt[i]);
    check_first(g, "blk.0.attn_q", dealt, 8);
    check_first(g, "blk.0.attn_q.bias", dealt, 8);
    check_first(g, "blk.0.attn_k", dealt, 4);
    check_first(g, "blk.0.attn_k.bias", dealt, 4);
    check_first(g, "blk.0.attn_v", plain, 4);
    check_first(g, "blk.0.attn_v.bias", plain, 4);
    check_first(g, "blk.0.attn_output", plain, 4);
    ck_assert_uint_eq(mpq_source_count(g), N - 2); /* frequencies and the vision part */
    ck_assert_ptr_null(mpq_source_find(g, "vision_tower.layers.0.mlp.fc1"));
    mpq_source_free(g);
    mpq_source_free(s);
}
END_TEST

START_TEST(the_layout_leaves_out_what_the_file_does)
{
    struct mpq_source *s = open_model(gpt2, ""), *g = converted(s);
    struct mpq_layout l, of_file;
    struct mpq_type types[N];
    uint64_t bytes;

    ck_assert_int_eq(mpq_layout_from_source(&l, s, NULL), 0);
    ck_assert_int_eq(mpq_layout_from_source(&of_file, g, NULL), 0);
    ck_assert_int_eq(l.container, MPQ_CONTAINER_GGUF);
    ck_assert_uint_eq(l.n, of_file.n);
    ck_assert_uint_eq(l.header_bytes, of_file.header_bytes);
    ck_assert_uint_eq(l.rest_bytes, of_file.rest_bytes);
    for (size_t i = 0; i < l.n; i++)
        types[i] = l.matrices[i].type;
    ck_assert_int_eq(mpq_layout_file_bytes(&l, l.container, types, &bytes, NULL), 0);
    ck_assert_uint_eq(bytes, mpq_source_file_size(g));
    mpq_layout_free(&l);
    mpq_layout_free(&of_file);
    mpq_source_free(g);
    mpq_source_free(s);
}
END_TEST

static const char *
item(const struct mpq_gguf *keys, size_t i, uint64_t *n)
{
    const struct mpq_gguf_kv *kv = mpq_gguf_kv_find(keys, "tokenizer.ggml.tokens");
    const char *s = NULL;
    uint64_t pos = 0;

    for (size_t k = 0; k <= i; k++)
        ck_assert_int_eq(mpq_gguf_next_str(kv, &pos, &s, n), 1);
    return s;
}

/* Kinds as llama.cpp's converter gives them: what looks special is, a user's token has
 * plain blanks, a row without a token is unused. */
START_TEST(tokens_have_their_kinds)
{
    static const char *const want[] = { "a", "b", "<|end|>", " x", "ab", "[PAD5]" };
    static const uint64_t kinds[] = { 1, 1, 3, 4, 1, 5 };
    struct mpq_source *s = open_model(gpt2, "");
    struct mpq_convert c;
    uint64_t v, n;

    ck_assert_int_eq(mpq_convert_open(&c, s, NULL), 0);
    const struct mpq_gguf_kv *types =
        mpq_gguf_kv_find(c.keys, "tokenizer.ggml.token_type");
    for (size_t i = 0; i < 6; i++) {
        const char *text = item(c.keys, i, &n);
        ck_assert_uint_eq(n, strlen(want[i]));
        ck_assert(memcmp(text, want[i], n) == 0);
        ck_assert_int_eq(mpq_gguf_item_u64(types, i, &v), 0);
        ck_assert_uint_eq(v, kinds[i]);
    }
    /* of the list in config.json, llama.cpp knows <|end|> by its name */
    ck_assert_int_eq(mpq_gguf_get_u64(c.keys, "tokenizer.ggml.eos_token_id", &v), 1);
    ck_assert_uint_eq(v, 2);
    ck_assert_int_eq(mpq_gguf_get_u64(c.keys, "tokenizer.ggml.eot_token_id", &v), 1);
    ck_assert_uint_eq(v, 1);
    mpq_convert_free(&c);
    mpq_source_free(s);
}
END_TEST

#define SPLIT(x)                                                                       \
    "{\"type\": \"Split\", \"behavior\": \"Isolated\", \"invert\": false, "            \
    "\"pattern\": {\"Regex\": \"" x "\"}}, {\"type\": \"ByteLevel\", "                 \
    "\"add_prefix_space\": false, \"use_regex\": false}"
#define LLAMA3(digits)                                                                 \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|" digits     \
    "| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"

/* As tokenizer.json of GPT-2, SmolLM2, Llama 3 and Qwen 2 has it. */
static const struct {
    const char *stages, *more, *pre;
} known[] = {
    { gpt2, "", "gpt-2" },
    { "{\"type\": \"Digits\", \"individual_digits\": true}, {\"type\": \"ByteLevel\","
      " \"add_prefix_space\": false, \"use_regex\": true}",
      "", "smollm" },
    { SPLIT(LLAMA3("\\\\p{N}{1,3}")), "\"ignore_merges\": true,", "llama-bpe" },
    { SPLIT(LLAMA3("\\\\p{N}{1,3}")), "", "smaug-bpe" },
    { SPLIT(LLAMA3("\\\\p{N}")), "\"ignore_merges\": false,", "qwen2" },
    { SPLIT(LLAMA3("\\\\p{N}")), "\"ignore_merges\": true,", NULL },
    { SPLIT("x"), "", NULL },
    { "{\"type\": \"ByteLevel\", \"add_prefix_space\": true}", "", NULL },
    { "{\"type\": \"Digits\"}", "", NULL },
};

START_TEST(stages_tell_the_pre_tokenizer)
{
    struct mpq_source *s = open_model(known[_i].stages, known[_i].more);
    struct mpq_convert c;
    struct mpq_err err = { 0 };
    char *pre = NULL;

    if (!known[_i].pre) {
        ck_assert_int_eq(mpq_convert_open(&c, s, &err), -1);
        ck_assert_ptr_nonnull(strstr(err.text, "pre-tokenizer that is not known"));
        ck_assert_int_eq(mpq_source_name_pre(s, "qwen2", &err), 0);
    }
    ck_assert_int_eq(mpq_convert_open(&c, s, NULL), 0);
    ck_assert_int_eq(mpq_gguf_get_str(c.keys, "tokenizer.ggml.pre", &pre), 1);
    ck_assert_str_eq(pre, known[_i].pre ? known[_i].pre : "qwen2");
    if (known[_i].pre) {
        err = (struct mpq_err){ 0 };
        ck_assert_msg(mpq_convert_check_tokens(&c, s, &err) == 0, "%s", err.text);
    }
    free(pre);
    mpq_convert_free(&c);
    mpq_source_free(s);
}
END_TEST

Suite *
mpq_suite(void)
{
    Suite *suite = suite_create("convert");
    TCase *tc = tcase_create("convert");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, rows_and_biases_of_q_and_k_are_dealt_out);
    tcase_add_test(tc, the_layout_leaves_out_what_the_file_does);
    tcase_add_test(tc, tokens_have_their_kinds);
    tcase_add_loop_test(tc, stages_tell_the_pre_tokenizer, 0,
                        sizeof known / sizeof *known);
    suite_add_tcase(suite, tc);
    return suite;
}
