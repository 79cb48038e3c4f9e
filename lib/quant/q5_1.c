/*
 * q5_1: 32 elements in 24 bytes.
 *
 *   f16 d, f16 m, u32 high, u8 q[16]    value = d * code + m
 *   q[j] = low 4 bits of code[j] | those of code[j + 16] << 4
 *   bit j of high = bit 4 of code[j]
 */
#include "quant/block.h"

#include "base/simd.h"
#include "quant/asym.h"
#include "quant/fivebits.h"

enum { N = 32, BYTES = 24 };

MPQ_CLONES static void
decode_q5_1(const unsigned char *src, float *dst, size_t n)
{
    for (; n; n--, src += BYTES, dst += N) {
        const float d = mpq_get_f16(src), m = mpq_get_f16(src + 2);
        const unsigned char *p = src + 4;
        const uint32_t high = mpq_5bits_high(p);
        for (int j = 0; j < N / 2; j++) {
            const int low = mpq_5bits_low(p, high, j), up = mpq_5bits_up(p, high, j);
            dst[j] = (float)low * d + m;
            dst[j + N / 2] = (float)up * d + m;
        }
    }
}

MPQ_CLONES static void
split_q5_1(const unsigned char *src, signed char *code, float *scale, float *min,
           size_t n)
{
    for (; n; n--, src += BYTES, code += N) {
        const unsigned char *p = src + 4;
        const uint32_t high = mpq_5bits_high(p);
        *scale++ = mpq_get_f16(src);
        *min++ = mpq_get_f16(src + 2);
        for (int j = 0; j < N / 2; j++) {
            const int low = mpq_5bits_low(p, high, j), up = mpq_5bits_up(p, high, j);
            code[j] = (signed char)low;
            code[j + N / 2] = (signed char)up;
        }
    }
}

static const struct mpq_split split = { { 32, 32, 1 }, split_q5_1 };

/* By effort, without and with importance. */
static const struct mpq_asym_plan plans[2][3] = {
    { { 0, 0, 0, 0, 0 }, { -0.2f, 1.5f, 1, 1, 1 }, { -0.3f, 2.5f, 8, 3, 0 } },
    { { -0.2f, 1.5f, 1, 1, 0 }, { -0.3f, 2.0f, 4, 2, 0 }, { -0.3f, 2.5f, 16, 3, 0 } },
};

/* Codes into their places. */
MPQ_INLINE void
put_codes(const unsigned char *code, unsigned char *dst)
{
    mpq_put_5bits(code, dst + 4);
}

MPQ_INLINE void
pack(const float *x, float d, float m, unsigned char *dst)
{
    const float inverse = mpq_inverse(d);
    unsigned char code[N];

    for (int j = 0; j < N; j++)
        code[j] = (unsigned char)(int)mpq_nearest((x[j] - m) * inverse, 0.0f, 31.0f);
    mpq_put_f16(dst, d);
    mpq_put_f16(dst + 2, m);
    put_codes(code, dst);
}

MPQ_CLONES static void
encode_q5_1(const float *src, const float *importance, unsigned char *dst, size_t n,
            enum mpq_effort effort)
{
    for (; n; n--, src += N, dst += BYTES) {
        const float *w = mpq_useful(importance, N);
        float d, m;
        if (w)
            mpq_asym_search(31.0f, &plans[1][effort], src, w, N, &d, &m);
        else
            mpq_asym_search(31.0f, &plans[0][effort], src, NULL, N, &d, &m);
        pack(src, d, m, dst);
        if (importance)
            importance += N;
    }
}

const struct mpq_codec mpq_codec_q5_1 = { N,           BYTES,           decode_q5_1,
                                          encode_q5_1, { 32, NULL, 0 }, put_codes,
                                          &split };
