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

/* 1 when the type has a grid: all block types and intB, not the float types. Of a
 * varied intB it is that of its mean bits: a group has that of its own. */
int mpq_grid_of(struct mpq_type t, struct mpq_grid *grid);
/* Elements that a scale search sees at once: a block, or a group of an intB. */
size_t mpq_grid_block(struct mpq_type t, size_t cols);

/* Of columns [from, from + n) of an encoded row of COLS, the scale and offset of each.
 * FROM is a multiple of the type's block; of an intB, any. */
void mpq_grid_lines(struct mpq_type t, const unsigned char *row, size_t cols,
                    size_t from, size_t n, float *scale, float *offset);
/* Puts code[n] in the place of the codes of columns [from, from + n). FROM is a
 * multiple of the type's block; of an intB, of 8, of a varied one, of its group; and so
 * is N unless it ends the row. */
void mpq_grid_codes(struct mpq_type t, unsigned char *row, size_t cols, size_t from,
                    size_t n, const unsigned char *code);
/* What is free to choose of the line of a block. */
enum mpq_grid_line {
    MPQ_GRID_SHARED, /* nothing: blocks of a super-block share factors */
    MPQ_GRID_SCALE,  /* the scale, f16; no offset */
    MPQ_GRID_OFFSET, /* scale and offset, f16 */
    MPQ_GRID_ZERO    /* scale and -offset / scale, f16 */
};
enum mpq_grid_line mpq_grid_line_kind(struct mpq_type t);
/* Sets the line of the block (group of an intB) that begins at column FROM of ROW,
 * codes staying as they are; SHARED: does nothing. */
void mpq_grid_put_line(struct mpq_type t, unsigned char *row, size_t cols, size_t from,
                       float scale, float offset);
/* Sets scale and zero (nothing for a symmetric one) of the G-th group of the row
 * DST[cols] of an intB. */
void mpq_intb_put_group(struct mpq_type t, unsigned char *dst, size_t cols, size_t g,
                        float scale, float zero);

#endif
