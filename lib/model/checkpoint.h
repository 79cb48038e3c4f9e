/*
 * Rounded matrices as other programs' checkpoints hold them: several tensors, named
 * like the module (the matrix's name without ".weight"). Codes, scales and zeros are
 * those of the native types intB[gN][s] whose zeros are whole (mpq_type.whole), ROWS x
 * COLS, GROUPS to a row; "a stream of bits" is little-endian in words of 32, the lowest
 * first.
 *
 *   compressed-tensors, pack-quantized (package compressed-tensors)
 *     .weight_shape       I64 [2]                      ROWS, COLS
 *     .weight_packed      I32 [ROWS, ceil(COLS B / 32)] of each row a stream of codes
 *     .weight_zero_point  I32 [ceil(ROWS B / 32), GROUPS] of each column a stream of
 *                                                      zeros; not of symmetric ones
 *     .weight_scale       F16 [ROWS, GROUPS]
 *
 *   GPTQ (AutoGPTQ, GPTQModel)
 *     .qweight            I32 [COLS B / 32, ROWS]      of each column a stream of codes
 *     .qzeros             I32 [GROUPS, ROWS B / 32]    of each row a stream of zeros,
 *                                                      less 1 in the first version
 *     .g_idx              I32 [COLS]                   the group of each input
 *     .scales             F16 [GROUPS, ROWS]
 *
 * A symmetric type's zero is 2^(B-1).
 */
#ifndef MPQ_MODEL_CHECKPOINT_H
#define MPQ_MODEL_CHECKPOINT_H

#include "model/packfile.h"

/* Is it a folder with config.json, tokenizer and names of Hugging Face's? */
int mpq_checkpoint_is(enum mpq_packform form);
/* One that holds rounded matrices? */
int mpq_checkpoint_packs(enum mpq_packform form);
/* How a user calls it. */
const char *mpq_checkpoint_name(enum mpq_packform form);

/* Why the form cannot hold W as TYPE; NULL: it can. */
const char *mpq_checkpoint_refuses(enum mpq_packform form, const struct mpq_weight *w,
                                   struct mpq_type type);

struct mpq_part {
    const char *suffix;
    struct mpq_type type;
    unsigned n_dims;
    uint64_t dim[2]; /* row length first */
    uint64_t bytes;
};
enum { MPQ_PARTS_MAX = 4 };
/* The parts of a ROWS x COLS matrix of TYPE, an intB, in their order. -1 when a size
 * overflows. */
MPQ_MUST_CHECK int
mpq_checkpoint_parts(enum mpq_packform form, struct mpq_type type, uint64_t rows,
                     uint64_t cols, struct mpq_part parts[MPQ_PARTS_MAX], size_t *n);
/* Writes them for rows as mpq_encode_row makes them, ENCODED[rows]. */
MPQ_MUST_CHECK int
mpq_checkpoint_write(enum mpq_packform form, struct mpq_type type, uint64_t rows,
                     uint64_t cols, const unsigned char *encoded, struct mpq_out *out,
                     struct mpq_err *err);

#endif
