#include "fmt/gguf.h"

#include "fmt/gguf_own.h"

int
mpq_gguf_open(struct mpq_gguf **out, const struct mpq_map *map, const char *path,
              struct mpq_err *err)
{
    if (mpq_gguf_read_file(out, map, path, 0, err) < 0)
        return -1;
    if (mpq_gguf_join(*out, path, err) < 0) {
        mpq_gguf_free(*out);
        *out = NULL;
        return -1;
    }
    return 0;
}

size_t
mpq_gguf_count(const struct mpq_gguf *g)
{
    return g->n_tensors;
}

const struct mpq_tensor *
mpq_gguf_tensor(const struct mpq_gguf *g, size_t i)
{
    return &g->tensors[i];
}

uint32_t
mpq_gguf_version(const struct mpq_gguf *g)
{
    return g->version;
}

uint64_t
mpq_gguf_alignment(const struct mpq_gguf *g)
{
    return g->alignment;
}

uint64_t
mpq_gguf_file_size(const struct mpq_gguf *g)
{
    return g->file_size;
}
