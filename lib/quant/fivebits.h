/*
 * The 20 bytes that hold 32 codes of 5 bits in q5_0 and q5_1:
 *
 *   u32 high, u8 q[16]
 *   q[j] = low 4 bits of code[j] | those of code[j + 16] << 4
 *   bit j of high = bit 4 of code[j]
 */
#ifndef MPQ_QUANT_FIVEBITS_H
#define MPQ_QUANT_FIVEBITS_H

#include <stdint.h>

static inline void
mpq_put_5bits(const unsigned char code[32], unsigned char p[20])
{
    uint32_t high = 0;

    for (int j = 0; j < 32; j++)
        high |= (uint32_t)(code[j] >> 4) << j;
    for (int j = 0; j < 4; j++)
        p[j] = (unsigned char)(high >> 8 * j);
    for (int j = 0; j < 16; j++)
        p[4 + j] = (unsigned char)((code[j] & 15) | (code[j + 16] & 15) << 4);
}

/* All fifth bits. */
static inline uint32_t
mpq_5bits_high(const unsigned char p[20])
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
           (uint32_t)p[3] << 24;
}

/* code[j] and code[j + 16], j < 16; HIGH is mpq_5bits_high(p). */
static inline int
mpq_5bits_low(const unsigned char p[20], uint32_t high, int j)
{
    return (p[4 + j] & 15) | (int)(high >> j & 1) << 4;
}

static inline int
mpq_5bits_up(const unsigned char p[20], uint32_t high, int j)
{
    return p[4 + j] >> 4 | (int)(high >> (j + 16) & 1) << 4;
}

#endif
