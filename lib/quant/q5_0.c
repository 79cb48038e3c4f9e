/*
 * q5_0: 32 elements in 22 bytes.
 *
 *   f16 d, u32 high, u8 q[16]           value = d * (code - 16)
 *   q[j] = low 4 bits of code[j] | those of code[j + 16] << 4
 *   bit j of high = bit 4 of code[j]
 */
#include "quant/block.h"

#include "base/simd.h"
#include "quant/fivebits.h"
#include "quant/sym.h"

enum { N = 32, BYTES = 22 };

MPQ_CLONES static void
decode_q5_0(const unsigned char *src, float *dst, size_t n)
{
    for (; n; n--, src += BYTES, dst += N) {
        const float d = mpq_get_f16(src);
        const unsigned char *p = src + 2;
        const uint32_t high = mpq_5bits_high(p);
        for (int j = 0; j < N / 2; j++) {
            const int low = mpq_5bits_low(p, high, j), up = mpq_5bits_up(p, high, j);
            dst[j] = (float)(low - 16) * d;
            dst[j + N / 2] = (float)(up - 16) * d;
        }
    }
}

MPQ_CLONES static void
split_q5_0(const unsigned char *src, signed char *code, float *scale, float *min,
           size_t n)
{
    (void)min;
    for (; n; n--, src += BYTES, code += N) {
        const unsigned char *p = src + 2;
        const uint32_t high = mpq_5bits_high(p);
        *scale++ = mpq_get_f16(src);
        for (int j = 0; j < N / 2; j++) {
            const int low = mpq_5bits_low(p, high, j), up = mpq_5bits_up(p, high, j);
            code[j] = (signed char)(low - 16);
            code[j + N / 2] = (signed char)(up - 16);
        }
    }
}

static const struct mpq_split split = { { 32, 32, 0 }, split_q5_0 };

static const struct mpq_levels levels = { -16, 15, 0 };
/* By effort, without and with importance. */
static const struct mpq_sym_plan plans[2][3] = {
    { { 0, 0, 0, 0, 0 }, { 0.85f, 1.04f, 1, 1, 1 }, { 0.8f, 1.1f, 8, 3, 0 } },
    { { 0.85f, 1.04f, 1, 1, 0 }, { 0.8f, 1.06f, 3, 2, 0 }, { 0.8f, 1.1f, 8, 3, 0 } },
};

/* Codes into their places. */
MPQ_INLINE void
put_codes(const unsigned char *code, unsigned char *dst)
{
    mpq_put_5bits(code, dst + 2);
}

MPQ_INLINE void
pack(const float *x, float d, unsigned char *dst)
{
    const float inverse = mpq_inverse(d);
    unsigned char code[N];

    for (int j = 0; j < N; j++)
        code[j] = (unsigned char)((int)mpq_level(levels, x[j] * inverse) + 16);
    mpq_put_f16(dst, d);
    put_codes(code, dst);
}

MPQ_CLONES static void
encode_q5_0(const float *src, const float *importance, unsigned char *dst, size_t n,
            enum mpq_effort effort)
{
    for (; n; n--, src += N, dst += BYTES) {
        const float *w = mpq_useful(importance, N);
        if (w)
            pack(src, mpq_sym_search(levels, &plans[1][effort], src, w, N), dst);
        else
            pack(src, mpq_sym_search(levels, &plans[0][effort], src, NULL, N), dst);
        if (importance)
            importance += N;
    }
}

const struct mpq_codec mpq_codec_q5_0 = {
    N, BYTES, decode_q5_0, encode_q5_0, { 32, NULL, -16 }, put_codes, &split
};
