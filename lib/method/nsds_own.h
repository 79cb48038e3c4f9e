/* Shared by the files of NSDS. */
#ifndef MPQ_METHOD_NSDS_OWN_H
#define MPQ_METHOD_NSDS_OWN_H

#include "method/nsds.h"

/* SE of sigma_i b_i, both ways, into OUT. */
void
mpq_nsds_combine(struct mpq_nsds *out, const double *sigma, const double *b, size_t k);
double mpq_relu(double x);
/* ||P^T u|| from the squared length of u along P's basis. */
double mpq_subspace_length(const struct mpq_subspace *p, double along);

#endif
