/*
 * IEEE binary16 and bfloat16 in software, for every input: subnormals, infinities and
 * NaN; rounding to nearest, ties to even. Without branches, so that loops over them
 * become vector code.
 */
#ifndef MPQ_QUANT_HALF_H
#define MPQ_QUANT_HALF_H

#include <stdint.h>
#include <string.h>

#define MPQ_F16_MAX 65504.0f

static inline uint32_t
mpq_f32_bits(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static inline float
mpq_bits_f32(uint32_t u)
{
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

/* Exponent and mantissa move into place; adding and subtracting 2^-14, whose last bit
 * then is that of a subnormal, normalizes those. */
static inline float
mpq_f16_to_f32(uint16_t h)
{
    const uint32_t sign = (uint32_t)(h & 0x8000u) << 16;
    const uint32_t body = (uint32_t)(h & 0x7fffu) << 13;
    const uint32_t exponent = body & 0x0f800000u;
    const uint32_t normal = body + ((127u - 15u) << 23);
    const uint32_t special = body + ((255u - 31u) << 23); /* infinity, NaN */
    const float tiny = mpq_bits_f32(body + (113u << 23)) - mpq_bits_f32(113u << 23);
    uint32_t u = exponent == 0 ? mpq_f32_bits(tiny) : normal;

    u = exponent == 0x0f800000u ? special : u;
    return mpq_bits_f32(u | sign);
}

/* Too large becomes infinity; a NaN stays one, quiet, with its upper payload. */
static inline uint16_t
mpq_f32_to_f16(float x)
{
    const uint32_t bits = mpq_f32_bits(x);
    const uint32_t sign = (bits >> 16) & 0x8000u;
    const uint32_t body = bits & 0x7fffffffu;
    /* 0.5 has its last bit at 2^-24, the step of the subnormals: the addition rounds */
    const uint32_t tiny = mpq_f32_bits(mpq_bits_f32(body) + 0.5f) - mpq_f32_bits(0.5f);
    const uint32_t normal =
        (body - ((127u - 15u) << 23) + 0x0fffu + ((body >> 13) & 1u)) >> 13;
    const uint32_t nan = 0x7e00u | ((body >> 13) & 0x03ffu);
    uint32_t h = body < (113u << 23) ? tiny : normal;

    h = body >= (143u << 23) ? 0x7c00u
                             : h; /* 2^16 and up; 65520 rounds there by itself */
    h = body > 0x7f800000u ? nan : h;
    return (uint16_t)(h | sign);
}

static inline float
mpq_bf16_to_f32(uint16_t h)
{
    return mpq_bits_f32((uint32_t)h << 16);
}

static inline uint16_t
mpq_f32_to_bf16(float x)
{
    const uint32_t bits = mpq_f32_bits(x);
    const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    const uint32_t nan = (bits >> 16) | 0x40u; /* quiet, so that it stays a NaN */

    return (uint16_t)((bits & 0x7fffffffu) > 0x7f800000u ? nan : rounded);
}

/* The nearest f16 that is finite, as a float and as its bits. */
static inline float
mpq_f16_clamp(float x)
{
    x = x > MPQ_F16_MAX ? MPQ_F16_MAX : x;
    return x < -MPQ_F16_MAX ? -MPQ_F16_MAX : x;
}

/* Adding 2^13 times X's power of two (of a subnormal: that of the least normal) leaves
 * room for the ten bits below it alone, so the addition rounds as f16 would. */
static inline float
mpq_f16_round(float x)
{
    const float y = mpq_f16_clamp(x);
    const uint32_t power = mpq_f32_bits(y) & 0x7f800000u, least = 113u << 23;
    const float magic =
        1.5f * mpq_bits_f32((power > least ? power : least) + (13u << 23));
    return (y + magic) - magic;
}

/* Little-endian in memory, whatever the machine. */
static inline float
mpq_get_f16(const unsigned char *p)
{
    return mpq_f16_to_f32((uint16_t)(p[0] | p[1] << 8));
}

static inline void
mpq_put_f16(unsigned char *p, float x)
{
    const uint16_t h = mpq_f32_to_f16(mpq_f16_clamp(x));
    p[0] = (unsigned char)(h & 0xff);
    p[1] = (unsigned char)(h >> 8);
}

#endif
