/* What the files of the imatrix reader share. */
#ifndef MPQ_QUANT_IMATRIX_OWN_H
#define MPQ_QUANT_IMATRIX_OWN_H

#include "quant/imatrix.h"

#include "base/index.h"
#include "base/pool.h"

struct mpq_imatrix {
    const char *path; /* for messages; in names */
    struct mpq_imatrix_entry *entries;
    size_t n, cap;
    struct mpq_pool names;
    struct mpq_index index;
};

/* Adds an entry with room for N values, zeroed; NAME[n_name] as the file has it, with
 * or without ".weight". The values, still to be filled in, or NULL. */
float *mpq_imatrix_add(struct mpq_imatrix *m, const char *name, size_t n_name,
                       uint64_t n, struct mpq_err *err);
/* -1 unless all N values of NAME are finite and not negative. */
MPQ_MUST_CHECK int
mpq_imatrix_check(const struct mpq_imatrix *m, const char *name, const float *values,
                  uint64_t n, struct mpq_err *err);

/* imatrix_old.c: the old form from bytes in memory. */
MPQ_MUST_CHECK int
mpq_imatrix_read_old(struct mpq_imatrix *m, const unsigned char *bytes, uint64_t size,
                     struct mpq_err *err);

#endif
