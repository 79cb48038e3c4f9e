/*
 * What one layer does to tiles of rows, forward once more and back; see backward_own.h.
 * A task takes a tile through all the products on one side of the attention.
 */
#include "model/backward_own.h"
#include "num/linalg.h"
#include "num/vgrad.h"
#include "num/vmath.h"

#include <string.h>

/* A tile: rows [row, row + n). */
struct tile {
    const struct mpq_bwd_group *b;
    const struct mpq_net *net;
    const struct mpq_fwd_layer *layer;
    size_t row, n, d;
    float *scratch; /* [n][n_embd] */
};

size_t
mpq_bwd_tile_scratch(const struct mpq_net *net)
{
    return MPQ_BWD_TILE * net->n_embd;
}

static struct tile
tile_of(const struct mpq_bwd_group *b, size_t item, unsigned thread)
{
    const size_t row = item * MPQ_BWD_TILE;

    return (struct tile){ .b = b,
                          .net = &b->g.f->net,
                          .layer = b->g.layer,
                          .row = row,
                          .n = mpq_fwd_min(MPQ_BWD_TILE, b->g.n_rows - row),
                          .d = b->g.f->net.n_embd,
                          .scratch = b->g.f->scratch[thread] };
}

/* out = in W^T + bias. */
static void
product(const struct tile *t, enum mpq_fwd_mat m, const float *in, size_t ld_in,
        float *out, size_t ld_out)
{
    const struct mpq_fwd_part whole = mpq_fwd_whole(&t->b->g, m);
    const float *bias = t->layer->vec[MPQ_FWD_BIAS + m];
    struct mpq_fwd_input given = { .x = in, .ld = ld_in, .n = t->n, .cols = whole.k };

    mpq_fwd_product(&t->b->g, m, &whole, &given, 0, out, ld_out);
    for (size_t i = 0; bias && i < t->n; i++)
        mpq_vadd(out + i * ld_out, bias, whole.n);
}

/* dx = dy W, or dx += (ADD). */
static void
product_back(const struct tile *t, enum mpq_fwd_mat m, const float *dy, size_t ld_dy,
             int add, float *dx)
{
    const size_t rows = (size_t)t->layer->weight[m]->rows,
                 cols = (size_t)t->layer->weight[m]->cols;

    mpq_gemm_add_f(0, 0, t->n, cols, rows, 1, dy, ld_dy, t->layer->mat[m], cols,
                   add ? 1 : 0, dx, cols);
}

static void
norm(const struct tile *t, enum mpq_fwd_vec v, const float *x, float *y)
{
    for (size_t i = 0; i < t->n; i++)
        mpq_vrms_norm(y + i * t->d, x + i * t->d, t->layer->vec[v], t->d,
                      t->net->norm_eps);
}

static void
norm_back(const struct tile *t, enum mpq_fwd_vec v, const float *dy, const float *x,
          int add, float *dx)
{
    for (size_t i = 0; i < t->n; i++)
        mpq_vrms_back(dx + i * t->d, dy + i * t->d, x + i * t->d, t->layer->vec[v],
                      t->d, t->net->norm_eps, add);
}

/* to = x + y, y normed first where there is a norm after the product. */
static void
add_to_state(const struct tile *t, enum mpq_fwd_vec post, const float *x,
             const float *y, float *to)
{
    if (t->layer->vec[post])
        norm(t, post, y, to);
    else
        memcpy(to, y, t->n * t->d * sizeof *to);
    mpq_vadd(to, x, t->n * t->d);
}

int
mpq_bwd_before(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    const struct mpq_bwd_group *b = ctx;
    const struct tile t = tile_of(b, item, thread);
    const size_t qw = mpq_fwd_q_width(t.net), kw = mpq_fwd_kv_width(t.net);
    const size_t wide = qw + 2 * kw;
    float *h = b->h1 + t.row * t.d, *q = b->t + t.row * wide;

    (void)err;
    mpq_fwd_norm(&b->g, t.row, t.n, MPQ_FWD_ATTN_NORM, h);
    const struct mpq_fwd_part of_q = mpq_fwd_whole(&b->g, MPQ_FWD_Q),
                              of_kv = mpq_fwd_whole(&b->g, MPQ_FWD_K);
    struct mpq_fwd_input in = { .x = h, .ld = t.d, .n = t.n, .cols = t.d };
    mpq_fwd_product(&b->g, MPQ_FWD_Q, &of_q, &in, 0, q, wide);
    mpq_fwd_product(&b->g, MPQ_FWD_K, &of_kv, &in, 0, q + qw, wide);
    mpq_fwd_product(&b->g, MPQ_FWD_V, &of_kv, &in, 0, q + qw + kw, wide);
    for (size_t i = 0; i < t.n; i++, q += wide) {
        if (b->raw) {
            float *raw = b->raw + (t.row + i) * (qw + kw);
            const float *const *vec = (const float *const *)t.layer->vec;
            memcpy(raw, q, (qw + kw) * sizeof *raw);
            if (vec[MPQ_FWD_BIAS + MPQ_FWD_Q])
                mpq_vadd(raw, vec[MPQ_FWD_BIAS + MPQ_FWD_Q], qw);
            if (vec[MPQ_FWD_BIAS + MPQ_FWD_K])
                mpq_vadd(raw + qw, vec[MPQ_FWD_BIAS + MPQ_FWD_K], kw);
        }
        mpq_fwd_finish_qkv(&b->stage, t.row + i, q, q + qw, q + qw + kw);
    }
    return 0;
}

/* The feed-forward, and back: from dx to dmid. */
static void
feed_forward(const struct tile *t)
{
    const struct mpq_bwd_group *b = t->b;
    const size_t ff = t->net->n_ff, d = t->d, at = t->row * d, wide = t->row * ff;
    const int silu = t->net->act == MPQ_ACT_SILU;
    float *gate = b->gate + wide, *up = b->up + wide, *act = b->act + wide;
    const float *dyd = b->dx + at;

    norm(t, MPQ_FWD_FFN_NORM, b->mid + at, b->h2 + at);
    product(t, MPQ_FWD_GATE, b->h2 + at, d, gate, ff);
    product(t, MPQ_FWD_UP, b->h2 + at, d, up, ff);
    memcpy(act, gate, t->n * ff * sizeof *act);
    (silu ? mpq_vsilu_mul : mpq_vgelu_mul)(act, up, t->n * ff);
    if (b->yd) {
        product(t, MPQ_FWD_DOWN, act, ff, b->yd + at, d);
        norm_back(t, MPQ_FWD_FFN_POST_NORM, dyd, b->yd + at, 0, b->dyd + at);
        dyd = b->dyd + at;
    }
    float *dact = b->dact + wide;
    product_back(t, MPQ_FWD_DOWN, dyd, d, 0, dact);
    (silu ? mpq_vsilu_back : mpq_vgelu_back)(gate, up, dact, t->n * ff);
    product_back(t, MPQ_FWD_GATE, gate, ff, 0, t->scratch);
    product_back(t, MPQ_FWD_UP, up, ff, 1, t->scratch);
    memcpy(b->dmid + at, b->dx + at, t->n * d * sizeof *b->dmid);
    norm_back(t, MPQ_FWD_FFN_NORM, t->scratch, b->mid + at, 1, b->dmid + at);
}

int
mpq_bwd_between(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    const struct mpq_bwd_group *b = ctx;
    const struct tile t = tile_of(b, item, thread);
    const size_t qw = mpq_fwd_q_width(t.net), at = t.row * t.d;
    float *yo = b->yo ? b->yo + at : t.scratch;
    const float *dyo = b->dmid + at;

    (void)err;
    product(&t, MPQ_FWD_O, b->g.o + t.row * qw, qw, yo, t.d);
    add_to_state(&t, MPQ_FWD_ATTN_POST_NORM, mpq_fwd_state(&b->g, t.row), yo,
                 b->mid + at);
    feed_forward(&t);
    if (b->yo) {
        norm_back(&t, MPQ_FWD_ATTN_POST_NORM, dyo, yo, 0, b->dyo + at);
        dyo = b->dyo + at;
    }
    product_back(&t, MPQ_FWD_O, dyo, t.d, 0, b->d_o + t.row * qw);
    return 0;
}

/* Back through the rotation and norm of N heads of a row: DX, whose products were RAW.
 */
static void
heads_back(const struct tile *t, float *dx, const float *raw, size_t n, size_t pos,
           const float *gain)
{
    const struct mpq_net *net = t->net;
    const int local = net->rope_local.freq && net->window[t->layer->index];
    const struct mpq_rope *rope = local ? &net->rope_local : &net->rope;
    const size_t half = rope->n_rot / 2, hd = net->head_dim;
    const float *turn = t->b->g.f->turns[local] + pos * 2 * half;

    for (size_t i = 0; i < n; i++, dx += hd, raw += hd) {
        mpq_vrotate_back(dx, turn, turn + half, half, rope->adjacent);
        if (gain)
            mpq_vrms_back(dx, dx, raw, gain, hd, net->norm_eps, 0);
    }
}

int
mpq_bwd_after(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    const struct mpq_bwd_group *b = ctx;
    const struct tile t = tile_of(b, item, thread);
    const struct mpq_net *net = t.net;
    const size_t qw = mpq_fwd_q_width(net), kw = mpq_fwd_kv_width(net),
                 hd = net->head_dim, run = net->n_head / net->n_head_kv * hd;
    const size_t wide = qw + 2 * kw;
    float *const *vec = t.layer->vec;

    for (size_t i = 0; i < t.n; i++) {
        const size_t row = t.row + i;
        const struct mpq_fwd_seq *seq = &b->g.seqs[b->stage.seq_of[row]];
        const size_t pos = b->g.row + row - seq->row;
        float *dq = b->t + row * wide, *dk = dq + qw, *dv = dk + kw;
        const float *raw = b->raw ? b->raw + row * (qw + kw) : dq;
        for (size_t h = 0; h < net->n_head_kv; h++) {
            const size_t at = h * b->g.n_rows + row;
            memcpy(dq + h * run, b->dq + at * run, run * sizeof *dq);
            memcpy(dk + h * hd, b->dk + at * hd, hd * sizeof *dk);
            memcpy(dv + h * hd, b->dv + at * hd, hd * sizeof *dv);
        }
        heads_back(&t, dq, raw, net->n_head, pos, vec[MPQ_FWD_Q_NORM]);
        heads_back(&t, dk, raw + qw, net->n_head_kv, pos, vec[MPQ_FWD_K_NORM]);
    }
    const float *dq = b->t + t.row * wide;
    float *dx = b->dx + t.row * t.d;
    product_back(&t, MPQ_FWD_Q, dq, wide, 0, t.scratch);
    product_back(&t, MPQ_FWD_K, dq + qw, wide, 1, t.scratch);
    product_back(&t, MPQ_FWD_V, dq + qw + kw, wide, 1, t.scratch);
    memcpy(dx, b->dmid + t.row * t.d, t.n * t.d * sizeof *dx);
    norm_back(&t, MPQ_FWD_ATTN_NORM, t.scratch, mpq_fwd_state(&b->g, t.row), 1, dx);
    for (size_t i = 0; i < t.n; i++)
        if (!mpq_vfinite(dx + i * t.d, t.d))
            return mpq_fail(err, MPQ_EDATA,
                            "%s: blk.%zu: a gradient becomes NaN or infinite there"
                            " (token %zu)",
                            mpq_source_name(b->g.f->s), t.layer->index,
                            b->g.row + t.row + i + 1);
    return 0;
}
