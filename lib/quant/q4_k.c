/*
 * q4_k: 256 elements, 8 sub-blocks of 32, in 144 bytes.
 *
 *   f16 d, f16 dmin, u8 scales[12], u8 q[128]
 *   value = d * scale * code - dmin * min; code of 4 bits, scale and min of 6
 *   scales: see kscale.h
 *   q[32 p + k] = code[64 p + k] | code[64 p + k + 32] << 4, k < 32
 */
#include "quant/block.h"

#include "base/simd.h"
#include "quant/half.h"
#include "quant/kscale.h"

enum { N = 256, SUB = 32, BYTES = 144, SCALES = 4, CODES = 16 };

MPQ_CLONES static void
decode_q4_k(const unsigned char *src, float *dst, size_t n)
{
    for (; n; n--, src += BYTES, dst += N) {
        const float d = mpq_get_f16(src), dmin = mpq_get_f16(src + 2);
        for (int s = 0; s < N / SUB; s++) {
            const float ds = d * (float)mpq_kscale_get(src + SCALES, s);
            const float m = dmin * (float)mpq_kscale_get_min(src + SCALES, s);
            const unsigned char *q = src + CODES + SUB * (s >> 1);
            const int shift = 4 * (s & 1);
            for (int j = 0; j < SUB; j++)
                dst[SUB * s + j] = ds * (float)(q[j] >> shift & 15) - m;
        }
    }
}

const struct mpq_codec mpq_codec_q4_k = { N, BYTES, decode_q4_k, NULL };
