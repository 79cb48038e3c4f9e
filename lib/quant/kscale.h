/*
 * The 12 bytes that hold 8 scales and 8 mins of 6 bits each in q4_k and q5_k:
 *
 *   p[j]     = scale[j] | upper 2 bits of scale[j + 4] << 6      j < 4
 *   p[j + 4] = min[j]   | upper 2 bits of min[j + 4] << 6
 *   p[j + 8] = low 4 bits of scale[j + 4] | low 4 bits of min[j + 4] << 4
 */
#ifndef MPQ_QUANT_KSCALE_H
#define MPQ_QUANT_KSCALE_H

static inline int
mpq_kscale_get(const unsigned char *p, int j)
{
    return j < 4 ? p[j] & 63 : (p[j + 4] & 15) | p[j - 4] >> 6 << 4;
}

static inline int
mpq_kscale_get_min(const unsigned char *p, int j)
{
    return j < 4 ? p[j + 4] & 63 : p[j + 4] >> 4 | p[j] >> 6 << 4;
}

static inline void
mpq_kscale_put(unsigned char p[12], const int scale[8], const int min[8])
{
    for (int j = 0; j < 4; j++) {
        p[j] = (unsigned char)(scale[j] | scale[j + 4] >> 4 << 6);
        p[j + 4] = (unsigned char)(min[j] | min[j + 4] >> 4 << 6);
        p[j + 8] = (unsigned char)((scale[j + 4] & 15) | (min[j + 4] & 15) << 4);
    }
}

#endif
