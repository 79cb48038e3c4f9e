/* Holding generated text against the right answer. */
#ifndef MPQ_METHOD_MATCH_H
#define MPQ_METHOD_MATCH_H

#include "base/buf.h"
#include "model/task_list.h"

/* What the answers of F look like: text where items have aliases, a number where every
 * gold answer is one, a word where every gold answer is the whole reference answer and
 * has no blank, else text. */
enum mpq_match mpq_match_guess(const struct mpq_task_file *f);

/* How the answers of a task are taken from what is generated. */
struct mpq_matcher; /* opaque */

/* For task T over F. On success *out is the caller's to free; T is borrowed. */
MPQ_MUST_CHECK int mpq_matcher_new(struct mpq_matcher **out, const struct mpq_task *t,
                                   const struct mpq_task_file *f, struct mpq_err *err);
void mpq_matcher_free(struct mpq_matcher *m);
/* Tokens to be generated at most. */
size_t mpq_matcher_max_new(const struct mpq_matcher *m);
/* Where TEXT[n] is over: the offset of the first stop string (a word: of what follows
 * it), N when it may go on. */
size_t mpq_matcher_stop(const struct mpq_matcher *m, const char *text, size_t n);
/* Is TEXT[n], cut at its stop, the right answer to ITEM? 1 or 0; -1 on error. */
MPQ_MUST_CHECK int
mpq_matcher_is(const struct mpq_matcher *m, const char *text, size_t n,
               const struct mpq_task_item *item, struct mpq_err *err);

/* The last number of TEXT[n] without its commas: "-1,234.50" gives "-1234.50"; appended
 * to OUT. 0 when there is none. */
int mpq_match_number(const char *text, size_t n, struct mpq_buf *out);
/* TEXT[n] in lower case (Latin, Greek, Cyrillic), without ASCII punctuation, runs of
 * blanks as one, none at the ends; appended to OUT. */
void mpq_match_normalize(const char *text, size_t n, struct mpq_buf *out);

#endif
