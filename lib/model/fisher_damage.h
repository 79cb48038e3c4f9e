/*
 * What it costs to round one matrix alone, in nats of divergence for each token of the
 * text, predicted from gradients (fisher.h) or, of the unembedding, measured.
 */
#ifndef MPQ_MODEL_FISHER_DAMAGE_H
#define MPQ_MODEL_FISHER_DAMAGE_H

#include "model/fisher.h"
#include "quant/codec.h"

struct mpq_fisher_damage {
    double mean, se; /* of the weights; NAN: the type does not fit the rows */
    double inputs;   /* and of rounding what they are multiplied with to 8 bits; 0 for
                        types for which no runtime does, and for rows looked up */
};

/* How it is rounded: row by row. */
struct mpq_fisher_rounding {
    const struct mpq_type *types; /* [n_types], all can be written */
    size_t n_types;
    enum mpq_effort effort;
    unsigned n_threads;
    int int8; /* predict `inputs`, else 0 */
};

/* A linear of a layer: F with its Gram matrix, whose diagonal weighs the columns. Into
 * out[n_types]. The standard error is that of a ratio, between the N_SEQS sequences
 * that have any of LABELS[n_seqs], as far as their share in the trace of the Gram
 * matrix tells it. */
MPQ_MUST_CHECK int
mpq_fisher_damage(struct mpq_fisher_damage *out, const struct mpq_fisher *f,
                  const size_t *labels, size_t n_seqs, const struct mpq_source *s,
                  const struct mpq_fisher_rounding *how, struct mpq_err *err);

/* token_embd as the embedding: TAP is that of mpq_backward_embedding, for the tokens of
 * Q. Columns weigh by IMPORTANCE[n_embd], or alike (NULL). Occurrences of a token in a
 * sequence count together, since their error is the same. */
MPQ_MUST_CHECK int
mpq_fisher_damage_embedding(struct mpq_fisher_damage *out,
                            const struct mpq_grad_tap *tap, const struct mpq_seqs *q,
                            const float *importance, float embed_scale, size_t n_labels,
                            const struct mpq_source *s,
                            const struct mpq_fisher_rounding *how, struct mpq_err *err);

/* The unembedding (output, or token_embd in a tied model): the divergence itself, from
 * the last states X of F, at N_PLACES tokens of all, evenly chosen, at most. Its
 * columns weigh by the mean squares of what it is given at all tokens, which go to
 * importance[n_embd] (NULL is fine). */
MPQ_MUST_CHECK int
mpq_fisher_damage_output(struct mpq_fisher_damage *out, struct mpq_forward *f,
                         const struct mpq_states *x, size_t n_places, float *importance,
                         const struct mpq_fisher_rounding *how, struct mpq_err *err);

#endif
