/*
 * What was asked is what is in the file: a finished file, or any other model, is held
 * against the types that a plan wants.
 */
#ifndef MPQ_MODEL_PACKCHECK_H
#define MPQ_MODEL_PACKCHECK_H

#include "model/packfile.h"

/* Reads back the header of what was written to OUT as F (before mpq_out_close) and
 * holds every tensor's name, shape and type against it, and the size of the whole. Of a
 * pipe the header is read as it was sent. -1 names the first tensor that differs. */
MPQ_MUST_CHECK int mpq_packcheck_written(const struct mpq_packfile *f,
                                         struct mpq_out *out, struct mpq_err *err);

struct mpq_packcheck {
    size_t n_wrong;
    const struct mpq_weight *first; /* the first in model order; NULL: none */
    struct mpq_type wanted, found;  /* of it */
};
/* Holds the matrices of S against TYPES[i], the type wanted for weight i of S. Of a
 * fake container the types are those that its matrices were rounded to. */
void mpq_packcheck_types(const struct mpq_source *s, const struct mpq_type *types,
                         struct mpq_packcheck *out);

#endif
