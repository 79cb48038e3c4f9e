/*
 * Which model this is. For the id, every tensor's name, type, shape and first row are
 * hashed, and the hashes are added up, so that their order, which shards may change,
 * says nothing. A page of each tensor is read and no more: every tool can afford it,
 * and two trainings of one architecture, which have the same header, differ in the
 * first rows already. For the sum, all rows, and what stands beside them.
 */
#include "base/hash.h"
#include "model/source_own.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Adds the hash of the weight's first ROWS rows to *sum; ROW is scratch, emptied first.
 */
static int
add_weight(uint64_t *sum, const struct mpq_weight *w, uint64_t rows,
           struct mpq_buf *text, struct mpq_buf *row, struct mpq_err *err)
{
    const struct mpq_type type = w->tensor.type;
    char name[MPQ_TYPE_NAME_MAX];
    uint64_t bytes;

    text->len = 0;
    mpq_buf_printf(text, "%s %s", w->name, mpq_type_name(type, name));
    for (unsigned d = 0; d < w->tensor.n_dims; d++)
        mpq_buf_printf(text, " %" PRIu64, w->tensor.dim[d]);
    if (text->failed || mpq_type_row_bytes(type, w->cols, &bytes) < 0 ||
        (w->scales && mpq_grow(&row->data, &row->cap, (size_t)bytes, 1) < 0))
        return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", w->name);
    uint64_t hash = mpq_hash64(text->data, text->len, 0);
    for (uint64_t i = 0; i < rows; i++)
        hash = mpq_hash64(mpq_weight_row(w, i, (unsigned char *)row->data),
                          (size_t)bytes, hash);
    *sum += hash;
    return 0;
}

static int
add_weights(uint64_t *sum, const struct mpq_source *s, int all_rows,
            struct mpq_err *err)
{
    struct mpq_buf text = { 0 }, row = { 0 };
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < mpq_source_count(s); i++) {
        const struct mpq_weight *w = mpq_source_weight(s, i);
        rc = add_weight(sum, w, all_rows ? w->rows : 1, &text, &row, err);
        if (all_rows)
            mpq_source_drop(s, w);
    }
    mpq_buf_free(&text);
    mpq_buf_free(&row);
    return rc;
}

int
mpq_source_id(const struct mpq_source *s, char id[MPQ_ID_SIZE], struct mpq_err *err)
{
    uint64_t sum = 0;
    const int rc = add_weights(&sum, s, 0, err);

    snprintf(id, MPQ_ID_SIZE, "%016" PRIx64, sum);
    return rc;
}

int
mpq_source_sum(const struct mpq_source *s, uint64_t *sum, struct mpq_err *err)
{
    const struct mpq_gguf *keys = mpq_source_keys(s);
    const char *config;
    uint64_t hash = 0;

    *sum = 0;
    if (mpq_source_text(s, "config.json", &config, err) < 0)
        return -1;
    if (config)
        hash = mpq_hash64(config, strlen(config), hash);
    for (size_t i = 0; keys && i < mpq_gguf_kv_count(keys); i++) {
        const struct mpq_gguf_kv *kv = mpq_gguf_kv_at(keys, i);
        hash = mpq_hash64(kv->key, strlen(kv->key), hash);
        hash = mpq_hash64(kv->raw, (size_t)kv->raw_size, hash);
    }
    *sum = hash;
    return add_weights(sum, s, 1, err);
}
