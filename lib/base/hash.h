/* A fast 64-bit checksum, against accidents and not against malice. */
#ifndef MPQ_BASE_HASH_H
#define MPQ_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

/* XXH64 of BYTES[n], unaligned (github.com/Cyan4973/xxHash, doc/xxhash_spec.md). */
uint64_t mpq_hash64(const void *bytes, size_t n, uint64_t seed);

#endif
