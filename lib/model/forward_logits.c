/*
 * Logits in tiles. The rows that are asked for are normed once; then the vocabulary
 * goes by in tiles, each decoded once for all rows: while the threads multiply with
 * one, they decode the next. Few rows (generation) share a tile instead: there a task
 * decodes a piece of the vocabulary and multiplies with it.
 */
#include "base/buf.h"
#include "base/par.h"
#include "model/forward_own.h"
#include "num/linalg.h"
#include "num/vmath.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

enum {
    IDS = 2048, /* of the vocabulary in a tile */
    ROWS = 128, /* in a tile: with IDS 1 MB of logits, which stay in the cache */
    FEW = 64,   /* up to here rows share a tile ... */
    FEW_IDS = 16384,
    PIECE = 256,             /* ... and this many ids are a task's; or decoded */
    SHARED_ROWS = 4,         /* of such a tile, handed over at once */
    BATCH_FLOATS = 64 << 20, /* in the rows that are normed at a time */
    BATCH_ROWS_MIN = 4096
};

struct side {
    struct mpq_forward *f;
    const struct mpq_weight *w;
    const float *x; /* hidden states */
    size_t d;
    float *normed;      /* [rows of the batch][d] */
    const float *ready; /* the whole unembedding where it needs no decoding */
    float *ids[2];      /* [IDS][d]: this tile's and the next one's */
    size_t normed_room, room[2];
};

struct logits {
    struct side side[2];
    int n_sides;
    size_t n_vocab;
    const size_t *rows;        /* of the batch */
    size_t first, n;           /* the batch: rows [first, first + n) of the list */
    size_t vocab, n_ids, tile; /* ids of the tile; its number */
    float *shared[2];          /* few rows: [n][FEW_IDS] */
    mpq_logits_fn *fn;
    void *ctx;
};

static size_t
min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t
pieces(size_t n, size_t step)
{
    return n / step + (n % step != 0);
}

static int
norm_some(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    const struct logits *l = ctx;
    const size_t begin = item * FEW, end = min_size(l->n, begin + FEW);

    (void)thread, (void)err;
    for (int k = 0; k < l->n_sides; k++) {
        const struct side *s = &l->side[k];
        for (size_t i = begin; i < end; i++)
            mpq_vrms_norm(s->normed + i * s->d, s->x + l->rows[i] * s->d,
                          s->f->final_norm, s->d, s->f->net.norm_eps);
    }
    return 0;
}

/* out[n][ld] = normed rows [row, row + n) times ids [0, n_ids) at W. */
static int
multiply(const struct logits *l, const struct side *s, size_t row, size_t n,
         const float *w, size_t n_ids, float *out, size_t ld, struct mpq_err *err)
{
    const float cap = s->f->net.final_softcap;

    mpq_gemm_add_f(0, 1, n, n_ids, s->d, 1, s->normed + row * s->d, s->d, w, s->d, 0,
                   out, ld);
    for (size_t i = 0; i < n; i++) {
        float *x = out + i * ld;
        if (!mpq_vfinite(x, n_ids))
            return mpq_fail(err, MPQ_EDATA,
                            "%s: %s: a logit is NaN or infinite (token %zu)",
                            mpq_source_name(s->f->s), s->w->name, l->rows[row + i] + 1);
        if (cap > 0)
            mpq_vsoftcap(x, n_ids, cap);
    }
    return 0;
}

static int
hand_over(const struct logits *l, size_t row, size_t n, const float *logits,
          const float *ref, size_t stride, unsigned thread, struct mpq_err *err)
{
    const struct mpq_logit_tile tile = {
        .row = l->first + row,
        .n_rows = n,
        .vocab = (uint32_t)l->vocab,
        .n_vocab = (uint32_t)l->n_ids,
        .stride = stride,
        .logits = logits,
        .ref = l->n_sides > 1 ? ref : NULL,
    };

    return l->fn(l->ctx, &tile, thread, err);
}

/* --- many rows -------------------------------------------------------------------- */

/* Ids [at, at + n) of the tile that begins at VOCAB, of side S. */
static int
decode_ids(const struct side *s, size_t vocab, size_t at, size_t n, float *dst,
           struct mpq_err *err)
{
    if (s->ready)
        return 0;
    return mpq_source_read_rows(s->f->s, s->w, vocab + at, n, dst + at * s->d, err);
}

/* First the pieces of the next tile, then the rows of this one. */
static int
multiply_or_decode(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    const struct logits *l = ctx;
    const size_t next = l->vocab + l->n_ids, n_next = min_size(IDS, l->n_vocab - next);
    const size_t decodes = pieces(n_next, PIECE);
    float *out[2];

    if (item < decodes) {
        const size_t at = item * PIECE, n = min_size(PIECE, n_next - at);
        for (int k = 0; k < l->n_sides; k++)
            if (decode_ids(&l->side[k], next, at, n, l->side[k].ids[(l->tile + 1) % 2],
                           err) < 0)
                return -1;
        return 0;
    }
    const size_t row = (item - decodes) * ROWS, n = min_size(ROWS, l->n - row);
    for (int k = 0; k < l->n_sides; k++) {
        const struct side *s = &l->side[k];
        const float *w = s->ready ? s->ready + l->vocab * s->d : s->ids[l->tile % 2];
        out[k] = l->side[0].f->scratch[thread] + (size_t)k * ROWS * IDS;
        if (multiply(l, s, row, n, w, l->n_ids, out[k], IDS, err) < 0)
            return -1;
    }
    return hand_over(l, row, n, out[0], out[1], IDS, thread, err);
}

static int
run_many(struct logits *l, struct mpq_err *err)
{
    const unsigned threads = l->side[0].f->n_threads;

    if (mpq_fwd_scratch(l->side[0].f, 2 * ROWS * IDS, err) < 0)
        return -1;
    for (int k = 0; k < l->n_sides; k++) {
        struct side *s = &l->side[k];
        for (int b = 0; b < 2 && !s->ready; b++)
            if (mpq_fwd_room(&s->ids[b], &s->room[b], IDS * s->d, err) < 0)
                return -1;
        if (!s->ready &&
            mpq_fwd_rows(s->f, s->w, 0, min_size(IDS, l->n_vocab), s->ids[0], err) < 0)
            return -1;
    }
    for (l->tile = 0; l->tile * IDS < l->n_vocab; l->tile++) {
        l->vocab = l->tile * IDS;
        l->n_ids = min_size(IDS, l->n_vocab - l->vocab);
        const size_t left = min_size(IDS, l->n_vocab - l->vocab - l->n_ids);
        if (mpq_par_for(threads, pieces(left, PIECE) + pieces(l->n, ROWS),
                        multiply_or_decode, l, err) < 0)
            return -1;
    }
    return 0;
}

/* --- few rows --------------------------------------------------------------------- */

static int
few_ids(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    const struct logits *l = ctx;
    const size_t at = item * PIECE, n = min_size(PIECE, l->n_ids - at);

    for (int k = 0; k < l->n_sides; k++) {
        const struct side *s = &l->side[k];
        float *w = s->f->scratch[thread];
        if (decode_ids(s, l->vocab + at, 0, n, w, err) < 0 ||
            multiply(l, s, 0, l->n, s->ready ? s->ready + (l->vocab + at) * s->d : w, n,
                     l->shared[k] + at, FEW_IDS, err) < 0)
            return -1;
    }
    return 0;
}

static int
few_rows(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    const struct logits *l = ctx;
    const size_t row = item * SHARED_ROWS, n = min_size(SHARED_ROWS, l->n - row);
    const float *ref = l->shared[1] ? l->shared[1] + row * FEW_IDS : NULL;

    return hand_over(l, row, n, l->shared[0] + row * FEW_IDS, ref, FEW_IDS, thread,
                     err);
}

static int
run_few(struct logits *l, struct mpq_err *err)
{
    const unsigned threads = l->side[0].f->n_threads;

    for (int k = 0; k < l->n_sides; k++) {
        if (!l->shared[k] && !(l->shared[k] = mpq_array(FEW * FEW_IDS, sizeof(float))))
            return mpq_fail(err, MPQ_ENOMEM, "out of memory for logits");
        if (mpq_fwd_scratch(l->side[k].f, PIECE * l->side[k].d, err) < 0)
            return -1;
    }
    for (l->vocab = 0; l->vocab < l->n_vocab; l->vocab += FEW_IDS) {
        l->n_ids = min_size(FEW_IDS, l->n_vocab - l->vocab);
        if (mpq_par_for(threads, pieces(l->n_ids, PIECE), few_ids, l, err) < 0 ||
            mpq_par_for(threads, pieces(l->n, SHARED_ROWS), few_rows, l, err) < 0)
            return -1;
    }
    return 0;
}

/* -----------------------------------------------------------------------------------
 */

static int
open_side(struct logits *l, const struct mpq_logits_side *from, struct mpq_err *err)
{
    struct side *s = &l->side[l->n_sides++];

    s->f = from->f;
    s->w = mpq_fwd_unembed(from->f);
    s->x = from->x->x;
    s->d = from->f->net.n_embd;
    s->ready = mpq_fwd_unembed_ready(s->f, s->w);
    if (s->f->net.n_vocab != l->n_vocab)
        return mpq_fail(err, MPQ_EDATA, "%s: a vocabulary of %zu, %s has %zu",
                        mpq_source_name(s->f->s), s->f->net.n_vocab,
                        mpq_source_name(l->side[0].f->s), l->n_vocab);
    /* a task's scratch memory is by the first side's threads */
    assert(s->f->n_threads >= l->side[0].f->n_threads);
    return 0;
}

static int
run_batch(struct logits *l, struct mpq_err *err)
{
    for (int k = 0; k < l->n_sides; k++)
        if (mpq_fwd_room(&l->side[k].normed, &l->side[k].normed_room,
                         l->n * l->side[k].d, err) < 0)
            return -1;
    if (mpq_par_for(l->side[0].f->n_threads, pieces(l->n, FEW), norm_some, l, err) < 0)
        return -1;
    return l->n <= FEW ? run_few(l, err) : run_many(l, err);
}

int
mpq_forward_logits(const struct mpq_logits_side *side,
                   const struct mpq_logits_side *ref, const size_t *rows, size_t n_rows,
                   mpq_logits_fn *fn, void *ctx, struct mpq_err *err)
{
    struct logits l = { .n_vocab = side->f->net.n_vocab, .fn = fn, .ctx = ctx };
    size_t batch = BATCH_FLOATS / side->f->net.n_embd;
    int rc = -1;

    if (open_side(&l, side, err) < 0 || (ref && open_side(&l, ref, err) < 0))
        goto out;
    if (batch < BATCH_ROWS_MIN)
        batch = BATCH_ROWS_MIN;
    for (size_t i = 0; i < n_rows; i++)
        assert(rows[i] < side->x->n);
    for (l.first = 0; l.first < n_rows; l.first += l.n) {
        l.rows = rows + l.first;
        l.n = min_size(batch, n_rows - l.first);
        if (run_batch(&l, err) < 0)
            goto out;
    }
    rc = 0;
out:
    for (int k = 0; k < 2; k++) {
        free(l.side[k].normed);
        free(l.side[k].ids[0]);
        free(l.side[k].ids[1]);
        free(l.shared[k]);
    }
    return rc;
}
