/* The facts of a model from config.json, with the defaults of the classes in Hugging
 * Face's transformers where a key is left out. */
#include "base/buf.h"
#include "fmt/json.h"
#include "model/net_own.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct config {
    const struct mpq_source *s;
    const struct mpq_json *root, *text; /* of all, of the language model's part or NULL
                                         */
    struct mpq_err *err;
};

static const struct mpq_json *
value(const struct config *c, const char *key)
{
    const struct mpq_json *v = mpq_json_get(c->text, key);

    return v ? v : mpq_json_get(c->root, key);
}

/* A number of V into *out, which stays where there is none. 1 when there was one. */
static int
number_of(const struct config *c, const struct mpq_json *v, const char *key,
          double *out)
{
    int found = mpq_json_f64(mpq_json_get(v, key), out);

    if (found < 0 || (found && !isfinite(*out)))
        return mpq_fail(c->err, MPQ_EDATA, "%s: config.json: %s: no finite number",
                        mpq_source_name(c->s), key);
    return found;
}

static int
number(const struct config *c, const char *key, double *out)
{
    return number_of(c, mpq_json_get(c->text, key) ? c->text : c->root, key, out);
}

static int
whole(const struct config *c, const char *key, uint64_t *out)
{
    int found = mpq_json_u64(value(c, key), out);

    if (found < 0)
        return mpq_fail(c->err, MPQ_EDATA, "%s: config.json: %s: no whole number",
                        mpq_source_name(c->s), key);
    return found;
}

static int
read_yarn(const struct config *c, const struct mpq_json *v, struct mpq_rope_spec *r)
{
    double mscale = 0, all = 0;
    int round = 1;

    r->kind = MPQ_ROPE_YARN;
    const double grown = r->factor > 1 ? log(r->factor) / 10 : 0;
    r->gain = 1 + grown;
    int gain = number_of(c, v, "attention_factor", &r->gain);
    if (gain < 0 || number_of(c, v, "beta_fast", &r->beta_fast) < 0 ||
        number_of(c, v, "beta_slow", &r->beta_slow) < 0 ||
        number_of(c, v, "mscale", &mscale) < 0 ||
        number_of(c, v, "mscale_all_dim", &all) < 0)
        return -1;
    if (!gain && mscale != 0 && all != 0)
        r->gain = (1 + mscale * grown) / (1 + all * grown);
    if (mpq_json_bool(mpq_json_get(v, "truncate"), &round) < 0)
        return mpq_fail(c->err, MPQ_EDATA, "%s: config.json: truncate: no boolean",
                        mpq_source_name(c->s));
    r->no_rounding = !round;
    return 0;
}

/* The object of rope_scaling or rope_parameters: V; NULL is none. */
static int
read_rope(const struct config *c, const struct mpq_json *v, struct mpq_rope_spec *r)
{
    if (number_of(c, v, "rope_theta", &r->base) < 0 ||
        number_of(c, v, "partial_rotary_factor", &r->part) < 0)
        return -1;
    const char *type = mpq_json_str(mpq_json_get(v, "rope_type"), NULL);
    if (!type)
        type = mpq_json_str(mpq_json_get(v, "type"), NULL);
    if (!type || !strcmp(type, "default"))
        return 0;
    r->old_ctx = (double)mpq_source_hparams(c->s)->n_ctx;
    if (number(c, "original_max_position_embeddings", &r->old_ctx) < 0 ||
        number_of(c, v, "original_max_position_embeddings", &r->old_ctx) < 0 ||
        number_of(c, v, "factor", &r->factor) < 0)
        return -1;
    if (!strcmp(type, "linear")) {
        r->kind = MPQ_ROPE_LINEAR;
        return 0;
    }
    if (!strcmp(type, "llama3")) {
        r->kind = MPQ_ROPE_LLAMA3;
        if (number_of(c, v, "low_freq_factor", &r->low) < 0 ||
            number_of(c, v, "high_freq_factor", &r->high) < 0)
            return -1;
        return 0;
    }
    if (!strcmp(type, "yarn"))
        return read_yarn(c, v, r);
    return mpq_fail(c->err, MPQ_EDATA,
                    "%s: config.json: rope type \"%.40s\" is not supported",
                    mpq_source_name(c->s), type);
}

static int
read_ropes(const struct config *c, struct mpq_net_facts *f)
{
    const struct mpq_json *v = value(c, "rope_parameters");

    f->rope.base = f->arch == MPQ_NET_GEMMA3 ? 1e6 : 10000;
    f->local.base = 10000;
    f->has_local = f->arch == MPQ_NET_GEMMA3;
    if (!mpq_json_is_object(v))
        v = value(c, "rope_scaling");
    if (number(c, "rope_theta", &f->rope.base) < 0 ||
        number(c, "rope_local_base_freq", &f->local.base) < 0 ||
        number(c, "partial_rotary_factor", &f->rope.part) < 0)
        return -1;
    f->local.part = f->rope.part;
    const struct mpq_json *full = mpq_json_get(v, "full_attention");
    if (!full)
        return read_rope(c, v, &f->rope);
    f->has_local = 1;
    if (read_rope(c, full, &f->rope) < 0 ||
        read_rope(c, mpq_json_get(v, "sliding_attention"), &f->local) < 0)
        return -1;
    return 0;
}

/* layer_types, where the newer configurations say which layers have a window. */
static int
read_layer_types(const struct config *c, struct mpq_net_facts *f)
{
    const struct mpq_json *list = value(c, "layer_types");
    const uint64_t n_layer = mpq_source_hparams(c->s)->n_layer;

    if (!mpq_json_is_array(list))
        return 0;
    if (mpq_json_count(list) < n_layer)
        return mpq_fail(c->err, MPQ_EDATA,
                        "%s: config.json: layer_types: %zu for %" PRIu64 " layers",
                        mpq_source_name(c->s), mpq_json_count(list), n_layer);
    f->windowed = mpq_array((size_t)n_layer, 1);
    if (!f->windowed)
        return mpq_fail(c->err, MPQ_ENOMEM, "%s: out of memory", mpq_source_name(c->s));
    for (size_t i = 0; i < n_layer; i++) {
        const char *type = mpq_json_str(mpq_json_item(list, i), NULL);
        if (!type ||
            (strcmp(type, "full_attention") && strcmp(type, "sliding_attention")))
            return mpq_fail(c->err, MPQ_EDATA,
                            "%s: config.json: layer_types: \"%.40s\" is not supported",
                            mpq_source_name(c->s), type ? type : "");
        f->windowed[i] = type[0] == 's';
    }
    return 0;
}

static int
read_windows(const struct config *c, struct mpq_net_facts *f)
{
    const uint64_t n_layer = mpq_source_hparams(c->s)->n_layer;
    uint64_t first = n_layer;
    int use = 1;

    if (f->arch == MPQ_NET_GEMMA2 || f->arch == MPQ_NET_GEMMA3) {
        f->window = 4096;
        f->pattern = f->arch == MPQ_NET_GEMMA2 ? 2 : 6;
    }
    if (whole(c, "sliding_window", &f->window) < 0 ||
        whole(c, "_sliding_window_pattern", &f->pattern) < 0 ||
        whole(c, "sliding_window_pattern", &f->pattern) < 0 ||
        read_layer_types(c, f) < 0)
        return -1;
    if (f->arch != MPQ_NET_QWEN2 && f->arch != MPQ_NET_QWEN3)
        return 0;
    use = 0; /* there it is said apart, and begins at a layer */
    if (mpq_json_bool(value(c, "use_sliding_window"), &use) < 0)
        return mpq_fail(c->err, MPQ_EDATA,
                        "%s: config.json: use_sliding_window: no boolean",
                        mpq_source_name(c->s));
    if (!use)
        f->window = 0;
    if (!f->window || f->windowed)
        return 0;
    if (whole(c, "max_window_layers", &first) < 0)
        return -1;
    f->windowed = mpq_array((size_t)n_layer, 1);
    if (!f->windowed)
        return mpq_fail(c->err, MPQ_ENOMEM, "%s: out of memory", mpq_source_name(c->s));
    for (uint64_t i = first; i < n_layer; i++)
        f->windowed[i] = 1;
    return 0;
}

static int
read_activation(const struct config *c, struct mpq_net_facts *f)
{
    const int gemma = f->arch >= MPQ_NET_GEMMA;
    const char *act = mpq_json_str(value(c, "hidden_activation"), NULL);

    if (!act) { /* Gemma's hidden_act says gelu where the tanh form is meant */
        act = mpq_json_str(value(c, "hidden_act"), NULL);
        if (gemma && act && !strcmp(act, "gelu"))
            act = NULL;
    }
    if (!act)
        act = gemma ? "gelu_pytorch_tanh" : "silu";
    if (!strcmp(act, "silu") || !strcmp(act, "swish"))
        f->act = MPQ_ACT_SILU;
    else if (!strcmp(act, "gelu_pytorch_tanh") || !strcmp(act, "gelu_new") ||
             !strcmp(act, "gelu_fast"))
        f->act = MPQ_ACT_GELU_TANH;
    else
        return mpq_fail(c->err, MPQ_EDATA,
                        "%s: config.json: activation \"%.40s\" is not supported",
                        mpq_source_name(c->s), act);
    return 0;
}

static int
read_all(const struct config *c, struct mpq_net_facts *f)
{
    static const char *const experts[] = { "num_local_experts", "num_experts",
                                           "n_routed_experts" };
    double scalar = 0;

    f->eps = 1e-6;
    if (f->arch == MPQ_NET_GEMMA2) {
        f->attn_softcap = 50;
        f->final_softcap = 30;
    }
    if (f->arch == MPQ_NET_GEMMA2 || f->arch == MPQ_NET_GEMMA3)
        scalar = 256;
    for (size_t i = 0; i < sizeof experts / sizeof *experts; i++) {
        uint64_t n = 0;
        if (whole(c, experts[i], &n) < 0)
            return -1;
        if (n > 1)
            return mpq_fail(c->err, MPQ_EDATA,
                            "%s: a mixture of %" PRIu64
                            " experts: the forward pass has no mixtures yet",
                            mpq_source_name(c->s), n);
    }
    /* null: none */
    if (mpq_json_get(c->text ? c->text : c->root, "attn_logit_softcapping"))
        f->attn_softcap = 0;
    if (mpq_json_get(c->text ? c->text : c->root, "final_logit_softcapping"))
        f->final_softcap = 0;
    if (number(c, "rms_norm_eps", &f->eps) < 0 ||
        number(c, "query_pre_attn_scalar", &scalar) < 0 ||
        number(c, "attn_logit_softcapping", &f->attn_softcap) < 0 ||
        number(c, "final_logit_softcapping", &f->final_softcap) < 0 ||
        read_ropes(c, f) < 0 || read_windows(c, f) < 0 || read_activation(c, f) < 0)
        return -1;
    if (scalar < 0)
        return mpq_fail(c->err, MPQ_EDATA,
                        "%s: config.json: query_pre_attn_scalar: %g is below 0",
                        mpq_source_name(c->s), scalar);
    if (scalar > 0)
        f->attn_scale = 1 / sqrt(scalar);
    return 0;
}

int
mpq_net_read_config(struct mpq_net_facts *f, const struct mpq_source *s,
                    struct mpq_err *err)
{
    static const char *const parts[] = { "text_config", "llm_config",
                                         "language_config" };
    struct config c = { .s = s, .err = err };
    struct mpq_json *root = NULL;
    const char *text;
    int rc = -1;

    if (mpq_source_text(s, "config.json", &text, err) < 0)
        return -1;
    if (!text)
        return mpq_fail(err, MPQ_EDATA, "%s: has no config.json", mpq_source_name(s));
    if (mpq_json_parse(&root, text, strlen(text), mpq_source_name(s), err) == 0) {
        c.root = root;
        for (size_t i = 0; !c.text && i < sizeof parts / sizeof *parts; i++)
            c.text = mpq_json_get(root, parts[i]);
        rc = read_all(&c, f);
    }
    mpq_json_free(root);
    return rc;
}
