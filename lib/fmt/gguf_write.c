#include "fmt/gguf.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

enum { FIXED_HEAD = 24, VERSION = 3 };

static void
add_u32(struct mpq_buf *b, uint32_t v)
{
    unsigned char le[4];

    for (int i = 0; i < 4; i++)
        le[i] = (unsigned char)(v >> 8 * i);
    mpq_buf_add(b, le, sizeof le);
}

static void
add_u64(struct mpq_buf *b, uint64_t v)
{
    add_u32(b, (uint32_t)v);
    add_u32(b, (uint32_t)(v >> 32));
}

static void
add_str(struct mpq_buf *b, const char *s, size_t n)
{
    add_u64(b, n);
    mpq_buf_add(b, s, n);
}

void
mpq_gguf_head_init(struct mpq_gguf_head *h, uint64_t alignment)
{
    assert(alignment && !(alignment & (alignment - 1)));
    *h = (struct mpq_gguf_head){ .alignment = alignment };
}

void
mpq_gguf_head_free(struct mpq_gguf_head *h)
{
    mpq_buf_free(&h->kvs);
    mpq_buf_free(&h->tensors);
}

static void
add_key(struct mpq_gguf_head *h, const char *key, uint32_t type)
{
    h->n_kv++;
    add_str(&h->kvs, key, strlen(key));
    add_u32(&h->kvs, type);
}

void
mpq_gguf_put_raw(struct mpq_gguf_head *h, const struct mpq_gguf_kv *kv)
{
    h->n_kv++;
    add_str(&h->kvs, kv->key, strlen(kv->key));
    mpq_buf_add(&h->kvs, kv->raw, (size_t)kv->raw_size);
}

void
mpq_gguf_put_u32(struct mpq_gguf_head *h, const char *key, uint32_t v)
{
    add_key(h, key, MPQ_GGUF_U32);
    add_u32(&h->kvs, v);
}

void
mpq_gguf_put_f32(struct mpq_gguf_head *h, const char *key, float v)
{
    uint32_t bits;

    memcpy(&bits, &v, sizeof bits);
    add_key(h, key, MPQ_GGUF_F32);
    add_u32(&h->kvs, bits);
}

void
mpq_gguf_put_bool(struct mpq_gguf_head *h, const char *key, int v)
{
    add_key(h, key, MPQ_GGUF_BOOL);
    mpq_buf_add(&h->kvs, v ? "\1" : "\0", 1);
}

void
mpq_gguf_put_str(struct mpq_gguf_head *h, const char *key, const char *s, size_t n)
{
    add_key(h, key, MPQ_GGUF_STR);
    add_str(&h->kvs, s, n);
}

void
mpq_gguf_put_array(struct mpq_gguf_head *h, const char *key, enum mpq_gguf_type type,
                   const void *items, size_t item, uint64_t n)
{
    add_key(h, key, MPQ_GGUF_ARR);
    add_u32(&h->kvs, (uint32_t)type);
    add_u64(&h->kvs, n);
    mpq_buf_add(&h->kvs, items, item * (size_t)n);
}

void
mpq_gguf_put_strings(struct mpq_gguf_head *h, const char *key,
                     const char *const *strings, const size_t *lengths, uint64_t n)
{
    add_key(h, key, MPQ_GGUF_ARR);
    add_u32(&h->kvs, MPQ_GGUF_STR);
    add_u64(&h->kvs, n);
    for (uint64_t i = 0; i < n; i++)
        add_str(&h->kvs, strings[i], lengths[i]);
}

/* N rounded up to the alignment, a power of two; -1 when that overflows. */
static int
align(uint64_t n, uint64_t alignment, uint64_t *out)
{
    if (mpq_add_u64(n, alignment - 1, out) < 0)
        return -1;
    *out &= ~(alignment - 1);
    return 0;
}

int
mpq_gguf_put_tensor(struct mpq_gguf_head *h, const char *name, struct mpq_type type,
                    unsigned n_dims, const uint64_t *dim, struct mpq_err *err)
{
    struct mpq_tensor t = { .n_dims = n_dims };
    uint64_t end;

    assert(n_dims >= 1 && n_dims <= 4 && mpq_type_is_ggml(type));
    memcpy(t.dim, dim, n_dims * sizeof *dim);
    if (mpq_type_bytes(type, mpq_tensor_rows(&t), mpq_tensor_cols(&t), &t.size_bytes) <
            0 ||
        mpq_add_u64(h->data_size, t.size_bytes, &end) < 0 ||
        align(end, h->alignment, &end) < 0) {
        char type_name[MPQ_TYPE_NAME_MAX];
        return mpq_fail(err, MPQ_EDATA,
                        "tensor %s: rows of %" PRIu64
                        " do not fit type %s, or its size overflows",
                        name, t.dim[0], mpq_type_name(type, type_name));
    }
    add_str(&h->tensors, name, strlen(name));
    add_u32(&h->tensors, n_dims);
    for (unsigned i = 0; i < n_dims; i++)
        add_u64(&h->tensors, dim[i]);
    add_u32(&h->tensors, type.id);
    add_u64(&h->tensors, h->data_size);
    h->data_size = end;
    h->n_tensors++;
    return 0;
}

uint64_t
mpq_gguf_head_size(const struct mpq_gguf_head *h)
{
    uint64_t size = FIXED_HEAD + (uint64_t)h->kvs.len + h->tensors.len;

    return (size + h->alignment - 1) & ~(h->alignment - 1);
}

int
mpq_gguf_head_finish(const struct mpq_gguf_head *h, struct mpq_buf *out,
                     struct mpq_err *err)
{
    static const char zeros[256];
    uint64_t size = mpq_gguf_head_size(h);

    *out = (struct mpq_buf){ .failed = h->kvs.failed || h->tensors.failed };
    mpq_buf_adds(out, "GGUF");
    add_u32(out, VERSION);
    add_u64(out, h->n_tensors);
    add_u64(out, h->n_kv);
    mpq_buf_add(out, h->kvs.data, h->kvs.len);
    mpq_buf_add(out, h->tensors.data, h->tensors.len);
    while (!out->failed && out->len < size) {
        uint64_t left = size - out->len;
        mpq_buf_add(out, zeros, left < sizeof zeros ? (size_t)left : sizeof zeros);
    }
    if (out->failed) {
        mpq_buf_free(out);
        return mpq_fail(err, MPQ_ENOMEM, "GGUF header: out of memory");
    }
    return 0;
}
