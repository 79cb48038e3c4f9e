#include "model/net_own.h"

#include "base/buf.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    enum mpq_net_arch arch;
} archs[] = {
    { "llama", MPQ_NET_LLAMA },   { "qwen2", MPQ_NET_QWEN2 },
    { "qwen3", MPQ_NET_QWEN3 },   { "gemma", MPQ_NET_GEMMA },
    { "gemma2", MPQ_NET_GEMMA2 }, { "gemma3", MPQ_NET_GEMMA3 },
};

static int
find_arch(const struct mpq_source *s, enum mpq_net_arch *out, struct mpq_err *err)
{
    const char *name = mpq_source_hparams(s)->arch;

    for (size_t i = 0; i < sizeof archs / sizeof *archs; i++)
        if (!strcmp(name, archs[i].name)) {
            *out = archs[i].arch;
            return 0;
        }
    if (!*name)
        return mpq_fail(err, MPQ_EDATA,
                        "%s: nothing tells the architecture (no config.json?)",
                        mpq_source_name(s));
    return mpq_fail(err, MPQ_EDATA,
                    "%s: architecture %s: the forward pass knows llama, qwen2, qwen3,"
                    " gemma, gemma2 and gemma3",
                    mpq_source_name(s), name);
}

/* A size that BLAS can count. */
static int
put_size(size_t *out, uint64_t v, const char *what, const struct mpq_source *s,
         struct mpq_err *err)
{
    if (v == 0 || v > INT_MAX)
        return mpq_fail(err, MPQ_EDATA, "%s: %s is %" PRIu64, mpq_source_name(s), what,
                        v);
    *out = (size_t)v;
    return 0;
}

static int
read_sizes(struct mpq_net *net, const struct mpq_source *s, struct mpq_err *err)
{
    const struct mpq_hparams *h = mpq_source_hparams(s);
    const struct mpq_weight *embed = mpq_source_find(s, "token_embd");

    if (!embed)
        return mpq_fail(err, MPQ_EDATA, "%s: tensor token_embd is missing",
                        mpq_source_name(s));
    if (embed->tensor.n_dims != 2)
        return mpq_fail(err, MPQ_EDATA, "%s: tensor %s: has %u dimensions, not 2",
                        mpq_source_name(s), embed->file_name, embed->tensor.n_dims);
    if (put_size(&net->n_layer, h->n_layer, "the number of layers", s, err) < 0 ||
        put_size(&net->n_embd, h->n_embd, "the width", s, err) < 0 ||
        put_size(&net->n_head, h->n_head, "the number of heads", s, err) < 0 ||
        put_size(&net->n_head_kv, h->n_head_kv, "the number of key heads", s, err) <
            0 ||
        put_size(&net->head_dim, h->head_dim, "the size of a head", s, err) < 0 ||
        put_size(&net->n_ff, h->n_ff, "the width of the feed-forward", s, err) < 0 ||
        put_size(&net->n_vocab, embed->rows, "the size of the vocabulary", s, err) < 0)
        return -1;
    net->n_ctx = h->n_ctx < SIZE_MAX ? (size_t)h->n_ctx : 0;
    net->tied = h->tied;
    if (net->n_head % net->n_head_kv)
        return mpq_fail(err, MPQ_EDATA, "%s: %zu heads share %zu key heads",
                        mpq_source_name(s), net->n_head, net->n_head_kv);
    if ((uint64_t)net->n_head * net->head_dim > INT_MAX)
        return mpq_fail(err, MPQ_EDATA, "%s: %zu heads of %zu", mpq_source_name(s),
                        net->n_head, net->head_dim);
    return 0;
}

/* ROWS 0: a vector of COLS. */
static int
check_shape(const struct mpq_source *s, const struct mpq_weight *w, size_t rows,
            size_t cols, struct mpq_err *err)
{
    const struct mpq_tensor *t = &w->tensor;

    if (rows ? t->n_dims == 2 && w->rows == rows && w->cols == cols
             : t->n_elements == cols && w->cols == cols)
        return 0;
    if (rows && t->n_dims > 2)
        return mpq_fail(err, MPQ_EDATA,
                        "%s: tensor %s: has %u dimensions, the hyper-parameters ask "
                        "for a matrix of %zu x %zu",
                        mpq_source_name(s), w->file_name, t->n_dims, rows, cols);
    if (rows)
        return mpq_fail(err, MPQ_EDATA,
                        "%s: tensor %s: %" PRIu64 " x %" PRIu64
                        ", the hyper-parameters ask for %zu x %zu",
                        mpq_source_name(s), w->file_name, w->rows, w->cols, rows, cols);
    return mpq_fail(err, MPQ_EDATA,
                    "%s: tensor %s: %" PRIu64 " x %" PRIu64
                    ", the hyper-parameters ask for a vector of %zu",
                    mpq_source_name(s), w->file_name, w->rows, w->cols, cols);
}

/* The tensors of a block: what the pass takes. */
struct need {
    const char *name;
    size_t rows, cols; /* rows 0: a vector */
    int optional;
};
enum { MAX_NEEDS = 24 };

static size_t
list_needs(const struct mpq_net *net, struct need needs[MAX_NEEDS])
{
    const size_t d = net->n_embd, q = net->n_head * net->head_dim;
    const size_t kv = net->n_head_kv * net->head_dim, ff = net->n_ff;
    const struct need all[] = {
        { "attn_norm", 0, d, 0 },
        { "attn_q", q, d, 0 },
        { "attn_k", kv, d, 0 },
        { "attn_v", kv, d, 0 },
        { "attn_output", d, q, 0 },
        { "attn_q.bias", 0, q, 1 },
        { "attn_k.bias", 0, kv, 1 },
        { "attn_v.bias", 0, kv, 1 },
        { "attn_output.bias", 0, d, 1 },
        { "ffn_norm", 0, d, 0 },
        { "ffn_gate", ff, d, 0 },
        { "ffn_up", ff, d, 0 },
        { "ffn_down", d, ff, 0 },
        { "ffn_gate.bias", 0, ff, 1 },
        { "ffn_up.bias", 0, ff, 1 },
        { "ffn_down.bias", 0, d, 1 },
        { "attn_q_norm", 0, net->head_dim, 0 },
        { "attn_k_norm", 0, net->head_dim, 0 },
        { "post_attention_norm", 0, d, 0 },
        { "post_ffw_norm", 0, d, 0 },
    };
    const size_t n_plain = 16;
    size_t n = 0;

    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (i < n_plain || (i < n_plain + 2 ? net->qk_norm : net->post_norms))
            needs[n++] = all[i];
    return n;
}

/* Frequencies that a checkpoint keeps beside its weights; they are worked out here. */
static int
is_left_out(const char *name)
{
    return strstr(name, "rotary_emb") || strstr(name, "rope_freqs");
}

static int
check_block(const struct mpq_source *s, size_t layer, const struct need *needs,
            size_t n, struct mpq_err *err)
{
    char name[MPQ_SHORT_MAX];

    for (size_t i = 0; i < n; i++) {
        snprintf(name, sizeof name, "blk.%zu.%s", layer, needs[i].name);
        const struct mpq_weight *w = mpq_source_find(s, name);
        if (!w && !needs[i].optional)
            return mpq_fail(err, MPQ_EDATA, "%s: tensor %s is missing",
                            mpq_source_name(s), name);
        if (w && check_shape(s, w, needs[i].rows, needs[i].cols, err) < 0)
            return -1;
    }
    return 0;
}

/* A tensor of the blocks that the pass has no place for would make it another model. */
static int
check_unknown(const struct mpq_source *s, const struct need *needs, size_t n,
              struct mpq_err *err)
{
    for (size_t i = 0; i < mpq_source_count(s); i++) {
        const struct mpq_weight *w = mpq_source_weight(s, i);
        const char *rest = w->layer >= 0 ? strchr(w->name, '.') : NULL;
        int known = !rest || is_left_out(w->name);
        if (rest && !strncmp(w->name, "blk.", 4))
            rest = strchr(rest + 1, '.');
        for (size_t k = 0; !known && rest && k < n; k++)
            known = !strcmp(rest + 1, needs[k].name);
        if (!known && strstr(w->name, "ffn_gate_inp"))
            return mpq_fail(err, MPQ_EDATA,
                            "%s: tensor %s: a mixture of experts: the forward pass has"
                            " no mixtures yet",
                            mpq_source_name(s), w->file_name);
        if (!known)
            return mpq_fail(err, MPQ_EDATA,
                            "%s: tensor %s: the forward pass of architecture %s has no"
                            " place for it",
                            mpq_source_name(s), w->file_name,
                            mpq_source_hparams(s)->arch);
    }
    return 0;
}

static int
check_tensors(const struct mpq_net *net, const struct mpq_source *s,
              struct mpq_err *err)
{
    const struct mpq_weight *output = mpq_source_find(s, "output");
    const struct mpq_weight *norm = mpq_source_find(s, "output_norm");
    struct need needs[MAX_NEEDS];
    const size_t n = list_needs(net, needs);

    if (check_shape(s, mpq_source_find(s, "token_embd"), net->n_vocab, net->n_embd,
                    err) < 0)
        return -1;
    if (!norm)
        return mpq_fail(err, MPQ_EDATA, "%s: tensor output_norm is missing",
                        mpq_source_name(s));
    if (check_shape(s, norm, 0, net->n_embd, err) < 0 ||
        (output && check_shape(s, output, net->n_vocab, net->n_embd, err) < 0) ||
        check_unknown(s, needs, n, err) < 0)
        return -1;
    if (mpq_source_find(s, "output.bias"))
        return mpq_fail(err, MPQ_EDATA, "%s: tensor output.bias is not supported",
                        mpq_source_name(s));
    for (size_t i = 0; i < net->n_layer; i++)
        if (check_block(s, i, needs, n, err) < 0)
            return -1;
    return 0;
}

/* GGUF's factors of llama3 (and any other) scaling: frequencies are divided by them. */
static int
divide_freqs(struct mpq_rope *rope, const struct mpq_source *s, struct mpq_err *err)
{
    const struct mpq_weight *w = mpq_source_find(s, "rope_freqs");
    const size_t n = rope->n_rot / 2;
    float *factors = NULL;
    int rc = -1;

    if (!w)
        return 0;
    if (check_shape(s, w, 0, n, err) < 0)
        goto out;
    factors = mpq_array(n, sizeof *factors);
    if (!factors) {
        mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", mpq_source_name(s));
        goto out;
    }
    if (mpq_source_read_rows(s, w, 0, 1, factors, err) < 0)
        goto out;
    for (size_t i = 0; i < n; i++) {
        if (!(factors[i] > 0)) {
            mpq_fail(err, MPQ_EDATA, "%s: tensor %s: factor %g", mpq_source_name(s),
                     w->file_name, (double)factors[i]);
            goto out;
        }
        rope->freq[i] /= factors[i];
    }
    rc = 0;
out:
    free(factors);
    return rc;
}

static int
make_ropes(struct mpq_net *net, const struct mpq_net_facts *f,
           const struct mpq_source *s, struct mpq_err *err)
{
    const char *name = mpq_source_name(s);

    if (mpq_rope_make(&net->rope, &f->rope, net->head_dim, name, err) < 0 ||
        (f->has_local &&
         mpq_rope_make(&net->rope_local, &f->local, net->head_dim, name, err) < 0))
        return -1;
    net->rope.adjacent = net->rope_local.adjacent =
        f->from_gguf && f->arch == MPQ_NET_LLAMA;
    return f->from_gguf ? divide_freqs(&net->rope, s, err) : 0;
}

static int
make_windows(struct mpq_net *net, const struct mpq_net_facts *f,
             const struct mpq_source *s, struct mpq_err *err)
{
    net->window = mpq_array(net->n_layer, sizeof *net->window);
    if (!net->window)
        return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", mpq_source_name(s));
    for (size_t i = 0; i < net->n_layer; i++) {
        const int windowed =
            f->windowed ? f->windowed[i] : !f->pattern || (i + 1) % f->pattern != 0;
        net->window[i] = windowed && f->window < INT_MAX ? (size_t)f->window : 0;
    }
    return 0;
}

/* A number that must be usable: at least 0, finite as a float. */
static int
put_real(float *out, double v, const char *what, const struct mpq_source *s,
         struct mpq_err *err)
{
    *out = (float)v;
    if (v >= 0 && isfinite(*out))
        return 0;
    return mpq_fail(err, MPQ_EDATA, "%s: %s is %g", mpq_source_name(s), what, v);
}

static int
fill(struct mpq_net *net, const struct mpq_net_facts *f, const struct mpq_source *s,
     struct mpq_err *err)
{
    const int gemma = f->arch >= MPQ_NET_GEMMA;

    if (read_sizes(net, s, err) < 0)
        return -1;
    net->norm_plus_one = gemma && !f->from_gguf;
    net->embed_scale = gemma ? sqrtf((float)net->n_embd) : 1;
    net->act = f->act;
    net->qk_norm = f->arch == MPQ_NET_QWEN3 || f->arch == MPQ_NET_GEMMA3;
    net->post_norms = f->arch == MPQ_NET_GEMMA2 || f->arch == MPQ_NET_GEMMA3;
    const double scale =
        f->attn_scale > 0 ? f->attn_scale : 1 / sqrt((double)net->head_dim);
    if (put_real(&net->norm_eps, f->eps, "the epsilon of the norms", s, err) < 0 ||
        put_real(&net->attn_scale, scale, "the attention scale", s, err) < 0 ||
        put_real(&net->attn_softcap, f->attn_softcap, "the cap of scores", s, err) <
            0 ||
        put_real(&net->final_softcap, f->final_softcap, "the cap of logits", s, err) <
            0 ||
        make_ropes(net, f, s, err) < 0 || make_windows(net, f, s, err) < 0)
        return -1;
    return check_tensors(net, s, err);
}

int
mpq_net_read(struct mpq_net *out, const struct mpq_source *s, struct mpq_err *err)
{
    const struct mpq_rope_spec plain = {
        .factor = 1, .beta_fast = 32, .beta_slow = 1, .mix = 1, .gain = 1
    };
    struct mpq_net_facts f = { .rope = plain, .local = plain };
    struct mpq_net net = { 0 };
    int rc = -1;

    *out = net;
    f.from_gguf = mpq_source_keys(s) != NULL;
    if (find_arch(s, &f.arch, err) < 0 ||
        (f.from_gguf ? mpq_net_read_keys(&f, s, err)
                     : mpq_net_read_config(&f, s, err)) < 0 ||
        fill(&net, &f, s, err) < 0)
        goto out;
    *out = net;
    net = (struct mpq_net){ 0 };
    rc = 0;
out:
    free(f.windowed);
    mpq_net_free(&net);
    return rc;
}

void
mpq_net_free(struct mpq_net *net)
{
    free(net->rope.freq);
    free(net->rope_local.freq);
    free(net->window);
    *net = (struct mpq_net){ 0 };
}
