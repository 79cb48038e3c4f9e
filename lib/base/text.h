/* Questions about C strings and text. */
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

/* isspace in the C locale. */
static inline int
mpq_text_is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* How much of TEXT[n] stands before the blanks at its end. */
static inline size_t
mpq_text_trim(const char *text, size_t n)
{
    while (n > 0 && mpq_text_is_blank(text[n - 1]))
        n--;
    return n;
}

#endif
