/* The 16 levels of iq4_nl and iq4_xs (ggml's kvalues_iq4nl), ascending. */
#ifndef MPQ_QUANT_IQ4_H
#define MPQ_QUANT_IQ4_H

static const signed char mpq_iq4_level[16] = {
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
};

/* The code of the level next to V. */
static inline int
mpq_iq4_code(float v)
{
    int code = 0;

    for (int k = 1; k < 16; k++)
        code += v > 0.5f * (float)(mpq_iq4_level[k - 1] + mpq_iq4_level[k]);
    return code;
}

#endif
