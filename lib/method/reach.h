/*
 * How far each block moves what passes through it, as two papers measure it:
 *
 *   lim    mean over the tokens of 1 - cos(a block's input, its output). (Dumitru and
 *          others, arXiv 2406.17415, rank layers by the cosine with its sign turned.)
 *   lsaq   1 - Jaccard index of the ten likeliest tokens that the hidden state before
 *          and after the block projects to, through the last norm and the unembedding;
 *          mean over some tokens. (LSAQ, arXiv 2412.18135.)
 *
 * Both are 0 for a block that does nothing.
 */
#ifndef MPQ_METHOD_REACH_H
#define MPQ_METHOD_REACH_H

#include "model/forward.h"

enum {
    MPQ_REACH_TOP = 10, /* tokens that are compared */
    MPQ_REACH_PLACES =
        64, /* last tokens of so many sequences, evenly chosen, at most */
};

struct mpq_reach; /* opaque; in memory is a copy of the hidden states */

/* For layers [first, last] of F, which Q passes; both are borrowed. States beyond
 * MAX_BYTES go to a temporary file. */
MPQ_MUST_CHECK int
mpq_reach_new(struct mpq_reach **out, struct mpq_forward *f, const struct mpq_seqs *q,
              size_t first, size_t last, size_t max_bytes, unsigned n_threads,
              struct mpq_err *err);
void mpq_reach_free(struct mpq_reach *r);
/* Shows the states X that have passed DEPTH layers (0: the embeddings). To be called
 * for each depth from FIRST to LAST + 1, in order; others are passed over. */
MPQ_MUST_CHECK int mpq_reach_see(struct mpq_reach *r, size_t depth,
                                 const struct mpq_states *x, struct mpq_err *err);
/* After the last: the projections, of all depths at once, so that the unembedding is
 * decoded once. */
MPQ_MUST_CHECK int mpq_reach_project(struct mpq_reach *r, struct mpq_err *err);
/* The figures of LAYER, first <= LAYER <= last. The same, to the bit, for every number
 * of threads. */
double mpq_reach_lim(const struct mpq_reach *r, size_t layer);
double mpq_reach_lsaq(const struct mpq_reach *r, size_t layer);

#endif
