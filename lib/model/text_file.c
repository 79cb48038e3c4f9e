#include "model/text_file.h"

#include "base/hash.h"
#include "base/io.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

int64_t
mpq_text_bos(const struct mpq_tokenizer *tok)
{
    return mpq_tokenizer_adds_bos(tok) ? mpq_tokenizer_bos(tok) : -1;
}

int
mpq_text_open(struct mpq_tokens *out, const char *path, const struct mpq_tokenizer *tok,
              unsigned flags, struct mpq_err *err)
{
    const char *name = strcmp(path, "-") != 0 ? path : "standard input";
    const int64_t bos = mpq_text_bos(tok);
    struct mpq_map map;
    int rc = -1;

    if (mpq_map_open(&map, path, err) < 0)
        return -1;
    if (map.size == 0)
        mpq_fail(err, MPQ_EDATA, "%s: an empty text", name);
    else if (bos < 0 || mpq_tokens_add(out, (uint32_t)bos, err) == 0)
        rc = mpq_tokenizer_encode(tok, (const char *)map.data, (size_t)map.size, flags,
                                  name, out, err);
    mpq_map_close(&map);
    return rc;
}

void
mpq_text_checksum(const uint32_t *ids, size_t n, int64_t bos, char hex[17])
{
    snprintf(hex, 17, "%016" PRIx64,
             mpq_hash64(ids, n * sizeof *ids, (uint64_t)(bos + 1)));
}
