/*
 * GPTQ over the matrices of a layer: one factorization for each input and block type,
 * side by side; then tiles of rows of all matrices.
 */
#include "base/buf.h"
#include "base/par.h"
#include "num/linalg.h"
#include "model/tune_own.h"
#include "quant/gptq.h"
#include "quant/grid.h"

#include <stdlib.h>
#include <string.h>

/* An input and a block type that matrices with it have. */
struct factor {
    const struct mpq_input *in;
    struct mpq_type type;
    struct mpq_gptq *gptq;
    size_t n_dead;
    double damping;
};

struct matrix {
    const struct mpq_piece *piece;
    size_t factor;
    size_t tile;  /* the first of its tiles */
    double *loss; /* [its tiles] */
};

struct layer {
    struct mpq_tune *t;
    struct factor *factors;
    struct matrix *matrices;
    size_t n_factors, n_matrices, n_tiles, scratch;
};

static size_t
count_tiles(const struct mpq_piece *p)
{
    return (size_t)((p->weight->rows + MPQ_GPTQ_ROWS - 1) / MPQ_GPTQ_ROWS);
}

static int
factorize(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    const struct layer *l = ctx;
    struct factor *f = &l->factors[item];
    const struct mpq_gptq_options options = { .damping = l->t->o->damping,
                                              .by_salience = 1,
                                              .effort = l->t->o->effort };

    struct mpq_err why = { 0 };
    size_t i = 0;

    (void)thread;
    if (mpq_gptq_new(&f->gptq, f->in->gram, f->in->cols, f->type, &options, &f->n_dead,
                     &f->damping, &why) == 0)
        return 0;
    while (l->matrices[i].factor != item)
        i++;
    return mpq_fail(err, (enum mpq_code)why.code, "%s: %s",
                    l->matrices[i].piece->weight->name, why.text);
}

/* What the outputs of rows [row, row + n) should be beyond w x, times x^T. */
static void
find_pull(const struct mpq_input *in, const float *w, size_t row, size_t n, float *pull)
{
    mpq_gemm_f(0, 0, n, in->cols, in->cols, w, in->cols, in->drift, in->cols, pull,
               in->cols);
    for (size_t i = 0; in->rest && i < n * in->cols; i++)
        pull[i] += in->rest[row * in->cols + i];
}

static int
encode_tile(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    const struct layer *l = ctx;
    const struct matrix *m = l->matrices;

    while (m + 1 < l->matrices + l->n_matrices && m[1].tile <= item)
        m++;
    const struct mpq_weight *w = m->piece->weight;
    const uint64_t row = (uint64_t)(item - m->tile) * MPQ_GPTQ_ROWS;
    const uint64_t left = w->rows - row,
                   n = left < MPQ_GPTQ_ROWS ? left : MPQ_GPTQ_ROWS;
    const struct mpq_input *in = l->factors[m->factor].in;
    float *x = l->t->scratch[thread], *pull = NULL;
    if (mpq_source_read_for(l->t->source, w, row, n, m->piece->type, x, err) < 0)
        return -1;
    if (in->drift) {
        pull = x + MPQ_GPTQ_ROWS * w->cols;
        find_pull(in, x, (size_t)row, (size_t)n, pull);
    }
    mpq_gptq_encode(l->factors[m->factor].gptq, x, pull, (size_t)n,
                    mpq_tune_rows(l->t, m->piece) + row * mpq_tune_row_bytes(m->piece),
                    x + 2 * MPQ_GPTQ_ROWS * w->cols, &m->loss[item - m->tile]);
    return 0;
}

/* The factor for matrices of TYPE with the input IN, a new one or one that is there. */
static size_t
find_factor(struct layer *l, const struct mpq_input *in, struct mpq_type type)
{
    size_t i = 0;

    while (i < l->n_factors &&
           (l->factors[i].in != in || !mpq_type_eq(l->factors[i].type, type)))
        i++;
    if (i == l->n_factors)
        l->factors[l->n_factors++] = (struct factor){ .in = in, .type = type };
    return i;
}

/* A matrix whose inputs are not known, or were all 0: row by row. */
static int
leave(struct mpq_tune *t, const struct mpq_piece *p, struct mpq_err *err)
{
    if (mpq_tune_plain(t, p, err) < 0)
        return -1;
    mpq_tune_tell(
        t, p, &(struct mpq_tuned){ .weight = p->weight, .how = MPQ_TUNED_UNREACHED });
    return 0;
}

static int
is_reached(const struct mpq_input *in)
{
    for (size_t c = 0; in->n_tokens && c < in->cols; c++)
        if (in->diagonal[c] != 0)
            return 1;
    return 0;
}

static int
gather(struct layer *l, const struct mpq_input *in, size_t n, struct mpq_err *err)
{
    struct mpq_tune *t = l->t;
    size_t most = 0;

    for (size_t i = 0; i < n; i++)
        most += in[i].n_weights;
    l->matrices = mpq_array(most, sizeof *l->matrices);
    l->factors = mpq_array(most, sizeof *l->factors);
    if (!l->matrices || !l->factors)
        return mpq_fail(err, MPQ_ENOMEM, "out of memory for %zu matrices", most);
    for (size_t i = 0; i < n; i++) {
        const int reached = is_reached(&in[i]);
        for (size_t k = 0; k < in[i].n_weights; k++) {
            const struct mpq_piece *p = mpq_tune_piece(t, in[i].weights[k]);
            struct mpq_grid grid;
            if (!p || !mpq_grid_of(p->type, &grid))
                continue;
            if (!reached) {
                if (leave(t, p, err) < 0)
                    return -1;
                continue;
            }
            struct matrix *m = &l->matrices[l->n_matrices++];
            *m = (struct matrix){ .piece = p, .tile = l->n_tiles };
            m->factor = find_factor(l, &in[i], p->type);
            l->n_tiles += count_tiles(p);
            if (!(m->loss = mpq_array(count_tiles(p), sizeof *m->loss)))
                return mpq_fail(err, MPQ_ENOMEM, "out of memory");
        }
    }
    return 0;
}

static void
tell(const struct layer *l, const struct matrix *m)
{
    const struct factor *f = &l->factors[m->factor];
    const struct mpq_weight *w = m->piece->weight;
    struct mpq_tuned told = { .weight = w,
                              .how = MPQ_TUNED,
                              .n_tokens = f->in->n_tokens,
                              .n_dead = f->n_dead,
                              .damping = f->damping };

    for (size_t i = 0; i < count_tiles(m->piece); i++)
        told.loss += m->loss[i];
    told.loss /= (double)w->rows * (double)f->in->n_tokens;
    mpq_tune_tell(l->t, m->piece, &told);
}

/* The bits of groups, by the salience that the Hessian gives their columns. */
static int
set_map(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    const struct layer *l = ctx;
    const struct matrix *m = &l->matrices[item];
    double *inverse;

    (void)thread;
    if (!m->piece->type.varied)
        return 0;
    if (!(inverse = mpq_array((size_t)m->piece->weight->cols, sizeof *inverse)))
        return mpq_fail(err, MPQ_ENOMEM, "out of memory");
    mpq_gptq_inverse_diagonal(l->factors[m->factor].gptq, inverse);
    const int rc = mpq_tune_map(l->t, m->piece, inverse, NULL, err);
    free(inverse);
    return rc;
}

static int
gptq_layer(struct mpq_tune *t, size_t layer, const struct mpq_input *in, size_t n,
           struct mpq_err *err)
{
    struct layer l = { .t = t };
    size_t scratch = 0;
    int rc = -1;

    (void)layer;
    if (gather(&l, in, n, err) < 0 ||
        mpq_par_for(t->o->threads, l.n_factors, factorize, &l, err) < 0)
        goto out;
    for (size_t i = 0; i < l.n_factors; i++) {
        const size_t need = mpq_gptq_scratch(l.factors[i].gptq) +
                            2 * MPQ_GPTQ_ROWS * l.factors[i].in->cols;
        scratch = need > scratch ? need : scratch;
    }
    if (mpq_tune_scratch(t, scratch, err) < 0 ||
        mpq_par_for(t->o->threads, l.n_matrices, set_map, &l, err) < 0 ||
        mpq_par_for(t->o->threads, l.n_tiles, encode_tile, &l, err) < 0)
        goto out;
    for (size_t i = 0; i < l.n_matrices; i++)
        tell(&l, &l.matrices[i]);
    rc = 0;
out:
    for (size_t i = 0; i < l.n_factors; i++)
        mpq_gptq_free(l.factors[i].gptq);
    for (size_t i = 0; i < l.n_matrices; i++)
        free(l.matrices[i].loss);
    free(l.factors);
    free(l.matrices);
    return rc;
}

/* Embedding and output: its last states are known, too. */
static int
holds(const struct mpq_piece *p)
{
    return (!strcmp(p->weight->name, "output") ||
            !strcmp(p->weight->name, "token_embd")) &&
           !mpq_type_is_float(p->type) && !mpq_type_eq(p->type, p->weight->tensor.type);
}

const struct mpq_tuner mpq_tuner_gptq = { .name = "gptq",
                                          .sees_inputs = 1,
                                          .sees_quantized = 1,
                                          .takes_weighed = 1,
                                          .holds = holds,
                                          .layer = gptq_layer };
