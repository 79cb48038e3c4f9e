#include "quant/grid.h"

#include "quant/block.h"
#include "quant/half.h"

#include <assert.h>
#include <string.h>

static const signed char signs[] = { -1, 1 };

int
mpq_grid_of(struct mpq_type t, struct mpq_grid *grid)
{
    const struct mpq_codec *c = mpq_codec_find(t);

    *grid = (struct mpq_grid){ 0 };
    if (c && c->put_codes) {
        *grid = c->grid;
    } else if (t.id == MPQ_INT && mpq_codec_reads(t)) {
        grid->n_codes = 1u << t.bits;
        grid->level = t.symmetric && t.bits == 1 ? signs : NULL;
        grid->first = t.symmetric ? -(float)(grid->n_codes / 2) : 0;
    }
    return grid->n_codes > 0;
}

size_t
mpq_grid_block(struct mpq_type t, size_t cols)
{
    if (t.id == MPQ_INT)
        return t.group && t.group < cols ? t.group : cols;
    return mpq_type_block(t);
}

/* A block's values when all its codes are alike. */
static void
decode_with(const struct mpq_codec *c, unsigned char *block, unsigned code, float *dst)
{
    unsigned char codes[256];

    memset(codes, (int)code, c->block);
    c->put_codes(codes, block);
    c->decode(block, dst, 1);
}

/* Where codes count from 0 the offset is the value of code 0; elsewhere there is none,
 * and the scale is the value of level 1. */
static void
read_block(const struct mpq_codec *c, const unsigned char *src, float *scale,
           float *offset)
{
    unsigned char block[512];
    unsigned one = 1;

    assert(c->block <= 256 && c->block_bytes <= sizeof block);
    memcpy(block, src, c->block_bytes);
    if (c->grid.level)
        while (c->grid.level[one] != 1)
            one++;
    else
        one = (unsigned)(1 - (int)c->grid.first);
    decode_with(c, block, one, scale);
    memset(offset, 0, c->block * sizeof *offset);
    if (c->grid.level || c->grid.first < 0)
        return;
    decode_with(c, block, 0, offset);
    for (size_t j = 0; j < c->block; j++)
        scale[j] -= offset[j];
}

void
mpq_grid_lines(struct mpq_type t, const unsigned char *row, size_t cols, size_t from,
               size_t n, float *scale, float *offset)
{
    const struct mpq_codec *c = mpq_codec_find(t);

    if (!c) {
        mpq_intb_lines(t, row, cols, from, n, scale, offset);
        return;
    }
    assert(from % c->block == 0 && n % c->block == 0);
    row += from / c->block * c->block_bytes;
    for (size_t j = 0; j < n; j += c->block, row += c->block_bytes)
        read_block(c, row, scale + j, offset + j);
}

/* Codes of whole groups, each with its own bits. */
static void
put_varied(struct mpq_type t, unsigned char *row, size_t cols, size_t from, size_t n,
           const unsigned char *code)
{
    const unsigned char *map = row;

    assert(from % t.group == 0 && (n % t.group == 0 || from + n == cols));
    row += mpq_type_split(t, cols).map;
    for (size_t at = 0; at < from + n; at += t.group) {
        const size_t left = from + n - at, m = left < t.group ? left : t.group;
        const unsigned bits = map[at / t.group];
        if (at >= from)
            mpq_intb_codes(bits, row, m, code + (at - from));
        row += m * bits / 8;
    }
}

void
mpq_grid_codes(struct mpq_type t, unsigned char *row, size_t cols, size_t from,
               size_t n, const unsigned char *code)
{
    const struct mpq_codec *c = mpq_codec_find(t);

    if (!c) {
        assert(from % 8 == 0 && (n % 8 == 0 || from + n == cols));
        if (t.varied)
            put_varied(t, row, cols, from, n, code);
        else
            mpq_intb_codes(t.bits, row + from / 8 * t.bits, n, code);
        return;
    }
    assert(from % c->block == 0 && n % c->block == 0);
    row += from / c->block * c->block_bytes;
    for (size_t j = 0; j < n; j += c->block, row += c->block_bytes)
        c->put_codes(code + j, row);
}

enum mpq_grid_line
mpq_grid_line_kind(struct mpq_type t)
{
    switch ((int)t.id) {
    case MPQ_INT:
        return t.symmetric ? MPQ_GRID_SCALE : MPQ_GRID_ZERO;
    case MPQ_Q8_0:
    case MPQ_Q5_0:
    case MPQ_Q4_0:
    case MPQ_IQ4_NL:
        return MPQ_GRID_SCALE;
    case MPQ_Q5_1:
    case MPQ_Q4_1:
        return MPQ_GRID_OFFSET;
    default:
        return MPQ_GRID_SHARED;
    }
}

void
mpq_grid_put_line(struct mpq_type t, unsigned char *row, size_t cols, size_t from,
                  float scale, float offset)
{
    const enum mpq_grid_line kind = mpq_grid_line_kind(t);

    if (kind == MPQ_GRID_SHARED)
        return;
    if (t.id == MPQ_INT) {
        mpq_intb_put_group(t, row, cols, t.group ? from / t.group : 0, scale,
                           scale != 0 ? -offset / scale : 0);
        return;
    }
    const struct mpq_codec *c = mpq_codec_find(t); /* the line comes first in all */
    row += from / c->block * c->block_bytes;
    mpq_put_f16(row, scale);
    if (kind == MPQ_GRID_OFFSET)
        mpq_put_f16(row + 2, offset);
}
