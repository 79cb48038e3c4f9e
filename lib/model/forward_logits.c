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
#include "quant/round8.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

enum {
    IDS = 2048,  /* of the vocabulary in a tile */
    ROWS = 128,  /* in a tile: with IDS 1 MB of logits, which stay in the cache ... */
    ROWS8 = 126, /* ... and where one side is in integers, which go by 6 */
    FEW = 64,    /* up to here rows share a tile ... */
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
    /* the same in integers */
    int is_int8;
    struct mpq_gemm8_form form;
    struct mpq_gemm8_inputs rounded; /* normed */
    const struct mpq_gemm8_weights *ready8;
    struct mpq_gemm8_weights ids8[2],
        *few8; /* few8[n_threads]: a piece for each task */
};

struct logits {
    struct side side[2];
    int n_sides;
    size_t step; /* rows in a tile */
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
    struct logits *l = ctx;
    const size_t begin = item * FEW, end = min_size(l->n, begin + FEW);

    (void)thread, (void)err;
    for (int k = 0; k < l->n_sides; k++) {
        const struct side *s = &l->side[k];
        for (size_t i = begin; i < end; i++)
            mpq_vrms_norm(s->normed + i * s->d, s->x + l->rows[i] * s->d,
                          s->f->final_norm, s->d, s->f->net.norm_eps);
        if (s->is_int8)
            mpq_round8(&l->side[k].rounded, begin, end - begin,
                       s->normed + begin * s->d, s->d);
    }
    return 0;
}

/* Where ids are: w[][d], or from a row of W8 on. */
struct ids {
    const float *w;
    const struct mpq_gemm8_weights *w8;
    size_t row; /* of w8 */
};

/* Ids from AT on where they lie in what is ready; PIECE or PIECE8, which begin there,
 * where nothing is. */
static struct ids
find_ids(const struct side *s, size_t at, const float *piece,
         const struct mpq_gemm8_weights *piece8)
{
    if (s->is_int8)
        return (struct ids){ NULL, s->ready8 ? s->ready8 : piece8, s->ready8 ? at : 0 };
    return (struct ids){ s->ready ? s->ready + at * s->d : piece, NULL, 0 };
}

/* out[n][ld] = normed rows [row, row + n) times N_IDS ids. */
static int
multiply(const struct logits *l, const struct side *s, size_t row, size_t n,
         struct ids ids, size_t n_ids, float *out, size_t ld, struct mpq_err *err)
{
    const float cap = s->f->net.final_softcap;

    if (ids.w8) {
        const struct mpq_gemm8_part part = { ids.row, n_ids, 0, row, n };
        mpq_gemm8(ids.w8, &s->rounded, &part, 0, out, ld);
    } else {
        mpq_gemm_add_f(0, 1, n, n_ids, s->d, 1, s->normed + row * s->d, s->d, ids.w,
                       s->d, 0, out, ld);
    }
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

/* Ids [at, at + n) of the tile that begins at VOCAB, of side S, to their place in DST,
 * or in DST8. */
static int
decode_ids(const struct side *s, size_t vocab, size_t at, size_t n, float *dst,
           struct mpq_gemm8_weights *dst8, struct mpq_err *err)
{
    if (s->ready || s->ready8)
        return 0;
    if (s->is_int8)
        return mpq_fwd_split_rows(s->f, s->w, vocab + at, n, dst8, at, err);
    return mpq_source_read_rows(s->f->s, s->w, vocab + at, n, dst + at * s->d, err);
}

/* First the pieces of the next tile, then the rows of this one. */
static int
multiply_or_decode(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    struct logits *l = ctx;
    const size_t next = l->vocab + l->n_ids, n_next = min_size(IDS, l->n_vocab - next);
    const size_t decodes = pieces(n_next, PIECE);
    float *out[2];

    if (item < decodes) {
        const size_t at = item * PIECE, n = min_size(PIECE, n_next - at);
        for (int k = 0; k < l->n_sides; k++) {
            struct side *s = &l->side[k];
            const size_t to = (l->tile + 1) % 2;
            if (decode_ids(s, next, at, n, s->ids[to], &s->ids8[to], err) < 0)
                return -1;
        }
        return 0;
    }
    const size_t row = (item - decodes) * l->step, n = min_size(l->step, l->n - row);
    for (int k = 0; k < l->n_sides; k++) {
        const struct side *s = &l->side[k];
        const struct ids ids =
            find_ids(s, l->vocab, s->ids[l->tile % 2], &s->ids8[l->tile % 2]);
        out[k] = l->side[0].f->scratch[thread] + (size_t)k * ROWS * IDS;
        if (multiply(l, s, row, n, ids, l->n_ids, out[k], IDS, err) < 0)
            return -1;
    }
    return hand_over(l, row, n, out[0], out[1], IDS, thread, err);
}

/* Room for two tiles of S's ids, the first of them decoded. */
static int
begin_ids(struct side *s, size_t n_vocab, struct mpq_err *err)
{
    const size_t first = min_size(IDS, n_vocab);

    if (s->ready || s->ready8)
        return 0;
    for (int b = 0; b < 2; b++)
        if ((s->is_int8 ? mpq_gemm8_shape(&s->ids8[b], s->form, first, s->d, err)
                        : mpq_fwd_room(&s->ids[b], &s->room[b], IDS * s->d, err)) < 0)
            return -1;
    return s->is_int8 ? mpq_fwd_rows8(s->f, s->w, s->form, 0, first, &s->ids8[0], err)
                      : mpq_fwd_rows(s->f, s->w, 0, first, s->ids[0], err);
}

static int
run_many(struct logits *l, struct mpq_err *err)
{
    const unsigned threads = l->side[0].f->n_threads;

    if (mpq_fwd_scratch(l->side[0].f, 2 * ROWS * IDS, err) < 0)
        return -1;
    for (int k = 0; k < l->n_sides; k++)
        if (begin_ids(&l->side[k], l->n_vocab, err) < 0)
            return -1;
    for (l->tile = 0; l->tile * IDS < l->n_vocab; l->tile++) {
        l->vocab = l->tile * IDS;
        l->n_ids = min_size(IDS, l->n_vocab - l->vocab);
        const size_t left = min_size(IDS, l->n_vocab - l->vocab - l->n_ids);
        if (mpq_par_for(threads, pieces(left, PIECE) + pieces(l->n, l->step),
                        multiply_or_decode, l, err) < 0)
            return -1;
    }
    return 0;
}

/* --- few rows --------------------------------------------------------------------- */

static int
few_ids(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    struct logits *l = ctx;
    const size_t at = item * PIECE, n = min_size(PIECE, l->n_ids - at);

    for (int k = 0; k < l->n_sides; k++) {
        const struct side *s = &l->side[k];
        struct mpq_gemm8_weights *w8 = s->few8 ? &s->few8[thread] : NULL;
        float *w = s->f->scratch[thread];
        if (w8 && mpq_gemm8_shape(w8, s->form, n, s->d, err) < 0)
            return -1;
        if (decode_ids(s, l->vocab + at, 0, n, w, w8, err) < 0 ||
            multiply(l, s, 0, l->n, find_ids(s, l->vocab + at, w, w8), n,
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
        struct side *s = &l->side[k];
        if (mpq_fwd_scratch(s->f, PIECE * s->d, err) < 0)
            return -1;
        if (s->is_int8 && !s->ready8 && !s->few8 &&
            !(s->few8 = mpq_array(s->f->n_threads, sizeof *s->few8)))
            return mpq_fail(err, MPQ_ENOMEM, "out of memory for logits");
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
    s->ready8 = mpq_fwd_unembed_ready8(s->f, s->w);
    s->is_int8 = mpq_fwd_form(s->f, s->w, &s->form);
    if (s->is_int8)
        l->step = ROWS8;
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
    for (int k = 0; k < l->n_sides; k++) {
        struct side *s = &l->side[k];
        if (mpq_fwd_room(&s->normed, &s->normed_room, l->n * s->d, err) < 0)
            return -1;
        if (!s->is_int8)
            continue;
        if (mpq_gemm8_reserve(&s->rounded, l->n, s->d, err) < 0)
            return -1;
        mpq_gemm8_begin(&s->rounded, l->n, s->d, s->form.block);
    }
    if (mpq_par_for(l->side[0].f->n_threads, pieces(l->n, FEW), norm_some, l, err) < 0)
        return -1;
    return l->n <= FEW ? run_few(l, err) : run_many(l, err);
}

static void
free_side(struct side *s)
{
    for (unsigned t = 0; s->few8 && t < s->f->n_threads; t++)
        mpq_gemm8_free(&s->few8[t]);
    free(s->few8);
    for (int b = 0; b < 2; b++) {
        mpq_gemm8_free(&s->ids8[b]);
        free(s->ids[b]);
    }
    mpq_gemm8_inputs_free(&s->rounded);
    free(s->normed);
}

int
mpq_forward_logits(const struct mpq_logits_side *side,
                   const struct mpq_logits_side *ref, const size_t *rows, size_t n_rows,
                   mpq_logits_fn *fn, void *ctx, struct mpq_err *err)
{
    struct logits l = {
        .step = ROWS, .n_vocab = side->f->net.n_vocab, .fn = fn, .ctx = ctx
    };
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
        free_side(&l.side[k]);
        free(l.shared[k]);
    }
    return rc;
}
