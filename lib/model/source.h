/*
 * A model, whatever its container: a GGUF file (split ones as one), a safetensors file,
 * a Hugging Face folder (config.json, one or more safetensors), or "-" for a stream of
 * either, gzip included. Every tensor has one short name: GGUF's, without ".weight".
 */
#ifndef MPQ_MODEL_SOURCE_H
#define MPQ_MODEL_SOURCE_H

#include "fmt/gguf.h"
#include "fmt/st.h"
#include "fmt/tensor.h"
#include "model/names.h"

struct mpq_weight {
    const char *name;         /* short: blk.3.ffn_down, token_embd, blk.3.attn_q.bias */
    const char *file_name;    /* as the file has it */
    struct mpq_tensor tensor; /* type, dimensions, mapped data; name = file_name */
    int layer;                /* -1 outside the blocks */
    enum mpq_role role;
    const unsigned char *scales, *zeros; /* of a native container, where a row's codes
                                            (tensor.data), scales and zeros lie apart;
                                            otherwise NULL. See mpq_weight_row. */
    const unsigned char *map;            /* there, of a varied type, else NULL */
    int is_matrix;                       /* two or more dimensions */
    int is_linear; /* "linear weight of the blocks": q k v o gate up down,
                      fused or of experts */
    uint64_t rows, cols;
};

/* Hyper-parameters, from GGUF metadata or config.json; where these leave one out, from
 * the tensors' shapes; 0 where nothing tells. Where a model has a number for each layer
 * (head_count, feed_forward_length), the greatest. n_layer is one more than the last
 * layer that has tensors, at most what config.json counts (with
 * num_nextn_predict_layers). The rest is the file's word: not held against the shapes.
 */
struct mpq_hparams {
    char arch[64];  /* GGUF's name: llama, qwen2, gemma3 ... */
    char name[128]; /* general.name, or the config's name; never a path */
    uint64_t n_layer, n_embd, n_head, n_head_kv, head_dim, n_ff, n_vocab, n_ctx;
    int tied; /* the unembedding is token_embd */
};

struct mpq_source; /* an open model; opaque, owns mappings */

/* Opens PATH ("-": standard input). CONFIG_DIR, or NULL, is where config.json is looked
 * for instead of beside a .safetensors file, and must then have it. Everything is
 * checked here: names (unique, no control bytes, no blanks), sizes, offsets, that the
 * shards of a folder are those of its index, that no layer is missing; tensor values
 * are not read. */
MPQ_MUST_CHECK int mpq_source_open(struct mpq_source **out, const char *path,
                                   const char *config_dir, struct mpq_err *err);
void mpq_source_free(struct mpq_source *s);

/* Weights in model order: what is outside the blocks and before them in the file first,
 * as the file has it; a stable order by layer within the blocks. */
size_t mpq_source_count(const struct mpq_source *s);
const struct mpq_weight *mpq_source_weight(const struct mpq_source *s, size_t i);
/* By short name; NULL when there is none. */
const struct mpq_weight *mpq_source_find(const struct mpq_source *s, const char *name);
/* The first matrix of LAYER (-1: outside the blocks) with ROLE, or NULL. */
const struct mpq_weight *
mpq_source_role(const struct mpq_source *s, int layer, enum mpq_role role);
const struct mpq_hparams *mpq_source_hparams(const struct mpq_source *s);
/* The GGUF behind it, or NULL when it is safetensors. */
const struct mpq_gguf *mpq_source_gguf(const struct mpq_source *s);
/* GGUF metadata: of the GGUF behind it, or as a container of the project carries it
 * (then without tensors); NULL when there is none. */
const struct mpq_gguf *mpq_source_keys(const struct mpq_source *s);
/* The safetensors behind it, the first shard of several; NULL when it is a GGUF. */
const struct mpq_st *mpq_source_st(const struct mpq_source *s);
/* How messages call it: the path, or "standard input". */
const char *mpq_source_name(const struct mpq_source *s);
/* The text of FILE, one of those of mpq_source_text_file, NUL-terminated: the file
 * beside the tensors, or the string of that key in a safetensors header's metadata,
 * which comes before a file that merely lies beside. Into *text, borrowed; NULL when
 * the model has none (a GGUF never does). -1 when there is one that cannot be read. The
 * first call for a file reads it: not safe from many threads. */
MPQ_MUST_CHECK int mpq_source_text(const struct mpq_source *s, const char *file,
                                   const char **text, struct mpq_err *err);
/* The files that belong to a model, from I = 0 on; NULL behind the last: config.json,
 * tokenizer.json, tokenizer_config.json, generation_config.json, chat_template.jinja.
 */
const char *mpq_source_text_file(size_t i);
/* The folder that these are looked for in, or NULL. */
const char *mpq_source_dir(const struct mpq_source *s);
/* llama.cpp's name of the pre-tokenizer, where the user says it: a GGUF made from S has
 * it instead of what tokenizer.json tells. NULL where it was not said. */
MPQ_MUST_CHECK int
mpq_source_name_pre(struct mpq_source *s, const char *pre, struct mpq_err *err);
const char *mpq_source_pre(const struct mpq_source *s);
/* Bytes of all its files, decompressed. */
uint64_t mpq_source_file_size(const struct mpq_source *s);

/* Decodes rows [row, row + n) into dst[n][cols], row-major; the caller's. -1 when the
 * type cannot be decoded, or a value is NaN or infinite (tensor, row and column are
 * named). Safe to call from many threads. */
MPQ_MUST_CHECK int
mpq_source_read_rows(const struct mpq_source *s, const struct mpq_weight *w,
                     uint64_t row, uint64_t n, float *dst, struct mpq_err *err);
/* The same for packing as TYPE: a value beyond 65504, the largest of f16, is refused
 * too unless TYPE is f32, f64 or bf16: scales are f16 numbers. */
MPQ_MUST_CHECK int
mpq_source_read_for(const struct mpq_source *s, const struct mpq_weight *w,
                    uint64_t row, uint64_t n, struct mpq_type type, float *dst,
                    struct mpq_err *err);
/* The stored bytes of a row (mpq_type_row_bytes of them): in the file, or, where its
 * parts lie apart, gathered in SCRATCH, which has room for them. */
const unsigned char *
mpq_weight_row(const struct mpq_weight *w, uint64_t row, unsigned char *scratch);
/* Lets the kernel drop the tensor's mapped pages. */
void mpq_source_drop(const struct mpq_source *s, const struct mpq_weight *w);

/* Which model this is, for provenance: 16 hexadecimal digits and a NUL, from the name,
 * type, shape and first row of every tensor. Metadata and where a tensor lies do not
 * count: file, pipe, gzip, split file and shards give the same. */
enum { MPQ_ID_SIZE = 17 };
MPQ_MUST_CHECK int
mpq_source_id(const struct mpq_source *s, char id[MPQ_ID_SIZE], struct mpq_err *err);
/* A checksum of all that a result can depend on: every row of every tensor, whatever
 * file or order it lies in, GGUF metadata and config.json. Reads the whole model. */
MPQ_MUST_CHECK int
mpq_source_sum(const struct mpq_source *s, uint64_t *sum, struct mpq_err *err);

#endif
