/*
 * A tile of rows lies transposed, wt[column][row], in the order in which columns are
 * rounded, so that every step is vector code over the rows. Feedback to the columns of
 * the same batch is given at once, to all later ones by a matrix product at the batch's
 * end. A batch ends where a block does: the next block's scales must see it all.
 */
#include "quant/gptq.h"

#include "base/buf.h"
#include "base/simd.h"
#include "num/factor.h"
#include "quant/grid.h"
#include "quant/search.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { R = MPQ_GPTQ_ROWS, BATCH = 128 };

struct mpq_gptq {
    size_t cols, block; /* block: elements whose scales are searched at once */
    struct mpq_type type;
    struct mpq_grid grid;
    enum mpq_effort effort;
    float *u;          /* [cols][cols], upper triangular, in rounding order */
    float *importance; /* [cols] 1 / u_jj^2, at a column's own place */
    size_t *order;     /* [cols] the column that is rounded as the i-th */
};

struct ranked {
    double salience;
    size_t at;
};

static int
by_salience(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;

    if (x->salience != y->salience)
        return x->salience < y->salience ? 1 : -1;
    return x->at < y->at ? -1 : x->at > y->at;
}

/* Whole blocks by their sum of the diagonal, then columns within each block. */
static int
find_order(struct mpq_gptq *g, const double *h, int sorted)
{
    const size_t n_blocks = (g->cols + g->block - 1) / g->block;
    struct ranked *blocks = mpq_array(n_blocks, sizeof *blocks);
    struct ranked *columns = mpq_array(g->block, sizeof *columns);
    size_t n = 0;
    int rc = -1;

    if (!blocks || !columns)
        goto out;
    for (size_t b = 0; b < n_blocks; b++) {
        blocks[b] = (struct ranked){ 0, b };
        for (size_t j = b * g->block; j < g->cols && j < (b + 1) * g->block; j++)
            blocks[b].salience += h[j * g->cols + j];
    }
    /* a block cut short stays the last: the others are found by their place */
    if (sorted)
        qsort(blocks, g->cols / g->block, sizeof *blocks, by_salience);
    for (size_t b = 0; b < n_blocks; b++) {
        const size_t from = blocks[b].at * g->block;
        size_t m = 0;
        for (; m < g->block && from + m < g->cols; m++)
            columns[m] =
                (struct ranked){ h[(from + m) * g->cols + from + m], from + m };
        if (sorted)
            qsort(columns, m, sizeof *columns, by_salience);
        for (size_t k = 0; k < m; k++)
            g->order[n++] = columns[k].at;
    }
    rc = 0;
out:
    free(blocks);
    free(columns);
    return rc;
}

/* The damped H in rounding order, its lower triangle. */
static void
permute(const struct mpq_gptq *g, const double *h, double damp, double dead, double *a)
{
    for (size_t i = 0; i < g->cols; i++) {
        const size_t p = g->order[i];
        for (size_t j = 0; j <= i; j++) {
            const size_t q = g->order[j];
            a[i * g->cols + j] = p < q ? h[p * g->cols + q] : h[q * g->cols + p];
        }
        double *d = &a[i * g->cols + i];
        *d = *d > 0 ? *d + damp : dead;
    }
}

/* Mean of the diagonal over the columns that have one; -1 when H is none. */
static double
mean_diagonal(const double *h, size_t n, size_t *n_dead)
{
    double sum = 0;

    *n_dead = 0;
    for (size_t i = 0; i < n; i++) {
        const double d = h[i * n + i];
        if (!(d >= 0) || !isfinite(d))
            return -1;
        *n_dead += d == 0;
        sum += d;
    }
    return *n_dead < n ? sum / (double)(n - *n_dead) : 0;
}

static int
factorize(struct mpq_gptq *g, const double *h, double mean, double *damping,
          struct mpq_err *err)
{
    const size_t n = g->cols;
    double *a = mpq_array(n, n * sizeof *a);
    int rc = -1;

    if (!a)
        return mpq_fail(err, MPQ_ENOMEM, "%zu columns: out of memory for their Hessian",
                        n);
    mean = mean > 0 ? mean : 1;
    for (;; *damping = *damping > 0 ? *damping * 10 : 1e-6) {
        permute(g, h, *damping * mean, mean, a);
        if (mpq_inverse_factor(a, n) == 0)
            break;
        if (!(*damping < 10)) {
            mpq_fail(err, MPQ_EDATA,
                     "Hessian of %zu columns is not positive semidefinite", n);
            goto out;
        }
    }
    for (size_t i = 0; i < n * n; i++)
        g->u[i] = (float)a[i];
    for (size_t i = 0; i < n; i++)
        g->importance[g->order[i]] =
            (float)fmin(mean / (a[i * n + i] * a[i * n + i] * mean), 1e30);
    rc = 0;
out:
    free(a);
    return rc;
}

int
mpq_gptq_new(struct mpq_gptq **out, const double *h, size_t cols, struct mpq_type t,
             const struct mpq_gptq_options *options, size_t *n_dead, double *damping,
             struct mpq_err *err)
{
    struct mpq_gptq *g = NULL;
    size_t dead = 0;
    double damp = options->damping;
    int rc = -1;

    *out = NULL;
    const double mean = mean_diagonal(h, cols, &dead);
    if (mean < 0)
        return mpq_fail(
            err, MPQ_EDATA,
            "Hessian of %zu columns: its diagonal is negative or not finite", cols);
    g = calloc(1, sizeof *g);
    if (!g)
        goto nomem;
    g->cols = cols;
    g->type = t;
    g->effort = options->effort;
    if (!mpq_grid_of(t, &g->grid))
        assert(0); /* a type without a grid */
    g->block = mpq_grid_block(t, cols);
    g->u = mpq_array(cols, cols * sizeof *g->u);
    g->importance = mpq_array(cols, sizeof *g->importance);
    g->order = mpq_array(cols, sizeof *g->order);
    if (!g->u || !g->importance || !g->order ||
        find_order(g, h, options->by_salience) < 0)
        goto nomem;
    if (factorize(g, h, mean, &damp, err) < 0)
        goto out;
    if (n_dead)
        *n_dead = dead;
    if (damping)
        *damping = damp;
    *out = g;
    g = NULL;
    rc = 0;
    goto out;
nomem:
    mpq_fail(err, MPQ_ENOMEM, "%zu columns: out of memory for their Hessian", cols);
out:
    mpq_gptq_free(g);
    return rc;
}

void
mpq_gptq_free(struct mpq_gptq *g)
{
    if (!g)
        return;
    free(g->u);
    free(g->importance);
    free(g->order);
    free(g);
}

void
mpq_gptq_inverse_diagonal(const struct mpq_gptq *g, double *d)
{
    for (size_t j = 0; j < g->cols; j++) {
        double sum = 0;
        for (size_t i = 0; i <= j; i++) {
            const double u = (double)g->u[i * g->cols + j];
            sum += u * u;
        }
        d[g->order[j]] = sum;
    }
}

/* A tile under way, cut out of the caller's scratch memory. */
struct tile {
    float *wt;             /* [cols][R] weights, in rounding order */
    float *err;            /* [BATCH][R] errors over u_ii */
    float *scale, *offset; /* [block][R], at a column's place in its block */
    float *row;           /* [3 * block] one row of a block: weights, scales, offsets */
    unsigned char *code;  /* [R][cols] at a column's own place */
    unsigned char *group; /* an intB group encoded by itself */
    size_t n;             /* rows in use */
    struct mpq_grid grid; /* of the block under work */
};

/* Bytes of a group of an intB by itself: codes of at most 8 bits, scale, zero. */
static size_t
group_bytes(const struct mpq_gptq *g)
{
    return g->block + 4;
}

size_t
mpq_gptq_scratch(const struct mpq_gptq *g)
{
    const size_t bytes = R * g->cols + group_bytes(g);

    return R * g->cols + BATCH * R + 2 * g->block * R + 3 * g->block +
           (bytes + sizeof(float) - 1) / sizeof(float);
}

static struct tile
cut(const struct mpq_gptq *g, float *scratch, size_t n)
{
    struct tile t = { .wt = scratch, .n = n, .grid = g->grid };

    t.err = t.wt + R * g->cols;
    t.scale = t.err + BATCH * R;
    t.offset = t.scale + g->block * R;
    t.row = t.offset + g->block * R;
    t.code = (unsigned char *)(t.row + 3 * g->block);
    t.group = t.code + R * g->cols;
    return t;
}

/* The K-th group of a row by itself. */
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

/* Searches the scales of the block that begins at the I-th column in order, for every
 * row; those of block types go right into DST. */
static void
lay_grid(const struct mpq_gptq *g, struct tile *t, size_t i, unsigned char *dst,
         size_t row_bytes)
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
            mpq_intb_put_group(g->type, to, g->cols, from / g->block, scale[0],
                               -offset[0] * mpq_inverse(scale[0]));
        } else {
            uint64_t at = 0;
            if (mpq_type_row_bytes(g->type, from, &at) < 0)
                assert(from == 0);
            mpq_encode_row(g->type, x, g->importance + from, to + at, n, g->effort);
            mpq_grid_lines(g->type, to, g->cols, from, n, scale, offset);
        }
        for (size_t k = 0; k < n; k++) {
            t->scale[k * R + r] = scale[k];
            t->offset[k * R + r] = offset[k];
        }
    }
}

/* One column of the tile: codes, and errors over u_ii. */
MPQ_CLONES static void
round_affine(float first, float top, const float *w, const float *scale,
             const float *offset, float inverse_u, float *code, float *err)
{
    for (size_t r = 0; r < R; r++) {
        const float level =
            mpq_nearest((w[r] - offset[r]) * mpq_inverse(scale[r]), first, first + top);
        code[r] = level - first;
        err[r] = (w[r] - (scale[r] * level + offset[r])) * inverse_u;
    }
}

MPQ_CLONES static void
round_levels(const struct mpq_grid *grid, const float *w, const float *scale,
             const float *offset, float inverse_u, float *code, float *err)
{
    for (size_t r = 0; r < R; r++) {
        const float v = (w[r] - offset[r]) * mpq_inverse(scale[r]);
        unsigned c = 0;
        for (unsigned k = 1; k < grid->n_codes; k++)
            c += v > 0.5f * (float)(grid->level[k - 1] + grid->level[k]);
        code[r] = (float)c;
        err[r] = (w[r] - (scale[r] * (float)grid->level[c] + offset[r])) * inverse_u;
    }
}

/* wt[k] -= u[k] * err for the N columns that follow in the batch. */
MPQ_CLONES static void
feed(float *wt, const float *u, const float *err, size_t n)
{
    for (size_t k = 0; k < n; k++, wt += R) {
        const float by = u[k];
        for (size_t r = 0; r < R; r++)
            wt[r] -= by * err[r];
    }
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
round_batch(const struct mpq_gptq *g, struct tile *t, size_t begin, size_t end,
            unsigned char *dst, size_t row_bytes)
{
    float code[R];

    for (size_t i = begin; i < end; i++) {
        const size_t own = g->order[i], at = own % g->block * R;
        if (i % g->block == 0)
            lay_grid(g, t, i, dst, row_bytes);
        if (i % g->block == 0 && g->type.varied &&
            !mpq_grid_of(group_type(g, dst, own / g->block), &t->grid))
            assert(0); /* every intB has a grid */
        const float *u = g->u + i * g->cols;
        float *e = t->err + (i - begin) * R;
        if (t->grid.level)
            round_levels(&t->grid, t->wt + i * R, t->scale + at, t->offset + at,
                         1.0f / u[i], code, e);
        else
            round_affine(t->grid.first, (float)(t->grid.n_codes - 1), t->wt + i * R,
                         t->scale + at, t->offset + at, 1.0f / u[i], code, e);
        for (size_t r = 0; r < t->n; r++)
            t->code[r * g->cols + own] = (unsigned char)code[r];
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

void
mpq_gptq_encode(const struct mpq_gptq *g, const float *w, size_t n, unsigned char *dst,
                float *scratch, double *loss)
{
    struct tile t = cut(g, scratch, n);
    uint64_t row_bytes = 0;

    assert(n <= R);
    if (mpq_type_row_bytes(g->type, g->cols, &row_bytes) < 0)
        assert(0); /* the type does not fit the rows */
    for (size_t i = 0; i < g->cols; i++)
        for (size_t r = 0; r < R; r++)
            t.wt[i * R + r] = r < n ? w[r * g->cols + g->order[i]] : 0;
    memset(t.scale, 0, 2 * g->block * R * sizeof *t.scale);
    for (size_t begin = 0, end; begin < g->cols; begin = end) {
        end = batch_end(g, begin);
        round_batch(g, &t, begin, end, dst, (size_t)row_bytes);
        if (loss)
            *loss += sum_squares(t.err, end - begin, n);
        if (end < g->cols)
            mpq_gemm_sub(g->cols - end, R, end - begin, g->u + begin * g->cols + end,
                         g->cols, t.err, R, t.wt + end * R, R);
    }
    for (size_t r = 0; r < n; r++)
        mpq_grid_codes(g->type, dst + r * row_bytes, g->cols, 0, g->cols,
                       t.code + r * g->cols);
}
