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

/* Bytes of the byte order mark that some editors write before TEXT[n]: 3, or 0. */
static inline size_t
mpq_text_bom(const char *text, size_t n)
{
    return n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
}

#endif
