#define ZLIB_CONST /* next_in is const */
#include "fmt/gz.h"

#include <limits.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

enum { CHUNK = 1 << 18 };

/* Inflates one gzip member from *in on into FD; *in then points behind it. */
static int
inflate_member(const unsigned char **in, const unsigned char *end, int fd,
               unsigned char *chunk, const char *name, struct mpq_err *err)
{
    z_stream z = { 0 };
    int status = Z_OK, rc = -1;

    if (inflateInit2(&z, 15 + 16) != Z_OK)
        return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", name);
    z.next_in = *in;
    while (status != Z_STREAM_END) {
        size_t left = (size_t)(end - z.next_in);
        z.avail_in = left > INT_MAX ? INT_MAX : (uInt)left;
        z.next_out = chunk;
        z.avail_out = CHUNK;
        status = inflate(&z, Z_NO_FLUSH);
        if (status != Z_OK && status != Z_STREAM_END) {
            mpq_fail(err, MPQ_EDATA, "%s: %s", name,
                     status == Z_BUF_ERROR ? "gzip data is cut short"
                                           : "broken gzip data");
            goto out;
        }
        if (mpq_tmp_write(fd, chunk, CHUNK - z.avail_out, name, err) < 0)
            goto out;
    }
    *in = z.next_in;
    rc = 0;
out:
    inflateEnd(&z);
    return rc;
}

static int
is_gzip(const unsigned char *p, const unsigned char *end)
{
    return end - p >= 2 && p[0] == 0x1f && p[1] == 0x8b;
}

int
mpq_gz_expand(struct mpq_map *m, const char *name, struct mpq_err *err)
{
    const unsigned char *in = m->data, *end = m->data ? m->data + m->size : NULL;
    struct mpq_map expanded;
    unsigned char *chunk = NULL;
    int fd = -1, rc = -1;

    if (!m->data || !is_gzip(in, end))
        return 0;
    chunk = malloc(CHUNK);
    if (!chunk) {
        mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", name);
        goto out;
    }
    fd = mpq_tmp_open(err);
    if (fd < 0)
        goto out;
    while (is_gzip(in, end))
        if (inflate_member(&in, end, fd, chunk, name, err) < 0)
            goto out;
    if (in != end) {
        mpq_fail(err, MPQ_EDATA, "%s: %zu bytes behind the gzip data", name,
                 (size_t)(end - in));
        goto out;
    }
    if (mpq_map_fd(&expanded, fd, name, err) < 0)
        goto out;
    mpq_map_close(m);
    *m = expanded;
    rc = 0;
out:
    if (fd >= 0)
        close(fd);
    free(chunk);
    return rc;
}
