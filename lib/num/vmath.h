/*
 * The elementwise functions of a transformer, in float, vectorized for the processor at
 * hand; long sums end in double over fixed blocks, so that they do not depend on the
 * vector width more than rounding does. exp is good to 2 units in the last place;
 * results below 2^-126 are 0. A NaN among the arguments is one among the results.
 */
#ifndef MPQ_NUM_VMATH_H
#define MPQ_NUM_VMATH_H

#include <stddef.h>

/* Largest of x[n], n > 0; NaN when one is NaN. */
float mpq_vmax(const float *x, size_t n);
/* Is every one of x[n] finite? */
int mpq_vfinite(const float *x, size_t n);
/* Sum of exp(x[i] - top). */
double mpq_vsum_exp(const float *x, size_t n, float top);
/* x = exp(x - top); returns their sum. */
double mpq_vexp(float *x, size_t n, float top);
/* x *= a. */
void mpq_vscale(float *x, size_t n, float a);
/* x += y. */
void mpq_vadd(float *x, const float *y, size_t n);
/* x = cap * tanh(x / cap). */
void mpq_vsoftcap(float *x, size_t n, float cap);
/* gate = silu(gate) * up, gate = gelu(gate) * up (the tanh form). */
void mpq_vsilu_mul(float *gate, const float *up, size_t n);
void mpq_vgelu_mul(float *gate, const float *up, size_t n);
/* dst = x / sqrt(mean(x^2) + eps) * gain; dst may be x. Returns the mean square: not
 * finite when a value is not. */
double
mpq_vrms_norm(float *dst, const float *x, const float *gain, size_t n, float eps);
/* Turns the pairs of a head: HALF pairs (x[i], x[half + i]), or (x[2i], x[2i + 1]) when
 * ADJACENT, by the angles whose cosines and sines are given. */
void mpq_vrotate(float *x, const float *cosine, const float *sine, size_t half,
                 int adjacent);

#endif
