/*
 * Importance matrices as llama.cpp's llama-imatrix writes them: for each matrix, the
 * mean over all tokens of the square of what its columns are multiplied with. Two
 * forms:
 *
 *   GGUF   tensors NAME.in_sum2, f32 [cols, parts], and NAME.counts, f32 [1, parts]:
 *          sums over the tokens, and how many those were; general.type "imatrix"
 *   old    i32 entries; for each i32 length, name, i32 calls, i32 values, f32 value[]
 *          (means times calls); then, from some version on, i32 chunks, i32 length, the
 *          name of the text; all little-endian
 *
 * NAME is the matrix's in a GGUF model (blk.0.attn_q.weight). Parts are the experts of
 * a mixture, which see different tokens; the old form does not tell how many they are.
 */
#ifndef MPQ_QUANT_IMATRIX_H
#define MPQ_QUANT_IMATRIX_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct mpq_imatrix; /* a file read into memory; opaque */

struct mpq_imatrix_entry {
    const char *name;    /* short: blk.0.attn_q */
    const float *values; /* means, >= 0; of a part without tokens all 1 */
    uint64_t n_values;
    uint64_t n_parts; /* 0 when the file does not say */
    uint64_t n_empty; /* parts that no token has reached */
};

/* Reads PATH ("-": standard input) whole and checks it: lengths, and every value finite
 * and not negative. On success *out is the caller's to free. */
MPQ_MUST_CHECK int
mpq_imatrix_open(struct mpq_imatrix **out, const char *path, struct mpq_err *err);
void mpq_imatrix_free(struct mpq_imatrix *m);
/* A checksum of names and values. */
uint64_t mpq_imatrix_sum(const struct mpq_imatrix *m);

/* Entries in file order. Borrowed: they live as long as m. */
size_t mpq_imatrix_count(const struct mpq_imatrix *m);
const struct mpq_imatrix_entry *mpq_imatrix_at(const struct mpq_imatrix *m, size_t i);

/*
 * The importance of a matrix by its short name: *values[n_parts][cols], part p for rows
 * from p * rows / n_parts on. Returns 1; 0 when the file has nothing about it, or no
 * token has reached any part of it; -1 when the entry does not fit ROWS and COLS.
 */
int mpq_imatrix_find(const struct mpq_imatrix *m, const char *name, uint64_t rows,
                     uint64_t cols, const float **values, uint64_t *n_parts,
                     struct mpq_err *err);

#endif
