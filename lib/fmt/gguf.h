/*
 * GGUF version 2 and 3, little-endian.
 *
 *   "GGUF" u32 version u64 n_tensors u64 n_kv
 *   n_kv times:       string key, u32 type, value
 *   n_tensors times:  string name, u32 n_dims, u64 dim[], u32 ggml type, u64 offset
 *   padding to general.alignment (default 32), then the tensor data; offsets count
 *   from there and are multiples of the alignment
 *   string = u64 length, bytes.   array = u32 type, u64 count, values
 *
 * (github.com/ggml-org/ggml, docs/gguf.md.)
 */
#ifndef MPQ_FMT_GGUF_H
#define MPQ_FMT_GGUF_H

#include "base/buf.h"
#include "base/io.h"
#include "fmt/tensor.h"

enum mpq_gguf_type {
    MPQ_GGUF_U8,
    MPQ_GGUF_I8,
    MPQ_GGUF_U16,
    MPQ_GGUF_I16,
    MPQ_GGUF_U32,
    MPQ_GGUF_I32,
    MPQ_GGUF_F32,
    MPQ_GGUF_BOOL,
    MPQ_GGUF_STR,
    MPQ_GGUF_ARR,
    MPQ_GGUF_U64,
    MPQ_GGUF_I64,
    MPQ_GGUF_F64,
};

/* One metadata value, still in the file's bytes. Strings are not NUL-terminated. */
struct mpq_gguf_kv {
    const char *key;           /* NUL-terminated; belongs to the reader */
    uint32_t type;             /* enum mpq_gguf_type */
    uint32_t item_type;        /* of an array's items; otherwise the same as type */
    uint64_t count;            /* items of an array, bytes of a string, else 1 */
    const unsigned char *data; /* the value: first item, first byte of the string */
    const unsigned char *raw;  /* from the value's type on, for copying ... */
    uint64_t raw_size;         /* ... as it stands */
};

struct mpq_gguf; /* an open model file (or all parts of a split one); opaque */

/* Reads and checks all metadata, no tensor data. PATH is for messages and to find the
 * other parts of a split file (NAME-00001-of-00003.gguf), which the reader maps itself;
 * MAP is borrowed and must outlive *out. On success *out is the caller's to free.
 * Refused are, with one line each: big-endian files, versions other than 2 and 3,
 * counts and lengths beyond the file, empty, repeated or unsafe names (fmt/safe.h),
 * nested arrays, dimensions that are zero or overflow, unknown types, rows that are no
 * whole blocks, tensors unaligned, overlapping or past the end, and missing parts. */
MPQ_MUST_CHECK int mpq_gguf_open(struct mpq_gguf **out, const struct mpq_map *map,
                                 const char *path, struct mpq_err *err);
void mpq_gguf_free(struct mpq_gguf *g);

/* Tensors in file order (part after part). Borrowed: lives as long as g. */
size_t mpq_gguf_count(const struct mpq_gguf *g);
const struct mpq_tensor *mpq_gguf_tensor(const struct mpq_gguf *g, size_t i);

/* Metadata in file order; of a split file the first part's, without split.*. */
size_t mpq_gguf_kv_count(const struct mpq_gguf *g);
const struct mpq_gguf_kv *mpq_gguf_kv_at(const struct mpq_gguf *g, size_t i);
/* NULL when there is no such key. */
const struct mpq_gguf_kv *mpq_gguf_kv_find(const struct mpq_gguf *g, const char *key);
uint32_t mpq_gguf_version(const struct mpq_gguf *g);
uint64_t mpq_gguf_alignment(const struct mpq_gguf *g);
uint64_t mpq_gguf_file_size(const struct mpq_gguf *g); /* of all parts */

/* Values. Each returns 1 and sets *out when the key is there and of a fitting type,
 * 0 when it is not there, -1 when it is there with another type or range. */
int mpq_gguf_get_u64(const struct mpq_gguf *g, const char *key, uint64_t *out);
int mpq_gguf_get_f64(const struct mpq_gguf *g, const char *key, double *out);
int mpq_gguf_get_bool(const struct mpq_gguf *g, const char *key, int *out);
/* A NUL-terminated copy, the caller's to free. A string with a NUL inside is -1. */
int mpq_gguf_get_str(const struct mpq_gguf *g, const char *key, char **out);
/* The I-th item of an array of numbers (or a single one, with i = 0). 0, or -1 when I
 * is past the end or the item does not fit: negative, or of another type. */
int mpq_gguf_item_u64(const struct mpq_gguf_kv *kv, uint64_t i, uint64_t *out);
int mpq_gguf_item_f64(const struct mpq_gguf_kv *kv, uint64_t i, double *out);
/* Walks over an array of strings: *pos is 0 before the first call. 1 and lends the next
 * string, s[n], not NUL-terminated; 0 at the end, or when it is no array of strings. */
int mpq_gguf_next_str(const struct mpq_gguf_kv *kv, uint64_t *pos, const char **s,
                      uint64_t *n);

/*
 * Writing. The header is built in memory: first every kv, then every tensor, then
 * finish; data follows in the order of the tensors, each padded to the alignment.
 */
struct mpq_gguf_head {
    struct mpq_buf kvs, tensors;
    uint64_t n_kv, n_tensors, alignment, data_size;
};
void mpq_gguf_head_init(struct mpq_gguf_head *h, uint64_t alignment);
void mpq_gguf_head_free(struct mpq_gguf_head *h);
/* Copies a value as it stands. (A general.alignment must be the head's own.) */
void mpq_gguf_put_raw(struct mpq_gguf_head *h, const struct mpq_gguf_kv *kv);
void mpq_gguf_put_u32(struct mpq_gguf_head *h, const char *key, uint32_t v);
void mpq_gguf_put_f32(struct mpq_gguf_head *h, const char *key, float v);
void mpq_gguf_put_bool(struct mpq_gguf_head *h, const char *key, int v);
void
mpq_gguf_put_str(struct mpq_gguf_head *h, const char *key, const char *s, size_t n);
/* An array of N numbers of ITEM bytes each, already little-endian. */
void
mpq_gguf_put_array(struct mpq_gguf_head *h, const char *key, enum mpq_gguf_type type,
                   const void *items, size_t item, uint64_t n);
/* An array of strings. */
void
mpq_gguf_put_strings(struct mpq_gguf_head *h, const char *key,
                     const char *const *strings, const size_t *lengths, uint64_t n);
/* Adds a tensor of a ggml type, n_dims 1 to 4; its offset follows from those before it.
 * -1 when the row length does not fit the type or a size overflows. */
MPQ_MUST_CHECK int
mpq_gguf_put_tensor(struct mpq_gguf_head *h, const char *name, struct mpq_type type,
                    unsigned n_dims, const uint64_t *dim, struct mpq_err *err);
/* The whole header with its padding into *out, the caller's to free: after it comes the
 * first tensor. -1 when memory ran out on the way. */
MPQ_MUST_CHECK int mpq_gguf_head_finish(const struct mpq_gguf_head *h,
                                        struct mpq_buf *out, struct mpq_err *err);
/* Bytes of the header with padding, without building it. */
uint64_t mpq_gguf_head_size(const struct mpq_gguf_head *h);

#endif
