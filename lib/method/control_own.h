/* What control.c and control_rank.c share; nobody else includes this. */
#ifndef MPQ_METHOD_CONTROL_OWN_H
#define MPQ_METHOD_CONTROL_OWN_H

#include "method/control.h"

/* When single steps leave more than half a percent of the budget, pairs of moves are
 * tried: the first, usually, is already close enough. Sums up p->pick in any case. */
MPQ_MUST_CHECK int mpq_control_repair(const struct mpq_control *c,
                                      struct mpq_knap_plan *p, struct mpq_err *err);
/* The choice of unit U that is TYPE; 0 when it has none. */
int mpq_control_choice(const struct mpq_control *c, size_t u, uint32_t type,
                       uint32_t *choice);

#endif
