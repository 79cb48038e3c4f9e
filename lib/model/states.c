#include "model/states.h"

#include "base/buf.h"
#include "base/io.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* SIZE bytes of an unlinked file, all of them there: a full disk shows now, not as a
 * signal in the middle. */
static int
map_file(struct mpq_states *s, uint64_t size, struct mpq_err *err)
{
    int rc = -1, fd = mpq_tmp_open(err);

    if (fd < 0)
        return -1;
    if (size > INT64_MAX || posix_fallocate(fd, 0, (off_t)size)) {
        mpq_fail(err, MPQ_ESYS,
                 "temporary file: no room for %llu bytes of hidden states",
                 (unsigned long long)size);
        goto out;
    }
    void *map = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) {
        mpq_fail_errno(err, "mapping %llu bytes of hidden states",
                       (unsigned long long)size);
        goto out;
    }
    s->x = map;
    s->mapped_bytes = (size_t)size;
    rc = 0;
out:
    close(fd);
    return rc;
}

int
mpq_states_new(struct mpq_states *s, size_t n, size_t width, size_t max_bytes,
               struct mpq_err *err)
{
    uint64_t size;

    *s = (struct mpq_states){ .n = n, .width = width };
    if (mpq_mul_u64(n, width, &size) < 0 ||
        mpq_mul_u64(size, sizeof *s->x, &size) < 0 || size > SIZE_MAX)
        return mpq_fail(err, MPQ_ENOMEM, "%zu hidden states of %zu: too many", n,
                        width);
    if (size > max_bytes)
        return map_file(s, size, err);
    s->x = mpq_array(n * width, sizeof *s->x);
    if (!s->x)
        return mpq_fail(err, MPQ_ENOMEM,
                        "out of memory for %zu hidden states of %zu values", n, width);
    return 0;
}

void
mpq_states_free(struct mpq_states *s)
{
    if (s->mapped_bytes)
        munmap(s->x, s->mapped_bytes);
    else
        free(s->x);
    *s = (struct mpq_states){ 0 };
}
