/* What source.c, weights.c, hparams.c, folder.c, ident.c share; nobody else includes
 * this. */
#ifndef MPQ_MODEL_SOURCE_OWN_H
#define MPQ_MODEL_SOURCE_OWN_H

#include "base/buf.h"
#include "base/index.h"
#include "base/io.h"
#include "base/pool.h"
#include "fmt/json.h"
#include "fmt/st.h"
#include "model/source.h"

struct mpq_shard { /* a safetensors file */
    char *path;
    struct mpq_map map;
    struct mpq_st *st;
};

enum { MPQ_N_TEXTS = 5 };

struct mpq_text { /* a file that belongs to the model */
    char *text;
    int tried; /* looked for; no text then means that there is none */
};

struct mpq_source {
    char *name; /* for messages */
    struct mpq_map map;
    struct mpq_gguf *gguf; /* either this ... */
    struct mpq_shard *shards;
    size_t n_shards; /* ... or these */
    struct mpq_buf keys_bytes;
    struct mpq_gguf *keys; /* GGUF metadata in a container's header: over keys_bytes */
    char *config_dir;      /* where config.json and tokenizer.json are; may be NULL */
    int config_dir_wins;   /* over what the header carries: the user named it */
    struct mpq_text texts[MPQ_N_TEXTS];
    struct mpq_json *config;
    char *pre;                  /* of mpq_source_name_pre */
    struct mpq_weight *weights; /* in model order */
    size_t n_weights;
    size_t first_block; /* position of the first weight of the blocks */
    struct mpq_index by_name;
    struct mpq_pool strings;
    struct mpq_hparams hparams;
};

/* Opens the safetensors of the Hugging Face folder PATH into s->shards. */
MPQ_MUST_CHECK int
mpq_source_open_folder(struct mpq_source *s, const char *path, struct mpq_err *err);
/* Reads config.json from CONFIG_DIR, from the header of the safetensors, or from beside
 * PATH, and the GGUF keys of a container; s->config and s->keys stay NULL where there
 * are none. */
MPQ_MUST_CHECK int
mpq_source_open_config(struct mpq_source *s, const char *path, int is_folder,
                       const char *config_dir, struct mpq_err *err);
/* Fills s->weights from the open files: short names, layers, roles, order. */
MPQ_MUST_CHECK int mpq_source_list_weights(struct mpq_source *s, struct mpq_err *err);
/* Fills s->hparams; the weights must have been listed. */
MPQ_MUST_CHECK int mpq_source_read_hparams(struct mpq_source *s, struct mpq_err *err);
/* DIR "/" FILE; NULL when out of memory. free() ends it. */
char *mpq_source_path(const char *dir, const char *file);

#endif
