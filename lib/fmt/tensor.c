#include "fmt/tensor.h"

uint64_t
mpq_tensor_cols(const struct mpq_tensor *t)
{
    return t->n_dims ? t->dim[0] : 1;
}

uint64_t
mpq_tensor_rows(const struct mpq_tensor *t)
{
    uint64_t rows = 1;
    for (unsigned d = 1; d < t->n_dims; d++)
        rows *= t->dim[d];
    return rows;
}
