/*
 * q4_0: 32 elements in 18 bytes.
 *
 *   f16 d, u8 q[16]           value = d * (code - 8)
 *   q[j] = code[j] | code[j + 16] << 4
 */
#include "quant/block.h"

#include "base/simd.h"
#include "quant/sym.h"

enum { N = 32, BYTES = 18 };

MPQ_CLONES static void
decode_q4_0(const unsigned char *src, float *dst, size_t n)
{
    for (; n; n--, src += BYTES, dst += N) {
        const float d = mpq_get_f16(src);
        for (int j = 0; j < N / 2; j++) {
            dst[j] = (float)((src[2 + j] & 15) - 8) * d;
            dst[j + N / 2] = (float)((src[2 + j] >> 4) - 8) * d;
        }
    }
}

MPQ_CLONES static void
split_q4_0(const unsigned char *src, signed char *code, float *scale, float *min,
           size_t n)
{
    (void)min;
    for (; n; n--, src += BYTES, code += N) {
        *scale++ = mpq_get_f16(src);
        for (int j = 0; j < N / 2; j++) {
            code[j] = (signed char)((src[2 + j] & 15) - 8);
            code[j + N / 2] = (signed char)((src[2 + j] >> 4) - 8);
        }
    }
}

static const struct mpq_split split = { { 32, 32, 0 }, split_q4_0 };

static const struct mpq_levels levels = { -8, 7, 0 };
/* By effort, without and with importance. */
static const struct mpq_sym_plan plans[2][3] = {
    { { 0, 0, 0, 0, 0 }, { 0.75f, 1.08f, 1, 1, 1 }, { 0.7f, 1.1f, 8, 3, 0 } },
    { { 0.75f, 1.08f, 1, 1, 0 }, { 0.7f, 1.1f, 3, 2, 0 }, { 0.7f, 1.1f, 8, 3, 0 } },
};

/* Codes into their places. */
MPQ_INLINE void
put_codes(const unsigned char *code, unsigned char *dst)
{
    for (int j = 0; j < N / 2; j++)
        dst[2 + j] = (unsigned char)(code[j] | code[j + N / 2] << 4);
}

MPQ_INLINE void
pack(const float *x, float d, unsigned char *dst)
{
    const float inverse = mpq_inverse(d);
    unsigned char code[N];

    for (int j = 0; j < N; j++)
        code[j] = (unsigned char)((int)mpq_level(levels, x[j] * inverse) + 8);
    mpq_put_f16(dst, d);
    put_codes(code, dst);
}

MPQ_CLONES static void
encode_q4_0(const float *src, const float *importance, unsigned char *dst, size_t n,
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

const struct mpq_codec mpq_codec_q4_0 = {
    N, BYTES, decode_q4_0, encode_q4_0, { 16, NULL, -8 }, put_codes, &split
};
