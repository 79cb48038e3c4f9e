#include "model/unconvert.h"

#include "base/text.h"
#include "fmt/json.h"
#include "model/net_own.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t
mpq_unconvert_row(uint64_t row, uint64_t head)
{
    const uint64_t k = row % head, half = head / 2;

    return row - k + (k < half ? 2 * k : 2 * (k - half) + 1);
}

static const struct arch {
    const char *gguf;
    enum mpq_net_arch arch;
    const char *type, *class;
    int is_sandwich;
} archs[] = {
    { "llama", MPQ_NET_LLAMA, "llama", "LlamaForCausalLM", 0 },
    { "qwen2", MPQ_NET_QWEN2, "qwen2", "Qwen2ForCausalLM", 0 },
    { "qwen3", MPQ_NET_QWEN3, "qwen3", "Qwen3ForCausalLM", 0 },
    { "gemma", MPQ_NET_GEMMA, "gemma", "GemmaForCausalLM", 0 },
    { "gemma2", MPQ_NET_GEMMA2, "gemma2", "Gemma2ForCausalLM", 1 },
    { "gemma3", MPQ_NET_GEMMA3, "gemma3_text", "Gemma3ForCausalLM", 1 },
};

/* What is known of the model. */
struct facts {
    const struct mpq_source *s;
    const struct arch *arch;
    struct mpq_net net;
    struct mpq_net_facts facts;
};

static int
fail(const struct facts *f, const char *what, struct mpq_err *err)
{
    return mpq_fail(err, MPQ_EDATA, "%s: %s: cannot become a Hugging Face folder",
                    mpq_source_name(f->s), what);
}

/* --- names ----------------------------------------------------------------------- */

static const struct {
    const char *gguf, *hf;
} names[] = {
    { "attn_norm", "input_layernorm" },
    { "attn_q", "self_attn.q_proj" },
    { "attn_k", "self_attn.k_proj" },
    { "attn_v", "self_attn.v_proj" },
    { "attn_output", "self_attn.o_proj" },
    { "attn_q_norm", "self_attn.q_norm" },
    { "attn_k_norm", "self_attn.k_norm" },
    { "post_attention_norm", "post_attention_layernorm" },
    { "post_ffw_norm", "post_feedforward_layernorm" },
    { "ffn_gate", "mlp.gate_proj" },
    { "ffn_up", "mlp.up_proj" },
    { "ffn_down", "mlp.down_proj" },
};

/* The name of a tensor of a block, BASE without ".bias"; NULL when there is none. */
static const char *
name_in_block(const struct facts *f, const char *base, size_t n)
{
    if (n == 8 && !strncmp(base, "ffn_norm", 8))
        return f->arch->is_sandwich ? "pre_feedforward_layernorm"
                                    : "post_attention_layernorm";
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strlen(names[i].gguf) == n && !strncmp(base, names[i].gguf, n))
            return names[i].hf;
    return NULL;
}

static int
put_name(const struct facts *f, const struct mpq_weight *w, char *dst, size_t size)
{
    const int is_bias = mpq_text_ends(w->name, ".bias");

    if (w->layer >= 0) {
        const char *base = strchr(w->name + 4, '.') + 1;
        const char *hf = name_in_block(f, base, strlen(base) - (is_bias ? 5 : 0));
        if (!hf)
            return -1;
        snprintf(dst, size, "model.layers.%d.%s.%s", w->layer, hf,
                 is_bias ? "bias" : "weight");
        return 0;
    }
    snprintf(dst, size, "%s",
             !strcmp(w->name, "token_embd")    ? "model.embed_tokens.weight"
             : !strcmp(w->name, "output_norm") ? "model.norm.weight"
             : !strcmp(w->name, "output")      ? "lm_head.weight"
                                               : "");
    return dst[0] ? 0 : -1;
}

static int
set_tensor(struct mpq_unconvert *u, const struct facts *f, size_t i,
           struct mpq_err *err)
{
    const struct mpq_weight *w = mpq_source_weight(f->s, i);
    struct mpq_unconverted *t = &u->tensors[i];
    char name[MPQ_SHORT_MAX + 64];

    if (!strcmp(w->name, "rope_freqs"))
        return 0;
    if (put_name(f, w, name, sizeof name) < 0) {
        snprintf(name, sizeof name, "tensor %s", w->name);
        return fail(f, name, err);
    }
    if (!(t->name = mpq_pool_strdup(&u->strings, name)))
        return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", mpq_source_name(f->s));
    if (f->arch->arch == MPQ_NET_LLAMA &&
        (strstr(w->name, ".attn_q") || strstr(w->name, ".attn_k")))
        t->head = f->net.head_dim;
    if (f->arch->arch >= MPQ_NET_GEMMA && mpq_text_ends(w->name, "_norm"))
        t->plus = -1;
    return 0;
}

/* --- config.json ----------------------------------------------------------------- */

static void
put_u64(struct mpq_buf *b, const char *key, uint64_t v)
{
    mpq_buf_printf(b, "  \"%s\": %" PRIu64 ",\n", key, v);
}

/* The fewest digits that give the same float: GGUF has no more. */
static void
put_f64(struct mpq_buf *b, const char *key, double v)
{
    char text[32];
    int digits = 1;

    if (v == floor(v) && fabs(v) < 1e15)
        snprintf(text, sizeof text, "%.1f", v);
    else
        do
            snprintf(text, sizeof text, "%.*g", digits, v);
        while ((float)strtod(text, NULL) != (float)v && digits++ < 9);
    mpq_buf_printf(b, "  \"%s\": %s,\n", key, text);
}

/* Does SPEC give these divisors? */
static int
gives(const struct facts *f, const struct mpq_rope_spec *spec, const float *divisor,
      size_t n)
{
    struct mpq_rope_spec plain = *spec;
    struct mpq_rope with = { 0 }, without = { 0 };
    int ok = 0;

    plain.kind = MPQ_ROPE_PLAIN;
    if (mpq_rope_make(&with, spec, f->net.head_dim, "", NULL) == 0 &&
        mpq_rope_make(&without, &plain, f->net.head_dim, "", NULL) == 0)
        ok = 1;
    for (size_t i = 0; ok && i < n; i++)
        ok = fabsf(without.freq[i] / with.freq[i] - divisor[i]) <= 1e-4f * divisor[i];
    free(with.freq);
    free(without.freq);
    return ok;
}

/* llama3's scaling that gives the divisors of rope_freqs: with the usual turns, for an
 * old context that is a power of two. */
static int
put_llama3(const struct facts *f, const struct mpq_weight *w, struct mpq_buf *b,
           struct mpq_err *err)
{
    const size_t n = f->net.rope.n_rot / 2;
    struct mpq_rope_spec spec = f->facts.rope;
    float *divisor = mpq_array(n, sizeof *divisor);
    int rc = -1;

    if (!divisor || n == 0 || w->cols != n || w->rows != 1) {
        fail(f, "rope_freqs", err);
        goto out;
    }
    if (mpq_source_read_rows(f->s, w, 0, 1, divisor, err) < 0)
        goto out;
    spec.kind = MPQ_ROPE_LLAMA3;
    spec.low = 1;
    spec.high = 4;
    spec.factor = (double)divisor[n - 1];
    spec.old_ctx = 8192; /* that of the models themselves, first */
    for (double ctx = 16; !gives(f, &spec, divisor, n); ctx *= 2) {
        spec.old_ctx = ctx;
        if (ctx > 1 << 20) {
            fail(f, "rope_freqs", err);
            goto out;
        }
    }
    mpq_buf_printf(b,
                   "  \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": %.9g, "
                   "\"low_freq_factor\": 1.0, \"high_freq_factor\": 4.0, "
                   "\"original_max_position_embeddings\": %.0f},\n",
                   spec.factor, spec.old_ctx);
    rc = 0;
out:
    free(divisor);
    return rc;
}

static int
put_rope(const struct facts *f, struct mpq_buf *b, struct mpq_err *err)
{
    const struct mpq_rope_spec *r = &f->facts.rope;
    const struct mpq_weight *freqs = mpq_source_find(f->s, "rope_freqs");

    put_f64(b, "rope_theta", r->base);
    if (f->net.rope.n_rot != f->net.head_dim)
        return fail(f, "a rotary embedding of a part of each head", err);
    if (f->facts.has_local)
        put_f64(b, "rope_local_base_freq", f->facts.local.base);
    if (freqs)
        return put_llama3(f, freqs, b, err);
    if (r->kind == MPQ_ROPE_LINEAR)
        mpq_buf_printf(
            b, "  \"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": %.9g},\n",
            r->factor);
    else if (r->kind != MPQ_ROPE_PLAIN)
        return fail(f, "its rotary embedding", err);
    return 0;
}

static void
put_windows(const struct facts *f, struct mpq_buf *b)
{
    if (!f->facts.window)
        return;
    put_u64(b, "sliding_window", f->facts.window);
    mpq_buf_adds(b, "  \"layer_types\": [");
    for (size_t l = 0; l < f->net.n_layer; l++)
        mpq_buf_printf(b, "%s\"%s_attention\"", l ? ", " : "",
                       f->net.window[l] ? "sliding" : "full");
    mpq_buf_adds(b, "],\n");
}

static void
put_gemma(const struct facts *f, struct mpq_buf *b)
{
    const double scale = (double)f->net.attn_scale;

    mpq_buf_adds(b, "  \"hidden_activation\": \"gelu_pytorch_tanh\",\n");
    if (f->arch->arch == MPQ_NET_GEMMA)
        return;
    mpq_buf_printf(b, "  \"query_pre_attn_scalar\": %.0f,\n", 1 / (scale * scale));
    if (f->net.attn_softcap != 0)
        put_f64(b, "attn_logit_softcapping", (double)f->net.attn_softcap);
    else
        mpq_buf_adds(b, "  \"attn_logit_softcapping\": null,\n");
    if (f->net.final_softcap != 0)
        put_f64(b, "final_logit_softcapping", (double)f->net.final_softcap);
    else
        mpq_buf_adds(b, "  \"final_logit_softcapping\": null,\n");
    put_windows(f, b);
}

/* A bias of the linears of llama is all or none. */
static int
put_biases(const struct facts *f, struct mpq_buf *b, struct mpq_err *err)
{
    const int q = mpq_source_find(f->s, "blk.0.attn_q.bias") != NULL,
              o = mpq_source_find(f->s, "blk.0.attn_output.bias") != NULL,
              up = mpq_source_find(f->s, "blk.0.ffn_up.bias") != NULL;

    if (f->arch->arch != MPQ_NET_LLAMA)
        return 0;
    if (q != o)
        return fail(f, "biases of attn_q, but not of attn_output", err);
    mpq_buf_printf(b, "  \"attention_bias\": %s,\n  \"mlp_bias\": %s,\n",
                   q ? "true" : "false", up ? "true" : "false");
    return 0;
}

static void
put_token(const struct facts *f, const char *key, const char *name, struct mpq_buf *b)
{
    uint64_t id;

    if (mpq_gguf_get_u64(mpq_source_keys(f->s), key, &id) > 0)
        put_u64(b, name, id);
}

static int
put_config(const struct facts *f, struct mpq_buf *b, struct mpq_err *err)
{
    const struct mpq_net *n = &f->net;
    const char *name = mpq_source_hparams(f->s)->name;

    mpq_buf_printf(b,
                   "{\n  \"architectures\": [\"%s\"],\n  \"model_type\": \"%s\",\n"
                   "  \"hidden_act\": \"%s\",\n",
                   f->arch->class, f->arch->type,
                   n->act == MPQ_ACT_SILU ? "silu" : "gelu_pytorch_tanh");
    if (name[0]) {
        mpq_buf_adds(b, "  \"_name_or_path\": ");
        mpq_json_quote(b, name, strlen(name));
        mpq_buf_adds(b, ",\n");
    }
    put_u64(b, "vocab_size", n->n_vocab);
    put_u64(b, "hidden_size", n->n_embd);
    put_u64(b, "intermediate_size", n->n_ff);
    put_u64(b, "num_hidden_layers", n->n_layer);
    put_u64(b, "num_attention_heads", n->n_head);
    put_u64(b, "num_key_value_heads", n->n_head_kv);
    put_u64(b, "head_dim", n->head_dim);
    if (n->n_ctx)
        put_u64(b, "max_position_embeddings", n->n_ctx);
    put_f64(b, "rms_norm_eps", (double)n->norm_eps);
    put_token(f, "tokenizer.ggml.bos_token_id", "bos_token_id", b);
    put_token(f, "tokenizer.ggml.eos_token_id", "eos_token_id", b);
    if (f->arch->arch >= MPQ_NET_GEMMA)
        put_gemma(f, b);
    if (put_rope(f, b, err) < 0 || put_biases(f, b, err) < 0)
        return -1;
    mpq_buf_printf(b, "  \"tie_word_embeddings\": %s\n}\n", n->tied ? "true" : "false");
    return b->failed
               ? mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", mpq_source_name(f->s))
               : 0;
}

/* --- all of it ------------------------------------------------------------------- */

int
mpq_unconvert_open(struct mpq_unconvert *out, const struct mpq_source *s,
                   struct mpq_err *err)
{
    static const struct mpq_rope_spec plain = {
        .factor = 1, .beta_fast = 32, .beta_slow = 1, .mix = 1, .gain = 1
    };
    struct facts f = { .s = s, .facts = { .rope = plain, .local = plain } };
    const char *arch = mpq_source_hparams(s)->arch;
    int rc = -1;

    *out = (struct mpq_unconvert){ 0 };
    for (size_t i = 0; i < sizeof archs / sizeof *archs; i++)
        if (!strcmp(arch, archs[i].gguf))
            f.arch = &archs[i];
    if (!f.arch)
        return mpq_fail(err, MPQ_EDATA,
                        "%s: architecture %s: cannot become a Hugging Face folder",
                        mpq_source_name(s), arch);
    f.facts.arch = f.arch->arch;
    f.facts.from_gguf = 1;
    out->tensors = mpq_array(mpq_source_count(s), sizeof *out->tensors);
    if (!out->tensors) {
        mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", mpq_source_name(s));
        goto out;
    }
    if (mpq_net_read(&f.net, s, err) < 0 || mpq_net_read_keys(&f.facts, s, err) < 0 ||
        put_config(&f, &out->config, err) < 0 ||
        mpq_unconvert_tokenizer(out, s, err) < 0)
        goto out;
    for (size_t i = 0; i < mpq_source_count(s); i++)
        if (set_tensor(out, &f, i, err) < 0)
            goto out;
    rc = 0;
out:
    free(f.facts.windowed);
    mpq_net_free(&f.net);
    if (rc < 0)
        mpq_unconvert_free(out);
    return rc;
}

void
mpq_unconvert_free(struct mpq_unconvert *u)
{
    free(u->tensors);
    mpq_buf_free(&u->config);
    mpq_buf_free(&u->tokenizer);
    mpq_buf_free(&u->tokenizer_config);
    mpq_pool_free(&u->strings);
    *u = (struct mpq_unconvert){ 0 };
}
