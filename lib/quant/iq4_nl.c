/*
 * iq4_nl: 32 elements in 18 bytes.
 *
 *   f16 d, u8 q[16]           value = d * level[code]
 *   q[j] = code[j] | code[j + 16] << 4
 *   level: 16 values, not evenly spaced, see iq4.h
 */
#include "quant/block.h"

#include "base/simd.h"
#include "quant/half.h"
#include "quant/iq4.h"

enum { N = 32, BYTES = 18 };

MPQ_CLONES static void
decode_iq4_nl(const unsigned char *src, float *dst, size_t n)
{
    for (; n; n--, src += BYTES, dst += N) {
        const float d = mpq_get_f16(src);
        for (int j = 0; j < N / 2; j++) {
            dst[j] = d * (float)mpq_iq4_level[src[2 + j] & 15];
            dst[j + N / 2] = d * (float)mpq_iq4_level[src[2 + j] >> 4];
        }
    }
}

const struct mpq_codec mpq_codec_iq4_nl = { N, BYTES, decode_iq4_nl, NULL };
