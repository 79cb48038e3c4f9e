/* For targets whose reader takes a path: the input as a temporary file. */
#ifndef MPQ_FUZZ_FILE_H
#define MPQ_FUZZ_FILE_H

#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

static char fuzz_path[] = "/tmp/mpq-fuzz.XXXXXX";

static void
fuzz_remove(void)
{
    unlink(fuzz_path);
}

/* The path of a file that holds data[size], until the next call. */
static const char *
fuzz_file(const uint8_t *data, size_t size)
{
    static int fd = -1;

    if (fd < 0 && ((fd = mkstemp(fuzz_path)) < 0 || atexit(fuzz_remove)))
        abort();
    if (ftruncate(fd, 0) < 0 || pwrite(fd, data, size, 0) != (ssize_t)size)
        abort();
    return fuzz_path;
}

#endif
