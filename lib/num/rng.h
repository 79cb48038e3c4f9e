/* Random numbers: splitmix64 (Steele, Lea and Flood, OOPSLA 2014). */
#ifndef MPQ_NUM_RNG_H
#define MPQ_NUM_RNG_H

#include <stdint.h>

static inline uint64_t
mpq_rng_next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* From 0 to 1, 1 excluded. */
static inline double
mpq_rng_double(uint64_t *state)
{
    return (double)(mpq_rng_next(state) >> 11) * 0x1p-53;
}

/* The state of the I-th of many sequences of one seed. */
static inline uint64_t
mpq_rng_at(uint64_t seed, uint64_t i)
{
    const uint64_t start = mpq_rng_next(&seed);
    uint64_t mixed = start ^ i * 0xd1342543de82ef95u;

    return mpq_rng_next(&mixed);
}

#endif
