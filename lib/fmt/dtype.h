/*
 * Data types of tensors: ggml's (ids as in a GGUF file), those of safetensors that
 * ggml lacks, and the project's own integer types intB[gN[v]][s].
 */
#ifndef MPQ_FMT_DTYPE_H
#define MPQ_FMT_DTYPE_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

/* The numbers up to 42 are ggml's type ids. Gaps are types that ggml removed. */
enum mpq_dtype {
    MPQ_F32 = 0,
    MPQ_F16 = 1,
    MPQ_Q4_0 = 2,
    MPQ_Q4_1 = 3,
    MPQ_Q5_0 = 6,
    MPQ_Q5_1 = 7,
    MPQ_Q8_0 = 8,
    MPQ_Q8_1 = 9,
    MPQ_Q2_K = 10,
    MPQ_Q3_K = 11,
    MPQ_Q4_K = 12,
    MPQ_Q5_K = 13,
    MPQ_Q6_K = 14,
    MPQ_Q8_K = 15,
    MPQ_IQ2_XXS = 16,
    MPQ_IQ2_XS = 17,
    MPQ_IQ3_XXS = 18,
    MPQ_IQ1_S = 19,
    MPQ_IQ4_NL = 20,
    MPQ_IQ3_S = 21,
    MPQ_IQ2_S = 22,
    MPQ_IQ4_XS = 23,
    MPQ_I8 = 24,
    MPQ_I16 = 25,
    MPQ_I32 = 26,
    MPQ_I64 = 27,
    MPQ_F64 = 28,
    MPQ_IQ1_M = 29,
    MPQ_BF16 = 30,
    MPQ_TQ1_0 = 34,
    MPQ_TQ2_0 = 35,
    MPQ_MXFP4 = 39,
    MPQ_NVFP4 = 40,
    MPQ_Q1_0 = 41,
    MPQ_Q2_0 = 42,
    MPQ_DTYPE_GGML_END = 43,
    /* safetensors only */
    MPQ_U8 = 64,
    MPQ_U16,
    MPQ_U32,
    MPQ_U64,
    MPQ_BOOL,
    MPQ_F8_E4M3,
    MPQ_F8_E5M2,
    /* native: codes of `bits`, a scale (and a zero) in f16 for each group */
    MPQ_INT = 96,
};

/* A type with its parameters. Compare with mpq_type_eq. */
struct mpq_type {
    uint8_t id;        /* enum mpq_dtype */
    uint8_t bits;      /* MPQ_INT: 1..8, else 0 */
    uint8_t symmetric; /* MPQ_INT: 1 without zeros */
    uint8_t varied;    /* MPQ_INT: groups have `bits` on the mean; a map tells each's */
    uint8_t whole;     /* MPQ_INT: 1 in checkpoints of other programs, where zeros are
                          whole numbers from 1 to 2^bits - 1 and scales those that f16
                          and bf16 share; no name tells it */
    uint32_t group;    /* MPQ_INT: columns that share a scale, 0 = the whole row */
};

#define MPQ_TYPE(x) ((struct mpq_type){ .id = (uint8_t)(x) })
enum { MPQ_TYPE_NAME_MAX = 24 };

/* Reads "q4_k", "F16", "int3g128s", "int3g128v": case does not matter. -1 if unknown.
 */
MPQ_MUST_CHECK int mpq_type_parse(const char *text, struct mpq_type *out);
/* Writes the lower-case name ("q4_k", "int3g128s") into NAME; returns NAME. */
const char *mpq_type_name(struct mpq_type t, char name[MPQ_TYPE_NAME_MAX]);
int mpq_type_eq(struct mpq_type a, struct mpq_type b);
/* ggml id to type; -1 when ggml has no such type (or has no longer). */
MPQ_MUST_CHECK int mpq_type_from_ggml(uint64_t id, struct mpq_type *out);
int mpq_type_is_ggml(struct mpq_type t);
/* safetensors' dtype string ("BF16"); -1 when unknown. */
MPQ_MUST_CHECK int mpq_type_from_st(const char *dtype, struct mpq_type *out);
/* NULL when a safetensors file has no such dtype. */
const char *mpq_type_st_name(struct mpq_type t);

/* Elements in a block (1 for plain types; for MPQ_INT 1: any row length will do). */
uint32_t mpq_type_block(struct mpq_type t);
/* Is COLS > 0 a multiple of the block? */
int mpq_type_fits(struct mpq_type t, uint64_t cols);
/* Bytes of one row of COLS elements; -1 when it does not fit or overflows.
 * MPQ_INT: if varied, the map of bits, a byte for each group; then
 * ceil(cols * bits / 8) of codes, then the groups' scales (f16), then, unless
 * symmetric, their zeros (f16). */
MPQ_MUST_CHECK int
mpq_type_row_bytes(struct mpq_type t, uint64_t cols, uint64_t *bytes);
/* Of these, what lies where (MPQ_INT that fits COLS, COLS a row in memory). */
struct mpq_type_parts {
    size_t map, codes, scales,
        zeros; /* bytes, in this order in a row; zeros may be 0 */
};
struct mpq_type_parts mpq_type_split(struct mpq_type t, size_t cols);
/* Bytes of ROWS rows in a file: all share one map. */
MPQ_MUST_CHECK int
mpq_type_bytes(struct mpq_type t, uint64_t rows, uint64_t cols, uint64_t *bytes);
/* Groups in a row of COLS elements (MPQ_INT only). */
uint64_t mpq_type_groups(struct mpq_type t, uint64_t cols);
/* Bytes of a map of bits, 0 unless varied. */
uint64_t mpq_type_map_bytes(struct mpq_type t, uint64_t cols);
/* Is map[groups] one of T in rows of COLS: each from 1 to 8, `bits` on the mean? */
int mpq_type_map_fits(struct mpq_type t, uint64_t cols, const unsigned char *map);
/* Mean bits of a weight in a row of COLS elements, scales included (the map, which the
 * whole matrix shares, not). 0 when it does not fit. */
double mpq_type_bpw(struct mpq_type t, uint64_t cols);
/* Bits as the papers count them: those of the codes alone (q4_k: 4, q8_0: 8). */
double mpq_type_nominal_bits(struct mpq_type t);
/* Plain floating-point number of 16 or more bits? */
int mpq_type_is_float(struct mpq_type t);

#endif
