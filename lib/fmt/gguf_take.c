#include "base/le.h"
#include "fmt/gguf_own.h"

#include <inttypes.h>

const unsigned char *
mpq_gguf_take(struct mpq_gguf_at *at, uint64_t n)
{
    uint64_t left = at->size - at->pos;

    if (n > left) {
        mpq_fail(at->err, MPQ_EDATA,
                 "%s: %s: cut short: %" PRIu64 " bytes at offset %" PRIu64
                 " of a file of %" PRIu64,
                 at->file, at->place, n, at->pos, at->size);
        return NULL;
    }
    const unsigned char *p = at->data + at->pos;
    at->pos += n;
    return p;
}

int
mpq_gguf_take_u32(struct mpq_gguf_at *at, uint32_t *out)
{
    const unsigned char *p = mpq_gguf_take(at, 4);

    if (!p)
        return -1;
    *out = mpq_le32(p);
    return 0;
}

int
mpq_gguf_take_u64(struct mpq_gguf_at *at, uint64_t *out)
{
    const unsigned char *p = mpq_gguf_take(at, 8);

    if (!p)
        return -1;
    *out = mpq_le64(p);
    return 0;
}
