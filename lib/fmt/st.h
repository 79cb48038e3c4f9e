/*
 * Safetensors (github.com/huggingface/safetensors).
 *
 *   u64 header length, little-endian; JSON header; data
 *   header = {"__metadata__": {string: string}, NAME: {"dtype": "BF16",
 *             "shape": [rows, cols], "data_offsets": [begin, end]}}
 *   offsets count from the end of the header; tensors may not overlap nor leave holes
 */
#ifndef MPQ_FMT_ST_H
#define MPQ_FMT_ST_H

#include "base/buf.h"
#include "base/io.h"
#include "fmt/tensor.h"

struct mpq_st; /* an open safetensors file; opaque */

/* Reads and checks the header. PATH is for messages; MAP is borrowed and must outlive
 * *out. On success *out is the caller's to free. Refused are, with one line each:
 * headers longer than the file or than 100 MB, JSON that is broken or has a key twice,
 * unsafe names (fmt/safe.h), unknown dtypes, dimensions that are zero or overflow,
 * offsets that do not fit the shape, overlaps, holes, and bytes behind the last tensor.
 */
MPQ_MUST_CHECK int mpq_st_open(struct mpq_st **out, const struct mpq_map *map,
                               const char *path, struct mpq_err *err);
/* The same of a file that is read forward: MAP holds its header at least, and needs not
 * outlive *out. That the data are all there is the caller's to see; tensors have none.
 */
MPQ_MUST_CHECK int mpq_st_open_head(struct mpq_st **out, const struct mpq_map *map,
                                    const char *path, struct mpq_err *err);
void mpq_st_free(struct mpq_st *st);
/* Tensors in the order of their data. dim[0] is the last of the file's shape. */
size_t mpq_st_count(const struct mpq_st *st);
const struct mpq_tensor *mpq_st_tensor(const struct mpq_st *st, size_t i);
/* By name; NULL when there is none. */
const struct mpq_tensor *mpq_st_find(const struct mpq_st *st, const char *name);
/* __metadata__, keys in the file's order; the value is NULL when there is no such key.
 */
size_t mpq_st_meta_count(const struct mpq_st *st);
const char *mpq_st_meta_key(const struct mpq_st *st, size_t i);
const char *mpq_st_meta(const struct mpq_st *st, const char *key);

/* Writing: add every tensor and string, then finish; data follows in that order,
 * without padding in between. */
struct mpq_st_head; /* opaque */
MPQ_MUST_CHECK int mpq_st_head_new(struct mpq_st_head **out, struct mpq_err *err);
void mpq_st_head_free(struct mpq_st_head *h);
MPQ_MUST_CHECK int mpq_st_put_meta(struct mpq_st_head *h, const char *key,
                                   const char *value, struct mpq_err *err);
/* DIM as in struct mpq_tensor (row length first). */
MPQ_MUST_CHECK int
mpq_st_put_tensor(struct mpq_st_head *h, const char *name, struct mpq_type type,
                  unsigned n_dims, const uint64_t *dim, struct mpq_err *err);
/* Length and JSON, padded with blanks so that data begins at a multiple of 8, and to
 * at least MIN_BYTES in all. */
MPQ_MUST_CHECK int mpq_st_head_finish(struct mpq_st_head *h, uint64_t min_bytes,
                                      struct mpq_buf *out, struct mpq_err *err);

#endif
