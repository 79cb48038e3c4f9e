/* Text of any kind as one cell of a table. */
#ifndef MPQ_FMT_ESCAPE_H
#define MPQ_FMT_ESCAPE_H

#include "base/buf.h"

/* Appends S[n] to OUT: tab, newline, carriage return and backslash as \t \n \r \\,
 * other control bytes and those that are no UTF-8 as \xHH. */
void mpq_escape(struct mpq_buf *out, const char *s, size_t n);

#endif
