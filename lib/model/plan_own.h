/* What the files of the plan share; nobody else includes this. */
#ifndef MPQ_MODEL_PLAN_OWN_H
#define MPQ_MODEL_PLAN_OWN_H

#include "model/plan.h"

/* Does TYPE fit the rows of matrix M? -1 with "PLACE: ..." otherwise. */
MPQ_MUST_CHECK int mpq_plan_fits(const struct mpq_matrix *m, struct mpq_type type,
                                 const char *place, struct mpq_err *err);

#endif
