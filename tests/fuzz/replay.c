/* Runs a fuzz target over the files named on the command line: with it in place of
 * libFuzzer, any compiler replays the corpus in `make check`. */
#include "replay.h"

#include <stdio.h>
#include <stdlib.h>

/* The content of PATH in memory of exactly its size, so that a sanitizer sees every
 * read past its end; NULL on failure. */
static uint8_t *
read_all(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    uint8_t *bytes = NULL;
    long end = -1;

    if (f && !fseek(f, 0, SEEK_END))
        end = ftell(f);
    if (end >= 0 && !fseek(f, 0, SEEK_SET))
        bytes = malloc(end ? (size_t)end : 1);
    if (bytes && fread(bytes, 1, (size_t)end, f) != (size_t)end) {
        free(bytes);
        bytes = NULL;
    }
    if (f)
        fclose(f);
    *size = end < 0 ? 0 : (size_t)end;
    return bytes;
}

int
main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        size_t size;
        uint8_t *bytes = read_all(argv[i], &size);
        if (!bytes) {
            perror(argv[i]);
            return EXIT_FAILURE;
        }
        LLVMFuzzerTestOneInput(bytes, size);
        free(bytes);
    }
    printf("%s: %d inputs\n", argv[0], argc - 1);
    return EXIT_SUCCESS;
}
