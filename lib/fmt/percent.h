/* Percent coding, in tables and in the metadata of containers: a byte as %XX. */
#ifndef MPQ_FMT_PERCENT_H
#define MPQ_FMT_PERCENT_H

#include "base/buf.h"

/* Appends C as %xx. */
void mpq_percent_add(struct mpq_buf *out, unsigned char c);
/* Appends TEXT as one word: blanks, % and control bytes as %xx. */
void mpq_percent_add_word(struct mpq_buf *out, const char *text);
/* The byte that S[n], which begins with %, stands for; -1 when two hexadecimal digits
 * do not follow. */
int mpq_percent_byte(const char *s, size_t n);
/* Decodes TEXT in place; a % that begins no %XX stays, %00 ends the text. */
void mpq_percent_decode(char *text);

#endif
