/* Hyper-parameters, from config.json or the keys of a GGUF, and the texts beside a
 * model. */
#include "models.h"

#include <sys/stat.h>
#include <unistd.h>

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
    Suite *s = suite_create("source_config");
    TCase *tc = tcase_create("source_config");

    tcase_add_checked_fixture(tc, make_tmp, remove_tmp);
    tcase_add_test(tc, a_tokenizer_that_cannot_be_read_is_not_passed_over);
    tcase_add_loop_test(tc, config_json_gives_hyper_parameters_wherever_it_is, 0,
                        sizeof configs / sizeof *configs);
    tcase_add_loop_test(tc, a_config_that_cannot_be_is_refused, 0,
                        sizeof bad_configs / sizeof *bad_configs);
    tcase_add_test(tc, more_layers_than_the_config_counts_are_refused);
    tcase_add_test(tc, a_missing_config_is_refused_only_where_the_user_names_one);
    tcase_add_test(tc, gguf_keys_give_hyper_parameters);
    tcase_add_test(tc, gguf_keys_of_a_wrong_type_are_refused);
    suite_add_tcase(s, tc);
    return s;
}
