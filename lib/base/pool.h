/* Many small strings that live and die together. */
#ifndef MPQ_BASE_POOL_H
#define MPQ_BASE_POOL_H

#include <stddef.h>

struct mpq_pool_chunk;

/* Zero-initialized is empty. Strings never move. */
struct mpq_pool {
    struct mpq_pool_chunk *last;
};

/* A NUL-terminated copy of S[n]; lives until mpq_pool_free. NULL when out of memory. */
char *mpq_pool_strndup(struct mpq_pool *p, const char *s, size_t n);
char *mpq_pool_strdup(struct mpq_pool *p, const char *s);
/* Hands all strings of FROM over to P; FROM is empty afterward. */
void mpq_pool_merge(struct mpq_pool *p, struct mpq_pool *from);
/* Frees every string and makes *p empty again. */
void mpq_pool_free(struct mpq_pool *p);

#endif
