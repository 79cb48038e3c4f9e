/* gzip input, through zlib. */
#ifndef MPQ_FMT_GZ_H
#define MPQ_FMT_GZ_H

#include "base/io.h"

/* If M begins with gzip's 1f 8b, replaces it by the map of its expanded content (an
 * unlinked temporary file; several members are joined); otherwise does nothing. On
 * failure M stays the caller's to close. NAME is for messages. */
MPQ_MUST_CHECK int
mpq_gz_expand(struct mpq_map *m, const char *name, struct mpq_err *err);

#endif
