/* The unembedding's subspace: its Gram matrix in double, a block of rows at a time. */
#include "base/buf.h"
#include "base/par.h"
#include "method/survey_own.h"
#include "num/linalg.h"

#include <stdlib.h>

enum {
    SLABS = 8,        /* partial Gram matrices of a narrow model, whatever -j ... */
    NARROW = 1024,    /* ... up to this order; wider ones share the tiles of one */
    BLOCK_ROWS = 2048 /* rows in memory at a time then */
};

struct gram {
    struct mpq_survey *v;
    const struct mpq_weight *w;
    double *g;    /* [slabs][n][n] */
    float *block; /* [rows][n] of a wide model */
    uint64_t rows;
    float **scratch; /* [n_threads][mpq_gram_scratch()] */
};

static int
out_of_memory(const struct gram *k, struct mpq_err *err)
{
    return mpq_fail(err, MPQ_ENOMEM, "%s: %s: out of memory",
                    mpq_source_name(k->v->source), k->w->name);
}

static float *
thread_scratch(struct gram *k, unsigned thread, size_t more, struct mpq_err *err)
{
    if (!k->scratch[thread])
        k->scratch[thread] = mpq_array(mpq_gram_scratch() + more, sizeof(float));
    if (!k->scratch[thread])
        out_of_memory(k, err);
    return k->scratch[thread];
}

/* Rows [item, item + 1) * rows / SLABS into a Gram matrix of their own. */
static int
slab(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    struct gram *k = ctx;
    const size_t n = k->w->cols, step = 256;
    const uint64_t each = (k->w->rows + SLABS - 1) / SLABS;
    const uint64_t first = each * item < k->w->rows ? each * item : k->w->rows;
    const uint64_t end = k->w->rows - first < each ? k->w->rows : first + each;
    float *scratch = thread_scratch(k, thread, step * n, err);

    if (!scratch)
        return -1;
    for (uint64_t r = first; r < end; r += step) {
        const uint64_t m = end - r < step ? end - r : step;
        float *x = scratch + mpq_gram_scratch();
        if (mpq_source_read_rows(k->v->source, k->w, r, m, x, err) < 0)
            return -1;
        mpq_gram_rows(k->g + item * n * n, x, m, n, scratch);
    }
    return 0;
}

static int
narrow(struct gram *k, struct mpq_err *err)
{
    const size_t nn = k->w->cols * k->w->cols;

    if (mpq_par_for(k->v->n_threads, SLABS, slab, k, err) < 0)
        return -1;
    for (size_t s = 1; s < SLABS; s++)
        for (size_t i = 0; i < nn; i++)
            k->g[i] += k->g[s * nn + i];
    return 0;
}

static int
tile(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    struct gram *k = ctx;
    float *scratch = thread_scratch(k, thread, 0, err);

    if (!scratch)
        return -1;
    mpq_gram_tile(k->g, k->block, k->rows, k->w->cols, k->w->cols, item, scratch);
    return 0;
}

static int
wide(struct gram *k, struct mpq_err *err)
{
    const size_t n = k->w->cols;

    k->block = mpq_array((size_t)BLOCK_ROWS * n, sizeof *k->block);
    if (!k->block)
        return out_of_memory(k, err);
    for (uint64_t r = 0; r < k->w->rows; r += BLOCK_ROWS) {
        k->rows = k->w->rows - r < BLOCK_ROWS ? k->w->rows - r : BLOCK_ROWS;
        if (mpq_survey_decode(k->v, k->w, r, k->rows, k->block, err) < 0 ||
            mpq_par_for(k->v->n_threads, mpq_gram_tiles(n), tile, k, err) < 0)
            return -1;
    }
    return 0;
}

/* The output, or token_embd where it is tied. */
static const struct mpq_weight *
unembedding(const struct mpq_source *s)
{
    const struct mpq_weight *w = mpq_source_find(s, "output");
    return w && w->is_matrix ? w : mpq_source_find(s, "token_embd");
}

int
mpq_survey_unembedding(struct mpq_survey *v, struct mpq_err *err)
{
    struct gram k = { .v = v, .w = unembedding(v->source) };
    int rc = -1;

    if (!k.w || !k.w->is_matrix)
        return mpq_fail(err, MPQ_EDATA, "%s: NSDS needs output or token_embd",
                        mpq_source_name(v->source));
    const size_t n = k.w->cols;
    k.g = mpq_array(n <= NARROW ? SLABS * n : n, n * sizeof *k.g);
    k.scratch = mpq_array(v->n_threads, sizeof *k.scratch);
    if (!k.g || !k.scratch)
        out_of_memory(&k, err);
    else
        rc = n <= NARROW ? narrow(&k, err) : wide(&k, err);
    for (unsigned t = 0; k.scratch && t < v->n_threads; t++)
        free(k.scratch[t]);
    free(k.scratch);
    free(k.block);
    mpq_source_drop(v->source, k.w);
    if (rc < 0) {
        free(k.g);
        return -1;
    }
    return mpq_subspace_new(&v->p, k.g, n, err);
}
