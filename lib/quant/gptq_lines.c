/*
 * The line of a block before its columns are rounded. An encoder looks for the one that
 * fits best when every element is rounded by itself; here rounding an element moves
 * those behind it. So lines around the encoder's are tried with the feedback that there
 * will be in the block, and the best one is moved to where its codes want it. All
 * columns to come can still answer to the errors of the block, which then cost
 * sum ((w_j - value_j) / u_jj)^2.
 */
#include "base/simd.h"
#include "quant/gptq_own.h"
#include "quant/search.h"
#include "quant/whole.h"

#include <string.h>

enum { R = MPQ_GPTQ_ROWS };

struct lines {
    float scale[R], offset[R], loss[R];
};

MPQ_CLONES static void
snap(enum mpq_grid_line kind, int whole, float top, float *scale, float *offset)
{
    for (size_t r = 0; r < R; r++) {
        const float s = mpq_intb_scale(whole, scale[r]);
        const float m = mpq_f16_round(offset[r]);
        const float zero = mpq_intb_zero(whole, top, -offset[r] * mpq_inverse(s));
        scale[r] = s;
        offset[r] = kind == MPQ_GRID_OFFSET ? m
                    : kind == MPQ_GRID_ZERO ? -s * zero
                                            : 0.0f;
    }
}

void
mpq_gptq_snap(const struct mpq_gptq *g, float *scale, float *offset)
{
    const float top = g->type.id == MPQ_INT ? (float)((1u << g->type.bits) - 1) : 0;

    snap(mpq_grid_line_kind(g->type), g->type.whole, top, scale, offset);
}

/* The normal equations of moving a line. */
MPQ_CLONES static void
solve_line(int both, const struct mpq_gptq_normal *n, float *scale, float *offset)
{
    for (size_t r = 0; r < R; r++) {
        const float det = n->ll[r] * n->oo[r] - n->lo[r] * n->lo[r];
        const int two = both && det > 1e-4f * n->ll[r] * n->oo[r];
        const float over = mpq_inverse(two ? det : n->ll[r]);
        const float ds = two ? n->el[r] * n->oo[r] - n->eo[r] * n->lo[r] : n->el[r];
        const float d = two ? n->eo[r] * n->ll[r] - n->el[r] * n->lo[r] : 0.0f;
        scale[r] += ds * over;
        offset[r] += d * over;
    }
}

void
mpq_gptq_solve(const struct mpq_gptq *g, const struct mpq_gptq_normal *n, float *scale,
               float *offset)
{
    const enum mpq_grid_line kind = mpq_grid_line_kind(g->type);

    solve_line(kind != MPQ_GRID_SCALE, n, scale, offset);
    mpq_gptq_snap(g, scale, offset);
}

void
mpq_gptq_levels(const struct mpq_grid *grid, const unsigned char *code, float *level)
{
    for (size_t r = 0; r < R; r++)
        level[r] =
            grid->level ? (float)grid->level[code[r]] : (float)code[r] + grid->first;
}

MPQ_CLONES static void
column_error(const float *w, const float *value, float inverse_u, float *e, float *loss)
{
    for (size_t r = 0; r < R; r++) {
        e[r] = (w[r] - value[r]) * inverse_u;
        loss[r] += e[r] * e[r];
    }
}

MPQ_CLONES static void
add_normal(struct mpq_gptq_normal *n, const float *e, const float *l, float o)
{
    for (size_t r = 0; r < R; r++) {
        n->ll[r] += l[r] * l[r];
        n->el[r] += e[r] * l[r];
        n->lo[r] += l[r] * o;
        n->eo[r] += e[r] * o;
        n->oo[r] += o * o;
    }
}

/* Rounds the block at I with the lines L and adds up what that leaves; with NORMAL also
 * how moving the lines would help, the codes staying as they are. */
static void
try_lines(const struct mpq_gptq *g, const struct mpq_gptq_tile *t, size_t i, size_t n,
          struct lines *l, struct mpq_gptq_normal *normal)
{
    const struct mpq_grid grid = mpq_gptq_grid(g, t, i);
    unsigned char code[R];
    float value[R], e[R], zero[R] = { 0 }, unused[R] = { 0 };
    float *w = t->block, *level = w + g->block * R, *one = level + g->block * R;

    memcpy(w, t->wt + i * R, n * R * sizeof *w);
    memset(l->loss, 0, sizeof l->loss);
    for (size_t k = 0; normal && k < n; k++) {
        memset(level + k * R, 0, R * sizeof *level);
        one[k] = 1;
    }
    for (size_t k = 0; k < n; k++) {
        const float *u = g->u + (i + k) * g->cols + i + k, inverse_u = 1.0f / u[0];
        mpq_gptq_round(&grid, w + k * R, l->scale, l->offset, code, value);
        column_error(w + k * R, value, inverse_u, e, l->loss);
        mpq_gptq_feed(w + (k + 1) * R, u + 1, e, n - k - 1);
        if (!normal)
            continue;
        mpq_gptq_levels(&grid, code, value);
        for (size_t r = 0; r < R; r++)
            value[r] += level[k * R + r];
        float moved[R];
        column_error(value, zero, inverse_u, moved, unused);
        mpq_gptq_feed(level + (k + 1) * R, u + 1, moved, n - k - 1);
        const float o = one[k] * inverse_u;
        for (size_t j = 1; j < n - k; j++)
            one[k + j] -= u[j] * o;
        add_normal(normal, e, moved, o);
    }
}

static void
keep_better(struct lines *best, const struct lines *l)
{
    for (size_t r = 0; r < R; r++) {
        const int better = l->loss[r] < best->loss[r];
        best->scale[r] = better ? l->scale[r] : best->scale[r];
        best->offset[r] = better ? l->offset[r] : best->offset[r];
        best->loss[r] = better ? l->loss[r] : best->loss[r];
    }
}

/* The scale times these, about the middle level. */
static const float factors[] = { 0.95f, 0.9f, 0.85f, 0.8f, 1.05f, 1.1f, 0.75f, 0.7f };
enum { N_FACTORS = sizeof factors / sizeof *factors, REFITS = 2 };

void
mpq_gptq_search(const struct mpq_gptq *g, struct mpq_gptq_tile *t, size_t i, size_t n)
{
    const enum mpq_grid_line kind = mpq_grid_line_kind(g->type);
    const struct mpq_grid grid = mpq_gptq_grid(g, t, i);
    const float middle = grid.first + 0.5f * (float)(grid.n_codes - 1);
    struct lines base, best, l;

    if (kind == MPQ_GRID_SHARED)
        return;
    memcpy(base.scale, t->scale + i * R, sizeof base.scale);
    memcpy(base.offset, t->offset + i * R, sizeof base.offset);
    best = base;
    try_lines(g, t, i, n, &best, NULL);
    for (size_t f = 0; f < N_FACTORS; f++) {
        for (size_t r = 0; r < R; r++) {
            l.scale[r] = base.scale[r] * factors[f];
            l.offset[r] = base.offset[r] + (1 - factors[f]) * base.scale[r] * middle;
        }
        mpq_gptq_snap(g, l.scale, l.offset);
        try_lines(g, t, i, n, &l, NULL);
        keep_better(&best, &l);
    }
    for (int k = 0; k < REFITS; k++) {
        struct mpq_gptq_normal normal = { 0 };
        l = best;
        try_lines(g, t, i, n, &l, &normal);
        mpq_gptq_solve(g, &normal, l.scale, l.offset);
        try_lines(g, t, i, n, &l, NULL);
        keep_better(&best, &l);
    }
    for (size_t k = 0; k < n; k++) {
        memcpy(t->scale + (i + k) * R, best.scale, sizeof best.scale);
        memcpy(t->offset + (i + k) * R, best.offset, sizeof best.offset);
    }
}
