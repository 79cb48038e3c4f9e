/* A tensor as a file describes it. */
#ifndef MPQ_FMT_TENSOR_H
#define MPQ_FMT_TENSOR_H

#include "fmt/dtype.h"

enum { MPQ_MAX_DIMS = 8 };

struct mpq_tensor {
    const char *name; /* as the file has it; belongs to the file's reader */
    struct mpq_type type;
    unsigned n_dims;            /* 0 is a scalar */
    uint64_t dim[MPQ_MAX_DIMS]; /* dim[0] is the row length, as in GGUF: the last of
                                   safetensors' shape */
    uint64_t n_elements, size_bytes;
    uint64_t offset;           /* of the first byte, from the start of its file */
    unsigned part;             /* which file of a split or sharded model */
    const unsigned char *data; /* the mapped bytes, size_bytes of them */
};

/* The row length: dim[0], or 1 for a scalar. */
uint64_t mpq_tensor_cols(const struct mpq_tensor *t);
/* The product of all other dimensions. */
uint64_t mpq_tensor_rows(const struct mpq_tensor *t);

#endif
