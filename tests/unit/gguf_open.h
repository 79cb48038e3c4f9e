/* GGUF files and bytes, opened for tests of the format. */
#ifndef MPQ_TESTS_GGUF_OPEN_H
#define MPQ_TESTS_GGUF_OPEN_H

#include "suite.h"

#include "fmt/gguf.h"

static inline int
open_bytes(struct mpq_gguf **g, const void *bytes, size_t n, struct mpq_err *err)
{
    const struct mpq_map map = { n ? bytes : NULL, n };

    *err = (struct mpq_err){ 0 };
    return mpq_gguf_open(g, &map, "m.gguf", err);
}

static inline struct mpq_gguf *
open_file(const char *path, struct mpq_map *map)
{
    struct mpq_gguf *g = NULL;
    struct mpq_err err = { 0 };

    ck_assert_msg(mpq_map_open(map, path, &err) == 0, "%s", err.text);
    ck_assert_msg(mpq_gguf_open(&g, map, path, &err) == 0, "%s", err.text);
    return g;
}

#endif
