/*
 * Names and roles of tensors. Inside the program every tensor has one short name:
 * GGUF's, without ".weight" (blk.3.ffn_down, token_embd, blk.3.attn_q.bias).
 * Hugging Face's names of the llama, mistral, mixtral, qwen2, qwen3, gemma, phi3
 * families are mapped (the pairs stand in names.c); a name that is not known stays as
 * it is, less ".weight".
 */
#ifndef MPQ_MODEL_NAMES_H
#define MPQ_MODEL_NAMES_H

#include <stddef.h>

/* What a matrix does in the model. Units of a layer come first. */
enum mpq_role {
    MPQ_ROLE_OTHER = 0, /* norms, biases, routers, sinks, anything unknown */
    MPQ_ROLE_Q,
    MPQ_ROLE_K,
    MPQ_ROLE_V,
    MPQ_ROLE_O,
    MPQ_ROLE_QKV,
    MPQ_ROLE_GATE,
    MPQ_ROLE_UP,
    MPQ_ROLE_DOWN,
    MPQ_ROLE_GATE_UP,
    MPQ_ROLE_EMBED,  /* token_embd */
    MPQ_ROLE_OUTPUT, /* output, where the model has one of its own */
};

enum {
    MPQ_MAX_LAYERS = 65536,
    MPQ_SHORT_MAX = 320, /* bytes for the short name of any tensor that is read */
};

/* Short name of a Hugging Face name ("model.layers.3.mlp.down_proj.weight" gives
 * blk.3.ffn_down), or of a GGUF name. Into dst; -1 when it does not fit. */
int mpq_name_short(const char *file_name, char *dst, size_t size);
/* The same for a model with norms before and after the feed-forward (Gemma 2 and 3,
 * OLMo 2: it has tensors with "feedforward_layernorm" in their names). There
 * post_attention_layernorm follows the attention (post_attention_norm); elsewhere it
 * precedes the feed-forward (ffn_norm). */
int mpq_name_short_sandwich(const char *file_name, char *dst, size_t size);
/* Layer of a short name: 3 for blk.3.ffn_down, and for a name of a block that is not
 * known and was kept (model.layers.3.mixer.x); -1 outside the blocks. */
int mpq_name_layer(const char *short_name);
/* Role by the short name alone; expert forms (ffn_up_exps, ffn_up.7, ffn_up_shexp) have
 * the role of their kind. */
enum mpq_role mpq_name_role(const char *short_name);
/* One of the roles of a block, q to gate_up? */
int mpq_role_is_linear(enum mpq_role role);

#endif
