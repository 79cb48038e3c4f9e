/*
 * HQQ, half-quadratic quantization (Badri and Shaji 2023): no data; of each block the
 * scale and zero are those of the least sum of |error|^0.7, which lets a few weights be
 * far off so that most are near. Each round gives the errors W - Q that shrinking with
 * weight beta leaves over (the proximal step of the half-quadratic split), and then
 * fits the line of the codes to what remains. The authors' program moves the zero
 * alone; here both ends of a fit are tried, the zero alone and scale and zero together.
 */
#ifndef MPQ_QUANT_HQQ_H
#define MPQ_QUANT_HQQ_H

#include "quant/codec.h"

/* Types whose block has one scale, or one scale and one offset, of its own in f16: q8_0
 * q5_1 q5_0 q4_1 q4_0 iq4_nl and every intB of 2 bits and more. */
int mpq_hqq_serves(struct mpq_type t);

/* As mpq_encode_row, with HQQ's search for the scales. IMPORTANCE[cols] weighs the
 * objective of each column; NULL is all ones. */
void mpq_hqq_encode_row(struct mpq_type t, const float *src, const float *importance,
                        void *dst, size_t cols);

#endif
