/*
 * Attention in blocks, with the softmax carried along (Milakov and Gimelshein, arXiv
 * 1805.02867; Dao et al., arXiv 2205.14135): for a block of queries of all heads that
 * share a key head, the keys go by in blocks; scores are exponentiated against the
 * largest so far, and what was summed before is scaled down when a larger one comes.
 * No matrix of all scores is ever there, and blocks that no query sees are not touched.
 */
#include "base/buf.h"
#include "base/par.h"
#include "model/forward_own.h"
#include "num/linalg.h"
#include "num/vmath.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    KEYS = 512,    /* in a block */
    QUERIES = 256, /* rows of a block: queries times heads, about */
};

static size_t
min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t
max_size(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Positions in a block of queries. */
static size_t
block_positions(const struct mpq_net *net)
{
    const size_t share = net->n_head / net->n_head_kv;
    const size_t n = QUERIES / share / 32 * 32;

    return n < 32 ? 32 : n > 128 ? 128 : n;
}

static size_t
block_rows(const struct mpq_net *net)
{
    return block_positions(net) * (net->n_head / net->n_head_kv);
}

size_t
mpq_fwd_attend_scratch(const struct mpq_net *net)
{
    return block_rows(net) * (KEYS + net->head_dim + 2);
}

struct block {
    size_t seq, first, n; /* queries [first, first + n) of the sequence */
};

struct attention {
    const struct mpq_fwd_group *g;
    const struct block *blocks;
};

/* A block on its way. Row r is query r / share of head r % share. */
struct softmax {
    const struct mpq_net *net;
    size_t window, share;
    const float *q;      /* [rows][head_dim] */
    size_t pos, n, rows; /* position of the first query; queries */
    float *scores;       /* [rows][KEYS] */
    float *out;          /* [rows][head_dim]: sum of exp(score - top) v */
    float *top, *sum;    /* [rows] */
    int begun;
};

/* Makes scores of row R, of keys at positions from KEY on, N of them, into weights. */
static void
weigh_row(struct softmax *s, size_t r, size_t key, size_t n)
{
    const size_t pos = s->pos + r / s->share;
    const size_t from = s->window && pos + 1 > s->window ? pos + 1 - s->window : 0;
    const size_t a = from > key ? min_size(from - key, n) : 0;
    const size_t b = pos + 1 > key ? min_size(pos + 1 - key, n) : 0;
    float *x = s->scores + r * KEYS;

    if (a >= b) {
        memset(x, 0, n * sizeof *x);
        return;
    }
    memset(x, 0, a * sizeof *x);
    memset(x + b, 0, (n - b) * sizeof *x);
    if (s->net->attn_softcap > 0)
        mpq_vsoftcap(x + a, b - a, s->net->attn_softcap);
    const float top = mpq_vmax(x + a, b - a);
    if (!(top <= s->top[r])) { /* NaN too */
        const float scale = s->sum[r] > 0 ? expf(s->top[r] - top) : 0;
        if (s->sum[r] > 0) {
            s->sum[r] *= scale;
            mpq_vscale(s->out + r * s->net->head_dim, s->net->head_dim, scale);
        }
        s->top[r] = top;
    }
    s->sum[r] += (float)mpq_vexp(x + a, b - a, s->top[r]);
}

/* Takes in keys and values of positions [key, key + n), n <= KEYS. */
static void
take_keys(struct softmax *s, const float *k, const float *v, size_t key, size_t n)
{
    const size_t hd = s->net->head_dim;

    mpq_gemm_add_f(0, 1, s->rows, n, hd, s->net->attn_scale, s->q, hd, k, hd, 0,
                   s->scores, KEYS);
    for (size_t r = 0; r < s->rows; r++)
        weigh_row(s, r, key, n);
    mpq_gemm_add_f(0, 0, s->rows, hd, n, 1, s->scores, KEYS, v, hd, s->begun ? 1 : 0,
                   s->out, hd);
    s->begun = 1;
}

/* The keys of a run of positions from FIRST on, N of them, as far as they are seen. */
static void
take_run(struct softmax *s, const float *k, const float *v, size_t first, size_t n)
{
    const size_t hd = s->net->head_dim;
    const size_t seen =
        s->window && s->pos + 1 > s->window ? s->pos + 1 - s->window : 0;
    const size_t begin = max_size(first, seen),
                 end = min_size(first + n, s->pos + s->n);

    for (size_t at = begin; at < end; at += KEYS)
        take_keys(s, k + (at - first) * hd, v + (at - first) * hd, at,
                  min_size(KEYS, end - at));
}

static void
take_all(struct softmax *s, const struct mpq_fwd_group *g,
         const struct mpq_fwd_seq *seq, size_t head)
{
    const size_t hd = s->net->head_dim, plane = head * g->n_rows;

    if (seq->cache_k) {
        const size_t at = head * seq->cache_stride;
        take_run(s, seq->cache_k + at, seq->cache_v + at, 0, seq->pos + seq->n);
        return;
    }
    if (seq->pos) {
        const size_t at = (plane + g->seqs[seq->parent].row - g->row) * hd;
        take_run(s, g->k + at, g->v + at, 0, seq->pos);
    }
    const size_t at = (plane + seq->row - g->row) * hd;
    take_run(s, g->k + at, g->v + at, seq->pos, seq->n);
}

static int
attend_block(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    const struct attention *a = ctx;
    const struct mpq_fwd_group *g = a->g;
    const struct mpq_net *net = &g->f->net;
    const struct block *b = &a->blocks[item / net->n_head_kv];
    const struct mpq_fwd_seq *seq = &g->seqs[b->seq];
    const size_t head = item % net->n_head_kv, share = net->n_head / net->n_head_kv;
    const size_t hd = net->head_dim, row = seq->row - g->row + b->first;
    struct softmax s = { .net = net,
                         .window = net->window[g->layer->index],
                         .share = share,
                         .pos = seq->pos + b->first,
                         .n = b->n,
                         .rows = b->n * share };

    (void)err;
    s.q = g->q + (head * g->n_rows + row) * share * hd;
    s.scores = g->f->scratch[thread];
    s.out = s.scores + s.rows * KEYS;
    s.top = s.out + s.rows * hd;
    s.sum = s.top + s.rows;
    for (size_t r = 0; r < s.rows; r++) {
        s.top[r] = -INFINITY;
        s.sum[r] = 0;
    }
    take_all(&s, g, seq, head);
    for (size_t r = 0; r < s.rows; r++) {
        float *to =
            g->o + ((row + r / share) * net->n_head + head * share + r % share) * hd;
        const float scale = 1 / s.sum[r];
        for (size_t i = 0; i < hd; i++)
            to[i] = s.out[r * hd + i] * scale;
    }
    return 0;
}

int
mpq_fwd_attend(const struct mpq_fwd_group *g, struct mpq_err *err)
{
    const struct mpq_net *net = &g->f->net;
    const size_t step = block_positions(net);
    struct block *blocks = NULL;
    size_t n = 0;

    for (size_t i = g->first; i < g->first + g->n; i++)
        n += g->seqs[i].n / step + (g->seqs[i].n % step != 0);
    blocks = mpq_array(n, sizeof *blocks);
    if (!blocks)
        return mpq_fail(err, MPQ_ENOMEM, "out of memory for %zu blocks", n);
    n = 0;
    for (size_t i = g->first; i < g->first + g->n; i++)
        for (size_t at = 0; at < g->seqs[i].n; at += step)
            blocks[n++] = (struct block){ i, at, min_size(step, g->seqs[i].n - at) };
    struct attention a = { g, blocks };
    int rc = mpq_par_for(g->f->n_threads, n * net->n_head_kv, attend_block, &a, err);
    free(blocks);
    return rc;
}
