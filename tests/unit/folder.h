/* A folder of its own for each test, and files in it. */
#ifndef MPQ_TESTS_FOLDER_H
#define MPQ_TESTS_FOLDER_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char tmp[] = "/tmp/mpq-test.XXXXXX";

static inline void
make_tmp(void)
{
    strcpy(tmp + sizeof tmp - 7, "XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(tmp));
}

static inline void
remove_tmp(void)
{
    char command[64];

    snprintf(command, sizeof command, "rm -rf %s", tmp);
    ck_assert_int_eq(system(command), 0);
}

/* The path of FILE there; of the last four calls all are good. */
static inline const char *
in_tmp(const char *file)
{
    static char path[4][128];
    static unsigned next;
    char *p = path[next++ % 4];

    snprintf(p, sizeof path[0], "%s/%s", tmp, file);
    return p;
}

static inline void
put_file(const char *name, const void *bytes, size_t n)
{
    FILE *f = fopen(in_tmp(name), "wb");

    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(bytes, 1, n, f), n);
    ck_assert_int_eq(fclose(f), 0);
}

#endif
