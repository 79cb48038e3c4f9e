/*
 * q8_0: 32 elements in 34 bytes.
 *
 *   f16 d, i8 code[32]        value = d * code
 *
 * (Layouts of all block types: github.com/ggml-org/ggml, src/ggml-common.h.)
 */
#include "quant/block.h"

#include "base/simd.h"
#include "quant/sym.h"

enum { N = 32, BYTES = 34 };

MPQ_CLONES static void
decode_q8_0(const unsigned char *src, float *dst, size_t n)
{
    for (; n; n--, src += BYTES, dst += N) {
        const float d = mpq_get_f16(src);
        for (int j = 0; j < N; j++)
            dst[j] = (float)(signed char)src[2 + j] * d;
    }
}

MPQ_CLONES static void
split_q8_0(const unsigned char *src, signed char *code, float *scale, float *min,
           size_t n)
{
    (void)min;
    for (; n; n--, src += BYTES, code += N) {
        *scale++ = mpq_get_f16(src);
        for (int j = 0; j < N; j++)
            code[j] = (signed char)src[2 + j];
    }
}

static const struct mpq_split split = { { 32, 32, 0 }, split_q8_0 };

static const struct mpq_levels levels = { -127, 127, 0 };
/* By effort, without and with importance. */
static const struct mpq_sym_plan plans[2][3] = {
    { { 0, 0, 0, 0, 0 }, { 0.98f, 1.01f, 1, 1, 0 }, { 0.9f, 1.1f, 8, 3, 0 } },
    { { 0, 0, 0, 0, 0 }, { 0.98f, 1.01f, 1, 1, 0 }, { 0.9f, 1.1f, 8, 3, 0 } },
};

/* Codes into their places, counted from -127. */
MPQ_INLINE void
put_codes(const unsigned char *code, unsigned char *dst)
{
    for (int j = 0; j < N; j++)
        dst[2 + j] = (unsigned char)(code[j] - 127);
}

MPQ_INLINE void
pack(const float *x, float d, unsigned char *dst)
{
    const float inverse = mpq_inverse(d);

    mpq_put_f16(dst, d);
    for (int j = 0; j < N; j++)
        dst[2 + j] = (unsigned char)(int)mpq_level(levels, x[j] * inverse);
}

MPQ_CLONES static void
encode_q8_0(const float *src, const float *importance, unsigned char *dst, size_t n,
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

const struct mpq_codec mpq_codec_q8_0 = {
    N, BYTES, decode_q8_0, encode_q8_0, { 255, NULL, -127 }, put_codes, &split
};
