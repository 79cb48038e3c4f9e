/*
 * A small group, as in generation: the products are cut over the rows of the weights.
 */
#include "model/forward_stage.h"

#include "base/par.h"
#include "quant/round8.h"

#include <string.h>

enum {
    FEW = 16, /* rows of hidden states at a time in elementwise work */
    CUT = 128 /* rows of weights at a time */
};

static size_t
few_rows(const struct mpq_fwd_group *g, size_t item)
{
    return mpq_fwd_min(FEW, g->n_rows - item * FEW);
}

static int
few_norm(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    const struct mpq_fwd_stage *s = ctx;
    const size_t row = item * FEW;

    (void)thread, (void)err;
    mpq_fwd_norm(s->g, row, few_rows(s->g, item), MPQ_FWD_ATTN_NORM,
                 s->h + row * s->g->f->net.n_embd);
    return 0;
}

static int
cut_qkv(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    const struct mpq_fwd_stage *s = ctx;
    const struct mpq_fwd_group *g = s->g;
    const struct mpq_net *net = &g->f->net;
    const size_t rows[3] = { mpq_fwd_q_width(net), mpq_fwd_kv_width(net),
                             mpq_fwd_kv_width(net) };
    size_t m = 0, col = 0;

    (void)thread, (void)err;
    while (item >= mpq_fwd_pieces(rows[m], CUT)) {
        item -= mpq_fwd_pieces(rows[m], CUT);
        col += rows[m++];
    }
    const struct mpq_fwd_part p = { item * CUT, mpq_fwd_min(CUT, rows[m] - item * CUT),
                                    0, net->n_embd };
    mpq_fwd_product(g, (enum mpq_fwd_mat)m, &p, s->in, 0, s->t + col + p.row, s->wide);
    return 0;
}

static int
few_qkv(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    const struct mpq_fwd_stage *s = ctx;
    const struct mpq_net *net = &s->g->f->net;
    const size_t row = item * FEW;

    (void)thread, (void)err;
    for (size_t i = 0; i < few_rows(s->g, item); i++) {
        float *q = s->t + (row + i) * s->wide, *k = q + mpq_fwd_q_width(net);
        mpq_fwd_finish_qkv(s, row + i, q, k, k + mpq_fwd_kv_width(net));
    }
    return 0;
}

/* Rows of M cut, into x or y. */
static void
cut_out(const struct mpq_fwd_stage *s, enum mpq_fwd_mat m, enum mpq_fwd_vec post,
        size_t item)
{
    const struct mpq_fwd_group *g = s->g;
    const size_t d = g->f->net.n_embd;
    const int direct = mpq_fwd_is_direct(g, post);
    struct mpq_fwd_part p = mpq_fwd_whole(g, m);

    p.row = item * CUT;
    p.n = mpq_fwd_min(CUT, d - p.row);
    mpq_fwd_product(g, m, &p, s->in, direct,
                    (direct ? mpq_fwd_state(g, 0) : s->y) + p.row, d);
}

static int
cut_o(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    const struct mpq_fwd_stage *s = ctx;

    (void)thread, (void)err;
    cut_out(s, MPQ_FWD_O, MPQ_FWD_ATTN_POST_NORM, item);
    return 0;
}

static int
few_attended(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    const struct mpq_fwd_stage *s = ctx;
    const size_t row = item * FEW, n = few_rows(s->g, item), d = s->g->f->net.n_embd;

    (void)thread, (void)err;
    mpq_fwd_finish_product(s->g, row, n, MPQ_FWD_O, MPQ_FWD_ATTN_POST_NORM,
                           s->y + row * d);
    mpq_fwd_norm(s->g, row, n, MPQ_FWD_FFN_NORM, s->h + row * d);
    return 0;
}

static int
few_ffn_norm(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    const struct mpq_fwd_stage *s = ctx;
    const size_t row = item * FEW;

    (void)thread, (void)err;
    mpq_fwd_norm(s->g, row, few_rows(s->g, item), MPQ_FWD_FFN_NORM,
                 s->h + row * s->g->f->net.n_embd);
    return 0;
}

static int
cut_gate_up(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    const struct mpq_fwd_stage *s = ctx;
    const struct mpq_fwd_group *g = s->g;
    const size_t d = g->f->net.n_embd, ff = g->f->net.n_ff;
    const struct mpq_fwd_part p = { item * CUT, mpq_fwd_min(CUT, ff - item * CUT), 0,
                                    d };
    float *gate = s->t + p.row, *up = gate + ff;

    (void)thread, (void)err;
    mpq_fwd_product(g, MPQ_FWD_GATE, &p, s->in, 0, gate, s->wide);
    mpq_fwd_product(g, MPQ_FWD_UP, &p, s->in, 0, up, s->wide);
    mpq_fwd_activate(g, gate, up, g->n_rows, p.n, s->wide, p.row);
    return 0;
}

static int
cut_down(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    const struct mpq_fwd_stage *s = ctx;

    (void)thread, (void)err;
    cut_out(s, MPQ_FWD_DOWN, MPQ_FWD_FFN_POST_NORM, item);
    return 0;
}

static int
few_done(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    const struct mpq_fwd_stage *s = ctx;
    const size_t row = item * FEW, n = few_rows(s->g, item), d = s->g->f->net.n_embd;

    (void)thread;
    mpq_fwd_finish_product(s->g, row, n, MPQ_FWD_DOWN, MPQ_FWD_FFN_POST_NORM,
                           s->y + row * d);
    return mpq_fwd_check(s->g, row, n, err);
}

/* Shows inputs to who wants to see them: those of matrices [first, last]. */
static int
tap(const struct mpq_fwd_stage *s, int input, enum mpq_fwd_mat first,
    enum mpq_fwd_mat last, const float *x, size_t stride, struct mpq_err *err)
{
    const struct mpq_fwd_group *g = s->g;
    const struct mpq_tap t = { .input = input,
                               .weights = g->layer->weight + first,
                               .n_weights = (size_t)last - first + 1,
                               .token = g->row,
                               .n = g->n_rows,
                               .cols = (size_t)g->layer->weight[first]->cols,
                               .stride = stride,
                               .x = x };

    return g->f->tap ? g->f->tap(g->f->tap_ctx, &t, err) : 0;
}

/* Inputs on their way to 8 bits, by blocks of one size or two. */
struct rounding {
    const struct mpq_fwd_input *in;
    struct mpq_gemm8_inputs *to[2];
    int n;
};

static int
round_few(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    const struct rounding *r = ctx;
    const struct mpq_fwd_input *in = r->in;
    const size_t row = item * FEW, n = mpq_fwd_min(FEW, in->n - row);

    (void)thread, (void)err;
    for (int k = 0; k < r->n; k++)
        mpq_round8(r->to[k], row, n, in->x + row * in->ld, in->ld);
    return 0;
}

/* x[n_rows][ld] is what matrices [first, last] are given: rounded here for those that
 * want it, since all tasks of their products share it. */
static int
give(struct mpq_fwd_stage *s, enum mpq_fwd_mat first, enum mpq_fwd_mat last,
     const float *x, size_t ld, struct mpq_err *err)
{
    const struct mpq_fwd_layer *l = s->g->layer;
    struct mpq_forward *f = s->g->f;
    struct rounding r = { .in = s->in };

    *s->in = mpq_fwd_give(f, f->n_threads, x, ld, s->g->n_rows,
                          (size_t)l->weight[first]->cols);
    for (int m = (int)first; m <= (int)last; m++)
        if (l->int8[m]) {
            struct mpq_gemm8_inputs *fresh =
                mpq_fwd_lay_out(s->in, l->int8[m]->form.block);
            if (fresh)
                r.to[r.n++] = fresh;
        }
    if (!r.n)
        return 0;
    return mpq_par_for(f->n_threads, mpq_fwd_pieces(s->in->n, FEW), round_few, &r, err);
}

/* Up to what attn_output is given. */
static int
run_qkv(struct mpq_fwd_stage *s, struct mpq_err *err)
{
    const struct mpq_net *net = &s->g->f->net;
    const unsigned threads = s->g->f->n_threads;
    const size_t few = mpq_fwd_pieces(s->g->n_rows, FEW);
    const size_t qkv = mpq_fwd_pieces(mpq_fwd_q_width(net), CUT) +
                       2 * mpq_fwd_pieces(mpq_fwd_kv_width(net), CUT);

    if (mpq_par_for(threads, few, few_norm, s, err) < 0 ||
        tap(s, 0, MPQ_FWD_Q, MPQ_FWD_V, s->h, net->n_embd, err) < 0 ||
        give(s, MPQ_FWD_Q, MPQ_FWD_V, s->h, net->n_embd, err) < 0 ||
        mpq_par_for(threads, qkv, cut_qkv, s, err) < 0 ||
        mpq_par_for(threads, few, few_qkv, s, err) < 0 || mpq_fwd_attend(s->g, err) < 0)
        return -1;
    return tap(s, 1, MPQ_FWD_O, MPQ_FWD_O, s->g->o, mpq_fwd_q_width(net), err);
}

static int
run_o(struct mpq_fwd_stage *s, struct mpq_err *err)
{
    const unsigned threads = s->g->f->n_threads;
    const size_t out = mpq_fwd_pieces(s->g->f->net.n_embd, CUT);

    if (give(s, MPQ_FWD_O, MPQ_FWD_O, s->g->o, mpq_fwd_q_width(&s->g->f->net), err) <
            0 ||
        mpq_par_for(threads, out, cut_o, s, err) < 0)
        return -1;
    return mpq_par_for(threads, mpq_fwd_pieces(s->g->n_rows, FEW), few_attended, s,
                       err);
}

/* From the normed states to what ffn_down is given. */
static int
run_gate_up(struct mpq_fwd_stage *s, struct mpq_err *err)
{
    const struct mpq_net *net = &s->g->f->net;

    if (tap(s, 2, MPQ_FWD_GATE, MPQ_FWD_UP, s->h, net->n_embd, err) < 0 ||
        give(s, MPQ_FWD_GATE, MPQ_FWD_UP, s->h, net->n_embd, err) < 0 ||
        mpq_par_for(s->g->f->n_threads, mpq_fwd_pieces(net->n_ff, CUT), cut_gate_up, s,
                    err) < 0)
        return -1;
    return tap(s, 3, MPQ_FWD_DOWN, MPQ_FWD_DOWN, s->t, s->wide, err);
}

static int
run_down(struct mpq_fwd_stage *s, struct mpq_err *err)
{
    const unsigned threads = s->g->f->n_threads;
    const size_t out = mpq_fwd_pieces(s->g->f->net.n_embd, CUT);

    if (give(s, MPQ_FWD_DOWN, MPQ_FWD_DOWN, s->t, s->wide, err) < 0 ||
        mpq_par_for(threads, out, cut_down, s, err) < 0)
        return -1;
    return mpq_par_for(threads, mpq_fwd_pieces(s->g->n_rows, FEW), few_done, s, err);
}

static int
run_part(struct mpq_fwd_stage *s, struct mpq_err *err)
{
    const struct mpq_fwd_group *g = s->g;
    struct mpq_forward *f = g->f;
    const size_t width = f->part_buf->width, q = mpq_fwd_q_width(&f->net),
                 ff = f->net.n_ff;
    float *buf = f->part_buf->x + g->row * width;

    switch (f->part) {
    case MPQ_FORWARD_Q_K_V:
        if (run_qkv(s, err) < 0)
            return -1;
        for (size_t r = 0; r < g->n_rows; r++)
            memcpy(buf + r * width, g->o + r * q, q * sizeof *buf);
        return 0;
    case MPQ_FORWARD_O:
        for (size_t r = 0; r < g->n_rows; r++)
            memcpy(g->o + r * q, buf + r * width, q * sizeof *buf);
        return run_o(s, err);
    case MPQ_FORWARD_GATE_UP:
        if (mpq_par_for(f->n_threads, mpq_fwd_pieces(g->n_rows, FEW), few_ffn_norm, s,
                        err) < 0 ||
            run_gate_up(s, err) < 0)
            return -1;
        for (size_t r = 0; r < g->n_rows; r++)
            memcpy(buf + r * width, s->t + r * s->wide, ff * sizeof *buf);
        return 0;
    default:
        for (size_t r = 0; r < g->n_rows; r++)
            memcpy(s->t + r * s->wide, buf + r * width, ff * sizeof *buf);
        return run_down(s, err);
    }
}

int
mpq_fwd_run_wide(struct mpq_fwd_stage *s, struct mpq_err *err)
{
    const struct mpq_net *net = &s->g->f->net;
    struct mpq_fwd_input in = { 0 };

    if (mpq_fwd_reserve(s->g->f, s->g->layer, s->g->f->n_threads, s->g->n_rows,
                        mpq_fwd_widest_input(net, net->n_ff), err) < 0)
        return -1;
    s->in = &in;
    if (s->g->f->part)
        return run_part(s, err);
    return run_qkv(s, err) < 0 || run_o(s, err) < 0 || run_gate_up(s, err) < 0 ||
                   run_down(s, err) < 0
               ? -1
               : 0;
}
