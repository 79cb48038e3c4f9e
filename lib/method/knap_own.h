/* What knap.c and knap_exact.c share: the relaxation. */
#ifndef MPQ_METHOD_KNAP_OWN_H
#define MPQ_METHOD_KNAP_OWN_H

#include "method/knap.h"

/*
 * The relaxation: units may mix two choices that are neighbors on the lower convex hull
 * of their (size, damage) points. At its optimum every unit but one is whole.
 */
struct mpq_relax {
    size_t *nd_first; /* [n_units + 1] into nd */
    uint32_t *nd;     /* choices that no other of their unit dominates, by rising size
                         and falling damage */
    uint32_t *pick;   /* [n_units] whole part, the mixed unit at its smaller choice */
    uint64_t room;    /* budget - size of pick, rounded down to what sizes can fill */
    double damage;    /* of pick */
    double price;     /* slope of the mixed unit; 0 when the budget does not bind */
};

/* -1 with MPQ_ENOFIT below the smallest plan. mpq_relax_free ends it in any case. */
MPQ_MUST_CHECK int
mpq_relax_solve(struct mpq_relax *r, const struct mpq_knap *k, struct mpq_err *err);
void mpq_relax_free(struct mpq_relax *r);
/* damage - price * room: no plan is better. */
double mpq_relax_bound(const struct mpq_relax *r);

/* Greedy changes of PICK while one fits into ROOM; takes what it uses off *room. */
MPQ_MUST_CHECK int mpq_knap_fill(const struct mpq_knap *k, uint32_t *pick,
                                 uint64_t *room, struct mpq_err *err);

#endif
