/*
 * q5_k: 256 elements, 8 sub-blocks of 32, in 176 bytes.
 *
 *   f16 d, f16 dmin, u8 scales[12], u8 high[32], u8 q[128]
 *   value = d * scale * code - dmin * min; code of 5 bits, scale and min of 6
 *   scales: see kscale.h
 *   q[32 p + k]      = low 4 bits of code[64 p + k] | those of code[64 p + k + 32] << 4
 *   bit s of high[k] = bit 4 of code[32 s + k], k < 32
 */
#include "quant/block.h"

#include "base/simd.h"
#include "quant/half.h"
#include "quant/kscale.h"

enum { N = 256, SUB = 32, BYTES = 176, SCALES = 4, HIGH = 16, CODES = 48 };

MPQ_CLONES static void
decode_q5_k(const unsigned char *src, float *dst, size_t n)
{
    for (; n; n--, src += BYTES, dst += N) {
        const float d = mpq_get_f16(src), dmin = mpq_get_f16(src + 2);
        const unsigned char *high = src + HIGH;
        for (int s = 0; s < N / SUB; s++) {
            const float ds = d * (float)mpq_kscale_get(src + SCALES, s);
            const float m = dmin * (float)mpq_kscale_get_min(src + SCALES, s);
            const unsigned char *q = src + CODES + SUB * (s >> 1);
            const int shift = 4 * (s & 1);
            for (int j = 0; j < SUB; j++) {
                const int code = (q[j] >> shift & 15) | (high[j] >> s & 1) << 4;
                dst[SUB * s + j] = ds * (float)code - m;
            }
        }
    }
}

const struct mpq_codec mpq_codec_q5_k = { N, BYTES, decode_q5_k, NULL };
