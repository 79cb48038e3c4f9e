#include "quant/round8.h"

#include "base/simd.h"
#include "quant/half.h"

#include <math.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

enum { STEP = 32, INPUTS = MPQ_GEMM8_INPUTS };
static const uint32_t infinity = 0x7f800000u;

/* Beyond f16 the float itself: ggml makes these infinite. */
INLINE float
as_f16(float x)
{
    return x > MPQ_F16_MAX || x < -MPQ_F16_MAX ? x : mpq_f16_round(x);
}

/* The bits of the largest size of N numbers; those of a NaN are above infinity's. */
INLINE uint32_t
largest(const float *x, int n)
{
    uint32_t most = 0;

    for (int i = 0; i < n; i++) {
        const uint32_t bits = mpq_f32_bits(x[i]) & 0x7fffffffu;
        most = bits > most ? bits : most;
    }
    return most;
}

/* Codes of 32 numbers, their sums by 16. 1.5 * 2^23 leaves no bit below one, so adding
 * it rounds; what is left of its bits is the code. */
INLINE void
round_32(const float *x, float inverse, signed char code[STEP], int32_t sum[2])
{
    const float magic = 12582912.0f;

    for (int h = 0; h < 2; h++) {
        int32_t total = 0;
        for (int i = 16 * h; i < 16 * (h + 1); i++) {
            const uint32_t bits = mpq_f32_bits(x[i] * inverse + magic);
            const int32_t c = (int32_t)(bits - mpq_f32_bits(magic));
            code[i] = (signed char)c;
            total += c;
        }
        sum[h] = total;
    }
}

/* Where a row of the inputs lies. */
struct place {
    struct mpq_gemm8_inputs *x;
    size_t panel, lane;
};

INLINE void
put_codes(const struct place *p, size_t col, const signed char code[STEP])
{
    signed char *to =
        p->x->codes + (p->panel * p->x->cols + col) * INPUTS + 4 * p->lane;

    for (int c = 0; c < STEP; c += 4)
        memcpy(to + c * INPUTS, code + c, 4);
}

/* The sum of the codes of a group of GROUP columns at COL; TIMES is what a min is
 * multiplied with. */
INLINE void
put_sum(const struct place *p, size_t col, size_t group, int32_t sum, float times)
{
    const size_t at =
        (p->panel * (p->x->cols / group) + col / group) * INPUTS + p->lane;

    p->x->offsets[group == 32][at] = -128 * sum;
    p->x->sums[group == 32][at] = times;
}

INLINE void
put_scale(const struct place *p, size_t col, size_t block, float scale)
{
    p->x->scales[(p->panel * (p->x->cols / block) + col / block) * INPUTS + p->lane] =
        scale;
}

/* What a block whose largest size has the bits MOST is multiplied with: 127 / size, 0
 * where nothing can be told from 0; or where the block is not finite. */
INLINE float
inverse_of(uint32_t most)
{
    const uint32_t least = 0x0d800000u; /* 2^-100 */

    return most < least || most >= infinity ? 0 : 127.0f / mpq_bits_f32(most);
}

/* The scale of a block of BLOCK whose largest size has the bits MOST. */
INLINE float
scale_of(uint32_t most, unsigned block)
{
    const float inverse = inverse_of(most);

    if (most >= infinity)
        return NAN;
    if (!(inverse > 0))
        return 0;
    return block == 32 ? as_f16(mpq_bits_f32(most) / 127.0f) : 1.0f / inverse;
}

MPQ_CLONES static void
round_row_32(const struct place *p, const float *src)
{
    for (size_t col = 0; col < p->x->cols; col += 32) {
        const uint32_t most = largest(src + col, 32);
        const float d = mpq_bits_f32(most) / 127.0f, inverse = inverse_of(most);
        signed char code[STEP] = { 0 };
        int32_t sum[2] = { 0, 0 };
        if (inverse > 0)
            round_32(src + col, inverse, code, sum);
        put_codes(p, col, code);
        put_sum(p, col, 32, sum[0] + sum[1],
                most >= infinity ? NAN : as_f16(d * (float)(sum[0] + sum[1])));
        put_scale(p, col, 32, scale_of(most, 32));
    }
}

MPQ_CLONES static void
round_row_256(const struct place *p, const float *src)
{
    for (size_t col = 0; col < p->x->cols; col += 256) {
        const uint32_t most = largest(src + col, 256);
        const float inverse = inverse_of(most);
        for (size_t c = col; c < col + 256; c += STEP) {
            signed char code[STEP] = { 0 };
            int32_t sum[2] = { 0, 0 };
            if (inverse > 0)
                round_32(src + c, inverse, code, sum);
            put_codes(p, c, code);
            put_sum(p, c, 16, sum[0], (float)sum[0]);
            put_sum(p, c + 16, 16, sum[1], (float)sum[1]);
            put_sum(p, c, 32, sum[0] + sum[1], (float)(sum[0] + sum[1]));
        }
        put_scale(p, col, 256, scale_of(most, 256));
    }
}

MPQ_CLONES static void
round_row_floats(const float *src, size_t cols, unsigned block, float *dst)
{
    for (size_t col = 0; col < cols; col += block) {
        const uint32_t most = largest(src + col, (int)block);
        const float inverse = inverse_of(most), scale = scale_of(most, block);
        for (size_t c = col; c < col + block; c += STEP) {
            signed char code[STEP] = { 0 };
            int32_t sum[2];
            if (inverse > 0)
                round_32(src + c, inverse, code, sum);
            for (int i = 0; i < STEP; i++)
                dst[c + (size_t)i] = scale * (float)code[i];
        }
    }
}

void
mpq_round8_row(const float *src, size_t cols, unsigned block, float *dst)
{
    round_row_floats(src, cols, block, dst);
}

void
mpq_round8(struct mpq_gemm8_inputs *x, size_t row, size_t n, const float *src,
           size_t ld)
{
    for (size_t i = 0; i < n; i++) {
        const struct place p = { x, (row + i) / INPUTS, (row + i) % INPUTS };
        if (x->block == 32)
            round_row_32(&p, src + i * ld);
        else
            round_row_256(&p, src + i * ld);
    }
}
