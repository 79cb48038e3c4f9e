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
    int listed; /* the candidates are those that were asked for, and no others */
    /* Choices of all units, unit after unit; see struct mpq_knap. */
    size_t *first;
    uint64_t *size;
    double *cost, *error;
    uint32_t *type; /* position in types; n_types: each matrix stays as it is */
    size_t n_choices;
    double *params;         /* [units] */
    uint64_t fixed_size;    /* of the matrices in no unit that the budget counts */
    uint64_t linear_params; /* of the linear weights of the blocks */
    struct mpq_buf notes;
};

/* The choices, for the solver, with a BUDGET that a->fixed_size is not part of. */
struct mpq_knap mpq_alloc_knap(const struct mpq_alloc *a, uint64_t budget);
/* Fills a->notes. */
void mpq_alloc_note_types(struct mpq_alloc *a);
void mpq_alloc_note_pins(struct mpq_alloc *a);
void mpq_alloc_note_means(struct mpq_alloc *a);
/* Is type T offered to unit U? */
int mpq_alloc_offers(const struct mpq_alloc *a, size_t u, struct mpq_type t);
/* Is staying as it is a choice of unit U? For scores always; a table of damages, as
 * long as nothing is quantized, has the types that were to be compared. */
int mpq_alloc_offers_to_stay(const struct mpq_alloc *a, size_t u);
/* Is T not, since layers were measured and U, a part of one, could take it alone? */
int mpq_alloc_unmeasured(const struct mpq_alloc *a, size_t u, struct mpq_type t);
/* Does it take up more than U does now, and so restores nothing? Never when U cannot
 * stay as it is, or the types were asked for. */
int mpq_alloc_too_wide(const struct mpq_alloc *a, size_t u, struct mpq_type t);
/* What candidate T (a position in types, or n_types) makes of matrix I. */
struct mpq_type mpq_alloc_type(const struct mpq_alloc *a, uint32_t t, size_t i);
/* Every type that the runtime loads and mpq-pack writes: *n of them, the caller's to
 * free; NULL without memory. */
struct mpq_type *mpq_alloc_default_types(const struct mpq_rules *r, size_t *n);
/* The file if everything stays as it is; 0 where that has no size. */
uint64_t mpq_alloc_present_bytes(const struct mpq_alloc *a);
/* Appends a line: how many have which type, who got the most bits and the fewest. */
void mpq_alloc_say_picks(const struct mpq_alloc *a, const struct mpq_alloc_result *r,
                         struct mpq_buf *text);
/* "blk.0: ...": MPQ_ENOFIT with the reasons and the types that are legal there. */
int mpq_alloc_fail_illegal(const struct mpq_alloc *a, size_t u, struct mpq_err *err);

#endif
