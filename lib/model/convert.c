#include "model/convert.h"

#include "base/buf.h"
#include "model/convert_own.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t
mpq_convert_row(uint64_t row, uint64_t head)
{
    const uint64_t k = row % head;

    return row - k + k / 2 + k % 2 * (head / 2);
}

int
mpq_convert_drops(const struct mpq_weight *w)
{
    /* as conversion/base.py filters them, as far as known architectures have them */
    static const char *const parts[] = { "vision_", "vision.",    "visual.",
                                         "audio_",  "projector.", "rotary_emb." };

    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (strstr(w->file_name, parts[i]))
            return 1;
    return 0;
}

static int
find_arch(const char *name, enum mpq_net_arch *out)
{
    static const struct {
        const char *name;
        enum mpq_net_arch arch;
    } archs[] = { { "llama", MPQ_NET_LLAMA },   { "qwen2", MPQ_NET_QWEN2 },
                  { "qwen3", MPQ_NET_QWEN3 },   { "gemma", MPQ_NET_GEMMA },
                  { "gemma2", MPQ_NET_GEMMA2 }, { "gemma3", MPQ_NET_GEMMA3 } };

    for (size_t i = 0; i < sizeof archs / sizeof *archs; i++)
        if (strcmp(name, archs[i].name) == 0) {
            *out = archs[i].arch;
            return 1;
        }
    return 0;
}

int
mpq_convert_knows(const struct mpq_source *s)
{
    enum mpq_net_arch arch;

    return !mpq_source_gguf(s) &&
           (mpq_source_keys(s) || find_arch(mpq_source_hparams(s)->arch, &arch));
}

static int
no_memory(const struct mpq_source *s, struct mpq_err *err)
{
    return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", mpq_source_name(s));
}

/* The configuration's word for what the shapes cannot tell. */
static int
check_config(const struct mpq_source *s, enum mpq_net_arch *arch, struct mpq_err *err)
{
    const struct mpq_hparams *h = mpq_source_hparams(s);
    const char *text, *missing = NULL;

    if (mpq_source_text(s, "config.json", &text, err) < 0)
        return -1;
    if (!text)
        return mpq_fail(err, MPQ_EDATA, "%s: no config.json: a GGUF needs what it says",
                        mpq_source_name(s));
    if (!h->arch[0])
        missing = "model_type";
    else if (!h->n_head)
        missing = "num_attention_heads";
    else if (!h->n_ctx && strcmp(h->arch, "gemma3") != 0)
        missing = "max_position_embeddings";
    if (missing)
        return mpq_fail(err, MPQ_EDATA, "%s: config.json: %s is missing",
                        mpq_source_name(s), missing);
    if (!find_arch(h->arch, arch))
        return mpq_fail(err, MPQ_EDATA,
                        "%s: architecture %s: mpq-pack turns llama, qwen2, qwen3, "
                        "gemma, gemma2 and gemma3 into GGUF: -f safetensors",
                        mpq_source_name(s), h->arch);
    return 0;
}

/* Tensors that the forward pass takes and llama.cpp does not. */
static int
check_place(const struct mpq_source *s, const struct mpq_weight *w,
            enum mpq_net_arch arch, struct mpq_err *err)
{
    static const char *const qkv[] = { "attn_q.bias", "attn_k.bias", "attn_v.bias" };
    const size_t n = strlen(w->name);
    int ok = arch == MPQ_NET_LLAMA || n < 5 || strcmp(w->name + n - 5, ".bias") != 0;

    for (size_t i = 0; !ok && i < 3; i++)
        ok = strstr(w->name, qkv[i]) != NULL;
    if (strcmp(w->name, "output") == 0)
        ok = arch != MPQ_NET_GEMMA && arch != MPQ_NET_GEMMA2;
    else if (w->layer < 0)
        ok = strcmp(w->name, "token_embd") == 0 || strcmp(w->name, "output_norm") == 0;
    if (!ok)
        return mpq_fail(err, MPQ_EDATA,
                        "%s: tensor %s: the GGUF of architecture %s has no place for "
                        "it: -f safetensors",
                        mpq_source_name(s), w->file_name, mpq_source_hparams(s)->arch);
    return 0;
}

static int
add_weight(struct mpq_convert *c, const struct mpq_convert_facts *f, size_t i,
           struct mpq_err *err)
{
    const struct mpq_source *s = f->source;
    const struct mpq_weight *w = mpq_source_weight(s, i);
    const size_t n = strlen(w->name);
    const int is_bias = n > 5 && strcmp(w->name + n - 5, ".bias") == 0;
    const int is_norm = !is_bias && n > 5 && strcmp(w->name + n - 5, "_norm") == 0;
    struct mpq_convert_tensor *t = &c->tensors[c->n];
    char name[MPQ_SHORT_MAX + 8];

    if (mpq_convert_drops(w))
        return 0;
    if (check_place(s, w, f->facts.arch, err) < 0)
        return -1;
    snprintf(name, sizeof name, "%s%s", w->name, is_bias ? "" : ".weight");
    *t = (struct mpq_convert_tensor){ .weight = w, .index = i };
    t->name = mpq_pool_strdup(&c->strings, name);
    if (!t->name)
        return no_memory(s, err);
    if (is_norm && f->net.norm_plus_one)
        t->plus = 1;
    if (f->facts.arch == MPQ_NET_LLAMA && !is_norm &&
        (strstr(w->name, ".attn_q") || strstr(w->name, ".attn_k")))
        t->head = f->net.head_dim;
    if (t->head && t->head > (w->is_matrix ? SIZE_MAX : MPQ_CONVERT_HEAD_MAX))
        return mpq_fail(err, MPQ_EDATA, "%s: tensor %s: heads of %" PRIu64 " values",
                        mpq_source_name(s), w->file_name, t->head);
    c->n++;
    return 0;
}

/* rope_freqs: what llama3's scaling divides each frequency by. */
static int
add_rope(struct mpq_convert *c, const struct mpq_convert_facts *f, struct mpq_err *err)
{
    const size_t n = f->net.rope.n_rot / 2;
    struct mpq_rope_spec spec = f->facts.rope;
    struct mpq_rope plain = { 0 };

    if (spec.kind != MPQ_ROPE_LLAMA3)
        return 0;
    spec.kind = MPQ_ROPE_PLAIN;
    c->made_values = mpq_array(n, sizeof *c->made_values);
    if (!c->made_values)
        return no_memory(f->source, err);
    if (mpq_rope_make(&plain, &spec, f->net.head_dim, mpq_source_name(f->source), err) <
        0)
        return -1;
    for (size_t i = 0; i < n; i++)
        c->made_values[i] = plain.freq[i] / f->net.rope.freq[i];
    free(plain.freq);
    c->made = (struct mpq_weight){ .name = "rope_freqs",
                                   .file_name = "rope_freqs.weight",
                                   .layer = -1,
                                   .rows = 1,
                                   .cols = n };
    c->made.tensor = (struct mpq_tensor){ .name = "rope_freqs.weight",
                                          .type = MPQ_TYPE(MPQ_F32),
                                          .n_dims = 1,
                                          .dim = { n },
                                          .n_elements = n,
                                          .size_bytes = n * sizeof(float),
                                          .data = (void *)c->made_values };
    c->tensors[c->n++] = (struct mpq_convert_tensor){ .name = "rope_freqs.weight",
                                                      .weight = &c->made,
                                                      .index = SIZE_MAX };
    return 0;
}

/* The metadata in H as bytes that a reader takes, which C keeps. */
static int
read_keys(struct mpq_convert *c, const struct mpq_source *s,
          const struct mpq_gguf_head *h, struct mpq_err *err)
{
    if (mpq_gguf_head_finish(h, &c->keys_bytes, err) < 0)
        return -1;
    const struct mpq_map map = { (const unsigned char *)c->keys_bytes.data,
                                 c->keys_bytes.len };
    return mpq_gguf_open(&c->keys, &map, mpq_source_name(s), err);
}

static int
from_config(struct mpq_convert *c, const struct mpq_source *s, struct mpq_err *err)
{
    static const struct mpq_rope_spec plain = {
        .factor = 1, .beta_fast = 32, .beta_slow = 1, .mix = 1, .gain = 1
    };
    struct mpq_convert_facts f = { .source = s,
                                   .arch = mpq_source_hparams(s)->arch,
                                   .facts = { .rope = plain, .local = plain } };
    struct mpq_gguf_head h;
    int rc = -1;

    mpq_gguf_head_init(&h, MPQ_CONVERT_ALIGNMENT);
    if (check_config(s, &f.facts.arch, err) < 0 || mpq_net_read(&f.net, s, err) < 0 ||
        mpq_net_read_config(&f.facts, s, err) < 0 ||
        mpq_convert_put_keys(&h, &f, err) < 0 ||
        mpq_convert_put_tokenizer(&h, s, f.net.n_vocab, err) < 0 ||
        add_rope(c, &f, err) < 0 || read_keys(c, s, &h, err) < 0 ||
        mpq_convert_check_keys(c, &f, err) < 0)
        goto out;
    for (size_t i = 0; i < mpq_source_count(s); i++)
        if (add_weight(c, &f, i, err) < 0)
            goto out;
    rc = 0;
out:
    mpq_gguf_head_free(&h);
    free(f.facts.windowed);
    mpq_net_free(&f.net);
    return rc;
}

/* A container of a GGUF: all of it is there. */
static int
from_keys(struct mpq_convert *c, const struct mpq_source *s, struct mpq_err *err)
{
    const struct mpq_gguf *keys = mpq_source_keys(s);
    struct mpq_gguf_head h;

    mpq_gguf_head_init(&h, MPQ_CONVERT_ALIGNMENT);
    for (size_t i = 0; i < mpq_gguf_kv_count(keys); i++)
        if (strcmp(mpq_gguf_kv_at(keys, i)->key, "general.alignment") != 0)
            mpq_gguf_put_raw(&h, mpq_gguf_kv_at(keys, i));
    for (; c->n < mpq_source_count(s); c->n++) {
        const struct mpq_weight *w = mpq_source_weight(s, c->n);
        c->tensors[c->n] = (struct mpq_convert_tensor){ w->file_name, w, c->n, 0, 0 };
    }
    int rc = read_keys(c, s, &h, err);
    mpq_gguf_head_free(&h);
    return rc;
}

int
mpq_convert_open(struct mpq_convert *out, const struct mpq_source *s,
                 struct mpq_err *err)
{
    int rc = -1;

    *out = (struct mpq_convert){ 0 };
    out->tensors = mpq_array(mpq_source_count(s) + 1, sizeof *out->tensors);
    if (!out->tensors)
        no_memory(s, err);
    else
        rc = mpq_source_keys(s) ? from_keys(out, s, err) : from_config(out, s, err);
    if (rc < 0)
        mpq_convert_free(out);
    return rc;
}

void
mpq_convert_free(struct mpq_convert *c)
{
    mpq_gguf_free(c->keys);
    mpq_buf_free(&c->keys_bytes);
    free(c->tensors);
    free(c->made_values);
    mpq_pool_free(&c->strings);
    *c = (struct mpq_convert){ 0 };
}
