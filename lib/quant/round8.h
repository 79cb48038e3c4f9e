/*
 * Rounding to 8 bits of what quantized weights are multiplied with, as ggml does it on
 * x86-64 before such a product. A block's scale is its largest size over 127:
 *
 *   blocks of 32 (q8_0, q8_1)   the scale in f16, and so what a min is multiplied with,
 *                               scale * sum of the codes; both stay floats where they
 *                               are beyond f16
 *   blocks of 256 (q8_K)        the scale a float
 *
 * Halves are rounded to even. A block with a NaN or an infinity has a scale of NaN.
 */
#ifndef MPQ_QUANT_ROUND8_H
#define MPQ_QUANT_ROUND8_H

#include "num/gemm8.h"

/* Puts src[n][ld] as rows [row, row + n) into X, which mpq_gemm8_begin laid out.
 * Different rows can be put from different threads. */
void mpq_round8(struct mpq_gemm8_inputs *x, size_t row, size_t n, const float *src,
                size_t ld);
/* The same numbers as floats: dst[cols] of src[cols], in blocks of BLOCK, 32 or 256,
 * of which COLS is a multiple. */
void mpq_round8_row(const float *src, size_t cols, unsigned block, float *dst);

#endif
