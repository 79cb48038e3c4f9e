#include "model/pack.h"

#include "base/par.h"
#include "model/checkpoint.h"
#include "model/salience.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    TILE_WEIGHTS = 1 << 16,  /* of a tile of decoded rows: 256 KiB stay in the cache */
    BATCH_BYTES = 16 << 20,  /* of encoded tiles: enough to keep many threads busy */
    BATCH_COPIES = 64 << 20, /* bytes copied between two batches of tiles */
    BATCH_TILES = 1024,
};

/* Some rows of a piece. */
struct tile {
    const struct mpq_piece *piece;
    uint64_t row, n_rows;
    size_t offset;     /* of its encoded bytes in the batch's buffer, ... */
    const void *bytes; /* ... or where they are already, in the source: a copy */
    uint64_t size;
};

struct batch {
    struct tile tiles[BATCH_TILES];
    size_t n, used;
    uint64_t copied;
    unsigned char *buffer;
};

struct packer {
    const struct mpq_packfile *file;
    const struct mpq_source *source;
    struct mpq_out *out;
    const struct mpq_pack_options *options;
    struct batch batches[2]; /* one is encoded while the other is written */
    struct batch *encoding, *writing;
    size_t piece; /* the next tile begins here ... */
    uint64_t row; /* ... at this row */
    size_t scratch_weights, scratch_bytes;
    float *weights;               /* [threads][scratch_weights] */
    unsigned char *packed;        /* [threads][scratch_bytes]: a row */
    struct mpq_buf scales, zeros; /* of the native matrix that is being written */
    struct mpq_buf rows;          /* the same of a checkpoint's matrix, all of it */
    struct mpq_buf map;           /* its bits */
    unsigned char **maps; /* [pieces] of what is to be encoded as a varied type */
};

static uint64_t
row_bytes(struct mpq_type type, const struct mpq_weight *w)
{
    uint64_t bytes = 0;
    int rc = mpq_type_row_bytes(type, w->cols, &bytes);
    assert(rc == 0); /* the plan was checked */
    (void)rc;
    return bytes;
}

static uint64_t
tile_rows(const struct mpq_weight *w)
{
    uint64_t rows = TILE_WEIGHTS / w->cols;
    return rows < 1 ? 1 : rows < w->rows ? rows : w->rows;
}

/* The piece's rows as somebody has encoded them, or NULL. */
static const unsigned char *
encoded_rows(const struct packer *p, const struct mpq_piece *piece)
{
    return p->options->encoded ? p->options->encoded[piece - p->file->pieces] : NULL;
}

/* The bytes that can be written as they stand, or NULL: rows must be encoded. */
static const unsigned char *
direct_rows(const struct packer *p, const struct mpq_piece *piece)
{
    const unsigned char *encoded = encoded_rows(p, piece);

    if (piece->head) /* rows change places */
        return NULL;
    if (encoded)
        return mpq_type_eq(piece->type, piece->stored) ? encoded : NULL;
    return mpq_piece_is_copy(piece) && !piece->weight->scales
               ? piece->weight->tensor.data
               : NULL;
}

/* Cuts the next pieces into the tiles of B. */
static void
fill(struct packer *p, struct batch *b)
{
    b->n = 0;
    b->used = 0;
    b->copied = 0;
    while (p->piece < p->file->n && b->n < BATCH_TILES && b->used < BATCH_BYTES &&
           b->copied < BATCH_COPIES) {
        const struct mpq_piece *piece = &p->file->pieces[p->piece];
        const struct mpq_weight *w = piece->weight;
        struct tile *t = &b->tiles[b->n++];
        uint64_t bytes = row_bytes(piece->stored, w), left = w->rows - p->row;
        const unsigned char *direct = direct_rows(p, piece);
        uint64_t rows = direct ? BATCH_COPIES / bytes + 1 : tile_rows(w);
        *t = (struct tile){ .piece = piece, .row = p->row };
        t->n_rows = rows < left ? rows : left;
        t->size = t->n_rows * bytes;
        if (direct) {
            t->bytes = direct + t->row * bytes;
            b->copied += t->size;
        } else {
            t->offset = b->used;
            b->used += (size_t)t->size;
        }
        p->row += t->n_rows;
        if (p->row == w->rows) {
            p->row = 0;
            p->piece++;
        }
    }
}

static const float *
importance_of(const struct packer *p, const struct mpq_piece *piece, uint64_t row)
{
    const struct mpq_importance *all = p->options->importance;
    const struct mpq_importance *i = all ? &all[piece - p->file->pieces] : NULL;

    if (!i || !i->values)
        return NULL;
    uint64_t rows = piece->weight->rows / i->n_parts;
    return i->values + row / rows * piece->weight->cols;
}

/* Where row ROW of heads that change is, before the change. */
static uint64_t
moved_row(const struct mpq_piece *piece, uint64_t row)
{
    return piece->gathers ? mpq_unconvert_row(row, piece->head)
                          : mpq_convert_row(row, piece->head);
}

/* Where the file's row ROW is in the source. */
static uint64_t
source_row(const struct mpq_piece *piece, uint64_t row)
{
    return piece->head && piece->weight->is_matrix ? moved_row(piece, row) : row;
}

/* What a conversion does to the values of a row, beside moving it. */
static void
convert_values(const struct mpq_piece *piece, float *x, size_t cols)
{
    float before[MPQ_CONVERT_HEAD_MAX];
    const size_t n = (size_t)piece->head;

    for (size_t i = 0; piece->plus != 0 && i < cols; i++)
        x[i] += piece->plus;
    if (!n || piece->weight->is_matrix)
        return;
    for (size_t at = 0; at + n <= cols; at += n) { /* a bias of such rows */
        memcpy(before, x + at, n * sizeof *before);
        for (size_t i = 0; i < n; i++)
            x[at + i] = before[moved_row(piece, i)];
    }
}

/* The tile's rows, decoded and converted, into X. */
static int
read_tile(const struct packer *p, const struct tile *t, float *x, struct mpq_err *err)
{
    const struct mpq_piece *piece = t->piece;
    const struct mpq_weight *w = piece->weight;
    const size_t cols = (size_t)w->cols;

    if (!piece->head && piece->plus == 0)
        return mpq_source_read_for(p->source, w, t->row, t->n_rows, piece->type, x,
                                   err);
    for (uint64_t r = 0; r < t->n_rows; r++, x += cols) {
        const uint64_t from = source_row(piece, t->row + r);
        if (mpq_source_read_for(p->source, w, from, 1, piece->type, x, err) < 0)
            return -1;
        convert_values(piece, x, cols);
    }
    return 0;
}

static int
encode_tile(struct packer *p, const struct tile *t, unsigned thread,
            struct mpq_err *err)
{
    const struct mpq_piece *piece = t->piece;
    const struct mpq_weight *w = piece->weight;
    const size_t cols = (size_t)w->cols;
    const uint64_t bytes = row_bytes(piece->stored, w);
    const int rounds = !mpq_type_eq(piece->type, piece->stored) &&
                       !mpq_type_eq(piece->type, w->tensor.type);
    unsigned char *packed = p->packed + thread * p->scratch_bytes;
    unsigned char *dst = p->encoding->buffer + t->offset;
    float *x = p->weights + thread * p->scratch_weights;
    mpq_encode_fn *encode = p->options->encode ? p->options->encode : mpq_encode_row;
    const unsigned char *encoded = encoded_rows(p, piece);

    if (encoded) { /* of a fake file: to be decoded again; or rows change places */
        const uint64_t from = row_bytes(piece->type, w);
        for (uint64_t r = 0; r < t->n_rows; r++, dst += bytes) {
            const unsigned char *row = encoded + source_row(piece, t->row + r) * from;
            if (mpq_type_eq(piece->type, piece->stored)) {
                memcpy(dst, row, (size_t)bytes);
                continue;
            }
            mpq_decode_row(piece->type, row, x, cols);
            mpq_encode_row(piece->stored, x, NULL, dst, cols, p->options->effort);
        }
        return 0;
    }
    if (mpq_piece_is_copy(piece)) { /* of a native matrix whose parts lie apart */
        for (uint64_t r = 0; r < t->n_rows; r++, dst += bytes)
            memcpy(dst, mpq_weight_row(w, source_row(piece, t->row + r), packed),
                   (size_t)bytes);
        return 0;
    }
    const unsigned char *map = p->maps[piece - p->file->pieces];
    if (read_tile(p, t, x, err) < 0)
        return -1;
    for (uint64_t r = 0; r < t->n_rows; r++, dst += bytes, x += cols) {
        const float *importance = importance_of(p, piece, t->row + r);
        if (map)
            memcpy(rounds ? packed : dst, map,
                   (size_t)mpq_type_map_bytes(piece->type, w->cols));
        if (rounds) {
            encode(piece->type, x, importance, packed, cols, p->options->effort);
            mpq_decode_row(piece->type, packed, x, cols);
        }
        encode(piece->stored, x, importance, dst, cols, p->options->effort);
    }
    return 0;
}

/* Rows of a native matrix: the codes go out, what else there is waits for the end. */
static int
write_native(struct packer *p, const struct tile *t, const unsigned char *rows,
             struct mpq_err *err)
{
    const struct mpq_type_parts x =
        mpq_type_split(t->piece->stored, (size_t)t->piece->weight->cols);

    if (mpq_checkpoint_packs(p->file->form)) { /* its parts are of all rows */
        mpq_buf_add(&p->rows, rows, (size_t)t->size);
        return p->rows.failed ? mpq_fail(err, MPQ_ENOMEM, "%s: out of memory",
                                         mpq_out_name(p->out))
                              : 0;
    }
    for (uint64_t r = 0; r < t->n_rows; r++) {
        if (t->row + r == 0)
            mpq_buf_add(&p->map, rows, x.map);
        rows += x.map;
        if (mpq_out_write(p->out, rows, x.codes, err) < 0)
            return -1;
        mpq_buf_add(&p->scales, rows += x.codes, x.scales);
        mpq_buf_add(&p->zeros, rows += x.scales, x.zeros);
        rows += x.zeros;
    }
    if (p->scales.failed || p->zeros.failed || p->map.failed)
        return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", mpq_out_name(p->out));
    return 0;
}

/* What follows the last row of a piece. */
static int
end_piece(struct packer *p, const struct mpq_piece *piece, struct mpq_err *err)
{
    if (p->rows.len &&
        mpq_checkpoint_write(p->file->form, piece->stored, piece->weight->rows,
                             piece->weight->cols, (const unsigned char *)p->rows.data,
                             p->out, err) < 0)
        return -1;
    p->rows.len = 0;
    if (mpq_out_write(p->out, p->scales.data, p->scales.len, err) < 0 ||
        mpq_out_write(p->out, p->zeros.data, p->zeros.len, err) < 0 ||
        mpq_out_write(p->out, p->map.data, p->map.len, err) < 0 ||
        mpq_out_zeros(p->out, piece->padding, err) < 0)
        return -1;
    p->scales.len = 0;
    p->zeros.len = 0;
    p->map.len = 0;
    if (piece->index != SIZE_MAX) /* that is our own memory */
        mpq_source_drop(p->source, piece->weight);
    return 0;
}

/* Lets go of the source's pages of the first ROWS rows, all of which are written. */
static void
drop_rows(const struct packer *p, const struct mpq_piece *piece, uint64_t rows)
{
    struct mpq_weight part = *piece->weight;

    if (part.scales || piece->head || piece->index == SIZE_MAX)
        return;
    part.tensor.size_bytes = rows * row_bytes(part.tensor.type, &part);
    mpq_source_drop(p->source, &part);
}

static int
write_batch(struct packer *p, const struct batch *b, struct mpq_err *err)
{
    uint64_t before = mpq_out_size(p->out);

    for (size_t i = 0; i < b->n; i++) {
        const struct tile *t = &b->tiles[i];
        const unsigned char *bytes = t->bytes ? t->bytes : b->buffer + t->offset;
        int rc = t->piece->stored.id == MPQ_INT
                     ? write_native(p, t, bytes, err)
                     : mpq_out_write(p->out, bytes, (size_t)t->size, err);
        if (rc == 0 && t->row + t->n_rows == t->piece->weight->rows)
            rc = end_piece(p, t->piece, err);
        else if (rc == 0 && i + 1 == b->n)
            drop_rows(p, t->piece, t->row + t->n_rows);
        if (rc < 0)
            return -1;
    }
    if (p->options->progress && b->n)
        p->options->progress(p->options->progress_ctx, mpq_out_size(p->out) - before);
    return 0;
}

/* Item 0 writes the batch before, the others encode a tile of this one each. */
static int
do_item(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    struct packer *p = ctx;

    if (item == 0)
        return write_batch(p, p->writing, err);
    const struct tile *t = &p->encoding->tiles[item - 1];
    return t->bytes ? 0 : encode_tile(p, t, thread, err);
}

/* Room for the largest tile and row of all pieces. */
static int
make_room(struct packer *p, struct mpq_err *err)
{
    uint64_t tile = 0, row = 0, weights = 0;
    const size_t threads = p->options->threads;

    for (size_t i = 0; i < p->file->n; i++) {
        const struct mpq_piece *piece = &p->file->pieces[i];
        const struct mpq_weight *w = piece->weight;
        uint64_t rows = tile_rows(w), bytes = row_bytes(piece->stored, w);
        uint64_t packed = row_bytes(piece->type, w);
        if (direct_rows(p, piece))
            continue;
        weights = rows * w->cols > weights ? rows * w->cols : weights;
        tile = rows * bytes > tile ? rows * bytes : tile;
        row = bytes > row ? bytes : row;
        row = packed > row ? packed : row;
    }
    p->scratch_weights = (size_t)weights;
    p->scratch_bytes = (size_t)row;
    if (weights < SIZE_MAX / sizeof *p->weights / threads && row < SIZE_MAX / threads) {
        p->weights = malloc(threads * p->scratch_weights * sizeof *p->weights + 1);
        p->packed = malloc(threads * p->scratch_bytes + 1);
    }
    for (int i = 0; i < 2 && tile < SIZE_MAX - BATCH_BYTES; i++)
        p->batches[i].buffer = malloc(BATCH_BYTES + (size_t)tile);
    if (!p->weights || !p->packed || !p->batches[0].buffer || !p->batches[1].buffer)
        return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory",
                        mpq_source_name(p->source));
    return 0;
}

/* Of everything that is going to be encoded here as a varied type. */
static int
make_maps(struct packer *p, struct mpq_err *err)
{
    const struct mpq_packfile *f = p->file;

    if (!(p->maps = mpq_array(f->n, sizeof *p->maps)))
        return mpq_fail(err, MPQ_ENOMEM, "out of memory for %zu pieces", f->n);
    for (size_t i = 0; i < f->n; i++) {
        const struct mpq_piece *piece = &f->pieces[i];
        const struct mpq_weight *w = piece->weight;
        if (!piece->type.varied || encoded_rows(p, piece) || mpq_piece_is_copy(piece) ||
            mpq_type_eq(piece->type, w->tensor.type))
            continue;
        p->maps[i] = mpq_array((size_t)mpq_type_map_bytes(piece->type, w->cols), 1);
        if (!p->maps[i])
            return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", w->name);
        if (mpq_salience_map(p->source, w, piece->type, NULL,
                             p->options->importance ? &p->options->importance[i] : NULL,
                             p->options->salience, p->maps[i], err) < 0)
            return -1;
    }
    return 0;
}

int
mpq_pack_write(const struct mpq_packfile *f, const struct mpq_source *s,
               struct mpq_out *out, const struct mpq_pack_options *options,
               struct mpq_err *err)
{
    struct packer *p = calloc(1, sizeof *p);
    const uint64_t before = mpq_out_size(out);
    int rc = -1;

    if (!p)
        return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", mpq_source_name(s));
    p->file = f;
    p->source = s;
    p->out = out;
    p->options = options;
    p->encoding = &p->batches[0];
    p->writing = &p->batches[1];
    if (make_room(p, err) < 0 || make_maps(p, err) < 0 ||
        mpq_out_write(out, f->head.data, f->head.len, err) < 0)
        goto out;
    do { /* the last round has nothing to encode, the first nothing to write */
        fill(p, p->encoding);
        if (mpq_par_for(options->threads, p->encoding->n + 1, do_item, p, err) < 0)
            goto out;
        struct batch *done = p->encoding;
        p->encoding = p->writing;
        p->writing = done;
    } while (p->writing->n);
    assert(mpq_out_size(out) - before == f->size_bytes);
    rc = 0;
out:
    mpq_buf_free(&p->scales);
    mpq_buf_free(&p->zeros);
    mpq_buf_free(&p->map);
    for (size_t i = 0; p->maps && i < f->n; i++)
        free(p->maps[i]);
    free(p->maps);
    mpq_buf_free(&p->rows);
    free(p->weights);
    free(p->packed);
    free(p->batches[0].buffer);
    free(p->batches[1].buffer);
    free(p);
    return rc;
}
