#include "model/activity.h"

#include "base/buf.h"
#include "base/par.h"
#include "base/simd.h"
#include "model/forward_own.h"
#include "num/linalg.h"
#include "num/vmath.h"

#include <stdlib.h>
#include <string.h>

enum {
    COLUMNS = 64, /* of the diagonal, for a thread at a time */
    ROWS = 64,    /* of tokens, the same */
    LANES = 16,
    OUTPUT_ROWS = 2048 /* of the last states, normed and counted together */
};

struct mpq_activity {
    struct mpq_forward *f;
    const struct mpq_seqs *q;
    enum mpq_activity_kind kind;
    unsigned n_threads;
    struct mpq_input input[MPQ_TAP_INPUTS];
    float **scratch; /* [n_threads] a tile of a Gram matrix */
    double *row;     /* sums of squares of the rows of a tap */
    size_t row_room;
    const struct mpq_weight *unembed;
};

int
mpq_activity_new(struct mpq_activity **out, struct mpq_forward *f,
                 const struct mpq_seqs *q, enum mpq_activity_kind kind,
                 unsigned n_threads, struct mpq_err *err)
{
    struct mpq_activity *a = calloc(1, sizeof *a);
    int rc = -1;

    *out = NULL;
    if (!a || !(a->scratch = mpq_array(n_threads, sizeof *a->scratch)))
        goto out;
    a->f = f;
    a->q = q;
    a->kind = kind;
    a->n_threads = n_threads;
    for (unsigned t = 0; t < n_threads; t++)
        if (!(a->scratch[t] = mpq_array(mpq_gram_scratch(), sizeof **a->scratch)))
            goto out;
    for (int i = 0; i < MPQ_TAP_INPUTS; i++)
        if (!(a->input[i].trace = mpq_array(q->n, sizeof *a->input[i].trace)))
            goto out;
    *out = a;
    a = NULL;
    rc = 0;
out:
    if (rc < 0)
        mpq_fail(err, MPQ_ENOMEM, "out of memory for %zu sequences", q->n);
    mpq_activity_free(a);
    return rc;
}

void
mpq_activity_free(struct mpq_activity *a)
{
    if (!a)
        return;
    for (unsigned t = 0; a->scratch && t < a->n_threads; t++)
        free(a->scratch[t]);
    free(a->scratch);
    for (int i = 0; i < MPQ_TAP_INPUTS; i++) {
        free(a->input[i].gram);
        free(a->input[i].diagonal);
        free(a->input[i].trace);
    }
    free(a->row);
    free(a);
}

/* A tap under work. */
struct job {
    struct mpq_activity *a;
    const struct mpq_tap *tap;
    struct mpq_input *in;
};

static int
add_gram(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    const struct job *j = ctx;

    (void)err;
    mpq_gram_tile(j->in->gram, j->tap->x, j->tap->n, j->tap->cols, j->tap->stride, item,
                  j->a->scratch[thread]);
    return 0;
}

MPQ_CLONES static void
add_squares(double *sum, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sum[i] += (double)x[i] * (double)x[i];
}

static int
add_diagonal(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    const struct job *j = ctx;
    const size_t from = item * COLUMNS, left = j->tap->cols - from;
    double sum[COLUMNS] = { 0 };

    (void)thread, (void)err;
    for (size_t r = 0; r < j->tap->n; r++)
        add_squares(sum, j->tap->x + r * j->tap->stride + from,
                    left < COLUMNS ? left : COLUMNS);
    for (size_t c = 0; c < COLUMNS && c < left; c++)
        j->in->diagonal[from + c] += sum[c];
    return 0;
}

/* Sum of squares, in lanes that the compiler makes vectors of. */
MPQ_CLONES static double
squares(const float *x, size_t n)
{
    double lane[LANES] = { 0 }, sum = 0;
    size_t i = 0;

    for (; i + LANES <= n; i += LANES)
        for (size_t k = 0; k < LANES; k++)
            lane[k] += (double)x[i + k] * (double)x[i + k];
    for (; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    for (size_t k = 0; k < LANES; k++)
        sum += lane[k];
    return sum;
}

/* Of every sequence's rows, so that sums do not depend on how a text is grouped. */
static int
square_rows(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    const struct job *j = ctx;
    const size_t from = item * ROWS;

    (void)thread, (void)err;
    for (size_t r = from; r < from + ROWS && r < j->tap->n; r++)
        j->a->row[r] = squares(j->tap->x + r * j->tap->stride, j->tap->cols);
    return 0;
}

/* The sequence that token T belongs to. */
static size_t
sequence_of(const struct mpq_seqs *q, size_t t)
{
    size_t lo = 0, hi = q->n - 1;

    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        if (q->start[mid + 1] <= t)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static int
add_trace(struct job *j, struct mpq_err *err)
{
    struct mpq_activity *a = j->a;
    const struct mpq_tap *tap = j->tap;
    size_t s = sequence_of(a->q, tap->token);

    if (tap->n > a->row_room) {
        free(a->row);
        a->row_room = 0;
        if (!(a->row = mpq_array(tap->n, sizeof *a->row)))
            return mpq_fail(err, MPQ_ENOMEM, "out of memory for %zu tokens", tap->n);
        a->row_room = tap->n;
    }
    if (mpq_par_for(a->n_threads, (tap->n + ROWS - 1) / ROWS, square_rows, j, err) < 0)
        return -1;
    for (size_t r = 0; r < tap->n; r++) {
        while (a->q->start[s + 1] <= tap->token + r)
            s++;
        j->in->trace[s] += a->row[r];
    }
    return 0;
}

/* Memory for an input whose width is now known, zeroed. */
static int
prepare(struct mpq_activity *a, struct mpq_input *in, const struct mpq_tap *tap,
        struct mpq_err *err)
{
    if (in->cols != tap->cols) {
        free(in->gram);
        free(in->diagonal);
        in->gram = NULL;
        in->cols = tap->cols;
        in->diagonal = mpq_array(in->cols, sizeof *in->diagonal);
        if (a->kind == MPQ_ACTIVITY_HESSIAN)
            in->gram = mpq_array(in->cols, in->cols * sizeof *in->gram);
        if (!in->diagonal || (a->kind == MPQ_ACTIVITY_HESSIAN && !in->gram)) {
            in->cols = 0;
            return mpq_fail(err, MPQ_ENOMEM, "out of memory for a Hessian of %zu",
                            tap->cols);
        }
    }
    in->weights = tap->weights;
    in->n_weights = tap->n_weights;
    memset(in->diagonal, 0, in->cols * sizeof *in->diagonal);
    if (in->gram)
        memset(in->gram, 0, in->cols * in->cols * sizeof *in->gram);
    return 0;
}

static int
count(void *ctx, const struct mpq_tap *tap, struct mpq_err *err)
{
    struct mpq_activity *a = ctx;
    struct job j = { a, tap, &a->input[tap->input] };

    if (j.in->n_tokens == 0 && prepare(a, j.in, tap, err) < 0)
        return -1;
    j.in->n_tokens += tap->n;
    if (a->kind == MPQ_ACTIVITY_HESSIAN &&
        mpq_par_for(a->n_threads, mpq_gram_tiles(tap->cols), add_gram, &j, err) < 0)
        return -1;
    if (a->kind == MPQ_ACTIVITY_DIAGONAL &&
        mpq_par_for(a->n_threads, (tap->cols + COLUMNS - 1) / COLUMNS, add_diagonal, &j,
                    err) < 0)
        return -1;
    return add_trace(&j, err);
}

/* Before the first tap of an input. */
static void
forget(const struct mpq_activity *a, struct mpq_input *in)
{
    in->n_tokens = 0;
    for (size_t s = 0; s < a->q->n; s++)
        in->trace[s] = 0;
}

/* After the last one. */
static void
finish(struct mpq_input *in)
{
    for (size_t c = 0; in->gram && c < in->cols; c++)
        in->diagonal[c] = in->gram[c * in->cols + c];
}

int
mpq_activity_layer(struct mpq_activity *a, size_t layer, struct mpq_states *x,
                   struct mpq_err *err)
{
    for (int i = 0; i < MPQ_TAP_INPUTS; i++)
        forget(a, &a->input[i]);
    mpq_forward_tap(a->f, count, a);
    const int rc = mpq_forward_layer(a->f, layer, a->q, x, err);
    mpq_forward_tap(a->f, NULL, NULL);
    for (int i = 0; rc == 0 && i < MPQ_TAP_INPUTS; i++)
        finish(&a->input[i]);
    return rc;
}

const struct mpq_input *
mpq_activity_inputs(const struct mpq_activity *a)
{
    return a->input;
}

/* Last states to be normed. */
struct norming {
    const struct mpq_forward *f;
    const float *x;
    float *normed; /* both [n][n_embd] */
    size_t n;
};

static int
norm_some(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    const struct norming *k = ctx;
    const size_t d = k->f->net.n_embd, from = item * ROWS;

    (void)thread, (void)err;
    for (size_t r = from; r < from + ROWS && r < k->n; r++)
        mpq_vrms_norm(k->normed + r * d, k->x + r * d, k->f->final_norm, d,
                      k->f->net.norm_eps);
    return 0;
}

int
mpq_activity_output(struct mpq_activity *a, const struct mpq_states *x,
                    const struct mpq_input **in, struct mpq_err *err)
{
    const size_t d = x->width, n = a->q->start[a->q->n];
    float *normed = mpq_array(n < OUTPUT_ROWS ? n : OUTPUT_ROWS, d * sizeof *normed);
    int rc = -1;

    a->unembed = mpq_fwd_unembed(a->f);
    if (!normed) {
        mpq_fail(err, MPQ_ENOMEM, "out of memory for rows of %zu", d);
        goto out;
    }
    forget(a, &a->input[0]);
    for (size_t at = 0; at < n; at += OUTPUT_ROWS) {
        const size_t here = n - at < OUTPUT_ROWS ? n - at : OUTPUT_ROWS;
        struct norming k = { a->f, x->x + at * d, normed, here };
        const struct mpq_tap tap = { .weights = &a->unembed,
                                     .n_weights = 1,
                                     .token = at,
                                     .n = here,
                                     .cols = d,
                                     .stride = d,
                                     .x = normed };
        if (mpq_par_for(a->n_threads, (here + ROWS - 1) / ROWS, norm_some, &k, err) <
                0 ||
            count(a, &tap, err) < 0)
            goto out;
    }
    finish(&a->input[0]);
    *in = &a->input[0];
    rc = 0;
out:
    free(normed);
    return rc;
}
