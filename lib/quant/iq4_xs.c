/*
 * iq4_xs: 256 elements, 8 sub-blocks of 32, in 136 bytes.
 *
 *   f16 d, u16 high, u8 low[4], u8 q[128]
 *   value = d * (scale - 32) * level[code]; scale of 6 bits, level: see iq4.h
 *   low[s / 2]  = low 4 bits of scale[s] << 4 (s % 2)
 *   high        = upper 2 bits of scale[s] << 2 s
 *   q[16 s + k] = code[32 s + k] | code[32 s + k + 16] << 4, k < 16
 */
#include "quant/block.h"

#include "base/simd.h"
#include "quant/ksym.h"

#include <string.h>

enum { N = 256, SUB = 32, BYTES = 136, HIGH = 2, LOW = 4, CODES = 8 };

static inline int
get_scale(const unsigned char *p, int s)
{
    const int high = p[HIGH] | p[HIGH + 1] << 8;
    const int low = p[LOW + (s >> 1)] >> 4 * (s & 1) & 15;

    return (low | (high >> 2 * s & 3) << 4) - 32;
}

MPQ_CLONES static void
decode_iq4_xs(const unsigned char *src, float *dst, size_t n)
{
    for (; n; n--, src += BYTES, dst += N) {
        const float d = mpq_get_f16(src);
        for (int s = 0; s < N / SUB; s++) {
            const float ds = d * (float)get_scale(src, s);
            const unsigned char *q = src + CODES + SUB / 2 * s;
            for (int j = 0; j < SUB / 2; j++) {
                dst[SUB * s + j] = ds * (float)mpq_iq4_level[q[j] & 15];
                dst[SUB * s + j + SUB / 2] = ds * (float)mpq_iq4_level[q[j] >> 4];
            }
        }
    }
}

MPQ_CLONES static void
split_iq4_xs(const unsigned char *src, signed char *code, float *scale, float *min,
             size_t n)
{
    (void)min;
    for (; n; n--, src += BYTES, code += N) {
        const float d = mpq_get_f16(src);
        for (int s = 0; s < N / SUB; s++) {
            const unsigned char *q = src + CODES + SUB / 2 * s;
            *scale++ = d * (float)get_scale(src, s);
            for (int j = 0; j < SUB / 2; j++) {
                code[SUB * s + j] = mpq_iq4_level[q[j] & 15];
                code[SUB * s + j + SUB / 2] = mpq_iq4_level[q[j] >> 4];
            }
        }
    }
}

static const struct mpq_split split = { { 32, 256, 0 }, split_iq4_xs };

static const struct mpq_ksym type = { { -127, 113, 1 }, 8, 32, -32, 31 };
static const struct mpq_ksym_plan plans[] = {
    [MPQ_EFFORT_FAST] = { { 0.75f, 1.08f, 1, 1, 0 }, 1.0f, 1.0f, 1, 1 },
    [MPQ_EFFORT_DEFAULT] = { { 0.75f, 1.08f, 2, 2, 0 }, 0.95f, 1.08f, 5, 2 },
    [MPQ_EFFORT_MAX] = { { 0.7f, 1.15f, 8, 4, 0 }, 0.8f, 1.3f, 64, 8 },
};

/* Codes into their places. */
MPQ_INLINE void
put_codes(const unsigned char *code, unsigned char *dst)
{
    for (int s = 0; s < N / SUB; s++)
        for (int j = 0; j < SUB / 2; j++)
            dst[CODES + SUB / 2 * s + j] =
                (unsigned char)(code[SUB * s + j] | code[SUB * s + j + SUB / 2] << 4);
}

/* Scales, and the codes next to what they make of X. */
MPQ_INLINE void
pack(const float *x, const struct mpq_ksym_state *b, unsigned char *dst)
{
    unsigned char code[N];
    int high = 0;

    memset(dst, 0, CODES);
    for (int s = 0; s < N / SUB; s++) {
        const float inverse = mpq_inverse(b->d * (float)b->scale[s]);
        const int bits = b->scale[s] + 32;
        unsigned char *low = dst + LOW + (s >> 1);
        for (int j = SUB * s; j < SUB * (s + 1); j++)
            code[j] = (unsigned char)mpq_iq4_code(x[j] * inverse);
        *low = (unsigned char)(*low | (bits & 15) << 4 * (s & 1));
        high |= bits >> 4 << 2 * s;
    }
    mpq_put_f16(dst, b->d);
    dst[HIGH] = (unsigned char)high;
    dst[HIGH + 1] = (unsigned char)(high >> 8);
    put_codes(code, dst);
}

MPQ_CLONES static void
encode_iq4_xs(const float *src, const float *importance, unsigned char *dst, size_t n,
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

const struct mpq_codec mpq_codec_iq4_xs = {
    N, BYTES, decode_iq4_xs, encode_iq4_xs, { 16, mpq_iq4_level, 0 }, put_codes, &split
};
