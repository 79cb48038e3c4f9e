#include "quant/imatrix_write.h"

#include "base/buf.h"
#include "fmt/gguf.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 32 };
static const struct mpq_type f32 = { .id = MPQ_F32 };

int
mpq_imatrix_put(struct mpq_imatrix_new *m, const char *name, const double *sums,
                uint64_t cols, uint64_t n_tokens, struct mpq_err *err)
{
    struct mpq_imatrix_sums e = { .cols = cols, .n_tokens = n_tokens };

    for (uint64_t i = 0; i < cols; i++)
        if (!isfinite((float)sums[i]))
            return mpq_fail(err, MPQ_EDATA,
                            "%s: column %" PRIu64 ": a sum of squares of %g", name,
                            i + 1, sums[i]);
    e.name = mpq_strdup(name);
    e.sums = cols <= SIZE_MAX ? mpq_array((size_t)cols, sizeof *e.sums) : NULL;
    if (!e.name || !e.sums ||
        mpq_grow(&m->entries, &m->room, m->n + 1, sizeof *m->entries) < 0) {
        free(e.name);
        free(e.sums);
        return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", name);
    }
    for (uint64_t i = 0; i < cols; i++)
        e.sums[i] = (float)sums[i];
    m->entries[m->n++] = e;
    return 0;
}

static int
by_name(const void *a, const void *b)
{
    const struct mpq_imatrix_sums *x = a, *y = b;
    return strcmp(x->name, y->name);
}

/* In the order of the header: the sums of a matrix, then its count. */
static int
put_tensors(struct mpq_gguf_head *h, const struct mpq_imatrix_new *m,
            struct mpq_err *err)
{
    char name[512];

    for (size_t i = 0; i < m->n; i++) {
        const struct mpq_imatrix_sums *e = &m->entries[i];
        const uint64_t sums[] = { e->cols, 1 }, counts[] = { 1, 1 };
        snprintf(name, sizeof name, "%s.weight.in_sum2", e->name);
        if (mpq_gguf_put_tensor(h, name, f32, 2, sums, err) < 0)
            return -1;
        snprintf(name, sizeof name, "%s.weight.counts", e->name);
        if (mpq_gguf_put_tensor(h, name, f32, 2, counts, err) < 0)
            return -1;
    }
    return 0;
}

/* Little-endian floats and what pads them. */
static int
write_floats(struct mpq_out *out, const float *x, uint64_t n, struct mpq_err *err)
{
    for (uint64_t i = 0; i < n; i++) {
        unsigned char le[4];
        uint32_t bits;
        memcpy(&bits, &x[i], 4);
        for (int b = 0; b < 4; b++)
            le[b] = (unsigned char)(bits >> 8 * b);
        if (mpq_out_write(out, le, 4, err) < 0)
            return -1;
    }
    const uint64_t over = 4 * n % ALIGNMENT;
    return over ? mpq_out_zeros(out, ALIGNMENT - over, err) : 0;
}

int
mpq_imatrix_write(struct mpq_imatrix_new *m, struct mpq_out *out, const char *dataset,
                  uint64_t chunks, uint64_t chunk_size, struct mpq_err *err)
{
    const size_t length = strlen(dataset);
    struct mpq_gguf_head h;
    struct mpq_buf bytes = { 0 };
    int rc = -1;

    qsort(m->entries, m->n, sizeof *m->entries, by_name);
    mpq_gguf_head_init(&h, ALIGNMENT);
    mpq_gguf_put_str(&h, "general.type", "imatrix", strlen("imatrix"));
    mpq_gguf_put_strings(&h, "imatrix.datasets", &dataset, &length, 1);
    mpq_gguf_put_u32(&h, "imatrix.chunk_count",
                     chunks < UINT32_MAX ? (uint32_t)chunks : UINT32_MAX);
    mpq_gguf_put_u32(&h, "imatrix.chunk_size", (uint32_t)chunk_size);
    if (put_tensors(&h, m, err) < 0 || mpq_gguf_head_finish(&h, &bytes, err) < 0 ||
        mpq_out_write(out, bytes.data, bytes.len, err) < 0)
        goto out;
    for (size_t i = 0; i < m->n; i++) {
        const struct mpq_imatrix_sums *e = &m->entries[i];
        const float count = (float)e->n_tokens;
        if (write_floats(out, e->sums, e->cols, err) < 0 ||
            write_floats(out, &count, 1, err) < 0)
            goto out;
    }
    rc = 0;
out:
    mpq_buf_free(&bytes);
    mpq_gguf_head_free(&h);
    return rc;
}

void
mpq_imatrix_new_free(struct mpq_imatrix_new *m)
{
    for (size_t i = 0; i < m->n; i++) {
        free(m->entries[i].name);
        free(m->entries[i].sums);
    }
    free(m->entries);
    *m = (struct mpq_imatrix_new){ 0 };
}
