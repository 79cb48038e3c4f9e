/*
 * intB[gN][s]: the project's own integer types, B bits (1 to 8) a code. A row is
 *
 *   codes        ceil(cols * B / 8) bytes: a stream of bits, the lowest of a byte
 * first, code j in bits j B to j B + B - 1; unused bits of the last byte are 0 f16
 * scale[]  one for each group of N columns (the last may be shorter), or one f16 zero[]
 * as many, not in the symmetric types
 *
 *   asymmetric      value = scale * (code - zero)        (zero need not be an integer)
 *   symmetric, B>1  value = scale * (code - 2^(B-1))
 *   symmetric, B=1  value = scale * (2 code - 1)         (plus or minus the scale)
 *
 * in single precision, in this order. The sign of a scale is free.
 */
#include "quant/block.h"

#include "base/simd.h"
#include "quant/half.h"

/* 8 codes are B whole bytes: N codes from the start of such a run. */
MPQ_CLONES static void
unpack_intb(const unsigned char *src, unsigned bits, float *dst, size_t n)
{
    const uint64_t mask = (1u << bits) - 1;

    for (size_t j = 0; j < n; j += 8, src += bits) {
        const size_t left = n - j < 8 ? n - j : 8;
        const size_t bytes = (left * bits + 7) / 8;
        uint64_t run = 0;
        for (size_t k = 0; k < bytes; k++)
            run |= (uint64_t)src[k] << 8 * k;
        for (size_t k = 0; k < left; k++)
            dst[j + k] = (float)(run >> bits * k & mask);
    }
}

/* value = scale * (step * code - zero) */
MPQ_CLONES static void
scale_intb(float *x, size_t n, float scale, float step, float zero)
{
    for (size_t j = 0; j < n; j++)
        x[j] = scale * (step * x[j] - zero);
}

void
mpq_intb_decode(struct mpq_type t, const unsigned char *src, float *dst, size_t cols)
{
    const size_t group = t.group ? t.group : cols;
    const size_t groups = (size_t)mpq_type_groups(t, cols);
    const unsigned char *scale = src + (cols * t.bits + 7) / 8;
    const unsigned char *zeros = scale + 2 * groups;
    const float step = t.symmetric && t.bits == 1 ? 2.0f : 1.0f;
    const float middle = t.bits == 1 ? 1.0f : (float)(1u << (t.bits - 1));

    unpack_intb(src, t.bits, dst, cols);
    for (size_t g = 0; g < groups; g++) {
        const size_t begin = g * group, left = cols - begin;
        const float zero = t.symmetric ? middle : mpq_get_f16(zeros + 2 * g);
        scale_intb(dst + begin, left < group ? left : group, mpq_get_f16(scale + 2 * g),
                   step, zero);
    }
}
