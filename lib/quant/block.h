/*
 * What a block type's file gives to the table in codec.c, for use within lib/quant.
 */
#ifndef MPQ_QUANT_BLOCK_H
#define MPQ_QUANT_BLOCK_H

#include "num/gemm8.h"
#include "quant/codec.h"
#include "quant/grid.h"

/* A block type as integers, see split.h. */
struct mpq_split {
    struct mpq_gemm8_form form;
    /* N blocks from SRC into code[n * block], scale[] and min[]. */
    void (*split)(const unsigned char *src, signed char *code, float *scale, float *min,
                  size_t n);
};

struct mpq_codec {
    uint32_t block;       /* elements */
    uint32_t block_bytes; /* what they take */
    /* N blocks from SRC into dst[n * block]. */
    void (*decode)(const unsigned char *src, float *dst, size_t n);
    /* src[n * block], with an importance for each or NULL, into N blocks at DST. */
    void (*encode)(const float *src, const float *importance, unsigned char *dst,
                   size_t n, enum mpq_effort effort);
    /* Block types: the codes that an element can have, and code[block] put into a block
     * whose scales stay. */
    struct mpq_grid grid;
    void (*put_codes)(const unsigned char *code, unsigned char *dst);
    const struct mpq_split *split;
};

/* NULL for intB and for types without a codec. */
const struct mpq_codec *mpq_codec_find(struct mpq_type t);

extern const struct mpq_codec mpq_codec_f32, mpq_codec_f16, mpq_codec_bf16;
extern const struct mpq_codec mpq_codec_q8_0, mpq_codec_q5_0, mpq_codec_q4_0;
extern const struct mpq_codec mpq_codec_q5_1, mpq_codec_q4_1;
extern const struct mpq_codec mpq_codec_q6_k, mpq_codec_q3_k;
extern const struct mpq_codec mpq_codec_q5_k, mpq_codec_q4_k, mpq_codec_q2_k;
extern const struct mpq_codec mpq_codec_iq4_nl, mpq_codec_iq4_xs;

/* intb.c: the type carries the parameters, so a row is the unit. */
void
mpq_intb_decode(struct mpq_type t, const unsigned char *src, float *dst, size_t cols);
void mpq_intb_encode(struct mpq_type t, const float *src, const float *importance,
                     unsigned char *dst, size_t cols, enum mpq_effort effort);
/* Scale and offset of columns [from, from + n). */
void mpq_intb_lines(struct mpq_type t, const unsigned char *row, size_t cols,
                    size_t from, size_t n, float *scale, float *offset);
/* N codes of so many bits as a stream from the byte DST on. */
void
mpq_intb_codes(unsigned bits, unsigned char *dst, size_t n, const unsigned char *code);

#endif
