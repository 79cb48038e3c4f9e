/* The search for the power of AWQ's scales: all of them on tiles of rows. */
#include "model/tune_awq_own.h"

#include "base/buf.h"
#include "base/par.h"
#include "num/unit.h"

#include <stdlib.h>

size_t
mpq_awq_tiles(const struct mpq_weight *w)
{
    return (size_t)((w->rows + MPQ_AWQ_ROWS - 1) / MPQ_AWQ_ROWS);
}

size_t
mpq_awq_tile_rows(const struct mpq_weight *w, size_t tile)
{
    const uint64_t left = w->rows - (uint64_t)tile * MPQ_AWQ_ROWS;

    return left < MPQ_AWQ_ROWS ? (size_t)left : MPQ_AWQ_ROWS;
}

double
mpq_awq_unit(const struct mpq_input *in)
{
    double most = 0;

    for (size_t c = 0; c < in->cols; c++)
        most = in->diagonal[c] > most ? in->diagonal[c] : most;
    return mpq_unit(most / (double)in->n_tokens);
}

void
mpq_awq_weigh(const struct mpq_input *in, const float *scale, float *importance)
{
    const double unit = mpq_awq_unit(in);

    for (size_t c = 0; c < in->cols; c++)
        importance[c] = (float)(in->diagonal[c] / (double)in->n_tokens * unit /
                                ((double)scale[c] * (double)scale[c]));
}

/* A power to try. */
struct trial {
    float *scale, *importance;
};

struct search {
    struct mpq_tune *t;
    const struct mpq_piece *piece;
    const float *gram;
    const struct trial *trials; /* [MPQ_AWQ_STEPS] */
    double *loss;               /* [tiles][MPQ_AWQ_STEPS] */
};

/* All powers on a tile of rows. */
static int
try_tile(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    const struct search *s = ctx;
    const struct mpq_weight *w = s->piece->weight;
    const size_t cols = (size_t)w->cols, n = mpq_awq_tile_rows(w, item);
    float *x = s->t->scratch[thread];

    if (mpq_source_read_rows(s->t->source, w, (uint64_t)item * MPQ_AWQ_ROWS, n, x,
                             err) < 0)
        return -1;
    for (unsigned step = 0; step < MPQ_AWQ_STEPS; step++) {
        const struct mpq_awq a = { .type = s->piece->type,
                                   .cols = cols,
                                   .effort = MPQ_EFFORT_FAST,
                                   .scale = step ? s->trials[step].scale : NULL,
                                   .importance = s->trials[step].importance,
                                   .gram = s->gram };
        s->loss[item * MPQ_AWQ_STEPS + step] =
            mpq_awq_round(&a, x, n, NULL, x + MPQ_AWQ_ROWS * cols);
    }
    return 0;
}

/* Adds the losses of one matrix, tile after tile. */
static int
try_matrix(struct search *s, double loss[MPQ_AWQ_STEPS], struct mpq_err *err)
{
    const struct mpq_weight *w = s->piece->weight;
    const size_t tiles = mpq_awq_tiles(w), cols = (size_t)w->cols;
    const size_t room = MPQ_AWQ_ROWS * cols + mpq_awq_scratch(s->piece->type, cols);
    int rc;

    if (mpq_tune_scratch(s->t, room, err) < 0)
        return -1;
    s->loss = mpq_array(tiles, MPQ_AWQ_STEPS * sizeof *s->loss);
    if (!s->loss)
        return mpq_fail(err, MPQ_ENOMEM, "out of memory");
    rc = mpq_par_for(s->t->o->threads, tiles, try_tile, s, err);
    for (size_t i = 0; rc == 0 && i < tiles * MPQ_AWQ_STEPS; i++)
        loss[i % MPQ_AWQ_STEPS] += s->loss[i];
    free(s->loss);
    return rc;
}

static float *
whole_gram(const struct mpq_input *in, double unit)
{
    const size_t n = in->cols;
    float *gram =
        n <= SIZE_MAX / sizeof *gram / n ? malloc(n * n * sizeof *gram) : NULL;

    for (size_t i = 0; gram && i < n; i++)
        for (size_t k = i; k < n; k++)
            gram[i * n + k] = gram[k * n + i] =
                (float)(in->gram[i * n + k] / (double)in->n_tokens * unit);
    return gram;
}

int
mpq_awq_search(struct mpq_tune *t, const struct mpq_input *in, const double *square,
               float *scale, unsigned *step, double *least, struct mpq_err *err)
{
    double loss[MPQ_AWQ_STEPS] = { 0 };
    struct trial trials[MPQ_AWQ_STEPS];
    struct search s = { .t = t, .trials = trials };
    const double unit = mpq_awq_unit(in);
    double rows = 0;
    float *gram = whole_gram(in, unit);
    float *memory = mpq_array(2 * MPQ_AWQ_STEPS * in->cols, sizeof *memory);
    int rc = -1;

    if (!gram || !memory) {
        mpq_fail(err, MPQ_ENOMEM, "out of memory for %zu columns", in->cols);
        goto out;
    }
    s.gram = gram;
    for (unsigned i = 0; i < MPQ_AWQ_STEPS; i++) {
        trials[i].scale = memory + 2 * i * in->cols;
        trials[i].importance = trials[i].scale + in->cols;
        mpq_awq_scales(square, in->cols, i, trials[i].scale);
        mpq_awq_weigh(in, trials[i].scale, trials[i].importance);
    }
    for (size_t k = 0; k < in->n_weights; k++) {
        s.piece = mpq_tune_piece(t, in->weights[k]);
        if (!s.piece || mpq_type_is_float(s.piece->type))
            continue;
        if (try_matrix(&s, loss, err) < 0)
            goto out;
        rows += (double)in->weights[k]->rows;
    }
    *step = 0;
    for (unsigned i = 1; i < MPQ_AWQ_STEPS; i++)
        if (loss[i] < loss[*step])
            *step = i;
    *least = rows > 0 ? loss[*step] / unit / rows : 0;
    for (size_t c = 0; c < in->cols; c++)
        scale[c] = *step ? trials[*step].scale[c] : 1;
    rc = 0;
out:
    free(gram);
    free(memory);
    return rc;
}
