/*
 * Backward through the elementwise functions of vmath.h: what a gradient by the outputs
 * becomes by the inputs.
 */
#ifndef MPQ_NUM_VGRAD_H
#define MPQ_NUM_VGRAD_H

#include <stddef.h>

/* Of y = act(gate) * up, with dy: gate becomes the gradient by gate, up that by up. */
void mpq_vsilu_back(float *gate, float *up, const float *dy, size_t n);
void mpq_vgelu_back(float *gate, float *up, const float *dy, size_t n);
/* Of y = mpq_vrms_norm(x): dx = gradient by x, added to what is in dx (ADD). dx may be
 * dy where nothing is added. */
void mpq_vrms_back(float *dx, const float *dy, const float *x, const float *gain,
                   size_t n, float eps, int add);
/* Of x = cap tanh(z / cap): dx becomes the gradient by z. */
void mpq_vsoftcap_back(float *dx, const float *x, size_t n, float cap);
/* Turns back what mpq_vrotate turned (times the square of a gain in the cosines and
 * sines): its transpose. */
void mpq_vrotate_back(float *dx, const float *cosine, const float *sine, size_t half,
                      int adjacent);
/* Sum of a[i] b[i], in double; sum of x[i]^2. */
double mpq_vdot(const float *a, const float *b, size_t n);

#endif
