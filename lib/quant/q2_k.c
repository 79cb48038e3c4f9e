/*
 * q2_k: 256 elements, 16 sub-blocks of 16, in 84 bytes.
 *
 *   u8 scales[16], u8 q[64], f16 d, f16 dmin
 *   value = d * scale * code - dmin * min; code of 2 bits, scale and min of 4
 *   scales[s]   = scale | min << 4
 *   q[32 h + k] = code[128 h + k], code[128 h + k + 32] << 2, code[128 h + k + 64] <<
 * 4, code[128 h + k + 96] << 6, k < 32
 */
#include "quant/block.h"

#include "base/simd.h"
#include "quant/kasym.h"

enum { N = 256, SUB = 16, BYTES = 84, CODES = 16, D = 80, DMIN = 82 };

MPQ_CLONES static void
decode_q2_k(const unsigned char *src, float *dst, size_t n)
{
    for (; n; n--, src += BYTES, dst += N) {
        const float d = mpq_get_f16(src + D), dmin = mpq_get_f16(src + DMIN);
        for (int s = 0; s < N / SUB; s++) { /* codes of a half lie 32 apart */
            const float ds = d * (float)(src[s] & 15), m = dmin * (float)(src[s] >> 4);
            const unsigned char *q = src + CODES + 32 * (s >> 3) + SUB * (s & 1);
            const int shift = 2 * (s >> 1 & 3);
            for (int j = 0; j < SUB; j++)
                dst[SUB * s + j] = ds * (float)(q[j] >> shift & 3) - m;
        }
    }
}

MPQ_CLONES static void
split_q2_k(const unsigned char *src, signed char *code, float *scale, float *min,
           size_t n)
{
    for (; n; n--, src += BYTES, code += N) {
        const float d = mpq_get_f16(src + D), dmin = mpq_get_f16(src + DMIN);
        for (int s = 0; s < N / SUB; s++) {
            const unsigned char *q = src + CODES + 32 * (s >> 3) + SUB * (s & 1);
            const int shift = 2 * (s >> 1 & 3);
            *scale++ = d * (float)(src[s] & 15);
            *min++ = -(dmin * (float)(src[s] >> 4));
            for (int j = 0; j < SUB; j++)
                code[SUB * s + j] = (signed char)(q[j] >> shift & 3);
        }
    }
}

static const struct mpq_split split = { { 16, 256, 1 }, split_q2_k };

static const struct mpq_kasym type = { 3.0f, 16, 16, 15.0f };
static const struct mpq_kasym_plan plans[] = {
    [MPQ_EFFORT_FAST] = { { -0.2f, 0.8f, 1, 1, 0 }, 1.0f, 1.0f, 1, 2 },
    [MPQ_EFFORT_DEFAULT] = { { -0.2f, 0.8f, 2, 2, 0 }, 0.95f, 1.1f, 4, 3 },
    [MPQ_EFFORT_MAX] = { { -0.3f, 1.0f, 8, 4, 0 }, 0.8f, 1.2f, 8, 8 },
};

/* Codes into their places. */
MPQ_INLINE void
put_codes(const unsigned char *code, unsigned char *dst)
{
    for (int h = 0; h < 2; h++) {
        for (int k = 0; k < 32; k++) {
            const unsigned char *c = code + 128 * h + k;
            dst[CODES + 32 * h + k] =
                (unsigned char)(c[0] | c[32] << 2 | c[64] << 4 | c[96] << 6);
        }
    }
}

MPQ_INLINE void
pack(const struct mpq_kasym_state *b, const unsigned char code[N], unsigned char *dst)
{
    for (int s = 0; s < N / SUB; s++)
        dst[s] = (unsigned char)(b->scale[s] | b->min[s] << 4);
    mpq_put_f16(dst + D, b->d);
    mpq_put_f16(dst + DMIN, b->dmin);
    put_codes(code, dst);
}

MPQ_CLONES static void
encode_q2_k(const float *src, const float *importance, unsigned char *dst, size_t n,
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

const struct mpq_codec mpq_codec_q2_k = { N,           BYTES,          decode_q2_k,
                                          encode_q2_k, { 4, NULL, 0 }, put_codes,
                                          &split };
