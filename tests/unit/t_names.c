#include "suite.h"

#include "model/names.h"

/* Hugging Face's names, and GGUF's as llama.cpp's conversion scripts give them. */
static const struct {
    const char *file_name, *short_name;
    int layer;
    enum mpq_role role;
} names[] = {
    /* llama, mistral, qwen */
    { "model.embed_tokens.weight", "token_embd", -1, MPQ_ROLE_EMBED },
    { "model.norm.weight", "output_norm", -1, MPQ_ROLE_OTHER },
    { "lm_head.weight", "output", -1, MPQ_ROLE_OUTPUT },
    { "model.layers.0.input_layernorm.weight", "blk.0.attn_norm", 0, MPQ_ROLE_OTHER },
    { "model.layers.3.self_attn.q_proj.weight", "blk.3.attn_q", 3, MPQ_ROLE_Q },
    { "model.layers.3.self_attn.q_proj.bias", "blk.3.attn_q.bias", 3, MPQ_ROLE_OTHER },
    { "model.layers.3.self_attn.k_proj.weight", "blk.3.attn_k", 3, MPQ_ROLE_K },
    { "model.layers.3.self_attn.v_proj.weight", "blk.3.attn_v", 3, MPQ_ROLE_V },
    { "model.layers.12.self_attn.o_proj.weight", "blk.12.attn_output", 12, MPQ_ROLE_O },
    { "model.layers.3.post_attention_layernorm.weight", "blk.3.ffn_norm", 3,
      MPQ_ROLE_OTHER },
    { "model.layers.3.mlp.gate_proj.weight", "blk.3.ffn_gate", 3, MPQ_ROLE_GATE },
    { "model.layers.3.mlp.up_proj.weight", "blk.3.ffn_up", 3, MPQ_ROLE_UP },
    { "model.layers.3.mlp.down_proj.weight", "blk.3.ffn_down", 3, MPQ_ROLE_DOWN },
    { "model.layers.3.self_attn.q_norm.weight", "blk.3.attn_q_norm", 3,
      MPQ_ROLE_OTHER },
    { "model.layers.3.self_attn.k_norm.weight", "blk.3.attn_k_norm", 3,
      MPQ_ROLE_OTHER },
    /* phi3 */
    { "model.layers.7.self_attn.qkv_proj.weight", "blk.7.attn_qkv", 7, MPQ_ROLE_QKV },
    { "model.layers.7.mlp.gate_up_proj.weight", "blk.7.ffn_up", 7, MPQ_ROLE_UP },
    /* mixtral and qwen's mixtures */
    { "model.layers.1.block_sparse_moe.gate.weight", "blk.1.ffn_gate_inp", 1,
      MPQ_ROLE_OTHER },
    { "model.layers.1.block_sparse_moe.experts.5.w1.weight", "blk.1.ffn_gate.5", 1,
      MPQ_ROLE_GATE },
    { "model.layers.1.block_sparse_moe.experts.15.w2.weight", "blk.1.ffn_down.15", 1,
      MPQ_ROLE_DOWN },
    { "model.layers.1.block_sparse_moe.experts.0.w3.weight", "blk.1.ffn_up.0", 1,
      MPQ_ROLE_UP },
    { "model.layers.1.mlp.gate.weight", "blk.1.ffn_gate_inp", 1, MPQ_ROLE_OTHER },
    { "model.layers.1.mlp.experts.127.down_proj.weight", "blk.1.ffn_down.127", 1,
      MPQ_ROLE_DOWN },
    { "model.layers.1.mlp.experts.gate_up_proj", "blk.1.ffn_gate_up_exps", 1,
      MPQ_ROLE_GATE_UP },
    { "model.layers.1.mlp.shared_expert.up_proj.weight", "blk.1.ffn_up_shexp", 1,
      MPQ_ROLE_UP },
    { "model.layers.1.mlp.shared_expert_gate.weight", "blk.1.ffn_gate_inp_shexp", 1,
      MPQ_ROLE_OTHER },
    /* multimodal checkpoints, old and new; base models without a head */
    { "language_model.model.layers.2.mlp.up_proj.weight", "blk.2.ffn_up", 2,
      MPQ_ROLE_UP },
    { "language_model.model.embed_tokens.weight", "token_embd", -1, MPQ_ROLE_EMBED },
    { "language_model.lm_head.weight", "output", -1, MPQ_ROLE_OUTPUT },
    { "model.language_model.layers.2.mlp.up_proj.weight", "blk.2.ffn_up", 2,
      MPQ_ROLE_UP },
    { "model.language_model.norm.weight", "output_norm", -1, MPQ_ROLE_OTHER },
    { "layers.2.mlp.up_proj.weight", "blk.2.ffn_up", 2, MPQ_ROLE_UP },
    { "vision_tower.encoder.layers.2.self_attn.q_proj.weight",
      "vision_tower.encoder.layers.2.self_attn.q_proj", -1, MPQ_ROLE_OTHER },
    { "model.vision_tower.layers.2.mlp.up_proj.weight",
      "model.vision_tower.layers.2.mlp.up_proj", -1, MPQ_ROLE_OTHER },
    /* GGUF's own */
    { "token_embd.weight", "token_embd", -1, MPQ_ROLE_EMBED },
    { "output.weight", "output", -1, MPQ_ROLE_OUTPUT },
    { "blk.65535.ffn_down.weight", "blk.65535.ffn_down", 65535, MPQ_ROLE_DOWN },
    { "blk.0.attn_q.bias", "blk.0.attn_q.bias", 0, MPQ_ROLE_OTHER },
    { "blk.0.ffn_gate_exps.weight", "blk.0.ffn_gate_exps", 0, MPQ_ROLE_GATE },
    { "blk.0.ffn_up.7.weight", "blk.0.ffn_up.7", 0, MPQ_ROLE_UP },
    { "blk.0.ffn_down_shexp.weight", "blk.0.ffn_down_shexp", 0, MPQ_ROLE_DOWN },
    { "blk.0.ffn_gate_inp.weight", "blk.0.ffn_gate_inp", 0, MPQ_ROLE_OTHER },
    { "blk.0.attn_sinks.weight", "blk.0.attn_sinks", 0, MPQ_ROLE_OTHER },
    { "blk.0.attn_q_norm.weight", "blk.0.attn_q_norm", 0, MPQ_ROLE_OTHER },
    /* unknown: kept as they are, in their layer where they say one */
    { "model.layers.4.mixer.conv1d.weight", "model.layers.4.mixer.conv1d", 4,
      MPQ_ROLE_OTHER },
    { "model.layers.4.self_attn.q_proj.weight_scale",
      "model.layers.4.self_attn.q_proj.weight_scale", 4, MPQ_ROLE_OTHER },
    { "model.layers.4.weight", "model.layers.4", -1, MPQ_ROLE_OTHER },
    { "model.layers.04.mlp.up_proj.weight", "model.layers.04.mlp.up_proj", -1,
      MPQ_ROLE_OTHER },
    { "model.layers..mlp.up_proj.weight", "model.layers..mlp.up_proj", -1,
      MPQ_ROLE_OTHER },
    { "blk.99999999999999999999.ffn_up.weight", "blk.99999999999999999999.ffn_up", -1,
      MPQ_ROLE_OTHER },
    { "blk.65536.ffn_up.weight", "blk.65536.ffn_up", -1, MPQ_ROLE_OTHER },
    { "model.layers.1.mlp.experts..up_proj.weight",
      "model.layers.1.mlp.experts..up_proj", 1, MPQ_ROLE_OTHER },
    { "blk.3.", "blk.3.", 3, MPQ_ROLE_OTHER },
    { ".weight", ".weight", -1, MPQ_ROLE_OTHER },
    { ".bias", ".bias", -1, MPQ_ROLE_OTHER },
    { "weight", "weight", -1, MPQ_ROLE_OTHER },
    { "model.", "model.", -1, MPQ_ROLE_OTHER },
};

START_TEST(a_name_gives_its_short_name_layer_and_role)
{
    char name[MPQ_SHORT_MAX];

    ck_assert_int_eq(mpq_name_short(names[_i].file_name, name, sizeof name), 0);
    ck_assert_str_eq(name, names[_i].short_name);
    ck_assert_int_eq(mpq_name_layer(name), names[_i].layer);
    ck_assert_int_eq(mpq_name_role(name), names[_i].role);
}
END_TEST

START_TEST(a_short_name_is_its_own_short_name)
{
    char name[MPQ_SHORT_MAX];

    ck_assert_int_eq(mpq_name_short(names[_i].short_name, name, sizeof name), 0);
    ck_assert_str_eq(name, names[_i].short_name);
}
END_TEST

START_TEST(norms_on_both_sides_have_their_own_names)
{
    static const struct {
        const char *file_name, *short_name;
    } gemma[] = {
        { "model.layers.0.input_layernorm.weight", "blk.0.attn_norm" },
        { "model.layers.0.post_attention_layernorm.weight",
          "blk.0.post_attention_norm" },
        { "model.layers.0.pre_feedforward_layernorm.weight", "blk.0.ffn_norm" },
        { "model.layers.0.post_feedforward_layernorm.weight", "blk.0.post_ffw_norm" },
        { "model.layers.0.mlp.up_proj.weight", "blk.0.ffn_up" },
    };
    char name[MPQ_SHORT_MAX];

    for (size_t i = 0; i < sizeof gemma / sizeof *gemma; i++) {
        ck_assert_int_eq(mpq_name_short_sandwich(gemma[i].file_name, name, sizeof name),
                         0);
        ck_assert_str_eq(name, gemma[i].short_name);
    }
}
END_TEST

START_TEST(a_name_that_does_not_fit_is_an_error)
{
    char name[13];

    ck_assert_int_eq(mpq_name_short("model.layers.0.mlp.up_proj.weight", name, 13), 0);
    ck_assert_str_eq(name, "blk.0.ffn_up");
    ck_assert_int_eq(mpq_name_short("model.layers.0.mlp.up_proj.weight", name, 12), -1);
    ck_assert_int_eq(mpq_name_short("unknown.name.weight", name, 13), 0);
    ck_assert_int_eq(mpq_name_short("unknown.name.weight", name, 12), -1);
}
END_TEST

START_TEST(linear_roles_are_those_of_the_blocks)
{
    ck_assert_int_eq(mpq_role_is_linear(MPQ_ROLE_OTHER), 0);
    for (int r = MPQ_ROLE_Q; r <= MPQ_ROLE_GATE_UP; r++)
        ck_assert_int_eq(mpq_role_is_linear((enum mpq_role)r), 1);
    ck_assert_int_eq(mpq_role_is_linear(MPQ_ROLE_EMBED), 0);
    ck_assert_int_eq(mpq_role_is_linear(MPQ_ROLE_OUTPUT), 0);
}
END_TEST

Suite *
mpq_suite(void)
{
    Suite *s = suite_create("names");
    TCase *tc = tcase_create("names");
    const int n = sizeof names / sizeof *names;

    tcase_add_loop_test(tc, a_name_gives_its_short_name_layer_and_role, 0, n);
    tcase_add_loop_test(tc, a_short_name_is_its_own_short_name, 0, n);
    tcase_add_test(tc, norms_on_both_sides_have_their_own_names);
    tcase_add_test(tc, a_name_that_does_not_fit_is_an_error);
    tcase_add_test(tc, linear_roles_are_those_of_the_blocks);
    suite_add_tcase(s, tc);
    return s;
}
