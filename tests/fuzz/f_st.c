/* Safetensors: what is accepted can be read to its last byte, and its header written
 * again and read back the same. */
#include "replay.h"

#include "base/hash.h"
#include "fmt/st.h"

#include <stdlib.h>
#include <string.h>

/* The header of ST, written by us, with as much data as it asks for. */
static void
write_again(const struct mpq_st *st)
{
    struct mpq_st_head *h;
    struct mpq_buf out;
    struct mpq_err err = { 0 };
    struct mpq_st *again;
    uint64_t data = 0;

    if (mpq_st_head_new(&h, &err) < 0)
        abort();
    for (size_t i = 0; i < mpq_st_meta_count(st); i++) {
        const char *key = mpq_st_meta_key(st, i);
        if (mpq_st_put_meta(h, key, mpq_st_meta(st, key), &err) < 0)
            abort();
    }
    for (size_t i = 0; i < mpq_st_count(st); i++) {
        const struct mpq_tensor *t = mpq_st_tensor(st, i);
        if (mpq_st_put_tensor(h, t->name, t->type, t->n_dims, t->dim, &err) < 0)
            abort();
        data += t->size_bytes;
    }
    if (mpq_st_head_finish(h, 0, &out, &err) < 0)
        abort();
    while (data--)
        mpq_buf_add(&out, "", 1);
    const struct mpq_map map = { (const unsigned char *)out.data, out.len };
    if (mpq_st_open(&again, &map, "again", &err) < 0 ||
        mpq_st_count(again) != mpq_st_count(st) ||
        mpq_st_meta_count(again) != mpq_st_meta_count(st))
        abort();
    for (size_t i = 0; i < mpq_st_meta_count(st); i++) {
        const char *key = mpq_st_meta_key(st, i);
        if (strcmp(mpq_st_meta(again, key), mpq_st_meta(st, key)))
            abort();
    }
    mpq_st_free(again);
    mpq_buf_free(&out);
    mpq_st_head_free(h);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct mpq_map map = { size ? data : NULL, size };
    struct mpq_err err = { 0 };
    struct mpq_st *st;

    if (mpq_st_open(&st, &map, "input", &err) < 0) {
        if (!err.code || strncmp(err.text, "input: ", 7))
            abort();
        return 0;
    }
    for (size_t i = 0; i < mpq_st_count(st); i++) {
        const struct mpq_tensor *t = mpq_st_tensor(st, i);
        mpq_hash64(t->data, (size_t)t->size_bytes, 0);
        if (mpq_st_find(st, t->name) != t)
            abort();
    }
    write_again(st);
    mpq_st_free(st);
    return 0;
}
