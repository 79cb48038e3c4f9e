/* Hidden states of many tokens, in memory or, when large, in an unlinked temporary file
 * that is mapped. */
#ifndef MPQ_MODEL_STATES_H
#define MPQ_MODEL_STATES_H

#include "base/err.h"

#include <stddef.h>

struct mpq_states {
    float *x; /* [n][width], zero at first */
    size_t n, width;
    size_t mapped_bytes; /* 0: memory of its own */
};

/* Above MAX_BYTES in a file in $TMPDIR. */
MPQ_MUST_CHECK int mpq_states_new(struct mpq_states *s, size_t n, size_t width,
                                  size_t max_bytes, struct mpq_err *err);
void mpq_states_free(struct mpq_states *s); /* a zeroed one is fine */

/* Of all its states. */
static inline size_t
mpq_states_bytes(const struct mpq_states *s)
{
    return s->n * s->width * sizeof *s->x;
}

#endif
