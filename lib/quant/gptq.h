/*
 * GPTQ (arXiv 2210.17323): columns are rounded one after another, and the error of each
 * is fed to those still to come, so that the output of the layer changes least: the
 * loss is tr((W - Q) H (W - Q)^T), H = sum x x^T over the inputs x. Here onto any grid
 * that an encoder of the project can lay: a block's scales are searched when its turn
 * comes, from the weights with all feedback so far and with the weight that the loss
 * gives each column, 1 / U_jj^2 for H^-1 = U^T U; then its codes are chosen one by one.
 * In the end codes and scales are moved again, with the whole H (gptq_polish.c).
 */
#ifndef MPQ_QUANT_GPTQ_H
#define MPQ_QUANT_GPTQ_H

#include "quant/codec.h"

#include <stddef.h>

struct mpq_gptq; /* what all rows of all matrices with one input share; read-only once
                    made: safe to use from many threads */

enum { MPQ_GPTQ_ROWS = 64 }; /* rows that are worked on side by side */

/* The damping where none is asked for, best for some ten thousand tokens. */
#define MPQ_GPTQ_DAMPING 0.2

struct mpq_gptq_options {
    double damping;  /* times H's diagonal, added to it, with a little of its mean */
    int by_salience; /* blocks, and columns within them, of the greatest H_jj first */
    enum mpq_effort effort;
};

/*
 * Prepares for blocks of type T. h[cols][cols] is symmetric, its upper triangle read;
 * borrowed for the call. Columns that no input reaches (H_jj = 0) are rounded to what
 * is nearest and feed nothing; *n_dead counts them (NULL is fine). Where H is singular
 * in spite of the damping, or its factor beyond float, that is raised tenfold until it
 * is not; what was used is in *damping (NULL is fine). The scale of H does not matter.
 * -1: no memory, H holds NaN or infinity, or is not semidefinite at all.
 */
MPQ_MUST_CHECK int
mpq_gptq_new(struct mpq_gptq **out, const double *h, size_t cols, struct mpq_type t,
             const struct mpq_gptq_options *options, size_t *n_dead, double *damping,
             struct mpq_err *err);
void mpq_gptq_free(struct mpq_gptq *g);

/* The diagonal of the damped H's inverse, d[cols]. */
void mpq_gptq_inverse_diagonal(const struct mpq_gptq *g, double *d);

/* Floats of scratch memory for a call of mpq_gptq_encode. */
size_t mpq_gptq_scratch(const struct mpq_gptq *g);
/* Encodes w[n][cols], n <= MPQ_GPTQ_ROWS, finite, into N rows at DST, where for a
 * varied intB each has the same map already. PULL[n][cols], or NULL: sum z x^T, where z
 * is what the outputs should be beyond those of w; what of it weights can give is aimed
 * at. The loss of the rows is added to *loss (NULL is fine). */
void mpq_gptq_encode(const struct mpq_gptq *g, const float *w, const float *pull,
                     size_t n, unsigned char *dst, float *scratch, double *loss);

#endif
