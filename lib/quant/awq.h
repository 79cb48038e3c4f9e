/*
 * AWQ, activation-aware weight quantization (arXiv 2306.00978): columns that meet large
 * inputs are multiplied by a scale before they are rounded, so that they lose less of
 * what counts, and what feeds them is divided by it. The scales are powers of the size
 * of the inputs; the power is searched for.
 *
 *   s_c = rms(x_c)^a,  a = 0, 1/20 ... 19/20,  divided by sqrt(max s * min s)
 *
 * The authors take mean |x| for the size and no weights; here it is the root of the
 * mean square, which a Gram matrix knows, and rounding is weighed by it.
 */
#ifndef MPQ_QUANT_AWQ_H
#define MPQ_QUANT_AWQ_H

#include "quant/codec.h"

enum {
    MPQ_AWQ_STEPS = 20,
    MPQ_AWQ_ROWS = 64 /* rows that are worked on side by side */
};

/* SCALE[n] with a = STEP / MPQ_AWQ_STEPS, for columns of the mean squares SQUARE[n] >=
 * 0, not all 0. What is below 1e-8 of the largest counts as that. */
void mpq_awq_scales(const double *square, size_t n, unsigned step, float *scale);

/* What rows are rounded by. */
struct mpq_awq {
    struct mpq_type type;
    size_t cols;
    enum mpq_effort effort;
    const float *scale;      /* [cols]; NULL: ones */
    const float *importance; /* [cols] of the scaled columns; NULL: ones */
    const float *gram;       /* [cols][cols], both triangles; NULL: no loss is asked */
};

/* Floats of scratch memory for a call of mpq_awq_round. */
size_t mpq_awq_scratch(struct mpq_type type, size_t cols);
/* Encodes w[n][cols] * scale, n <= MPQ_AWQ_ROWS, into N rows at DST (NULL: nowhere).
 * Returns tr(E gram E^T), E what the rows are off by when the scale is taken out again;
 * 0 without gram. */
double mpq_awq_round(const struct mpq_awq *a, const float *w, size_t n,
                     unsigned char *dst, float *scratch);

#endif
