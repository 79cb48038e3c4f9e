/*
 * What an intB can store of a scale and of a zero: any f16; or, where it is going into
 * a checkpoint of another program (type.whole), a scale that bf16 has too, and a zero
 * that is one of the codes but 0, so that its predecessor is a code as well.
 */
#ifndef MPQ_QUANT_WHOLE_H
#define MPQ_QUANT_WHOLE_H

#include "quant/search.h"

/* Never 0. 65,280 is the largest f16 of eight bits. */
MPQ_INLINE float
mpq_intb_scale(int whole, float s)
{
    const float f16 = mpq_f16_scale(s), most = 65280.0f;
    const float brief = mpq_bf16_to_f32(mpq_f32_to_bf16(f16));
    const float in = brief > most ? most : brief < -most ? -most : brief;

    return whole ? in : f16;
}

/* TOP is the greatest code. */
MPQ_INLINE float
mpq_intb_zero(int whole, float top, float zero)
{
    const float in = zero > top ? top : zero > 1.0f ? zero : 1.0f;

    return whole ? mpq_nearest(in, 1.0f, top) : mpq_f16_round(zero);
}

#endif
