/*
 * Allocations to hold an optimum against: a score that cannot beat them is worth
 * nothing. Each fills the budget, which is best the size of the plan it is compared
 * with. Arrays in, arrays out.
 */
#ifndef MPQ_METHOD_CONTROL_H
#define MPQ_METHOD_CONTROL_H

#include "method/knap.h"

struct mpq_control {
    const struct mpq_knap *k; /* units in order of depth */
    const double *error;      /* [choices] squared error of the type times parameters:
                                 what is known of a choice without any score; 0 for
                                 what stays as it is */
    const double *params;     /* [n_units] */
    const uint32_t *type;     /* [choices] which type it is, < n_types */
    size_t n_types;
};

/* All of them fill p->pick, p->damage and p->size, and leave the rest of *p alone. -1
 * with MPQ_ENOFIT or MPQ_ENOMEM. */

/* The single type of least error that all units take and that fits (if there is none:
 * the smallest choice of each unit), then one step up for unit after unit, evenly
 * spread over the depth, until nothing fits any more. */
MPQ_MUST_CHECK int mpq_control_uniform(const struct mpq_control *c,
                                       struct mpq_knap_plan *p, struct mpq_err *err);
/* From the smallest choices, steps up for units drawn at random (splitmix64). */
MPQ_MUST_CHECK int mpq_control_random(const struct mpq_control *c, uint64_t seed,
                                      struct mpq_knap_plan *p, struct mpq_err *err);
/* The optimum for the reversed ranks: the most sensitive unit has the damage for its
 * size of the least sensitive one, and so on. */
MPQ_MUST_CHECK int mpq_control_inverted(const struct mpq_control *c,
                                        struct mpq_knap_plan *p, struct mpq_err *err);
/* Type HIGH for the units whose damage for each parameter falls most by it, LOW for the
 * rest (as NSDS does, arXiv 2603.17354): from the top, as many as fit; one too
 * large is passed over. Units that take only one of the two have that. -1 with
 * MPQ_EUSAGE for a unit that takes neither. */
MPQ_MUST_CHECK int
mpq_control_topk(const struct mpq_control *c, uint32_t low, uint32_t high,
                 struct mpq_knap_plan *p, struct mpq_err *err);

/* Room that is left goes where it costs nothing: to choices of the same damage or less
 * (a score of 0, say) whose type has less error. Updates *p. */
void mpq_control_spend(const struct mpq_control *c, struct mpq_knap_plan *p);
/* Size of the plan of least damage where there is room for all: above it a budget binds
 * no more. */
uint64_t mpq_control_most(const struct mpq_control *c);

#endif
