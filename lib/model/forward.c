#include "model/forward.h"

#include "base/buf.h"
#include "base/par.h"
#include "model/forward_own.h"
#include "num/linalg.h"
#include "num/vmath.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

int
mpq_forward_new(struct mpq_forward **out, const struct mpq_source *s,
                unsigned n_threads, struct mpq_err *err)
{
    struct mpq_forward *f = NULL;
    int rc = -1;

    *out = NULL;
    if (mpq_linalg_init(n_threads, err) < 0)
        return -1;
    f = calloc(1, sizeof *f);
    if (!f) {
        mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", mpq_source_name(s));
        goto out;
    }
    f->s = s;
    f->n_threads = n_threads ? n_threads : 1;
    f->scratch = mpq_array(f->n_threads, sizeof *f->scratch);
    if (!f->scratch) {
        mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", mpq_source_name(s));
        goto out;
    }
    if (mpq_net_read(&f->net, s, err) < 0 ||
        mpq_fwd_vector(f, "output_norm", f->net.n_embd, &f->final_norm, err) < 0)
        goto out;
    *out = f;
    f = NULL;
    rc = 0;
out:
    mpq_forward_free(f);
    return rc;
}

void
mpq_forward_free(struct mpq_forward *f)
{
    if (!f)
        return;
    for (unsigned t = 0; f->scratch && t < f->n_threads; t++)
        free(f->scratch[t]);
    free(f->scratch);
    free(f->group);
    free(f->turns[0]);
    free(f->turns[1]);
    free(f->final_norm);
    mpq_fwd_layer_free(&f->layer);
    mpq_fwd_free_rounded(f);
    mpq_fwd_drop_kept(f);
    mpq_net_free(&f->net);
    free(f);
}

void
mpq_forward_int8(struct mpq_forward *f, int on)
{
    f->int8 = on;
    mpq_fwd_drop_kept(f);
}

const struct mpq_net *
mpq_forward_net(const struct mpq_forward *f)
{
    return &f->net;
}

void
mpq_forward_fill(struct mpq_forward *f, mpq_fill_fn *fill, void *ctx)
{
    f->fill = fill;
    f->layer_ready = 0;
    f->fill_ctx = ctx;
}

void
mpq_forward_tap(struct mpq_forward *f, mpq_tap_fn *tap, void *ctx)
{
    f->tap = tap;
    f->tap_ctx = ctx;
}

enum { EMBED_STEP = 64 };

struct embedding {
    struct mpq_forward *f;
    const struct mpq_weight *w;
    const uint32_t *tokens;
    size_t n;
    float *x;
};

static int
embed_some(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    const struct embedding *e = ctx;
    const struct mpq_net *net = &e->f->net;
    const size_t d = net->n_embd, first = item * EMBED_STEP;
    const size_t end = e->n - first < EMBED_STEP ? e->n : first + EMBED_STEP;

    (void)thread;
    for (size_t i = first; i < end; i++) {
        if (e->tokens[i] >= net->n_vocab)
            return mpq_fail(err, MPQ_EDATA,
                            "%s: token id %" PRIu32 " in a vocabulary of %zu",
                            mpq_source_name(e->f->s), e->tokens[i], net->n_vocab);
        if (mpq_source_read_rows(e->f->s, e->w, e->tokens[i], 1, e->x + i * d, err) < 0)
            return -1;
        if (net->embed_scale != 1)
            mpq_vscale(e->x + i * d, d, net->embed_scale);
    }
    return 0;
}

int
mpq_forward_embed(struct mpq_forward *f, const struct mpq_seqs *q, struct mpq_states *x,
                  struct mpq_err *err)
{
    const size_t n = q->start[q->n];
    struct embedding e = { f, mpq_fwd_find(f, "token_embd"), q->tokens, n, x->x };

    assert(x->n >= n && x->width == f->net.n_embd);
    return mpq_par_for(f->n_threads, n / EMBED_STEP + (n % EMBED_STEP != 0), embed_some,
                       &e, err);
}

/* Q's sequences as a layer sees them; the caller's to free. */
static struct mpq_fwd_seq *
list_seqs(const struct mpq_seqs *q, struct mpq_err *err)
{
    struct mpq_fwd_seq *seqs = mpq_array(q->n, sizeof *seqs);

    if (!seqs)
        mpq_fail(err, MPQ_ENOMEM, "out of memory for %zu sequences", q->n);
    for (size_t i = 0; seqs && i < q->n; i++) {
        const size_t shared = q->parent ? q->shared[i] : 0;
        seqs[i] = (struct mpq_fwd_seq){ .row = q->start[i],
                                        .n = q->start[i + 1] - q->start[i],
                                        .pos = shared,
                                        .parent = shared ? q->parent[i] : i };
        assert(!shared || (q->parent[i] < i && !q->shared[q->parent[i]] &&
                           shared <= seqs[q->parent[i]].n));
    }
    return seqs;
}

int
mpq_forward_layer(struct mpq_forward *f, size_t layer, const struct mpq_seqs *q,
                  struct mpq_states *x, struct mpq_err *err)
{
    assert(layer < f->net.n_layer && x->n >= q->start[q->n]);
    struct mpq_fwd_seq *seqs = list_seqs(q, err);
    int rc = -1;

    if (!seqs)
        return -1;
    if (!f->layer_ready || f->fill || f->layer.index != layer) {
        f->layer_ready = 0;
        if (mpq_fwd_decode(f, layer, &f->layer, err) < 0)
            goto out;
        f->layer_ready = 1;
    }
    rc = mpq_fwd_run(f, &f->layer, seqs, q->n, x->x, err);
out:
    free(seqs);
    return rc;
}

/* --- in parts -------------------------------------------------------------------- */

int
mpq_forward_part(struct mpq_forward *f, size_t layer, enum mpq_forward_part part,
                 const struct mpq_seqs *q, struct mpq_states *x, struct mpq_states *buf,
                 struct mpq_err *err)
{
    static const struct {
        int first, n;
    } mats[] = { [MPQ_FORWARD_WHOLE] = { 0, MPQ_FWD_MATS },
                 [MPQ_FORWARD_Q_K_V] = { MPQ_FWD_Q, 3 },
                 [MPQ_FORWARD_O] = { MPQ_FWD_O, 1 },
                 [MPQ_FORWARD_GATE_UP] = { MPQ_FWD_GATE, 2 },
                 [MPQ_FORWARD_DOWN] = { MPQ_FWD_DOWN, 1 } };
    int rc = -1;

    assert(part == MPQ_FORWARD_WHOLE || buf->n >= q->start[q->n]);
    struct mpq_fwd_seq *seqs = list_seqs(q, err);
    f->part = part;
    f->part_buf = buf;
    f->layer_ready = 0; /* only some of it will be */
    if (seqs && mpq_fwd_decode_some(f, layer, mats[part].first, mats[part].n, &f->layer,
                                    err) == 0)
        rc = mpq_fwd_run(f, &f->layer, seqs, q->n, x->x, err);
    f->part = MPQ_FORWARD_WHOLE;
    free(seqs);
    return rc;
}

struct norming {
    const struct mpq_forward *f;
    const float *x, *gain;
    float *y;
    size_t n;
};

static int
norm_some(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    const struct norming *k = ctx;
    const size_t d = k->f->net.n_embd, first = item * EMBED_STEP;
    const size_t end = k->n - first < EMBED_STEP ? k->n : first + EMBED_STEP;

    (void)thread, (void)err;
    for (size_t r = first; r < end; r++)
        mpq_vrms_norm(k->y + r * d, k->x + r * d, k->gain, d, k->f->net.norm_eps);
    return 0;
}

int
mpq_forward_normed(struct mpq_forward *f, size_t layer, enum mpq_forward_part part,
                   const struct mpq_states *x, size_t row, size_t n, float *y,
                   struct mpq_err *err)
{
    struct norming k = { f, x->x + row * x->width, NULL, y, n };

    const int last = part == MPQ_FORWARD_WHOLE;

    if (!last && (f->layer.index != layer || !f->layer.vec[MPQ_FWD_ATTN_NORM])) {
        f->layer_ready = 0;
        if (mpq_fwd_decode_some(f, layer, 0, 0, &f->layer, err) < 0)
            return -1;
    }
    k.gain = last                        ? f->final_norm
             : part == MPQ_FORWARD_Q_K_V ? f->layer.vec[MPQ_FWD_ATTN_NORM]
                                         : f->layer.vec[MPQ_FWD_FFN_NORM];
    return mpq_par_for(f->n_threads, n / EMBED_STEP + (n % EMBED_STEP != 0), norm_some,
                       &k, err);
}

int
mpq_forward_adds(const struct mpq_forward *f, enum mpq_forward_part part)
{
    return !f->layer.vec[part == MPQ_FORWARD_O ? MPQ_FWD_ATTN_POST_NORM
                                               : MPQ_FWD_FFN_POST_NORM];
}
