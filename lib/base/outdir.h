/*
 * A folder as output: made beside its name as DIR.XXXXXX, filled file by file, renamed
 * when all of it is there. What is given up, or ended by a signal, leaves nothing.
 */
#ifndef MPQ_BASE_OUTDIR_H
#define MPQ_BASE_OUTDIR_H

#include "base/io.h"

struct mpq_outdir; /* a folder under way */

/* -1 when PATH is there already, but for an empty folder. */
MPQ_MUST_CHECK int
mpq_outdir_open(struct mpq_outdir **out, const char *path, struct mpq_err *err);
/* The file NAME in it, at most 24 of them, each ended by mpq_out_close or _free. */
MPQ_MUST_CHECK int mpq_outdir_file(struct mpq_outdir *d, const char *name,
                                   struct mpq_out **out, struct mpq_err *err);
/* A whole file at once. */
MPQ_MUST_CHECK int mpq_outdir_put(struct mpq_outdir *d, const char *name,
                                  const void *bytes, size_t n, struct mpq_err *err);
/* Gives it its name. *d is freed in any case. */
MPQ_MUST_CHECK int mpq_outdir_close(struct mpq_outdir *d, struct mpq_err *err);
/* Gives up: removes it and the files in it. NULL is fine. */
void mpq_outdir_free(struct mpq_outdir *d);

#endif
