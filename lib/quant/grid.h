/*
 * The grid of an encoded block: which values its elements can take while its scales
 * stay as they are. For quantizers that choose the codes themselves.
 *
 *   value = scale * level(code) + offset,   code = 0 ... n_codes - 1, level ascending
 */
#ifndef MPQ_QUANT_GRID_H
#define MPQ_QUANT_GRID_H

#include "fmt/dtype.h"

struct mpq_grid {
    unsigned n_codes;
    const signed char *level; /* [n_codes]; NULL: level(code) = code + first */
    float first;
};

/* 1 when the type has a grid: all block types and intB, not the float types. */
int mpq_grid_of(struct mpq_type t, struct mpq_grid *grid);
/* Elements that a scale search sees at once: a block, or a group of an intB. */
size_t mpq_grid_block(struct mpq_type t, size_t cols);

/* Of N encoded elements (a block, or several; a group of an intB encoded as a row of
 * its own), the scale and offset of each. */
void mpq_grid_read(struct mpq_type t, const unsigned char *blocks, size_t n,
                   float *scale, float *offset);
/* Puts code[n] in the place of the codes that are there. */
void mpq_grid_write(struct mpq_type t, unsigned char *blocks, size_t n,
                    const unsigned char *code);
/* Of GROUP, N columns encoded as a row of an intB by themselves (the type with the
 * whole row as its group), takes scale and zero for the G-th group of the row
 * DST[cols]. */
void mpq_intb_take_group(struct mpq_type t, const unsigned char *group, size_t n,
                         size_t g, unsigned char *dst, size_t cols);

#endif
