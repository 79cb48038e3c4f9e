/*
 * Log-probabilities that a model, and beside it a reference model, give to tokens:
 * the forward pass over many sequences, then the vocabulary tile by tile, of which only
 * sums are kept. What is asked for is worked off in groups whose hidden states fit into
 * a given number of bytes; the groups, and so the results, do not depend on the number
 * of threads.
 */
#ifndef MPQ_METHOD_EVAL_H
#define MPQ_METHOD_EVAL_H

#include "method/ppl.h"
#include "model/forward.h"
#include "model/reference.h"

struct mpq_eval {
    struct mpq_forward *model, *ref; /* ref: NULL when there is none */
    size_t max_bytes; /* of hidden states of one model, at a time; 0: 512 MiB */
    /* Told of N more tokens having passed a model, or NULL; any thread. */
    void (*progress)(void *ctx, uint64_t n);
    void *ctx;
};

/* Tokens to be scored: TARGETS[first[i]] to [first[i + 1]) after row ROWS[i] of the
 * hidden states; first[0] is 0 unless these are the last rows of more. */
struct mpq_eval_rows {
    size_t n;
    const size_t *rows;      /* [n] */
    const size_t *first;     /* [n + 1] */
    const uint32_t *targets; /* [first[n]] */
};

/* Results; what is NULL is not computed. Of rows there are n, of targets first[n]. */
struct mpq_eval_scores {
    double *logp, *logp_ref;       /* [targets] */
    double *kld;                   /* [n] from the reference to the model, in nats */
    unsigned char *same;           /* [n] 1: both have the same likeliest token */
    struct mpq_saved *save;        /* [n] filled in from MODEL's side */
    const struct mpq_saved *known; /* [n] in the place of a reference model */
    float *keep;                   /* [n][n_vocab] MODEL's logits, to be ... */
    const float *kept;             /* ... the reference of another run */
};

/* Scores rows of X, and of X_REF where there is a reference model (else NULL). -1 also
 * when logits are NaN or infinite. */
MPQ_MUST_CHECK int
mpq_eval_rows(const struct mpq_eval *e, const struct mpq_states *x,
              const struct mpq_states *x_ref, const struct mpq_eval_rows *q,
              const struct mpq_eval_scores *out, struct mpq_err *err);

/* The hidden states of Q behind the last layer of F, in *x, the caller's to free. */
MPQ_MUST_CHECK int
mpq_eval_pass(const struct mpq_eval *e, struct mpq_forward *f, const struct mpq_seqs *q,
              struct mpq_states *x, struct mpq_err *err);
/* Tokens that a group may have. */
size_t mpq_eval_group(const struct mpq_eval *e);

/* A text: scores of all n_chunks * n_scored tokens of P, in the order of the text. BOS:
 * see mpq_ppl_chunk. OUT's arrays (and K's of its saved references) have as many. */
MPQ_MUST_CHECK int
mpq_eval_text(const struct mpq_eval *e, const struct mpq_ppl *p, const uint32_t *tokens,
              int64_t bos, const struct mpq_eval_scores *out, struct mpq_err *err);

/* Continuations: tokens [start, end) of the one array, of which those from SCORED on
 * count. Those of one item begin alike and share that part's work. */
struct mpq_eval_query {
    size_t start, scored, end; /* start < scored < end */
};
struct mpq_eval_queries {
    size_t n_items;
    const size_t *first;                  /* [n_items + 1] */
    const struct mpq_eval_query *queries; /* [first[n_items]] */
    const uint32_t *tokens;
};
/* Sums over the tokens of each query, [first[n_items]]. */
struct mpq_eval_sums {
    double *logp;     /* ln p */
    double *logp_ref; /* the reference model's; unused without one */
    double *kld;      /* divergence from it, where each token is predicted; or NULL */
};
MPQ_MUST_CHECK int
mpq_eval_continuations(const struct mpq_eval *e, const struct mpq_eval_queries *q,
                       const struct mpq_eval_sums *out, struct mpq_err *err);
/* Tokens that pass one model for them. */
uint64_t mpq_eval_continuations_tokens(const struct mpq_eval_queries *q);

#endif
