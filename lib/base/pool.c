#include "base/pool.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 16384 };

struct mpq_pool_chunk {
    struct mpq_pool_chunk *before;
    size_t used, size;
    char bytes[];
};

static struct mpq_pool_chunk *
new_chunk(struct mpq_pool *p, size_t need)
{
    size_t size = need > CHUNK ? need : CHUNK;
    struct mpq_pool_chunk *c = NULL;

    if (size > SIZE_MAX - sizeof *c || !(c = malloc(sizeof *c + size)))
        return NULL;
    *c = (struct mpq_pool_chunk){ .before = p->last, .size = size };
    p->last = c;
    return c;
}

char *
mpq_pool_strndup(struct mpq_pool *p, const char *s, size_t n)
{
    struct mpq_pool_chunk *c = p->last;

    if (n == SIZE_MAX)
        return NULL;
    if ((!c || c->size - c->used < n + 1) && !(c = new_chunk(p, n + 1)))
        return NULL;
    char *copy = c->bytes + c->used;
    if (n)
        memcpy(copy, s, n);
    copy[n] = '\0';
    c->used += n + 1;
    return copy;
}

char *
mpq_pool_strdup(struct mpq_pool *p, const char *s)
{
    return mpq_pool_strndup(p, s, strlen(s));
}

void
mpq_pool_merge(struct mpq_pool *p, struct mpq_pool *from)
{
    struct mpq_pool_chunk **end = &from->last;

    while (*end)
        end = &(*end)->before;
    *end = p->last;
    p->last = from->last;
    from->last = NULL;
}

void
mpq_pool_free(struct mpq_pool *p)
{
    while (p->last) {
        struct mpq_pool_chunk *c = p->last;
        p->last = c->before;
        free(c);
    }
}
