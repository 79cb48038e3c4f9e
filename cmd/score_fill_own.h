/* Inside of mpq-score --fill: the pairs of units and types of both tables. */
#ifndef MPQ_CMD_SCORE_FILL_OWN_H
#define MPQ_CMD_SCORE_FILL_OWN_H

#include "score_own.h"

#include "method/fill.h"

/* Names told apart: name number id[i] is the i-th that was put in. */
struct fill_set {
    const char **names; /* [n] */
    size_t n, *id;
};

struct fill_job {
    struct score_tables probes, cheap;
    struct mpq_pairs probe, all;
    struct fill_set units, types, families;
    double *coarse, *low, *delta, *delta_se, *damage, *se, *inputs;
    int has_inputs; /* of low, apart from them: what probes of weights do not see */
    struct mpq_fill_family *fits;
    struct score_scales scales;
};

/* Reads NAMES[n], the probes, and the table of --fill into *J, the caller's to free, even
 * at -1: rows, sets, and the arrays but for damage and se, which are NAN. */
MPQ_MUST_CHECK int
fill_read(struct fill_job *j, char **names, size_t n, struct mpq_err *err);
void fill_free(struct fill_job *j);
/* The rows of the cheap table, then those of the probe. */
const struct mpq_pair *fill_row(const struct fill_job *j, size_t i);
/* Where row I's pair stands in the arrays. */
size_t fill_pair(const struct fill_job *j, size_t i);
/* A row of the probe whose pair the table of --fill lacks: it is written behind the
 * others. */
int fill_is_appended(const struct fill_job *j, size_t i);

#endif
