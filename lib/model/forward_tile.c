/*
 * A large group: a task takes a tile of rows (tokens) through all the products on
 * either side of the attention, so that what it works on stays in its cache.
 */
#include "model/forward_stage.h"

#include "base/par.h"

enum {
    TILE = 512,       /* rows of hidden states at a time ... */
    SMALL_TILE = 256, /* ... and where these would be fewer than ... */
    MANY_TILES = 8,
    FF_BLOCK = 2048 /* columns of the feed-forward at a time */
};

static size_t
tile_rows(const struct mpq_fwd_stage *s, size_t item)
{
    return mpq_fwd_min(s->tile, s->g->n_rows - item * s->tile);
}

static int
tile_before(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    const struct mpq_fwd_stage *s = ctx;
    const struct mpq_fwd_group *g = s->g;
    const struct mpq_net *net = &g->f->net;
    const size_t row = item * s->tile, n = tile_rows(s, item), d = net->n_embd;
    const size_t qw = mpq_fwd_q_width(net), kw = mpq_fwd_kv_width(net);
    float *h = g->f->scratch[thread], *q = h + n * d, *k = q + n * qw, *v = k + n * kw;
    const struct mpq_fwd_part of_q = mpq_fwd_whole(g, MPQ_FWD_Q),
                              of_kv = mpq_fwd_whole(g, MPQ_FWD_K);
    struct mpq_fwd_input in = mpq_fwd_give(g->f, thread, h, d, n, d);

    (void)err;
    mpq_fwd_norm(g, row, n, MPQ_FWD_ATTN_NORM, h);
    mpq_fwd_product(g, MPQ_FWD_Q, &of_q, &in, 0, q, qw);
    mpq_fwd_product(g, MPQ_FWD_K, &of_kv, &in, 0, k, kw);
    mpq_fwd_product(g, MPQ_FWD_V, &of_kv, &in, 0, v, kw);
    for (size_t i = 0; i < n; i++)
        mpq_fwd_finish_qkv(s, row + i, q + i * qw, k + i * kw, v + i * kw);
    return 0;
}

static int
tile_after(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    const struct mpq_fwd_stage *s = ctx;
    const struct mpq_fwd_group *g = s->g;
    const struct mpq_net *net = &g->f->net;
    const size_t row = item * s->tile, n = tile_rows(s, item), d = net->n_embd;
    const size_t qw = mpq_fwd_q_width(net), block = mpq_fwd_min(FF_BLOCK, net->n_ff);
    float *h = g->f->scratch[thread], *y = h + n * d, *gate = y + n * d;
    float *up = gate + n * block, *x = mpq_fwd_state(g, row);
    const struct mpq_fwd_part of_o = mpq_fwd_whole(g, MPQ_FWD_O);
    struct mpq_fwd_input in = mpq_fwd_give(g->f, thread, g->o + row * qw, qw, n, qw);
    int direct = mpq_fwd_is_direct(g, MPQ_FWD_ATTN_POST_NORM);

    mpq_fwd_product(g, MPQ_FWD_O, &of_o, &in, direct, direct ? x : y, d);
    mpq_fwd_finish_product(g, row, n, MPQ_FWD_O, MPQ_FWD_ATTN_POST_NORM, y);
    mpq_fwd_norm(g, row, n, MPQ_FWD_FFN_NORM, h);
    direct = mpq_fwd_is_direct(g, MPQ_FWD_FFN_POST_NORM);
    for (size_t c = 0; c < net->n_ff; c += block) {
        const size_t w = mpq_fwd_min(block, net->n_ff - c);
        const struct mpq_fwd_part wide = { c, w, 0, d }, back = { 0, d, c, w };
        /* down's rounded inputs take the place of gate's and up's */
        in = mpq_fwd_give(g->f, thread, h, d, n, d);
        mpq_fwd_product(g, MPQ_FWD_GATE, &wide, &in, 0, gate, w);
        mpq_fwd_product(g, MPQ_FWD_UP, &wide, &in, 0, up, w);
        mpq_fwd_activate(g, gate, up, n, w, w, c);
        in = mpq_fwd_give(g->f, thread, gate, w, n, w);
        mpq_fwd_product(g, MPQ_FWD_DOWN, &back, &in, direct || c, direct ? x : y, d);
    }
    mpq_fwd_finish_product(g, row, n, MPQ_FWD_DOWN, MPQ_FWD_FFN_POST_NORM, y);
    return mpq_fwd_check(g, row, n, err);
}

size_t
mpq_fwd_tile_scratch(const struct mpq_net *net)
{
    const size_t d = net->n_embd;
    const size_t before = d + mpq_fwd_q_width(net) + 2 * mpq_fwd_kv_width(net);
    const size_t after = 2 * d + 2 * mpq_fwd_min(FF_BLOCK, net->n_ff);

    return TILE * (before > after ? before : after);
}

int
mpq_fwd_run_tiles(struct mpq_fwd_stage *s, struct mpq_err *err)
{
    const struct mpq_fwd_group *g = s->g;
    const unsigned threads = g->f->n_threads;
    size_t n;

    s->tile = g->n_rows < MANY_TILES * TILE ? SMALL_TILE : TILE;
    n = mpq_fwd_pieces(g->n_rows, s->tile);
    const size_t widest =
        mpq_fwd_widest_input(&g->f->net, mpq_fwd_min(FF_BLOCK, g->f->net.n_ff));
    for (unsigned t = 0; t < threads; t++)
        if (mpq_fwd_reserve(g->f, g->layer, t, s->tile, widest, err) < 0)
            return -1;
    if (mpq_par_for(threads, n, tile_before, s, err) < 0 ||
        mpq_fwd_attend(g, err) < 0 || mpq_par_for(threads, n, tile_after, s, err) < 0)
        return -1;
    return 0;
}
