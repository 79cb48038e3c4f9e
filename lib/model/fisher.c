#include "model/fisher.h"

#include "base/buf.h"
#include "base/par.h"
#include "base/simd.h"
#include "num/linalg.h"
#include "num/vgrad.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    ROWS = 64,   /* of tokens, for a thread at a time */
    COLUMNS = 64 /* of gradients, the same */
};

struct mpq_fishers {
    const struct mpq_seqs *q;
    unsigned what, n_threads;
    struct mpq_fisher each[MPQ_FISHER_WEIGHTS];
    size_t rows[MPQ_FISHER_WEIGHTS], cols[MPQ_FISHER_WEIGHTS]; /* of their memory */
    float **scratch; /* [n_threads] a tile of a Gram matrix */
    float *scaled;   /* [n][cols] of a tap: sqrt(w) x */
    double *share;   /* [n] of its tokens */
    size_t scaled_room, share_room;
};

int
mpq_fishers_new(struct mpq_fishers **out, const struct mpq_seqs *q, unsigned what,
                unsigned n_threads, struct mpq_err *err)
{
    struct mpq_fishers *f = calloc(1, sizeof *f);
    int rc = -1;

    *out = NULL;
    if (!f || !(f->scratch = mpq_array(n_threads, sizeof *f->scratch)))
        goto out;
    f->q = q;
    f->what = what;
    f->n_threads = n_threads;
    for (unsigned t = 0; t < n_threads; t++)
        if (!(f->scratch[t] = mpq_array(mpq_gram_scratch(), sizeof **f->scratch)))
            goto out;
    for (int i = 0; i < MPQ_FISHER_WEIGHTS; i++)
        if (!(f->each[i].share = mpq_array(q->n, sizeof *f->each[i].share)))
            goto out;
    *out = f;
    f = NULL;
    rc = 0;
out:
    if (rc < 0)
        mpq_fail(err, MPQ_ENOMEM, "out of memory for %zu sequences", q->n);
    mpq_fishers_free(f);
    return rc;
}

void
mpq_fishers_free(struct mpq_fishers *f)
{
    if (!f)
        return;
    for (unsigned t = 0; f->scratch && t < f->n_threads; t++)
        free(f->scratch[t]);
    free(f->scratch);
    for (int i = 0; i < MPQ_FISHER_WEIGHTS; i++) {
        free(f->each[i].gram);
        free(f->each[i].diagonal);
        free(f->each[i].rows);
        free(f->each[i].share);
    }
    free(f->scaled);
    free(f->share);
    free(f);
}

const struct mpq_fisher *
mpq_fishers_get(const struct mpq_fishers *f)
{
    return f->each;
}

/* A tap under work. */
struct job {
    struct mpq_fishers *f;
    const struct mpq_grad_tap *tap;
    struct mpq_fisher *to;
};

static int
scale_rows(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    const struct job *j = ctx;
    const struct mpq_grad_tap *tap = j->tap;
    const size_t from = item * ROWS, cols = (size_t)tap->weight->cols,
                 rows = (size_t)tap->weight->rows;

    (void)thread, (void)err;
    for (size_t t = from; t < from + ROWS && t < tap->n; t++) {
        const float *g = tap->g + t * tap->g_stride, *x = tap->x + t * tap->x_stride;
        float *to = j->f->scaled + t * cols;
        const double w = mpq_vdot(g, g, rows) / (double)rows;
        const float by = (float)sqrt(w);
        for (size_t c = 0; c < cols; c++)
            to[c] = x[c] * by;
        j->f->share[t] = mpq_vdot(to, to, cols);
    }
    return 0;
}

static int
add_gram(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    const struct job *j = ctx;
    const size_t cols = (size_t)j->tap->weight->cols;

    (void)err;
    mpq_gram_tile(j->to->gram, j->f->scaled, j->tap->n, cols, cols, item,
                  j->f->scratch[thread]);
    return 0;
}

MPQ_CLONES static void
add_gradient_squares(double *sum, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sum[i] += (double)x[i] * (double)x[i];
}

/* Sums of squares of columns [from, from + COLUMNS) of X[n][cols]. */
static void
add_columns(double *to, const float *x, size_t stride, size_t n, size_t cols,
            size_t from)
{
    const size_t width = cols - from < COLUMNS ? cols - from : COLUMNS;
    double sum[COLUMNS] = { 0 };

    for (size_t t = 0; t < n; t++)
        add_gradient_squares(sum, x + t * stride + from, width);
    for (size_t c = 0; c < width; c++)
        to[from + c] += sum[c];
}

static int
add_rows(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    const struct job *j = ctx;

    (void)thread, (void)err;
    add_columns(j->to->rows, j->tap->g, j->tap->g_stride, j->tap->n,
                (size_t)j->tap->weight->rows, item * COLUMNS);
    return 0;
}

static int
add_diagonal(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    const struct job *j = ctx;
    const size_t cols = (size_t)j->tap->weight->cols;

    (void)thread, (void)err;
    add_columns(j->to->diagonal, j->f->scaled, cols, j->tap->n, cols, item * COLUMNS);
    return 0;
}

static int
no_memory(const struct mpq_weight *w, struct mpq_err *err)
{
    return mpq_fail(err, MPQ_ENOMEM, "out of memory for the Fisher information of %s",
                    w->name);
}

/* Memory for the I-th matrix of the layer, zeroed, before its first tap. */
static int
prepare(struct mpq_fishers *f, size_t i, const struct mpq_weight *w,
        struct mpq_err *err)
{
    struct mpq_fisher *to = &f->each[i];
    const size_t rows = (size_t)w->rows, cols = (size_t)w->cols;

    if (f->rows[i] != rows || f->cols[i] != cols) {
        free(to->gram);
        free(to->diagonal);
        free(to->rows);
        f->rows[i] = f->cols[i] = 0;
        const int grams = f->what & MPQ_FISHER_GRAMS;
        to->gram = grams ? mpq_array(cols, cols * sizeof *to->gram) : NULL;
        to->diagonal = mpq_array(cols, sizeof *to->diagonal);
        to->rows = mpq_array(rows, sizeof *to->rows);
        if (!to->diagonal || !to->rows || (grams && !to->gram))
            return no_memory(w, err);
        f->rows[i] = rows;
        f->cols[i] = cols;
    }
    if (to->gram)
        memset(to->gram, 0, cols * cols * sizeof *to->gram);
    memset(to->diagonal, 0, cols * sizeof *to->diagonal);
    memset(to->rows, 0, rows * sizeof *to->rows);
    memset(to->share, 0, f->q->n * sizeof *to->share);
    for (size_t b = 0; b < MPQ_FISHER_BLOCKS; b++)
        to->inputs[b] = f->what & MPQ_FISHER_INPUTS ? 0 : (double)NAN;
    to->weight = w;
    to->n_tokens = 0;
    return 0;
}

/* Room for what a tap is scaled into. */
static int
need_room(struct mpq_fishers *f, const struct mpq_grad_tap *tap, struct mpq_err *err)
{
    const size_t cols = (size_t)tap->weight->cols;

    if (f->scaled_room < tap->n * cols) {
        free(f->scaled);
        f->scaled_room = 0;
        if (!(f->scaled = mpq_array(tap->n, cols * sizeof *f->scaled)))
            return no_memory(tap->weight, err);
        f->scaled_room = tap->n * cols;
    }
    if (f->share_room < tap->n) {
        free(f->share);
        f->share_room = 0;
        if (!(f->share = mpq_array(tap->n, sizeof *f->share)))
            return no_memory(tap->weight, err);
        f->share_room = tap->n;
    }
    return 0;
}

static size_t
pieces(uint64_t n, size_t step)
{
    return (size_t)(n / step + (n % step != 0));
}

static size_t
place_of(const struct mpq_weight *w)
{
    static const enum mpq_role roles[MPQ_FISHER_WEIGHTS] = { MPQ_ROLE_Q,    MPQ_ROLE_K,
                                                             MPQ_ROLE_V,    MPQ_ROLE_O,
                                                             MPQ_ROLE_GATE, MPQ_ROLE_UP,
                                                             MPQ_ROLE_DOWN };
    size_t i = 0;

    while (i + 1 < MPQ_FISHER_WEIGHTS && roles[i] != w->role)
        i++;
    return i;
}

static int
count(void *ctx, const struct mpq_grad_tap *tap, struct mpq_err *err)
{
    struct mpq_fishers *f = ctx;
    const struct mpq_weight *w = tap->weight;
    const size_t i = place_of(w);
    struct job j = { f, tap, &f->each[i] };

    if ((tap->token == 0 && prepare(f, i, w, err) < 0) || need_room(f, tap, err) < 0 ||
        mpq_par_for(f->n_threads, pieces(tap->n, ROWS), scale_rows, &j, err) < 0 ||
        mpq_par_for(f->n_threads, pieces(w->rows, COLUMNS), add_rows, &j, err) < 0)
        return -1;
    if (f->what & MPQ_FISHER_GRAMS
            ? mpq_par_for(f->n_threads, mpq_gram_tiles((size_t)w->cols), add_gram, &j,
                          err) < 0
            : mpq_par_for(f->n_threads, pieces(w->cols, COLUMNS), add_diagonal, &j,
                          err) < 0)
        return -1;
    if (f->what & MPQ_FISHER_INPUTS &&
        mpq_fisher_add_inputs(j.to->inputs, tap, f->n_threads, err) < 0)
        return -1;
    for (size_t t = 0, s = 0; t < tap->n; t++) {
        while (f->q->start[s + 1] <= tap->token + t)
            s++;
        j.to->share[s] += f->share[t];
    }
    j.to->n_tokens += tap->n;
    return 0;
}

/* Row sums become weights with the mean 1. */
static void
finish(struct mpq_fisher *f)
{
    const size_t rows = (size_t)f->weight->rows, cols = (size_t)f->weight->cols;
    double sum = 0;

    for (size_t r = 0; r < rows; r++)
        sum += f->rows[r];
    for (size_t r = 0; r < rows; r++)
        f->rows[r] = sum > 0 ? f->rows[r] / (sum / (double)rows) : 1;
    for (size_t c = 0; f->gram && c < cols; c++)
        f->diagonal[c] = f->gram[c * cols + c];
}

int
mpq_fishers_layer(struct mpq_fishers *f, struct mpq_backward *b, size_t layer,
                  struct mpq_err *err)
{
    if (mpq_backward_layer(b, layer, count, f, err) < 0)
        return -1;
    for (int i = 0; i < MPQ_FISHER_WEIGHTS; i++)
        finish(&f->each[i]);
    return 0;
}
