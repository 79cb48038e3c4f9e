/*
 * Quantizers that look at what a matrix is multiplied with: the codes of each layer are
 * chosen from the Gram matrices of its inputs, layer by layer, and kept in a store
 * until the file is written (pack.h).
 *
 *   gptq   rounding errors are fed on to columns still to come (quant/gptq.h), inputs
 *          are those of the model as it becomes (tune_walk.h)
 *   awq    columns are scaled before they are rounded, what feeds them takes the scales
 *          over (quant/awq.h); hidden states are those of the model as it was
 *   plain  each row by itself: nothing to look at
 *
 * Another one is a file tune_NAME.c with a struct mpq_tuner.
 */
#ifndef MPQ_MODEL_TUNE_H
#define MPQ_MODEL_TUNE_H

#include "model/activity.h"
#include "model/hessian.h"
#include "model/pack.h"
#include "model/store.h"

struct mpq_tuner;
extern const struct mpq_tuner mpq_tuner_gptq, mpq_tuner_awq, mpq_tuner_plain;

/* What became of a matrix, or of a vector that takes over scales. */
struct mpq_tuned {
    const struct mpq_weight *weight;
    enum mpq_tuned_how {
        MPQ_TUNED,           /* as the quantizer does */
        MPQ_TUNED_UNREACHED, /* rounded row by row: no token reached it, or its inputs
                                are not known */
        MPQ_TUNED_FOLDED,    /* no codes of its own: as it was, but for scales */
        MPQ_TUNED_UNSERVED,  /* rounded row by row: not with this type or model */
    } how;
    uint64_t n_tokens;
    size_t n_dead;  /* columns whose input was always 0 */
    double damping; /* used; more than asked for where the Hessian was singular */
    double loss;    /* mean squared error of its outputs, by the damped Hessian; awq: of
                       all that share its input, by the search */
};

struct mpq_tune_options {
    const struct mpq_tuner *tuner;
    enum mpq_effort effort;
    enum mpq_salience salience;              /* of varied types */
    mpq_encode_fn *encode;                   /* of what is rounded row by row */
    const struct mpq_importance *importance; /* for that; of each piece, or NULL */
    unsigned threads;
    double damping;
    /* Where inputs come from: a text, or Gram matrices made elsewhere. One of them,
     * neither for plain. */
    const struct mpq_seqs *seqs;
    struct mpq_hessian *hessian;
    const char *part;        /* a store with this name, or NULL */
    const char *description; /* for it: what decides the rows */
    /* Told of every matrix that this run rounds, in order, and of every layer that is
     * finished or was before; may be NULL. */
    void (*tuned)(void *ctx, const struct mpq_tuned *t);
    void (*progress)(void *ctx, uint64_t layers);
    void *ctx;
};

/* Fills a store with what the tuner makes of F's matrices. *out is the caller's to
 * free; S and F must outlive it. */
MPQ_MUST_CHECK int
mpq_tune(struct mpq_store **out, const struct mpq_packfile *f,
         const struct mpq_source *s, const struct mpq_tune_options *options,
         struct mpq_err *err);

/* Importance of the columns of F's matrices: mean squares of what the model, as it is,
 * gives them when it reads SEQS. IMPORTANCE[f->n], zeroed, gets values that live in
 * *memory, the caller's to free. Matrices outside the blocks have none. */
MPQ_MUST_CHECK int
mpq_tune_importance(struct mpq_importance *importance, float **memory,
                    const struct mpq_packfile *f, const struct mpq_source *s,
                    const struct mpq_seqs *seqs, unsigned threads, struct mpq_err *err);

/* mpq_hqq_encode_row for types that it serves, mpq_encode_row for others. */
void mpq_tune_hqq_row(struct mpq_type t, const float *src, const float *importance,
                      void *dst, size_t cols, enum mpq_effort effort);

#endif
