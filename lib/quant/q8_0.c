/*
 * q8_0: 32 elements in 34 bytes.
 *
 *   f16 d, i8 code[32]        value = d * code
 *
 * (Layouts of all block types: github.com/ggml-org/ggml, src/ggml-common.h.)
 */
#include "quant/block.h"

#include "base/simd.h"
#include "quant/half.h"

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

const struct mpq_codec mpq_codec_q8_0 = { N, BYTES, decode_q8_0, NULL };
