/* Checked numbers from text: the whole text must be the number. */
#ifndef MPQ_BASE_PARSE_H
#define MPQ_BASE_PARSE_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

/* Decimal digits alone (no sign, no blanks), at most 2^64 - 1. */
MPQ_MUST_CHECK int mpq_parse_u64(const char *text, uint64_t *out);
/* A finite number in the C locale's form. */
MPQ_MUST_CHECK int mpq_parse_double(const char *text, double *out);
/* "123", "90M" (10^6), "1.5GiB" (2^30): k M G T are powers of 1000, Ki Mi Gi Ti
 * of 1024; an ending B is allowed, capitals make no difference (there are no bits to
 * confuse them with). Rounded down to whole bytes. */
MPQ_MUST_CHECK int mpq_parse_bytes(const char *text, uint64_t *out);
/* "A-B" or "A": first and last, first <= last. */
MPQ_MUST_CHECK int mpq_parse_range(const char *text, uint64_t *first, uint64_t *last);

#endif
