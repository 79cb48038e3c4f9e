/* Models in every container: names, roles and values of their weights, and the files
 * that are refused. */
#include "models.h"

#include <stdio.h>
#include <stdlib.h>

#define DIR "tests/data/formats/"

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

Suite *
mpq_suite(void)
{
    Suite *s = suite_create("source");
    TCase *tc = tcase_create("source");
    const int n_models = sizeof models / sizeof *models;

    tcase_add_checked_fixture(tc, make_tmp, remove_tmp);
    tcase_add_loop_test(tc, a_model_is_the_same_in_every_container, 0, n_models);
    tcase_add_loop_test(tc, weights_stand_in_model_order, 0, n_models);
    tcase_add_test(tc, values_that_are_not_finite_are_refused);
    tcase_add_test(tc, a_type_without_a_decoder_is_refused_when_it_is_read);
    tcase_add_test(tc, fused_and_expert_matrices_have_their_roles);
    tcase_add_test(tc, norms_on_both_sides_are_told_apart);
    tcase_add_test(tc, missing_layers_and_twin_names_are_refused);
    tcase_add_test(tc, what_is_no_model_is_refused);
    tcase_add_loop_test(tc, an_index_that_is_not_that_of_its_shards_is_refused, 0,
                        sizeof bad_indexes / sizeof *bad_indexes);
    suite_add_tcase(s, tc);
    return s;
}
