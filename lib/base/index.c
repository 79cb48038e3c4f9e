#include "base/index.h"

#include "base/buf.h"

#include <stdlib.h>
#include <string.h>

int
mpq_index_add(struct mpq_index *x, const char *name, size_t pos)
{
    if (mpq_grow(&x->entries, &x->cap, x->n + 1, sizeof *x->entries) < 0)
        return -1;
    x->entries[x->n++] = (struct mpq_index_entry){ name, pos };
    return 0;
}

/* By name; equal ones by position, so that the result is the same everywhere. */
static int
compare(const void *a, const void *b)
{
    const struct mpq_index_entry *x = a, *y = b;
    int order = strcmp(x->name, y->name);

    return order ? order : (x->pos > y->pos) - (x->pos < y->pos);
}

const char *
mpq_index_sort(struct mpq_index *x)
{
    if (x->n)
        qsort(x->entries, x->n, sizeof *x->entries, compare);
    for (size_t i = 1; i < x->n; i++)
        if (!strcmp(x->entries[i - 1].name, x->entries[i].name))
            return x->entries[i].name;
    return NULL;
}

int
mpq_index_find(const struct mpq_index *x, const char *name, size_t *pos)
{
    size_t lo = 0, hi = x->n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int order = strcmp(name, x->entries[mid].name);
        if (!order) {
            *pos = x->entries[mid].pos;
            return 1;
        }
        if (order < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return 0;
}

void
mpq_index_free(struct mpq_index *x)
{
    free(x->entries);
    *x = (struct mpq_index){ 0 };
}
