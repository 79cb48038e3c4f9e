#include "model/backward.h"

#include "base/buf.h"
#include "model/backward_own.h"
#include "num/vmath.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    GROUP_ROWS = 4096,
    GROUP_FLOATS = 64 << 20 /* of a group, unless a sequence alone has more */
};

int
mpq_backward_new(struct mpq_backward **out, struct mpq_forward *f,
                 const struct mpq_seqs *q, size_t max_bytes, struct mpq_err *err)
{
    const struct mpq_net *net = &f->net;
    const size_t n = q->start[q->n];
    struct mpq_backward *b = calloc(1, sizeof *b);
    int rc = -1;

    *out = NULL;
    assert(!q->parent);
    if (b) {
        b->f = f;
        b->q = q;
        b->n_tokens = n;
        b->seqs = mpq_array(q->n, sizeof *b->seqs);
        b->seq_of = mpq_array(n, sizeof *b->seq_of);
    }
    if (!b || !b->seqs || !b->seq_of || n > SIZE_MAX / (net->n_layer + 1)) {
        mpq_fail(err, MPQ_ENOMEM, "out of memory for %zu sequences", q->n);
        goto out;
    }
    for (size_t i = 0; i < q->n; i++)
        b->seqs[i] = (struct mpq_fwd_seq){ .row = q->start[i],
                                           .n = q->start[i + 1] - q->start[i],
                                           .parent = i };
    if (mpq_states_new(&b->kept, n * (net->n_layer + 1), net->n_embd, max_bytes, err) <
            0 ||
        mpq_states_new(&b->dx, n, net->n_embd, max_bytes, err) < 0)
        goto out;
    *out = b;
    b = NULL;
    rc = 0;
out:
    mpq_backward_free(b);
    return rc;
}

void
mpq_backward_free(struct mpq_backward *b)
{
    if (!b)
        return;
    mpq_states_free(&b->kept);
    mpq_states_free(&b->dx);
    free(b->seqs);
    free(b->seq_of);
    free(b);
}

void
mpq_backward_states(const struct mpq_backward *b, size_t depth, struct mpq_states *x)
{
    const size_t d = b->kept.width;

    *x = (struct mpq_states){ .x = b->kept.x + depth * b->n_tokens * d,
                              .n = b->n_tokens,
                              .width = d };
}

double
mpq_backward_loss(const struct mpq_backward *b, size_t *n)
{
    *n = b->n_labels;
    return b->loss;
}

int
mpq_backward_forward(struct mpq_backward *b, mpq_backward_step_fn *step, void *ctx,
                     struct mpq_err *err)
{
    const size_t n_layer = b->f->net.n_layer;
    struct mpq_states x;

    mpq_backward_states(b, 0, &x);
    if (mpq_forward_embed(b->f, b->q, &x, err) < 0)
        return -1;
    for (size_t l = 0; l < n_layer; l++) {
        const float *before = x.x;
        mpq_backward_states(b, l + 1, &x);
        memcpy(x.x, before, mpq_states_bytes(&x));
        if (mpq_forward_layer(b->f, l, b->q, &x, err) < 0)
            return -1;
        if (step)
            step(ctx);
    }
    return 0;
}

/* --- a layer ---------------------------------------------------------------------- */

static int
has_qk_norm(const struct mpq_fwd_layer *l)
{
    return l->vec[MPQ_FWD_Q_NORM] || l->vec[MPQ_FWD_K_NORM];
}

/* Gives the arrays of W their places from AT on, for N rows; returns how many floats
 * they take. AT may be NULL: then only that. */
static size_t
place(struct mpq_bwd_group *w, float *at, size_t n)
{
    const struct mpq_net *net = &w->g.f->net;
    const struct mpq_fwd_layer *l = w->g.layer;
    const size_t d = net->n_embd, ff = net->n_ff;
    const size_t qw = mpq_fwd_q_width(net), kw = mpq_fwd_kv_width(net);
    const size_t yo = l->vec[MPQ_FWD_ATTN_POST_NORM] ? d : 0,
                 yd = l->vec[MPQ_FWD_FFN_POST_NORM] ? d : 0;
    const struct {
        float **to;
        size_t width;
    } arrays[] = {
        { &w->h1, d },
        { &w->h2, d },
        { &w->mid, d },
        { &w->dmid, d },
        { &w->raw, has_qk_norm(l) ? qw + kw : 0 },
        { &w->t, qw + 2 * kw },
        { &w->yo, yo },
        { &w->dyo, yo },
        { &w->yd, yd },
        { &w->dyd, yd },
        { &w->gate, ff },
        { &w->up, ff },
        { &w->act, ff },
        { &w->dact, ff },
        { &w->g.q, qw },
        { &w->g.o, qw },
        { &w->d_o, qw },
        { &w->dq, qw },
        { &w->g.k, kw },
        { &w->g.v, kw },
        { &w->dk, kw },
        { &w->dv, kw },
    };
    size_t sum = 0;

    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        if (at)
            *arrays[i].to = arrays[i].width ? at + sum * n : NULL;
        sum += arrays[i].width;
    }
    return sum * n;
}

/* Shows matrix M: given X, the gradient by what it gives is G. */
static int
show(const struct mpq_bwd_group *w, enum mpq_fwd_mat m, const float *x, const float *g,
     size_t g_stride, mpq_grad_fn *tap, void *ctx, struct mpq_err *err)
{
    const struct mpq_grad_tap t = { .weight = w->g.layer->weight[m],
                                    .token = w->g.row,
                                    .n = w->g.n_rows,
                                    .x = x,
                                    .g = g,
                                    .w = w->g.layer->mat[m],
                                    .x_stride = (size_t)w->g.layer->weight[m]->cols,
                                    .g_stride = g_stride };

    return tap ? tap(ctx, &t, err) : 0;
}

static int
run_group(struct mpq_bwd_group *w, mpq_grad_fn *tap, void *ctx, struct mpq_err *err)
{
    struct mpq_forward *f = w->g.f;
    const struct mpq_net *net = &f->net;
    const size_t tiles = mpq_fwd_pieces(w->g.n_rows, MPQ_BWD_TILE), ff = net->n_ff;
    const size_t d = net->n_embd, qw = mpq_fwd_q_width(net), kw = mpq_fwd_kv_width(net),
                 wide = qw + 2 * kw;

    if (mpq_par_for(f->n_threads, tiles, mpq_bwd_before, w, err) < 0 ||
        mpq_fwd_attend(&w->g, err) < 0 ||
        mpq_par_for(f->n_threads, tiles, mpq_bwd_between, w, err) < 0)
        return -1;
    if (show(w, MPQ_FWD_DOWN, w->act, w->dyd ? w->dyd : w->dx, d, tap, ctx, err) < 0 ||
        show(w, MPQ_FWD_GATE, w->h2, w->gate, ff, tap, ctx, err) < 0 ||
        show(w, MPQ_FWD_UP, w->h2, w->up, ff, tap, ctx, err) < 0 ||
        show(w, MPQ_FWD_O, w->g.o, w->dyo ? w->dyo : w->dmid, d, tap, ctx, err) < 0)
        return -1;
    if (mpq_bwd_attend(w, err) < 0 ||
        mpq_par_for(f->n_threads, tiles, mpq_bwd_after, w, err) < 0)
        return -1;
    if (show(w, MPQ_FWD_Q, w->h1, w->t, wide, tap, ctx, err) < 0 ||
        show(w, MPQ_FWD_K, w->h1, w->t + qw, wide, tap, ctx, err) < 0 ||
        show(w, MPQ_FWD_V, w->h1, w->t + qw + kw, wide, tap, ctx, err) < 0)
        return -1;
    return 0;
}

/* The group of sequences from FIRST on, in decoded layer L. */
static int
prepare(struct mpq_backward *b, struct mpq_bwd_group *w, size_t first,
        const struct mpq_fwd_layer *l, float *x, struct mpq_err *err)
{
    struct mpq_forward *f = b->f;
    size_t scratch = mpq_bwd_tile_scratch(&f->net), other;

    *w = (struct mpq_bwd_group){
        .g = { .f = f, .layer = l, .seqs = b->seqs, .first = first, .x = x }
    };
    const size_t by_memory = GROUP_FLOATS / place(w, NULL, 1);
    const size_t most = mpq_fwd_min(GROUP_ROWS, by_memory);
    w->g.row = b->seqs[first].row;
    for (size_t i = first; i < b->q->n; i++, w->g.n++) {
        if (w->g.n && w->g.n_rows + b->seqs[i].n > most)
            break;
        for (size_t r = 0; r < b->seqs[i].n; r++)
            b->seq_of[w->g.n_rows + r] = i;
        w->g.n_rows += b->seqs[i].n;
        /* A shorter sequence can take more: its queries go by in larger blocks. */
        other = mpq_bwd_attend_scratch(&f->net, b->seqs[i].n);
        scratch = other > scratch ? other : scratch;
    }
    if ((other = mpq_fwd_attend_scratch(&f->net)) > scratch)
        scratch = other;
    if (mpq_fwd_room(&f->group, &f->group_room, place(w, NULL, w->g.n_rows), err) < 0 ||
        mpq_fwd_scratch(f, scratch, err) < 0)
        return -1;
    (void)place(w, f->group, w->g.n_rows);
    w->dx = b->dx.x + w->g.row * b->dx.width;
    return 0;
}

int
mpq_backward_layer(struct mpq_backward *b, size_t layer, mpq_grad_fn *tap, void *ctx,
                   struct mpq_err *err)
{
    struct mpq_states x;

    assert(layer + 1 == b->depth);
    mpq_backward_states(b, layer, &x);
    b->f->layer_ready = 0;
    if (mpq_fwd_decode(b->f, layer, &b->f->layer, err) < 0)
        return -1;
    for (size_t i = 0; i < b->q->n;) {
        struct mpq_bwd_group w;
        if (prepare(b, &w, i, &b->f->layer, x.x, err) < 0)
            return -1;
        w.stage = (struct mpq_fwd_stage){ .g = &w.g, .seq_of = b->seq_of };
        if (w.g.n_rows && run_group(&w, tap, ctx, err) < 0)
            return -1;
        i += w.g.n;
    }
    b->depth = layer;
    return 0;
}

int
mpq_backward_embedding(struct mpq_backward *b, mpq_grad_fn *tap, void *ctx,
                       struct mpq_err *err)
{
    const struct mpq_grad_tap t = { .weight = mpq_source_find(b->f->s, "token_embd"),
                                    .n = b->n_tokens,
                                    .g = b->dx.x,
                                    .g_stride = b->dx.width };

    assert(b->depth == 0);
    return tap ? tap(ctx, &t, err) : 0;
}
