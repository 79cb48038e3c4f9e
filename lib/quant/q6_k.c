/*
 * q6_k: 256 elements, 16 sub-blocks of 16, in 210 bytes.
 *
 *   u8 low[128], u8 high[64], i8 scale[16], f16 d
 *   value = d * scale * (code - 32), code of 6 bits
 *   each half h of 128 elements, with j < 64 and k < 32:
 *     low[64 h + j]  = low 4 bits of code[j] | those of code[j + 64] << 4
 *     high[32 h + k] = upper 2 bits of code[k], code[k + 32] << 2,
 *                      code[k + 64] << 4, code[k + 96] << 6
 */
#include "quant/block.h"

#include "base/simd.h"
#include "quant/half.h"

enum { N = 256, SUB = 16, BYTES = 210, HIGH = 128, SCALE = 192, D = 208 };

/* 32 elements: a row of LOW, shifted by LOW_SHIFT, two bits of HIGH. */
static inline void
decode_32(const unsigned char *low, int low_shift, const unsigned char *high,
          int high_shift, const signed char *scale, float d, float *dst)
{
    for (int s = 0; s < 2; s++) {
        const float ds = d * (float)scale[s];
        for (int j = SUB * s; j < SUB * (s + 1); j++) {
            const int code = (low[j] >> low_shift & 15) | (high[j] >> high_shift & 3)
                                                              << 4;
            dst[j] = ds * (float)(code - 32);
        }
    }
}

MPQ_CLONES static void
decode_q6_k(const unsigned char *src, float *dst, size_t n)
{
    for (; n; n--, src += BYTES, dst += N) {
        const float d = mpq_get_f16(src + D);
        for (int h = 0; h < 2; h++) {
            const unsigned char *low = src + 64 * h, *high = src + HIGH + 32 * h;
            const signed char *scale = (const signed char *)src + SCALE + 8 * h;
            float *out = dst + 128 * h;
            decode_32(low, 0, high, 0, scale, d, out);
            decode_32(low + 32, 0, high, 2, scale + 2, d, out + 32);
            decode_32(low, 4, high, 4, scale + 4, d, out + 64);
            decode_32(low + 32, 4, high, 6, scale + 6, d, out + 96);
        }
    }
}

const struct mpq_codec mpq_codec_q6_k = { N, BYTES, decode_q6_k, NULL };
