/* What a model says of itself: what is taken from it, and what is refused, in which
 * words. (That the numbers are right is t_forward's.) */
#include "suite.h"

#include "base/io.h"
#include "fmt/gguf.h"
#include "fmt/st.h"
#include "model/net.h"
#include "small.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A model of 7 layers of width 8: heads 2 (keys 1) of 4, feed-forward 12, ids 10. */
enum { LAYERS = 7 };

struct shape {
    const char *name; /* of a block without "model.layers.N." */
    uint64_t rows, cols;
};
static const struct shape outside[] = {
    { "model.embed_tokens.weight", 10, 8 },
    { "model.norm.weight", 0, 8 },
};
static const struct shape block[] = {
    { "input_layernorm.weight", 0, 8 },  { "self_attn.q_proj.weight", 8, 8 },
    { "self_attn.k_proj.weight", 4, 8 }, { "self_attn.v_proj.weight", 4, 8 },
    { "self_attn.o_proj.weight", 8, 8 }, { "post_attention_layernorm.weight", 0, 8 },
    { "mlp.gate_proj.weight", 12, 8 },   { "mlp.up_proj.weight", 12, 8 },
    { "mlp.down_proj.weight", 8, 12 },
};
static const struct shape qk_norms[] = {
    { "self_attn.q_norm.weight", 0, 4 },
    { "self_attn.k_norm.weight", 0, 4 },
};
static const struct shape post_norms[] = {
    { "pre_feedforward_layernorm.weight", 0, 8 },
    { "post_feedforward_layernorm.weight", 0, 8 },
};
#define COUNT(a) (sizeof(a) / sizeof *(a))

/* One tensor otherwise: in layer 2 that of this name is left out (cols 0), has another
 * shape, or is there besides. */
struct builder {
    struct mpq_st_head *h;
    struct shape other;
    int found;
    size_t data;
};
/* The matrix of this name has a third dimension, 1, in all layers. */
static const char *deep;

static void
put(struct builder *b, int layer, const struct shape *shapes, size_t n)
{
    char name[128];

    for (size_t i = 0; i < n; i++) {
        struct shape s = shapes[i];
        if (layer == 2 && b->other.name && !strcmp(b->other.name, s.name)) {
            s = b->other;
            b->found = 1;
        }
        if (s.cols == 0)
            continue;
        const uint64_t dim[] = { s.cols, s.rows, 1 };
        const unsigned n_dims = !s.rows ? 1 : deep && !strcmp(deep, s.name) ? 3 : 2;
        if (layer < 0)
            snprintf(name, sizeof name, "%s", s.name);
        else
            snprintf(name, sizeof name, "model.layers.%d.%s", layer, s.name);
        ck_assert_int_eq(
            mpq_st_put_tensor(b->h, name, MPQ_TYPE(MPQ_F16), n_dims, dim, NULL), 0);
        b->data += (size_t)(s.cols * (s.rows ? s.rows : 1)) * 2;
    }
}

/* Writes the model and reads it: what mpq_net_read returned. CONFIG is the text between
 * the braces. */
static int
read_net(struct mpq_net *net, const char *config, struct shape other,
         struct mpq_err *err)
{
    const char *path = small_path("net.safetensors");
    struct builder b = { .other = other };
    struct mpq_source *s;
    struct mpq_buf out, text = { 0 };
    FILE *f;

    mpq_buf_printf(&text,
                   "{\"num_hidden_layers\": 7, \"hidden_size\": 8,"
                   " \"num_attention_heads\": 2, \"num_key_value_heads\": 1,"
                   " \"head_dim\": 4, \"intermediate_size\": 12, \"vocab_size\": 10,"
                   " \"max_position_embeddings\": 64, %s}",
                   config);
    ck_assert_int_eq(mpq_st_head_new(&b.h, err), 0);
    ck_assert_int_eq(mpq_st_put_meta(b.h, "config.json", text.data, err), 0);
    put(&b, -1, outside, COUNT(outside));
    for (int l = 0; l < LAYERS; l++) {
        put(&b, l, block, COUNT(block));
        if (strstr(config, "qwen3\"") || strstr(config, "gemma3"))
            put(&b, l, qk_norms, COUNT(qk_norms));
        if (strstr(config, "gemma2") || strstr(config, "gemma3"))
            put(&b, l, post_norms, COUNT(post_norms));
    }
    if (other.name && !b.found)
        put(&b, 2, &other, 1);
    ck_assert_int_eq(mpq_st_head_finish(b.h, 0, &out, err), 0);
    while (b.data--)
        mpq_buf_add(&out, "", 1);
    ck_assert_ptr_nonnull(f = fopen(path, "wb"));
    ck_assert_uint_eq(fwrite(out.data, 1, out.len, f), out.len);
    ck_assert_int_eq(fclose(f), 0);
    ck_assert_msg(mpq_source_open(&s, path, NULL, err) == 0, "%s", err->text);
    int rc = mpq_net_read(net, s, err);
    mpq_source_free(s);
    unlink(path);
    mpq_buf_free(&out);
    mpq_buf_free(&text);
    mpq_st_head_free(b.h);
    return rc;
}

static const struct {
    const char *config;
    struct shape other;
    const char *says;
} bad[] = {
    { "\"model_type\": \"mamba\"",
      { 0 },
      "architecture mamba: the forward pass knows" },
    { "\"tie\": 1", { 0 }, "nothing tells the architecture" },
    { "\"model_type\": \"llama\", \"hidden_act\": \"relu\"",
      { 0 },
      "activation \"relu\" is not supported" },
    { "\"model_type\": \"gemma\", \"hidden_activation\": \"gelu\"",
      { 0 },
      "activation \"gelu\" is not supported" },
    { "\"model_type\": \"llama\", \"rope_scaling\": {\"type\": \"dynamic\","
      " \"factor\": 2}",
      { 0 },
      "rope type \"dynamic\" is not supported" },
    { "\"model_type\": \"llama\", \"rope_scaling\": {\"type\": \"linear\","
      " \"factor\": 0}",
      { 0 },
      "rope scaling: factor 0" },
    { "\"model_type\": \"llama\", \"rope_scaling\": {\"rope_type\": \"llama3\","
      " \"factor\": 8, \"low_freq_factor\": 4, \"high_freq_factor\": 4}",
      { 0 },
      "low_freq_factor 4 is not below high_freq_factor 4" },
    { "\"model_type\": \"llama\", \"rope_theta\": 0", { 0 }, "base 0" },
    { "\"model_type\": \"llama\", \"rope_theta\": \"big\"",
      { 0 },
      "rope_theta: no finite number" },
    { "\"model_type\": \"llama\", \"partial_rotary_factor\": 0.3",
      { 0 },
      "rotary embedding of 1 dimensions in heads of 4" },
    { "\"model_type\": \"llama\", \"num_local_experts\": 8",
      { 0 },
      "a mixture of 8 experts" },
    { "\"model_type\": \"llama\"",
      { "block_sparse_moe.gate.weight", 4, 8 },
      "block_sparse_moe.gate.weight: a mixture of experts" },
    { "\"model_type\": \"llama\"",
      { "self_attn.sinks", 0, 2 },
      "self_attn.sinks: the forward pass of architecture llama has no place for it" },
    { "\"model_type\": \"llama\"",
      { "self_attn.q_norm.weight", 0, 4 },
      "self_attn.q_norm.weight: the forward pass of architecture llama has no place" },
    { "\"model_type\": \"qwen3\"",
      { "self_attn.k_norm.weight", 0, 0 },
      "tensor blk.2.attn_k_norm is missing" },
    { "\"model_type\": \"llama\"",
      { "mlp.up_proj.weight", 0, 0 },
      "tensor blk.2.ffn_up is missing" },
    { "\"model_type\": \"llama\"",
      { "mlp.up_proj.weight", 12, 6 },
      "layers.2.mlp.up_proj.weight: 12 x 6, the hyper-parameters ask for 12 x 8" },
    { "\"model_type\": \"llama\"",
      { "self_attn.k_proj.bias", 0, 8 },
      "k_proj.bias: 1 x 8, the hyper-parameters ask for a vector of 4" },
    { "\"model_type\": \"llama\"",
      { "input_layernorm.weight", 2, 4 },
      "input_layernorm.weight: 2 x 4, the hyper-parameters ask for a vector of 8" },
    { "\"model_type\": \"gemma3_text\", \"layer_types\": [\"full_attention\"]",
      { 0 },
      "layer_types: 1 for 7 layers" },
    { "\"model_type\": \"gemma2\", \"query_pre_attn_scalar\": -1",
      { 0 },
      "query_pre_attn_scalar: -1 is below 0" },
    { "\"model_type\": \"llama\", \"rms_norm_eps\": -1",
      { 0 },
      "the epsilon of the norms is -1" },
};

START_TEST(refuses_what_it_would_compute_wrongly)
{
    struct mpq_err err = { 0 };
    struct mpq_net net;

    ck_assert_int_eq(read_net(&net, bad[_i].config, bad[_i].other, &err), -1);
    ck_assert_msg(strstr(err.text, bad[_i].says) != NULL, "%s", err.text);
    ck_assert_ptr_null(net.window);
}
END_TEST

START_TEST(a_third_dimension_is_told)
{
    static const struct {
        const char *deep, *says;
    } cases[] = {
        { "mlp.up_proj.weight", "layers.0.mlp.up_proj.weight: has 3 dimensions, the "
                                "hyper-parameters ask for a matrix of 12 x 8" },
        { "model.embed_tokens.weight",
          "model.embed_tokens.weight: has 3 dimensions, not 2" },
    };
    struct mpq_err err = { 0 };
    struct mpq_net net;

    deep = cases[_i].deep;
    ck_assert_int_eq(
        read_net(&net, "\"model_type\": \"llama\"", (struct shape){ 0 }, &err), -1);
    deep = NULL;
    ck_assert_msg(strstr(err.text, cases[_i].says) != NULL, "%s", err.text);
}
END_TEST

/* A string of a flag for each layer: has it a window? */
static const struct {
    const char *config, *windows;
} patterns[] = {
    { "\"model_type\": \"llama\"", "......." },
    { "\"model_type\": \"mistral\", \"sliding_window\": 9", "9999999" },
    { "\"model_type\": \"mistral\", \"sliding_window\": null", "......." },
    { "\"model_type\": \"gemma2\", \"sliding_window\": 9", "9.9.9.9" },
    { "\"model_type\": \"gemma3_text\", \"sliding_window\": 9", "99999.9" },
    { "\"model_type\": \"gemma3_text\", \"sliding_window\": 9,"
      " \"sliding_window_pattern\": 3",
      "99.99.9" },
    { "\"model_type\": \"qwen2\", \"sliding_window\": 9, \"max_window_layers\": 5,"
      " \"use_sliding_window\": true",
      ".....99" },
    { "\"model_type\": \"qwen2\", \"sliding_window\": 9, \"max_window_layers\": 5,"
      " \"use_sliding_window\": false",
      "......." },
    { "\"model_type\": \"mistral\", \"sliding_window\": 9, \"layer_types\":"
      " [\"full_attention\", \"sliding_attention\", \"full_attention\","
      " \"full_attention\", \"sliding_attention\", \"full_attention\","
      " \"full_attention\"]",
      ".9..9.." },
};

START_TEST(windows_are_where_the_configuration_has_them)
{
    struct mpq_err err = { 0 };
    struct mpq_net net;

    ck_assert_msg(read_net(&net, patterns[_i].config, (struct shape){ 0 }, &err) == 0,
                  "%s", err.text);
    for (size_t i = 0; i < LAYERS; i++)
        ck_assert_uint_eq(net.window[i], patterns[_i].windows[i] == '9' ? 9 : 0);
    mpq_net_free(&net);
    ck_assert_ptr_null(net.window);
    mpq_net_free(&net); /* empty: nothing to do */
}
END_TEST

START_TEST(defaults_are_those_of_the_classes)
{
    struct mpq_err err = { 0 };
    struct mpq_net net;

    ck_assert_msg(read_net(&net, "\"model_type\": \"gemma3_text\"", (struct shape){ 0 },
                           &err) == 0,
                  "%s", err.text);
    ck_assert_uint_eq(net.window[0], 4096);
    ck_assert_float_eq(net.attn_scale, 0.0625f); /* 256^-1/2 */
    ck_assert_float_eq(net.norm_eps, 1e-6f);
    ck_assert_float_eq_tol(net.rope.freq[1], 1e-3f, 1e-9f);       /* 1e6^-1/2 */
    ck_assert_float_eq_tol(net.rope_local.freq[1], 1e-2f, 1e-8f); /* 1e4^-1/2 */
    ck_assert_float_eq(net.embed_scale, sqrtf(8));
    ck_assert_int_eq(net.act, MPQ_ACT_GELU_TANH);
    ck_assert(net.norm_plus_one && net.qk_norm && net.post_norms && net.tied);
    mpq_net_free(&net);
    ck_assert_int_eq(
        read_net(&net, "\"model_type\": \"gemma2\"", (struct shape){ 0 }, &err), 0);
    ck_assert_float_eq(net.attn_softcap, 50);
    ck_assert_float_eq(net.final_softcap, 30);
    mpq_net_free(&net);
    ck_assert_int_eq(
        read_net(&net, "\"model_type\": \"gemma2\", \"final_logit_softcapping\": null",
                 (struct shape){ 0 }, &err),
        0);
    ck_assert_float_eq(net.final_softcap, 0);
    mpq_net_free(&net);
}
END_TEST

/* Keys of a GGUF that is a llama otherwise. */
static const struct {
    const char *key, *text; /* a string, or ... */
    unsigned number;
    const char *says;
} bad_keys[] = {
    { "llama.expert_count", NULL, 8, "a mixture of 8 experts" },
    { "llama.rope.scaling.type", "longrope", 0, "rope type \"longrope\" is not" },
    { "llama.rope.scaling.type", NULL, 1, "llama.rope.scaling.type: no string" },
    { "llama.attention.value_length", NULL, 8, "keys of 4 dimensions, values of 8" },
    { "llama.attention.layer_norm_rms_epsilon", "small", 0, "no finite number" },
    { "llama.rope.dimension_count", NULL, 6,
      "rotary embedding of 6 dimensions in heads of 4" },
};

START_TEST(refuses_metadata_of_a_gguf)
{
    static const char zeros[256];
    const uint64_t dim[] = { 8, 10 };
    const char *path = small_path("net.gguf");
    struct mpq_gguf_head h;
    struct mpq_buf head;
    struct mpq_err err = { 0 };
    struct mpq_source *s;
    struct mpq_out *out;
    struct mpq_net net;

    mpq_gguf_head_init(&h, 32);
    mpq_gguf_put_str(&h, "general.architecture", "llama", 5);
    mpq_gguf_put_u32(&h, "llama.block_count", 1);
    mpq_gguf_put_u32(&h, "llama.attention.head_count", 2);
    mpq_gguf_put_u32(&h, "llama.feed_forward_length", 12);
    if (bad_keys[_i].text)
        mpq_gguf_put_str(&h, bad_keys[_i].key, bad_keys[_i].text,
                         strlen(bad_keys[_i].text));
    else
        mpq_gguf_put_u32(&h, bad_keys[_i].key, bad_keys[_i].number);
    ck_assert_int_eq(
        mpq_gguf_put_tensor(&h, "token_embd.weight", MPQ_TYPE(MPQ_F16), 2, dim, &err),
        0);
    ck_assert_int_eq(mpq_gguf_put_tensor(&h, "blk.0.attn_norm.weight",
                                         MPQ_TYPE(MPQ_F16), 1, dim, &err),
                     0);
    ck_assert_int_eq(mpq_gguf_head_finish(&h, &head, &err), 0);
    ck_assert_int_eq(mpq_out_open(&out, path, &err), 0);
    ck_assert_int_eq(mpq_out_write(out, head.data, head.len, &err), 0);
    ck_assert_int_eq(mpq_out_write(out, zeros, sizeof zeros, &err), 0);
    ck_assert_int_eq(mpq_out_close(out, &err), 0);
    ck_assert_msg(mpq_source_open(&s, path, NULL, &err) == 0, "%s", err.text);
    ck_assert_int_eq(mpq_net_read(&net, s, &err), -1);
    ck_assert_msg(strstr(err.text, bad_keys[_i].says) != NULL, "%s", err.text);
    mpq_source_free(s);
    unlink(path);
    mpq_buf_free(&head);
    mpq_gguf_head_free(&h);
}
END_TEST

Suite *
mpq_suite(void)
{
    Suite *s = suite_create("net");
    TCase *tc = tcase_create("net");

    tcase_add_loop_test(tc, refuses_what_it_would_compute_wrongly, 0, COUNT(bad));
    tcase_add_loop_test(tc, a_third_dimension_is_told, 0, 2);
    tcase_add_loop_test(tc, windows_are_where_the_configuration_has_them, 0,
                        COUNT(patterns));
    tcase_add_loop_test(tc, refuses_metadata_of_a_gguf, 0, COUNT(bad_keys));
    tcase_add_test(tc, defaults_are_those_of_the_classes);
    suite_add_tcase(s, tc);
    return s;
}
