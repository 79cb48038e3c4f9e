/*
 * The shape of a model as it travels in tables: enough to know which types are legal
 * and what a packed file will weigh, to the byte, without opening the model again.
 *
 *   ##tensor NAME TYPE ROWS COLS          each matrix (two or more dimensions)
 *   ##file HEADER_BYTES ALIGNMENT rest=BYTES container=gguf|safetensors
 *          st_header=BYTES st_rest=BYTES n_layer=N tied=0|1 arch=ARCH name=NAME
 *          model_id=HEX
 *
 * HEADER_BYTES is the header of what mpq-pack writes from this model by default,
 * padding and mpq.* keys included; rest, the tensors that are no matrices, each padded
 * to ALIGNMENT. So the file has HEADER_BYTES + rest + the sum of the padded matrices.
 * The same for the native safetensors container: st_header + st_rest + the matrices,
 * never padded. Neither header depends on the types chosen. A model that is safetensors
 * and can be no GGUF (convert.h) has container=safetensors: both groups of figures are
 * then the native container's. Matrices that a conversion leaves out are not listed;
 * the native container keeps them as they are.
 */
#ifndef MPQ_MODEL_LAYOUT_H
#define MPQ_MODEL_LAYOUT_H

#include "base/index.h"
#include "base/pool.h"
#include "fmt/tsv.h"
#include "model/source.h"

enum mpq_container {
    MPQ_CONTAINER_GGUF,
    MPQ_CONTAINER_NATIVE, /* safetensors with packed matrices, see model/native.h */
};

/* A matrix of the model. */
struct mpq_matrix {
    const char *name;     /* short: blk.3.ffn_down */
    struct mpq_type type; /* the present one */
    uint64_t rows, cols;  /* cols is the row length */
    int layer;            /* -1 outside the blocks */
    enum mpq_role role;
    int is_linear; /* a linear weight of the blocks */
};

struct mpq_layout {
    struct mpq_matrix *matrices; /* [n], in model order */
    size_t n;
    enum mpq_container container;                 /* what mpq-pack writes by default */
    uint64_t header_bytes, alignment, rest_bytes; /* of that container */
    uint64_t st_header_bytes, st_rest_bytes;      /* of the native one */
    uint64_t n_layer;                             /* 0 when unknown */
    int tied;                                     /* the unembedding is token_embd */
    char arch[64], name[128];
    char id[MPQ_ID_SIZE]; /* see mpq_source_id; empty when unknown */
    struct mpq_pool names;
    struct mpq_index index; /* name to position in matrices */
};

/* Reads the ##tensor and ##file lines of T, which may have been edited by hand. -1 when
 * there are none, when they belong to two models, or when a line is wrong (it is
 * quoted). On success *out is the caller's to free. */
MPQ_MUST_CHECK int mpq_layout_from_tsv(struct mpq_layout *out, const struct mpq_tsv *t,
                                       struct mpq_err *err);
/* Does T carry a layout at all? (A user may have filtered it out: --model gives it.) */
int mpq_layout_in_tsv(const struct mpq_tsv *t);
/* The same from an open model. */
MPQ_MUST_CHECK int
mpq_layout_from_source(struct mpq_layout *out, const struct mpq_source *s,
                       struct mpq_err *err);
/* The model_id= of T's ##file line, or "" when there is none. */
void mpq_layout_tsv_id(const struct mpq_tsv *t, char id[MPQ_ID_SIZE]);
/* Prepares mpq_layout_find for a layout made by hand; FILE is for messages. -1 when a
 * name is there twice. */
MPQ_MUST_CHECK int
mpq_layout_index(struct mpq_layout *l, const char *file, struct mpq_err *err);
/* Frees what *l owns and makes it empty; a zeroed one is fine. */
void mpq_layout_free(struct mpq_layout *l);

/* Writes the lines, between mpq_tsv_begin and mpq_tsv_columns. */
MPQ_MUST_CHECK int mpq_layout_put(const struct mpq_layout *l, struct mpq_tsv_writer *w,
                                  struct mpq_err *err);
/* mpq_layout_from_source and mpq_layout_put at once. */
MPQ_MUST_CHECK int mpq_layout_put_meta(const struct mpq_source *s,
                                       struct mpq_tsv_writer *w, struct mpq_err *err);
/* Passes on the lines of T as they stand. */
MPQ_MUST_CHECK int mpq_layout_copy_meta(const struct mpq_tsv *t,
                                        struct mpq_tsv_writer *w, struct mpq_err *err);

/* By short name; NULL when there is none. */
const struct mpq_matrix *mpq_layout_find(const struct mpq_layout *l, const char *name);

/* Bytes that matrix M takes up as TYPE in the container, padding included. -1 when the
 * type does not fit its rows, the container does not hold the type, or on overflow. */
MPQ_MUST_CHECK int
mpq_layout_matrix_bytes(const struct mpq_layout *l, enum mpq_container c,
                        const struct mpq_matrix *m, struct mpq_type type,
                        uint64_t *bytes);
/* The container that TYPES (types[n], a type for each matrix) need: the default one,
 * or the native one as soon as one of them is native. */
enum mpq_container
mpq_layout_container(const struct mpq_layout *l, const struct mpq_type *types);
/* Exact size of the whole file with TYPES in container C. */
MPQ_MUST_CHECK int
mpq_layout_file_bytes(const struct mpq_layout *l, enum mpq_container c,
                      const struct mpq_type *types, uint64_t *bytes,
                      struct mpq_err *err);

#endif
