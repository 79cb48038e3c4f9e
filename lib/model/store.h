/*
 * Encoded rows of a planned file's pieces, kept from when a quantizer made them until
 * they are written: quantizers go from layer to layer, a file has an order of its own.
 * They lie in a mapped temporary file, so memory is that of the layer under work; or in
 * a file with a name, which stays when the program is ended and is gone on from:
 *
 *   "mpq-part 3\n", the number of finished layers (u64, little-endian), the length of
 *   the description (u64), the description (lines of text), zeros up to a multiple of
 *   8, a checksum (u64, XXH64) of each piece's rows once they are finished, one of what
 *   each finished layer was made from, zeros up to a multiple of 4,096; then the
 *   pieces' rows, each piece beginning at a multiple of 64
 */
#ifndef MPQ_MODEL_STORE_H
#define MPQ_MODEL_STORE_H

#include "model/packfile.h"

struct mpq_store; /* opaque; owns the mapping */

struct mpq_store_options {
    const unsigned char *held; /* [f->n]: 1, the piece's rows are to be kept */
    const char *path;          /* NULL: a temporary file without a name */
    const char *description;   /* what decides the rows: lines "KEY VALUE", each key
                                  once; without a name, "" */
    size_t n_layers;
};

/* Room for the pieces of F (borrowed), as piece->type. A file of that name that was
 * left by a run of the same description is gone on from; of another one, it is an error
 * that says the first line that differs. A file of somebody else, or a symbolic link,
 * is an error too, and stays as it is. */
MPQ_MUST_CHECK int
mpq_store_new(struct mpq_store **out, const struct mpq_packfile *f,
              const struct mpq_store_options *options, struct mpq_err *err);
/* Leaves a file with a name where it is. */
void mpq_store_free(struct mpq_store *s);
/* Removes the file's name: its rows have been written. */
void mpq_store_remove(struct mpq_store *s);

/* Rows of piece I, mpq_type_row_bytes(type, cols) each; NULL when they are not kept. */
unsigned char *mpq_store_rows(const struct mpq_store *s, size_t i);
/* [f->n] of these, for struct mpq_pack_options. Lives as long as S. */
const unsigned char *const *mpq_store_all(const struct mpq_store *s);

/* Layers [0, n) are finished. */
size_t mpq_store_finished(const struct mpq_store *s);
/* Notes that one more is, and with it the pieces that are READY[f->n]; in a file with a
 * name, once their rows are on the disk. MADE_FROM: a checksum of inputs that the
 * description does not tell apart, 0 where there are none. */
MPQ_MUST_CHECK int
mpq_store_finish_layer(struct mpq_store *s, const unsigned char *ready,
                       uint64_t made_from, struct mpq_err *err);
/* That of a finished layer, in a file with a name. */
uint64_t mpq_store_made_from(const struct mpq_store *s, size_t layer);
/* Are the rows of piece I those that were finished? -1: the file is damaged. */
MPQ_MUST_CHECK int mpq_store_verify(struct mpq_store *s, size_t i, struct mpq_err *err);

#endif
