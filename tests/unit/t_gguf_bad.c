/* GGUF: what is refused, with a line that says why. */
#include "gguf_open.h"

#include <stdlib.h>
#include <string.h>

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

Suite *
mpq_suite(void)
{
    Suite *s = suite_create("gguf_bad");
    TCase *tc = tcase_create("gguf_bad");
    const int n_limits = sizeof limits / sizeof *limits;

    tcase_add_test(tc, every_cut_of_a_header_is_refused);
    tcase_add_test(tc, every_changed_byte_is_read_or_refused_in_one_line);
    tcase_add_test(tc, what_is_no_little_endian_gguf_2_or_3_is_refused);
    tcase_add_loop_test(tc, counts_at_the_integer_limits_are_refused, 0, n_limits);
    tcase_add_loop_test(tc, offsets_and_shapes_at_the_integer_limits_are_refused, 0,
                        n_limits);
    tcase_add_test(tc, tensors_that_cannot_be_are_refused);
    tcase_add_test(tc, names_that_are_unsafe_or_there_twice_are_refused);
    tcase_add_test(tc, values_that_cannot_be_are_refused);
    tcase_add_test(tc, the_writer_refuses_rows_and_sizes_that_do_not_fit);
    suite_add_tcase(s, tc);
    return s;
}
