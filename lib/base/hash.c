#include "base/hash.h"

#include "base/le.h"

/* The constants and steps are those of the specification. */
#define P1 UINT64_C(0x9e3779b185ebca87)
#define P2 UINT64_C(0xc2b2ae3d27d4eb4f)
#define P3 UINT64_C(0x165667b19e3779f9)
#define P4 UINT64_C(0x85ebca77c2b2ae63)
#define P5 UINT64_C(0x27d4eb2f165667c5)

enum { STRIPE = 32 };

static uint64_t
rotate(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static uint64_t
mix(uint64_t lane, uint64_t word)
{
    return rotate(lane + word * P2, 31) * P1;
}

static uint64_t
merge(uint64_t sum, uint64_t lane)
{
    return (sum ^ mix(0, lane)) * P1 + P4;
}

static uint64_t
stripes(const unsigned char **p, size_t n, uint64_t seed)
{
    uint64_t a = seed + P1 + P2, b = seed + P2, c = seed, d = seed - P1;
    const unsigned char *q = *p;

    for (; n >= STRIPE; n -= STRIPE, q += STRIPE) {
        a = mix(a, mpq_le64(q));
        b = mix(b, mpq_le64(q + 8));
        c = mix(c, mpq_le64(q + 16));
        d = mix(d, mpq_le64(q + 24));
    }
    *p = q;
    uint64_t sum = rotate(a, 1) + rotate(b, 7) + rotate(c, 12) + rotate(d, 18);
    return merge(merge(merge(merge(sum, a), b), c), d);
}

uint64_t
mpq_hash64(const void *bytes, size_t n, uint64_t seed)
{
    const unsigned char *p = bytes;
    uint64_t sum = n >= STRIPE ? stripes(&p, n, seed) : seed + P5;
    size_t left = n % STRIPE;

    sum += n;
    for (; left >= 8; left -= 8, p += 8)
        sum = rotate(sum ^ mix(0, mpq_le64(p)), 27) * P1 + P4;
    for (; left >= 4; left -= 4, p += 4)
        sum = rotate(sum ^ mpq_le32(p) * P1, 23) * P2 + P3;
    for (; left; left--, p++)
        sum = rotate(sum ^ *p * P5, 11) * P1;
    sum = (sum ^ sum >> 33) * P2;
    sum = (sum ^ sum >> 29) * P3;
    return sum ^ sum >> 32;
}
