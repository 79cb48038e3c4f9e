/* What the gguf*.c files share; nobody else includes this. */
#ifndef MPQ_FMT_GGUF_OWN_H
#define MPQ_FMT_GGUF_OWN_H

#include "base/index.h"
#include "base/pool.h"
#include "fmt/gguf.h"

struct mpq_gguf {
    char *name; /* for messages */
    uint32_t version;
    uint64_t alignment, file_size;
    struct mpq_gguf_kv *kv;
    size_t n_kv;
    struct mpq_index keys;
    struct mpq_tensor *tensors;
    size_t n_tensors;
    struct mpq_pool strings; /* keys and tensor names */
    struct mpq_map *parts;   /* of a split model: those after the first */
    size_t n_parts;
};

/* Where a reader stands in the header, and what it is about to read. */
struct mpq_gguf_at {
    const unsigned char *data;
    uint64_t pos, size;
    const char *file;
    char place[320]; /* "key 3 of 20" */
    struct mpq_err *err;
};

/* The next N bytes, or NULL (cut short). */
const unsigned char *mpq_gguf_take(struct mpq_gguf_at *at, uint64_t n);
MPQ_MUST_CHECK int mpq_gguf_take_u32(struct mpq_gguf_at *at, uint32_t *out);
MPQ_MUST_CHECK int mpq_gguf_take_u64(struct mpq_gguf_at *at, uint64_t *out);
/* Reads and checks N metadata values from AT into g->kv, and sorts g->keys. */
MPQ_MUST_CHECK int
mpq_gguf_read_kvs(struct mpq_gguf *g, struct mpq_gguf_at *at, uint64_t n);
/* Removes the keys that begin with PREFIX. */
MPQ_MUST_CHECK int
mpq_gguf_drop_keys(struct mpq_gguf *g, const char *prefix, struct mpq_err *err);

/* Reads the one file MAP, whatever its split.* keys say. PART is its number. */
MPQ_MUST_CHECK int
mpq_gguf_read_file(struct mpq_gguf **out, const struct mpq_map *map, const char *path,
                   unsigned part, struct mpq_err *err);
/* Sorts the tensors' names into an index to find duplicates. */
MPQ_MUST_CHECK int mpq_gguf_check_names(const struct mpq_gguf *g, struct mpq_err *err);
/* If g's split.* keys say so, adds the tensors of all other parts. */
MPQ_MUST_CHECK int
mpq_gguf_join(struct mpq_gguf *g, const char *path, struct mpq_err *err);

#endif
