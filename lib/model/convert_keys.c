/* Hyper-parameters as GGUF keys, and what they say read back. */
#include "base/buf.h"
#include "model/convert_own.h"
#include "model/source_own.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct writer {
    struct mpq_gguf_head *h;
    const char *arch;
    char name[160];
};

static const char *
key(struct writer *w, const char *tail)
{
    snprintf(w->name, sizeof w->name, "%s.%s", w->arch, tail);
    return w->name;
}

static void
put_n(struct writer *w, const char *tail, uint64_t v)
{
    mpq_gguf_put_u32(w->h, key(w, tail), (uint32_t)v);
}

static void
put_real(struct writer *w, const char *tail, double v)
{
    mpq_gguf_put_f32(w->h, key(w, tail), (float)v);
}

static void
put_text(struct mpq_gguf_head *h, const char *name, const char *text)
{
    mpq_gguf_put_str(h, name, text, strlen(text));
}

static void
put_rope(struct writer *w, const struct mpq_convert_facts *f)
{
    const struct mpq_rope_spec *r = &f->facts.rope;

    put_n(w, "rope.dimension_count", f->net.rope.n_rot);
    put_real(w, "rope.freq_base", r->base);
    if (f->facts.has_local)
        put_real(w, "rope.freq_base_swa", f->facts.local.base);
    if (r->kind == MPQ_ROPE_LINEAR) {
        put_text(w->h, key(w, "rope.scaling.type"), "linear");
        put_real(w, "rope.scaling.factor", r->factor);
    }
    if (r->kind != MPQ_ROPE_YARN)
        return;
    put_text(w->h, key(w, "rope.scaling.type"), "yarn");
    put_real(w, "rope.scaling.factor", r->factor);
    put_n(w, "rope.scaling.original_context_length", (uint64_t)r->old_ctx);
    put_real(w, "rope.scaling.yarn_beta_fast", r->beta_fast);
    put_real(w, "rope.scaling.yarn_beta_slow", r->beta_slow);
    /* llama.cpp multiplies by yarn's own factor, which r->gain has in it */
    const double own = r->factor > 1 ? 1 + log(r->factor) / 10 : 1;
    if (fabs(r->gain / own - 1) > 1e-6)
        put_real(w, "rope.scaling.attn_factor", r->gain / own);
}

/* How often a layer without a window comes, if they come regularly; else 0. */
static size_t
period(const struct mpq_net *net)
{
    size_t n = 0;

    while (n < net->n_layer && net->window[n])
        n++;
    for (size_t i = 0; i < net->n_layer; i++)
        if ((net->window[i] == 0) != ((i + 1) % (n + 1) == 0))
            return 0;
    return n + 1;
}

static int
put_windows(struct writer *w, const struct mpq_convert_facts *f, struct mpq_err *err)
{
    const struct mpq_net *net = &f->net;
    const size_t usual = f->facts.arch == MPQ_NET_GEMMA2 ? 2 : 6;

    if (f->facts.arch != MPQ_NET_GEMMA2 && f->facts.arch != MPQ_NET_GEMMA3)
        return 0;
    put_n(w, "attention.sliding_window", f->facts.window);
    const size_t every = period(net);
    if (every == usual || (every > net->n_layer && usual > net->n_layer))
        return 0; /* as llama.cpp takes it */
    unsigned char *flags = mpq_array(net->n_layer, 1);
    if (!flags)
        return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory",
                        mpq_source_name(f->source));
    for (size_t i = 0; i < net->n_layer; i++)
        flags[i] = net->window[i] != 0;
    mpq_gguf_put_array(w->h, key(w, "attention.sliding_window_pattern"), MPQ_GGUF_BOOL,
                       flags, 1, net->n_layer);
    free(flags);
    return 0;
}

int
mpq_convert_put_keys(struct mpq_gguf_head *h, const struct mpq_convert_facts *f,
                     struct mpq_err *err)
{
    const struct mpq_hparams *hp = mpq_source_hparams(f->source);
    struct writer w = { .h = h, .arch = f->arch };

    if (hp->n_ctx > UINT32_MAX || !(f->facts.rope.old_ctx < 4294967296.0))
        return mpq_fail(err, MPQ_EDATA, "%s: config.json: a context of more than 2^32",
                        mpq_source_name(f->source));

    put_text(h, "general.architecture", f->arch);
    put_text(h, "general.type", "model");
    put_text(h, "general.name", hp->name);
    put_n(&w, "block_count", f->net.n_layer);
    put_n(&w, "context_length", hp->n_ctx ? hp->n_ctx : 131072); /* gemma3's default */
    put_n(&w, "embedding_length", f->net.n_embd);
    put_n(&w, "feed_forward_length", f->net.n_ff);
    put_n(&w, "attention.head_count", f->net.n_head);
    put_n(&w, "attention.head_count_kv", f->net.n_head_kv);
    put_n(&w, "attention.key_length", f->net.head_dim);
    put_n(&w, "attention.value_length", f->net.head_dim);
    put_real(&w, "attention.layer_norm_rms_epsilon", f->facts.eps);
    put_rope(&w, f);
    if (f->facts.attn_softcap > 0)
        put_real(&w, "attn_logit_softcapping", f->facts.attn_softcap);
    if (f->facts.final_softcap > 0)
        put_real(&w, "final_logit_softcapping", f->facts.final_softcap);
    if (put_windows(&w, f, err) < 0)
        return -1;
    put_n(&w, "vocab_size", f->net.n_vocab);
    mpq_gguf_put_u32(h, "general.file_type", 0);
    mpq_gguf_put_u32(h, "general.quantization_version", 2);
    return 0;
}

static int
is_near(double a, double b)
{
    return fabs(a - b) <= 1e-5 * fmax(fabs(a), fabs(b));
}

/* What of the two differs, in config.json's words; NULL: nothing that matters. */
static const char *
difference(const struct mpq_convert_facts *f, const struct mpq_net_facts *keys)
{
    const double usual = 1 / sqrt((double)f->net.head_dim);
    const struct mpq_net_facts *config = &f->facts;

    if (!is_near(config->attn_scale > 0 ? config->attn_scale : usual,
                 keys->attn_scale > 0 ? keys->attn_scale : usual))
        return "query_pre_attn_scalar";
    if (!is_near(config->attn_softcap, keys->attn_softcap))
        return "attn_logit_softcapping";
    if (!is_near(config->final_softcap, keys->final_softcap))
        return "final_logit_softcapping";
    if (config->act != keys->act)
        return "hidden_act";
    if (!is_near(config->eps, keys->eps))
        return "rms_norm_eps";
    return NULL;
}

/* The same for a rotary embedding. HAS_FACTORS: the made tensor divides it. */
static int
same_rope(const struct mpq_convert *c, const struct mpq_convert_facts *f,
          const struct mpq_rope *want, const struct mpq_rope_spec *spec,
          int has_factors, struct mpq_err *err)
{
    struct mpq_rope got = { 0 };

    if (mpq_rope_make(&got, spec, f->net.head_dim, mpq_source_name(f->source), err) < 0)
        return -1;
    int same = got.n_rot == want->n_rot && is_near(got.gain, want->gain);
    /* neighbors of a head turn together, so all of it must */
    if (f->facts.arch == MPQ_NET_LLAMA && got.n_rot != f->net.head_dim)
        same = 0;
    for (size_t i = 0; same && i < got.n_rot / 2; i++)
        same =
            is_near(got.freq[i] / (has_factors ? c->made_values[i] : 1), want->freq[i]);
    free(got.freq);
    return same;
}

static int
check_ropes(struct mpq_convert *c, const struct mpq_convert_facts *f,
            const struct mpq_net_facts *keys, struct mpq_err *err)
{
    const int local = f->net.rope_local.freq != NULL;
    int same = same_rope(c, f, &f->net.rope, &keys->rope, c->made_values != NULL, err);

    if (same > 0 && local)
        same = same_rope(c, f, &f->net.rope_local, &keys->local, 0, err);
    if (same == 0)
        return mpq_fail(err, MPQ_EDATA,
                        "%s: config.json: a GGUF of architecture %s cannot say this "
                        "rotary embedding (rope_scaling, partial_rotary_factor): "
                        "-f safetensors",
                        mpq_source_name(f->source), f->arch);
    return same < 0 ? -1 : 0;
}

/* llama.cpp knows windows of Gemma 2 and 3 alone; those of Mistral and Qwen, which the
 * released models hardly use, are left out there too. */
static int
check_windows(struct mpq_convert *c, const struct mpq_convert_facts *f,
              const struct mpq_net_facts *keys, struct mpq_err *err)
{
    for (size_t i = 0; i < f->net.n_layer; i++) {
        const int windowed = keys->windowed
                                 ? keys->windowed[i]
                                 : !keys->pattern || (i + 1) % keys->pattern != 0;
        const size_t window = windowed ? (size_t)keys->window : 0;
        if (f->net.window[i] == window)
            continue;
        if (f->facts.arch >= MPQ_NET_GEMMA)
            return mpq_fail(err, MPQ_EDATA,
                            "%s: config.json: sliding_window: a GGUF cannot say it of "
                            "layer %zu: -f safetensors",
                            mpq_source_name(f->source), i);
        if (f->net.n_ctx && f->net.window[i] >= f->net.n_ctx)
            continue;
        snprintf(c->note, sizeof c->note,
                 "a GGUF of architecture %s has no sliding window: with more than %zu "
                 "tokens it is another model",
                 f->arch, f->net.window[i]);
        return 0;
    }
    return 0;
}

int
mpq_convert_check_keys(struct mpq_convert *c, const struct mpq_convert_facts *f,
                       struct mpq_err *err)
{
    struct mpq_source as_read = { .name = (char *)(uintptr_t)mpq_source_name(f->source),
                                  .keys = c->keys,
                                  .hparams = *mpq_source_hparams(f->source) };
    static const struct mpq_rope_spec plain = {
        .factor = 1, .beta_fast = 32, .beta_slow = 1, .mix = 1, .gain = 1
    };
    struct mpq_net_facts keys = {
        .arch = f->facts.arch, .from_gguf = 1, .rope = plain, .local = plain
    };
    int rc = -1;

    /* the sizes that some facts follow from, as the new keys have them */
    as_read.hparams.head_dim = f->net.head_dim;
    if (mpq_net_read_keys(&keys, &as_read, err) < 0)
        goto out;
    const char *what = difference(f, &keys);
    if (what) {
        mpq_fail(err, MPQ_EDATA,
                 "%s: config.json: %s: llama.cpp's %s would compute with another: "
                 "-f safetensors",
                 mpq_source_name(f->source), what, f->arch);
        goto out;
    }
    if (check_ropes(c, f, &keys, err) < 0 || check_windows(c, f, &keys, err) < 0)
        goto out;
    rc = 0;
out:
    free(keys.windowed);
    return rc;
}
