/*
 * The multiple-choice knapsack: one choice for each unit, least summed damage, summed
 * size at most the budget. Arrays in, arrays out.
 *
 * The exact solver follows Sinha and Zoltners 1979 (relaxation by slopes on the convex
 * hulls) and Pisinger 1995, "A minimal algorithm for the multiple-choice knapsack
 * problem" (dynamic programming over an expanding core, states pruned by the slopes of
 * the units still to come). Damages may rise with size; such choices just never win.
 */
#ifndef MPQ_METHOD_KNAP_H
#define MPQ_METHOD_KNAP_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

/* Two damages closer than this, relative to the total, count as one. */
#define MPQ_KNAP_TOLERANCE 1e-12
enum { MPQ_KNAP_NODES = 1 << 24 }; /* the default limit */

/* Unit u may take choices first[u] .. first[u + 1] - 1, at least one. */
struct mpq_knap {
    size_t n_units;
    const size_t *first;  /* [n_units + 1], first[0] = 0 */
    const uint64_t *size; /* [first[n_units]]; all of them together below 2^62 */
    const double *damage; /* the same; finite, >= 0 */
    uint64_t budget;
    uint64_t max_nodes; /* kept in memory, 12 bytes each; 0 is the default */
};

struct mpq_knap_plan {
    uint32_t *pick; /* [n_units], the caller's: choice of each unit, from 0 */
    double damage;  /* of the picks, summed in unit order */
    uint64_t size;
    double bound; /* no plan within the budget has less damage */
    double price; /* damage that one more unit of size takes off, from the relaxation */
    int optimal;  /* damage == bound to the tolerance */
    uint64_t nodes; /* states made */
};

/* Sum of each unit's smallest choice. */
uint64_t mpq_knap_min_size(const struct mpq_knap *k);

/* Sets p->damage and p->size from p->pick. */
void mpq_knap_sum(const struct mpq_knap *k, struct mpq_knap_plan *p);

/*
 * Each of these fills p->pick and the rest of *p; -1 with MPQ_ENOFIT when even the
 * smallest plan is over the budget, MPQ_ENOMEM when memory runs out. The same input gives
 * the same plan; of several of equal damage it is any one.
 */

/* The optimum, proved. When max_nodes is not enough: the best plan found, with
 * optimal = 0 and the bound that was proved. */
MPQ_MUST_CHECK int
mpq_knap_exact(const struct mpq_knap *k, struct mpq_knap_plan *p, struct mpq_err *err);
/* From the smallest plan, again and again the change that takes off the most damage for
 * its size, as long as one fits. The bound is the relaxation's. */
MPQ_MUST_CHECK int
mpq_knap_greedy(const struct mpq_knap *k, struct mpq_knap_plan *p, struct mpq_err *err);
/* The relaxation's whole part (each unit minimizes damage + price * size), then greedy
 * changes with what is left. */
MPQ_MUST_CHECK int mpq_knap_lagrange(const struct mpq_knap *k, struct mpq_knap_plan *p,
                                     struct mpq_err *err);

#endif
