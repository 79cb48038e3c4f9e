/*
 * One layer, all sequences. They go in groups of bounded size. In a large group a
 * task takes a tile of rows (tokens) through all the products on either side of the
 * attention, so that what it works on stays in its cache; in a small one, as in
 * generation, the products are cut over the rows of the weights instead. Which of the
 * two, and where the cuts are, depends on the number of rows alone.
 */
#include "base/buf.h"
#include "base/par.h"
#include "model/forward_own.h"
#include "num/linalg.h"
#include "num/vmath.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    GROUP_ROWS = 16384,
    GROUP_FLOATS = 96 << 20, /* in q, k, v and o of a group */
    WIDE_ROWS = 1536,        /* up to here the weights are cut, above it the rows */
    TILE = 512,              /* rows of hidden states at a time ... */
    SMALL_TILE = 256,        /* ... and where these would be fewer than ... */
    MANY_TILES = 8,
    FEW = 16,        /* the same for elementwise work alone */
    FF_BLOCK = 2048, /* columns of the feed-forward at a time */
    CUT = 128        /* rows of weights at a time in a small group */
};

static size_t
min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

int
mpq_fwd_room(float **buf, size_t *room, size_t n, struct mpq_err *err)
{
    if (*room >= n && *buf)
        return 0;
    free(*buf);
    *room = 0;
    *buf = n <= SIZE_MAX / sizeof **buf ? malloc((n ? n : 1) * sizeof **buf) : NULL;
    if (!*buf)
        return mpq_fail(err, MPQ_ENOMEM, "out of memory for %zu numbers", n);
    *room = n;
    return 0;
}

int
mpq_fwd_scratch(struct mpq_forward *f, size_t n, struct mpq_err *err)
{
    if (f->scratch_room >= n)
        return 0;
    f->scratch_room = 0;
    for (unsigned t = 0; t < f->n_threads; t++) {
        size_t none = 0;
        if (mpq_fwd_room(&f->scratch[t], &none, n, err) < 0)
            return -1;
    }
    f->scratch_room = n;
    return 0;
}

/* --- what is done to rows ------------------------------------------------------- */

/* A part of the work on one group. Rows count from the group's first. */
struct stage {
    const struct mpq_fwd_group *g;
    const size_t *seq_of; /* [n_rows]: the sequence of a row */
    /* of a small group: [n_rows][n_embd], [n_rows][wide], [n_rows][n_embd] */
    float *h, *t, *y;
    size_t wide;
};

static size_t
q_width(const struct mpq_net *net)
{
    return net->n_head * net->head_dim;
}

static size_t
kv_width(const struct mpq_net *net)
{
    return net->n_head_kv * net->head_dim;
}

static float *
state_row(const struct mpq_fwd_group *g, size_t row)
{
    return g->x + (g->row + row) * g->f->net.n_embd;
}

/*
 * out += in W^T, or out = (ADD 0), for rows [w_row, w_row + n) of matrix M. Every
 * product of the pass with a weight goes through here: IN[rows], row length LD_IN, are
 * inputs of that linear. (The feed-forward's down comes in blocks of columns, from COL
 * on, k of them.)
 */
struct part {
    size_t row, n, col, k;
};

static void
product(const struct mpq_fwd_group *g, enum mpq_fwd_mat m, const struct part *p,
        const float *in, size_t ld_in, size_t rows, int add, float *out, size_t ld_out)
{
    const size_t cols = (size_t)g->layer->weight[m]->cols;
    const float *w = g->layer->mat[m] + p->row * cols + p->col;

    mpq_gemm_add_f(0, 1, rows, p->n, p->k, 1, in, ld_in, w, cols, add ? 1 : 0, out,
                   ld_out);
}

static struct part
whole(const struct mpq_fwd_group *g, enum mpq_fwd_mat m)
{
    const struct mpq_weight *w = g->layer->weight[m];

    return (struct part){ 0, (size_t)w->rows, 0, (size_t)w->cols };
}

/* h = norm(x) with the gain V. */
static void
norm_rows(const struct mpq_fwd_group *g, size_t row, size_t n, enum mpq_fwd_vec v,
          float *h)
{
    const struct mpq_net *net = &g->f->net;

    for (size_t i = 0; i < n; i++)
        mpq_vrms_norm(h + i * net->n_embd, state_row(g, row + i), g->layer->vec[v],
                      net->n_embd, net->norm_eps);
}

/* Bias, norm and rotation of the N heads in X, a row of q or k. */
static void
finish_heads(const struct mpq_fwd_group *g, float *x, size_t n, size_t pos,
             const float *bias, const float *gain)
{
    const struct mpq_net *net = &g->f->net;
    const int local = net->rope_local.freq && net->window[g->layer->index];
    const struct mpq_rope *rope = local ? &net->rope_local : &net->rope;
    const size_t half = rope->n_rot / 2;
    const float *turn = g->f->turns[local] + pos * 2 * half;

    if (bias)
        mpq_vadd(x, bias, n * net->head_dim);
    for (size_t i = 0; i < n; i++, x += net->head_dim) {
        if (gain)
            mpq_vrms_norm(x, x, gain, net->head_dim, net->norm_eps);
        mpq_vrotate(x, turn, turn + half, half, rope->adjacent);
    }
}

/* Takes a row of q, k and v products to where the attention reads it. */
static void
finish_qkv(const struct stage *s, size_t row, float *q, float *k, float *v)
{
    const struct mpq_fwd_group *g = s->g;
    const struct mpq_net *net = &g->f->net;
    const struct mpq_fwd_seq *seq = &g->seqs[s->seq_of[row]];
    float *const *vec = g->layer->vec;
    const size_t hd = net->head_dim, share = net->n_head / net->n_head_kv;
    const size_t pos = seq->pos + (g->row + row - seq->row);

    finish_heads(g, q, net->n_head, pos, vec[MPQ_FWD_BIAS + MPQ_FWD_Q],
                 vec[MPQ_FWD_Q_NORM]);
    finish_heads(g, k, net->n_head_kv, pos, vec[MPQ_FWD_BIAS + MPQ_FWD_K],
                 vec[MPQ_FWD_K_NORM]);
    if (vec[MPQ_FWD_BIAS + MPQ_FWD_V])
        mpq_vadd(v, vec[MPQ_FWD_BIAS + MPQ_FWD_V], kv_width(net));
    for (size_t h = 0; h < net->n_head_kv; h++) {
        const size_t at = (h * g->n_rows + row) * hd;
        float *to_k = g->k + at, *to_v = g->v + at;
        if (seq->cache_k) {
            to_k = seq->cache_k + h * seq->cache_stride + pos * hd;
            to_v = seq->cache_v + h * seq->cache_stride + pos * hd;
        }
        memcpy(g->q + at * share, q + h * share * hd, share * hd * sizeof *q);
        memcpy(to_k, k + h * hd, hd * sizeof *k);
        memcpy(to_v, v + h * hd, hd * sizeof *v);
    }
}

/* Does a product go into the hidden states at once? */
static int
is_direct(const struct mpq_fwd_group *g, enum mpq_fwd_vec post)
{
    return !g->layer->vec[post];
}

/* x += bias and norm of y, the product M; where there is no norm the product is in x
 * already. */
static void
finish_product(const struct mpq_fwd_group *g, size_t row, size_t n, enum mpq_fwd_mat m,
               enum mpq_fwd_vec post, float *y)
{
    const struct mpq_net *net = &g->f->net;
    const float *bias = g->layer->vec[MPQ_FWD_BIAS + m];
    const size_t d = net->n_embd;

    for (size_t i = 0; i < n; i++) {
        float *x = state_row(g, row + i);
        if (is_direct(g, post)) {
            if (bias)
                mpq_vadd(x, bias, d);
            continue;
        }
        if (bias)
            mpq_vadd(y + i * d, bias, d);
        mpq_vrms_norm(y + i * d, y + i * d, g->layer->vec[post], d, net->norm_eps);
        mpq_vadd(x, y + i * d, d);
    }
}

/* gate = act(gate) * up in rows of N columns, which begin at column COL. */
static void
activate(const struct mpq_fwd_group *g, float *gate, float *up, size_t rows, size_t n,
         size_t ld, size_t col)
{
    const float *gate_bias = g->layer->vec[MPQ_FWD_BIAS + MPQ_FWD_GATE];
    const float *up_bias = g->layer->vec[MPQ_FWD_BIAS + MPQ_FWD_UP];

    for (size_t i = 0; i < rows; i++, gate += ld, up += ld) {
        if (gate_bias)
            mpq_vadd(gate, gate_bias + col, n);
        if (up_bias)
            mpq_vadd(up, up_bias + col, n);
        if (g->f->net.act == MPQ_ACT_SILU)
            mpq_vsilu_mul(gate, up, n);
        else
            mpq_vgelu_mul(gate, up, n);
    }
}

static int
check_rows(const struct mpq_fwd_group *g, size_t row, size_t n, struct mpq_err *err)
{
    for (size_t i = 0; i < n; i++)
        if (!mpq_vfinite(state_row(g, row + i), g->f->net.n_embd))
            return mpq_fail(err, MPQ_EDATA,
                            "%s: blk.%zu: a hidden state becomes NaN or infinite there"
                            " (token %zu)",
                            mpq_source_name(g->f->s), g->layer->index,
                            g->row + row + i + 1);
    return 0;
}

/* --- a large group: tiles of rows ----------------------------------------------- */

static size_t
tile_rows(const struct mpq_fwd_group *g, size_t item)
{
    return min_size(g->tile, g->n_rows - item * g->tile);
}

static int
tile_before(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    const struct stage *s = ctx;
    const struct mpq_fwd_group *g = s->g;
    const struct mpq_net *net = &g->f->net;
    const size_t row = item * g->tile, n = tile_rows(g, item), d = net->n_embd;
    const size_t qw = q_width(net), kw = kv_width(net);
    float *h = g->f->scratch[thread], *q = h + n * d, *k = q + n * qw, *v = k + n * kw;
    const struct part of_q = whole(g, MPQ_FWD_Q), of_kv = whole(g, MPQ_FWD_K);

    (void)err;
    norm_rows(g, row, n, MPQ_FWD_ATTN_NORM, h);
    product(g, MPQ_FWD_Q, &of_q, h, d, n, 0, q, qw);
    product(g, MPQ_FWD_K, &of_kv, h, d, n, 0, k, kw);
    product(g, MPQ_FWD_V, &of_kv, h, d, n, 0, v, kw);
    for (size_t i = 0; i < n; i++)
        finish_qkv(s, row + i, q + i * qw, k + i * kw, v + i * kw);
    return 0;
}

static int
tile_after(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    const struct stage *s = ctx;
    const struct mpq_fwd_group *g = s->g;
    const struct mpq_net *net = &g->f->net;
    const size_t row = item * g->tile, n = tile_rows(g, item), d = net->n_embd;
    const size_t qw = q_width(net), block = min_size(FF_BLOCK, net->n_ff);
    float *h = g->f->scratch[thread], *y = h + n * d, *gate = y + n * d;
    float *up = gate + n * block, *x = state_row(g, row);
    const struct part of_o = whole(g, MPQ_FWD_O);
    int direct = is_direct(g, MPQ_FWD_ATTN_POST_NORM);

    product(g, MPQ_FWD_O, &of_o, g->o + row * qw, qw, n, direct, direct ? x : y, d);
    finish_product(g, row, n, MPQ_FWD_O, MPQ_FWD_ATTN_POST_NORM, y);
    norm_rows(g, row, n, MPQ_FWD_FFN_NORM, h);
    direct = is_direct(g, MPQ_FWD_FFN_POST_NORM);
    for (size_t c = 0; c < net->n_ff; c += block) {
        const size_t w = min_size(block, net->n_ff - c);
        const struct part in = { c, w, 0, d }, out = { 0, d, c, w };
        product(g, MPQ_FWD_GATE, &in, h, d, n, 0, gate, w);
        product(g, MPQ_FWD_UP, &in, h, d, n, 0, up, w);
        activate(g, gate, up, n, w, w, c);
        product(g, MPQ_FWD_DOWN, &out, gate, w, n, direct || c, direct ? x : y, d);
    }
    finish_product(g, row, n, MPQ_FWD_DOWN, MPQ_FWD_FFN_POST_NORM, y);
    return check_rows(g, row, n, err);
}

static size_t
tile_scratch(const struct mpq_net *net)
{
    const size_t d = net->n_embd;
    const size_t before = d + q_width(net) + 2 * kv_width(net);
    const size_t after = 2 * d + 2 * min_size(FF_BLOCK, net->n_ff);

    return TILE * (before > after ? before : after);
}

/* --- a small group: the weights are cut ------------------------------------------ */

static size_t
few_rows(const struct mpq_fwd_group *g, size_t item)
{
    return min_size(FEW, g->n_rows - item * FEW);
}

static size_t
pieces(size_t n, size_t step)
{
    return n / step + (n % step != 0);
}

static int
few_norm(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    const struct stage *s = ctx;
    const size_t row = item * FEW;

    (void)thread, (void)err;
    norm_rows(s->g, row, few_rows(s->g, item), MPQ_FWD_ATTN_NORM,
              s->h + row * s->g->f->net.n_embd);
    return 0;
}

static int
cut_qkv(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    const struct stage *s = ctx;
    const struct mpq_fwd_group *g = s->g;
    const struct mpq_net *net = &g->f->net;
    const size_t rows[3] = { q_width(net), kv_width(net), kv_width(net) };
    size_t m = 0, col = 0;

    (void)thread, (void)err;
    while (item >= pieces(rows[m], CUT)) {
        item -= pieces(rows[m], CUT);
        col += rows[m++];
    }
    const struct part p = { item * CUT, min_size(CUT, rows[m] - item * CUT), 0,
                            net->n_embd };
    product(g, (enum mpq_fwd_mat)m, &p, s->h, net->n_embd, g->n_rows, 0,
            s->t + col + p.row, s->wide);
    return 0;
}

static int
few_qkv(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    const struct stage *s = ctx;
    const struct mpq_net *net = &s->g->f->net;
    const size_t row = item * FEW;

    (void)thread, (void)err;
    for (size_t i = 0; i < few_rows(s->g, item); i++) {
        float *q = s->t + (row + i) * s->wide, *k = q + q_width(net);
        finish_qkv(s, row + i, q, k, k + kv_width(net));
    }
    return 0;
}

/* Rows of M cut, into x or y. */
static void
cut_out(const struct stage *s, enum mpq_fwd_mat m, enum mpq_fwd_vec post, size_t item,
        const float *in, size_t ld)
{
    const struct mpq_fwd_group *g = s->g;
    const size_t d = g->f->net.n_embd;
    const int direct = is_direct(g, post);
    struct part p = whole(g, m);

    p.row = item * CUT;
    p.n = min_size(CUT, d - p.row);
    product(g, m, &p, in, ld, g->n_rows, direct,
            (direct ? state_row(g, 0) : s->y) + p.row, d);
}

static int
cut_o(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    const struct stage *s = ctx;

    (void)thread, (void)err;
    cut_out(s, MPQ_FWD_O, MPQ_FWD_ATTN_POST_NORM, item, s->g->o,
            q_width(&s->g->f->net));
    return 0;
}

static int
few_attended(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    const struct stage *s = ctx;
    const size_t row = item * FEW, n = few_rows(s->g, item), d = s->g->f->net.n_embd;

    (void)thread, (void)err;
    finish_product(s->g, row, n, MPQ_FWD_O, MPQ_FWD_ATTN_POST_NORM, s->y + row * d);
    norm_rows(s->g, row, n, MPQ_FWD_FFN_NORM, s->h + row * d);
    return 0;
}

static int
cut_gate_up(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    const struct stage *s = ctx;
    const struct mpq_fwd_group *g = s->g;
    const size_t d = g->f->net.n_embd, ff = g->f->net.n_ff;
    const struct part p = { item * CUT, min_size(CUT, ff - item * CUT), 0, d };
    float *gate = s->t + p.row, *up = gate + ff;

    (void)thread, (void)err;
    product(g, MPQ_FWD_GATE, &p, s->h, d, g->n_rows, 0, gate, s->wide);
    product(g, MPQ_FWD_UP, &p, s->h, d, g->n_rows, 0, up, s->wide);
    activate(g, gate, up, g->n_rows, p.n, s->wide, p.row);
    return 0;
}

static int
cut_down(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    const struct stage *s = ctx;

    (void)thread, (void)err;
    cut_out(s, MPQ_FWD_DOWN, MPQ_FWD_FFN_POST_NORM, item, s->t, s->wide);
    return 0;
}

static int
few_done(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    const struct stage *s = ctx;
    const size_t row = item * FEW, n = few_rows(s->g, item), d = s->g->f->net.n_embd;

    (void)thread;
    finish_product(s->g, row, n, MPQ_FWD_DOWN, MPQ_FWD_FFN_POST_NORM, s->y + row * d);
    return check_rows(s->g, row, n, err);
}

/* Shows inputs to who wants to see them: those of matrices [first, last]. */
static int
tap(const struct stage *s, int input, enum mpq_fwd_mat first, enum mpq_fwd_mat last,
    const float *x, size_t stride, struct mpq_err *err)
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

static int
run_wide(struct stage *s, struct mpq_err *err)
{
    const struct mpq_fwd_group *g = s->g;
    const struct mpq_net *net = &g->f->net;
    const unsigned threads = g->f->n_threads;
    const size_t few = pieces(g->n_rows, FEW), out = pieces(net->n_embd, CUT);
    const size_t qkv = pieces(q_width(net), CUT) + 2 * pieces(kv_width(net), CUT);

    if (mpq_par_for(threads, few, few_norm, s, err) < 0 ||
        tap(s, 0, MPQ_FWD_Q, MPQ_FWD_V, s->h, net->n_embd, err) < 0 ||
        mpq_par_for(threads, qkv, cut_qkv, s, err) < 0 ||
        mpq_par_for(threads, few, few_qkv, s, err) < 0 || mpq_fwd_attend(g, err) < 0 ||
        tap(s, 1, MPQ_FWD_O, MPQ_FWD_O, g->o, q_width(net), err) < 0 ||
        mpq_par_for(threads, out, cut_o, s, err) < 0 ||
        mpq_par_for(threads, few, few_attended, s, err) < 0 ||
        tap(s, 2, MPQ_FWD_GATE, MPQ_FWD_UP, s->h, net->n_embd, err) < 0 ||
        mpq_par_for(threads, pieces(net->n_ff, CUT), cut_gate_up, s, err) < 0 ||
        tap(s, 3, MPQ_FWD_DOWN, MPQ_FWD_DOWN, s->t, s->wide, err) < 0 ||
        mpq_par_for(threads, out, cut_down, s, err) < 0 ||
        mpq_par_for(threads, few, few_done, s, err) < 0)
        return -1;
    return 0;
}

/* --- groups ------------------------------------------------------------------------
 */

static size_t
group_floats(const struct mpq_net *net)
{
    return 2 * q_width(net) + 2 * kv_width(net);
}

static int
run_group(struct mpq_fwd_group *g, size_t *seq_of, struct mpq_err *err)
{
    struct mpq_forward *f = g->f;
    const struct mpq_net *net = &f->net;
    const size_t qkv = q_width(net) + 2 * kv_width(net), d = net->n_embd, n = g->n_rows;
    const int small = n <= WIDE_ROWS || f->tap; /* there the inputs lie whole */
    struct stage s = { .g = g, .seq_of = seq_of };
    size_t need = n * group_floats(net), scratch = mpq_fwd_attend_scratch(net);

    if (n == 0)
        return 0;
    s.wide = qkv > 2 * net->n_ff ? qkv : 2 * net->n_ff;
    if (small)
        need += n * (2 * d + s.wide);
    else if (tile_scratch(net) > scratch)
        scratch = tile_scratch(net);
    if (mpq_fwd_room(&f->group, &f->group_room, need, err) < 0 ||
        mpq_fwd_scratch(f, scratch, err) < 0)
        return -1;
    g->tile = n < MANY_TILES * TILE ? SMALL_TILE : TILE;
    g->q = f->group;
    g->o = g->q + n * q_width(net);
    g->k = g->o + n * q_width(net);
    g->v = g->k + n * kv_width(net);
    s.h = g->v + n * kv_width(net);
    s.y = s.h + n * d;
    s.t = s.y + n * d;
    for (size_t i = g->first; i < g->first + g->n; i++)
        for (size_t r = 0; r < g->seqs[i].n; r++)
            seq_of[g->seqs[i].row + r - g->row] = i;
    if (small)
        return run_wide(&s, err);
    if (mpq_par_for(f->n_threads, pieces(n, g->tile), tile_before, &s, err) < 0 ||
        mpq_fwd_attend(g, err) < 0 ||
        mpq_par_for(f->n_threads, pieces(n, g->tile), tile_after, &s, err) < 0)
        return -1;
    return 0;
}

/* The end of the group that begins with sequence FIRST: at most MOST rows unless more
 * belong together. A cut at C is possible where no sequence from C on goes on from one
 * before it: reach[C] >= C. */
static size_t
group_end(const struct mpq_fwd_seq *seqs, size_t n, size_t first, const size_t *reach,
          size_t most)
{
    size_t end = 0, rows = 0;

    for (size_t c = first + 1; c <= n; c++) {
        rows += seqs[c - 1].n;
        if (rows > most && end)
            break;
        if (c == n || reach[c] >= c)
            end = c;
    }
    return end;
}

/* The angles of rope I for the first N positions. */
static int
make_turns(struct mpq_forward *f, int i, size_t n, struct mpq_err *err)
{
    const struct mpq_rope *rope = i ? &f->net.rope_local : &f->net.rope;
    const size_t half = rope->n_rot / 2;

    if (!rope->freq)
        return 0;
    free(f->turns[i]);
    f->turns[i] = NULL;
    if (n > SIZE_MAX / sizeof(float) / 2 / half ||
        !(f->turns[i] = mpq_array(n * 2 * half, sizeof(float))))
        return mpq_fail(err, MPQ_ENOMEM, "out of memory for %zu positions", n);
    for (size_t p = 0; p < n; p++)
        for (size_t k = 0; k < half; k++) {
            const double angle = (double)p * (double)rope->freq[k];
            float *to = f->turns[i] + p * 2 * half + k;
            to[0] = (float)(cos(angle) * (double)rope->gain);
            to[half] = (float)(sin(angle) * (double)rope->gain);
        }
    return 0;
}

static int
need_turns(struct mpq_forward *f, const struct mpq_fwd_seq *seqs, size_t n,
           struct mpq_err *err)
{
    size_t most = 0;

    for (size_t i = 0; i < n; i++)
        if (seqs[i].pos + seqs[i].n > most)
            most = seqs[i].pos + seqs[i].n;
    if (most <= f->n_pos)
        return 0;
    f->n_pos = 0;
    most += most / 4; /* generation asks for one more each time */
    if (make_turns(f, 0, most, err) < 0 || make_turns(f, 1, most, err) < 0)
        return -1;
    f->n_pos = most;
    return 0;
}

/* Rows of a group: as many as memory allows, and about as many in each. */
static size_t
group_rows(const struct mpq_forward *f, const struct mpq_fwd_seq *seqs, size_t n)
{
    const size_t by_memory = GROUP_FLOATS / group_floats(&f->net) + 1;
    const size_t most = min_size(f->tap ? WIDE_ROWS : GROUP_ROWS, by_memory);
    size_t all = 0, longest = 0;

    for (size_t i = 0; i < n; i++) {
        all += seqs[i].n;
        longest = seqs[i].n > longest ? seqs[i].n : longest;
    }
    const size_t groups = pieces(all, most);
    return groups ? min_size(most, pieces(all, groups) + longest - 1) : most;
}

int
mpq_fwd_run(struct mpq_forward *f, const struct mpq_fwd_layer *l,
            const struct mpq_fwd_seq *seqs, size_t n, float *x, struct mpq_err *err)
{
    const size_t most = group_rows(f, seqs, n);
    size_t *reach = NULL, *seq_of = NULL, room = 0;
    int rc = -1;

    if (need_turns(f, seqs, n, err) < 0)
        goto out;
    reach = mpq_array(n + 1, sizeof *reach);
    if (!reach) {
        mpq_fail(err, MPQ_ENOMEM, "out of memory for %zu sequences", n);
        goto out;
    }
    reach[n] = n;
    for (size_t i = n; i-- > 0;)
        reach[i] = min_size(reach[i + 1],
                            seqs[i].pos && !seqs[i].cache_k ? seqs[i].parent : i);
    for (size_t i = 0; i < n;) {
        const size_t end = group_end(seqs, n, i, reach, most);
        struct mpq_fwd_group g = { .f = f,
                                   .layer = l,
                                   .seqs = seqs,
                                   .first = i,
                                   .n = end - i,
                                   .row = seqs[i].row,
                                   .x = x };
        for (size_t k = i; k < end; k++)
            g.n_rows += seqs[k].n;
        if (g.n_rows > room) {
            free(seq_of);
            room = g.n_rows;
            if (!(seq_of = mpq_array(room, sizeof *seq_of))) {
                mpq_fail(err, MPQ_ENOMEM, "out of memory for %zu tokens", room);
                goto out;
            }
        }
        if (run_group(&g, seq_of, err) < 0)
            goto out;
        i = end;
    }
    rc = 0;
out:
    free(reach);
    free(seq_of);
    return rc;
}
