#include "folder.h"
#include "suite.h"

#include "base/buf.h"
#include "base/hash.h"
#include "fmt/st.h"
#include "model/source.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIR "tests/data/formats/"

static void
put_text(const char *name, const char *text)
{
    put_file(name, text, strlen(text));
}

/* A safetensors file of zeros: names with shapes, "NAME ROWS COLS" (a vector: 0 rows).
 */
struct shape {
    const char *name;
    uint64_t rows, cols;
};

static void
put_st(const char *file, const struct shape *shapes, size_t n, const char *config)
{
    struct mpq_st_head *h;
    struct mpq_buf out;
    struct mpq_err err = { 0 };
    size_t data = 0;

    ck_assert_int_eq(mpq_st_head_new(&h, &err), 0);
    if (config)
        ck_assert_int_eq(mpq_st_put_meta(h, "config.json", config, &err), 0);
    for (size_t i = 0; i < n; i++) {
        const uint64_t dim[] = { shapes[i].cols, shapes[i].rows };
        unsigned n_dims = shapes[i].rows ? 2 : 1;
        ck_assert_int_eq(
            mpq_st_put_tensor(h, shapes[i].name, MPQ_TYPE(MPQ_F16), n_dims, dim, &err),
            0);
        data += (size_t)(shapes[i].cols * (shapes[i].rows ? shapes[i].rows : 1)) * 2;
    }
    ck_assert_int_eq(mpq_st_head_finish(h, 0, &out, &err), 0);
    while (data--)
        mpq_buf_add(&out, "", 1);
    put_file(file, out.data, out.len);
    mpq_buf_free(&out);
    mpq_st_head_free(h);
}

static struct mpq_source *
open_model(const char *path, const char *config_dir)
{
    struct mpq_source *s = NULL;
    struct mpq_err err = { 0 };

    ck_assert_msg(mpq_source_open(&s, path, config_dir, &err) == 0, "%s", err.text);
    return s;
}

/* The line with which PATH is refused; it must name NAME. */
static const char *
refusal(const char *path, const char *config_dir, const char *name)
{
    static struct mpq_err err;
    struct mpq_source *s;

    err = (struct mpq_err){ 0 };
    ck_assert_int_eq(mpq_source_open(&s, path, config_dir, &err), -1);
    ck_assert_ptr_null(s);
    ck_assert_ptr_null(strchr(err.text, '\n'));
    ck_assert_msg(strstr(err.text, name) != NULL, "'%s' lacks '%s'", err.text, name);
    return err.text;
}

#define ck_says(text, part)                                                            \
    ck_assert_msg(strstr(text, part), "'%s' lacks '%s'", text, part)

/* The formula of gen_formats.py. */
static double
value(const char *short_name, uint64_t i)
{
    return ((double)((5 * i + 3 * strlen(short_name)) % 61) - 30) / 16;
}

static const char *const models[] = {
    DIR "llama.gguf", DIR "split-00001-of-00003.gguf", DIR "hf", DIR "hf-sharded",
    DIR "hf/",        DIR "hf/model.safetensors",
};

START_TEST(a_model_is_the_same_in_every_container)
{
    struct mpq_source *s = open_model(models[_i], NULL);
    const struct mpq_hparams *h = mpq_source_hparams(s);
    static const char *const parts[] = { "attn_norm", "attn_q",   "attn_q.bias",
                                         "attn_k",    "attn_v",   "attn_output",
                                         "ffn_norm",  "ffn_gate", "ffn_up",
                                         "ffn_down" };
    float x[32];
    struct mpq_err err = { 0 };

    ck_assert_str_eq(h->arch, "llama");
    ck_assert_str_eq(h->name, _i < 2 ? "Tiny test model" : "tiny-hf");
    ck_assert_uint_eq(h->n_layer, 2);
    ck_assert_uint_eq(h->n_embd, 16);
    ck_assert_uint_eq(h->n_head, 2);
    ck_assert_uint_eq(h->n_head_kv, 1);
    ck_assert_uint_eq(h->head_dim, 8);
    ck_assert_uint_eq(h->n_ff, 32);
    ck_assert_uint_eq(h->n_vocab, 24);
    ck_assert_uint_eq(h->n_ctx, 64);
    ck_assert_int_eq(h->tied, 0);
    ck_assert_uint_eq(mpq_source_count(s), 23);
    for (int l = 0; l < 2; l++)
        for (size_t k = 0; k < sizeof parts / sizeof *parts; k++) {
            char name[64];
            snprintf(name, sizeof name, "blk.%d.%s", l, parts[k]);
            const struct mpq_weight *w = mpq_source_find(s, name);
            ck_assert_ptr_nonnull(w);
            ck_assert_int_eq(w->layer, l);
            ck_assert_int_eq(w->is_linear, w->is_matrix);
            for (uint64_t r = 0; r < w->rows; r++) {
                ck_assert_int_eq(mpq_source_read_rows(s, w, r, 1, x, &err), 0);
                for (uint64_t c = 0; c < w->cols; c++)
                    ck_assert_double_eq((double)x[c], value(name, r * w->cols + c));
            }
        }
    ck_assert_uint_eq(mpq_source_find(s, "blk.1.attn_k")->rows, 8);
    ck_assert_uint_eq(mpq_source_find(s, "blk.1.ffn_down")->cols, 32);
    ck_assert_ptr_eq(mpq_source_role(s, 1, MPQ_ROLE_DOWN),
                     mpq_source_find(s, "blk.1.ffn_down"));
    ck_assert_ptr_eq(mpq_source_role(s, -1, MPQ_ROLE_EMBED),
                     mpq_source_find(s, "token_embd"));
    ck_assert_ptr_nonnull(mpq_source_role(s, -1, MPQ_ROLE_OUTPUT));
    ck_assert_ptr_null(mpq_source_role(s, 2, MPQ_ROLE_Q));
    ck_assert_ptr_null(mpq_source_role(s, 0, MPQ_ROLE_QKV));
    ck_assert_ptr_null(mpq_source_find(s, "blk.2.attn_q"));
    ck_assert_int_eq(mpq_source_gguf(s) != NULL, _i < 2);
    mpq_source_free(s);
}
END_TEST

START_TEST(weights_stand_in_model_order)
{
    struct mpq_source *s = open_model(models[_i], NULL);
    size_t n = mpq_source_count(s), i = 0;
    int layer = 0;

    while (i < n && mpq_source_weight(s, i)->layer < 0)
        i++;
    for (; i < n && mpq_source_weight(s, i)->layer >= 0; i++) {
        ck_assert_int_ge(mpq_source_weight(s, i)->layer, layer);
        layer = mpq_source_weight(s, i)->layer;
    }
    ck_assert_int_eq(layer, 1);
    for (; i < n; i++)
        ck_assert_int_eq(mpq_source_weight(s, i)->layer, -1);
    mpq_source_free(s);
}
END_TEST

/* Opens "-" with the bytes of PATH in a pipe; SIZE must fit a pipe's 64 KiB. */
static struct mpq_source *
open_piped(const char *path, const char *config_dir)
{
    struct mpq_map map;
    struct mpq_err err = { 0 };
    int fd[2], saved = dup(0);

    ck_assert_int_eq(mpq_map_open(&map, path, &err), 0);
    ck_assert_int_eq(pipe(fd), 0);
    ck_assert_int_eq(write(fd[1], map.data, (size_t)map.size), (ssize_t)map.size);
    close(fd[1]);
    dup2(fd[0], 0);
    close(fd[0]);
    mpq_map_close(&map);
    struct mpq_source *s = open_model("-", config_dir);
    dup2(saved, 0);
    close(saved);
    return s;
}

static void
identify(const struct mpq_source *s, char id[MPQ_ID_SIZE])
{
    struct mpq_err err = { 0 };

    ck_assert_int_eq(mpq_source_id(s, id, &err), 0);
    ck_assert_uint_eq(strlen(id), 16);
}

static uint64_t
sum_of(const char *path, const char *config_dir)
{
    struct mpq_source *s = open_model(path, config_dir);
    struct mpq_err err = { 0 };
    uint64_t sum = 0;

    ck_assert_int_eq(mpq_source_sum(s, &sum, &err), 0);
    mpq_source_free(s);
    return sum;
}

START_TEST(a_sum_sees_the_last_byte_of_every_tensor)
{
    const char *const path = _i ? DIR "hf/model.safetensors" : DIR "llama.gguf";
    const uint64_t whole = sum_of(path, DIR "hf");
    struct mpq_source *s = open_model(path, DIR "hf");
    char want[MPQ_ID_SIZE], got[MPQ_ID_SIZE];
    struct mpq_err err = { 0 };
    struct mpq_map map;

    identify(s, want);
    ck_assert_int_eq(mpq_map_open(&map, path, &err), 0);
    unsigned char *bytes = malloc((size_t)map.size);
    ck_assert_ptr_nonnull(bytes);
    memcpy(bytes, map.data, (size_t)map.size);
    for (size_t i = 0; i < mpq_source_count(s); i++) {
        const struct mpq_weight *w = mpq_source_weight(s, i);
        unsigned char *last =
            bytes + (size_t)(w->tensor.offset + w->tensor.size_bytes - 1);
        *last ^= 1;
        put_file("changed", bytes, (size_t)map.size);
        *last ^= 1;
        ck_assert_msg(sum_of(in_tmp("changed"), DIR "hf") != whole, "%s", w->name);
        struct mpq_source *changed = open_model(in_tmp("changed"), DIR "hf");
        identify(changed, got);
        ck_assert_int_eq(!strcmp(got, want), w->rows > 1); /* that is of first rows */
        mpq_source_free(changed);
    }
    put_file("same", bytes, (size_t)map.size);
    ck_assert_uint_eq(sum_of(in_tmp("same"), DIR "hf"), whole);
    free(bytes);
    mpq_map_close(&map);
    mpq_source_free(s);
}
END_TEST

START_TEST(a_sum_sees_hyper_parameters)
{
    static const char key[] = "llama.context_length";
    struct mpq_err err = { 0 };
    struct mpq_map map;
    char command[256];

    ck_assert_int_eq(mpq_map_open(&map, DIR "llama.gguf", &err), 0);
    unsigned char *bytes = malloc((size_t)map.size), *at = bytes;
    ck_assert_ptr_nonnull(bytes);
    memcpy(bytes, map.data, (size_t)map.size);
    while (memcmp(at, key, sizeof key - 1) != 0)
        at++;
    at[sizeof key - 1 + 4]++; /* behind the type */
    put_file("changed", bytes, (size_t)map.size);
    ck_assert_uint_ne(sum_of(in_tmp("changed"), NULL), sum_of(DIR "llama.gguf", NULL));
    free(bytes);
    mpq_map_close(&map);
    snprintf(command, sizeof command, "sed s/64/65/ %shf/config.json > %s/config.json",
             DIR, tmp);
    ck_assert_int_eq(system(command), 0);
    ck_assert_uint_ne(sum_of(DIR "hf/model.safetensors", tmp),
                      sum_of(DIR "hf/model.safetensors", DIR "hf"));
    ck_assert_uint_eq(sum_of(DIR "hf-sharded", DIR "hf"), sum_of(DIR "hf", NULL));
}
END_TEST

START_TEST(file_pipe_gzip_split_and_shards_have_one_id)
{
    char want[MPQ_ID_SIZE], got[MPQ_ID_SIZE];
    struct mpq_source *s = open_model(DIR "llama.gguf", NULL);
    char command[256];

    identify(s, want);
    mpq_source_free(s);
    s = open_model(DIR "split-00001-of-00003.gguf", NULL);
    identify(s, got);
    ck_assert_str_eq(got, want);
    mpq_source_free(s);
    s = open_piped(DIR "llama.gguf", NULL);
    ck_assert_str_eq(mpq_source_name(s), "standard input");
    identify(s, got);
    ck_assert_str_eq(got, want);
    mpq_source_free(s);
    snprintf(command, sizeof command, "gzip -c %sllama.gguf > %s", DIR, in_tmp("m.gz"));
    ck_assert_int_eq(system(command), 0);
    s = open_model(in_tmp("m.gz"), NULL);
    identify(s, got);
    ck_assert_str_eq(got, want);
    mpq_source_free(s);
    s = open_piped(in_tmp("m.gz"), NULL);
    identify(s, got);
    ck_assert_str_eq(got, want);
    mpq_source_free(s);
    s = open_model(DIR "hf", NULL);
    identify(s, want);
    mpq_source_free(s);
    s = open_piped(DIR "hf/model.safetensors", DIR "hf");
    identify(s, got);
    ck_assert_str_eq(got, want);
    ck_assert_uint_eq(mpq_source_hparams(s)->n_head, 2);
    mpq_source_free(s);
    s = open_model(DIR "hf-sharded", NULL);
    identify(s, got);
    ck_assert_str_eq(got, want);
    mpq_source_free(s);
}
END_TEST

/* By PyPI's gguf and xxhash: sum over the tensors of xxh64(bytes of the first row,
 * seed = xxh64("blk.0.attn_q f16 16 24")), short names, GGUF's order of dimensions. */
#define LLAMA_ID "b331502a57a0811a"

START_TEST(the_id_is_of_names_types_shapes_and_first_rows)
{
    struct mpq_source *s = open_model(DIR "llama.gguf", NULL);
    const size_t norm = (size_t)mpq_source_find(s, "blk.0.attn_norm")->tensor.offset;
    struct mpq_map map;
    struct mpq_err err = { 0 };
    char id[MPQ_ID_SIZE];
    struct {
        size_t at; /* byte that is changed */
        int counts;
    } places[] = { { 24 + 8 + 20 + 4 + 8, 0 }, { 0, 1 }, { norm, 1 } };

    identify(s, id);
    ck_assert_str_eq(id, LLAMA_ID);
    ck_assert_int_eq(mpq_map_open(&map, DIR "llama.gguf", &err), 0);
    unsigned char *copy = malloc((size_t)map.size);
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, map.data, (size_t)map.size);
    while (memcmp(map.data + places[1].at, "output_norm", 11))
        places[1].at++;
    for (size_t i = 0; i < 3; i++) { /* in a string of the metadata, a name, a row */
        struct mpq_source *other;
        copy[places[i].at] ^= 1;
        put_file("m.gguf", copy, (size_t)map.size);
        copy[places[i].at] ^= 1;
        other = open_model(in_tmp("m.gguf"), NULL);
        identify(other, id);
        ck_assert_int_eq(strcmp(id, LLAMA_ID) != 0, places[i].counts);
        mpq_source_free(other);
    }
    free(copy);
    mpq_map_close(&map);
    mpq_source_free(s);
}
END_TEST

/* By PyPI's xxhash 3.5: xxh64 of the first n of the bytes 37 i + 11. */
START_TEST(the_hash_is_xxh64)
{
    static const struct {
        size_t n;
        uint64_t plain, seeded;
    } want[] = {
        { 0, UINT64_C(0xef46db3751d8e999), UINT64_C(0x95584af7701f808d) },
        { 1, UINT64_C(0xf592c0c7639c4cb6), UINT64_C(0x6a363e819e44e985) },
        { 3, UINT64_C(0x22c08528601d4f27), UINT64_C(0x4cc2cda27cc1ff3b) },
        { 4, UINT64_C(0xfb1e5cf2f1ae4d95), UINT64_C(0x4ff0c85576f0f1ce) },
        { 7, UINT64_C(0x5613ac510496c04e), UINT64_C(0xbd1240e5a2d37bdf) },
        { 8, UINT64_C(0x57cb2b7521f3e21a), UINT64_C(0x0db84c04e52124ef) },
        { 31, UINT64_C(0xe4a0e629e519a4ae), UINT64_C(0x00b4051bdb059b1e) },
        { 32, UINT64_C(0xcc6b8aaada790b2d), UINT64_C(0x35b21e080e63e43f) },
        { 33, UINT64_C(0x35ec49850475a832), UINT64_C(0x88873d45c63b8712) },
        { 63, UINT64_C(0xbf9f0ba3cf95b28a), UINT64_C(0x10c08fc8f1798088) },
        { 64, UINT64_C(0x155ccce4bf32befc), UINT64_C(0x5b6b952d42a6c9f5) },
        { 100, UINT64_C(0x4826e367566ea023), UINT64_C(0xe7b0dc1a7e6b2f6b) },
        { 1000, UINT64_C(0x128da10cfbdc59d9), UINT64_C(0x58ec198c05b07ea0) },
    };
    unsigned char bytes[1000];

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(37 * i + 11);
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        ck_assert_uint_eq(mpq_hash64(bytes, want[i].n, 0), want[i].plain);
        ck_assert_uint_eq(mpq_hash64(bytes, want[i].n, 12345), want[i].seeded);
    }
}
END_TEST

START_TEST(values_that_are_not_finite_are_refused)
{
    static const struct {
        unsigned char bits[2]; /* f16, little-endian */
        const char *says;
    } bad[] = { { { 0x00, 0x7c }, "infinite" },
                { { 0x00, 0xfc }, "infinite" },
                { { 0x01, 0x7c }, "NaN" },
                { { 0xff, 0xff }, "NaN" } };
    struct mpq_source *s = open_model(DIR "llama.gguf", NULL);
    uint64_t offset = mpq_source_find(s, "blk.1.ffn_down")->tensor.offset;
    struct mpq_err err = { 0 };
    struct mpq_map map;
    float x[16 * 32];

    mpq_source_free(s);
    ck_assert_int_eq(mpq_map_open(&map, DIR "llama.gguf", &err), 0);
    unsigned char *copy = malloc((size_t)map.size);
    ck_assert_ptr_nonnull(copy);
    for (size_t i = 0; i < 4; i++) {
        memcpy(copy, map.data, (size_t)map.size);
        memcpy(copy + offset + (2 * 32 + 31) * 2, bad[i].bits,
               2); /* row 3, column 32 */
        put_file("m.gguf", copy, (size_t)map.size);
        s = open_model(in_tmp("m.gguf"), NULL);
        const struct mpq_weight *w = mpq_source_find(s, "blk.1.ffn_down");
        ck_assert_int_eq(mpq_source_read_rows(s, w, 0, 2, x, &err), 0);
        ck_assert_int_eq(mpq_source_read_rows(s, w, 0, 16, x, &err), -1);
        ck_says(err.text,
                "m.gguf: tensor blk.1.ffn_down.weight: row 3, column 32: value is");
        ck_says(err.text, bad[i].says);
        err.code = 0;
        mpq_source_free(s);
    }
    free(copy);
    mpq_map_close(&map);
}
END_TEST

START_TEST(a_type_without_a_decoder_is_refused_when_it_is_read)
{
    struct mpq_source *s = open_model(DIR "dtypes.safetensors", NULL);
    struct mpq_err err = { 0 };
    float x[8];

    ck_assert_int_eq(mpq_source_read_rows(s, mpq_source_find(s, "f32"), 0, 2, x, &err),
                     0);
    ck_assert_double_eq((double)x[5], 5);
    ck_assert_int_eq(mpq_source_read_rows(s, mpq_source_find(s, "i64"), 0, 2, x, &err),
                     -1);
    ck_assert_str_eq(err.text,
                     DIR "dtypes.safetensors: tensor i64: type i64 cannot be decoded");
    mpq_source_free(s);
}
END_TEST

static const struct shape one_layer[] = {
    { "model.embed_tokens.weight", 10, 8 },
    { "model.layers.0.self_attn.q_proj.weight", 16, 8 },
    { "model.layers.0.self_attn.k_proj.weight", 4, 8 },
    { "model.layers.0.self_attn.q_norm.weight", 0, 4 },
    { "model.layers.0.mlp.down_proj.weight", 8, 12 },
    { "model.layers.0.mlp.up_proj.weight", 12, 8 },
};
enum { ONE_LAYER = sizeof one_layer / sizeof *one_layer };

/* What config.json holds, and what is to come of it. */
static const struct {
    const char *config, *arch, *name;
    uint64_t n_head, n_head_kv, head_dim, n_ff, n_vocab, n_ctx;
} configs[] = {
    { NULL, "", "", 4, 1, 4, 12, 10, 0 }, /* shapes alone tell, with q_norm */
    { "{}", "", "", 4, 1, 4, 12, 10, 0 },
    { "{\"model_type\": \"qwen3\", \"num_attention_heads\": 4, \"head_dim\": null}",
      "qwen3", "qwen3", 4, 1, 4, 12, 10, 0 },
    { "{\"architectures\": [\"Qwen2ForCausalLM\"], \"vocab_size\": 9}", "qwen2",
      "qwen2", 4, 1, 4, 12, 9, 0 },
    { "{\"model_type\": \"mistral\", \"_name_or_path\": \"org/My-7B\"}", "llama",
      "My-7B", 4, 1, 4, 12, 10, 0 },
    { "{\"model_type\": \"gemma3\", \"text_config\": {\"model_type\": \"gemma3_text\","
      " \"num_hidden_layers\": 1, \"max_position_embeddings\": 77}, \"vision_config\":"
      " {\"num_hidden_layers\": 27}}",
      "gemma3", "gemma3_text", 4, 1, 4, 12, 10, 77 },
    { "{\"model_type\": \"x\", \"num_attention_heads\": [1, 8, 2],"
      " \"num_key_value_heads\": [2]}",
      "x", "x", 8, 2, 2, 12, 10, 0 },
    { "{\"model_type\": \"x\", \"_name_or_path\": \"a\\tb\\u001b[2Jc\\u009b\"}", "x",
      "a?b?[2Jc?", 4, 1, 4, 12, 10, 0 },
    { "{\"model_type\": \"x\", \"_name_or_path\": \"C:\\\\m\\\\n\\\\\"}", "x", "n", 4,
      1, 4, 12, 10, 0 },
};

static void
check_config(const struct mpq_source *s, int i)
{
    const struct mpq_hparams *h = mpq_source_hparams(s);

    ck_assert_str_eq(h->arch, configs[i].arch);
    ck_assert_str_eq(h->name, configs[i].name);
    ck_assert_uint_eq(h->n_head, configs[i].n_head);
    ck_assert_uint_eq(h->n_head_kv, configs[i].n_head_kv);
    ck_assert_uint_eq(h->head_dim, configs[i].head_dim);
    ck_assert_uint_eq(h->n_ff, configs[i].n_ff);
    ck_assert_uint_eq(h->n_vocab, configs[i].n_vocab);
    ck_assert_uint_eq(h->n_ctx, configs[i].n_ctx);
    ck_assert_uint_eq(h->n_layer, 1);
    ck_assert_uint_eq(h->n_embd, 8);
    ck_assert_int_eq(h->tied, 1);
}

/* The text of FILE, NULL when the model has none. */
static const char *
text_of(const struct mpq_source *s, const char *file)
{
    struct mpq_err err = { 0 };
    const char *text;

    ck_assert_msg(mpq_source_text(s, file, &text, &err) == 0, "%s", err.text);
    return text;
}

START_TEST(a_tokenizer_that_cannot_be_read_is_not_passed_over)
{
    struct mpq_err err = { 0 };
    const char *text;

    put_st("m.safetensors", one_layer, ONE_LAYER, NULL);
    ck_assert_int_eq(mkdir(in_tmp("tokenizer.json"), 0700), 0);
    struct mpq_source *s = open_model(in_tmp("m.safetensors"), NULL);
    ck_assert_int_eq(mpq_source_text(s, "tokenizer.json", &text, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "tokenizer.json: is a folder"));
    ck_assert_int_eq(rmdir(in_tmp("tokenizer.json")), 0);
    put_file("tokenizer.json", "{}\0{}", 5);
    err.code = 0;
    ck_assert_int_eq(mpq_source_text(s, "tokenizer.json", &text, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "tokenizer.json: a NUL byte"));
    mpq_source_free(s);
}
END_TEST

START_TEST(config_json_gives_hyper_parameters_wherever_it_is)
{
    const char *config = configs[_i].config;
    struct mpq_source *s;

    put_st("m.safetensors", one_layer, ONE_LAYER, config); /* in the header */
    s = open_model(in_tmp("m.safetensors"), NULL);
    check_config(s, _i);
    if (config)
        ck_assert_str_eq(text_of(s, "config.json"), config);
    ck_assert_ptr_null(text_of(s, "tokenizer.json"));
    mpq_source_free(s);
    if (!config)
        return;
    put_st("m.safetensors", one_layer, ONE_LAYER, NULL); /* beside the file */
    put_text("config.json", config);
    put_text("tokenizer.json", "{}");
    s = open_model(in_tmp("m.safetensors"), NULL);
    check_config(s, _i);
    ck_assert_str_eq(text_of(s, "tokenizer.json"), "{}");
    ck_assert_ptr_null(text_of(s, "other.json"));
    mpq_source_free(s);
    put_st("m.safetensors", one_layer, ONE_LAYER, "{\"model_type\": \"wrong\"}");
    s = open_model(in_tmp("m.safetensors"), tmp); /* the user's word goes first */
    check_config(s, _i);
    mpq_source_free(s);
}
END_TEST

static const struct {
    const char *config, *says;
} bad_configs[] = {
    { "{", "config.json: JSON, line 1" },
    { "{\"hidden_size\": 1, \"hidden_size\": 2}", "config.json: JSON, line 1" },
    { "{\"hidden_size\": \"8\"}", "config.json: hidden_size: no whole number" },
    { "{\"vocab_size\": -1}", "config.json: vocab_size: no whole number" },
    { "{\"vocab_size\": 99999999999999999999}", "config.json: JSON, line 1" },
    { "{\"num_attention_heads\": [1, null]}", "num_attention_heads: no whole numbers" },
    { "{\"num_hidden_layers\": 3}",
      "m.safetensors: 3 layers are declared, tensors there are of 1" },
    { "{\"num_hidden_layers\": 9223372036854775807}",
      "9223372036854775807 layers are declared, tensors there are of 1" },
    { "{\"model_type\": \"a\\tb\"}", "architecture \"a?b\" has a tab" },
};

START_TEST(a_config_that_cannot_be_is_refused)
{
    put_st("m.safetensors", one_layer, ONE_LAYER, bad_configs[_i].config);
    ck_says(refusal(in_tmp("m.safetensors"), NULL, "m.safetensors: "),
            bad_configs[_i].says);
}
END_TEST

/* Layers that predict tokens further ahead come behind those that are counted. */
START_TEST(more_layers_than_the_config_counts_are_refused)
{
    static const struct shape three[] = {
        { "model.layers.0.mlp.down_proj.weight", 8, 12 },
        { "model.layers.1.mlp.down_proj.weight", 8, 12 },
        { "model.layers.2.mlp.down_proj.weight", 8, 12 },
    };
    static const char *const good[] = {
        "{\"num_hidden_layers\": 3}",
        "{\"num_hidden_layers\": 2, \"num_nextn_predict_layers\": 1}",
        "{\"hidden_size\": 8}",
    };
    static const char *const wrong[] = {
        "{\"num_hidden_layers\": 2}",
        "{\"num_hidden_layers\": 2, \"num_nextn_predict_layers\": 0}",
    };

    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        put_st("m.safetensors", three, 3, good[i]);
        struct mpq_source *s = open_model(in_tmp("m.safetensors"), NULL);
        ck_assert_uint_eq(mpq_source_hparams(s)->n_layer, 3);
        mpq_source_free(s);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        put_st("m.safetensors", three, 3, wrong[i]);
        ck_says(refusal(in_tmp("m.safetensors"), NULL, "m.safetensors: "),
                "num_hidden_layers is 2, tensors there are of 3 layers");
    }
}
END_TEST

START_TEST(a_missing_config_is_refused_only_where_the_user_names_one)
{
    put_st("m.safetensors", one_layer, ONE_LAYER, NULL);
    mpq_source_free(open_model(in_tmp("m.safetensors"), NULL));
    ck_says(refusal(in_tmp("m.safetensors"), tmp, tmp), "has no config.json");
}
END_TEST

START_TEST(fused_and_expert_matrices_have_their_roles)
{
    static const struct shape phi[] = {
        { "model.layers.0.self_attn.qkv_proj.weight", 24, 8 },
        { "model.layers.0.mlp.gate_up_proj.weight", 24, 8 },
        { "model.layers.0.mlp.down_proj.weight", 8, 12 },
        { "model.layers.1.mlp.up_proj.weight", 12, 8 }, /* not gated, not fused */
        { "model.layers.1.mlp.down_proj.weight", 8, 12 },
        { "model.layers.2.block_sparse_moe.gate.weight", 2, 8 },
        { "model.layers.2.block_sparse_moe.experts.0.w1.weight", 12, 8 },
        { "model.layers.2.block_sparse_moe.experts.1.w1.weight", 12, 8 },
        { "model.layers.2.post_attention_layernorm.weight", 0, 8 },
    };

    put_st("m.safetensors", phi, sizeof phi / sizeof *phi, NULL);
    struct mpq_source *s = open_model(in_tmp("m.safetensors"), NULL);
    ck_assert_int_eq(mpq_source_find(s, "blk.0.attn_qkv")->role, MPQ_ROLE_QKV);
    ck_assert_int_eq(mpq_source_find(s, "blk.0.ffn_up")->role, MPQ_ROLE_GATE_UP);
    ck_assert_int_eq(mpq_source_find(s, "blk.0.ffn_up")->is_linear, 1);
    ck_assert_int_eq(mpq_source_find(s, "blk.1.ffn_up")->role, MPQ_ROLE_UP);
    ck_assert_int_eq(mpq_source_find(s, "blk.2.ffn_gate.1")->role, MPQ_ROLE_GATE);
    ck_assert_int_eq(mpq_source_find(s, "blk.2.ffn_gate_inp")->is_linear, 0);
    ck_assert_ptr_nonnull(mpq_source_find(s, "blk.2.ffn_norm"));
    ck_assert_int_eq(mpq_source_hparams(s)->tied, 0);
    mpq_source_free(s);
}
END_TEST

START_TEST(norms_on_both_sides_are_told_apart)
{
    static const struct shape gemma[] = {
        { "model.layers.0.post_attention_layernorm.weight", 0, 8 },
        { "model.layers.0.pre_feedforward_layernorm.weight", 0, 8 },
        { "model.layers.0.post_feedforward_layernorm.weight", 0, 8 },
    };

    put_st("m.safetensors", gemma, 3, NULL);
    struct mpq_source *s = open_model(in_tmp("m.safetensors"), NULL);
    ck_assert_ptr_nonnull(mpq_source_find(s, "blk.0.post_attention_norm"));
    ck_assert_ptr_nonnull(mpq_source_find(s, "blk.0.ffn_norm"));
    ck_assert_ptr_nonnull(mpq_source_find(s, "blk.0.post_ffw_norm"));
    mpq_source_free(s);
}
END_TEST

START_TEST(missing_layers_and_twin_names_are_refused)
{
    static const struct shape hole[] = { { "blk.0.attn_q.weight", 8, 8 },
                                         { "blk.2.attn_q.weight", 8, 8 } };
    static const struct shape late[] = { { "blk.60000.attn_q.weight", 8, 8 } };
    static const struct shape twins[] = { { "blk.0.attn_q.weight", 8, 8 },
                                          { "model.layers.0.self_attn.q_proj.weight", 8,
                                            8 } };

    put_st("m.safetensors", hole, 2, NULL);
    ck_says(refusal(in_tmp("m.safetensors"), NULL, "m.safetensors"),
            "no tensors of layer 1, but some of layer 2");
    put_st("m.safetensors", late, 1, NULL);
    ck_says(refusal(in_tmp("m.safetensors"), NULL, "m.safetensors"),
            "no tensors of layer 0, but some of layer 60000");
    put_st("m.safetensors", twins, 2, NULL);
    ck_says(
        refusal(in_tmp("m.safetensors"), NULL, "m.safetensors"),
        "tensors blk.0.attn_q.weight and model.layers.0.self_attn.q_proj.weight: both "
        "are blk.0.attn_q");
    put_st("m.safetensors", NULL, 0, NULL);
    ck_says(refusal(in_tmp("m.safetensors"), NULL, "m.safetensors"),
            "no tensors in it");
}
END_TEST

START_TEST(what_is_no_model_is_refused)
{
    put_text("empty", "");
    ck_says(refusal(in_tmp("empty"), NULL, "/empty: "), "empty");
    put_text("text", "hello, this is no model");
    ck_says(refusal(in_tmp("text"), NULL, "/text: "), "neither GGUF nor safetensors");
    put_text("short", "{");
    ck_says(refusal(in_tmp("short"), NULL, "/short: "), "neither GGUF nor safetensors");
    put_text("gz", "\x1f\x8b\x08");
    refusal(in_tmp("gz"), NULL, "/gz: ");
    ck_says(refusal(in_tmp("absent"), NULL, "/absent: "), "No such file or directory");
    ck_says(refusal(tmp, NULL, tmp), "a folder with neither model.safetensors nor");
}
END_TEST

#define INDEX(map) "{\"metadata\": {}, \"weight_map\": " map "}"

static const struct {
    const char *index, *says;
} bad_indexes[] = {
    { "{", "model.safetensors.index.json: JSON, line 1" },
    { "{}", "no weight_map, or an empty one" },
    { INDEX("{}"), "no weight_map, or an empty one" },
    { INDEX("[1]"), "no weight_map, or an empty one" },
    { INDEX("{\"a\": 1}"), "tensor a: no string for a file" },
    { INDEX("{\"a\": \"../a.safetensors\"}"), "\"../a.safetensors\" is no file name" },
    { INDEX("{\"a\": \"/etc/passwd\"}"), "\"/etc/passwd\" is no file name" },
    { INDEX("{\"a\": \"..\"}"), "\"..\" is no file name" },
    { INDEX("{\"a\": \"a\\nb\"}"), "\"a?b\" is no file name" },
    { INDEX("{\"a\": \"c.safetensors\"}"), "c.safetensors: No such file or directory" },
    { INDEX("{\"a\": \"a.safetensors\", \"x\": \"a.safetensors\"}"),
      "tensor x: not in a.safetensors" },
    { INDEX("{\"b\": \"b.safetensors\"}"), "tensor c of b.safetensors is not listed" },
    { INDEX("{\"a\": \"b.safetensors\", \"b\": \"a.safetensors\"}"),
      "tensor a is in a.safetensors, listed in b.safetensors" },
};

START_TEST(an_index_that_is_not_that_of_its_shards_is_refused)
{
    static const struct shape a = { "a", 2, 2 };
    static const struct shape b[] = { { "b", 2, 2 }, { "c", 2, 2 } };

    put_st("a.safetensors", &a, 1, NULL);
    put_st("b.safetensors", b, 2, NULL);
    put_text("model.safetensors.index.json", INDEX("{\"a\": \"a.safetensors\","
                                                   "\"b\": \"b.safetensors\","
                                                   "\"c\": \"b.safetensors\"}"));
    mpq_source_free(open_model(tmp, NULL));
    put_text("model.safetensors.index.json", bad_indexes[_i].index);
    ck_says(refusal(tmp, NULL, tmp), bad_indexes[_i].says);
}
END_TEST

/* A GGUF with one tensor in layer 0 and the given keys. */
static void
put_gguf(void (*keys)(struct mpq_gguf_head *h))
{
    const uint64_t dim[] = { 8, 16 };
    struct mpq_gguf_head h;
    struct mpq_buf out;
    struct mpq_err err = { 0 };

    mpq_gguf_head_init(&h, 32);
    keys(&h);
    ck_assert_int_eq(
        mpq_gguf_put_tensor(&h, "blk.0.attn_q.weight", MPQ_TYPE(MPQ_F16), 2, dim, &err),
        0);
    ck_assert_int_eq(mpq_gguf_head_finish(&h, &out, &err), 0);
    for (uint64_t i = 0; i < h.data_size; i++)
        mpq_buf_add(&out, "", 1);
    put_file("m.gguf", out.data, out.len);
    mpq_buf_free(&out);
    mpq_gguf_head_free(&h);
}

static void
keys_per_layer(struct mpq_gguf_head *h)
{
    static const unsigned char heads[] = { 2, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0 };

    mpq_gguf_put_str(h, "general.architecture", "openelm", 7);
    mpq_gguf_put_str(h, "general.name", "/home/me/models/x\xff.gguf/", 24);
    mpq_gguf_put_array(h, "openelm.attention.head_count", MPQ_GGUF_I32, heads, 4, 3);
    mpq_gguf_put_u32(h, "openelm.vocab_size", 5);
}

static void
keys_text(struct mpq_gguf_head *h)
{
    mpq_gguf_put_str(h, "general.architecture", "llama", 5);
    mpq_gguf_put_str(h, "llama.block_count", "30", 2);
}

static void
keys_float(struct mpq_gguf_head *h)
{
    mpq_gguf_put_str(h, "general.architecture", "llama", 5);
    mpq_gguf_put_f32(h, "llama.embedding_length", 8);
}

static void
keys_arch(struct mpq_gguf_head *h)
{
    mpq_gguf_put_u32(h, "general.architecture", 1);
}

static void
keys_layers(struct mpq_gguf_head *h)
{
    mpq_gguf_put_str(h, "general.architecture", "llama", 5);
    mpq_gguf_put_u32(h, "llama.block_count", UINT32_MAX);
}

START_TEST(gguf_keys_give_hyper_parameters)
{
    put_gguf(keys_per_layer);
    struct mpq_source *s = open_model(in_tmp("m.gguf"), NULL);
    const struct mpq_hparams *h = mpq_source_hparams(s);

    ck_assert_str_eq(h->arch, "openelm");
    ck_assert_str_eq(h->name, "x?.gguf"); /* never a path */
    ck_assert_uint_eq(h->n_head, 4);      /* the greatest of the layers */
    ck_assert_uint_eq(h->head_dim, 4);    /* 16 rows of attn_q */
    ck_assert_uint_eq(h->n_vocab, 5);
    ck_assert_uint_eq(h->n_layer, 1);
    ck_assert_int_eq(h->tied, 0); /* there is no token_embd */
    mpq_source_free(s);
}
END_TEST

START_TEST(gguf_keys_of_a_wrong_type_are_refused)
{
    put_gguf(keys_text);
    ck_says(refusal(in_tmp("m.gguf"), NULL, "m.gguf: "),
            "key llama.block_count: no whole number");
    put_gguf(keys_float);
    ck_says(refusal(in_tmp("m.gguf"), NULL, "m.gguf: "),
            "key llama.embedding_length: no whole number");
    put_gguf(keys_arch);
    ck_says(refusal(in_tmp("m.gguf"), NULL, "m.gguf: "),
            "key general.architecture: no string");
    put_gguf(keys_layers);
    ck_says(refusal(in_tmp("m.gguf"), NULL, "m.gguf: "),
            "4294967295 layers are declared, tensors there are of 1");
}
END_TEST

Suite *
mpq_suite(void)
{
    Suite *s = suite_create("source");
    TCase *tc = tcase_create("source");
    const int n_models = sizeof models / sizeof *models;

    tcase_add_checked_fixture(tc, make_tmp, remove_tmp);
    tcase_add_loop_test(tc, a_model_is_the_same_in_every_container, 0, n_models);
    tcase_add_loop_test(tc, weights_stand_in_model_order, 0, n_models);
    tcase_add_loop_test(tc, a_sum_sees_the_last_byte_of_every_tensor, 0, 2);
    tcase_add_test(tc, a_sum_sees_hyper_parameters);
    tcase_add_test(tc, file_pipe_gzip_split_and_shards_have_one_id);
    tcase_add_test(tc, the_id_is_of_names_types_shapes_and_first_rows);
    tcase_add_test(tc, the_hash_is_xxh64);
    tcase_add_test(tc, values_that_are_not_finite_are_refused);
    tcase_add_test(tc, a_type_without_a_decoder_is_refused_when_it_is_read);
    tcase_add_test(tc, a_tokenizer_that_cannot_be_read_is_not_passed_over);
    tcase_add_loop_test(tc, config_json_gives_hyper_parameters_wherever_it_is, 0,
                        sizeof configs / sizeof *configs);
    tcase_add_loop_test(tc, a_config_that_cannot_be_is_refused, 0,
                        sizeof bad_configs / sizeof *bad_configs);
    tcase_add_test(tc, more_layers_than_the_config_counts_are_refused);
    tcase_add_test(tc, a_missing_config_is_refused_only_where_the_user_names_one);
    tcase_add_test(tc, fused_and_expert_matrices_have_their_roles);
    tcase_add_test(tc, norms_on_both_sides_are_told_apart);
    tcase_add_test(tc, missing_layers_and_twin_names_are_refused);
    tcase_add_test(tc, what_is_no_model_is_refused);
    tcase_add_loop_test(tc, an_index_that_is_not_that_of_its_shards_is_refused, 0,
                        sizeof bad_indexes / sizeof *bad_indexes);
    tcase_add_test(tc, gguf_keys_give_hyper_parameters);
    tcase_add_test(tc, gguf_keys_of_a_wrong_type_are_refused);
    suite_add_tcase(s, tc);
    return s;
}
