/*
 * Tab-separated tables between the tools.
 *
 *   ##mpq KIND 1 tool=mpq-stats version=0.1.0 model=NAME options=...
 *   ##key value...                metadata, passed on from stage to stage
 *   #col<TAB>col                  column names
 *   a<TAB>b                       rows
 *   ##end ROWS crc32=89abcdef     over the bytes of the rows, line ends included
 *
 * Several sections of one KIND may follow each other; they are read as one table. A
 * table that begins with ##mpq and has no ##end was cut short. Without ##mpq (a user
 * filtered it) that check falls away and the first line with # names the columns. The
 * checksum of a plan is not held against its rows: plans are edited by hand. Lines end
 * in LF alone: one that ends in CR LF is refused.
 */
#ifndef MPQ_FMT_TSV_H
#define MPQ_FMT_TSV_H

#include "base/buf.h"
#include "base/io.h"

#include <stddef.h>
#include <stdint.h>

struct mpq_tsv; /* a table in memory; opaque */

/* Reads PATH ("-": standard input), gzip too. KIND is what must stand after ##mpq, or
 * NULL for any. On success *out is the caller's to free. */
MPQ_MUST_CHECK int mpq_tsv_read(struct mpq_tsv **out, const char *path,
                                const char *kind, struct mpq_err *err);
/* The same from N bytes in memory; NAME is for messages. */
MPQ_MUST_CHECK int
mpq_tsv_parse(struct mpq_tsv **out, const char *bytes, size_t n, const char *name,
              const char *kind, struct mpq_err *err);
void mpq_tsv_free(struct mpq_tsv *t);

const char *mpq_tsv_name(const struct mpq_tsv *t); /* for messages */
const char *
mpq_tsv_kind(const struct mpq_tsv *t); /* NULL when ##mpq was filtered out */
/* The value of KEY= on the first ##mpq line, decoded; NULL when absent. */
const char *mpq_tsv_info(struct mpq_tsv *t, const char *key);
/* Metadata lines without their "##", identical ones once, ##mpq and ##end left out. */
size_t mpq_tsv_meta_count(const struct mpq_tsv *t);
const char *mpq_tsv_meta(const struct mpq_tsv *t, size_t i);

size_t mpq_tsv_rows(const struct mpq_tsv *t);
size_t mpq_tsv_cols(const struct mpq_tsv *t);
const char *mpq_tsv_col_name(const struct mpq_tsv *t, size_t col);
/* Column index, or -1 when there is none. */
int mpq_tsv_find(const struct mpq_tsv *t, const char *column);
/* As mpq_tsv_find, but a missing column is an error that names it. */
MPQ_MUST_CHECK int
mpq_tsv_need(const struct mpq_tsv *t, const char *column, struct mpq_err *err);
/* Borrowed text of a cell, row < rows, col < cols. */
const char *mpq_tsv_cell(const struct mpq_tsv *t, size_t row, size_t col);
/* 1-based line of a row in its file, for messages. */
size_t mpq_tsv_line(const struct mpq_tsv *t, size_t row);
/* Cells as numbers; the message names file, line, column and text. */
MPQ_MUST_CHECK int mpq_tsv_double(const struct mpq_tsv *t, size_t row, size_t col,
                                  double *out, struct mpq_err *err);
MPQ_MUST_CHECK int mpq_tsv_u64(const struct mpq_tsv *t, size_t row, size_t col,
                               uint64_t *out, struct mpq_err *err);

/* Writing. */
struct mpq_tsv_writer {
    struct mpq_out *out;  /* borrowed */
    struct mpq_buf *text; /* what is written goes here; NULL: to out */
    uint64_t rows;
    uint32_t crc;
};
/* For a table whose first ROWS[n], whole lines, have been written: OUT gets the rest.
 */
void mpq_tsv_go_on(struct mpq_tsv_writer *w, struct mpq_out *out, const char *rows,
                   size_t n);
/* ##mpq line; OUT is NULL for a writer into w->text. INFO is pairs key, value, ...,
 * NULL; blanks, % and control bytes in a value are percent-encoded. */
MPQ_MUST_CHECK int
mpq_tsv_begin(struct mpq_tsv_writer *w, struct mpq_out *out, const char *kind,
              const char *const *info, struct mpq_err *err);
/* One "##" line; TEXT without the ##. */
MPQ_MUST_CHECK int mpq_tsv_put_meta(struct mpq_tsv_writer *w, struct mpq_err *err,
                                    const char *fmt, ...) MPQ_PRINTF(3, 4);
/* "#" and the tab-separated COLUMNS. */
MPQ_MUST_CHECK int
mpq_tsv_columns(struct mpq_tsv_writer *w, const char *columns, struct mpq_err *err);
/* A whole row: cells parted by tabs, no newline. */
MPQ_MUST_CHECK int mpq_tsv_row(struct mpq_tsv_writer *w, struct mpq_err *err,
                               const char *fmt, ...) MPQ_PRINTF(3, 4);
/* ##end line. */
MPQ_MUST_CHECK int mpq_tsv_end(struct mpq_tsv_writer *w, struct mpq_err *err);

#endif
