/*
 * Output that appears under its name when it is complete. Unfinished files stand in a
 * fixed table of the process, because a signal handler must be able to remove them; it
 * is the one piece of state that lib/ keeps between calls, but for a count of what
 * OpenBLAS keeps.
 */
#include "base/io.h"

#include "base/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OUT_BUFFER = 1 << 18, MAX_OUTPUTS = 48 };

struct mpq_out {
    int fd;
    int is_file;      /* that is renamed at the end */
    int is_appended;  /* that has its name */
    char *path, *tmp; /* NULL for standard output */
    unsigned char *buffer;
    size_t used;
    uint64_t size;
    int slot; /* in unfinished[], or -1 */
};

/* Names of unfinished files: set together with the file, no signal in between, and
 * cleared once it has its own name or is gone. */
static char *volatile unfinished[MAX_OUTPUTS];

void
mpq_out_remove_all(void)
{
    for (int i = 0; i < 2 * MAX_OUTPUTS; i++) { /* folders once they are empty */
        char *tmp = unfinished[i % MAX_OUTPUTS];
        if (tmp && i < MAX_OUTPUTS)
            unlink(tmp);
        else if (tmp)
            rmdir(tmp);
    }
}

int
mpq_out_watch(char *path)
{
    for (int i = 0; i < MAX_OUTPUTS; i++)
        if (!unfinished[i]) {
            unfinished[i] = path;
            return i;
        }
    return -1;
}

void
mpq_out_unwatch(int slot)
{
    if (slot >= 0)
        unfinished[slot] = NULL;
}

/* "PATH.XXXXXX"; of a long PATH the end of its last component makes room. */
static char *
template_beside(const char *path)
{
    static const char tail[] = ".XXXXXX";
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    size_t n = strlen(path), most = (size_t)(base - path) + NAME_MAX + 1 - sizeof tail;
    size_t room = n + sizeof tail;
    char *tmp = malloc(room);

    if (tmp)
        snprintf(tmp, room, "%.*s%s", (int)(n < most ? n : most), path, tail);
    return tmp;
}

/* Makes the file and notes it as unfinished; a signal waits until both are done. */
static void
make_file(struct mpq_out *o)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    o->fd = mkstemp(o->tmp);
    o->is_file = o->fd >= 0;
    if (o->is_file)
        o->slot = mpq_out_watch(o->tmp);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static int
open_file(struct mpq_out *o, const char *path, struct mpq_err *err)
{
    o->path = mpq_strdup(path);
    o->tmp = template_beside(path);
    if (!o->path || !o->tmp)
        return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", path);
    make_file(o);
    if (o->fd < 0)
        return mpq_fail_errno(err, "%s", path);
    /* mkstemp makes it 0600: give it what the user's umask says */
    mode_t mask = umask(0);
    umask(mask);
    if (fchmod(o->fd, 0666 & ~mask) < 0)
        return mpq_fail_errno(err, "%s", path);
    return 0;
}

/* A device or a pipe that is there already (/dev/null, /dev/full, a fifo) is written
 * in place: renaming over it would replace it. */
static int
open_special(struct mpq_out *o, const char *path, struct mpq_err *err)
{
    o->path = mpq_strdup(path);
    if (!o->path)
        return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", path);
    o->fd = open(path, O_WRONLY | O_CLOEXEC);
    return o->fd < 0 ? mpq_fail_errno(err, "%s", path) : 0;
}

int
mpq_out_open(struct mpq_out **out, const char *path, struct mpq_err *err)
{
    struct mpq_out *o;
    struct stat st;
    int rc = 0;

    *out = NULL;
    o = calloc(1, sizeof *o);
    if (o)
        o->buffer = malloc(OUT_BUFFER);
    if (!o || !o->buffer) {
        free(o);
        return mpq_fail(err, MPQ_ENOMEM, "output: out of memory");
    }
    o->fd = STDOUT_FILENO;
    o->slot = -1;
    if (path && strcmp(path, "-") != 0) {
        o->fd = -1;
        int there = stat(path, &st) == 0;
        if (there && !S_ISREG(st.st_mode))
            rc = open_special(o, path, err);
        else if (!there && errno == ENAMETOOLONG) /* only its beginning would fit */
            rc = mpq_fail_errno(err, "%s", path);
        else
            rc = open_file(o, path, err);
    }
    if (rc < 0) {
        mpq_out_free(o);
        return -1;
    }
    *out = o;
    return 0;
}

int
mpq_out_append(struct mpq_out **out, const char *path, struct mpq_err *err)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    struct mpq_out *o;
    struct stat st;

    *out = NULL;
    /* to be read too: closing any other descriptor of it would end the lock */
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0 || mpq_out_open(&o, NULL, err) < 0) {
        mpq_fail_errno(err, "%s", path);
        if (fd >= 0)
            close(fd);
        return -1;
    }
    o->fd = fd;
    o->is_appended = 1;
    if (!(o->path = mpq_strdup(path)))
        mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", path);
    else if (fcntl(fd, F_SETLK, &lock) < 0 && (errno == EACCES || errno == EAGAIN))
        mpq_fail(err, MPQ_ESYS, "%s: another program is writing it", path);
    else if (fstat(fd, &st) < 0 || lseek(fd, 0, SEEK_END) < 0)
        mpq_fail_errno(err, "%s", path);
    else if (!S_ISREG(st.st_mode))
        mpq_fail(err, MPQ_EDATA, "%s: is no regular file", path);
    else {
        o->size = (uint64_t)st.st_size;
        *out = o;
        return 0;
    }
    mpq_out_free(o);
    return -1;
}

int
mpq_out_cut(struct mpq_out *o, uint64_t n, struct mpq_err *err)
{
    if (n > o->size)
        return mpq_fail(err, MPQ_EDATA, "%s: has only %" PRIu64 " bytes", o->path,
                        o->size);
    if (ftruncate(o->fd, (off_t)n) < 0 || lseek(o->fd, 0, SEEK_END) < 0)
        return mpq_fail_errno(err, "%s: cutting it to %" PRIu64 " bytes", o->path, n);
    o->size = n;
    return 0;
}

const char *
mpq_out_name(const struct mpq_out *o)
{
    return o->path ? o->path : "standard output";
}

int
mpq_out_is_tty(const struct mpq_out *o)
{
    return isatty(o->fd);
}

uint64_t
mpq_out_size(const struct mpq_out *o)
{
    return o->size;
}

int
mpq_out_flush(struct mpq_out *o, struct mpq_err *err)
{
    size_t n = o->used;
    o->used = 0; /* what could not be written is not tried again */
    return mpq_write_all(o->fd, o->buffer, n, mpq_out_name(o), err);
}

int
mpq_out_write(struct mpq_out *o, const void *bytes, size_t n, struct mpq_err *err)
{
    o->size += n;
    if (n > OUT_BUFFER - o->used && mpq_out_flush(o, err) < 0)
        return -1;
    if (n >= OUT_BUFFER)
        return mpq_write_all(o->fd, bytes, n, mpq_out_name(o), err);
    if (n)
        memcpy(o->buffer + o->used, bytes, n);
    o->used += n;
    return 0;
}

int
mpq_out_zeros(struct mpq_out *o, uint64_t n, struct mpq_err *err)
{
    static const unsigned char zeros[4096];
    while (n) {
        size_t k = n < sizeof zeros ? (size_t)n : sizeof zeros;
        if (mpq_out_write(o, zeros, k, err) < 0)
            return -1;
        n -= k;
    }
    return 0;
}

int
mpq_out_map(struct mpq_out *o, struct mpq_map *map, struct mpq_err *err)
{
    struct stat st;
    int fd = o->fd, rc = 0;
    char self[32];

    *map = (struct mpq_map){ 0 };
    if (mpq_out_flush(o, err) < 0)
        return -1;
    /* standard output may be a regular file, but one open for writing only */
    snprintf(self, sizeof self, "/proc/self/fd/%d", o->fd);
    if (!o->is_file && !o->is_appended)
        fd = open(self, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* it may be a fifo */
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
        (uintmax_t)st.st_size == o->size && o->size)
        rc = mpq_map_fd(map, fd, mpq_out_name(o), err) < 0 ? -1 : 1;
    if (fd >= 0 && fd != o->fd)
        close(fd);
    return rc;
}

int
mpq_out_close(struct mpq_out *o, struct mpq_err *err)
{
    int rc = mpq_out_flush(o, err);

    if (rc == 0 && (o->is_file || o->is_appended)) {
        if (fsync(o->fd) < 0)
            rc = mpq_fail_errno(err, "%s", o->path);
        if (close(o->fd) < 0 && rc == 0)
            rc = mpq_fail_errno(err, "%s", o->path);
        o->fd = -1;
    }
    if (rc == 0 && o->is_file) {
        if (rename(o->tmp, o->path) < 0) {
            rc = mpq_fail_errno(err, "%s", o->path);
        } else {
            if (o->slot >= 0)
                unfinished[o->slot] = NULL;
            o->slot = -1;
            o->is_file = 0;
        }
    }
    mpq_out_free(o);
    return rc;
}

void
mpq_out_free(struct mpq_out *o)
{
    if (!o)
        return;
    if (o->is_file && o->tmp)
        unlink(o->tmp);
    if (o->slot >= 0)
        unfinished[o->slot] = NULL;
    if (o->fd >= 0 && o->fd != STDOUT_FILENO)
        close(o->fd);
    free(o->path);
    free(o->tmp);
    free(o->buffer);
    free(o);
}
