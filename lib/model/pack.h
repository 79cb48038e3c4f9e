/*
 * Fills a planned file with weights: rows are read, encoded in tiles on all threads and
 * written in the order of the file, while the next ones are being encoded. Tiles depend
 * on the shapes alone, so the bytes do not depend on the number of threads. In memory
 * are two batches of encoded tiles and a tile of decoded rows for each thread, some
 * tens of MB, whatever the model; the source's pages are let go once they are written.
 */
#ifndef MPQ_MODEL_PACK_H
#define MPQ_MODEL_PACK_H

#include "model/packfile.h"
#include "quant/codec.h"

/* Importance of a matrix's columns: a row of values for all its rows, or one for each
 * of several equal parts of them (the experts of a mixture). */
struct mpq_importance {
    const float *values; /* [n_parts][cols], >= 0; NULL: all ones */
    uint64_t n_parts;
};

/* Encodes a row, as mpq_encode_row does. */
typedef void mpq_encode_fn(struct mpq_type t, const float *src, const float *importance,
                           void *dst, size_t cols, enum mpq_effort effort);

/* What the salience of a weight is over: the diagonal of the inverse Hessian, by which
 * the loss grows with the square of its error, or the square of that, as TASA has it.
 */
enum mpq_salience { MPQ_SALIENCE_OBS, MPQ_SALIENCE_SQUARE };

struct mpq_pack_options {
    enum mpq_effort effort;
    enum mpq_salience salience; /* of varied types */
    unsigned threads;
    mpq_encode_fn *encode;                   /* NULL: mpq_encode_row */
    const struct mpq_importance *importance; /* for each piece; NULL: none at all */
    /* For each piece: all its rows encoded as piece->type already, or NULL, to be
     * encoded from the source. NULL: none at all. */
    const unsigned char *const *encoded;
    /* Told of the bytes written, a batch at a time, from any thread but never from two
     * at once; may be NULL. */
    void (*progress)(void *ctx, uint64_t bytes);
    void *progress_ctx;
};

/* Writes F, header and all, to OUT: f->size_bytes of them. -1 when a weight is NaN or
 * infinite, or OUT fails. */
MPQ_MUST_CHECK int
mpq_pack_write(const struct mpq_packfile *f, const struct mpq_source *s,
               struct mpq_out *out, const struct mpq_pack_options *options,
               struct mpq_err *err);

#endif
