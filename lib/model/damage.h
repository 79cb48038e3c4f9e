/*
 * What it costs to give a matrix a type, from a table of scores (unit score params) or
 * of damages (unit type bits params damage se). A unit is a layer (blk.3) or a half of
 * one (blk.3.attn, blk.3.ffn), whose figure is spread over its linear weights by
 * parameters, or a matrix. The narrowest that a matrix has a row in counts for it. In a
 * tied model a row for `output` is the second use of token_embd.
 *
 * A score becomes the damage score * params * mpq_type_error(type). A matrix that keeps
 * its present type is copied: no damage, unless the table has a figure for that.
 */
#ifndef MPQ_MODEL_DAMAGE_H
#define MPQ_MODEL_DAMAGE_H

#include "base/buf.h"
#include "fmt/tsv.h"
#include "model/layout.h"

/* A row's unit. */
struct mpq_damage_unit {
    const char *name;
    double params, score;
    uint64_t cols; /* a group: the greatest common divisor of its row lengths */
    size_t line;
};

/* What there is to know of a layer of the model, or a module of one. */
struct mpq_damage_group {
    double params; /* of its linear weights */
    uint64_t cols; /* greatest common divisor of their row lengths, 0 without any */
};

struct mpq_damage {
    int is_scores;
    int has_se;                    /* damages with a column se */
    int has_tensors;               /* some unit is a linear weight of a layer */
    int has_modules;               /* some unit is a module */
    struct mpq_damage_unit *units; /* [n] */
    size_t n;
    struct mpq_type *types; /* damages: [n_types] in order of appearance */
    size_t n_types;
    double *damage, *se;    /* damages: [n][n_types], NAN where there is no row */
    double median_score;    /* by parameters: a few outliers are no reason to think that
                               what was not looked at is one */
    double *mean, *mean_se; /* damages: [n_types] for each parameter, NAN for none */
    double
        *kept; /* damages: [n][n_types] a group's parameters that have the type now */
    const struct mpq_layout *layout; /* borrowed */
    size_t *own;   /* [layout->n] the matrix's unit, SIZE_MAX for none */
    size_t *group; /* [layout->n] its module's, or else its layer's */
    size_t second; /* `output` of a tied model, SIZE_MAX for none */
    struct mpq_damage_group *groups; /* [n_layers][MPQ_N_MODULES], the layer itself
                                        where the module is none */
    size_t n_layers;
    struct mpq_index index;
    struct mpq_pool strings;
    char *file;
};

/* Reads T, either kind, and holds it against LAYOUT, which must outlive *d. -1 when a
 * column is missing, a unit is unknown or its params are not the model's, a number is
 * negative or none, or a row comes twice. On success *d is the caller's to free. */
MPQ_MUST_CHECK int
mpq_damage_read(struct mpq_damage *d, const struct mpq_tsv *t,
                const struct mpq_layout *layout, struct mpq_err *err);
/* Zeroed is fine; empty afterward. */
void mpq_damage_free(struct mpq_damage *d);

/* Has matrix I (of the layout) a figure of its own or its group's? If not, it gets the
 * mean over all units for each parameter, of scores the median. */
int mpq_damage_has(const struct mpq_damage *d, size_t i);

/* Is there no damage for matrix I at TYPE because its group was measured as a whole,
 * and another matrix of it cannot take the type? */
int mpq_damage_unmeasured(const struct mpq_damage *d, size_t i, struct mpq_type type);

/* Damage and its standard error (0 for scores) of giving matrix I the TYPE. A group's
 * figure is shared by the weights that the type changes. -1 when a table of damages has
 * no row for that pair and the type is not the present one. */
MPQ_MUST_CHECK int
mpq_damage_of(const struct mpq_damage *d, size_t i, struct mpq_type type,
              double *damage, double *se, struct mpq_err *err);

#endif
