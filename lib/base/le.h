/* Little-endian numbers in bytes, whatever the machine: compilers make one load or
 * store of each. */
#ifndef MPQ_BASE_LE_H
#define MPQ_BASE_LE_H

#include <stdint.h>

static inline uint32_t
mpq_le32(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
           (uint32_t)p[3] << 24;
}

static inline uint64_t
mpq_le64(const unsigned char *p)
{
    return (uint64_t)mpq_le32(p) | (uint64_t)mpq_le32(p + 4) << 32;
}

#endif
