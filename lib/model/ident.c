/*
 * Which model this is. Every tensor's name, type, shape and first row are hashed, and
 * the hashes are added up, so that their order, which shards may change, says nothing.
 * A page of each tensor is read and no more: every tool can afford it, and two
 * trainings of one architecture, which have the same header, differ in the first rows
 * already.
 */
#include "base/hash.h"
#include "model/source_own.h"

#include <inttypes.h>
#include <stdio.h>

/* Adds the weight's hash to *sum; ROW is scratch, emptied first. */
static int
add_weight(uint64_t *sum, const struct mpq_weight *w, struct mpq_buf *text,
           struct mpq_buf *row, struct mpq_err *err)
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
    *sum += mpq_hash64(mpq_weight_row(w, 0, (unsigned char *)row->data), (size_t)bytes,
                       mpq_hash64(text->data, text->len, 0));
    return 0;
}

int
mpq_source_id(const struct mpq_source *s, char id[MPQ_ID_SIZE], struct mpq_err *err)
{
    struct mpq_buf text = { 0 }, row = { 0 };
    uint64_t sum = 0;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < mpq_source_count(s); i++)
        rc = add_weight(&sum, mpq_source_weight(s, i), &text, &row, err);
    snprintf(id, MPQ_ID_SIZE, "%016" PRIx64, sum);
    mpq_buf_free(&text);
    mpq_buf_free(&row);
    return rc;
}
