/*
 * q3_k: 256 elements, 16 sub-blocks of 16, in 110 bytes.
 *
 *   u8 high[32], u8 low[64], u8 scales[12], f16 d
 *   value = d * (scale - 32) * (code - 4), scale of 6 bits, code of 3
 *   bit b of high[k]      = bit 2 of code[32 b + k], k < 32
 *   low[32 h + k]         = low 2 bits of code[128 h + k], code[128 h + k + 32] << 2,
 *                           code[128 h + k + 64] << 4, code[128 h + k + 96] << 6
 *   scales[j], j < 8      = low 4 bits of scale[j] | those of scale[j + 8] << 4
 *   scales[8 + j], j < 4  = upper 2 bits of scale[j], scale[j + 4] << 2,
 *                           scale[j + 8] << 4, scale[j + 12] << 6
 */
#include "quant/block.h"

#include "base/simd.h"
#include "quant/ksym.h"

#include <string.h>

enum { N = 256, SUB = 16, BYTES = 110, LOW = 32, SCALES = 96, D = 108 };

static inline int
get_scale(const unsigned char *p, int j)
{
    const int low = p[j & 7] >> (j < 8 ? 0 : 4) & 15;
    const int high = p[8 + (j & 3)] >> 2 * (j >> 2) & 3;
    return (low | high << 4) - 32;
}

/* The code whose low bits are in LOW from SHIFT on, the upper one in HIGH. */
static inline int
get_code(unsigned char low, int shift, unsigned char high, int bit)
{
    return (low >> shift & 3) | (high >> bit & 1) << 2;
}

MPQ_CLONES static void
decode_q3_k(const unsigned char *src, float *dst, size_t n)
{
    for (; n; n--, src += BYTES, dst += N) {
        const float d = mpq_get_f16(src + D);
        for (int s = 0; s < N / SUB; s++) { /* codes of a half lie 32 apart */
            const float ds = d * (float)get_scale(src + SCALES, s);
            const unsigned char *high = src + SUB * (s & 1);
            const unsigned char *low = src + LOW + 32 * (s >> 3) + SUB * (s & 1);
            const int bit = s >> 1, shift = 2 * (bit & 3);
            for (int j = 0; j < SUB; j++) {
                const int code = get_code(low[j], shift, high[j], bit);
                dst[SUB * s + j] = ds * (float)(code - 4);
            }
        }
    }
}

MPQ_CLONES static void
split_q3_k(const unsigned char *src, signed char *code, float *scale, float *min,
           size_t n)
{
    (void)min;
    for (; n; n--, src += BYTES, code += N) {
        const float d = mpq_get_f16(src + D);
        for (int s = 0; s < N / SUB; s++) {
            const unsigned char *high = src + SUB * (s & 1);
            const unsigned char *low = src + LOW + 32 * (s >> 3) + SUB * (s & 1);
            const int bit = s >> 1, shift = 2 * (bit & 3);
            *scale++ = d * (float)get_scale(src + SCALES, s);
            for (int j = 0; j < SUB; j++) {
                const int c = get_code(low[j], shift, high[j], bit);
                code[SUB * s + j] = (signed char)(c - 4);
            }
        }
    }
}

static const struct mpq_split split = { { 16, 256, 0 }, split_q3_k };

static const struct mpq_ksym type = { { -4, 3, 0 }, 16, 16, -32, 31 };
static const struct mpq_ksym_plan plans[] = {
    [MPQ_EFFORT_FAST] = { { 0.6f, 1.1f, 1, 1, 0 }, 1.0f, 1.0f, 1, 0 },
    [MPQ_EFFORT_DEFAULT] = { { 0.6f, 1.1f, 1, 1, 0 }, 0.97f, 1.08f, 4, 2 },
    [MPQ_EFFORT_MAX] = { { 0.5f, 1.15f, 8, 4, 0 }, 0.8f, 1.3f, 64, 8 },
};

MPQ_INLINE void
put_scale(unsigned char *p, int j, int scale)
{
    const int bits = scale + 32;
    p[j & 7] = (unsigned char)(p[j & 7] | (bits & 15) << (j < 8 ? 0 : 4));
    p[8 + (j & 3)] = (unsigned char)(p[8 + (j & 3)] | bits >> 4 << 2 * (j >> 2));
}

/* Codes into their places. */
MPQ_INLINE void
put_codes(const unsigned char *code, unsigned char *dst)
{
    for (int k = 0; k < 32; k++) {
        int high = 0;
        for (int bit = 0; bit < 8; bit++)
            high |= code[32 * bit + k] >> 2 << bit;
        dst[k] = (unsigned char)high;
        for (int h = 0; h < 2; h++) {
            const unsigned char *c = code + 128 * h + k;
            dst[LOW + 32 * h + k] =
                (unsigned char)((c[0] & 3) | (c[32] & 3) << 2 | (c[64] & 3) << 4 |
                                (c[96] & 3) << 6);
        }
    }
}

/* Scales, and the codes next to what they make of X. */
MPQ_INLINE void
pack(const float *x, const struct mpq_ksym_state *b, unsigned char *dst)
{
    unsigned char code[N];

    memset(dst, 0, BYTES);
    for (int s = 0; s < N / SUB; s++) {
        const float inverse = mpq_inverse(b->d * (float)b->scale[s]);
        for (int j = SUB * s; j < SUB * (s + 1); j++)
            code[j] = (unsigned char)((int)mpq_level(type.levels, x[j] * inverse) + 4);
        put_scale(dst + SCALES, s, b->scale[s]);
    }
    mpq_put_f16(dst + D, b->d);
    put_codes(code, dst);
}

MPQ_CLONES static void
encode_q3_k(const float *src, const float *importance, unsigned char *dst, size_t n,
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

const struct mpq_codec mpq_codec_q3_k = { N,           BYTES,           decode_q3_k,
                                          encode_q3_k, { 8, NULL, -4 }, put_codes,
                                          &split };
