/*
 * Block types: encode and decode one row. A file each (q4k.c, iq4nl.c, ...); this
 * header is all that the rest of the project knows of them.
 *
 * Decoders give the very floats that ggml's reference decoders give. Encoders search
 * for the scales and codes of least squared error, weighted by an importance if there
 * is one.
 */
#ifndef MPQ_QUANT_CODEC_H
#define MPQ_QUANT_CODEC_H

#include "fmt/dtype.h"

enum mpq_effort {
    MPQ_EFFORT_FAST,    /* closed forms and few candidates */
    MPQ_EFFORT_DEFAULT, /* the search that the project's figures are measured with */
    MPQ_EFFORT_MAX,     /* as far as it still pays, however slow */
};
/* "fast", "default", "max". */
const char *mpq_effort_name(enum mpq_effort effort);

/* Can rows of this type be decoded / encoded? */
int mpq_codec_reads(struct mpq_type t);
int mpq_codec_writes(struct mpq_type t);

/* Decodes one row of COLS elements from SRC (mpq_type_row_bytes of them, unaligned)
 * into dst[cols]. The type must be readable and fit COLS: assert otherwise. Values are
 * those of the file, NaN and infinity included. */
void mpq_decode_row(struct mpq_type t, const void *src, float *dst, size_t cols);

/*
 * Encodes src[cols], finite, into DST (mpq_type_row_bytes of them, unaligned).
 * IMPORTANCE[cols] >= 0 weighs the squared error of each column; NULL is all ones.
 * Of a varied intB the map of bits must be at DST already (mpq_vary makes it).
 * No state between calls; scratch memory of at most a block on the stack.
 */
void mpq_encode_row(struct mpq_type t, const float *src, const float *importance,
                    void *dst, size_t cols, enum mpq_effort effort);

/* Mean squared error of the type on standard normal rows of 4,096 columns at the
 * default effort: what a score becomes a damage by. From the tables in error.c, made by
 * tests/bench/type_error.c; between the groups in them interpolated. NaN for a type
 * without a codec. */
double mpq_type_error(struct mpq_type t);

#endif
