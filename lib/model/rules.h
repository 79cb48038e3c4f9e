/*
 * What a runtime loads, as data: the YAML files of lib/rules, compiled in.
 *
 *   runtime: NAME
 *   container: gguf | safetensors
 *   types: { TYPE: MULTIPLE, ... }    the row length is a multiple of MULTIPLE; TYPE
 *                                     int* is every native type
 *   rows: MULTIPLE                    of the number of rows, for all but floats
 *   fused: [[NAME, ...], ...]         matrices of a layer that are to have one type
 *   kept: [NAME, ...]                 matrices that keep their present type
 */
#ifndef MPQ_MODEL_RULES_H
#define MPQ_MODEL_RULES_H

#include "base/pool.h"
#include "fmt/recipe.h"
#include "model/layout.h"

/* A file of lib/rules, in the program. The last one has a NULL name. */
struct mpq_rule_file {
    const char *name, *text;
    size_t size;
};
extern const struct mpq_rule_file mpq_rule_files[];

struct mpq_rule {
    struct mpq_type type;
    int any_native; /* int*: every MPQ_INT, `type` means nothing */
    uint64_t multiple;
};

/* Names joined by one thing, such as the matrices of a fused one. */
struct mpq_names {
    const char **items; /* [n] */
    size_t n;
};

struct mpq_rules {
    const char *name;
    enum mpq_container container;
    struct mpq_rule *types; /* [n_types] in the order of the file */
    size_t n_types;
    uint64_t rows;           /* 1 when the file does not say */
    struct mpq_names *fused; /* [n_fused] */
    size_t n_fused;
    struct mpq_names kept;
    struct mpq_pool strings;
};

/* The rules called NAME; -1 with MPQ_EUSAGE and the known names when there are none. On
 * success *out is the caller's to free. */
MPQ_MUST_CHECK int
mpq_rules_find(struct mpq_rules *out, const char *name, struct mpq_err *err);
/* The same from a file of one's own. */
MPQ_MUST_CHECK int
mpq_rules_open(struct mpq_rules *out, const char *path, struct mpq_err *err);
MPQ_MUST_CHECK int mpq_rules_read(struct mpq_rules *out,
                                  const struct mpq_recipe *recipe, struct mpq_err *err);
/* Zeroed is fine; empty afterward. */
void mpq_rules_free(struct mpq_rules *r);

/* Reads the list of names NODE into *out; strings go to POOL, the array is the
 * caller's to free. WHAT is the key, for messages. */
MPQ_MUST_CHECK int
mpq_rules_names(struct mpq_names *out, struct mpq_pool *pool,
                const struct mpq_recipe *recipe, const struct mpq_node *node,
                const char *what, struct mpq_err *err);

/* Why a type is no choice for a matrix. */
enum mpq_legal {
    MPQ_LEGAL = 0,
    MPQ_NOT_LOADED,  /* the runtime does not know it */
    MPQ_NOT_WRITTEN, /* mpq-pack does not */
    MPQ_ROW_LENGTH,  /* the row length is no multiple of what the type needs */
    MPQ_ROW_COUNT,   /* the number of rows is none */
};
/* May a matrix of ROWS x COLS become TYPE? For the last two *multiple is what it would
 * have to be a multiple of. */
enum mpq_legal mpq_rules_allow(const struct mpq_rules *r, struct mpq_type type,
                               uint64_t rows, uint64_t cols, uint64_t *multiple);
/* What the row length of TYPE has to be a multiple of there; 0 when it is not loaded.
 */
uint64_t mpq_rules_multiple(const struct mpq_rules *r, struct mpq_type type);
/* Is NAME (of a matrix) among those that keep their type? */
int mpq_rules_keeps(const struct mpq_rules *r, const char *name);

/* Does PATTERN mean matrix NAME? It is the whole name (output, blk.3.ffn_up), or what
 * follows the layer (ffn_up, which also means each expert's ffn_up.7). */
int mpq_name_means(const char *pattern, const char *name);
/* The layer that a unit called NAME is (blk.3), or -1. */
int mpq_name_unit_layer(const char *name);

/* The halves of a layer. */
enum mpq_module { MPQ_MODULE_NONE, MPQ_MODULE_ATTN, MPQ_MODULE_FFN, MPQ_N_MODULES };
extern const char *const mpq_module_names[MPQ_N_MODULES]; /* "", ".attn", ".ffn" */
/* That which a linear weight of a block belongs to; none for other roles. */
enum mpq_module mpq_role_module(enum mpq_role role);
/* The module that a unit called NAME is (blk.3.attn), with its layer; or none. */
enum mpq_module mpq_name_unit_module(const char *name, int *layer);

#endif
