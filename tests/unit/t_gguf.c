#include "suite.h"

#include "fmt/gguf.h"
#include "quant/codec.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DIR "tests/data/formats/"

/* Files by hand, byte for byte as ggml's specification says: not by our writer. */
static void
put32(struct mpq_buf *b, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        mpq_buf_add(b, &(unsigned char){ (unsigned char)(v >> 8 * i) }, 1);
}

static void
put64(struct mpq_buf *b, uint64_t v)
{
    put32(b, (uint32_t)v);
    put32(b, (uint32_t)(v >> 32));
}

static void
puts64(struct mpq_buf *b, const char *s, size_t n)
{
    put64(b, n);
    mpq_buf_add(b, s, n);
}

static void
head(struct mpq_buf *b, uint64_t n_tensors, uint64_t n_kv)
{
    mpq_buf_adds(b, "GGUF");
    put32(b, 3);
    put64(b, n_tensors);
    put64(b, n_kv);
}

static void
tensor(struct mpq_buf *b, const char *name, uint32_t type, uint64_t d0, uint64_t d1,
       uint64_t offset)
{
    puts64(b, name, strlen(name));
    put32(b, 2);
    put64(b, d0);
    put64(b, d1);
    put32(b, type);
    put64(b, offset);
}

static void
pad(struct mpq_buf *b, size_t data)
{
    while (b->len % 32)
        mpq_buf_add(b, "", 1);
    for (size_t i = 0; i < data; i++)
        mpq_buf_add(b, "", 1);
}

static int
open_bytes(struct mpq_gguf **g, const void *bytes, size_t n, struct mpq_err *err)
{
    const struct mpq_map map = { n ? bytes : NULL, n };

    *err = (struct mpq_err){ 0 };
    return mpq_gguf_open(g, &map, "m.gguf", err);
}

/* B must be refused with a line that begins with the file and holds SAYS. */
static void
refused(struct mpq_buf *b, const char *says)
{
    struct mpq_gguf *g;
    struct mpq_err err;

    ck_assert_int_eq(b->failed, 0);
    ck_assert_int_eq(open_bytes(&g, b->data, b->len, &err), -1);
    ck_assert_ptr_null(g);
    ck_assert_int_eq(err.code, MPQ_EDATA);
    ck_assert_msg(!strncmp(err.text, "m.gguf: ", 8), "%s", err.text);
    ck_assert_msg(strstr(err.text, says) != NULL, "'%s' lacks '%s'", err.text, says);
    ck_assert_ptr_null(strchr(err.text, '\n'));
    mpq_buf_free(b);
}

static struct mpq_gguf *
open_file(const char *path, struct mpq_map *map)
{
    struct mpq_gguf *g = NULL;
    struct mpq_err err = { 0 };

    ck_assert_msg(mpq_map_open(map, path, &err) == 0, "%s", err.text);
    ck_assert_msg(mpq_gguf_open(&g, map, path, &err) == 0, "%s", err.text);
    return g;
}

static const struct mpq_tensor *
find(const struct mpq_gguf *g, const char *name)
{
    for (size_t i = 0; i < mpq_gguf_count(g); i++)
        if (!strcmp(mpq_gguf_tensor(g, i)->name, name))
            return mpq_gguf_tensor(g, i);
    ck_abort_msg("no tensor %s", name);
    return NULL;
}

/* The formula of gen_formats.py. */
static double
value(const char *short_name, size_t i)
{
    return ((double)((5 * i + 3 * strlen(short_name)) % 61) - 30) / 16;
}

START_TEST(values_written_by_the_gguf_package_are_read)
{
    struct mpq_map map;
    struct mpq_gguf *g = open_file(DIR "kinds.gguf", &map);
    uint64_t u;
    double f;
    int b;
    char *s;

    ck_assert_uint_eq(mpq_gguf_version(g), 3);
    ck_assert_uint_eq(mpq_gguf_alignment(g), 32);
    ck_assert_uint_eq(mpq_gguf_file_size(g), map.size);
    ck_assert_uint_eq(mpq_gguf_kv_count(g), 19);
    ck_assert_str_eq(mpq_gguf_kv_at(g, 0)->key, "general.architecture");
    ck_assert_str_eq(mpq_gguf_kv_at(g, 18)->key, "k.strs");
    ck_assert_int_eq(mpq_gguf_get_u64(g, "k.u8", &u), 1);
    ck_assert_uint_eq(u, 200);
    ck_assert_int_eq(mpq_gguf_get_u64(g, "k.u16", &u), 1);
    ck_assert_uint_eq(u, 60000);
    ck_assert_int_eq(mpq_gguf_get_u64(g, "k.u32", &u), 1);
    ck_assert_uint_eq(u, 4000000000);
    ck_assert_int_eq(mpq_gguf_get_u64(g, "k.u64", &u), 1);
    ck_assert_uint_eq(u, UINT64_MAX);
    ck_assert_int_eq(mpq_gguf_get_u64(g, "k.i8", &u), -1);
    ck_assert_int_eq(mpq_gguf_get_u64(g, "k.f32", &u), -1);
    ck_assert_int_eq(mpq_gguf_get_u64(g, "k.str", &u), -1);
    ck_assert_int_eq(mpq_gguf_get_u64(g, "k.yes", &u), -1);
    ck_assert_int_eq(mpq_gguf_get_u64(g, "k.ints", &u), -1);
    ck_assert_int_eq(mpq_gguf_get_u64(g, "k.absent", &u), 0);
    static const struct {
        const char *key;
        double v;
    } numbers[] = { { "k.i8", -100 },     { "k.i16", -30000 }, { "k.i32", -2e9 },
                    { "k.i64", -0x1p63 }, { "k.f32", 1.5 },    { "k.f64", 1e300 },
                    { "k.u64", 0x1p64 } };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        ck_assert_int_eq(mpq_gguf_get_f64(g, numbers[i].key, &f), 1);
        ck_assert_double_eq(f, numbers[i].v);
    }
    ck_assert_int_eq(mpq_gguf_get_bool(g, "k.yes", &b), 1);
    ck_assert_int_eq(b, 1);
    ck_assert_int_eq(mpq_gguf_get_bool(g, "k.no", &b), 1);
    ck_assert_int_eq(b, 0);
    ck_assert_int_eq(mpq_gguf_get_bool(g, "k.u8", &b), -1);
    ck_assert_int_eq(mpq_gguf_get_str(g, "k.str", &s), 1);
    ck_assert_str_eq(s, "tab\there, \xc3\xbcml\xc3\xa4ut");
    free(s);
    ck_assert_int_eq(mpq_gguf_get_str(g, "k.empty", &s), 1);
    ck_assert_str_eq(s, "");
    free(s);
    ck_assert_int_eq(mpq_gguf_get_str(g, "k.u8", &s), -1);
    mpq_gguf_free(g);
    mpq_map_close(&map);
}
END_TEST

START_TEST(arrays_written_by_the_gguf_package_are_read)
{
    struct mpq_map map;
    struct mpq_gguf *g = open_file(DIR "kinds.gguf", &map);
    static const char *const strs[] = { "a", "", "ccc" };
    const struct mpq_gguf_kv *kv = mpq_gguf_kv_find(g, "k.ints");
    uint64_t u, n, pos = 0;
    const char *s;
    double f;

    ck_assert_uint_eq(kv->count, 3);
    ck_assert_int_eq(mpq_gguf_item_u64(kv, 2, &u), 0);
    ck_assert_uint_eq(u, 3);
    ck_assert_int_eq(mpq_gguf_item_u64(kv, 1, &u), -1); /* -2 */
    ck_assert_int_eq(mpq_gguf_item_f64(kv, 1, &f), 0);
    ck_assert_double_eq(f, -2);
    ck_assert_int_eq(mpq_gguf_item_u64(kv, 3, &u), -1);
    ck_assert_int_eq(mpq_gguf_item_f64(kv, 3, &f), -1);
    ck_assert_int_eq(mpq_gguf_item_f64(mpq_gguf_kv_find(g, "k.floats"), 1, &f), 0);
    ck_assert_double_eq(f, -0.25);
    kv = mpq_gguf_kv_find(g, "k.bools");
    ck_assert_uint_eq(kv->item_type, MPQ_GGUF_BOOL);
    ck_assert_int_eq(mpq_gguf_item_u64(kv, 0, &u), -1);
    kv = mpq_gguf_kv_find(g, "k.strs");
    for (size_t i = 0; i < 3; i++) {
        ck_assert_int_eq(mpq_gguf_next_str(kv, &pos, &s, &n), 1);
        ck_assert_uint_eq(n, strlen(strs[i]));
        ck_assert_mem_eq(s, strs[i], (size_t)n);
    }
    ck_assert_int_eq(mpq_gguf_next_str(kv, &pos, &s, &n), 0);
    pos = 0;
    ck_assert_int_eq(mpq_gguf_next_str(mpq_gguf_kv_find(g, "k.str"), &pos, &s, &n), 0);
    mpq_gguf_free(g);
    mpq_map_close(&map);
}
END_TEST

START_TEST(tensors_written_by_the_gguf_package_are_read)
{
    struct mpq_map map;
    struct mpq_gguf *g = open_file(DIR "kinds.gguf", &map);
    static const struct {
        const char *name, *formula;
        enum mpq_dtype type;
        unsigned n_dims;
        uint64_t cols, rows;
    } want[] = {
        { "one", "one", MPQ_F32, 1, 5, 1 },
        { "two.weight", "two", MPQ_F16, 2, 4, 3 },
        { "three", "three", MPQ_F32, 3, 4, 6 },
        { "four", "four", MPQ_F32, 4, 1, 12 },
        { "quants", NULL, MPQ_Q8_0, 2, 64, 2 },
        { "brain", "brain", MPQ_BF16, 2, 8, 2 },
    };
    float x[64];

    ck_assert_uint_eq(mpq_gguf_count(g), 6);
    for (size_t k = 0; k < 6; k++) {
        const struct mpq_tensor *t = mpq_gguf_tensor(g, k);
        ck_assert_str_eq(t->name, want[k].name);
        ck_assert_int_eq(t->type.id, want[k].type);
        ck_assert_uint_eq(t->n_dims, want[k].n_dims);
        ck_assert_uint_eq(mpq_tensor_cols(t), want[k].cols);
        ck_assert_uint_eq(mpq_tensor_rows(t), want[k].rows);
        size_t cols = (size_t)want[k].cols,
               row_bytes = (size_t)(t->size_bytes / want[k].rows);
        for (size_t r = 0; r < want[k].rows; r++) {
            mpq_decode_row(t->type, t->data + r * row_bytes, x, cols);
            for (size_t c = 0; c < cols; c++) {
                size_t i = r * cols + c;
                double v = want[k].formula ? value(want[k].formula, i)
                           : i % 32 == 0   ? 127
                                           : (double)(i * 37 % 255) - 127;
                ck_assert_double_eq((double)x[c], v);
            }
        }
    }
    mpq_gguf_free(g);
    mpq_map_close(&map);
}
END_TEST

START_TEST(a_rewritten_header_is_the_package_s_byte_for_byte)
{
    struct mpq_map map;
    struct mpq_gguf *g = open_file(DIR "kinds.gguf", &map);
    struct mpq_gguf_head h;
    struct mpq_buf out;
    struct mpq_err err = { 0 };

    mpq_gguf_head_init(&h, mpq_gguf_alignment(g));
    for (size_t i = 0; i < mpq_gguf_kv_count(g); i++)
        mpq_gguf_put_raw(&h, mpq_gguf_kv_at(g, i));
    for (size_t i = 0; i < mpq_gguf_count(g); i++) {
        const struct mpq_tensor *t = mpq_gguf_tensor(g, i);
        ck_assert_int_eq(
            mpq_gguf_put_tensor(&h, t->name, t->type, t->n_dims, t->dim, &err), 0);
    }
    ck_assert_int_eq(mpq_gguf_head_finish(&h, &out, &err), 0);
    ck_assert_uint_eq(out.len, mpq_gguf_head_size(&h));
    ck_assert_uint_eq(out.len, mpq_gguf_tensor(g, 0)->offset);
    ck_assert_mem_eq(out.data, map.data, out.len);
    ck_assert_uint_eq(out.len + h.data_size, map.size);
    mpq_buf_free(&out);
    mpq_gguf_head_free(&h);
    mpq_gguf_free(g);
    mpq_map_close(&map);
}
END_TEST

START_TEST(version_2_is_read_like_version_3)
{
    struct mpq_map map;
    struct mpq_gguf *g = open_file(DIR "llama.gguf", &map), *g2;
    struct mpq_err err;
    unsigned char *copy = malloc((size_t)map.size);

    ck_assert_ptr_nonnull(copy);
    memcpy(copy, map.data, (size_t)map.size);
    copy[4] = 2; /* what changed in version 3 is that it may be big-endian */
    ck_assert_msg(open_bytes(&g2, copy, (size_t)map.size, &err) == 0, "%s", err.text);
    ck_assert_uint_eq(mpq_gguf_version(g2), 2);
    ck_assert_uint_eq(mpq_gguf_count(g2), mpq_gguf_count(g));
    mpq_gguf_free(g2);
    mpq_gguf_free(g);
    mpq_map_close(&map);
    free(copy);
}
END_TEST

START_TEST(every_cut_of_a_header_is_refused)
{
    struct mpq_map map;
    struct mpq_gguf *g = open_file(DIR "kinds.gguf", &map), *cut;
    uint64_t data = mpq_gguf_tensor(g, 0)->offset;
    struct mpq_err err;

    for (uint64_t n = 0; n <= data; n++) {
        /* a copy of its own, so that a sanitizer sees a read past the end */
        unsigned char *bytes = malloc(n ? (size_t)n : 1);
        ck_assert_ptr_nonnull(bytes);
        memcpy(bytes, map.data, (size_t)n);
        ck_assert_int_eq(open_bytes(&cut, bytes, (size_t)n, &err), -1);
        ck_assert_int_eq(err.code, MPQ_EDATA);
        ck_assert_msg(!strncmp(err.text, "m.gguf: ", 8), "%s", err.text);
        free(bytes);
    }
    mpq_gguf_free(g);
    mpq_map_close(&map);
}
END_TEST

START_TEST(every_changed_byte_is_read_or_refused_in_one_line)
{
    struct mpq_map map;
    struct mpq_gguf *g = open_file(DIR "kinds.gguf", &map), *other;
    uint64_t data = mpq_gguf_tensor(g, 0)->offset;
    unsigned char *copy = malloc((size_t)map.size);
    static const unsigned char patterns[] = { 0x00, 0x7f, 0x80, 0xff };
    struct mpq_err err;

    ck_assert_ptr_nonnull(copy);
    memcpy(copy, map.data, (size_t)map.size);
    for (uint64_t i = 0; i < data; i++) {
        for (size_t k = 0; k < sizeof patterns; k++) {
            copy[i] = patterns[k];
            if (open_bytes(&other, copy, (size_t)map.size, &err) < 0)
                ck_assert_msg(!strncmp(err.text, "m.gguf: ", 8), "%s", err.text);
            mpq_gguf_free(other);
        }
        copy[i] = map.data[i];
    }
    mpq_gguf_free(g);
    mpq_map_close(&map);
    free(copy);
}
END_TEST

START_TEST(what_is_no_little_endian_gguf_2_or_3_is_refused)
{
    struct mpq_buf b = { 0 };
    struct mpq_err err = { 0 };
    struct mpq_map map;
    struct mpq_gguf *g;

    mpq_buf_adds(&b, "GGML0000000000000000000000");
    refused(&b, "not a GGUF file");
    for (uint32_t version = 0; version < 6; version++) {
        mpq_buf_adds(&b, "GGUF");
        put32(&b, version);
        put64(&b, 0);
        put64(&b, 0);
        if (version == 2 || version == 3)
            mpq_buf_free(&b);
        else
            refused(&b, "only 2 and 3 are read");
    }
    ck_assert_int_eq(mpq_map_open(&map, DIR "big-endian.gguf", &err), 0);
    ck_assert_int_eq(mpq_gguf_open(&g, &map, "b.gguf", &err), -1);
    ck_assert_str_eq(err.text, "b.gguf: big-endian GGUF (version reads as 0x03000000), "
                               "only little-endian is read");
    mpq_map_close(&map);
}
END_TEST

static const uint64_t limits[] = { 1000,           INT32_MAX,       UINT32_MAX,
                                   INT64_MAX,      UINT64_MAX,      UINT64_MAX - 7,
                                   UINT64_MAX / 8, UINT64_MAX / 33, (uint64_t)1 << 63 };

START_TEST(counts_at_the_integer_limits_are_refused)
{
    const uint64_t n = limits[_i];
    struct mpq_buf b = { 0 };

    head(&b, n, 0);
    refused(&b, " tensors cannot be in 0 bytes");
    head(&b, 0, n);
    refused(&b, " keys cannot be in 0 bytes");
    head(&b, 0, 1); /* length of a key */
    put64(&b, n);
    pad(&b, 64);
    refused(&b, n > 65535 ? "at most 65535 are read" : "cut short");
    head(&b, 0, 1); /* length of a string */
    puts64(&b, "k", 1);
    put32(&b, MPQ_GGUF_STR);
    put64(&b, n);
    refused(&b, "key k: cut short");
    for (uint32_t type = MPQ_GGUF_U8; type <= MPQ_GGUF_F64; type++) {
        if (type == MPQ_GGUF_ARR)
            continue;
        head(&b, 0, 1); /* items of an array */
        puts64(&b, "k", 1);
        put32(&b, MPQ_GGUF_ARR);
        put32(&b, type);
        put64(&b, n);
        pad(&b, 64);
        refused(&b, type == MPQ_GGUF_STR ? " strings cannot be in" : "cut short");
    }
    head(&b, 1, 0); /* length of a tensor's name */
    put64(&b, n);
    pad(&b, 64);
    refused(&b, "tensor 1 of 1: cut short");
}
END_TEST

START_TEST(offsets_and_shapes_at_the_integer_limits_are_refused)
{
    const uint64_t n = limits[_i];
    struct mpq_buf b = { 0 };

    head(&b, 1, 0);
    tensor(&b, "t", MPQ_F32, 8, 8, n & ~(uint64_t)31);
    pad(&b, 256);
    refused(&b, n > UINT64_MAX - 512 ? "overflow 64 bits" : " of a file of ");
    head(&b, 1, 0);
    tensor(&b, "t", MPQ_F32, n, 1, 0);
    pad(&b, 256);
    refused(&b, "tensor t: ");
    head(&b, 1, 0);
    tensor(&b, "t", MPQ_I8, n, n, 0);
    pad(&b, 256);
    refused(&b, n < UINT32_MAX ? " of a file of " : "more than 2^63 elements");
    head(&b, 1, 0); /* fewer than 2^63 elements, but more bytes */
    tensor(&b, "t", MPQ_F64, (uint64_t)1 << 62, 1, 0);
    pad(&b, 256);
    refused(&b, "overflow 64 bits");
}
END_TEST

START_TEST(tensors_that_cannot_be_are_refused)
{
    struct mpq_buf b = { 0 };

    head(&b, 1, 0);
    tensor(&b, "t", MPQ_F32, 8, 0, 0);
    pad(&b, 256);
    refused(&b, "tensor t: dimension 2 is zero");
    static const uint32_t types[] = { 4,  5,  31, 32, 33, 36,
                                      37, 38, 43, 64, 96, UINT32_MAX };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        head(&b, 1, 0);
        tensor(&b, "t", types[i], 256, 1, 0);
        pad(&b, 1024);
        refused(&b, "tensor t: unknown type ");
    }
    head(&b, 1, 0);
    tensor(&b, "t", MPQ_Q4_K, 576, 4, 0);
    pad(&b, 4096);
    refused(&b, "tensor t: rows of 576 are no multiple of q4_k's block of 256");
    for (uint32_t dims = 0; dims < 7; dims++) {
        if (dims >= 1 && dims <= 4)
            continue;
        head(&b, 1, 0);
        puts64(&b, "t", 1);
        put32(&b, dims);
        pad(&b, 256);
        refused(&b, " dimensions, not 1 to 4");
    }
    head(&b, 1, 0);
    tensor(&b, "t", MPQ_F32, 8, 8, 8);
    pad(&b, 512);
    refused(&b, "tensor t: offset 8 is no multiple of 32");
    head(&b, 2, 0);
    tensor(&b, "a", MPQ_F32, 8, 8, 0);
    tensor(&b, "b", MPQ_F32, 8, 8, 224);
    pad(&b, 512);
    refused(&b, "tensor b: begins at byte ");
    head(&b, 2, 0);
    tensor(&b, "a", MPQ_F32, 8, 8, 0);
    tensor(&b, "b", MPQ_F32, 8, 8, 0);
    pad(&b, 512);
    refused(&b, ", before ");
    head(&b, 1, 0);
    tensor(&b, "t", MPQ_F32, 8, 8, 32);
    pad(&b, 256);
    refused(&b, "tensor t: ends at byte 384 of a file of 352");
}
END_TEST

START_TEST(names_that_are_unsafe_or_there_twice_are_refused)
{
    static const struct {
        const char *name;
        size_t n;
        const char *says;
    } bad[] = {
        { "", 0, "is empty" },
        { "a\tb", 3, "has a tab" },
        { "a\nb", 3, "has a newline" },
        { "a\rb", 3, "has a newline" },
        { "a\0b", 3, "has a NUL byte" },
        { "a\033[2J", 5, "has a control byte" },
        { "a\x7f", 2, "has a control byte" },
        { "a\xc2\x9b", 3, "has a control byte" },
        { "a b", 3, "has a blank" },
        { "\xff\xfe", 2, "is not UTF-8" },
        { "\xc0\xaf", 2, "is not UTF-8" },
        { "\xed\xa0\x80", 3, "is not UTF-8" },
        { "a\xe2\x82", 3, "is not UTF-8" },
    };
    struct mpq_buf b = { 0 };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        head(&b, 1, 0);
        puts64(&b, bad[i].name, bad[i].n);
        pad(&b, 256);
        refused(&b, bad[i].says);
        if (!strcmp(bad[i].says, "has a blank"))
            continue; /* keys may have blanks */
        head(&b, 0, 1);
        puts64(&b, bad[i].name, bad[i].n);
        pad(&b, 256);
        refused(&b, bad[i].says);
    }
    char longest[256];
    memset(longest, 'x', sizeof longest);
    head(&b, 1, 0);
    puts64(&b, longest, sizeof longest);
    pad(&b, 256);
    refused(&b, "is longer than 255 bytes");
    head(&b, 2, 0);
    tensor(&b, "twin", MPQ_F32, 8, 8, 0);
    tensor(&b, "twin", MPQ_F32, 8, 8, 256);
    pad(&b, 512);
    refused(&b, "tensor twin: is there twice");
    head(&b, 0, 2);
    for (int i = 0; i < 2; i++) {
        puts64(&b, "key", 3);
        put32(&b, MPQ_GGUF_U8);
        mpq_buf_add(&b, "\1", 1);
    }
    refused(&b, "key key: is there twice");
}
END_TEST

START_TEST(values_that_cannot_be_are_refused)
{
    struct mpq_buf b = { 0 };

    head(&b, 0, 1);
    puts64(&b, "k", 1);
    put32(&b, 13);
    pad(&b, 64);
    refused(&b, "key k: unknown value type 13");
    head(&b, 0, 1);
    puts64(&b, "k", 1);
    put32(&b, MPQ_GGUF_BOOL);
    mpq_buf_add(&b, "\2", 1);
    refused(&b, "key k: bool of value 2");
    head(&b, 0, 1);
    puts64(&b, "k", 1);
    put32(&b, MPQ_GGUF_ARR);
    put32(&b, MPQ_GGUF_ARR);
    put64(&b, 1);
    put32(&b, MPQ_GGUF_U8);
    put64(&b, 1);
    pad(&b, 64);
    refused(&b, "key k: array of arrays");
    static const uint32_t alignments[] = { 0, 3, 24, 33, UINT32_MAX };
    for (size_t i = 0; i < sizeof alignments / sizeof *alignments; i++) {
        head(&b, 0, 1);
        puts64(&b, "general.alignment", 17);
        put32(&b, MPQ_GGUF_U32);
        put32(&b, alignments[i]);
        refused(&b, " is no power of two");
    }
    head(&b, 0, 1);
    puts64(&b, "general.alignment", 17);
    put32(&b, MPQ_GGUF_U64);
    put64(&b, 32);
    refused(&b, "general.alignment: value of type 10, not 4 (u32)");
}
END_TEST

START_TEST(alignment_places_the_data)
{
    static const uint32_t alignments[] = { 1, 8, 64, 4096 };
    const uint64_t dim[] = { 3, 1 };
    struct mpq_err err = { 0 };

    for (size_t i = 0; i < sizeof alignments / sizeof *alignments; i++) {
        struct mpq_gguf_head h;
        struct mpq_buf out;
        struct mpq_gguf *g;

        mpq_gguf_head_init(&h, alignments[i]);
        mpq_gguf_put_u32(&h, "general.alignment", alignments[i]);
        for (const char *name = "a\0b\0c\0"; *name; name += 2)
            ck_assert_int_eq(
                mpq_gguf_put_tensor(&h, name, MPQ_TYPE(MPQ_F16), 2, dim, &err), 0);
        ck_assert_int_eq(mpq_gguf_head_finish(&h, &out, &err), 0);
        ck_assert_uint_eq(out.len % alignments[i], 0);
        for (uint64_t k = 0; k < h.data_size; k++)
            mpq_buf_add(&out, "", 1);
        ck_assert_msg(open_bytes(&g, out.data, out.len, &err) == 0, "%s", err.text);
        for (size_t k = 0; k < 3; k++)
            ck_assert_uint_eq(find(g, (const char *[]){ "a", "b", "c" }[k])->offset %
                                  alignments[i],
                              0);
        mpq_gguf_free(g);
        mpq_buf_free(&out);
        mpq_gguf_head_free(&h);
    }
}
END_TEST

START_TEST(what_the_writer_puts_is_read_back)
{
    static const char *const strs[] = { "x", "", "long one" };
    static const size_t lengths[] = { 1, 0, 8 };
    static const unsigned char items[] = { 1, 0, 255, 255 };
    struct mpq_gguf_head h;
    struct mpq_buf out;
    struct mpq_gguf *g;
    struct mpq_err err = { 0 };
    uint64_t u, pos = 0, n;
    const char *s;
    double f;
    int b;

    mpq_gguf_head_init(&h, 32);
    mpq_gguf_put_u32(&h, "u", 7);
    mpq_gguf_put_f32(&h, "f", -0.5f);
    mpq_gguf_put_bool(&h, "b", 5);
    mpq_gguf_put_str(&h, "s", "abc", 3);
    mpq_gguf_put_array(&h, "a", MPQ_GGUF_U16, items, 2, 2);
    mpq_gguf_put_strings(&h, "ss", strs, lengths, 3);
    ck_assert_int_eq(mpq_gguf_head_finish(&h, &out, &err), 0);
    ck_assert_msg(open_bytes(&g, out.data, out.len, &err) == 0, "%s", err.text);
    ck_assert_int_eq(mpq_gguf_get_u64(g, "u", &u), 1);
    ck_assert_uint_eq(u, 7);
    ck_assert_int_eq(mpq_gguf_get_f64(g, "f", &f), 1);
    ck_assert_double_eq(f, -0.5);
    ck_assert_int_eq(mpq_gguf_get_bool(g, "b", &b), 1);
    ck_assert_int_eq(b, 1);
    ck_assert_int_eq(mpq_gguf_item_u64(mpq_gguf_kv_find(g, "a"), 1, &u), 0);
    ck_assert_uint_eq(u, 65535);
    for (size_t i = 0; i < 3; i++) {
        ck_assert_int_eq(mpq_gguf_next_str(mpq_gguf_kv_find(g, "ss"), &pos, &s, &n), 1);
        ck_assert_uint_eq(n, lengths[i]);
    }
    mpq_gguf_free(g);
    mpq_buf_free(&out);
    mpq_gguf_head_free(&h);
}
END_TEST

START_TEST(the_writer_refuses_rows_and_sizes_that_do_not_fit)
{
    struct mpq_gguf_head h;
    struct mpq_err err = { 0 };
    const uint64_t odd[] = { 576, 2 }, huge[] = { (uint64_t)1 << 62, 4 };

    mpq_gguf_head_init(&h, 32);
    ck_assert_int_eq(mpq_gguf_put_tensor(&h, "t", MPQ_TYPE(MPQ_Q2_K), 2, odd, &err),
                     -1);
    ck_assert_ptr_nonnull(
        strstr(err.text, "tensor t: rows of 576 do not fit type q2_k"));
    err.code = 0;
    ck_assert_int_eq(mpq_gguf_put_tensor(&h, "t", MPQ_TYPE(MPQ_F32), 2, huge, &err),
                     -1);
    ck_assert_uint_eq(h.n_tensors, 0);
    mpq_gguf_head_free(&h);
}
END_TEST

START_TEST(a_split_model_is_read_as_one)
{
    struct mpq_map map, whole_map;
    struct mpq_gguf *g = open_file(DIR "split-00001-of-00003.gguf", &map);
    struct mpq_gguf *whole = open_file(DIR "llama.gguf", &whole_map);

    ck_assert_uint_eq(mpq_gguf_count(g), mpq_gguf_count(whole));
    for (size_t i = 0; i < mpq_gguf_count(g); i++) {
        const struct mpq_tensor *a = mpq_gguf_tensor(g, i),
                                *b = mpq_gguf_tensor(whole, i);
        ck_assert_str_eq(a->name, b->name);
        ck_assert_uint_eq(a->size_bytes, b->size_bytes);
        ck_assert_mem_eq(a->data, b->data, (size_t)a->size_bytes);
        ck_assert_uint_eq(a->part, i / 9);
    }
    ck_assert_uint_eq(mpq_gguf_kv_count(g), mpq_gguf_kv_count(whole));
    for (size_t i = 0; i < mpq_gguf_kv_count(g); i++)
        ck_assert_str_eq(mpq_gguf_kv_at(g, i)->key, mpq_gguf_kv_at(whole, i)->key);
    ck_assert_ptr_null(mpq_gguf_kv_find(g, "split.count"));
    mpq_gguf_free(g);
    mpq_gguf_free(whole);
    mpq_map_close(&map);
    mpq_map_close(&whole_map);
}
END_TEST

/* Opens part NO of the split file under the name PATH: the error's text. */
static const char *
split_error(const char *part, const char *path)
{
    static struct mpq_err err;
    struct mpq_map map;
    struct mpq_gguf *g;

    err = (struct mpq_err){ 0 };
    ck_assert_int_eq(mpq_map_open(&map, part, &err), 0);
    ck_assert_int_eq(mpq_gguf_open(&g, &map, path, &err), -1);
    mpq_map_close(&map);
    return err.text;
}

static void
copy_file(const char *from, const char *to)
{
    struct mpq_err err = { 0 };
    struct mpq_map map;
    FILE *f = fopen(to, "wb");

    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(mpq_map_open(&map, from, &err), 0);
    ck_assert_uint_eq(fwrite(map.data, 1, (size_t)map.size, f), map.size);
    ck_assert_int_eq(fclose(f), 0);
    mpq_map_close(&map);
}

START_TEST(a_split_model_with_a_fault_names_the_part)
{
    const char *first = DIR "split-00001-of-00003.gguf";
    const char *second = DIR "split-00002-of-00003.gguf";
    char dir[] = "/tmp/t_gguf.XXXXXX", path[3][64];

    ck_assert_ptr_nonnull(mkdtemp(dir));
    for (int i = 0; i < 3; i++)
        snprintf(path[i], sizeof path[i], "%s/m-%05d-of-00003.gguf", dir, i + 1);
    ck_assert_str_eq(split_error(second, second),
                     DIR "split-00002-of-00003.gguf: part 2 of 3 of a split model: "
                         "give the first part");
    ck_assert_ptr_nonnull(
        strstr(split_error(first, "standard input"),
               "standard input: part 1 of 3 of a split model, but not a file named "
               "NAME-00001-of-00003.gguf"));
    copy_file(first, path[0]);
    ck_assert_ptr_nonnull(
        strstr(split_error(path[0], path[0]), "m-00002-of-00003.gguf: No such file"));
    copy_file(second, path[1]);
    ck_assert_ptr_nonnull(
        strstr(split_error(path[0], path[0]), "m-00003-of-00003.gguf: No such file"));
    copy_file(second, path[2]);
    ck_assert_ptr_nonnull(
        strstr(split_error(path[0], path[0]),
               "m-00003-of-00003.gguf: says it is part 2 of 3, not 3 of 3"));
    for (int i = 0; i < 3; i++)
        unlink(path[i]);
    rmdir(dir);
}
END_TEST

Suite *
mpq_suite(void)
{
    Suite *s = suite_create("gguf");
    TCase *tc = tcase_create("gguf");
    const int n_limits = sizeof limits / sizeof *limits;

    tcase_add_test(tc, values_written_by_the_gguf_package_are_read);
    tcase_add_test(tc, arrays_written_by_the_gguf_package_are_read);
    tcase_add_test(tc, tensors_written_by_the_gguf_package_are_read);
    tcase_add_test(tc, a_rewritten_header_is_the_package_s_byte_for_byte);
    tcase_add_test(tc, version_2_is_read_like_version_3);
    tcase_add_test(tc, every_cut_of_a_header_is_refused);
    tcase_add_test(tc, every_changed_byte_is_read_or_refused_in_one_line);
    tcase_add_test(tc, what_is_no_little_endian_gguf_2_or_3_is_refused);
    tcase_add_loop_test(tc, counts_at_the_integer_limits_are_refused, 0, n_limits);
    tcase_add_loop_test(tc, offsets_and_shapes_at_the_integer_limits_are_refused, 0,
                        n_limits);
    tcase_add_test(tc, tensors_that_cannot_be_are_refused);
    tcase_add_test(tc, names_that_are_unsafe_or_there_twice_are_refused);
    tcase_add_test(tc, values_that_cannot_be_are_refused);
    tcase_add_test(tc, alignment_places_the_data);
    tcase_add_test(tc, what_the_writer_puts_is_read_back);
    tcase_add_test(tc, the_writer_refuses_rows_and_sizes_that_do_not_fit);
    tcase_add_test(tc, a_split_model_is_read_as_one);
    tcase_add_test(tc, a_split_model_with_a_fault_names_the_part);
    suite_add_tcase(s, tc);
    return s;
}
