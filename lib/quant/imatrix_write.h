/* Writes an importance matrix in llama-imatrix's GGUF form (quant/imatrix.h): sums of
 * squares and counts, sorted by name, so that llama-quantize --imatrix takes it. */
#ifndef MPQ_QUANT_IMATRIX_WRITE_H
#define MPQ_QUANT_IMATRIX_WRITE_H

#include "base/err.h"
#include "base/io.h"

#include <stddef.h>
#include <stdint.h>

struct mpq_imatrix_sums {
    char *name;  /* short: blk.0.attn_q */
    float *sums; /* [cols] */
    uint64_t cols, n_tokens;
};

/* What is to be written; zero-initialized is empty. */
struct mpq_imatrix_new {
    struct mpq_imatrix_sums *entries;
    size_t n, room;
};

/* Adds the matrix NAME: sums[cols] over N_TOKENS tokens, copied. -1 also when a sum is
 * beyond what a float holds. */
MPQ_MUST_CHECK int
mpq_imatrix_put(struct mpq_imatrix_new *m, const char *name, const double *sums,
                uint64_t cols, uint64_t n_tokens, struct mpq_err *err);
/* DATASET: how the text is called; CHUNKS of CHUNK_SIZE tokens were read. */
MPQ_MUST_CHECK int
mpq_imatrix_write(struct mpq_imatrix_new *m, struct mpq_out *out, const char *dataset,
                  uint64_t chunks, uint64_t chunk_size, struct mpq_err *err);
void mpq_imatrix_new_free(struct mpq_imatrix_new *m); /* and makes it empty */

#endif
