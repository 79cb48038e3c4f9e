/*
 * Models split over several files, NAME-00001-of-00003.gguf and so on. Each part is a
 * whole GGUF file with split.no (from 0), split.count and split.tensors.count (of all
 * parts together); the metadata is the first part's.
 */
#include "fmt/gguf_own.h"

#include "fmt/gz.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TAIL = 20, MAX_PARTS = 65535 }; /* TAIL: "-00001-of-00003.gguf" */

static char *
part_path(const char *path, uint64_t no, uint64_t count)
{
    char tail[64];
    struct mpq_buf b = { 0 };

    snprintf(tail, sizeof tail, "-%05" PRIu64 "-of-%05" PRIu64 ".gguf", no + 1, count);
    mpq_buf_add(&b, path, strlen(path) - TAIL);
    mpq_buf_adds(&b, tail);
    if (b.failed)
        mpq_buf_free(&b);
    return b.data;
}

/* Does PATH end as part NO of COUNT must? */
static int
is_part(const char *path, uint64_t no, uint64_t count)
{
    char tail[64];
    size_t len = strlen(path);

    snprintf(tail, sizeof tail, "-%05" PRIu64 "-of-%05" PRIu64 ".gguf", no + 1, count);
    return strlen(tail) == TAIL && len > TAIL && !strcmp(path + len - TAIL, tail);
}

/* split.no and split.count; both 0 where the file is whole. */
static int
read_split(const struct mpq_gguf *g, uint64_t *no, uint64_t *count, struct mpq_err *err)
{
    *no = *count = 0;
    int found = mpq_gguf_get_u64(g, "split.count", count);
    if (found == 0)
        return 0;
    if (found < 0 || *count > MAX_PARTS)
        return mpq_fail(err, MPQ_EDATA, "%s: key split.count: no number up to %d",
                        g->name, MAX_PARTS);
    if (*count > 1 && mpq_gguf_get_u64(g, "split.no", no) != 1)
        return mpq_fail(err, MPQ_EDATA, "%s: key split.no: missing or no number",
                        g->name);
    return 0;
}

/* Moves the tensors of PART to the end of g's. */
static int
append(struct mpq_gguf *g, struct mpq_gguf *part, struct mpq_err *err)
{
    size_t n = g->n_tensors, more = part->n_tensors, cap = n;

    if (more && mpq_grow(&g->tensors, &cap, n + more, sizeof *g->tensors) < 0)
        return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", part->name);
    if (more)
        memcpy(g->tensors + n, part->tensors, more * sizeof *g->tensors);
    g->n_tensors = n + more;
    g->file_size += part->file_size;
    mpq_pool_merge(&g->strings, &part->strings);
    return 0;
}

static int
join_part(struct mpq_gguf *g, const char *path, uint64_t no, uint64_t count,
          struct mpq_err *err)
{
    struct mpq_map *map = &g->parts[g->n_parts];
    struct mpq_gguf *part = NULL;
    uint64_t part_no, part_count;
    int rc = -1;

    if (mpq_map_open_file(map, path, err) < 0)
        goto out;
    g->n_parts++;
    if (mpq_gz_expand(map, path, err) < 0 ||
        mpq_gguf_read_file(&part, map, path, (unsigned)no, err) < 0 ||
        read_split(part, &part_no, &part_count, err) < 0)
        goto out;
    if (part_no != no || part_count != count) {
        mpq_fail(err, MPQ_EDATA,
                 "%s: says it is part %" PRIu64 " of %" PRIu64 ", not %" PRIu64
                 " of %" PRIu64,
                 path, part_no + 1, part_count, no + 1, count);
        goto out;
    }
    rc = append(g, part, err);
out:
    mpq_gguf_free(part);
    return rc;
}

static int
join_all(struct mpq_gguf *g, const char *path, uint64_t count, struct mpq_err *err)
{
    uint64_t n_tensors;

    g->parts = mpq_array((size_t)count, sizeof *g->parts);
    if (!g->parts)
        return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", path);
    for (uint64_t no = 1; no < count; no++) {
        char *other = part_path(path, no, count);
        if (!other)
            return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", path);
        int rc = join_part(g, other, no, count, err);
        free(other);
        if (rc < 0)
            return -1;
    }
    int found = mpq_gguf_get_u64(g, "split.tensors.count", &n_tensors);
    if (found < 0)
        return mpq_fail(err, MPQ_EDATA, "%s: key split.tensors.count: no number", path);
    if (found && n_tensors != g->n_tensors)
        return mpq_fail(err, MPQ_EDATA,
                        "%s: %zu tensors in all parts, split.tensors.count is %" PRIu64,
                        path, g->n_tensors, n_tensors);
    return mpq_gguf_check_names(g, err);
}

int
mpq_gguf_join(struct mpq_gguf *g, const char *path, struct mpq_err *err)
{
    uint64_t no, count;

    if (read_split(g, &no, &count, err) < 0)
        return -1;
    if (count > 1) {
        if (no != 0)
            return mpq_fail(err, MPQ_EDATA,
                            "%s: part %" PRIu64 " of %" PRIu64
                            " of a split model: give the first part",
                            path, no + 1, count);
        if (!is_part(path, no, count))
            return mpq_fail(err, MPQ_EDATA,
                            "%s: part 1 of %" PRIu64
                            " of a split model, but not a file named "
                            "NAME-00001-of-%05" PRIu64 ".gguf: cannot find the others",
                            path, count, count);
        if (join_all(g, path, count, err) < 0)
            return -1;
    }
    return count ? mpq_gguf_drop_keys(g, "split.", err) : 0;
}
