/*
 * q4_0: 32 elements in 18 bytes.
 *
 *   f16 d, u8 q[16]           value = d * (code - 8)
 *   q[j] = code[j] | code[j + 16] << 4
 */
#include "quant/block.h"

#include "base/simd.h"
#include "quant/half.h"

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

const struct mpq_codec mpq_codec_q4_0 = { N, BYTES, decode_q4_0, NULL };
