/*
 * The hidden states of a model twice, on their way through its layers side by side: as
 * the model has them, and as they become when the matrices met so far are those in the
 * store. Before each of the four inputs of a layer the quantizer is told what that
 * input is now, and how far it has drifted from what it should be, so that it can bring
 * back with the next matrices what the ones before have lost (arXiv 2504.02692).
 */
#ifndef MPQ_MODEL_TUNE_WALK_H
#define MPQ_MODEL_TUNE_WALK_H

#include "model/tune_own.h"

struct mpq_walk; /* opaque */

MPQ_MUST_CHECK int mpq_walk_new(struct mpq_walk **out, struct mpq_tune *t,
                                const struct mpq_seqs *q, struct mpq_err *err);
void mpq_walk_free(struct mpq_walk *w);
/* Before the first layer: in a model whose token_embd is the unembedding too, that is
 * quantized (unless READY) by the last states of the model as it was; then the states
 * as quantized begin with what token_embd will be. */
MPQ_MUST_CHECK int mpq_walk_begin(struct mpq_walk *w, int ready, struct mpq_err *err);
/* After the last: an output matrix is handed to the tuner. */
MPQ_MUST_CHECK int mpq_walk_end(struct mpq_walk *w, struct mpq_err *err);
/* Takes the states through LAYER. Its matrices are handed to the tuner, an input at a
 * time, unless READY: they are in the store. */
MPQ_MUST_CHECK int
mpq_walk_layer(struct mpq_walk *w, size_t layer, int ready, struct mpq_err *err);

#endif
