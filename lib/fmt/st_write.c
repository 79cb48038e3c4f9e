#include "fmt/st.h"

#include "fmt/json.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { LENGTH = 8, ALIGN = 8 };

struct mpq_st_head {
    struct mpq_buf meta, tensors; /* JSON members, parted by commas */
    uint64_t data_size;
};

int
mpq_st_head_new(struct mpq_st_head **out, struct mpq_err *err)
{
    *out = calloc(1, sizeof **out);
    return *out ? 0 : mpq_fail(err, MPQ_ENOMEM, "safetensors header: out of memory");
}

void
mpq_st_head_free(struct mpq_st_head *h)
{
    if (!h)
        return;
    mpq_buf_free(&h->meta);
    mpq_buf_free(&h->tensors);
    free(h);
}

static void
add_name(struct mpq_buf *b, const char *name)
{
    if (b->len)
        mpq_buf_adds(b, ",");
    mpq_json_quote(b, name, strlen(name));
    mpq_buf_adds(b, ":");
}

int
mpq_st_put_meta(struct mpq_st_head *h, const char *key, const char *value,
                struct mpq_err *err)
{
    add_name(&h->meta, key);
    mpq_json_quote(&h->meta, value, strlen(value));
    if (h->meta.failed)
        return mpq_fail(err, MPQ_ENOMEM, "safetensors header: out of memory");
    return 0;
}

int
mpq_st_put_tensor(struct mpq_st_head *h, const char *name, struct mpq_type type,
                  unsigned n_dims, const uint64_t *dim, struct mpq_err *err)
{
    struct mpq_tensor t = { .n_dims = n_dims };
    const char *dtype = mpq_type_st_name(type);
    uint64_t end;

    assert(n_dims <= MPQ_MAX_DIMS);
    if (!dtype) {
        char type_name[MPQ_TYPE_NAME_MAX];
        return mpq_fail(err, MPQ_EDATA, "tensor %s: safetensors has no type %s", name,
                        mpq_type_name(type, type_name));
    }
    memcpy(t.dim, dim, n_dims * sizeof *dim);
    if (mpq_type_bytes(type, mpq_tensor_rows(&t), mpq_tensor_cols(&t), &t.size_bytes) <
            0 ||
        mpq_add_u64(h->data_size, t.size_bytes, &end) < 0)
        return mpq_fail(err, MPQ_EDATA, "tensor %s: size overflows 64 bits", name);
    add_name(&h->tensors, name);
    mpq_buf_printf(&h->tensors, "{\"dtype\":\"%s\",\"shape\":[", dtype);
    for (unsigned i = n_dims; i-- > 0;)
        mpq_buf_printf(&h->tensors, "%" PRIu64 "%s", dim[i], i ? "," : "");
    mpq_buf_printf(&h->tensors, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}",
                   h->data_size, end);
    if (h->tensors.failed)
        return mpq_fail(err, MPQ_ENOMEM, "safetensors header: out of memory");
    h->data_size = end;
    return 0;
}

int
mpq_st_head_finish(struct mpq_st_head *h, uint64_t min_bytes, struct mpq_buf *out,
                   struct mpq_err *err)
{
    unsigned char length[LENGTH] = { 0 };

    *out = (struct mpq_buf){ .failed = h->meta.failed || h->tensors.failed };
    mpq_buf_add(out, length, LENGTH); /* filled in below */
    mpq_buf_adds(out, "{");
    if (h->meta.len) {
        mpq_buf_adds(out, "\"__metadata__\":{");
        mpq_buf_add(out, h->meta.data, h->meta.len);
        mpq_buf_adds(out, h->tensors.len ? "}," : "}");
    }
    mpq_buf_add(out, h->tensors.data, h->tensors.len);
    mpq_buf_adds(out, "}");
    while (!out->failed && (out->len < min_bytes || out->len % ALIGN))
        mpq_buf_add(out, " ", 1);
    if (out->failed) {
        mpq_buf_free(out);
        return mpq_fail(err, MPQ_ENOMEM, "safetensors header: out of memory");
    }
    uint64_t n = out->len - LENGTH;
    for (int i = 0; i < LENGTH; i++)
        out->data[i] = (char)(n >> 8 * i & 0xff);
    return 0;
}
