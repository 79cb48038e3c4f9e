/* Growing bytes, and arrays whose size cannot overflow. */
#ifndef MPQ_BASE_BUF_H
#define MPQ_BASE_BUF_H

#include "base/err.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* Zero-initialized is empty. `data` is always followed by a NUL once something
 * was added, so text built here is a C string. */
struct mpq_buf {
    char *data;
    size_t len, cap;
    int failed; /* out of memory at some point; checked once, at the end */
};

/* Appends N bytes; on lack of memory sets b->failed and drops them. */
void mpq_buf_add(struct mpq_buf *b, const void *bytes, size_t n);
void mpq_buf_adds(struct mpq_buf *b, const char *text);
void mpq_buf_printf(struct mpq_buf *b, const char *fmt, ...) MPQ_PRINTF(2, 3);
void mpq_buf_vprintf(struct mpq_buf *b, const char *fmt, va_list ap) MPQ_PRINTF(2, 0);
/* Frees the bytes and makes *b empty again. */
void mpq_buf_free(struct mpq_buf *b);

/* N zeroed elements of SIZE bytes, never NULL for n = 0 except out of memory;
 * NULL on overflow or lack of memory. free() ends it. */
void *mpq_array(size_t n, size_t size);
/* Grows *array (of *cap elements of SIZE bytes) to hold NEED at least, doubling.
 * Returns 0, or -1 with everything as it was. */
MPQ_MUST_CHECK int mpq_grow(void *array, size_t *cap, size_t need, size_t size);
/* A copy of S that free() ends; NULL when out of memory. */
char *mpq_strdup(const char *s);
char *mpq_strndup(const char *s, size_t n);

/* a + b and a * b into *out; -1 when the result does not fit in 64 bits. */
MPQ_MUST_CHECK int mpq_add_u64(uint64_t a, uint64_t b, uint64_t *out);
MPQ_MUST_CHECK int mpq_mul_u64(uint64_t a, uint64_t b, uint64_t *out);

#endif
