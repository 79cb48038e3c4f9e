/*
 * Files and pipes. Input is read at random through a mapping: a regular file is
 * mapped, anything else is spooled to an unlinked temporary file in $TMPDIR first.
 * Output appears under its name only when it is complete.
 */
#ifndef MPQ_BASE_IO_H
#define MPQ_BASE_IO_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

/* Bytes in memory that belong to a mapped file. */
struct mpq_map {
    const unsigned char *data;
    uint64_t size;
};

/* Maps PATH read-only ("-" is standard input). A pipe is spooled. An empty file
 * gives data = NULL and size 0. mpq_map_close ends it. */
MPQ_MUST_CHECK int
mpq_map_open(struct mpq_map *m, const char *path, struct mpq_err *err);
/* The same of a regular file alone: for names that stand in other files, which could be
 * those of a pipe that nobody writes to, or of a device. "-" is a file. */
MPQ_MUST_CHECK int
mpq_map_open_file(struct mpq_map *m, const char *path, struct mpq_err *err);
/* Maps what the descriptor FD holds from its start; FD stays the caller's. NAME is
 * for messages. */
MPQ_MUST_CHECK int
mpq_map_fd(struct mpq_map *m, int fd, const char *name, struct mpq_err *err);
void mpq_map_close(struct mpq_map *m);
/* Tells the kernel that [offset, offset + size) is no longer needed, so that a model
 * larger than memory does not crowd out the rest. */
void mpq_map_drop(const struct mpq_map *m, uint64_t offset, uint64_t size);

/* An unlinked temporary file in $TMPDIR (default /tmp): its descriptor, or -1. */
MPQ_MUST_CHECK int mpq_tmp_open(struct mpq_err *err);
/* All N bytes or an error; restarts after signals. NAME is for messages. */
MPQ_MUST_CHECK int mpq_write_all(int fd, const void *bytes, size_t n, const char *name,
                                 struct mpq_err *err);
/* The same to a temporary file: the message names NAME, what is kept there, and the
 * folder. */
MPQ_MUST_CHECK int mpq_tmp_write(int fd, const void *bytes, size_t n, const char *name,
                                 struct mpq_err *err);

struct mpq_out; /* an output under way: a file that is not there yet, or a pipe */

/* PATH NULL or "-" is standard output. Otherwise PATH.XXXXXX is made beside it and
 * renamed by mpq_out_close; mpq_out_free, or a signal, removes it. */
MPQ_MUST_CHECK int
mpq_out_open(struct mpq_out **out, const char *path, struct mpq_err *err);
/* PATH itself, made where it is not there, to be gone on with from its end; what is
 * written stays whatever happens. -1 also when another program is doing the same. */
MPQ_MUST_CHECK int
mpq_out_append(struct mpq_out **out, const char *path, struct mpq_err *err);
/* Of such a file, before anything is written: only its first N bytes stay. */
MPQ_MUST_CHECK int mpq_out_cut(struct mpq_out *out, uint64_t n, struct mpq_err *err);
MPQ_MUST_CHECK int
mpq_out_write(struct mpq_out *out, const void *bytes, size_t n, struct mpq_err *err);
/* N zero bytes (padding). */
MPQ_MUST_CHECK int mpq_out_zeros(struct mpq_out *out, uint64_t n, struct mpq_err *err);
MPQ_MUST_CHECK int mpq_out_flush(struct mpq_out *out, struct mpq_err *err);
/* Bytes written so far. */
uint64_t mpq_out_size(const struct mpq_out *out);
/* Where a message should say the fault is: the path, or "standard output". */
const char *mpq_out_name(const struct mpq_out *out);
/* Is it a terminal? Binary output to one is refused by the tools. */
int mpq_out_is_tty(const struct mpq_out *out);
/* Flushes and maps what was written, to read it back before mpq_out_close: 1 and the
 * caller's to close, or 0 when the output is no regular file that can be read. */
MPQ_MUST_CHECK int
mpq_out_map(struct mpq_out *out, struct mpq_map *map, struct mpq_err *err);
/* Flushes, syncs, renames. The only way to success; *out is freed in any case. */
MPQ_MUST_CHECK int mpq_out_close(struct mpq_out *out, struct mpq_err *err);
/* Gives up: removes the unfinished file. NULL is fine. */
void mpq_out_free(struct mpq_out *out);
/* Removes every unfinished output file; safe in a signal handler. */
void mpq_out_remove_all(void);
/* Counts PATH, a file or an empty folder that needs not be there, among these, until
 * the slot that is returned is taken back; -1 when there are too many. */
int mpq_out_watch(char *path);
void mpq_out_unwatch(int slot);

#endif
