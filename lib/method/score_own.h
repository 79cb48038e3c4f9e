/* Shared by the files of the scores. */
#ifndef MPQ_METHOD_SCORE_OWN_H
#define MPQ_METHOD_SCORE_OWN_H

#include "method/score.h"

/* Units of one layer: units [first, end) of a statset. */
struct mpq_stat_span {
    int layer;
    size_t first, end;
};
/* The layers of S, lowest first, [s->n_layers]; the caller's. NULL: no memory. */
struct mpq_stat_span *mpq_stat_spans(const struct mpq_statset *s);
/* A tensor (a unit with weights), not a component on paper? */
int mpq_stat_is_tensor(const struct mpq_stat_unit *u);
/* Adds a row; unit NULL is "blk.LAYER". NULL with *err set when memory ends. */
struct mpq_score *mpq_score_add(struct mpq_scores *out, const char *unit, int layer,
                                double params, struct mpq_err *err);

/* out->rows has room for all units. */
MPQ_MUST_CHECK int mpq_score_nsds(struct mpq_scores *out, const struct mpq_statset *s,
                                  const struct mpq_score_how *how, struct mpq_err *err);

#endif
