/* Inside of the evaluation. */
#ifndef MPQ_METHOD_EVAL_OWN_H
#define MPQ_METHOD_EVAL_OWN_H

#include "method/eval.h"

/* Both models' hidden states of Q, then the scores of its rows. */
MPQ_MUST_CHECK int
mpq_eval_group_run(const struct mpq_eval *e, const struct mpq_seqs *q,
                   const struct mpq_eval_rows *rows, const struct mpq_eval_scores *out,
                   struct mpq_err *err);

#endif
