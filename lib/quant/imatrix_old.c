/* The old form of importance matrices; layout in imatrix.h. */
#include "quant/imatrix_own.h"

#include "quant/codec.h"

#include <inttypes.h>

/* What is left to read. */
struct cursor {
    const unsigned char *p;
    uint64_t left;
};

/* A count: an i32 that is not negative. */
static int
read_count(const struct mpq_imatrix *m, struct cursor *c, const char *what,
           uint32_t *out, struct mpq_err *err)
{
    if (c->left < 4)
        return mpq_fail(err, MPQ_EDATA,
                        "%s: cut short: %" PRIu64 " of 4 bytes for the %s", m->path,
                        c->left, what);
    *out = (uint32_t)c->p[0] | (uint32_t)c->p[1] << 8 | (uint32_t)c->p[2] << 16 |
           (uint32_t)c->p[3] << 24;
    c->p += 4;
    c->left -= 4;
    if (*out > INT32_MAX)
        return mpq_fail(err, MPQ_EDATA, "%s: negative %s (%" PRId64 ")", m->path, what,
                        (int64_t)*out - ((int64_t)1 << 32));
    return 0;
}

/* SIZE bytes of WHAT are to follow. */
static int
need(const struct mpq_imatrix *m, const struct cursor *c, const char *what,
     uint64_t size, struct mpq_err *err)
{
    if (size > c->left)
        return mpq_fail(err, MPQ_EDATA,
                        "%s: cut short: %s of %" PRIu64 " bytes, %" PRIu64 " left",
                        m->path, what, size, c->left);
    return 0;
}

static int
read_entry(struct mpq_imatrix *m, struct cursor *c, struct mpq_err *err)
{
    uint32_t n_name, calls, n;

    if (read_count(m, c, "length of a name", &n_name, err) < 0 ||
        need(m, c, "name", n_name, err) < 0)
        return -1;
    const char *name = (const char *)c->p;
    c->p += n_name;
    c->left -= n_name;
    if (read_count(m, c, "number of calls", &calls, err) < 0 ||
        read_count(m, c, "number of values", &n, err) < 0 ||
        need(m, c, "values", 4 * (uint64_t)n, err) < 0)
        return -1;
    float *values = mpq_imatrix_add(m, name, n_name, n, err);
    if (!values)
        return -1;
    const struct mpq_imatrix_entry *e = &m->entries[m->n - 1];
    if (n == 0)
        return mpq_fail(err, MPQ_EDATA, "%s: %s: no values", m->path, e->name);
    mpq_decode_row(MPQ_TYPE(MPQ_F32), c->p, values, n);
    c->p += 4 * (uint64_t)n;
    c->left -= 4 * (uint64_t)n;
    if (mpq_imatrix_check(m, e->name, values, n, err) < 0)
        return -1;
    for (uint32_t i = 0; calls > 0 && i < n; i++)
        values[i] /= (float)calls;
    return 0;
}

/* Chunks and the text's name, which the oldest files lack. */
static int
read_trailer(const struct mpq_imatrix *m, struct cursor *c, struct mpq_err *err)
{
    uint32_t chunks, n;

    if (c->left == 0)
        return 0;
    if (read_count(m, c, "number of chunks", &chunks, err) < 0)
        return -1;
    if (c->left == 0)
        return 0;
    if (read_count(m, c, "length of the text's name", &n, err) < 0 ||
        need(m, c, "text's name", n, err) < 0)
        return -1;
    if (c->left > n)
        return mpq_fail(err, MPQ_EDATA, "%s: %" PRIu64 " bytes after the end", m->path,
                        c->left - n);
    return 0;
}

int
mpq_imatrix_read_old(struct mpq_imatrix *m, const unsigned char *bytes, uint64_t size,
                     struct mpq_err *err)
{
    struct cursor c = { bytes, size };
    uint32_t n;

    if (read_count(m, &c, "number of entries", &n, err) < 0)
        return -1;
    /* an entry takes 12 bytes at least */
    if (n == 0 || n > c.left / 12)
        return mpq_fail(err, MPQ_EDATA,
                        "%s: not an importance matrix: %" PRIu32 " entries in %" PRIu64
                        " bytes",
                        m->path, n, size);
    for (uint32_t i = 0; i < n; i++)
        if (read_entry(m, &c, err) < 0)
            return -1;
    return read_trailer(m, &c, err);
}
