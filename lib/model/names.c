#include "model/names.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

struct pair {
    const char *hf, *gguf;
};

/* What checkpoints put before the language model's names; the longest first. */
static const char *const prefixes[] = {
    "model.language_model.", /* multimodal checkpoints, new and ... */
    "language_model.model.", /* ... old */
    "language_model.",       "model.", "",
};

static const struct pair outside[] = {
    { "embed_tokens", "token_embd" },
    { "norm", "output_norm" },
    { "lm_head", "output" },
};

/* After "layers.N."; '#' is a number, the same on both sides. */
static const struct pair block[] = {
    { "input_layernorm", "attn_norm" },
    { "self_attn.q_proj", "attn_q" },
    { "self_attn.k_proj", "attn_k" },
    { "self_attn.v_proj", "attn_v" },
    { "self_attn.o_proj", "attn_output" },
    { "self_attn.qkv_proj", "attn_qkv" }, /* phi3 */
    { "self_attn.q_norm", "attn_q_norm" },
    { "self_attn.k_norm", "attn_k_norm" },
    { "self_attn.sinks", "attn_sinks" },
    { "post_attention_layernorm", "ffn_norm" },
    { "pre_feedforward_layernorm", "ffn_norm" },
    { "post_feedforward_layernorm", "post_ffw_norm" },
    { "mlp.gate_proj", "ffn_gate" },
    { "mlp.up_proj", "ffn_up" },
    { "mlp.down_proj", "ffn_down" },
    { "mlp.gate_up_proj", "ffn_up" }, /* phi3: gate and up in one, as GGUF calls it */
    /* mixtral */
    { "block_sparse_moe.gate", "ffn_gate_inp" },
    { "block_sparse_moe.experts.#.w1", "ffn_gate.#" },
    { "block_sparse_moe.experts.#.w2", "ffn_down.#" },
    { "block_sparse_moe.experts.#.w3", "ffn_up.#" },
    /* qwen's mixtures, and those that follow them */
    { "mlp.gate", "ffn_gate_inp" },
    { "mlp.router", "ffn_gate_inp" },
    { "mlp.gate.e_score_correction_bias", "exp_probs_b.bias" },
    { "mlp.experts.#.gate_proj", "ffn_gate.#" },
    { "mlp.experts.#.up_proj", "ffn_up.#" },
    { "mlp.experts.#.down_proj", "ffn_down.#" },
    { "mlp.experts.gate_up_proj", "ffn_gate_up_exps" },
    { "mlp.experts.down_proj", "ffn_down_exps" },
    { "mlp.shared_expert.gate_proj", "ffn_gate_shexp" },
    { "mlp.shared_expert.up_proj", "ffn_up_shexp" },
    { "mlp.shared_expert.down_proj", "ffn_down_shexp" },
    { "mlp.shared_experts.gate_proj", "ffn_gate_shexp" },
    { "mlp.shared_experts.up_proj", "ffn_up_shexp" },
    { "mlp.shared_experts.down_proj", "ffn_down_shexp" },
    { "mlp.shared_expert_gate", "ffn_gate_inp_shexp" },
};

/* Where it differs in models with norms on both sides of the feed-forward. */
static const struct pair sandwich_block[] = {
    { "post_attention_layernorm", "post_attention_norm" },
};

static const struct {
    const char *name;
    enum mpq_role role;
} roles[] = {
    { "attn_q", MPQ_ROLE_Q },
    { "attn_k", MPQ_ROLE_K },
    { "attn_v", MPQ_ROLE_V },
    { "attn_output", MPQ_ROLE_O },
    { "attn_qkv", MPQ_ROLE_QKV },
    { "ffn_gate", MPQ_ROLE_GATE },
    { "ffn_up", MPQ_ROLE_UP },
    { "ffn_down", MPQ_ROLE_DOWN },
    { "ffn_gate_up", MPQ_ROLE_GATE_UP },
};

#define COUNT(a) (sizeof(a) / sizeof *(a))

/* The number in decimal at S without leading zeros, up to five digits; its length, or
 * 0 when there is none. */
static size_t
number_length(const char *s)
{
    size_t n = 0;

    while (n < 6 && isdigit((unsigned char)s[n]))
        n++;
    return n > 5 || (n > 1 && s[0] == '0') ? 0 : n;
}

static int
number_value(const char *s, size_t n)
{
    int v = 0;

    for (size_t i = 0; i < n; i++)
        v = v * 10 + (s[i] - '0');
    return v;
}

/* The layer of "PREFIX" "N" "." at S, with *rest behind it; -1 when it is none. */
static int
parse_layer(const char *s, const char *prefix, const char **rest)
{
    size_t len = strlen(prefix);

    if (strncmp(s, prefix, len))
        return -1;
    size_t n = number_length(s + len);
    if (!n || s[len + n] != '.' || number_value(s + len, n) >= MPQ_MAX_LAYERS)
        return -1;
    *rest = s + len + n + 1;
    return number_value(s + len, n);
}

/* Does S[n] match PATTERN? Then *number is what stands for its '#'. */
static int
match(const char *pattern, const char *s, size_t n, const char **number, size_t *digits)
{
    size_t i = 0;

    *digits = 0;
    for (; *pattern; pattern++) {
        if (*pattern == '#') {
            *number = s + i;
            *digits = number_length(s + i);
            if (!*digits)
                return 0;
            i += *digits;
        } else if (i >= n || s[i++] != *pattern) {
            return 0;
        }
    }
    return i == n;
}

/* Writes HEAD, the GGUF name for S[n], and TAIL. 1 when S is in the table, 0 when it is
 * not, -1 when it does not fit. */
static int
translate(const struct pair *table, size_t n_table, const char *head, const char *s,
          size_t n, const char *tail, char *dst, size_t size)
{
    for (size_t i = 0; i < n_table; i++) {
        const char *number = "", *gguf = table[i].gguf;
        size_t digits;
        if (!match(table[i].hf, s, n, &number, &digits))
            continue;
        int len = (int)strcspn(gguf, "#");
        int used = snprintf(dst, size, "%s%.*s%.*s%s", head, len, gguf,
                            gguf[len] ? (int)digits : 0, number, tail);
        return used < 0 || (size_t)used >= size ? -1 : 1;
    }
    return 0;
}

/* A name less prefix, S[n] TAIL, as far as the tables know it. As translate(). */
static int
from_hf(const char *s, size_t n, const char *tail, int sandwich, char *dst, size_t size)
{
    const char *rest;
    char head[32];
    int layer = parse_layer(s, "layers.", &rest), done;

    if (layer < 0)
        return translate(outside, COUNT(outside), "", s, n, tail, dst, size);
    if ((size_t)(rest - s) > n) /* "layers.3" and no more */
        return 0;
    n -= (size_t)(rest - s);
    snprintf(head, sizeof head, "blk.%d.", layer);
    done = sandwich ? translate(sandwich_block, COUNT(sandwich_block), head, rest, n,
                                tail, dst, size)
                    : 0;
    return done ? done : translate(block, COUNT(block), head, rest, n, tail, dst, size);
}

static int
ends_with(const char *s, size_t n, const char *end)
{
    size_t len = strlen(end);

    return n > len && !memcmp(s + n - len, end, len);
}

static int
shorten(const char *name, int sandwich, char *dst, size_t size)
{
    size_t n = strlen(name);
    const char *tail = "";

    if (ends_with(name, n, ".weight"))
        n -= strlen(".weight");
    else if (ends_with(name, n, ".bias"))
        tail = ".bias";
    for (size_t i = 0; i < COUNT(prefixes); i++) {
        size_t len = strlen(prefixes[i]), bare = n - strlen(tail);
        if (bare <= len || strncmp(name, prefixes[i], len))
            continue;
        int done = from_hf(name + len, bare - len, tail, sandwich, dst, size);
        if (done)
            return done < 0 ? -1 : 0;
    }
    if (n >= size)
        return -1;
    memcpy(dst, name, n);
    dst[n] = '\0';
    return 0;
}

int
mpq_name_short(const char *file_name, char *dst, size_t size)
{
    return shorten(file_name, 0, dst, size);
}

int
mpq_name_short_sandwich(const char *file_name, char *dst, size_t size)
{
    return shorten(file_name, 1, dst, size);
}

int
mpq_name_layer(const char *short_name)
{
    const char *rest;
    int layer = parse_layer(short_name, "blk.", &rest);

    for (size_t i = 0; layer < 0 && i < COUNT(prefixes); i++) {
        size_t len = strlen(prefixes[i]);
        if (!strncmp(short_name, prefixes[i], len))
            layer = parse_layer(short_name + len, "layers.", &rest);
    }
    return layer;
}

/* Length of a name in a block without what makes it an expert's. */
static size_t
without_expert(const char *s)
{
    static const char *const ends[] = { "_exps", "_shexp", "_chexps" };
    size_t n = strlen(s);
    const char *dot = strchr(s, '.');

    if (dot && number_length(dot + 1) && number_length(dot + 1) == strlen(dot + 1))
        return (size_t)(dot - s);
    for (size_t i = 0; i < COUNT(ends); i++)
        if (ends_with(s, n, ends[i]))
            return n - strlen(ends[i]);
    return n;
}

enum mpq_role
mpq_name_role(const char *short_name)
{
    const char *rest;

    if (!strcmp(short_name, "token_embd"))
        return MPQ_ROLE_EMBED;
    if (!strcmp(short_name, "output"))
        return MPQ_ROLE_OUTPUT;
    if (parse_layer(short_name, "blk.", &rest) < 0)
        return MPQ_ROLE_OTHER;
    size_t n = without_expert(rest);
    for (size_t i = 0; i < COUNT(roles); i++)
        if (strlen(roles[i].name) == n && !memcmp(rest, roles[i].name, n))
            return roles[i].role;
    return MPQ_ROLE_OTHER;
}

int
mpq_role_is_linear(enum mpq_role role)
{
    return role >= MPQ_ROLE_Q && role <= MPQ_ROLE_GATE_UP;
}
