/* What the types with super-blocks of 256 share. */
#ifndef MPQ_QUANT_SUPER_H
#define MPQ_QUANT_SUPER_H

#include "quant/search.h"

enum { MPQ_SUPER = 256, MPQ_MAX_SUBS = 16 };

/* The importance of a super-block, scaled to at most 1, ones where it says nothing. */
MPQ_INLINE void
mpq_super_weights(const float *importance, float w[MPQ_SUPER])
{
    const float *useful = mpq_useful(importance, MPQ_SUPER);
    float least, greatest;

    if (!useful) {
        for (int i = 0; i < MPQ_SUPER; i++)
            w[i] = 1.0f;
        return;
    }
    mpq_range(useful, MPQ_SUPER, &least, &greatest);
    for (int i = 0; i < MPQ_SUPER; i++)
        w[i] = useful[i] / greatest;
}

#endif
