/* What the tune*.c files share; nobody else includes this. */
#ifndef MPQ_MODEL_TUNE_OWN_H
#define MPQ_MODEL_TUNE_OWN_H

#include "model/tune.h"

/* A run under way. */
struct mpq_tune {
    const struct mpq_tune_options *o;
    const struct mpq_packfile *file;
    const struct mpq_source *source;
    const struct mpq_net *net; /* where the tuner needs it */
    struct mpq_store *store;
    unsigned char *held;  /* [file->n] to be kept in the store */
    unsigned char *ready; /* [file->n] its rows are there */
    float **scratch;      /* [threads] */
    size_t scratch_room;  /* floats */
};

struct mpq_tuner {
    const char *name;
    int sees_inputs; /* its layer() is given the layer's inputs */
    int needs_net;
    int sees_quantized; /* with the layers below as they are in the store */
    int takes_weighed;  /* inputs of Hessians whose tokens weigh by gradients */
    /* Which pieces it fills beside the matrices that are rounded; NULL: none. */
    int (*holds)(const struct mpq_piece *p);
    /* Fills the store with the pieces of LAYER. IN[n]: what its matrices are given; one
     * of them without tokens is not known. */
    int (*layer)(struct mpq_tune *t, size_t layer, const struct mpq_input *in, size_t n,
                 struct mpq_err *err);
};

/* Can the tuner do with the Hessians that it is given? */
MPQ_MUST_CHECK int
mpq_tune_check(const struct mpq_tune_options *options, struct mpq_err *err);
/* The piece of W that is to be kept, or NULL. */
const struct mpq_piece *
mpq_tune_piece(const struct mpq_tune *t, const struct mpq_weight *w);
/* Its rows in the store; their length. */
unsigned char *mpq_tune_rows(const struct mpq_tune *t, const struct mpq_piece *p);
size_t mpq_tune_row_bytes(const struct mpq_piece *p);
/* Takes a piece from the store that an earlier run has finished. */
MPQ_MUST_CHECK int
mpq_tune_take(struct mpq_tune *t, const struct mpq_piece *p, struct mpq_err *err);
/* Tells what became of a piece, which is ready now. */
void mpq_tune_tell(struct mpq_tune *t, const struct mpq_piece *p,
                   const struct mpq_tuned *told);
/* An mpq_fill_fn, CTX the mpq_tune: what is ready, as the store has it. */
int
mpq_tune_fill(void *ctx, const struct mpq_weight *w, float *dst, struct mpq_err *err);
/* N floats of scratch memory for each thread. */
MPQ_MUST_CHECK int mpq_tune_scratch(struct mpq_tune *t, size_t n, struct mpq_err *err);

/* Of a varied type: puts the map of bits at the beginning of each row of P in the
 * store; arguments as those of mpq_salience_map. Of others, nothing. */
MPQ_MUST_CHECK int
mpq_tune_map(struct mpq_tune *t, const struct mpq_piece *p, const double *inverse,
             const struct mpq_importance *importance, struct mpq_err *err);
/* Encodes all rows of P one by one, weighed by what the run has for it. */
MPQ_MUST_CHECK int
mpq_tune_plain(struct mpq_tune *t, const struct mpq_piece *p, struct mpq_err *err);
/* The same for every piece of LAYER (SIZE_MAX: of none) that is not ready yet, which
 * are told as HOW. */
MPQ_MUST_CHECK int mpq_tune_rest(struct mpq_tune *t, size_t layer,
                                 enum mpq_tuned_how how, struct mpq_err *err);

#endif
