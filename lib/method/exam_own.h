/* The steps of an exam. */
#ifndef MPQ_METHOD_EXAM_OWN_H
#define MPQ_METHOD_EXAM_OWN_H

#include "method/exam.h"

/* What the models are asked beside prompts; no item where there is nothing. */
struct mpq_eval_queries mpq_exam_queries(const struct mpq_exam *x);
/* Room for the marks of one or two sides; the caller's to free, also on failure. */
MPQ_MUST_CHECK int mpq_marks_new(struct mpq_marks *m, const struct mpq_exam *x,
                                 int sides, struct mpq_err *err);
/* The marks of side S from the sums over all queries' tokens of ln p and, unless it is
 * NULL, of the divergence. */
void mpq_exam_mark(struct mpq_marks *m, const struct mpq_exam *x, int s,
                   const double *logp, const double *kld);
/* Those of what E's model (SIDE 0) or reference (1) writes. */
MPQ_MUST_CHECK int
mpq_exam_write(struct mpq_marks *m, const struct mpq_exam *x, const struct mpq_eval *e,
               const struct mpq_tokenizer *tok, int side, struct mpq_err *err);

#endif
