/* What it costs to round what a linear is given to 8 bits. */
#include "model/fisher.h"

#include "base/buf.h"
#include "base/par.h"
#include "num/linalg.h"
#include "quant/round8.h"
#include "quant/split.h"

#include <math.h>
#include <stdlib.h>

enum { ROWS = 64 /* of tokens, for a thread at a time */ };

int
mpq_fisher_block(struct mpq_type t)
{
    struct mpq_gemm8_form form;

    if (!mpq_split_form(t, &form))
        return -1;
    return form.block != mpq_fisher_block_size(0);
}

struct job {
    const struct mpq_grad_tap *tap;
    float *memory; /* [n_threads][ROWS + 1][cols]: gradients by the inputs; a row */
    double *sums;  /* [items][MPQ_FISHER_BLOCKS] */
};

static int
round_rows(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    const struct job *j = ctx;
    const struct mpq_grad_tap *tap = j->tap;
    const size_t cols = (size_t)tap->weight->cols, rows = (size_t)tap->weight->rows,
                 from = item * ROWS, n = tap->n - from < ROWS ? tap->n - from : ROWS;
    float *gx = j->memory + thread * (ROWS + 1) * cols, *rounded = gx + ROWS * cols;

    (void)err;
    mpq_gemm_add_f(0, 0, n, cols, rows, 1, tap->g + from * tap->g_stride, tap->g_stride,
                   tap->w, cols, 0, gx, cols);
    for (size_t b = 0; b < MPQ_FISHER_BLOCKS; b++) {
        const unsigned size = mpq_fisher_block_size(b);
        double sum = 0;
        for (size_t t = 0; t < n && cols % size == 0; t++) {
            const float *x = tap->x + (from + t) * tap->x_stride;
            double moved = 0;
            mpq_round8_row(x, cols, size, rounded);
            for (size_t c = 0; c < cols; c++)
                moved += (double)gx[t * cols + c] * (double)(rounded[c] - x[c]);
            sum += moved * moved;
        }
        j->sums[item * MPQ_FISHER_BLOCKS + b] = cols % size == 0 ? sum : (double)NAN;
    }
    return 0;
}

int
mpq_fisher_add_inputs(double *inputs, const struct mpq_grad_tap *tap,
                      unsigned n_threads, struct mpq_err *err)
{
    const size_t items = tap->n / ROWS + (tap->n % ROWS != 0);
    struct job j = { .tap = tap };
    int rc = -1;

    j.memory =
        mpq_array(n_threads, (ROWS + 1) * (size_t)tap->weight->cols * sizeof *j.memory);
    j.sums = mpq_array(items, MPQ_FISHER_BLOCKS * sizeof *j.sums);
    if (!j.memory || !j.sums) {
        mpq_fail(err, MPQ_ENOMEM, "out of memory for the inputs of %s",
                 tap->weight->name);
        goto out;
    }
    if (mpq_par_for(n_threads, items, round_rows, &j, err) < 0)
        goto out;
    for (size_t i = 0; i < items * MPQ_FISHER_BLOCKS; i++)
        inputs[i % MPQ_FISHER_BLOCKS] += j.sums[i];
    rc = 0;
out:
    free(j.memory);
    free(j.sums);
    return rc;
}
