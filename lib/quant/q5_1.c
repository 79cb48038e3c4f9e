/*
 * q5_1: 32 elements in 24 bytes.
 *
 *   f16 d, f16 m, u32 high, u8 q[16]    value = d * code + m
 *   q[j] = low 4 bits of code[j] | those of code[j + 16] << 4
 *   bit j of high = bit 4 of code[j]
 */
#include "quant/block.h"

#include "base/simd.h"
#include "quant/half.h"

enum { N = 32, BYTES = 24 };

MPQ_CLONES static void
decode_q5_1(const unsigned char *src, float *dst, size_t n)
{
    for (; n; n--, src += BYTES, dst += N) {
        const float d = mpq_get_f16(src), m = mpq_get_f16(src + 2);
        const unsigned char *q = src + 8;
        const uint32_t high = (uint32_t)src[4] | (uint32_t)src[5] << 8 |
                              (uint32_t)src[6] << 16 | (uint32_t)src[7] << 24;
        for (int j = 0; j < N / 2; j++) {
            const int low = (q[j] & 15) | (int)(high >> j & 1) << 4;
            const int up = q[j] >> 4 | (int)(high >> (j + N / 2) & 1) << 4;
            dst[j] = (float)low * d + m;
            dst[j + N / 2] = (float)up * d + m;
        }
    }
}

const struct mpq_codec mpq_codec_q5_1 = { N, BYTES, decode_q5_1, NULL };
