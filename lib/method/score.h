/* From stats to scores: a row for each layer or tensor, by one of the methods. */
#ifndef MPQ_METHOD_SCORE_H
#define MPQ_METHOD_SCORE_H

#include "method/statset.h"

enum mpq_score_method {
    MPQ_SCORE_NSDS,
    MPQ_SCORE_NV,
    MPQ_SCORE_SE,
    MPQ_SCORE_MSE,
    MPQ_SCORE_ZD,
    MPQ_SCORE_EWQ,
    MPQ_SCORE_KURTBOOST,
    MPQ_SCORE_LIM,
    MPQ_SCORE_LSAQ,
};

struct mpq_score_how {
    enum mpq_score_method method;
    int official;  /* nsds, nv, se: the variant */
    int bits;      /* mse: 2, 3, 4 or 8 */
    int by_tensor; /* rows are tensors, else layers */
};

enum { MPQ_SCORE_DETAILS = 13 };

struct mpq_score {
    char *unit;
    int layer;
    double score, params;
    double detail[MPQ_SCORE_DETAILS];
};

struct mpq_scores {
    struct mpq_score *rows; /* in model order */
    size_t n;
    const char *const *columns; /* names of the details */
    size_t n_details;
};

/*
 * Layers are scored from the linear weights of their blocks: mse and ewq by the mean
 * over all weights, zd and kurtboost by the mean over the tensors, nsds, nv and se from
 * the components. By tensor, nsds, nv and se give a tensor what its component comes to
 * (q and k: QK, v and o: OV; a fused tensor the mean of its parts'); the others are
 * taken of the tensor alone and serve the embedding and the output, too; but lim and
 * lsaq are a layer's, and by tensor each of its linear weights has them. A stat that is
 * missing is an error that names it. On success *out is the caller's to free.
 */
MPQ_MUST_CHECK int mpq_score_run(struct mpq_scores *out, const struct mpq_statset *s,
                                 const struct mpq_score_how *how, struct mpq_err *err);
void mpq_scores_free(struct mpq_scores *s);

#endif
