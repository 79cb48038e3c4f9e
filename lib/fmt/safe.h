/* Which names a file may bring along: they end up in tables, messages and paths. */
#ifndef MPQ_FMT_SAFE_H
#define MPQ_FMT_SAFE_H

#include <stddef.h>

/* Longest tensor name that is read. (ggml: 63; safetensors: no limit.) */
enum { MPQ_NAME_MAX = 255 };

/* What is wrong with S[n] as the name of a tensor: "is empty", "has a tab", "is not
 * UTF-8" ...; NULL when nothing is. Blanks are refused: names are words in tables. */
const char *mpq_safe_name(const char *s, size_t n);
/* The same for a metadata key: blanks are fine. */
const char *mpq_safe_key(const char *s, size_t n);
/* Length of the UTF-8 sequence at s[n], n > 0, or 0 when there is none: overlong forms,
 * surrogates and what lies past U+10FFFF are none (RFC 3629, section 4). */
size_t mpq_utf8_length(const unsigned char *s, size_t n);

#endif
