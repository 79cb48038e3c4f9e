/* A small model made on the spot, for tests of whole files. */
#ifndef MPQ_TESTS_SMALL_H
#define MPQ_TESTS_SMALL_H

#include "base/io.h"
#include "fmt/gguf.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Rows are odd on purpose. N_DIMS 1 has no rows. */
static const struct small_tensor {
    const char *name;
    uint64_t rows; /* 0: a vector */
    uint8_t type;
} small_tensors[] = {
    { "token_embd.weight", 5, MPQ_F32 },      { "blk.0.attn_norm.weight", 0, MPQ_F32 },
    { "blk.0.attn_q.weight", 7, MPQ_F16 },    { "blk.0.ffn_down.weight", 3, MPQ_F32 },
    { "blk.1.attn_q.weight", 301, MPQ_BF16 }, { "output_norm.weight", 0, MPQ_F32 },
};
enum { SMALL_TENSORS = sizeof small_tensors / sizeof *small_tensors };

/* xorshift: the same weights on every machine. */
static inline float
small_random(uint32_t *state)
{
    uint32_t x = *state;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    *state = x;
    return (float)(int32_t)x / 2147483648.0f;
}

static inline void
small_header(struct mpq_gguf_head *h, uint64_t cols)
{
    uint64_t big = 7;

    mpq_gguf_head_init(h, 32);
    mpq_gguf_put_str(h, "general.architecture", "llama", 5);
    mpq_gguf_put_u32(h, "general.file_type", 0);
    mpq_gguf_put_str(h, "general.name", "small one", 9);
    mpq_gguf_put_u32(h, "llama.block_count", 2);
    mpq_gguf_put_array(h, "small.u64", MPQ_GGUF_U64, &big, 8, 1);
    for (size_t i = 0; i < SMALL_TENSORS; i++) {
        const uint64_t dim[2] = { cols, small_tensors[i].rows };
        ck_assert_int_eq(mpq_gguf_put_tensor(h, small_tensors[i].name,
                                             MPQ_TYPE(small_tensors[i].type),
                                             dim[1] ? 2 : 1, dim, NULL),
                         0);
    }
}

/* Writes the model with rows of COLS to PATH. The weight number NAN_AT of the whole
 * file becomes NaN if it is not negative. */
static inline void
small_write(const char *path, uint64_t cols, long nan_at)
{
    struct mpq_gguf_head h;
    struct mpq_buf bytes;
    struct mpq_out *out;
    uint32_t state = 12345;
    long at = 0;

    small_header(&h, cols);
    ck_assert_int_eq(mpq_gguf_head_finish(&h, &bytes, NULL), 0);
    ck_assert_int_eq(mpq_out_open(&out, path, NULL), 0);
    ck_assert_int_eq(mpq_out_write(out, bytes.data, bytes.len, NULL), 0);
    for (size_t i = 0; i < SMALL_TENSORS; i++) {
        uint64_t n = cols * (small_tensors[i].rows ? small_tensors[i].rows : 1);
        size_t size = small_tensors[i].type == MPQ_F32 ? 4 : 2;
        for (uint64_t k = 0; k < n; k++, at++) {
            float x = small_random(&state);
            uint32_t bits;
            memcpy(&bits, &x, 4);
            if (at == nan_at)
                bits = 0x7fc00000;
            if (small_tensors[i].type == MPQ_BF16)
                bits >>= 16;
            if (small_tensors[i].type == MPQ_F16) /* 0.5 to 1, with either sign */
                bits = at == nan_at ? 0x7e00 : 0x3800 | (bits & 0x83ff);
            ck_assert_int_eq(mpq_out_write(out, &bits, size, NULL), 0);
        }
        ck_assert_int_eq(mpq_out_zeros(out, (32 - n * size % 32) % 32, NULL), 0);
    }
    ck_assert_int_eq(mpq_out_close(out, NULL), 0);
    mpq_buf_free(&bytes);
    mpq_gguf_head_free(&h);
}

/* A path for scratch files of this process; four may be in use at once. */
static inline const char *
small_path(const char *name)
{
    static char paths[4][256];
    static int next;
    const char *dir = getenv("TMPDIR");
    char *path = paths[next++ % 4];

    snprintf(path, sizeof paths[0], "%s/mpq-test-%ld-%s", dir && *dir ? dir : "/tmp",
             (long)getpid(), name);
    return path;
}

#endif
