/*
 * What error feedback leaves over: it decides each column for good before it has seen
 * the next, and the line of a block before those of the others. Here all are gone over
 * again with the whole H. With E = values - aim and the gradient G = E H
 *
 *   a code   moves its value by d, the loss by 2 d G_j + d^2 H_jj: it goes to what is
 *            nearest to value_j - G_j / H_jj
 *   a line   moves the values of its block by ds * level + do: ds and do of least loss
 *            solve a system of two equations; what the type keeps of them is taken
 * where the loss then is less
 *
 * so that no step raises the loss. The gradient follows every step, within a batch of
 * columns at once, beyond by a matrix product.
 */
#include "base/simd.h"
#include "num/factor.h"
#include "num/linalg.h"
#include "quant/gptq_own.h"

#include <string.h>

enum { R = MPQ_GPTQ_ROWS, BATCH = MPQ_GPTQ_BATCH };

/* Subtracts what the steps -ERR of columns [begin, end) add to the gradient of columns
 * [from, to). */
static void
follow(const struct mpq_gptq *g, const struct mpq_gptq_tile *t, const float *err,
       size_t begin, size_t end, size_t from, size_t to)
{
    if (from < to)
        mpq_gemm_sub(to - from, R, end - begin, g->h + begin * g->cols + from, g->cols,
                     err, R, t->wt + from * R, R);
}

MPQ_CLONES static void
wish(const float *value, const float *gradient, float over, float *w)
{
    for (size_t r = 0; r < R; r++)
        w[r] = value[r] - gradient[r] * over;
}

static void
polish_codes(const struct mpq_gptq *g, struct mpq_gptq_tile *t)
{
    float w[R], was[R];

    for (size_t begin = 0, end; begin < g->cols; begin = end) {
        end = begin + BATCH < g->cols ? begin + BATCH : g->cols;
        for (size_t i = begin; i < end; i++) {
            const struct mpq_grid grid = mpq_gptq_grid(g, t, i);
            const float *h = g->h + i * g->cols;
            float *v = t->value + i * R, *e = t->err + (i - begin) * R;
            memcpy(was, v, sizeof was);
            wish(v, t->wt + i * R, 1.0f / h[i], w);
            mpq_gptq_round(&grid, w, t->scale + i * R, t->offset + i * R,
                           t->code + i * R, v);
            for (size_t r = 0; r < R; r++)
                e[r] = was[r] - v[r];
            mpq_gptq_feed(t->wt + begin * R, h + begin, e, end - begin);
        }
        follow(g, t, t->err, begin, end, 0, begin);
        follow(g, t, t->err, begin, end, end, g->cols);
    }
}

MPQ_CLONES static void
add_normal_equation(struct mpq_gptq_normal *n, const float *level, const float *hl,
                    float h1, const float *gradient)
{
    for (size_t r = 0; r < R; r++) {
        n->ll[r] += level[r] * hl[r];
        n->lo[r] += hl[r];
        n->oo[r] += h1;
        n->el[r] -= level[r] * gradient[r];
        n->eo[r] -= gradient[r];
    }
}

/* Moves of lines that do not lower the loss are taken back. */
MPQ_CLONES static void
accept(const struct mpq_gptq_normal *n, float *scale, float *offset, float *ds,
       float *d)
{
    for (size_t r = 0; r < R; r++) {
        const float a = scale[r] - ds[r], b = offset[r] - d[r];
        const float gain = 2 * (a * n->el[r] + b * n->eo[r]) - a * a * n->ll[r] -
                           2 * a * b * n->lo[r] - b * b * n->oo[r];
        const int better = gain > 1e-6f * (a * a * n->ll[r] + b * b * n->oo[r]);
        scale[r] = better ? scale[r] : ds[r];
        offset[r] = better ? offset[r] : d[r];
        ds[r] = better ? a : 0;
        d[r] = better ? b : 0;
    }
}

/* The line of the N columns from I on. */
static void
polish_line(const struct mpq_gptq *g, struct mpq_gptq_tile *t, size_t i, size_t n)
{
    const struct mpq_grid grid = mpq_gptq_grid(g, t, i);
    const float *h = g->h + i * g->cols + i;
    struct mpq_gptq_normal normal = { 0 };
    float *level = t->block, *hl = level + g->block * R, *err = hl;
    float scale[R], offset[R], ds[R], d[R];

    for (size_t k = 0; k < n; k++)
        mpq_gptq_levels(&grid, t->code + (i + k) * R, level + k * R);
    mpq_gemm_f(0, 0, n, R, n, h, g->cols, level, R, hl, R);
    for (size_t k = 0; k < n; k++) {
        float h1 = 0;
        for (size_t j = 0; j < n; j++)
            h1 += h[k * g->cols + j];
        add_normal_equation(&normal, level + k * R, hl + k * R, h1,
                            t->wt + (i + k) * R);
    }
    memcpy(scale, t->scale + i * R, sizeof scale);
    memcpy(offset, t->offset + i * R, sizeof offset);
    memcpy(ds, scale, sizeof ds);
    memcpy(d, offset, sizeof d);
    mpq_gptq_solve(g, &normal, scale, offset);
    accept(&normal, scale, offset, ds, d);
    for (size_t k = 0; k < n; k++) {
        float *v = t->value + (i + k) * R, *e = err + k * R;
        for (size_t r = 0; r < R; r++) {
            const float now = scale[r] * level[k * R + r] + offset[r];
            e[r] = v[r] - now;
            v[r] = now;
        }
        memcpy(t->scale + (i + k) * R, scale, sizeof scale);
        memcpy(t->offset + (i + k) * R, offset, sizeof offset);
    }
    follow(g, t, err, i, i + n, 0, g->cols);
}

MPQ_CLONES static double
loss_of(const struct mpq_gptq *g, const struct mpq_gptq_tile *t)
{
    double sum = 0;

    for (size_t i = 0; i < g->cols * R; i += R)
        for (size_t r = i; r < i + t->n; r++)
            sum += ((double)t->value[r] - (double)t->aim[r]) * (double)t->wt[r];
    return sum;
}

/* The gradient, from scratch. */
static void
differentiate(const struct mpq_gptq *g, struct mpq_gptq_tile *t)
{
    memset(t->wt, 0, g->cols * R * sizeof *t->wt);
    for (size_t begin = 0, end; begin < g->cols; begin = end) {
        end = begin + BATCH < g->cols ? begin + BATCH : g->cols;
        for (size_t k = 0; k < (end - begin) * R; k++)
            t->err[k] = t->aim[begin * R + k] - t->value[begin * R + k];
        follow(g, t, t->err, begin, end, 0, g->cols);
    }
}

double
mpq_gptq_polish(const struct mpq_gptq *g, struct mpq_gptq_tile *t)
{
    const int free_lines = mpq_grid_line_kind(g->type) != MPQ_GRID_SHARED;

    differentiate(g, t);
    for (unsigned sweep = 0; sweep < g->sweeps; sweep++) {
        polish_codes(g, t);
        for (size_t i = 0; free_lines && i < g->cols; i += g->block)
            polish_line(g, t, i, g->cols - i < g->block ? g->cols - i : g->block);
    }
    if (free_lines && g->sweeps)
        polish_codes(g, t);
    return loss_of(g, t);
}
