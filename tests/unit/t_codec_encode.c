/* Encoders: against those of others (codec_encode.tsv, made by
 * tests/data/gen_codec_encode.py), by laws, and at the edges. */
#include "quant/codec.h"

#include "quant/half.h"
#include "suite.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 16, COLS = 1024 };
static float x[ROWS][COLS], weight[COLS];

/* Every type that is searched for, and native ones of all kinds. */
static const char *const names[] = {
    "q8_0",   "q6_k",   "q5_k",    "q5_1",  "q5_0",   "q4_k", "q4_1",     "q4_0",
    "iq4_nl", "iq4_xs", "q3_k",    "q2_k",  "int1s",  "int1", "int2g32",  "int3g64s",
    "int4",   "int4s",  "int5g48", "int6s", "int7g7", "int8", "int8g256s"
};
enum { N_NAMES = sizeof names / sizeof *names };

static float
next(void)
{
    static uint32_t state = 12345;
    state = state * 1664525u + 1013904223u;
    return (float)(state >> 8) / 16777216.0f;
}

/* As the script makes them. */
static void
make_matrix(void)
{
    float *all = &x[0][0];

    for (int i = 0; i < ROWS * COLS; i++) {
        double sum = 0;
        for (int k = 0; k < 6; k++)
            sum += (double)next();
        all[i] = (float)((sum - 3) / 16);
    }
    for (int i = 0; i < ROWS * COLS; i += 97)
        all[i] *= 6;
    for (int i = 0; i < COLS; i++)
        weight[i] = (float)(pow((double)next(), 4) + 1.0 / 1024);
}

static struct mpq_type
type_of(const char *name)
{
    struct mpq_type t;
    ck_assert_int_eq(mpq_type_parse(name, &t), 0);
    ck_assert_int_eq(mpq_codec_writes(t), 1);
    return t;
}

/* Encodes and decodes SRC[n]: the decoded row in DST, all finite; the squared error,
 * with W (or ones) in MEASURE's place. */
static double
round_trip(struct mpq_type t, const float *src, const float *w, const float *measure,
           float *dst, size_t n, enum mpq_effort effort)
{
    uint64_t bytes;
    double sum = 0;

    ck_assert_int_eq(mpq_type_row_bytes(t, n, &bytes), 0);
    unsigned char *packed = malloc(bytes + 2);
    memset(packed, 0xa5, bytes + 2);
    mpq_encode_row(t, src, w, packed + 1, n, effort);
    ck_assert_uint_eq(packed[0], 0xa5); /* writes nothing beside its bytes */
    ck_assert_uint_eq(packed[bytes + 1], 0xa5);
    mpq_decode_row(t, packed + 1, dst, n);
    for (size_t i = 0; i < n; i++) {
        const double d = (double)src[i] - (double)dst[i];
        ck_assert_msg(isfinite(dst[i]), "[%zu]: %g from %g", i, (double)dst[i],
                      (double)src[i]);
        sum += measure ? (double)measure[i] * d * d : d * d;
    }
    free(packed);
    return sum;
}

static double
matrix_error(struct mpq_type t, const float *w, enum mpq_effort effort)
{
    static float back[COLS];
    double sum = 0;

    for (int r = 0; r < ROWS; r++)
        sum += round_trip(t, x[r], w, w, back, COLS, effort);
    return sum;
}

START_TEST(error_is_not_above_that_of_ggml_and_of_gguf)
{
    FILE *f = fopen("tests/data/codec_encode.tsv", "r");
    char name[16], who[16];
    int weighted, n = 0;
    double theirs;

    ck_assert_ptr_nonnull(f);
    while (fscanf(f, "%15s %15s %d %lf", name, who, &weighted, &theirs) == 4) {
        const double ours =
            matrix_error(type_of(name), weighted ? weight : NULL, MPQ_EFFORT_DEFAULT);
        ck_assert_msg(ours <= theirs, "%s, %s: %g against %s's %g", name,
                      weighted ? "weighted" : "plain", ours, who, theirs);
        n++;
    }
    ck_assert_int_eq(n, 12 * 2 + 5);
    fclose(f);
}
END_TEST

START_TEST(more_effort_does_not_give_more_error)
{
    const struct mpq_type t = type_of(names[_i]);
    double last = INFINITY;

    for (int e = MPQ_EFFORT_FAST; e <= MPQ_EFFORT_MAX; e++) {
        const double error = matrix_error(t, weight, (enum mpq_effort)e);
        ck_assert_msg(error <= last * 1.001, "%s, effort %d: %g after %g", names[_i], e,
                      error, last);
        last = error;
    }
}
END_TEST

START_TEST(importance_lowers_the_error_that_it_weighs)
{
    static float back[COLS];
    const struct mpq_type t = type_of(names[_i]);
    double with = 0, without = 0;

    for (int r = 0; r < ROWS; r++) {
        with += round_trip(t, x[r], weight, weight, back, COLS, MPQ_EFFORT_DEFAULT);
        without += round_trip(t, x[r], NULL, weight, back, COLS, MPQ_EFFORT_DEFAULT);
    }
    ck_assert_msg(with < without, "%s: %g with, %g without", names[_i], with, without);
}
END_TEST

/* One column in eight carries almost all of it. */
START_TEST(importance_on_few_columns_lowers_the_error_there)
{
    static float back[COLS], few[COLS];
    const struct mpq_type t = type_of(names[_i]);
    double with = 0, without = 0;

    for (int i = 0; i < COLS; i++)
        few[i] = i % 8 == 3 ? 1.0f : 1e-6f;
    for (int r = 0; r < ROWS; r++) {
        with += round_trip(t, x[r], few, few, back, COLS, MPQ_EFFORT_DEFAULT);
        without += round_trip(t, x[r], NULL, few, back, COLS, MPQ_EFFORT_DEFAULT);
    }
    ck_assert_msg(with < without, "%s: %g with, %g without", names[_i], with, without);
}
END_TEST

/* All columns times the same say the same. */
START_TEST(importance_counts_by_its_ratios_alone)
{
    static const float factor[] = { 0x1p-60f, 0x1p60f };
    static float scaled[COLS], back[COLS], want[COLS];
    const struct mpq_type t = type_of(names[_i]);

    round_trip(t, x[6], weight, NULL, want, COLS, MPQ_EFFORT_DEFAULT);
    for (int f = 0; f < 2; f++) {
        for (int i = 0; i < COLS; i++)
            scaled[i] = factor[f] * weight[i];
        round_trip(t, x[6], scaled, NULL, back, COLS, MPQ_EFFORT_DEFAULT);
        ck_assert_mem_eq(back, want, sizeof want);
    }
}
END_TEST

static uint64_t
fnv1a(uint64_t h, const unsigned char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 1099511628211u;
    return h;
}

/* The encoded matrix's hash, every row twice, onto other bytes and addresses. */
static uint64_t
matrix_hash(struct mpq_type t, const float *w)
{
    uint64_t h = 14695981039346656037u, bytes;

    ck_assert_int_eq(mpq_type_row_bytes(t, COLS, &bytes), 0);
    unsigned char *one = malloc(bytes), *two = malloc(bytes + 1);
    memset(one, 0x00, bytes);
    memset(two, 0xff, bytes + 1);
    for (int r = 0; r < ROWS; r++) {
        mpq_encode_row(t, x[r], w, one, COLS, MPQ_EFFORT_DEFAULT);
        mpq_encode_row(t, x[r], w, two + 1, COLS, MPQ_EFFORT_DEFAULT);
        ck_assert_mem_eq(one, two + 1, bytes);
        h = fnv1a(h, one, bytes);
    }
    free(one);
    free(two);
    return h;
}

/*
 * Same input, same bytes: of one call and the next, of a build with vector clones and
 * one without (sanitizers), of one compiler and the other. The hashes say nothing about
 * quality; a changed search gives new ones, which the message tells.
 */
START_TEST(the_same_bytes_by_every_build)
{
    static const struct {
        const char *name;
        uint64_t plain, weighted;
    } known[] = {
        { "q8_0", 0x5c51e6797ecf8cce, 0xd26e7388e12ddab1 },
        { "q6_k", 0xb22d218ef49c976e, 0xbe23400be9191f2f },
        { "q5_k", 0x010829a7db4894c2, 0xbcceb257d89904b1 },
        { "q5_1", 0x51a130a2a57da672, 0xbc1dbf8efd1730b8 },
        { "q5_0", 0x5349563fb086ee07, 0xea7be6e2df2d0897 },
        { "q4_k", 0x61a5e0f7cf7c0f13, 0xd9c65c0470913f04 },
        { "q4_1", 0x8ebc93f6a3195567, 0x09be8d4902545813 },
        { "q4_0", 0x450f5386608b3316, 0xa29f8cc5531c43fe },
        { "iq4_nl", 0xfff0a90da2e66ef0, 0x0c704c8b3b7fe1ff },
        { "iq4_xs", 0x8e0feba36f3e4d25, 0xa6f2f25f03c5ca1d },
        { "q3_k", 0xfa020cffb06796fe, 0x810608814aeea3a8 },
        { "q2_k", 0x0a9fec79108dd835, 0xa6dfafd54b5c03bf },
    };
    const struct mpq_type t = type_of(known[_i].name);
    const uint64_t plain = matrix_hash(t, NULL), weighted = matrix_hash(t, weight);

    ck_assert_msg(plain == known[_i].plain && weighted == known[_i].weighted,
                  "{ \"%s\", 0x%016" PRIx64 ", 0x%016" PRIx64 " },", known[_i].name,
                  plain, weighted);
}
END_TEST

/* A power of two moves through every step of the search unchanged. */
START_TEST(four_times_the_row_gives_four_times_the_result)
{
    static float row[COLS], big[COLS], back[COLS], big_back[COLS];
    const struct mpq_type t = type_of(names[_i]);

    for (int i = 0; i < COLS; i++) {
        row[i] = 16 * x[0][i]; /* no scale is a subnormal f16 */
        big[i] = 4 * row[i];
    }
    round_trip(t, row, weight, NULL, back, COLS, MPQ_EFFORT_DEFAULT);
    round_trip(t, big, weight, NULL, big_back, COLS, MPQ_EFFORT_DEFAULT);
    for (int i = 0; i < COLS; i++)
        ck_assert_float_eq(big_back[i], 4 * back[i]);
}
END_TEST

START_TEST(blocks_do_not_depend_on_their_neighbors)
{
    static float back[COLS], alone[256];
    const struct mpq_type t = type_of(names[_i]);

    if (t.id == MPQ_INT)
        return;
    round_trip(t, x[1], NULL, NULL, back, COLS, MPQ_EFFORT_DEFAULT);
    round_trip(t, x[1] + 512, NULL, NULL, alone, 256, MPQ_EFFORT_DEFAULT);
    ck_assert_mem_eq(back + 512, alone, sizeof alone);
}
END_TEST

/* What a type with a plain grid has itself written comes back bit by bit, importance or
 * not, as long as the outermost codes are in use. */
START_TEST(rows_on_the_grid_come_back_exactly)
{
    static const struct {
        const char *name;
        int lo, hi, offset;
    } grid[] = {
        { "q8_0", -127, 127, 0 }, { "q5_0", -16, 15, 0 }, { "q4_0", -8, 7, 0 },
        { "q5_1", 0, 31, 1 },     { "q4_1", 0, 15, 1 },   { "q5_1", 0, 15, 1 }
    };
    const struct mpq_type t = type_of(grid[_i].name);
    float row[COLS], back[COLS];

    for (int i = 0; i < COLS; i++) {
        const float d = mpq_f16_round(0.01f + 0.001f * (float)(i / 32));
        const float m = grid[_i].offset ? mpq_f16_round(-0.07f) : 0.0f;
        const int span = grid[_i].hi - grid[_i].lo;
        const int code = i % 32 == 0   ? 0
                         : i % 32 == 1 ? span
                                       : (int)(next() * (float)(span + 1));
        row[i] = d * (float)(grid[_i].lo + code) + m;
    }
    for (int e = MPQ_EFFORT_FAST + (grid[_i].hi == 15 && grid[_i].name[1] == '5');
         e <= MPQ_EFFORT_MAX; e++) {
        round_trip(t, row, NULL, NULL, back, COLS, (enum mpq_effort)e);
        ck_assert_mem_eq(row, back, sizeof row);
        round_trip(t, row, weight, NULL, back, COLS, (enum mpq_effort)e);
        ck_assert_mem_eq(row, back, sizeof row);
    }
}
END_TEST

/* Rows that go wrong easily. None may give more error than a row of zeros would. */
enum {
    ZEROS,
    EQUAL,
    EQUAL_BELOW,
    OUTLIER,
    SUBNORMAL,
    TINY,
    HUGE_ONES,
    HUGEST,
    STEP,
    FAR,
    N_EDGES
};

static float
edge(int kind, int i)
{
    switch (kind) {
    case EQUAL:
        return 0.37f;
    case EQUAL_BELOW:
        return -12.5f;
    case OUTLIER:
        return i == 300 ? -3000.0f : x[2][i];
    case SUBNORMAL:
        return x[2][i] * 1e-40f;
    case TINY: /* scales below the least f16 */
        return x[2][i] * 1e-6f;
    case HUGE_ONES: /* scales beyond the greatest f16 */
        return x[2][i] * 1e9f;
    case HUGEST:
        return i % 3 ? FLT_MAX : -FLT_MAX;
    case STEP:
        return i < 512 ? 0.0f : 1.0f;
    case FAR:
        return 100.0f + x[2][i];
    default:
        return 0.0f;
    }
}

START_TEST(hard_rows_stay_finite_and_better_than_zeros)
{
    const struct mpq_type t = type_of(names[_i / N_EDGES]);
    const int kind = _i % N_EDGES;
    float row[COLS], back[COLS];
    double energy = 0;

    for (int i = 0; i < COLS; i++) {
        row[i] = edge(kind, i);
        energy += (double)row[i] * (double)row[i];
    }
    for (int e = 0; e < 5; e++) { /* all three without, two with importance */
        const double error = round_trip(t, row, e < 3 ? NULL : weight, NULL, back, COLS,
                                        (enum mpq_effort)(e % 3));
        if (e < 3)
            ck_assert_msg(error <= energy, "%s, edge %d: %g of %g", names[_i / N_EDGES],
                          kind, error, energy);
        for (int i = 0; kind == ZEROS && i < COLS; i++)
            ck_assert_float_eq(back[i], 0.0f);
        for (int i = 0; kind == HUGEST && i < COLS; i++)
            ck_assert(back[i] * (row[i] > 0 ? 1.0f : -1.0f) >= 0.0f);
    }
}
END_TEST

/* One value for all: as near as a scale of 11 bits gets, times one more for products.
 */
START_TEST(constant_rows_are_nearly_exact)
{
    const struct mpq_type t = type_of(names[_i]);
    float row[COLS], back[COLS];

    for (int sign = -1; sign <= 1; sign += 2) {
        for (int i = 0; i < COLS; i++)
            row[i] = (float)sign * 0.37f;
        round_trip(t, row, NULL, NULL, back, COLS, MPQ_EFFORT_DEFAULT);
        for (int i = 0; i < COLS; i++)
            ck_assert_msg(fabsf(back[i] - row[i]) < 0.37f / 1000, "%s: %g for %g",
                          names[_i], (double)back[i], (double)row[i]);
    }
}
END_TEST

START_TEST(importance_of_zero_everywhere_counts_as_none)
{
    static const float none[COLS];
    static float back[COLS], plain[COLS];
    const struct mpq_type t = type_of(names[_i]);

    round_trip(t, x[3], none, NULL, back, COLS, MPQ_EFFORT_MAX);
    round_trip(t, x[3], NULL, NULL, plain, COLS, MPQ_EFFORT_MAX);
    ck_assert_mem_eq(back, plain, sizeof back);
}
END_TEST

/* Part of the columns without importance: they are rounded sensibly all the same, and
 * the others do not suffer. */
START_TEST(blocks_without_importance_beside_others_are_kept_in_shape)
{
    const struct mpq_type t = type_of(names[_i]);
    float half[COLS], back[COLS];
    double lost = 0, energy = 0;

    if (t.id == MPQ_INT)
        return;
    for (int i = 0; i < COLS; i++)
        half[i] = i / 32 % 2 ? 1e6f : 0.0f;
    round_trip(t, x[4], half, NULL, back, COLS, MPQ_EFFORT_DEFAULT);
    for (int i = 0; i < COLS; i++) {
        const double d = (double)x[4][i] - (double)back[i];
        lost += half[i] > 0 ? 0 : d * d;
        energy += half[i] > 0 ? 0 : (double)x[4][i] * (double)x[4][i];
    }
    ck_assert_msg(lost < 0.25 * energy, "%s: %g of %g", names[_i], lost, energy);
}
END_TEST

/* Plain rounding of a group between its extremes, scale and zero in f16. */
static double
plain_error(const float *v, size_t n, int bits, int symmetric)
{
    float lo = v[0], hi = v[0];
    double sum = 0;

    for (size_t i = 1; i < n; i++) {
        lo = fminf(lo, v[i]);
        hi = fmaxf(hi, v[i]);
    }
    const float top = (float)((1 << bits) - 1), middle = (float)(1 << (bits - 1));
    const float reach = fmaxf(hi, -lo);
    const float scale =
        mpq_f16_round(symmetric ? reach / (middle - 1) : (hi - lo) / top);
    const float zero = symmetric ? middle : mpq_f16_round(-lo / scale);
    for (size_t i = 0; i < n; i++) {
        const float code = fminf(fmaxf(rintf(v[i] / scale + zero), 0), top);
        const double d = (double)v[i] - (double)(scale * (code - zero));
        sum += d * d;
    }
    return sum;
}

START_TEST(native_rows_of_any_length_beat_plain_rounding)
{
    static const uint32_t groups[] = { 0, 1, 5, 32, 64, 100 };
    static const size_t lengths[] = { 1, 2, 7, 31, 33, 70, 129, 1000 };
    float back[COLS];

    for (size_t g = 0; g < sizeof groups / sizeof *groups; g++) {
        for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
            const size_t n = lengths[l], group = groups[g] ? groups[g] : n;
            const struct mpq_type t = { .id = MPQ_INT,
                                        .bits = (uint8_t)(2 + _i / 2),
                                        .symmetric = (uint8_t)(_i & 1),
                                        .group = groups[g] };
            double plain = 0, energy = 0;
            for (size_t i = 0; i < n; i += group)
                plain += plain_error(x[5] + i, n - i < group ? n - i : group, t.bits,
                                     t.symmetric);
            for (size_t i = 0; i < n; i++)
                energy += (double)x[5][i] * (double)x[5][i];
            const double error =
                round_trip(t, x[5], NULL, NULL, back, n, MPQ_EFFORT_DEFAULT);
            /* a group of one has as many scales as elements: f16 is all that is left */
            ck_assert_msg(error <= plain * 1.0001 + energy * 1e-6,
                          "int%d, group %u, %zu columns: %g, plain %g", t.bits,
                          groups[g], n, error, plain);
        }
    }
}
END_TEST

/* As many checkpoints of other programs have it (type.whole), one of the codes is 0
 * itself; a zero that need not be a whole number must not lose to that. */
START_TEST(weights_that_were_pruned_stay_zero)
{
    static const char *const native[] = { "int4", "int4g64", "int5g64", "int8g64" };
    struct mpq_type free_zero = type_of(native[_i]), whole = free_zero;
    float pruned[COLS], back[COLS];
    double here = 0, there = 0;
    int zeros = 0, kept = 0;

    whole.whole = 1;
    for (int r = 0; r < ROWS; r++) {
        for (int i = 0; i < COLS; i++)
            pruned[i] = (i * 7 + r) % 5 < 3 ? 0.0f : x[r][i];
        there += round_trip(whole, pruned, NULL, NULL, back, COLS, MPQ_EFFORT_DEFAULT);
        here +=
            round_trip(free_zero, pruned, NULL, NULL, back, COLS, MPQ_EFFORT_DEFAULT);
        for (int i = 0; i < COLS; i++) {
            zeros += pruned[i] == 0.0f;
            kept += pruned[i] == 0.0f && back[i] == 0.0f;
        }
    }
    ck_assert_double_le(here, 1.1 * there);
    ck_assert_int_ge(kept, zeros * 3 / 4);
}
END_TEST

START_TEST(plain_floats_round_to_nearest_and_stay_finite)
{
    static const float row[] = { 1.0f,      -2.5f,  1.0f + 0x1p-11f, 1.0f + 0x3p-11f,
                                 FLT_MAX,   -1e30f, 0x1p-24f,        0x1p-25f,
                                 0x1.8p-25f };
    static const float f16[] = { 1.0f,      -2.5f,    1.0f, 1.0f + 0x1p-9f, 65504.0f,
                                 -65504.0f, 0x1p-24f, 0.0f, 0x1p-24f };
    enum { N = sizeof row / sizeof *row };
    float back[N];

    round_trip(MPQ_TYPE(MPQ_F32), row, NULL, NULL, back, N, MPQ_EFFORT_DEFAULT);
    ck_assert_mem_eq(back, row, sizeof row);
    round_trip(MPQ_TYPE(MPQ_F16), row, NULL, NULL, back, N, MPQ_EFFORT_DEFAULT);
    for (int i = 0; i < N; i++)
        ck_assert_float_eq(back[i], f16[i]);
    round_trip(MPQ_TYPE(MPQ_BF16), row, NULL, NULL, back, N, MPQ_EFFORT_DEFAULT);
    ck_assert_float_eq(back[1], -2.5f);
    ck_assert_float_eq(back[4], 0x1.fep127f); /* not infinity */
}
END_TEST

static void
add_for_each(TCase *tc, const TTest *test, int n)
{
    tcase_add_loop_test(tc, test, 0, n);
}

Suite *
mpq_suite(void)
{
    Suite *s = suite_create("encode");
    TCase *tc = tcase_create("encoders");

    make_matrix();
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, error_is_not_above_that_of_ggml_and_of_gguf);
    add_for_each(tc, more_effort_does_not_give_more_error, N_NAMES);
    add_for_each(tc, importance_lowers_the_error_that_it_weighs, N_NAMES);
    add_for_each(tc, importance_on_few_columns_lowers_the_error_there, N_NAMES);
    add_for_each(tc, importance_counts_by_its_ratios_alone, N_NAMES);
    add_for_each(tc, the_same_bytes_by_every_build, 12);
    add_for_each(tc, four_times_the_row_gives_four_times_the_result, N_NAMES);
    add_for_each(tc, blocks_do_not_depend_on_their_neighbors, N_NAMES);
    add_for_each(tc, rows_on_the_grid_come_back_exactly, 6);
    add_for_each(tc, hard_rows_stay_finite_and_better_than_zeros, N_NAMES * N_EDGES);
    add_for_each(tc, constant_rows_are_nearly_exact, N_NAMES);
    add_for_each(tc, importance_of_zero_everywhere_counts_as_none, N_NAMES);
    add_for_each(tc, blocks_without_importance_beside_others_are_kept_in_shape,
                 N_NAMES);
    add_for_each(tc, native_rows_of_any_length_beat_plain_rounding, 14);
    add_for_each(tc, weights_that_were_pruned_stay_zero, 4);
    tcase_add_test(tc, plain_floats_round_to_nearest_and_stay_finite);
    suite_add_tcase(s, tc);
    return s;
}
