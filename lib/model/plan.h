/*
 * A plan: which type each matrix of a model is to have. As a table:
 *
 *   ##mpq plan 1 ...
 *   #unit<TAB>type<TAB>bits<TAB>params<TAB>bytes
 *
 * Only unit and type bind. A unit is a matrix (blk.3.ffn_down), or a layer (blk.3): all
 * of its linear weights that have no row of their own. Names are exact, and every
 * matrix of the model is covered. Also read: llama-quantize's --tensor-type-file, words
 * PATTERN=TYPE parted by blanks, the first pattern found in a tensor's name wins.
 */
#ifndef MPQ_MODEL_PLAN_H
#define MPQ_MODEL_PLAN_H

#include "base/buf.h"
#include "fmt/tsv.h"
#include "model/layout.h"

struct mpq_plan {
    const struct mpq_layout *layout; /* borrowed */
    struct mpq_type *types;          /* [layout->n], in its order */
    unsigned char *by_layer;         /* [layout->n] 1: told by the row of its layer */
    size_t n_unnamed; /* matrices that no line of a tensor-type file named: kept */
    char model_id[MPQ_ID_SIZE]; /* of the model that the table names, or empty */
};

/* Every matrix at its present type, with a row of its own. LAYOUT must outlive *p. */
MPQ_MUST_CHECK int
mpq_plan_new(struct mpq_plan *p, const struct mpq_layout *layout, struct mpq_err *err);
/* Zeroed is fine; empty afterward. */
void mpq_plan_free(struct mpq_plan *p);

/* Reads PATH ("-": standard input), a table or a tensor-type file, told apart by the
 * first line, and holds it against LAYOUT. -1 when a unit is unknown, comes twice or
 * has no linear weights, a matrix is not covered, a type is unknown or does not fit the
 * rows, or a pattern gives no tensor its type. On success *p is the caller's to free.
 */
MPQ_MUST_CHECK int mpq_plan_read(struct mpq_plan *p, const char *path,
                                 const struct mpq_layout *layout, struct mpq_err *err);
MPQ_MUST_CHECK int
mpq_plan_from_tsv(struct mpq_plan *p, const struct mpq_tsv *t,
                  const struct mpq_layout *layout, struct mpq_err *err);
/* TEXT[n] is a tensor-type file; NAME is for messages. Patterns are matched against
 * full tensor names (blk.3.ffn_down.weight) without regard to case. */
MPQ_MUST_CHECK int
mpq_plan_from_lines(struct mpq_plan *p, const char *text, size_t n, const char *name,
                    const struct mpq_layout *layout, struct mpq_err *err);

/* Column names and rows, between the metadata and mpq_tsv_end. Matrices marked by_layer
 * are told in one row, in the place of the first; they must be linear, all those so
 * marked in a layer of one type. */
MPQ_MUST_CHECK int
mpq_plan_write(const struct mpq_plan *p, struct mpq_tsv_writer *w, struct mpq_err *err);
/* The plan as a tensor-type file for llama-quantize: a line for each matrix, anchored
 * at both ends. Embedding and output follow once more as the options that
 * llama-quantize has for them, in words that begin with # and match nothing. -1 for
 * types that are not ggml's. */
MPQ_MUST_CHECK int
mpq_plan_llama(const struct mpq_plan *p, struct mpq_buf *text, struct mpq_err *err);
/* The plan as GPTQModel's `dynamic` map, in JSON: bits, group_size and sym for each
 * linear module under its Hugging Face name, "-:" for those that stay in floating
 * point. -1 for block types, and for modules whose name is not known. */
MPQ_MUST_CHECK int
mpq_plan_gptqmodel(const struct mpq_plan *p, struct mpq_buf *text, struct mpq_err *err);

#endif
