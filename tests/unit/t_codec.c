/* Decoders against the gguf package's, from codec.bin (tests/data/gen_codec.py). */
#include "quant/codec.h"

#include "suite.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DATA "tests/data/codec.bin"

struct record {
    char name[9];
    uint32_t n_bytes, n_floats;
    unsigned char *bytes;
    float *floats;
};

static uint32_t
read_u32(FILE *f)
{
    unsigned char b[4];
    ck_assert_uint_eq(fread(b, 1, 4, f), 4);
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 |
           (uint32_t)b[3] << 24;
}

/* 0 at the end. */
static int
read_record(FILE *f, struct record *r)
{
    memset(r, 0, sizeof *r);
    if (fread(r->name, 1, 8, f) != 8)
        return 0;
    r->n_bytes = read_u32(f);
    r->n_floats = read_u32(f);
    r->bytes = malloc(r->n_bytes);
    r->floats = malloc(r->n_floats * sizeof(float));
    ck_assert_uint_eq(fread(r->bytes, 1, r->n_bytes, f), r->n_bytes);
    for (uint32_t i = 0; i < r->n_floats; i++) {
        const uint32_t bits = read_u32(f);
        memcpy(&r->floats[i], &bits, sizeof bits);
    }
    return 1;
}

static int
same_float(float a, float b)
{
    return (isnan(a) && isnan(b)) || memcmp(&a, &b, sizeof a) == 0;
}

START_TEST(decodes_the_very_floats_of_gguf)
{
    FILE *f = fopen(DATA, "rb");
    struct record r;
    int n = 0;

    ck_assert_msg(f != NULL, "cannot open " DATA);
    for (; read_record(f, &r); n++) {
        struct mpq_type t;
        float *got = malloc(r.n_floats * sizeof(float) + 64);
        unsigned char *odd = malloc(r.n_bytes + 1); /* not aligned */
        uint64_t bytes;

        ck_assert_int_eq(mpq_type_parse(r.name, &t), 0);
        ck_assert_int_eq(mpq_codec_reads(t), 1);
        ck_assert_int_eq(mpq_type_row_bytes(t, r.n_floats, &bytes), 0);
        ck_assert_uint_eq(bytes, r.n_bytes);
        memcpy(odd + 1, r.bytes, r.n_bytes);
        mpq_decode_row(t, odd + 1, got, r.n_floats);
        for (uint32_t i = 0; i < r.n_floats; i++)
            ck_assert_msg(same_float(got[i], r.floats[i]),
                          "%s[%u]: %.9g, gguf has %.9g", r.name, i, (double)got[i],
                          (double)r.floats[i]);
        free(got);
        free(odd);
        free(r.bytes);
        free(r.floats);
    }
    ck_assert_int_eq(n, 15);
    fclose(f);
}
END_TEST

START_TEST(reads_no_type_that_it_has_no_decoder_for)
{
    static const char *const names[] = { "q8_1", "q8_k", "iq2_xs", "tq1_0",  "mxfp4",
                                         "i32",  "f64",  "u8",     "f8_e4m3" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct mpq_type t;
        ck_assert_int_eq(mpq_type_parse(names[i], &t), 0);
        ck_assert_int_eq(mpq_codec_reads(t), 0);
        ck_assert_int_eq(mpq_codec_writes(t), 0);
    }
}
END_TEST

/* By hand. int3g4: 6 columns, groups of 4 and 2; codes 1 7 0 4 | 5 2 in 18 bits:
 * 1 + 7 << 3 + 0 << 6 + 4 << 9 + 5 << 12 + 2 << 15 = 0x15839. */
START_TEST(decodes_native_rows_worked_out_by_hand)
{
    static const unsigned char asym[] = { 0x39, 0x58, 0x01,         /* codes */
                                          0x00, 0x38, 0x00, 0xc0,   /* scales 0.5, -2 */
                                          0x00, 0x40, 0x00, 0x3e }; /* zeros 2, 1.5 */
    static const float want[] = { -0.5f, 2.5f, -1.0f, 1.0f, -7.0f, -1.0f };
    static const float want_sym[] = { -1.5f, 1.5f, -2.0f, 0.0f, -2.0f, 4.0f };
    static const unsigned char one[] = { 0x05, 0x00, 0x3c }; /* codes 1 0 1, scale 1 */
    float got[6];
    struct mpq_type t;

    ck_assert_int_eq(mpq_type_parse("int3g4", &t), 0);
    mpq_decode_row(t, asym, got, 6);
    for (int i = 0; i < 6; i++)
        ck_assert_float_eq(got[i], want[i]);

    ck_assert_int_eq(mpq_type_parse("int3g4s", &t), 0);
    mpq_decode_row(t, asym, got, 6); /* the zeros are not looked at */
    for (int i = 0; i < 6; i++)
        ck_assert_float_eq(got[i], want_sym[i]);

    ck_assert_int_eq(mpq_type_parse("int1s", &t), 0);
    mpq_decode_row(t, one, got, 3);
    ck_assert_float_eq(got[0], 1.0f);
    ck_assert_float_eq(got[1], -1.0f);
    ck_assert_float_eq(got[2], 1.0f);
}
END_TEST

Suite *
mpq_suite(void)
{
    Suite *s = suite_create("codec");
    TCase *tc = tcase_create("decode");
    tcase_add_test(tc, decodes_the_very_floats_of_gguf);
    tcase_add_test(tc, reads_no_type_that_it_has_no_decoder_for);
    tcase_add_test(tc, decodes_native_rows_worked_out_by_hand);
    suite_add_tcase(s, tc);
    return s;
}
