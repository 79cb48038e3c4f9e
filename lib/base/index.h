/*
 * Names to positions. Sorted, not hashed: names come from files, and whoever writes
 * the file must not be able to make looking them up slow.
 */
#ifndef MPQ_BASE_INDEX_H
#define MPQ_BASE_INDEX_H

#include "base/err.h"

#include <stddef.h>

struct mpq_index_entry {
    const char *name;
    size_t pos;
};

/* Zero-initialized is empty. Names are borrowed and must outlive the index. */
struct mpq_index {
    struct mpq_index_entry *entries;
    size_t n, cap;
};

/* Adds NAME at position POS; -1 when out of memory. */
MPQ_MUST_CHECK int mpq_index_add(struct mpq_index *x, const char *name, size_t pos);
/* Sorts what was added; to be called before the first find. Returns a name that was
 * added more than once (the first in order of bytes), or NULL. */
const char *mpq_index_sort(struct mpq_index *x);
/* Sets *pos and returns 1, or returns 0 when there is no such name. */
int mpq_index_find(const struct mpq_index *x, const char *name, size_t *pos);
void mpq_index_free(struct mpq_index *x);

#endif
