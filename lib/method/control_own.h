/* What control.c and control_rank.c share; nobody else includes this. */
#ifndef MPQ_METHOD_CONTROL_OWN_H
#define MPQ_METHOD_CONTROL_OWN_H

#include "method/control.h"

/* When single steps leave more than half a percent of the budget, pairs of moves are
 * tried: the first, usually, is already close enough. Else a large unit goes up and
 * small ones go down for it. Sums up p->pick in any case. */
MPQ_MUST_CHECK int mpq_control_repair(const struct mpq_control *c,
                                      struct mpq_knap_plan *p, struct mpq_err *err);
/* I with its BITS bits in reverse: visiting units in this order spreads any number of
 * them evenly (van der Corput's sequence). */
size_t mpq_control_reverse(size_t i, unsigned bits);
/* Bits that number N units. */
unsigned mpq_control_depth_bits(size_t n);
/* The choice of unit U that is TYPE; 0 when it has none. */
int mpq_control_choice(const struct mpq_control *c, size_t u, uint32_t type,
                       uint32_t *choice);

#endif
