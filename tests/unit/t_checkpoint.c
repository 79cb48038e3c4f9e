/* Matrices as other programs' checkpoints hold them, against bytes that their packages
 * made (tests/data/gen_checkpoint.py). */
#include "model/checkpoint.h"

#include "small.h"
#include "suite.h"

#include "quant/half.h"

static const struct {
    const char *name, *type;
    enum mpq_packform form;
    uint64_t rows, cols;
} cases[] = {
    { "ct-int4g32", "int4g32", MPQ_PACK_CT, 8, 64 },
    { "ct-int4g32s", "int4g32s", MPQ_PACK_CT, 8, 64 },
    { "ct-int3g16", "int3g16", MPQ_PACK_CT, 12, 48 },
    { "ct-int5", "int5", MPQ_PACK_CT, 7, 40 },
    { "ct-int8g16s", "int8g16s", MPQ_PACK_CT, 5, 32 },
    { "ct-int2g32", "int2g32", MPQ_PACK_CT, 36, 32 },
    { "gptq-int4g32", "int4g32", MPQ_PACK_GPTQ, 32, 64 },
    { "gptq_v2-int4g32", "int4g32", MPQ_PACK_GPTQ_V2, 32, 64 },
    { "gptq-int3g32", "int3g32", MPQ_PACK_GPTQ, 32, 96 },
    { "gptq-int2g64s", "int2g64s", MPQ_PACK_GPTQ, 64, 64 },
    { "gptq-int8", "int8", MPQ_PACK_GPTQ, 32, 32 },
};

static struct mpq_type
type_of(const char *name)
{
    struct mpq_type t;

    ck_assert_int_eq(mpq_type_parse(name, &t), 0);
    t.whole = 1;
    return t;
}

/* Rows with the script's codes, zeros and scales. */
static unsigned char *
make_rows(struct mpq_type t, uint64_t rows, uint64_t cols, uint64_t *row_bytes)
{
    const uint64_t groups = mpq_type_groups(t, cols);

    ck_assert_int_eq(mpq_type_row_bytes(t, cols, row_bytes), 0);
    unsigned char *all = calloc(rows, *row_bytes);
    for (uint64_t r = 0; r < rows; r++) {
        unsigned char *row = all + r * *row_bytes;
        unsigned char *scales = row + (cols * t.bits + 7) / 8;
        for (uint64_t c = 0; c < cols; c++) {
            const uint64_t code = (r * 7 + c * 3 + r * c % 5) % (1u << t.bits);
            for (unsigned b = 0; b < t.bits; b++)
                if (code >> b & 1)
                    row[(c * t.bits + b) / 8] |=
                        (unsigned char)(1u << (c * t.bits + b) % 8);
        }
        for (uint64_t g = 0; g < groups; g++) {
            mpq_put_f16(scales + 2 * g, (float)(1 + (r + g) % 8) / 64);
            if (!t.symmetric)
                mpq_put_f16(scales + 2 * (groups + g),
                            (float)(1 + (r + 2 * g) % ((1u << t.bits) - 1)));
        }
    }
    return all;
}

START_TEST(parts_are_those_of_the_packages)
{
    const struct mpq_type t = type_of(cases[_i].type);
    const uint64_t rows = cases[_i].rows, cols = cases[_i].cols;
    struct mpq_part parts[MPQ_PARTS_MAX];
    struct mpq_map got, want;
    struct mpq_out *out;
    uint64_t row_bytes, bytes = 0;
    char path[256];
    size_t n;

    unsigned char *all = make_rows(t, rows, cols, &row_bytes);
    const char *file = small_path(cases[_i].name);
    ck_assert_int_eq(mpq_out_open(&out, file, NULL), 0);
    ck_assert_int_eq(
        mpq_checkpoint_write(cases[_i].form, t, rows, cols, all, out, NULL), 0);
    ck_assert_int_eq(mpq_out_close(out, NULL), 0);
    snprintf(path, sizeof path, "tests/data/checkpoint/%s.bin", cases[_i].name);
    ck_assert_int_eq(mpq_map_open(&got, file, NULL), 0);
    ck_assert_int_eq(mpq_map_open(&want, path, NULL), 0);
    ck_assert_uint_eq(got.size, want.size);
    ck_assert_mem_eq(got.data, want.data, got.size);
    ck_assert_int_eq(mpq_checkpoint_parts(cases[_i].form, t, rows, cols, parts, &n), 0);
    for (size_t i = 0; i < n; i++)
        bytes += parts[i].bytes;
    ck_assert_uint_eq(bytes, want.size);
    mpq_map_close(&got);
    mpq_map_close(&want);
    unlink(file);
    free(all);
}
END_TEST

static const struct {
    enum mpq_packform form;
    const char *type;
    enum mpq_role role;
    uint64_t rows, cols;
    const char *why; /* NULL: fine */
} words[] = {
    { MPQ_PACK_CT, "int4g32", MPQ_ROLE_Q, 33, 64, NULL },
    { MPQ_PACK_CT, "int7", MPQ_ROLE_Q, 33, 65, NULL },
    { MPQ_PACK_CT, "bf16", MPQ_ROLE_EMBED, 33, 65, NULL },
    { MPQ_PACK_CT, "int1", MPQ_ROLE_Q, 32, 64, "2 to 8 bits" },
    { MPQ_PACK_CT, "int4g32v", MPQ_ROLE_Q, 32, 64, "all the same bits" },
    { MPQ_PACK_CT, "q4_k", MPQ_ROLE_Q, 32, 256, "intB[gN][s]" },
    { MPQ_PACK_CT, "int4", MPQ_ROLE_EMBED, 32, 64, "linear weights" },
    { MPQ_PACK_CT, "int4g48", MPQ_ROLE_Q, 32, 64, "group does not divide" },
    { MPQ_PACK_GPTQ, "int4g32", MPQ_ROLE_DOWN, 32, 64, NULL },
    { MPQ_PACK_GPTQ, "int5", MPQ_ROLE_DOWN, 32, 64, "2, 3, 4 and 8 bits" },
    { MPQ_PACK_GPTQ, "int4", MPQ_ROLE_DOWN, 33, 64, "multiples of 32" },
    { MPQ_PACK_GPTQ_V2, "int4", MPQ_ROLE_DOWN, 32, 65, "multiples of 32" },
    { MPQ_PACK_HF, "q2_k", MPQ_ROLE_EMBED, 33, 256, NULL },
};

START_TEST(what_cannot_be_held_is_said)
{
    const struct mpq_weight w = { .name = "blk.0.x",
                                  .is_matrix = 1,
                                  .role = words[_i].role,
                                  .is_linear = mpq_role_is_linear(words[_i].role),
                                  .rows = words[_i].rows,
                                  .cols = words[_i].cols,
                                  .tensor = { .n_dims = 2 } };
    struct mpq_type t;

    ck_assert_int_eq(mpq_type_parse(words[_i].type, &t), 0);
    const char *why = mpq_checkpoint_refuses(words[_i].form, &w, t);
    if (!words[_i].why)
        ck_assert_ptr_null(why);
    else
        ck_assert(why && strstr(why, words[_i].why));
}
END_TEST

Suite *
mpq_suite(void)
{
    Suite *s = suite_create("checkpoint");
    TCase *tc = tcase_create("parts");

    tcase_add_loop_test(tc, parts_are_those_of_the_packages, 0,
                        sizeof cases / sizeof *cases);
    tcase_add_loop_test(tc, what_cannot_be_held_is_said, 0,
                        sizeof words / sizeof *words);
    suite_add_tcase(s, tc);
    return s;
}
