/*
 * Writes a llama-shaped GGUF file of any size with made-up weights, for measuring speed
 * and memory where the values do not matter much: normal, standard deviation 0.02,
 * a block of 2^20 of them repeated. Stands alone: cc -O2 -o synth synth.c -lm
 *
 *   synth DIM FF LAYERS VOCAB f16|q4_0 [sparse] >model.gguf
 *
 * sparse: a file of holes, all weights zero; takes no room and no time.
 */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ALIGN = 32, BLOCK = 1 << 20, F32 = 0, F16 = 1, Q4_0 = 2 };

static uint64_t offset; /* of the next tensor in the data */

static void
put(const void *bytes, size_t n)
{
    if (fwrite(bytes, 1, n, stdout) != n) {
        perror("synth");
        exit(1);
    }
}

static void
put_u32(uint32_t v)
{
    put(&v, sizeof v); /* little-endian machines only, as GGUF itself */
}

static void
put_u64(uint64_t v)
{
    put(&v, sizeof v);
}

static void
put_str(const char *s)
{
    put_u64(strlen(s));
    put(s, strlen(s));
}

static void
key_u32(const char *key, uint64_t v)
{
    put_str(key);
    put_u32(4);
    put_u32((uint32_t)v);
}

static uint64_t
tensor_bytes(uint64_t n, int type)
{
    uint64_t bytes = type == F32 ? 4 * n : type == F16 ? 2 * n : n / 32 * 18;
    return (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

static uint16_t
half(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    int e = (int)(bits >> 23 & 0xff) - 112;
    if (e <= 0) /* what is below 6e-5 may as well be zero here */
        return (uint16_t)(bits >> 16 & 0x8000);
    return (uint16_t)((bits >> 16 & 0x8000) | (uint32_t)e << 10 | (bits >> 13 & 0x3ff));
}

static float
normal(void)
{
    static uint64_t state = 88172645463325252u;
    float u[2];

    for (int i = 0; i < 2; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        u[i] = ((float)(state >> 40) + 0.5f) / 16777216.0f;
    }
    return 0.02f * sqrtf(-2 * logf(u[0])) * cosf(6.2831853f * u[1]);
}

/* Calls VISIT for each tensor in the order of the file. */
static void
each(const uint64_t *d, int type, void (*visit)(const char *, uint64_t, uint64_t, int))
{
    static const struct {
        const char *name;
        int cols, rows; /* 0: DIM, 1: FF, -1: a vector */
    } block[] = {
        { "attn_norm", 0, -1 }, { "attn_q", 0, 0 },      { "attn_k", 0, 0 },
        { "attn_v", 0, 0 },     { "attn_output", 0, 0 }, { "ffn_norm", 0, -1 },
        { "ffn_gate", 0, 1 },   { "ffn_up", 0, 1 },      { "ffn_down", 1, 0 },
    };
    char name[64];

    visit("token_embd.weight", d[0], d[3], type);
    for (uint64_t l = 0; l < d[2]; l++) {
        for (size_t i = 0; i < sizeof block / sizeof *block; i++) {
            snprintf(name, sizeof name, "blk.%" PRIu64 ".%s.weight", l, block[i].name);
            int vector = block[i].rows < 0;
            visit(name, d[block[i].cols], vector ? 0 : d[block[i].rows],
                  vector ? F32 : type);
        }
    }
    visit("output_norm.weight", d[0], 0, F32);
    visit("output.weight", d[0], d[3], type);
}

static void
describe(const char *name, uint64_t cols, uint64_t rows, int type)
{
    put_str(name);
    put_u32(rows ? 2 : 1);
    put_u64(cols);
    if (rows)
        put_u64(rows);
    put_u32((uint32_t)type);
    put_u64(offset);
    offset += tensor_bytes(cols * (rows ? rows : 1), type);
}

static void
fill(const char *name, uint64_t cols, uint64_t rows, int type)
{
    static uint16_t f16[BLOCK];
    static float f32[BLOCK];
    static unsigned char q4[BLOCK / 32 * 18];
    uint64_t left = tensor_bytes(cols * (rows ? rows : 1), type);

    (void)name;
    if (f32[0] == 0) {
        for (size_t i = 0; i < BLOCK; i++) {
            f32[i] = normal();
            f16[i] = half(f32[i]);
        }
        for (size_t i = 0; i < sizeof q4; i++) /* any codes; scales near 0.01 */
            q4[i] = i % 18 == 0   ? (unsigned char)(i / 18)
                    : i % 18 == 1 ? 0x20
                                  : (unsigned char)(f16[i] >> 2);
    }
    const void *bytes = type == F32   ? (const void *)f32
                        : type == F16 ? (const void *)f16
                                      : q4;
    size_t size = type == F32 ? sizeof f32 : type == F16 ? sizeof f16 : sizeof q4;
    while (left) {
        size_t n = left < size ? (size_t)left : size;
        put(bytes, n);
        left -= n;
    }
}

static uint64_t n_tensors;

static void
count(const char *name, uint64_t cols, uint64_t rows, int type)
{
    (void)name, (void)cols, (void)rows, (void)type;
    n_tensors++;
}

int
main(int argc, char **argv)
{
    uint64_t d[4];
    static const char zeros[ALIGN];

    if (argc < 6) {
        fprintf(stderr, "usage: synth DIM FF LAYERS VOCAB f16|q4_0 [sparse]\n");
        return 2;
    }
    for (int i = 0; i < 4; i++)
        d[i] = strtoull(argv[i + 1], NULL, 10);
    int type = strcmp(argv[5], "q4_0") ? F16 : Q4_0;
    each(d, type, count);
    put("GGUF", 4);
    put_u32(3);
    put_u64(n_tensors);
    put_u64(9);
    put_str("general.architecture");
    put_u32(8);
    put_str("llama");
    key_u32("general.file_type", (uint64_t)type);
    key_u32("llama.block_count", d[2]);
    key_u32("llama.context_length", 512);
    key_u32("llama.embedding_length", d[0]);
    key_u32("llama.feed_forward_length", d[1]);
    key_u32("llama.attention.head_count", d[0] / 128);
    key_u32("llama.vocab_size", d[3]);
    put_str("llama.attention.layer_norm_rms_epsilon");
    put_u32(6);
    put(&(float){ 1e-5f }, 4);
    each(d, type, describe);
    long at = ftell(stdout);
    if (at > 0 && argc > 6) {
        fflush(stdout);
        at = (at + ALIGN - 1) / ALIGN * ALIGN;
        return ftruncate(STDOUT_FILENO, at + (off_t)offset) < 0;
    }
    if (at < 0) {
        fprintf(stderr, "synth: the output must be a file\n");
        return 1;
    }
    put(zeros, (size_t)((ALIGN - at % ALIGN) % ALIGN));
    each(d, type, fill);
    return fflush(stdout) != 0;
}
