/* What the files of the allocation share; nobody else includes this. */
#ifndef MPQ_METHOD_ALLOC_OWN_H
#define MPQ_METHOD_ALLOC_OWN_H

#include "method/alloc.h"

struct mpq_alloc {
    const struct mpq_layout *layout;
    const struct mpq_rules *rules;
    const struct mpq_policy *policy;
    const struct mpq_damage *damage;
    int by_size;
    enum mpq_container container; /* what sizes are counted for */
    struct mpq_units units;
    struct mpq_type *types; /* [n_types] candidates */
    size_t n_types;
    /* Choices of all units, unit after unit; see struct mpq_knap. */
    size_t *first;
    uint64_t *size;
    double *cost, *error;
    uint32_t *type; /* position in types */
    size_t n_choices;
    double *params;         /* [units] */
    uint64_t fixed_size;    /* of the matrices in no unit that the budget counts */
    uint64_t linear_params; /* of the linear weights of the blocks */
    struct mpq_buf notes;
};

/* Fills a->notes. */
void mpq_alloc_note_types(struct mpq_alloc *a);
void mpq_alloc_note_means(struct mpq_alloc *a);
/* Is type T offered to unit U? */
int mpq_alloc_offers(const struct mpq_alloc *a, size_t u, struct mpq_type t);
/* Is it not, since layers were measured and U, a part of one, could take it alone? */
int mpq_alloc_unmeasured(const struct mpq_alloc *a, size_t u, struct mpq_type t);

#endif
