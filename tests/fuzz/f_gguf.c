/* GGUF: what is accepted can be walked over to its last byte, and its header written
 * again and read back the same. */
#include "replay.h"

#include "base/hash.h"
#include "fmt/gguf.h"

#include <stdlib.h>
#include <string.h>

/* Reads every metadata value with every getter. */
static void
walk_keys(const struct mpq_gguf *g)
{
    for (size_t i = 0; i < mpq_gguf_kv_count(g); i++) {
        const struct mpq_gguf_kv *kv = mpq_gguf_kv_at(g, i);
        uint64_t u, n, pos = 0;
        const char *s;
        double f;
        char *copy;
        int b;

        if (mpq_gguf_kv_find(g, kv->key) != kv)
            abort();
        mpq_gguf_get_u64(g, kv->key, &u);
        mpq_gguf_get_f64(g, kv->key, &f);
        mpq_gguf_get_bool(g, kv->key, &b);
        mpq_gguf_get_str(g, kv->key, &copy);
        free(copy);
        for (u = 0; u < kv->count && u < 1000; u++) {
            mpq_gguf_item_u64(kv, u, &n);
            mpq_gguf_item_f64(kv, u, &f);
        }
        for (u = 0; mpq_gguf_next_str(kv, &pos, &s, &n); u++)
            mpq_hash64(s, (size_t)n, 0);
        if (kv->type == MPQ_GGUF_ARR && kv->item_type == MPQ_GGUF_STR && u != kv->count)
            abort();
    }
}

static void
write_again(const struct mpq_gguf *g)
{
    struct mpq_gguf_head h;
    struct mpq_buf out;
    struct mpq_err err = { 0 };
    struct mpq_gguf *again;

    mpq_gguf_head_init(&h, mpq_gguf_alignment(g));
    for (size_t i = 0; i < mpq_gguf_kv_count(g); i++)
        mpq_gguf_put_raw(&h, mpq_gguf_kv_at(g, i));
    if (mpq_gguf_head_size(&h) > (1 << 24)) { /* a huge alignment */
        mpq_gguf_head_free(&h);
        return;
    }
    if (mpq_gguf_head_finish(&h, &out, &err) < 0)
        abort();
    const struct mpq_map map = { (const unsigned char *)out.data, out.len };
    if (mpq_gguf_open(&again, &map, "again", &err) < 0 ||
        mpq_gguf_kv_count(again) != mpq_gguf_kv_count(g))
        abort();
    mpq_gguf_free(again);
    mpq_buf_free(&out);
    mpq_gguf_head_free(&h);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct mpq_map map = { size ? data : NULL, size };
    struct mpq_err err = { 0 };
    struct mpq_gguf *g;

    if (mpq_gguf_open(&g, &map, "input", &err) < 0) {
        if (!err.code || strncmp(err.text, "input: ", 7))
            abort();
        return 0;
    }
    walk_keys(g);
    for (size_t i = 0; i < mpq_gguf_count(g); i++)
        mpq_hash64(mpq_gguf_tensor(g, i)->data,
                   (size_t)mpq_gguf_tensor(g, i)->size_bytes, 0);
    write_again(g);
    mpq_gguf_free(g);
    return 0;
}
