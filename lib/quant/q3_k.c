/*
 * q3_k: 256 elements, 16 sub-blocks of 16, in 110 bytes.
 *
 *   u8 high[32], u8 low[64], u8 scales[12], f16 d
 *   value = d * (scale - 32) * (code - 4), scale of 6 bits, code of 3
 *   bit b of high[k]      = bit 2 of code[32 b + k], k < 32
 *   low[32 h + k]         = low 2 bits of code[128 h + k], code[128 h + k + 32] << 2,
 *                           code[128 h + k + 64] << 4, code[128 h + k + 96] << 6
 *   scales[j], j < 8      = low 4 bits of scale[j] | those of scale[j + 8] << 4
 *   scales[8 + j], j < 4  = upper 2 bits of scale[j], scale[j + 4] << 2,
 *                           scale[j + 8] << 4, scale[j + 12] << 6
 */
#include "quant/block.h"

#include "base/simd.h"
#include "quant/half.h"

enum { N = 256, SUB = 16, BYTES = 110, LOW = 32, SCALES = 96, D = 108 };

static inline int
get_scale(const unsigned char *p, int j)
{
    const int low = p[j & 7] >> (j < 8 ? 0 : 4) & 15;
    const int high = p[8 + (j & 3)] >> 2 * (j >> 2) & 3;
    return (low | high << 4) - 32;
}

MPQ_CLONES static void
decode_q3_k(const unsigned char *src, float *dst, size_t n)
{
    for (; n; n--, src += BYTES, dst += N) {
        const float d = mpq_get_f16(src + D);
        for (int s = 0; s < N / SUB; s++) { /* codes of a half lie 32 apart */
            const float ds = d * (float)get_scale(src + SCALES, s);
            const unsigned char *high = src + SUB * (s & 1);
            const unsigned char *low = src + LOW + 32 * (s >> 3) + SUB * (s & 1);
            const int bit = s >> 1, shift = 2 * (bit & 3);
            for (int j = 0; j < SUB; j++) {
                const int code = (low[j] >> shift & 3) | (high[j] >> bit & 1) << 2;
                dst[SUB * s + j] = ds * (float)(code - 4);
            }
        }
    }
}

const struct mpq_codec mpq_codec_q3_k = { N, BYTES, decode_q3_k, NULL };
