/*
 * q4_1: 32 elements in 20 bytes.
 *
 *   f16 d, f16 m, u8 q[16]    value = d * code + m
 *   q[j] = code[j] | code[j + 16] << 4
 */
#include "quant/block.h"

#include "base/simd.h"
#include "quant/half.h"

enum { N = 32, BYTES = 20 };

MPQ_CLONES static void
decode_q4_1(const unsigned char *src, float *dst, size_t n)
{
    for (; n; n--, src += BYTES, dst += N) {
        const float d = mpq_get_f16(src), m = mpq_get_f16(src + 2);
        for (int j = 0; j < N / 2; j++) {
            dst[j] = (float)(src[4 + j] & 15) * d + m;
            dst[j + N / 2] = (float)(src[4 + j] >> 4) * d + m;
        }
    }
}

const struct mpq_codec mpq_codec_q4_1 = { N, BYTES, decode_q4_1, NULL };
