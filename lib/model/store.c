#include "model/store.h"

#include "base/buf.h"
#include "base/hash.h"
#include "base/io.h"
#include "base/le.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    HEAD_ALIGN = 4096,
    PIECE_ALIGN = 64,
    FINISHED_AT = 11,
    LENGTH_AT = 19,
    TEXT = 27
};
static const char magic[] = "mpq-part 3\n", any_version[] = "mpq-part ";

struct mpq_store {
    const struct mpq_packfile *file;
    char *path; /* NULL: no name */
    int fd;     /* of a file with a name: holds the lock; else -1 */
    unsigned char *map;
    uint64_t size, sums_at, layers_at; /* checksums: of pieces, of layers' inputs */
    size_t n_layers, finished;
    const unsigned char **rows; /* [file->n] */
    unsigned char *summed;      /* [file->n] its checksum is in the file */
};

static uint64_t
round_up(uint64_t n, uint64_t to)
{
    return (n + to - 1) / to * to;
}

static void
put_u64(unsigned char *to, uint64_t v)
{
    for (int i = 0; i < 8; i++)
        to[i] = (unsigned char)(v >> 8 * i);
}

/* Where each piece lies: offsets instead of addresses until the file is mapped. */
static int
lay_out(struct mpq_store *s, const struct mpq_store_options *o, uint64_t *offset,
        struct mpq_err *err)
{
    s->sums_at = round_up(TEXT + strlen(o->description), 8);
    s->layers_at = s->sums_at + 8 * (uint64_t)s->file->n;
    uint64_t at = round_up(s->layers_at + 8 * (uint64_t)s->n_layers, HEAD_ALIGN);

    for (size_t i = 0; i < s->file->n; i++) {
        const struct mpq_piece *p = &s->file->pieces[i];
        uint64_t bytes;
        if (!o->held[i])
            continue;
        offset[i] = at;
        if (mpq_type_row_bytes(p->type, p->weight->cols, &bytes) < 0 ||
            mpq_mul_u64(bytes, p->weight->rows, &bytes) < 0 ||
            mpq_add_u64(at, bytes, &at) < 0 || at > INT64_MAX - HEAD_ALIGN)
            return mpq_fail(err, MPQ_EDATA, "tensor %s: too large to be kept",
                            p->weight->name);
        at = round_up(at, PIECE_ALIGN);
    }
    s->size = round_up(at, HEAD_ALIGN);
    return 0;
}

static int
map_file(struct mpq_store *s, int fd, const char *name, struct mpq_err *err)
{
    void *map = MAP_FAILED;

    if (s->size <= SIZE_MAX)
        map = mmap(NULL, (size_t)s->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        return mpq_fail_errno(err, "%s: mapping %" PRIu64 " bytes", name, s->size);
    s->map = map;
    return 0;
}

/* The head first and in one piece, so that at any moment the file can be told from
 * somebody else's. */
static int
write_head(int fd, const char *name, const struct mpq_store_options *o,
           struct mpq_err *err)
{
    const size_t length = strlen(o->description);
    unsigned char *head = mpq_array(TEXT + length, 1);

    if (!head)
        return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", name);
    memcpy(head, magic, sizeof magic - 1);
    put_u64(head + LENGTH_AT, length);
    memcpy(head + TEXT, o->description, length);
    const int rc = mpq_write_all(fd, head, TEXT + length, name, err);
    free(head);
    return rc;
}

/* All its bytes now: a full disk shows here, not as a signal in the middle. */
static int
begin(struct mpq_store *s, int fd, const char *name, const struct mpq_store_options *o,
      struct mpq_err *err)
{
    if (ftruncate(fd, 0) < 0)
        return mpq_fail_errno(err, "%s", name);
    if (write_head(fd, name, o, err) < 0) {
        const int cut = ftruncate(fd, 0); /* a piece of it would be refused next time */
        (void)cut;
        return -1;
    }
    const int full = posix_fallocate(fd, 0, (off_t)s->size);
    if (full) {
        errno = full;
        return mpq_fail_errno(err, "%s: no room for %" PRIu64 " bytes of encoded rows",
                              name, s->size);
    }
    return map_file(s, fd, name, err);
}

/* A line of a description: LENGTH bytes at AT, of which the first KEY are its key; LEFT
 * bytes to the end of the description. */
struct line {
    const char *at;
    size_t length, key, left;
};

/* To the line at L->at; 0 at the end. */
static int
see_line(struct line *l)
{
    const char *end = l->left ? memchr(l->at, '\n', l->left) : NULL;

    l->length = end ? (size_t)(end - l->at) : l->left;
    const char *blank = l->left ? memchr(l->at, ' ', l->length) : NULL;
    l->key = blank ? (size_t)(blank - l->at) : l->length;
    return l->left > 0;
}

static int
next_line(struct line *l)
{
    const size_t skip = l->length < l->left ? l->length + 1 : l->left;

    l->at += skip;
    l->left -= skip;
    return see_line(l);
}

/* Is there a line of L's key in ALL? */
static int
has_key(struct line all, const struct line *l)
{
    for (int more = see_line(&all); more; more = next_line(&all))
        if (all.key == l->key && !memcmp(all.at, l->at, l->key))
            return 1;
    return 0;
}

static int
width(const struct line *l)
{
    enum { MOST = 200 }; /* the length is the file's word */

    return (int)(l->length < MOST ? l->length : MOST);
}

/* Says the first line in which WAS and IS differ, which do; or that one has it alone.
 */
static int
refuse(const char *path, struct line was, struct line is, struct mpq_err *err)
{
    static const char anew[] = "remove it to begin anew";
    const struct line all_was = was, all_is = is;
    int more_was = see_line(&was), more_is = see_line(&is);

    while (more_was && more_is && was.length == is.length &&
           !memcmp(was.at, is.at, was.length)) {
        more_was = next_line(&was);
        more_is = next_line(&is);
    }
    if (more_is && !has_key(all_was, &is))
        return mpq_fail(err, MPQ_EDATA, "%s: was begun without '%.*s': %s", path,
                        width(&is), is.at, anew);
    if (more_was && !has_key(all_is, &was))
        return mpq_fail(err, MPQ_EDATA,
                        "%s: was begun with '%.*s', now it is without: %s", path,
                        width(&was), was.at, anew);
    return mpq_fail(err, MPQ_EDATA, "%s: was begun with '%.*s', now it is '%.*s': %s",
                    path, width(&was), was.at, width(&is), is.at, anew);
}

/* Is it a file of this program, with a whole description? */
static int
check_head(const struct mpq_map *file, const char *path, struct mpq_err *err)
{
    const size_t sure = sizeof any_version - 1;

    if (file->size < TEXT || memcmp(file->data, any_version, sure) != 0)
        return mpq_fail(err, MPQ_EDATA, "%s: is no unfinished file of mpq-pack", path);
    if (memcmp(file->data, magic, sizeof magic - 1) != 0)
        return mpq_fail(err, MPQ_EDATA,
                        "%s: was begun by another version of mpq-pack: remove it to"
                        " begin anew",
                        path);
    const uint64_t length = mpq_le64(file->data + LENGTH_AT);
    if (length > file->size - TEXT)
        return mpq_fail(err, MPQ_EDATA,
                        "%s: cut short: description of %" PRIu64
                        " bytes in a file of %" PRIu64,
                        path, length, file->size);
    return 0;
}

/* Holds FILE against what it should be: 1, or 0 when it was ended before it had all its
 * bytes. */
static int
check_file(struct mpq_store *s, const struct mpq_map *file,
           const struct mpq_store_options *o, struct mpq_err *err)
{
    const size_t want = strlen(o->description);

    if (check_head(file, s->path, err) < 0)
        return -1;
    const size_t length = (size_t)mpq_le64(file->data + LENGTH_AT);
    const char *was = (const char *)file->data + TEXT;
    if (length != want || memcmp(was, o->description, want) != 0)
        return refuse(s->path, (struct line){ .at = was, .left = length },
                      (struct line){ .at = o->description, .left = want }, err);
    const uint64_t finished = mpq_le64(file->data + FINISHED_AT);
    if (file->size < s->size && finished == 0)
        return 0;
    if (file->size != s->size || finished > s->n_layers)
        return mpq_fail(err, MPQ_EDATA,
                        "%s: %" PRIu64 " layers in %" PRIu64
                        " bytes, should be %zu in %" PRIu64,
                        s->path, finished, file->size, s->n_layers, s->size);
    s->finished = (size_t)finished;
    return 1;
}

static int
go_on(struct mpq_store *s, int fd, const struct mpq_store_options *o,
      struct mpq_err *err)
{
    struct mpq_map file;

    if (mpq_map_fd(&file, fd, s->path, err) < 0)
        return -1;
    const int whole = check_file(s, &file, o, err);
    mpq_map_close(&file);
    if (whole < 0)
        return -1;
    return whole ? map_file(s, fd, s->path, err) : begin(s, fd, s->path, o, err);
}

static int
open_named(struct mpq_store *s, const struct mpq_store_options *o, struct mpq_err *err)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    struct stat st;

    s->fd = open(s->path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (s->fd < 0 && errno == ELOOP)
        return mpq_fail(err, MPQ_EDATA, "%s: is a symbolic link", s->path);
    if (s->fd < 0 || fstat(s->fd, &st) < 0)
        return mpq_fail_errno(err, "%s", s->path);
    if (!S_ISREG(st.st_mode))
        return mpq_fail(err, MPQ_EDATA, "%s: is no regular file", s->path);
    if (fcntl(s->fd, F_SETLK, &lock) < 0 && (errno == EACCES || errno == EAGAIN))
        return mpq_fail(err, MPQ_ESYS, "%s: another mpq-pack is at work on it",
                        s->path);
    if (fstat(s->fd, &st) < 0) /* anew: now nobody else changes it */
        return mpq_fail_errno(err, "%s", s->path);
    return st.st_size ? go_on(s, s->fd, o, err) : begin(s, s->fd, s->path, o, err);
}

static int
open_unnamed(struct mpq_store *s, const struct mpq_store_options *o,
             struct mpq_err *err)
{
    const int fd = mpq_tmp_open(err);

    if (fd < 0)
        return -1;
    const int rc = begin(s, fd, "temporary file", o, err);
    close(fd);
    return rc;
}

int
mpq_store_new(struct mpq_store **out, const struct mpq_packfile *f,
              const struct mpq_store_options *options, struct mpq_err *err)
{
    struct mpq_store *s = calloc(1, sizeof *s);
    uint64_t *offset = mpq_array(f->n, sizeof *offset);
    int rc = -1;

    *out = NULL;
    if (s)
        s->fd = -1;
    if (!s || !offset || !(s->rows = mpq_array(f->n, sizeof *s->rows)) ||
        !(s->summed = mpq_array(f->n, 1)) ||
        (options->path && !(s->path = mpq_strdup(options->path)))) {
        mpq_fail(err, MPQ_ENOMEM, "out of memory for %zu tensors", f->n);
        goto out;
    }
    s->file = f;
    s->n_layers = options->n_layers;
    if (lay_out(s, options, offset, err) < 0 ||
        (s->path ? open_named(s, options, err) : open_unnamed(s, options, err)) < 0)
        goto out;
    for (size_t i = 0; i < f->n; i++)
        s->rows[i] = options->held[i] ? s->map + offset[i] : NULL;
    *out = s;
    s = NULL;
    rc = 0;
out:
    free(offset);
    mpq_store_free(s);
    return rc;
}

void
mpq_store_free(struct mpq_store *s)
{
    if (!s)
        return;
    if (s->map)
        munmap(s->map, (size_t)s->size);
    if (s->fd >= 0)
        close(s->fd);
    free(s->rows);
    free(s->summed);
    free(s->path);
    free(s);
}

void
mpq_store_remove(struct mpq_store *s)
{
    if (s && s->path)
        unlink(s->path);
}

unsigned char *
mpq_store_rows(const struct mpq_store *s, size_t i)
{
    return (unsigned char *)(uintptr_t)s->rows[i];
}

const unsigned char *const *
mpq_store_all(const struct mpq_store *s)
{
    return s->rows;
}

size_t
mpq_store_finished(const struct mpq_store *s)
{
    return s->finished;
}

/* Never 0, which stands for no checksum. */
static uint64_t
sum_of(const struct mpq_store *s, size_t i)
{
    const struct mpq_piece *p = &s->file->pieces[i];
    uint64_t bytes = 0;

    if (mpq_type_row_bytes(p->type, p->weight->cols, &bytes) < 0)
        assert(0); /* lay_out has asked */
    const uint64_t sum = mpq_hash64(s->rows[i], (size_t)(bytes * p->weight->rows), 0);
    return sum ? sum : 1;
}

int
mpq_store_verify(struct mpq_store *s, size_t i, struct mpq_err *err)
{
    if (s->summed[i] || !s->rows[i] || !s->path)
        return 0;
    if (mpq_le64(s->map + s->sums_at + 8 * i) != sum_of(s, i))
        return mpq_fail(err, MPQ_EDATA, "%s: %s is damaged: remove it to begin anew",
                        s->path, s->file->pieces[i].weight->name);
    s->summed[i] = 1;
    return 0;
}

uint64_t
mpq_store_made_from(const struct mpq_store *s, size_t layer)
{
    assert(s->path && layer < s->finished);
    return mpq_le64(s->map + s->layers_at + 8 * layer);
}

int
mpq_store_finish_layer(struct mpq_store *s, const unsigned char *ready,
                       uint64_t made_from, struct mpq_err *err)
{
    const size_t layer = s->finished++;

    if (!s->path)
        return 0;
    put_u64(s->map + s->layers_at + 8 * layer, made_from);
    for (size_t i = 0; i < s->file->n; i++)
        if (ready[i] && s->rows[i] && !s->summed[i]) {
            put_u64(s->map + s->sums_at + 8 * i, sum_of(s, i));
            s->summed[i] = 1;
        }
    /* rows and sums first: the count must never be ahead of them */
    if (msync(s->map, (size_t)s->size, MS_SYNC) < 0)
        return mpq_fail_errno(err, "%s", s->path);
    put_u64(s->map + FINISHED_AT, s->finished);
    if (msync(s->map, HEAD_ALIGN, MS_SYNC) < 0)
        return mpq_fail_errno(err, "%s", s->path);
    return 0;
}
