/*
 * q6_k: 256 elements, 16 sub-blocks of 16, in 210 bytes.
 *
 *   u8 low[128], u8 high[64], i8 scale[16], f16 d
 *   value = d * scale * (code - 32), code of 6 bits
 *   each half h of 128 elements, with j < 64 and k < 32:
 *     low[64 h + j]  = low 4 bits of code[j] | those of code[j + 64] << 4
 *     high[32 h + k] = upper 2 bits of code[k], code[k + 32] << 2,
 *                      code[k + 64] << 4, code[k + 96] << 6
 */
#include "quant/block.h"

#include "base/simd.h"
#include "quant/ksym.h"

#include <string.h>

enum { N = 256, SUB = 16, BYTES = 210, HIGH = 128, SCALE = 192, D = 208 };

/* The code whose low bits are in LOW, the upper ones in HIGH. */
static inline int
get_code(unsigned char low, int low_shift, unsigned char high, int high_shift)
{
    return (low >> low_shift & 15) | (high >> high_shift & 3) << 4;
}

/* 32 elements: a row of LOW, shifted by LOW_SHIFT, two bits of HIGH. */
static inline void
decode_32(const unsigned char *low, int low_shift, const unsigned char *high,
          int high_shift, const signed char *scale, float d, float *dst)
{
    for (int s = 0; s < 2; s++) {
        const float ds = d * (float)scale[s];
        for (int j = SUB * s; j < SUB * (s + 1); j++) {
            const int code = get_code(low[j], low_shift, high[j], high_shift);
            dst[j] = ds * (float)(code - 32);
        }
    }
}

MPQ_CLONES static void
decode_q6_k(const unsigned char *src, float *dst, size_t n)
{
    for (; n; n--, src += BYTES, dst += N) {
        const float d = mpq_get_f16(src + D);
        for (int h = 0; h < 2; h++) {
            const unsigned char *low = src + 64 * h, *high = src + HIGH + 32 * h;
            const signed char *scale = (const signed char *)src + SCALE + 8 * h;
            float *out = dst + 128 * h;
            decode_32(low, 0, high, 0, scale, d, out);
            decode_32(low + 32, 0, high, 2, scale + 2, d, out + 32);
            decode_32(low, 4, high, 4, scale + 4, d, out + 64);
            decode_32(low + 32, 4, high, 6, scale + 6, d, out + 96);
        }
    }
}

MPQ_CLONES static void
split_q6_k(const unsigned char *src, signed char *code, float *scale, float *min,
           size_t n)
{
    (void)min;
    for (; n; n--, src += BYTES, code += N) {
        const float d = mpq_get_f16(src + D);
        for (int s = 0; s < N / SUB; s++)
            *scale++ = d * (float)(signed char)src[SCALE + s];
        for (int h = 0; h < 2; h++) {
            const unsigned char *low = src + 64 * h, *high = src + HIGH + 32 * h;
            signed char *to = code + 128 * h;
            for (int q = 0; q < 4; q++) /* 32 elements: see the top */
                for (int j = 0; j < 32; j++) {
                    const int c =
                        get_code(low[32 * (q & 1) + j], 4 * (q >> 1), high[j], 2 * q);
                    to[32 * q + j] = (signed char)(c - 32);
                }
        }
    }
}

static const struct mpq_split split = { { 16, 256, 0 }, split_q6_k };

static const struct mpq_ksym type = { { -32, 31, 0 }, 16, 16, -128, 127 };
static const struct mpq_ksym_plan plans[] = {
    [MPQ_EFFORT_FAST] = { { 0.94f, 1.02f, 1, 1, 0 }, 1.0f, 1.0f, 1, 1 },
    [MPQ_EFFORT_DEFAULT] = { { 0.94f, 1.02f, 1, 2, 0 }, 1.0f, 1.02f, 3, 2 },
    [MPQ_EFFORT_MAX] = { { 0.9f, 1.04f, 8, 4, 0 }, 0.9f, 1.1f, 64, 8 },
};

/* Codes into their places. */
MPQ_INLINE void
put_codes(const unsigned char *code, unsigned char *dst)
{
    for (int h = 0; h < 2; h++) {
        const unsigned char *c = code + 128 * h;
        for (int j = 0; j < 64; j++)
            dst[64 * h + j] = (unsigned char)((c[j] & 15) | (c[j + 64] & 15) << 4);
        for (int j = 0; j < 32; j++)
            dst[HIGH + 32 * h + j] =
                (unsigned char)(c[j] >> 4 | c[j + 32] >> 4 << 2 | c[j + 64] >> 4 << 4 |
                                c[j + 96] >> 4 << 6);
    }
}

/* Scales, and the codes next to what they make of X. */
MPQ_INLINE void
pack(const float *x, const struct mpq_ksym_state *b, unsigned char *dst)
{
    unsigned char code[N];

    for (int s = 0; s < N / SUB; s++) {
        const float inverse = mpq_inverse(b->d * (float)b->scale[s]);
        for (int j = SUB * s; j < SUB * (s + 1); j++)
            code[j] = (unsigned char)((int)mpq_level(type.levels, x[j] * inverse) + 32);
        dst[SCALE + s] = (unsigned char)b->scale[s];
    }
    mpq_put_f16(dst + D, b->d);
    put_codes(code, dst);
}

MPQ_CLONES static void
encode_q6_k(const float *src, const float *importance, unsigned char *dst, size_t n,
            enum mpq_effort effort)
{
    for (; n; n--, src += N, dst += BYTES) {
        struct mpq_ksym_state best;
        float w[MPQ_SUPER];
        mpq_super_weights(importance, w);
        mpq_ksym_search(&type, &plans[effort], src, w, &best);
        pack(src, &best, dst);
        if (importance)
            importance += N;
    }
}

const struct mpq_codec mpq_codec_q6_k = {
    N, BYTES, decode_q6_k, encode_q6_k, { 64, NULL, -32 }, put_codes, &split
};
