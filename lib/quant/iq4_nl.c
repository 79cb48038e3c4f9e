/*
 * iq4_nl: 32 elements in 18 bytes.
 *
 *   f16 d, u8 q[16]           value = d * level[code]
 *   q[j] = code[j] | code[j + 16] << 4
 *   level: 16 values, not evenly spaced, see iq4.h
 */
#include "quant/block.h"

#include "base/simd.h"
#include "quant/sym.h"

enum { N = 32, BYTES = 18 };

MPQ_CLONES static void
decode_iq4_nl(const unsigned char *src, float *dst, size_t n)
{
    for (; n; n--, src += BYTES, dst += N) {
        const float d = mpq_get_f16(src);
        for (int j = 0; j < N / 2; j++) {
            dst[j] = d * (float)mpq_iq4_level[src[2 + j] & 15];
            dst[j + N / 2] = d * (float)mpq_iq4_level[src[2 + j] >> 4];
        }
    }
}

MPQ_CLONES static void
split_iq4_nl(const unsigned char *src, signed char *code, float *scale, float *min,
             size_t n)
{
    (void)min;
    for (; n; n--, src += BYTES, code += N) {
        *scale++ = mpq_get_f16(src);
        for (int j = 0; j < N / 2; j++) {
            code[j] = mpq_iq4_level[src[2 + j] & 15];
            code[j + N / 2] = mpq_iq4_level[src[2 + j] >> 4];
        }
    }
}

static const struct mpq_split split = { { 32, 32, 0 }, split_iq4_nl };

static const struct mpq_levels levels = { -127, 113, 1 };
/* By effort, without and with importance. */
static const struct mpq_sym_plan plans[2][3] = {
    { { 0.75f, 1.08f, 1, 1, 0 }, { 0.75f, 1.08f, 2, 2, 0 }, { 0.7f, 1.15f, 8, 4, 0 } },
    { { 0.75f, 1.08f, 1, 1, 0 }, { 0.7f, 1.1f, 3, 2, 0 }, { 0.7f, 1.15f, 8, 4, 0 } },
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
        code[j] = (unsigned char)mpq_iq4_code(x[j] * inverse);
    mpq_put_f16(dst, d);
    put_codes(code, dst);
}

MPQ_CLONES static void
encode_iq4_nl(const float *src, const float *importance, unsigned char *dst, size_t n,
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

const struct mpq_codec mpq_codec_iq4_nl = {
    N, BYTES, decode_iq4_nl, encode_iq4_nl, { 16, mpq_iq4_level, 0 }, put_codes, &split
};
