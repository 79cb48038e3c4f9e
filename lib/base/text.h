/* Questions about C strings. */
#ifndef MPQ_BASE_TEXT_H
#define MPQ_BASE_TEXT_H

#include <string.h>

static inline int
mpq_text_begins(const char *s, const char *with)
{
    return strncmp(s, with, strlen(with)) == 0;
}

static inline int
mpq_text_ends(const char *s, const char *with)
{
    const size_t n = strlen(s), m = strlen(with);

    return n >= m && strcmp(s + n - m, with) == 0;
}

#endif
