/* Input: mapped, or spooled and then mapped; temporary files. */
#define _DEFAULT_SOURCE /* madvise: posix_madvise(DONTNEED) does nothing in glibc */
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    SPOOL_CHUNK = 1 << 20,
    DEVICE_MOST = 64 << 20 /* bytes that a device may give: /dev/zero never ends */
};

int
mpq_write_all(int fd, const void *bytes, size_t n, const char *name,
              struct mpq_err *err)
{
    const char *p = bytes;
    while (n) {
        ssize_t k = write(fd, p, n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return mpq_fail_errno(err, "%s", name);
        p += k;
        n -= (size_t)k;
    }
    return 0;
}

static const char *
tmp_dir(void)
{
    const char *dir = getenv("TMPDIR");

    return dir && *dir ? dir : "/tmp";
}

int
mpq_tmp_write(int fd, const void *bytes, size_t n, const char *name,
              struct mpq_err *err)
{
    struct mpq_err cause = { 0 };

    if (mpq_write_all(fd, bytes, n, tmp_dir(), &cause) == 0)
        return 0;
    return mpq_fail(err, MPQ_ESYS, "%s: temporary file in %s", name, cause.text);
}

int
mpq_tmp_open(struct mpq_err *err)
{
    const char *dir = tmp_dir();
    char path[PATH_MAX];

    int n = snprintf(path, sizeof path, "%s/mpq.XXXXXX", dir);
    if (n < 0 || (size_t)n >= sizeof path)
        return mpq_fail(err, MPQ_ESYS, "TMPDIR: path too long");
    int fd = mkstemp(path);
    if (fd < 0)
        return mpq_fail_errno(err, "%s: temporary file", dir);
    unlink(path);
    return fd;
}

/* Copies all of FD into a new temporary file; returns its descriptor. */
static int
spool(int fd, const char *name, struct mpq_err *err)
{
    struct stat st;
    int tmp = -1, rc = -1;
    char *chunk = malloc(SPOOL_CHUNK);
    const int is_device = fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && !isatty(fd);
    uint64_t size = 0;

    if (!chunk) {
        mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", name);
        goto out;
    }
    tmp = mpq_tmp_open(err);
    if (tmp < 0)
        goto out;
    for (;;) {
        ssize_t n = read(fd, chunk, SPOOL_CHUNK);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            mpq_fail_errno(err, "%s", name);
            goto out;
        }
        if (n == 0)
            break;
        if (is_device && (size += (uint64_t)n) > DEVICE_MOST) {
            mpq_fail(err, MPQ_EDATA, "%s: a device without an end", name);
            goto out;
        }
        if (mpq_tmp_write(tmp, chunk, (size_t)n, name, err) < 0)
            goto out;
    }
    rc = tmp;
    tmp = -1;
out:
    if (tmp >= 0)
        close(tmp);
    free(chunk);
    return rc;
}

int
mpq_map_fd(struct mpq_map *m, int fd, const char *name, struct mpq_err *err)
{
    struct stat st;

    *m = (struct mpq_map){ 0 };
    if (fstat(fd, &st) < 0)
        return mpq_fail_errno(err, "%s", name);
    if (st.st_size == 0)
        return 0;
    if ((uintmax_t)st.st_size > SIZE_MAX)
        return mpq_fail(err, MPQ_EDATA, "%s: too large for this machine", name);
    void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        return mpq_fail_errno(err, "%s", name);
    m->data = p;
    m->size = (uint64_t)st.st_size;
    return 0;
}

/* A regular file that is read from its start needs no copy. */
static int
is_mappable(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && lseek(fd, 0, SEEK_CUR) == 0;
}

int
mpq_map_open(struct mpq_map *m, const char *path, struct mpq_err *err)
{
    int is_stdin = strcmp(path, "-") == 0;
    const char *name = is_stdin ? "standard input" : path;
    int fd = STDIN_FILENO, tmp = -1, rc = -1;
    struct stat st;

    *m = (struct mpq_map){ 0 };
    if (!is_stdin) {
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            return mpq_fail_errno(err, "%s", path);
    }
    if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
        mpq_fail(err, MPQ_EDATA, "%s: is a folder", name);
    } else if (is_mappable(fd)) {
        rc = mpq_map_fd(m, fd, name, err);
    } else {
        tmp = spool(fd, name, err);
        if (tmp >= 0)
            rc = mpq_map_fd(m, tmp, name, err);
    }
    if (tmp >= 0)
        close(tmp);
    if (!is_stdin)
        close(fd);
    return rc;
}

int
mpq_map_open_file(struct mpq_map *m, const char *path, struct mpq_err *err)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    int rc = -1;

    *m = (struct mpq_map){ 0 };
    if (fd < 0)
        return mpq_fail_errno(err, "%s", path);
    if (fstat(fd, &st) < 0)
        mpq_fail_errno(err, "%s", path);
    else if (!S_ISREG(st.st_mode))
        mpq_fail(err, MPQ_EDATA, "%s: is %s", path,
                 S_ISDIR(st.st_mode) ? "a folder" : "no regular file");
    else
        rc = mpq_map_fd(m, fd, path, err);
    close(fd);
    return rc;
}

void
mpq_map_close(struct mpq_map *m)
{
    if (m->data)
        munmap((void *)(uintptr_t)m->data, (size_t)m->size);
    *m = (struct mpq_map){ 0 };
}

void
mpq_map_drop(const struct mpq_map *m, uint64_t offset, uint64_t size)
{
    long page = sysconf(_SC_PAGESIZE);

    if (page <= 0 || offset > m->size || size > m->size - offset)
        return;
    /* whole pages inside the range only: neighbors may still be in use */
    uint64_t p = (uint64_t)page;
    uint64_t first = (offset + p - 1) / p * p, end = (offset + size) / p * p;
    if (first < end)
        madvise((void *)(uintptr_t)(m->data + first), (size_t)(end - first),
                MADV_DONTNEED);
}
