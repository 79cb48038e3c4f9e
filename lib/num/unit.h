/*
 * Numbers whose scale does not matter, brought near 1 so that sums of their products
 * neither overflow nor vanish. By a power of 4: products of numbers and roots change in
 * nothing but their exponents, so a result is the same to the last bit.
 */
#ifndef MPQ_NUM_UNIT_H
#define MPQ_NUM_UNIT_H

/* What to multiply numbers of the size of X with: u X is from 1/4 to 4 unless X is
 * subnormal; 1 where X is 0 or not finite. */
double mpq_unit(double x);

#endif
