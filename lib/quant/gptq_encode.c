/*
 * A tile of rows lies transposed, wt[column][row], in the order in which columns are
 * rounded, so that every step is vector code over the rows. Feedback to the columns of
 * the same batch is given at once, to all later ones by a matrix product at the batch's
 * end. A batch ends where a block does: the next block's scales must see it all.
 */
#include "base/simd.h"
#include "num/factor.h"
#include "num/linalg.h"
#include "quant/gptq_own.h"
#include "quant/search.h"

#include <assert.h>
#include <string.h>

enum { R = MPQ_GPTQ_ROWS, BATCH = MPQ_GPTQ_BATCH };

/* Bytes of a group of an intB by itself (codes of at most 8 bits, scale, zero), or of
 * the codes of a row. */
static size_t
group_bytes(const struct mpq_gptq *g)
{
    return g->block + 4 > g->cols ? g->block + 4 : g->cols;
}

size_t
mpq_gptq_scratch(const struct mpq_gptq *g)
{
    const size_t bytes = R * g->cols + group_bytes(g);

    return 5 * R * g->cols + BATCH * R + 3 * g->block * R + 3 * g->block +
           (bytes + sizeof(float) - 1) / sizeof(float);
}

static struct mpq_gptq_tile
cut(const struct mpq_gptq *g, float *scratch, size_t n)
{
    struct mpq_gptq_tile t = { .n = n, .aim = scratch };

    t.wt = t.aim + R * g->cols;
    t.value = t.wt + R * g->cols;
    t.scale = t.value + R * g->cols;
    t.offset = t.scale + R * g->cols;
    t.err = t.offset + R * g->cols;
    t.block = t.err + BATCH * R;
    t.row = t.block + 3 * g->block * R;
    t.code = (unsigned char *)(t.row + 3 * g->block);
    t.group = t.code + R * g->cols;
    return t;
}

/* The K-th group of an intB row by itself. */
static struct mpq_type
group_type(const struct mpq_gptq *g, const unsigned char *row, size_t k)
{
    struct mpq_type t = g->type;

    if (t.varied)
        t.bits = row[k];
    t.varied = 0;
    t.group = 0;
    return t;
}

struct mpq_grid
mpq_gptq_grid(const struct mpq_gptq *g, const struct mpq_gptq_tile *t, size_t i)
{
    struct mpq_grid grid = g->grid;

    if (g->type.varied &&
        !mpq_grid_of(group_type(g, t->dst, g->order[i] / g->block), &grid))
        assert(0); /* every intB has a grid */
    return grid;
}

/* Searches the scales of the block that begins at the I-th column in order, for every
 * row, each by itself; those of block types go right into DST. */
static void
lay_grid(const struct mpq_gptq *g, struct mpq_gptq_tile *t, size_t i,
         unsigned char *dst, size_t row_bytes)
{
    const size_t from = g->order[i] / g->block * g->block;
    const size_t n = g->cols - from < g->block ? g->cols - from : g->block;
    float *x = t->row, *scale = x + g->block, *offset = scale + g->block;

    for (size_t r = 0; r < t->n; r++) {
        unsigned char *to = dst + r * row_bytes;
        for (size_t k = 0; k < n; k++)
            x[g->order[i + k] - from] = t->wt[(i + k) * R + r];
        if (g->type.id == MPQ_INT) {
            const struct mpq_type whole = group_type(g, to, from / g->block);
            mpq_encode_row(whole, x, g->importance + from, t->group, n, g->effort);
            mpq_grid_lines(whole, t->group, n, 0, n, scale, offset);
        } else {
            uint64_t at = 0;
            if (mpq_type_row_bytes(g->type, from, &at) < 0)
                assert(from == 0);
            mpq_encode_row(g->type, x, g->importance + from, to + at, n, g->effort);
            mpq_grid_lines(g->type, to, g->cols, from, n, scale, offset);
        }
        for (size_t k = 0; k < n; k++) {
            const size_t own = g->order[i + k] - from;
            t->scale[(i + k) * R + r] = scale[own];
            t->offset[(i + k) * R + r] = offset[own];
        }
    }
    if (g->h)
        mpq_gptq_search(g, t, i, n);
}

/* One column of the tile: codes and values. */
MPQ_CLONES static void
round_affine(float first, float top, const float *w, const float *scale,
             const float *offset, unsigned char *code, float *value)
{
    for (size_t r = 0; r < R; r++) {
        const float level =
            mpq_nearest((w[r] - offset[r]) * mpq_inverse(scale[r]), first, first + top);
        code[r] = (unsigned char)(int)(level - first);
        value[r] = scale[r] * level + offset[r];
    }
}

MPQ_CLONES static void
round_levels(const struct mpq_grid *grid, const float *w, const float *scale,
             const float *offset, unsigned char *code, float *value)
{
    for (size_t r = 0; r < R; r++) {
        const float v = (w[r] - offset[r]) * mpq_inverse(scale[r]);
        float level = (float)grid->level[0];
        unsigned c = 0;
        for (unsigned k = 1; k < grid->n_codes; k++) {
            const int above = v > 0.5f * (float)(grid->level[k - 1] + grid->level[k]);
            c += (unsigned)above;
            level += above ? (float)(grid->level[k] - grid->level[k - 1]) : 0.0f;
        }
        code[r] = (unsigned char)c;
        value[r] = scale[r] * level + offset[r];
    }
}

void
mpq_gptq_round(const struct mpq_grid *grid, const float *w, const float *scale,
               const float *offset, unsigned char *code, float *value)
{
    if (grid->level)
        round_levels(grid, w, scale, offset, code, value);
    else
        round_affine(grid->first, (float)(grid->n_codes - 1), w, scale, offset, code,
                     value);
}

MPQ_CLONES static void
feed(float *wt, const float *u, const float *err, size_t n)
{
    for (size_t k = 0; k < n; k++, wt += R) {
        const float by = u[k];
        for (size_t r = 0; r < R; r++)
            wt[r] -= by * err[r];
    }
}

void
mpq_gptq_feed(float *wt, const float *u, const float *err, size_t n)
{
    feed(wt, u, err, n);
}

MPQ_CLONES static double
sum_squares(const float *x, size_t n, size_t rows)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        for (size_t r = 0; r < rows; r++)
            sum += (double)x[i * R + r] * (double)x[i * R + r];
    return sum;
}

static void
round_batch(const struct mpq_gptq *g, struct mpq_gptq_tile *t, size_t begin, size_t end,
            unsigned char *dst, size_t row_bytes)
{
    for (size_t i = begin; i < end; i++) {
        const struct mpq_grid grid = mpq_gptq_grid(g, t, i);
        if (i % g->block == 0)
            lay_grid(g, t, i, dst, row_bytes);
        const float *u = g->u + i * g->cols, inverse_u = 1.0f / u[i];
        float *e = t->err + (i - begin) * R;
        const float *w = t->wt + i * R, *v = t->value + i * R;
        mpq_gptq_round(&grid, w, t->scale + i * R, t->offset + i * R, t->code + i * R,
                       t->value + i * R);
        for (size_t r = 0; r < R; r++)
            e[r] = (w[r] - v[r]) * inverse_u;
        feed(t->wt + (i + 1) * R, u + i + 1, e, end - i - 1);
    }
}

/* Where the batch from BEGIN ends: after whole blocks, or within one block alone. */
static size_t
batch_end(const struct mpq_gptq *g, size_t begin)
{
    const size_t next = (begin / g->block + 1) * g->block;
    size_t end = begin + BATCH;

    if (g->block >= BATCH)
        end = end < next ? end : next;
    else
        end = begin + BATCH / g->block * g->block;
    return end < g->cols ? end : g->cols;
}

/* Lines and codes into the rows. */
static void
put(const struct mpq_gptq *g, const struct mpq_gptq_tile *t, unsigned char *dst,
    size_t row_bytes)
{
    for (size_t r = 0; r < t->n; r++, dst += row_bytes) {
        for (size_t i = 0; i < g->cols; i += g->block)
            mpq_grid_put_line(g->type, dst, g->cols, g->order[i] / g->block * g->block,
                              t->scale[i * R + r], t->offset[i * R + r]);
        for (size_t i = 0; i < g->cols; i++)
            t->group[g->order[i]] = t->code[i * R + r];
        mpq_grid_codes(g->type, dst, g->cols, 0, g->cols, t->group);
    }
}

/* dst = src[n][cols] as a tile lies. */
static void
transpose(const struct mpq_gptq *g, const float *src, size_t n, float *dst)
{
    for (size_t i = 0; i < g->cols; i++)
        for (size_t r = 0; r < R; r++)
            dst[i * R + r] = r < n ? src[r * g->cols + g->order[i]] : 0;
}

/* Adds pull H^-1 to the aim, H^-1 = U^T U. */
static void
aim_at(const struct mpq_gptq *g, struct mpq_gptq_tile *t, const float *pull)
{
    const size_t n = g->cols;

    transpose(g, pull, t->n, t->wt);
    for (size_t i = 0; i < n * R; i++)
        t->wt[i] = (float)((double)t->wt[i] * g->unit);
    mpq_gemm_f(0, 0, n, R, n, g->u, n, t->wt, R, t->value, R);
    mpq_gemm_add_f(1, 0, n, R, n, 1, g->u, n, t->value, R, 1, t->aim, R);
}

void
mpq_gptq_encode(const struct mpq_gptq *g, const float *w, const float *pull, size_t n,
                unsigned char *dst, float *scratch, double *loss)
{
    struct mpq_gptq_tile t = cut(g, scratch, n);
    uint64_t row_bytes = 0;
    double fed = 0;

    t.dst = dst;
    assert(n <= R);
    if (mpq_type_row_bytes(g->type, g->cols, &row_bytes) < 0)
        assert(0); /* the type does not fit the rows */
    transpose(g, w, n, t.aim);
    if (pull)
        aim_at(g, &t, pull);
    memcpy(t.wt, t.aim, R * g->cols * sizeof *t.aim);
    memset(t.scale, 0, 2 * R * g->cols * sizeof *t.scale);
    for (size_t begin = 0, end; begin < g->cols; begin = end) {
        end = batch_end(g, begin);
        round_batch(g, &t, begin, end, dst, (size_t)row_bytes);
        fed += sum_squares(t.err, end - begin, n);
        if (end < g->cols)
            mpq_gemm_sub(g->cols - end, R, end - begin, g->u + begin * g->cols + end,
                         g->cols, t.err, R, t.wt + end * R, R);
    }
    if (g->h)
        fed = mpq_gptq_polish(g, &t);
    put(g, &t, dst, (size_t)row_bytes);
    if (loss)
        *loss += fed / g->unit;
}
