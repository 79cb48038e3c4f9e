/*
 * Softmax of a vocabulary that comes a tile at a time: the logarithm of the sum of
 * exponentials, the divergence of two such distributions and the largest values, all
 * with memory for one number or a few, sums in double.
 */
#ifndef MPQ_NUM_LOGSUM_H
#define MPQ_NUM_LOGSUM_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

/* Of the values seen so far. Start with mpq_logsum_start. */
struct mpq_logsum {
    double sum;  /* of exp(x - top) */
    float top;   /* the largest, -INFINITY before the first */
    uint32_t at; /* its id: the lowest of equals */
    int unsound; /* a value was NaN or infinite */
};

void mpq_logsum_start(struct mpq_logsum *s);
/* Adds x[n], the values of the ids from ID on. */
void mpq_logsum_add(struct mpq_logsum *s, const float *x, size_t n, uint32_t id);
/* ln of the sum of exp(x); NaN when a value was NaN or infinite. */
double mpq_logsum_value(const struct mpq_logsum *s);

/*
 * KL divergence from p = softmax(ref) to q = softmax(x), in one pass:
 *
 *   KL(p || q) = sum p (ref - x) + lse(x) - lse(ref)
 */
struct mpq_divergence {
    struct mpq_logsum x, ref;
    double cross; /* sum of exp(ref - ref.top) (ref - x) */
};

void mpq_divergence_start(struct mpq_divergence *d);
void mpq_divergence_add(struct mpq_divergence *d, const float *x, const float *ref,
                        size_t n, uint32_t id);
/* In nats, >= 0 (rounding below 0 becomes 0); NaN as above. */
double mpq_divergence_value(const struct mpq_divergence *d);

/* The K largest values with their ids, largest first, of equals the lower id first. N
 * is how many there are so far, at most k; values and ids belong to the caller. */
struct mpq_topk {
    float *values; /* [k] */
    uint32_t *ids; /* [k] */
    size_t k, n;
};
/* Adds x[n], the values of the ids from ID on, all above those seen before. */
void mpq_topk_add(struct mpq_topk *t, const float *x, size_t n, uint32_t id);

/*
 * A lower bound of KL(p || q) from the K largest of p: the rest of the vocabulary taken
 * as one outcome (by the log sum inequality that can only lower it).
 *
 *   sum over k: p (ln p - ln q) + t (ln t - ln(1 - sum q)),  t the rest of p
 *
 * LOGP[k], LOGQ[k] are ln p and ln q; TAIL is t.
 */
double
mpq_divergence_topk(const float *logp, const double *logq, size_t k, double tail);

#endif
