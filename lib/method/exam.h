/*
 * A task made ready for a model: prompts as tokens, then what the model, and beside it
 * a reference model, make of each item.
 *
 * Multiple choice follows lm-evaluation-harness: context and continuation are tokenized
 * as one text, which is parted at the number of tokens that the context has alone;
 * blanks at the end of a context count as the continuation's. The choice with the
 * greatest sum of ln p is picked (acc), or that with the greatest sum divided by the
 * bytes of the continuation without the blank that it begins with (acc_norm); of equals
 * the first. Generation is greedy.
 */
#ifndef MPQ_METHOD_EXAM_H
#define MPQ_METHOD_EXAM_H

#include "method/eval.h"
#include "method/match.h"
#include "model/tokenizer.h"

struct mpq_exam {
    const struct mpq_task *task; /* borrowed */
    unsigned metrics;            /* MPQ_TASK_*: those that are measured */
    struct mpq_task_file file;
    struct mpq_matcher *matcher; /* generation only */
    struct mpq_tokens tokens;
    struct mpq_eval_query *queries; /* the choices of each item; its answer */
    size_t *first;                  /* [n + 1] queries of an item */
    size_t *bytes;                  /* of each query's continuation, for acc_norm */
    struct mpq_tokens prompts;      /* generation */
    size_t *prompt_start;           /* [n + 1] */
    size_t n_queries;
    size_t n_cut; /* items whose context was cut at its beginning */
};

/* What came of it. [0]: the model, [1]: the reference; NULL where it is not measured.
 */
struct mpq_marks {
    double *acc[2], *acc_norm[2], *em[2]; /* [n] 0 or 1 */
    double *loss[2];                      /* [n] nats a token of the right answer */
    double *kld[2]; /* [n] divergence from the reference, nats a token of it; [1]: what
                       mpq_probe compares with */
    size_t *pick[2], *pick_norm[2]; /* [n] index of a choice */
    char **text[2];                 /* [n] generated, cut at its stop */
    size_t *n_tokens;               /* [n] tokens of the right answer */
    size_t n;
};

/* Tokenizes task T. FILE holds its items and is taken over, also on failure; SHOTS
 * those that are put before each as solved examples (NULL: none). WANTED: MPQ_TASK_*
 * bits; of the task's metrics (by default all of its kind) only these are measured.
 * FLAGS: MPQ_TOKENS_PARSE_SPECIAL or 0. N_CTX: of the model, 0 when unknown. On success
 * *x is the caller's to free. */
MPQ_MUST_CHECK int
mpq_exam_new(struct mpq_exam *x, const struct mpq_task *t, struct mpq_task_file *file,
             const struct mpq_task_file *shots, const struct mpq_tokenizer *tok,
             unsigned flags, unsigned wanted, size_t n_ctx, struct mpq_err *err);
void mpq_exam_free(struct mpq_exam *x);
/* Tokens that pass one model, those that it generates left out. */
uint64_t mpq_exam_tokens(const struct mpq_exam *x);
/* A checksum of what is asked and what is right: tokens, and golds. */
uint64_t mpq_exam_sum(const struct mpq_exam *x);
/* On success *marks is the caller's to free. */
MPQ_MUST_CHECK int mpq_exam_run(struct mpq_marks *marks, const struct mpq_exam *x,
                                const struct mpq_eval *e,
                                const struct mpq_tokenizer *tok, struct mpq_err *err);
void mpq_marks_free(struct mpq_marks *m);

#endif
