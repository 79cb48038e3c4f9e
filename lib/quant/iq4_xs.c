/*
 * iq4_xs: 256 elements, 8 sub-blocks of 32, in 136 bytes.
 *
 *   f16 d, u16 high, u8 low[4], u8 q[128]
 *   value = d * (scale - 32) * level[code]; scale of 6 bits, level: see iq4.h
 *   low[s / 2]  = low 4 bits of scale[s] << 4 (s % 2)
 *   high        = upper 2 bits of scale[s] << 2 s
 *   q[16 s + k] = code[32 s + k] | code[32 s + k + 16] << 4, k < 16
 */
#include "quant/block.h"

#include "base/simd.h"
#include "quant/half.h"
#include "quant/iq4.h"

enum { N = 256, SUB = 32, BYTES = 136, HIGH = 2, LOW = 4, CODES = 8 };

MPQ_CLONES static void
decode_iq4_xs(const unsigned char *src, float *dst, size_t n)
{
    for (; n; n--, src += BYTES, dst += N) {
        const float d = mpq_get_f16(src);
        const int high = src[HIGH] | src[HIGH + 1] << 8;
        for (int s = 0; s < N / SUB; s++) {
            const int low = src[LOW + (s >> 1)] >> 4 * (s & 1) & 15;
            const float ds = d * (float)((low | (high >> 2 * s & 3) << 4) - 32);
            const unsigned char *q = src + CODES + SUB / 2 * s;
            for (int j = 0; j < SUB / 2; j++) {
                dst[SUB * s + j] = ds * (float)mpq_iq4_level[q[j] & 15];
                dst[SUB * s + j + SUB / 2] = ds * (float)mpq_iq4_level[q[j] >> 4];
            }
        }
    }
}

const struct mpq_codec mpq_codec_iq4_xs = { N, BYTES, decode_iq4_xs, NULL };
