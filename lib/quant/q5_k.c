/*
 * q5_k: 256 elements, 8 sub-blocks of 32, in 176 bytes.
 *
 *   f16 d, f16 dmin, u8 scales[12], u8 high[32], u8 q[128]
 *   value = d * scale * code - dmin * min; code of 5 bits, scale and min of 6
 *   scales: see kscale.h
 *   q[32 p + k]      = low 4 bits of code[64 p + k] | those of code[64 p + k + 32] << 4
 *   bit s of high[k] = bit 4 of code[32 s + k], k < 32
 */
#include "quant/block.h"

#include "base/simd.h"
#include "quant/kasym.h"
#include "quant/kscale.h"

enum { N = 256, SUB = 32, BYTES = 176, SCALES = 4, HIGH = 16, CODES = 48 };

/* The code whose low bits are in LOW from SHIFT on, the upper one in HIGH. */
static inline int
get_code(unsigned char low, int shift, unsigned char high, int bit)
{
    return (low >> shift & 15) | (high >> bit & 1) << 4;
}

MPQ_CLONES static void
decode_q5_k(const unsigned char *src, float *dst, size_t n)
{
    for (; n; n--, src += BYTES, dst += N) {
        const float d = mpq_get_f16(src), dmin = mpq_get_f16(src + 2);
        const unsigned char *high = src + HIGH;
        for (int s = 0; s < N / SUB; s++) {
            const float ds = d * (float)mpq_kscale_get(src + SCALES, s);
            const float m = dmin * (float)mpq_kscale_get_min(src + SCALES, s);
            const unsigned char *q = src + CODES + SUB * (s >> 1);
            const int shift = 4 * (s & 1);
            for (int j = 0; j < SUB; j++) {
                const int code = get_code(q[j], shift, high[j], s);
                dst[SUB * s + j] = ds * (float)code - m;
            }
        }
    }
}

MPQ_CLONES static void
split_q5_k(const unsigned char *src, signed char *code, float *scale, float *min,
           size_t n)
{
    for (; n; n--, src += BYTES, code += N) {
        const float d = mpq_get_f16(src), dmin = mpq_get_f16(src + 2);
        const unsigned char *high = src + HIGH;
        for (int s = 0; s < N / SUB; s++) {
            const unsigned char *q = src + CODES + SUB * (s >> 1);
            const int shift = 4 * (s & 1);
            *scale++ = d * (float)mpq_kscale_get(src + SCALES, s);
            *min++ = -(dmin * (float)mpq_kscale_get_min(src + SCALES, s));
            for (int j = 0; j < SUB; j++)
                code[SUB * s + j] = (signed char)get_code(q[j], shift, high[j], s);
        }
    }
}

static const struct mpq_split split = { { 32, 256, 1 }, split_q5_k };

static const struct mpq_kasym type = { 31.0f, 8, 32, 63.0f };
static const struct mpq_kasym_plan plans[] = {
    [MPQ_EFFORT_FAST] = { { -0.2f, 1.5f, 1, 1, 0 }, 1.0f, 1.0f, 1, 1 },
    [MPQ_EFFORT_DEFAULT] = { { -0.2f, 1.5f, 2, 2, 0 }, 0.97f, 1.03f, 3, 3 },
    [MPQ_EFFORT_MAX] = { { -0.3f, 2.5f, 8, 4, 0 }, 0.9f, 1.1f, 8, 8 },
};

/* Codes into their places. */
MPQ_INLINE void
put_codes(const unsigned char *code, unsigned char *dst)
{
    for (int k = 0; k < 32; k++) {
        int high = 0;
        for (int s = 0; s < 8; s++)
            high |= code[32 * s + k] >> 4 << s;
        dst[HIGH + k] = (unsigned char)high;
    }
    for (int p = 0; p < N / 64; p++)
        for (int k = 0; k < 32; k++)
            dst[CODES + 32 * p + k] =
                (unsigned char)((code[64 * p + k] & 15) | (code[64 * p + k + 32] & 15)
                                                              << 4);
}

MPQ_INLINE void
pack(const struct mpq_kasym_state *b, const unsigned char code[N], unsigned char *dst)
{
    mpq_put_f16(dst, b->d);
    mpq_put_f16(dst + 2, b->dmin);
    mpq_kscale_put(dst + SCALES, b->scale, b->min);
    put_codes(code, dst);
}

MPQ_CLONES static void
encode_q5_k(const float *src, const float *importance, unsigned char *dst, size_t n,
            enum mpq_effort effort)
{
    for (; n; n--, src += N, dst += BYTES) {
        struct mpq_kasym_state best;
        unsigned char code[N];
        float w[MPQ_SUPER];
        mpq_super_weights(importance, w);
        mpq_kasym_search(&type, &plans[effort], src, w, &best);
        mpq_kasym_codes(&type, &best, src, code);
        pack(&best, code, dst);
        if (importance)
            importance += N;
    }
}

const struct mpq_codec mpq_codec_q5_k = { N,           BYTES,           decode_q5_k,
                                          encode_q5_k, { 32, NULL, 0 }, put_codes,
                                          &split };
