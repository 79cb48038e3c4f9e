/*
 * What the encoders search with. A block's error as a function of its scale has many
 * local minima, one for each way the elements can fall on codes. So many scales are
 * tried side by side: MPQ_LANES candidates in the lanes of vector registers, while the
 * loop runs over the elements. No lane depends on another and no sum runs across lanes,
 * which is why plain C becomes vector code here, without -ffast-math.
 *
 * All functions are inlined into their callers, multiversioned ones, with constant
 * bounds. W is the importance of each element, or NULL for ones.
 */
#ifndef MPQ_QUANT_SEARCH_H
#define MPQ_QUANT_SEARCH_H

#include "quant/half.h"

#include <stddef.h>

enum { MPQ_LANES = 16 };
#define MPQ_INLINE static inline __attribute__((always_inline))

/* For every lane. Unrolled too early, gcc would no longer see a vector in it. */
#define MPQ_EACH_LANE(c) _Pragma("GCC unroll 1") for (int c = 0; c < MPQ_LANES; c++)

MPQ_INLINE float
mpq_max(float a, float b)
{
    return a > b ? a : b;
}

MPQ_INLINE float
mpq_min(float a, float b)
{
    return a < b ? a : b;
}

/* 1 / x, but 0 for 0: with a scale of 0 every code is that of 0. Without a branch,
 * since a division that might trap would keep loops scalar. */
MPQ_INLINE float
mpq_inverse(float x)
{
    const float inverse = 1.0f / (x != 0.0f ? x : 1.0f);
    return x != 0.0f ? inverse : 0.0f;
}

/*
 * The integer next to V (ties to even) within [LO, HI], |LO| and |HI| < 2^20. Adding
 * 1.5 * 2^23 leaves it in the low bits of the sum, and positive floats compare as their
 * bits do, so infinities and whatever is too large end up clamped as well.
 */
MPQ_INLINE float
mpq_nearest(float v, float lo, float hi)
{
    const float magic = 12582912.0f;
    const int32_t least = (int32_t)mpq_f32_bits(magic + lo);
    const int32_t most = (int32_t)mpq_f32_bits(magic + hi);
    int32_t bits = (int32_t)mpq_f32_bits(v + magic);

    bits = bits > least ? bits : least;
    bits = bits < most ? bits : most;
    return mpq_bits_f32((uint32_t)bits) - magic;
}

/* S as f16 has it; what would become 0 becomes the least number of that sign, which is
 * never a worse scale. */
MPQ_INLINE float
mpq_f16_scale(float s)
{
    const float least = s < 0.0f ? -0x1p-24f : 0x1p-24f;
    const float rounded = mpq_f16_round(s);
    return rounded != 0.0f ? rounded : least;
}

/* The sum over the lanes, in a fixed order. */
MPQ_INLINE float
mpq_lane_sum(const float v[MPQ_LANES])
{
    float eight[8], four[4];

    for (int c = 0; c < 8; c++)
        eight[c] = v[c] + v[c + 8];
    for (int c = 0; c < 4; c++)
        four[c] = eight[c] + eight[c + 4];
    return (four[0] + four[2]) + (four[1] + four[3]);
}

/* Least and greatest of 0 and the N elements. As integers, since floats below 0 have
 * negative bits, and reductions of integers become vector code. */
MPQ_INLINE void
mpq_range(const float *x, size_t n, float *least, float *greatest)
{
    int32_t lo = 0, hi = 0;

    for (size_t i = 0; i < n; i++) {
        const int32_t up = (int32_t)mpq_f32_bits(x[i]);
        const int32_t down = (int32_t)mpq_f32_bits(-x[i]);
        hi = up > hi ? up : hi;
        lo = down > lo ? down : lo;
    }
    *least = -mpq_bits_f32((uint32_t)lo);
    *greatest = mpq_bits_f32((uint32_t)hi);
}

/* W, or NULL where all N are 0 and thus say nothing about which error matters. */
MPQ_INLINE const float *
mpq_useful(const float *w, size_t n)
{
    uint32_t any = 0;

    if (!w)
        return NULL;
    for (size_t i = 0; i < n; i++)
        any |= mpq_f32_bits(w[i]) << 1; /* -0 is 0 too */
    return any ? w : NULL;
}

/* The lane with the least value >= 0. Such floats order like their bits, infinity and
 * NaN last; the lane's number takes the place of the last four, so nearly equal ones
 * (2^-19) go to the lower lane. */
MPQ_INLINE int
mpq_best_lane(const float err[MPQ_LANES])
{
    int32_t least = INT32_MAX;

    MPQ_EACH_LANE (c) {
        const int32_t key =
            (int32_t)((mpq_f32_bits(err[c]) & 0x7ffffff0u) | (uint32_t)c);
        least = key < least ? key : least;
    }
    return (int)(least & 15);
}

#endif
