/* Inside of the evaluation. */
#ifndef MPQ_METHOD_EVAL_OWN_H
#define MPQ_METHOD_EVAL_OWN_H

#include "method/eval.h"

/* Sequences, and what of them is scored. */
struct mpq_eval_work {
    size_t n_seqs, n_rows;
    uint32_t *tokens;
    size_t *start, *parent, *shared; /* as in struct mpq_seqs */
    size_t *rows, *first;            /* as in struct mpq_eval_rows */
    uint32_t *targets;
    size_t *query; /* [targets] whose it is, counted in the whole; NULL for a text */
};

/* Chunks [c, c + n) of a text, in its order. */
MPQ_MUST_CHECK int mpq_eval_work_text(struct mpq_eval_work *w, const struct mpq_ppl *p,
                                      const uint32_t *tokens, int64_t bos, size_t c,
                                      size_t n, struct mpq_err *err);
/* Items [item, end). */
MPQ_MUST_CHECK int
mpq_eval_work_items(struct mpq_eval_work *w, const struct mpq_eval_queries *q,
                    size_t item, size_t end, struct mpq_err *err);
void mpq_eval_work_free(struct mpq_eval_work *w); /* and makes it empty */
/* Adds to SUMS, by queries: of X, a figure for each target, or for each row. */
void
mpq_eval_work_add_targets(const struct mpq_eval_work *w, const double *x, double *sums);
void
mpq_eval_work_add_rows(const struct mpq_eval_work *w, const double *x, double *sums);
struct mpq_seqs mpq_eval_work_seqs(const struct mpq_eval_work *w);
struct mpq_eval_rows mpq_eval_work_rows(const struct mpq_eval_work *w);

/* Both models' hidden states of Q, then the scores of its rows. */
MPQ_MUST_CHECK int
mpq_eval_group_run(const struct mpq_eval *e, const struct mpq_seqs *q,
                   const struct mpq_eval_rows *rows, const struct mpq_eval_scores *out,
                   struct mpq_err *err);

#endif
