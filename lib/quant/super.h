/* What the types with super-blocks of 256 share. */
#ifndef MPQ_QUANT_SUPER_H
#define MPQ_QUANT_SUPER_H

#include "quant/search.h"

enum { MPQ_SUPER = 256, MPQ_MAX_SUBS = 16 };

/* The importance of a super-block, scaled to at most 1: ones where it says nothing, and
 * a trifle in runs of 16 that have none, so that they are rounded sensibly all the
 * same. */
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
    for (int i = 0; i < MPQ_SUPER; i += 16) {
        const int none = mpq_useful(useful + i, 16) == NULL;
        for (int j = i; j < i + 16; j++)
            w[j] = none ? 1e-7f : useful[j] / greatest;
    }
}

#endif
