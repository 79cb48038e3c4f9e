#include "base/outdir.h"

#include "base/buf.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_FILES = 24 };

struct mpq_outdir {
    char *path, *tmp;
    char *files[MAX_FILES];
    int slots[MAX_FILES];
    size_t n;
    int made, slot;
};

static int
no_memory(const char *path, struct mpq_err *err)
{
    return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", path);
}

/* Is PATH free to be taken? An empty folder is replaced by rename. */
static int
check_free(const char *path, struct mpq_err *err)
{
    struct stat st;

    if (stat(path, &st) < 0)
        return errno == ENOENT ? 0 : mpq_fail_errno(err, "%s", path);
    if (!S_ISDIR(st.st_mode))
        return mpq_fail(err, MPQ_ESYS, "%s: is there, and no folder", path);
    DIR *d = opendir(path);
    if (!d)
        return mpq_fail_errno(err, "%s", path);
    int n = 0;
    for (const struct dirent *e; n == 0 && (e = readdir(d));)
        n += strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
    closedir(d);
    return n ? mpq_fail(err, MPQ_ESYS, "%s: is there, with files in it", path) : 0;
}

/* Watches PATH from now on; it becomes the folder's. */
static int
watch(struct mpq_outdir *d, char *path, struct mpq_err *err)
{
    const int slot = path ? mpq_out_watch(path) : -1;

    if (slot < 0) {
        free(path);
        return no_memory(d->path, err);
    }
    d->files[d->n] = path;
    d->slots[d->n++] = slot;
    return 0;
}

/* Makes the folder and notes it as unfinished; a signal waits until both are done. */
static int
make_folder(struct mpq_outdir *d, struct mpq_err *err)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    d->made = mkdtemp(d->tmp) != NULL;
    if (d->made)
        d->slot = mpq_out_watch(d->tmp);
    else
        mpq_fail_errno(err, "%s", d->path);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return d->made ? 0 : -1;
}

int
mpq_outdir_open(struct mpq_outdir **out, const char *path, struct mpq_err *err)
{
    struct mpq_outdir *d = calloc(1, sizeof *d);
    size_t n = strlen(path);
    int rc = -1;

    *out = NULL;
    if (!d)
        return no_memory(path, err);
    d->slot = -1;
    while (n > 1 && path[n - 1] == '/')
        n--;
    d->path = mpq_strndup(path, n);
    d->tmp = malloc(n + 8);
    if (!d->path || !d->tmp) {
        no_memory(path, err);
        goto out;
    }
    if (check_free(d->path, err) < 0)
        goto out;
    snprintf(d->tmp, n + 8, "%s.XXXXXX", d->path);
    if (make_folder(d, err) < 0)
        goto out;
    mode_t mask = umask(0); /* mkdtemp makes it 0700 */
    umask(mask);
    if (chmod(d->tmp, 0777 & ~mask) < 0) {
        mpq_fail_errno(err, "%s", d->path);
        goto out;
    }
    *out = d;
    d = NULL;
    rc = 0;
out:
    mpq_outdir_free(d);
    return rc;
}

int
mpq_outdir_file(struct mpq_outdir *d, const char *name, struct mpq_out **out,
                struct mpq_err *err)
{
    const size_t room = strlen(d->tmp) + strlen(name) + 2;
    char *path = malloc(room);

    assert(d->n < MAX_FILES);
    *out = NULL;
    if (path)
        snprintf(path, room, "%s/%s", d->tmp, name);
    if (watch(d, path, err) < 0)
        return -1;
    return mpq_out_open(out, d->files[d->n - 1], err);
}

int
mpq_outdir_put(struct mpq_outdir *d, const char *name, const void *bytes, size_t n,
               struct mpq_err *err)
{
    struct mpq_out *out;

    if (mpq_outdir_file(d, name, &out, err) < 0)
        return -1;
    if (mpq_out_write(out, bytes, n, err) < 0) {
        mpq_out_free(out);
        return -1;
    }
    return mpq_out_close(out, err);
}

int
mpq_outdir_close(struct mpq_outdir *d, struct mpq_err *err)
{
    const int fd = open(d->tmp, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = 0;

    if (fd < 0 || fsync(fd) < 0)
        rc = mpq_fail_errno(err, "%s", d->path);
    if (fd >= 0)
        close(fd);
    if (rc == 0 && rename(d->tmp, d->path) < 0)
        rc = mpq_fail_errno(err, "%s", d->path);
    if (rc == 0)
        d->made = 0;
    mpq_outdir_free(d);
    return rc;
}

void
mpq_outdir_free(struct mpq_outdir *d)
{
    if (!d)
        return;
    for (size_t i = 0; i < d->n; i++) {
        if (d->made)
            unlink(d->files[i]);
        mpq_out_unwatch(d->slots[i]);
        free(d->files[i]);
    }
    if (d->made)
        rmdir(d->tmp);
    mpq_out_unwatch(d->slot);
    free(d->path);
    free(d->tmp);
    free(d);
}
