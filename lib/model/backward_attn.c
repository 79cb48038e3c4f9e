/*
 * Back through the attention. A task is a key head of a sequence: the queries that
 * share it go by in blocks, and what they add to the gradients of keys and values is
 * summed in their order. With P = softmax(S), S = scale q k^T (capped), O = P v:
 *
 *   dv = P^T dO,  dP = dO v^T,  dS = P (dP - rowsum(dO O)),  dq = scale dS k,
 *   dk = scale dS^T q
 */
#include "base/par.h"
#include "model/backward_own.h"
#include "num/linalg.h"
#include "num/vgrad.h"
#include "num/vmath.h"

#include <string.h>

enum {
    POSITIONS = 64,     /* in a block of queries, and fewer ... */
    SCORES = 192 * 1024 /* ... where there would be more scores */
};

static size_t
block_positions(const struct mpq_net *net, size_t n)
{
    const size_t share = net->n_head / net->n_head_kv;
    const size_t most = SCORES / share / (n ? n : 1);

    return most < 1 ? 1 : most < POSITIONS ? most : POSITIONS;
}

size_t
mpq_bwd_attend_scratch(const struct mpq_net *net, size_t n)
{
    const size_t rows = block_positions(net, n) * (net->n_head / net->n_head_kv);

    return rows * (3 * n + 2 * net->head_dim);
}

/* A block of queries: positions [pos, pos + n) of a sequence. Row r is query r / share
 * of head r % share. */
struct block {
    const struct mpq_net *net;
    size_t pos, n, rows, share, window;
    size_t from, n_keys; /* keys that some query of the block sees */
    float *p, *dp;       /* [rows][n_keys] */
    float *capped;       /* the same: scores with their cap; NULL: there is none */
    float *o, *d_o;      /* [rows][head_dim] */
};

/* Scores of row R into weights of what it sees, 0 elsewhere. */
static void
weigh_row(const struct block *b, size_t r)
{
    const size_t pos = b->pos + r / b->share;
    const size_t first = b->window && pos + 1 > b->window ? pos + 1 - b->window : 0;
    const size_t a = first > b->from ? first - b->from : 0, end = pos + 1 - b->from;
    float *p = b->p + r * b->n_keys;

    memset(p, 0, a * sizeof *p);
    memset(p + end, 0, (b->n_keys - end) * sizeof *p);
    if (b->capped) {
        mpq_vsoftcap(p + a, end - a, b->net->attn_softcap);
        memcpy(b->capped + r * b->n_keys, p, b->n_keys * sizeof *p);
    }
    const float top = mpq_vmax(p + a, end - a);
    const double sum = mpq_vexp(p + a, end - a, top);
    mpq_vscale(p + a, end - a, (float)(1 / sum));
}

/* dS of row R, in the place of dp. */
static void
back_row(const struct block *b, size_t r)
{
    const size_t hd = b->net->head_dim;
    const float *p = b->p + r * b->n_keys;
    const float mean = (float)mpq_vdot(b->o + r * hd, b->d_o + r * hd, hd);
    float *dp = b->dp + r * b->n_keys;

    for (size_t i = 0; i < b->n_keys; i++)
        dp[i] = p[i] * (dp[i] - mean);
    if (b->capped)
        mpq_vsoftcap_back(dp, b->capped + r * b->n_keys, b->n_keys,
                          b->net->attn_softcap);
}

/* Softmax and back, with q, k and v where the block's rows and keys begin. */
static void
take_block(const struct block *b, const float *q, const float *k, const float *v,
           float *dq, float *dk, float *dv)
{
    const size_t hd = b->net->head_dim, n = b->n_keys;
    const float scale = b->net->attn_scale;

    mpq_gemm_add_f(0, 1, b->rows, n, hd, scale, q, hd, k, hd, 0, b->p, n);
    for (size_t r = 0; r < b->rows; r++)
        weigh_row(b, r);
    mpq_gemm_add_f(1, 0, n, hd, b->rows, 1, b->p, n, b->d_o, hd, 1, dv, hd);
    mpq_gemm_add_f(0, 1, b->rows, n, hd, 1, b->d_o, hd, v, hd, 0, b->dp, n);
    for (size_t r = 0; r < b->rows; r++)
        back_row(b, r);
    mpq_gemm_add_f(0, 0, b->rows, hd, n, scale, b->dp, n, k, hd, 0, dq, hd);
    mpq_gemm_add_f(1, 0, n, hd, b->rows, scale, b->dp, n, q, hd, 1, dk, hd);
}

/* Outputs of the heads that share HEAD, and their gradients, row by row. */
static void
gather(const struct block *b, const struct mpq_bwd_group *w, size_t row, size_t head)
{
    const struct mpq_net *net = b->net;
    const size_t hd = net->head_dim, width = net->n_head * hd, run = b->share * hd;

    for (size_t i = 0; i < b->n; i++) {
        const size_t at = (row + i) * width + head * run;
        memcpy(b->o + i * run, w->g.o + at, run * sizeof *b->o);
        memcpy(b->d_o + i * run, w->d_o + at, run * sizeof *b->o);
    }
}

static int
attend_head(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    const struct mpq_bwd_group *w = ctx;
    const struct mpq_net *net = &w->g.f->net;
    const struct mpq_fwd_seq *seq = &w->g.seqs[w->g.first + item / net->n_head_kv];
    const size_t head = item % net->n_head_kv, share = net->n_head / net->n_head_kv;
    const size_t hd = net->head_dim, step = block_positions(net, seq->n);
    const size_t first = seq->row - w->g.row, plane = head * w->g.n_rows + first;
    struct block b = { .net = net,
                       .share = share,
                       .window = net->window[w->g.layer->index] };

    (void)err;
    memset(w->dk + plane * hd, 0, seq->n * hd * sizeof *w->dk);
    memset(w->dv + plane * hd, 0, seq->n * hd * sizeof *w->dv);
    b.p = w->g.f->scratch[thread];
    for (size_t at = 0; at < seq->n; at += step) {
        b.pos = at;
        b.n = mpq_fwd_min(step, seq->n - at);
        b.rows = b.n * share;
        b.from = b.window && at + 1 > b.window ? at + 1 - b.window : 0;
        b.n_keys = at + b.n - b.from;
        b.dp = b.p + b.rows * b.n_keys;
        b.capped = net->attn_softcap > 0 ? b.dp + b.rows * b.n_keys : NULL;
        b.o = b.dp + (b.capped ? 2 : 1) * b.rows * b.n_keys;
        b.d_o = b.o + b.rows * hd;
        gather(&b, w, first + at, head);
        const size_t rows = (plane + at) * share * hd, keys = (plane + b.from) * hd;
        take_block(&b, w->g.q + rows, w->g.k + keys, w->g.v + keys, w->dq + rows,
                   w->dk + keys, w->dv + keys);
    }
    return 0;
}

int
mpq_bwd_attend(struct mpq_bwd_group *b, struct mpq_err *err)
{
    const struct mpq_forward *f = b->g.f;

    return mpq_par_for(f->n_threads, b->g.n * f->net.n_head_kv, attend_head, b, err);
}
