/*
 * Regular expressions over UTF-8 text, in the dialect in which tokenizers write them
 * (Oniguruma's Ruby syntax, as in a tokenizer.json): Perl's, and
 *
 *   \s \S     White_Space of Unicode (Perl adds U+180E); \w letters, marks, decimal
 *             digits and connectors; \h a hexadecimal digit
 *   [a[bc]]   a set within a set; sets that are negated or cut (&&) are refused
 *
 * Unicode properties are those of the PCRE2 library that is installed.
 */
#ifndef MPQ_FMT_REGEX_H
#define MPQ_FMT_REGEX_H

#include "base/err.h"

#include <stddef.h>

struct mpq_regex;      /* compiled; read-only: safe to use from many threads */
struct mpq_regex_work; /* what a search needs to write to: one for each thread */

enum { MPQ_REGEX_LINES = 1 }; /* ^ and $ match at every line, not only at the ends */

/* Compiles PATTERN[n]. NAME is for messages. On success *out is the caller's to free.
 */
MPQ_MUST_CHECK int mpq_regex_new(struct mpq_regex **out, const char *pattern, size_t n,
                                 unsigned flags, const char *name, struct mpq_err *err);
void mpq_regex_free(struct mpq_regex *r);
/* NULL when out of memory. */
struct mpq_regex_work *mpq_regex_work_new(void);
void mpq_regex_work_free(struct mpq_regex_work *w);

/* The first match in text[n], which must be valid UTF-8, at FROM (the start of a
 * character) or later: 1 and text[*start, *end), perhaps empty; 0 when there is none;
 * -1 when the search takes too long. TEXT is a whole: nothing around it is looked at.
 */
MPQ_MUST_CHECK int
mpq_regex_next(const struct mpq_regex *r, struct mpq_regex_work *w, const char *text,
               size_t n, size_t from, size_t *start, size_t *end, struct mpq_err *err);

#endif
