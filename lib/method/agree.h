/* Do two rankings agree? Kendall's tau of scores, damages or probes, pair by pair. */
#ifndef MPQ_METHOD_AGREE_H
#define MPQ_METHOD_AGREE_H

#include "method/pairs.h"
#include "num/kendall.h"

struct mpq_agree {
    const char *type; /* the units as this type; NULL: all pairs, or scores */
    size_t n;
    struct mpq_kendall tau;
};

enum { MPQ_MAX_AGREE = 256 };
/* A row for each type, and one over all pairs when there are several; for two tables of
 * scores one row. Scores beside a table with types are compared with each type in turn.
 * rows[MPQ_MAX_AGREE]. -1 when one side lacks what the other has. */
MPQ_MUST_CHECK int mpq_agree(const struct mpq_pairs *a, const struct mpq_pairs *b,
                             struct mpq_agree *rows, size_t *n, struct mpq_err *err);

#endif
