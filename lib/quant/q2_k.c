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
#include "quant/half.h"

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

const struct mpq_codec mpq_codec_q2_k = { N, BYTES, decode_q2_k, NULL };
