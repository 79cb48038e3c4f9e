/*
 * Rows of block types as the integers that they hold, for products with integers
 * (num/gemm8.h): value = scale * code + min, with a scale and a min for each group of
 * columns. The very floats of mpq_decode_row come of that, where the product and the
 * sum are rounded to float.
 */
#ifndef MPQ_QUANT_SPLIT_H
#define MPQ_QUANT_SPLIT_H

#include "fmt/dtype.h"
#include "num/gemm8.h"

/* 1 and *form, when T is a block type that can be split; else 0. */
int mpq_split_form(struct mpq_type t, struct mpq_gemm8_form *form);

/* One row of COLS elements from SRC (mpq_type_row_bytes of them, unaligned) into
 * code[cols], scale[cols / form.group] and, of a type with mins, min[cols /
 * form.group]. The type must have a form and fit COLS: assert otherwise. Scales and
 * mins are those of the file, NaN and infinity included. */
void mpq_split_row(struct mpq_type t, const void *src, signed char *code, float *scale,
                   float *min, size_t cols);

#endif
