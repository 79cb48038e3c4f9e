/*
 * A model's checksum: the same from a file, a pipe, gzip, a split file and its parts
 * joined, and with any number of threads. Each piece of at most PIECE bytes of tensor
 * data is hashed alone; then the text of all metadata and tensors, and the pieces'
 * hashes in file order, are hashed as one.
 */
#include "base/hash.h"
#include "base/par.h"
#include "model/source_own.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE = 1 << 20 };

struct work {
    const struct mpq_tensor **tensors; /* in file order */
    size_t *first;                     /* piece of each tensor; one more at the end */
    size_t n_tensors;
    unsigned char *hashes; /* [pieces][8], little-endian */
};

static void
put_le64(unsigned char *p, uint64_t v)
{
    for (int i = 0; i < 8; i++)
        p[i] = (unsigned char)(v >> 8 * i);
}

/* The tensor that a piece belongs to. */
static size_t
find_tensor(const struct work *w, size_t piece)
{
    size_t lo = 0, hi = w->n_tensors;

    while (hi - lo > 1) {
        size_t mid = lo + (hi - lo) / 2;
        if (w->first[mid] <= piece)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

static int
hash_piece(void *ctx, size_t piece, unsigned thread, struct mpq_err *err)
{
    const struct work *w = ctx;
    size_t i = find_tensor(w, piece);
    const struct mpq_tensor *t = w->tensors[i];
    uint64_t begin = (uint64_t)(piece - w->first[i]) * PIECE;
    uint64_t left = t->size_bytes - begin;

    (void)thread;
    (void)err;
    put_le64(w->hashes + piece * 8,
             mpq_hash64(t->data + begin, left < PIECE ? (size_t)left : PIECE, 0));
    return 0;
}

static size_t
count_tensors(const struct mpq_source *s)
{
    size_t n = s->gguf ? mpq_gguf_count(s->gguf) : 0;

    for (size_t k = 0; k < s->n_shards; k++)
        n += mpq_st_count(s->shards[k].st);
    return n;
}

static int
list_tensors(const struct mpq_source *s, struct work *w)
{
    size_t n = 0;

    w->n_tensors = count_tensors(s);
    w->tensors = mpq_array(w->n_tensors, sizeof *w->tensors);
    w->first = mpq_array(w->n_tensors + 1, sizeof *w->first);
    if (!w->tensors || !w->first)
        return -1;
    for (size_t i = 0; s->gguf && i < mpq_gguf_count(s->gguf); i++)
        w->tensors[n++] = mpq_gguf_tensor(s->gguf, i);
    for (size_t k = 0; k < s->n_shards; k++)
        for (size_t i = 0; i < mpq_st_count(s->shards[k].st); i++)
            w->tensors[n++] = mpq_st_tensor(s->shards[k].st, i);
    for (size_t i = 0; i < n; i++) {
        uint64_t size = w->tensors[i]->size_bytes;
        w->first[i + 1] = w->first[i] + (size_t)(size / PIECE + (size % PIECE > 0));
    }
    w->hashes = mpq_array(w->first[n], 8);
    return w->hashes ? 0 : -1;
}

/* Lengths go in front of what varies in length, so that no two models give one text. */
static void
add_facts(const struct mpq_source *s, const struct work *w, struct mpq_buf *b)
{
    char type[MPQ_TYPE_NAME_MAX];

    for (size_t i = 0; s->gguf && i < mpq_gguf_kv_count(s->gguf); i++) {
        const struct mpq_gguf_kv *kv = mpq_gguf_kv_at(s->gguf, i);
        mpq_buf_printf(b, "%zu %s %" PRIu64 " ", strlen(kv->key), kv->key,
                       kv->raw_size);
        mpq_buf_add(b, kv->raw, (size_t)kv->raw_size);
    }
    for (size_t k = 0; k < s->n_shards; k++)
        for (size_t i = 0; i < mpq_st_meta_count(s->shards[k].st); i++) {
            const char *key = mpq_st_meta_key(s->shards[k].st, i);
            const char *value = mpq_st_meta(s->shards[k].st, key);
            mpq_buf_printf(b, "%zu %s %zu ", strlen(key), key, strlen(value));
            mpq_buf_adds(b, value);
        }
    for (size_t i = 0; i < w->n_tensors; i++) {
        const struct mpq_tensor *t = w->tensors[i];
        mpq_buf_printf(b, "%s %s", t->name, mpq_type_name(t->type, type));
        for (unsigned d = 0; d < t->n_dims; d++)
            mpq_buf_printf(b, " %" PRIu64, t->dim[d]);
        mpq_buf_adds(b, "\n");
    }
}

int
mpq_source_checksum(const struct mpq_source *s, unsigned n_threads,
                    char hex[MPQ_CHECKSUM_SIZE], struct mpq_err *err)
{
    struct work w = { 0 };
    struct mpq_buf facts = { 0 };
    int rc = -1;

    if (list_tensors(s, &w) < 0) {
        mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", s->name);
        goto out;
    }
    if (mpq_par_for(n_threads, w.first[w.n_tensors], hash_piece, &w, err) < 0)
        goto out;
    add_facts(s, &w, &facts);
    mpq_buf_add(&facts, w.hashes, w.first[w.n_tensors] * 8);
    if (facts.failed) {
        mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", s->name);
        goto out;
    }
    snprintf(hex, MPQ_CHECKSUM_SIZE, "%016" PRIx64,
             mpq_hash64(facts.data, facts.len, 0));
    rc = 0;
out:
    mpq_buf_free(&facts);
    free(w.tensors);
    free(w.first);
    free(w.hashes);
    return rc;
}
