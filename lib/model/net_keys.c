/* The facts of a model from GGUF metadata, as llama.cpp reads them (llama-arch.cpp for
 * the names, models/NAME.cpp for what is left out). */
#include "base/buf.h"
#include "model/net_own.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct keys {
    const struct mpq_source *s;
    const struct mpq_gguf *g;
    struct mpq_err *err;
};

static void
full_name(const struct keys *k, const char *key, char *dst, size_t size)
{
    snprintf(dst, size, "%s.%s", mpq_source_hparams(k->s)->arch, key);
}

/* 1 when the key is there, else 0 and *out as it was. */
static int
number(const struct keys *k, const char *key, double *out)
{
    char name[160];

    full_name(k, key, name, sizeof name);
    int found = mpq_gguf_get_f64(k->g, name, out);
    if (found < 0 || (found && !isfinite(*out)))
        return mpq_fail(k->err, MPQ_EDATA, "%s: key %s: no finite number",
                        mpq_source_name(k->s), name);
    return found;
}

static int
whole(const struct keys *k, const char *key, uint64_t *out)
{
    char name[160];

    full_name(k, key, name, sizeof name);
    int found = mpq_gguf_get_u64(k->g, name, out);
    if (found < 0)
        return mpq_fail(k->err, MPQ_EDATA, "%s: key %s: no whole number",
                        mpq_source_name(k->s), name);
    return found;
}

static int
read_scaling(const struct keys *k, struct mpq_rope_spec *r)
{
    double factor = 0, log_mul = 0, attn = 1;
    char name[160], *type = NULL;
    int rc = -1;

    full_name(k, "rope.scaling.type", name, sizeof name);
    if (mpq_gguf_get_str(k->g, name, &type) < 0) {
        mpq_fail(k->err, MPQ_EDATA, "%s: key %s: no string", mpq_source_name(k->s),
                 name);
        goto out;
    }
    int found = number(k, "rope.scaling.factor", &factor);
    if (found < 0 || (!found && number(k, "rope.scale_linear", &factor) < 0))
        goto out;
    r->factor = factor;
    if (!type || strcmp(type, "linear") == 0) {
        r->kind = factor != 0 && factor != 1 ? MPQ_ROPE_LINEAR : MPQ_ROPE_PLAIN;
    } else if (strcmp(type, "yarn") == 0) {
        r->kind = MPQ_ROPE_YARN;
        r->old_ctx = (double)mpq_source_hparams(k->s)->n_ctx;
        if (number(k, "rope.scaling.original_context_length", &r->old_ctx) < 0 ||
            number(k, "rope.scaling.yarn_beta_fast", &r->beta_fast) < 0 ||
            number(k, "rope.scaling.yarn_beta_slow", &r->beta_slow) < 0 ||
            number(k, "rope.scaling.yarn_ext_factor", &r->mix) < 0 ||
            number(k, "rope.scaling.yarn_log_multiplier", &log_mul) < 0 ||
            number(k, "rope.scaling.attn_factor", &attn) < 0)
            goto out;
        const double grown = factor > 1 ? log(factor) / 10 : 0;
        r->gain = attn * (1 + grown) / (1 + log_mul * grown);
    } else if (strcmp(type, "none") != 0) {
        mpq_fail(k->err, MPQ_EDATA, "%s: key %s: rope type \"%.40s\" is not supported",
                 mpq_source_name(k->s), name, type);
        goto out;
    }
    rc = 0;
out:
    free(type);
    return rc;
}

/* attention.sliding_window_pattern: a number, or a flag for each layer. */
static int
read_pattern(const struct keys *k, struct mpq_net_facts *f)
{
    const uint64_t n_layer = mpq_source_hparams(k->s)->n_layer;
    char name[160];

    full_name(k, "attention.sliding_window_pattern", name, sizeof name);
    const struct mpq_gguf_kv *kv = mpq_gguf_kv_find(k->g, name);
    if (!kv || kv->type != MPQ_GGUF_ARR)
        return whole(k, "attention.sliding_window_pattern", &f->pattern);
    if (kv->count < n_layer)
        return mpq_fail(k->err, MPQ_EDATA,
                        "%s: key %s: %" PRIu64 " flags for %" PRIu64 " layers",
                        mpq_source_name(k->s), name, kv->count, n_layer);
    f->windowed = mpq_array((size_t)n_layer, 1);
    if (!f->windowed)
        return mpq_fail(k->err, MPQ_ENOMEM, "%s: out of memory", mpq_source_name(k->s));
    for (uint64_t i = 0; i < n_layer; i++) {
        uint64_t flag;
        if (kv->item_type == MPQ_GGUF_BOOL)
            flag = kv->data[i];
        else if (mpq_gguf_item_u64(kv, i, &flag) < 0)
            return mpq_fail(k->err, MPQ_EDATA, "%s: key %s: no flags",
                            mpq_source_name(k->s), name);
        f->windowed[i] = flag != 0;
    }
    return 0;
}

static int
read_windows(const struct keys *k, struct mpq_net_facts *f)
{
    if (f->arch != MPQ_NET_GEMMA2 && f->arch != MPQ_NET_GEMMA3)
        return 0;
    f->window = f->arch == MPQ_NET_GEMMA2 ? 4096 : 0;
    f->pattern = f->arch == MPQ_NET_GEMMA2 ? 2 : 6;
    if (whole(k, "attention.sliding_window", &f->window) < 0 || read_pattern(k, f) < 0)
        return -1;
    if (f->arch == MPQ_NET_GEMMA3) { /* not scaled */
        f->local.base = 10000;
        f->has_local = 1;
        if (number(k, "rope.freq_base_swa", &f->local.base) < 0)
            return -1;
    }
    return 0;
}

/* GGUF does not say that the 27B models divide by another number than head_dim:
 * llama.cpp tells them by their layers. */
static void
scale_of_27b(const struct keys *k, struct mpq_net_facts *f)
{
    const struct mpq_hparams *h = mpq_source_hparams(k->s);
    const uint64_t layers = f->arch == MPQ_NET_GEMMA2   ? 46
                            : f->arch == MPQ_NET_GEMMA3 ? 62
                                                        : 0;

    if (layers && h->n_layer == layers && h->n_head && h->n_embd >= h->n_head)
        f->attn_scale = 1 / sqrt((double)(h->n_embd / h->n_head));
}

int
mpq_net_read_keys(struct mpq_net_facts *f, const struct mpq_source *s,
                  struct mpq_err *err)
{
    const struct keys k = { s, mpq_source_keys(s), err };
    uint64_t experts = 0, value_length = mpq_source_hparams(s)->head_dim;

    f->act = f->arch >= MPQ_NET_GEMMA ? MPQ_ACT_GELU_TANH : MPQ_ACT_SILU;
    f->rope.base = 10000;
    if (whole(&k, "expert_count", &experts) < 0 ||
        number(&k, "attention.layer_norm_rms_epsilon", &f->eps) < 0 ||
        number(&k, "attn_logit_softcapping", &f->attn_softcap) < 0 ||
        number(&k, "final_logit_softcapping", &f->final_softcap) < 0 ||
        number(&k, "rope.freq_base", &f->rope.base) < 0 ||
        whole(&k, "rope.dimension_count", &f->rope.n_rot) < 0 ||
        whole(&k, "attention.value_length", &value_length) < 0 ||
        read_scaling(&k, &f->rope) < 0 || read_windows(&k, f) < 0)
        return -1;
    f->local.n_rot = f->rope.n_rot;
    if (experts)
        return mpq_fail(err, MPQ_EDATA,
                        "%s: a mixture of %" PRIu64
                        " experts: the forward pass has no mixtures yet",
                        mpq_source_name(s), experts);
    if (value_length != mpq_source_hparams(s)->head_dim)
        return mpq_fail(
            err, MPQ_EDATA, "%s: keys of %" PRIu64 " dimensions, values of %" PRIu64,
            mpq_source_name(s), mpq_source_hparams(s)->head_dim, value_length);
    if (f->arch == MPQ_NET_GEMMA2 && f->attn_softcap == 0)
        f->attn_softcap = 50;
    if (f->arch == MPQ_NET_GEMMA2 && f->final_softcap == 0)
        f->final_softcap = 30;
    scale_of_27b(&k, f);
    return 0;
}
