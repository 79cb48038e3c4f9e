#include "quant/awq.h"

#include "num/linalg.h"

#include <assert.h>
#include <math.h>

void
mpq_awq_scales(const double *square, size_t n, unsigned step, float *scale)
{
    const double power = (double)step / MPQ_AWQ_STEPS / 2; /* of the root */
    double top = 0, most = 0, least = INFINITY;

    for (size_t c = 0; c < n; c++)
        top = square[c] > top ? square[c] : top;
    for (size_t c = 0; c < n; c++) {
        const double s = pow(fmax(square[c] / top, 1e-8), power);
        most = s > most ? s : most;
        least = s < least ? s : least;
        scale[c] = (float)s;
    }
    const double mean = sqrt(most * least);
    for (size_t c = 0; c < n; c++)
        scale[c] = (float)((double)scale[c] / mean);
}

static size_t
row_bytes(struct mpq_type type, size_t cols)
{
    uint64_t bytes = 0;

    if (mpq_type_row_bytes(type, cols, &bytes) < 0)
        assert(0); /* the type fits the row */
    return (size_t)bytes;
}

size_t
mpq_awq_scratch(struct mpq_type type, size_t cols)
{
    return (2 * MPQ_AWQ_ROWS + 1) * cols + row_bytes(type, cols) / sizeof(float) + 1;
}

/* E[cols] = w - q / s for the row Q as it decodes. */
static void
put_error(const struct mpq_awq *a, const float *w, const unsigned char *row, float *e)
{
    mpq_decode_row(a->type, row, e, a->cols);
    for (size_t c = 0; c < a->cols; c++)
        e[c] = w[c] - (a->scale ? e[c] / a->scale[c] : e[c]);
}

double
mpq_awq_round(const struct mpq_awq *a, const float *w, size_t n, unsigned char *dst,
              float *scratch)
{
    const size_t cols = a->cols, bytes = row_bytes(a->type, cols);
    float *error = scratch, *product = error + MPQ_AWQ_ROWS * cols;
    float *scaled = product + MPQ_AWQ_ROWS * cols;
    unsigned char *own = (unsigned char *)(scaled + cols);
    double loss = 0;

    assert(n <= MPQ_AWQ_ROWS);
    for (size_t r = 0; r < n; r++) {
        unsigned char *row = dst ? dst + r * bytes : own;
        const float *from = w + r * cols;
        for (size_t c = 0; a->scale && c < cols; c++)
            scaled[c] = from[c] * a->scale[c];
        mpq_encode_row(a->type, a->scale ? scaled : from, a->importance, row, cols,
                       a->effort);
        if (a->gram)
            put_error(a, from, row, error + r * cols);
    }
    if (!a->gram)
        return 0;
    mpq_gemm_f(0, 0, n, cols, cols, error, cols, a->gram, cols, product, cols);
    for (size_t i = 0; i < n * cols; i++)
        loss += (double)error[i] * (double)product[i];
    return loss;
}
