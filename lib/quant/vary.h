/*
 * Bits for the groups of a matrix, the same mean for all: TASA's allocation inside
 * tensors (arXiv 2607.00908). A group whose columns matter more has finer codes.
 *
 * With b bits the error of a group of salience S is taken to be S / 4^b. The sum over
 * the groups is least, for whole b from 1 to 8 and B on the mean, when bits are given
 * one after another to the group that gains most.
 */
#ifndef MPQ_QUANT_VARY_H
#define MPQ_QUANT_VARY_H

#include "fmt/dtype.h"

/* The map of bits (groups bytes, see dtype.h) of varied type T for rows of COLS, from
 * the salience[groups] >= 0, finite, of each. REACH: no group is
 * further from the mean than that. A group cut short keeps the mean. */
void mpq_vary(struct mpq_type t, const double *salience, size_t cols, int reach,
              unsigned char *map);

#endif
