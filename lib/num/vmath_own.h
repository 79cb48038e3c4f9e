/*
 * Sixteen floats at a time in GCC's vector types, which clang has too, lowered to what
 * the processor has: the compilers do not turn the plain loops into vector code without
 * -ffast-math. What is left at the end goes through the same code in a padded block.
 * Shared by vmath.c and vgrad.c; nobody else includes this.
 */
#ifndef MPQ_NUM_VMATH_OWN_H
#define MPQ_NUM_VMATH_OWN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { LANES = 16 };

typedef float v16f __attribute__((vector_size(64), aligned(4)));
typedef int32_t v16i __attribute__((vector_size(64), aligned(4)));

#define INLINE       static inline __attribute__((always_inline))
#define SELECT(m, a) ((v16f)((m) & (v16i)(a)))
/* Masks by arithmetic: GCC 12 takes comparisons of vectors this wide apart, element by
 * element. */
#define IS_BELOW_0(x) ((v16i)(x) >> 31)
#define IS_NAN(x)     ((0x7f800000 - ((v16i)(x)&0x7fffffff)) >> 31)
#define ALL(x)        ((v16f){ 0 } + (x))

/* N <= LANES floats, the rest PAD. Vectors go by pointer: passing them by value has an
 * ABI for each width. */
INLINE void
load(v16f *v, const float *x, size_t n, float pad)
{
    if (n < LANES) {
        float part[LANES];
        for (size_t i = 0; i < LANES; i++)
            part[i] = i < n ? x[i] : pad;
        memcpy(v, part, sizeof part);
    } else {
        memcpy(v, x, sizeof *v);
    }
}

INLINE void
store(float *x, const v16f *v, size_t n)
{
    memcpy(x, v, n < LANES ? n * sizeof *x : sizeof *v);
}

INLINE size_t
left(size_t n, size_t i)
{
    return n - i < LANES ? n - i : LANES;
}

/* *x = exp(*x): x = k ln 2 + r with |r| <= ln 2 / 2, exp(r) by the polynomial of
 * Moshier's Cephes library (expf), ln 2 in two parts of which k times the first is
 * exact. 2^k comes in two factors, since k = 128 is no exponent. */
INLINE void
exp16(v16f *x)
{
    const v16f lowest = ALL(-87.33654f), highest = ALL(88.8f), magic = ALL(12582912.0f);
    const v16i nans = IS_NAN(*x), zero = IS_BELOW_0(*x - lowest) & ~nans;
    const v16i above = IS_BELOW_0(highest - *x);
    const v16f in = SELECT(~(zero | above), *x) + SELECT(above, highest);
    const v16f shifted = in * 1.44269504088896341f + magic;
    const v16i k = (v16i)shifted - (v16i)magic, k1 = k >> 1;
    const v16f kf = shifted - magic;
    const v16f r = in - kf * 0.693359375f - kf * -2.12194440e-4f;
    v16f y = r * 1.9875691500e-4f + 1.3981999507e-3f;

    y = y * r + 8.3334519073e-3f;
    y = y * r + 4.1665795894e-2f;
    y = y * r + 1.6666665459e-1f;
    y = y * r + 5.0000001201e-1f;
    y = y * (r * r) + r + 1.0f;
    y = y * (v16f)((k1 + 127) << 23) * (v16f)((k - k1 + 127) << 23);
    *x = (v16f)((~zero & (v16i)y) | nans);
}

/* *x = tanh(*x): near 0 Cephes' polynomial (tanhf), else 1 - 2 / (exp(2x) + 1). */
INLINE void
tanh16(v16f *x)
{
    const v16f z = *x * *x;
    const v16i small = IS_BELOW_0(z - 0.390625f);
    v16f p = z * -5.70498872745e-3f + 2.06390887954e-2f, e = *x * 2.0f;

    p = p * z - 5.37397155531e-2f;
    p = p * z + 1.33314422036e-1f;
    p = p * z - 3.33332819422e-1f;
    exp16(&e);
    e = 1.0f - 2.0f / (e + 1.0f);
    *x = SELECT(small, p * z * *x + *x) + SELECT(~small, e);
}

#endif
