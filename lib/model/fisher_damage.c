#include "model/fisher_damage.h"

#include "base/buf.h"
#include "base/par.h"
#include "num/linalg.h"
#include "num/vgrad.h"
#include "num/vmath.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 64 /* of a matrix, for a thread at a time */ };

/* A matrix under work. */
struct job {
    const struct mpq_source *s;
    const struct mpq_weight *w;
    const struct mpq_fisher_rounding *how;
    const float *importance; /* [cols], or NULL */
    const float *h;          /* [cols][cols] */
    const double *rows;      /* [rows] */
    size_t cols, row_bytes, scratch;
    float *memory; /* [n_threads][scratch] */
    double *sums;  /* [items][n_types] */
    /* the embedding: */
    const struct mpq_grad_tap *tap;
    const struct mpq_seqs *q;
    const size_t *places; /* [n] positions, by token and then ascending */
    const size_t *first;  /* [items + 1] where a token's begin in places */
};

/* Bytes of the longest row among the types. */
static size_t
longest_row(const struct mpq_fisher_rounding *how, size_t cols)
{
    uint64_t most = 1, bytes;

    for (size_t i = 0; i < how->n_types; i++)
        if (mpq_type_row_bytes(how->types[i], cols, &bytes) == 0 && bytes > most)
            most = bytes;
    return (size_t)most;
}

/* e = W rounded to T, less W; BYTES holds a row. */
static void
error_row(const struct job *j, struct mpq_type t, const float *w, float *e,
          unsigned char *bytes)
{
    mpq_encode_row(t, w, j->importance, bytes, j->cols, j->how->effort);
    mpq_decode_row(t, bytes, e, j->cols);
    for (size_t c = 0; c < j->cols; c++)
        e[c] -= w[c];
}

/* sum over rows of d_r E_r H E_r^T, for every type. */
static int
round_rows(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    const struct job *j = ctx;
    const size_t row = item * ROWS, cols = j->cols, left = (size_t)j->w->rows - row,
                 n = left < ROWS ? left : ROWS;
    float *w = j->memory + thread * j->scratch, *e = w + ROWS * cols,
          *he = e + ROWS * cols;
    unsigned char *bytes = (unsigned char *)(he + ROWS * cols);

    if (mpq_source_read_rows(j->s, j->w, row, n, w, err) < 0)
        return -1;
    for (size_t k = 0; k < j->how->n_types; k++) {
        double sum = 0;
        if (!mpq_type_fits(j->how->types[k], cols))
            continue;
        for (size_t r = 0; r < n; r++)
            error_row(j, j->how->types[k], w + r * cols, e + r * cols, bytes);
        mpq_gemm_add_f(0, 0, n, cols, cols, 1, e, cols, j->h, cols, 0, he, cols);
        for (size_t r = 0; r < n; r++)
            sum += j->rows[row + r] * mpq_vdot(e + r * cols, he + r * cols, cols);
        j->sums[item * j->how->n_types + k] = sum;
    }
    return 0;
}

/* Memory for ITEMS and for N rows of floats in each thread, with a row of bytes. */
static int
prepare(struct job *j, size_t items, size_t n, struct mpq_err *err)
{
    j->cols = (size_t)j->w->cols;
    j->row_bytes = longest_row(j->how, j->cols);
    j->scratch = n * j->cols + j->row_bytes / sizeof(float) + 1;
    j->memory = mpq_array(j->how->n_threads, j->scratch * sizeof *j->memory);
    j->sums = mpq_array(items, j->how->n_types * sizeof *j->sums);
    if (!j->memory || !j->sums)
        return mpq_fail(err, MPQ_ENOMEM, "out of memory for the damage of %s",
                        j->w->name);
    return 0;
}

/* Relative standard error of sum(share) / sum(labels), of n sequences: those without a
 * label tell nothing. */
static double
relative_se(const double *share, const size_t *labels, size_t n)
{
    double sum = 0, of = 0, square = 0;
    size_t some = 0;

    for (size_t i = 0; i < n; i++) {
        sum += share[i];
        of += (double)labels[i];
        some += labels[i] > 0;
    }
    if (some < 2 || !(sum > 0))
        return 0;
    for (size_t i = 0; i < n; i++) {
        const double off = share[i] - sum / of * (double)labels[i];
        square += labels[i] ? off * off : 0;
    }
    return sqrt(square * (double)some / (double)(some - 1)) / sum;
}

/* Sums over the items, and what they are for each label; -1 where they overflow. */
static int
add_up(struct mpq_fisher_damage *out, const struct job *j, size_t items,
       size_t n_labels, struct mpq_err *err)
{
    const size_t n = j->how->n_types;

    for (size_t k = 0; k < n; k++) {
        double sum = 0, square = 0;
        for (size_t i = 0; i < items; i++) {
            sum += j->sums[i * n + k];
            square += j->sums[i * n + k] * j->sums[i * n + k];
        }
        out[k] = (struct mpq_fisher_damage){ NAN, NAN, 0 };
        if (mpq_type_fits(j->how->types[k], j->cols)) {
            const double by = n_labels ? 1 / (2 * (double)n_labels) : 0;
            if (!isfinite(sum))
                return mpq_fail(err, MPQ_EDATA, "%s: its damage overflows", j->w->name);
            out[k].mean = sum > 0 ? sum * by : 0;
            out[k].se = sqrt(square) * by;
        }
    }
    return 0;
}

int
mpq_fisher_damage(struct mpq_fisher_damage *out, const struct mpq_fisher *f,
                  const size_t *labels, size_t n_seqs, const struct mpq_source *s,
                  const struct mpq_fisher_rounding *how, struct mpq_err *err)
{
    const size_t cols = (size_t)f->weight->cols,
                 items = ((size_t)f->weight->rows + ROWS - 1) / ROWS;
    struct job j = { .s = s, .w = f->weight, .how = how, .rows = f->rows };
    float *h = mpq_array(cols, cols * sizeof *h),
          *importance = mpq_array(cols, sizeof *importance);
    size_t n_labels = 0;
    int rc = -1;

    for (size_t i = 0; i < n_seqs; i++)
        n_labels += labels[i];
    if (!h || !importance) {
        mpq_fail(err, MPQ_ENOMEM, "out of memory for the damage of %s", j.w->name);
        goto out;
    }
    if (prepare(&j, items, 3 * ROWS, err) < 0)
        goto out;
    for (size_t r = 0; r < cols; r++)
        for (size_t c = 0; c < cols; c++)
            h[r * cols + c] =
                (float)(c < r ? f->gram[c * cols + r] : f->gram[r * cols + c]);
    for (size_t c = 0; c < cols; c++)
        importance[c] = (float)f->diagonal[c];
    j.h = h;
    j.importance = importance;
    if (mpq_par_for(how->n_threads, items, round_rows, &j, err) < 0)
        goto out;
    if (add_up(out, &j, items, n_labels, err) < 0)
        goto out;
    for (size_t k = 0; k < how->n_types; k++) {
        const int block = mpq_fisher_block(how->types[k]);
        out[k].se = out[k].mean * relative_se(f->share, labels, n_seqs);
        if (how->int8 && block >= 0 && n_labels && !isnan(out[k].mean))
            out[k].inputs = f->inputs[block] / (2 * (double)n_labels);
    }
    rc = 0;
out:
    free(h);
    free(importance);
    free(j.memory);
    free(j.sums);
    return rc;
}

/* --- the embedding ---------------------------------------------------------------- */

/* One token that the text has, everywhere. */
static int
round_token(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    const struct job *j = ctx;
    const size_t cols = j->cols, n = j->how->n_types;
    float *w = j->memory + thread * j->scratch, *e = w + cols, *g = e + n * cols;
    unsigned char *bytes = (unsigned char *)(g + cols);
    const uint32_t token = j->q->tokens[j->places[j->first[item]]];
    size_t seq = 0;

    if (mpq_source_read_rows(j->s, j->w, token, 1, w, err) < 0)
        return -1;
    for (size_t k = 0; k < n; k++)
        if (mpq_type_fits(j->how->types[k], cols))
            error_row(j, j->how->types[k], w, e + k * cols, bytes);
    for (size_t i = j->first[item]; i < j->first[item + 1];) {
        memset(g, 0, cols * sizeof *g);
        while (j->q->start[seq + 1] <= j->places[i])
            seq++;
        for (; i < j->first[item + 1] && j->places[i] < j->q->start[seq + 1]; i++)
            mpq_vadd(g, j->tap->g + j->places[i] * j->tap->g_stride, cols);
        for (size_t k = 0; k < n; k++) {
            const double moved = mpq_vdot(g, e + k * cols, cols);
            j->sums[item * n + k] += moved * moved;
        }
    }
    return 0;
}

struct place {
    uint32_t token;
    size_t at;
};

static int
by_token(const void *a, const void *b)
{
    const struct place *x = a, *y = b;

    if (x->token != y->token)
        return x->token < y->token ? -1 : 1;
    return x->at < y->at ? -1 : x->at > y->at;
}

/* Positions sorted by their token: places[n] and first[items + 1]. */
static size_t
sort_places(struct place *sorted, const struct mpq_seqs *q, size_t *places,
            size_t *first)
{
    const size_t n = q->start[q->n];
    size_t items = 0;

    for (size_t i = 0; i < n; i++)
        sorted[i] = (struct place){ q->tokens[i], i };
    qsort(sorted, n, sizeof *sorted, by_token);
    for (size_t i = 0; i < n; i++) {
        places[i] = sorted[i].at;
        if (i == 0 || sorted[i].token != sorted[i - 1].token)
            first[items++] = i;
    }
    first[items] = n;
    return items;
}

int
mpq_fisher_damage_embedding(struct mpq_fisher_damage *out,
                            const struct mpq_grad_tap *tap, const struct mpq_seqs *q,
                            const float *importance, float embed_scale, size_t n_labels,
                            const struct mpq_source *s,
                            const struct mpq_fisher_rounding *how, struct mpq_err *err)
{
    const size_t n = q->start[q->n];
    struct job j = { .s = s,
                     .w = tap->weight,
                     .how = how,
                     .importance = importance,
                     .tap = tap,
                     .q = q };
    struct place *sorted = mpq_array(n, sizeof *sorted);
    size_t *places = mpq_array(n, sizeof *places),
           *first = mpq_array(n + 1, sizeof *first);
    int rc = -1;

    if (!sorted || !places || !first) {
        mpq_fail(err, MPQ_ENOMEM, "out of memory for %zu tokens", n);
        goto out;
    }
    const size_t items = sort_places(sorted, q, places, first);
    j.places = places;
    j.first = first;
    if (prepare(&j, items, how->n_types + 2, err) < 0 ||
        mpq_par_for(how->n_threads, items, round_token, &j, err) < 0)
        goto out;
    if (add_up(out, &j, items, n_labels, err) < 0)
        goto out;
    for (size_t k = 0; k < how->n_types; k++) {
        out[k].mean *= (double)embed_scale * (double)embed_scale;
        out[k].se *= (double)embed_scale * (double)embed_scale;
    }
    rc = 0;
out:
    free(sorted);
    free(places);
    free(first);
    free(j.memory);
    free(j.sums);
    return rc;
}
