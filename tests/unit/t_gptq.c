/* Error feedback onto every grid: by laws. The loss is held against the quadratic form
 * of the decoded rows, computed here in double from the Hessian itself. */
#include "quant/gptq.h"

#include "quant/gptq_own.h"
#include "suite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 70, COLS = 512 };
static float w[ROWS][COLS];
static double h[COLS][COLS];

static const char *const names[] = { "q8_0",    "q6_k",     "q5_k",     "q5_1",
                                     "q5_0",    "q4_k",     "q4_1",     "q4_0",
                                     "iq4_nl",  "iq4_xs",   "q3_k",     "q2_k",
                                     "int4",    "int3g64s", "int2g128", "int1s",
                                     "int5g48", "int4g200", "int3s" };
enum { N_NAMES = sizeof names / sizeof *names };

static float
next(void)
{
    static uint32_t state = 77;
    state = state * 1664525u + 1013904223u;
    return (float)(state >> 8) / 8388608.0f - 1.0f;
}

/* The Hessian of inputs that are alike from column to column and of very different
 * sizes: correlations 0.9^|i - j| and a little of each column's own. */
static void
make(void)
{
    static double near[COLS];

    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < COLS; c++)
            w[r][c] = 0.05f * (next() + next() + next());
    for (int k = 0; k < COLS; k++)
        near[k] = k ? 0.9 * near[k - 1] : 1;
    for (int i = 0; i < COLS; i++) {
        const double a = i % 37 == 5 ? 8 : 1;
        for (int j = 0; j < COLS; j++) {
            const double b = j % 37 == 5 ? 8 : 1;
            h[i][j] = 900 * a * b * (near[abs(i - j)] + (i == j ? 0.05 : 0));
        }
    }
}

static struct mpq_type
type_of(const char *name)
{
    struct mpq_type t;
    ck_assert_int_eq(mpq_type_parse(name, &t), 0);
    return t;
}

/* tr((W - Q) H (W - Q)^T) */
static double
loss_of(struct mpq_type t, const unsigned char *rows, size_t row_bytes)
{
    static float q[COLS];
    static double d[COLS];
    double sum = 0;

    for (int r = 0; r < ROWS; r++) {
        mpq_decode_row(t, rows + (size_t)r * row_bytes, q, COLS);
        for (int c = 0; c < COLS; c++)
            d[c] = (double)w[r][c] - (double)q[c];
        for (int i = 0; i < COLS; i++)
            for (int j = 0; j < COLS; j++)
                sum += d[i] * h[i][j] * d[j];
    }
    return sum;
}

static const float *pull; /* [ROWS][COLS] or NULL */
static int n_sweeps = -1; /* of the polish; -1: as the effort has it */

static unsigned char *
encode(struct mpq_type t, const struct mpq_gptq_options *o, double *loss)
{
    struct mpq_err err = { 0 };
    struct mpq_gptq *g;
    uint64_t row_bytes;

    ck_assert_int_eq(mpq_type_row_bytes(t, COLS, &row_bytes), 0);
    ck_assert_int_eq(mpq_gptq_new(&g, &h[0][0], COLS, t, o, NULL, NULL, &err), 0);
    if (n_sweeps >= 0)
        g->sweeps = (unsigned)n_sweeps;
    unsigned char *out = calloc(ROWS, (size_t)row_bytes);
    float *scratch = calloc(mpq_gptq_scratch(g), sizeof *scratch);
    ck_assert(out && scratch);
    *loss = 0;
    for (size_t r = 0; r < ROWS; r += MPQ_GPTQ_ROWS)
        mpq_gptq_encode(g, w[r], pull ? pull + r * COLS : NULL,
                        ROWS - r < MPQ_GPTQ_ROWS ? ROWS - r : MPQ_GPTQ_ROWS,
                        out + r * row_bytes, scratch, loss);
    free(scratch);
    mpq_gptq_free(g);
    return out;
}

START_TEST(a_grid_says_what_the_decoder_reads)
{
    const struct mpq_type t = type_of(names[_i]);
    struct mpq_grid grid;
    uint64_t bytes;
    static unsigned char row[COLS * 2], again[COLS * 2], code[COLS];
    static float value[COLS], scale[COLS], offset[COLS];

    make();
    ck_assert_int_eq(mpq_grid_of(t, &grid), 1);
    ck_assert_int_eq(mpq_type_row_bytes(t, COLS, &bytes), 0);
    mpq_encode_row(t, w[0], NULL, row, COLS, MPQ_EFFORT_FAST);
    mpq_decode_row(t, row, value, COLS);
    mpq_grid_lines(t, row, COLS, 0, COLS, scale, offset);
    for (int c = 0; c < COLS; c++) {
        double best = INFINITY;
        for (unsigned k = 0; k < grid.n_codes; k++) {
            const double level =
                grid.level ? grid.level[k] : (double)k + (double)grid.first;
            const double d =
                fabs((double)value[c] - ((double)scale[c] * level + (double)offset[c]));
            if (d < best) {
                best = d;
                code[c] = (unsigned char)k;
            }
        }
        ck_assert_double_lt(best, 1e-6);
    }
    memcpy(again, row, sizeof row);
    memset(code + COLS / 2, 1, 8); /* written codes are the ones that are read */
    mpq_grid_codes(t, again, COLS, 0, COLS, code);
    ck_assert_mem_ne(again, row, (size_t)bytes);
    mpq_decode_row(t, again, value, COLS);
    for (int c = COLS / 2; c < COLS / 2 + 8; c++) {
        const double level = grid.level ? grid.level[1] : 1 + (double)grid.first;
        ck_assert_double_eq_tol((double)value[c],
                                (double)scale[c] * level + (double)offset[c], 1e-6);
    }
}
END_TEST

START_TEST(the_loss_told_is_that_of_the_decoded_rows)
{
    const struct mpq_type t = type_of(names[_i]);
    const struct mpq_gptq_options o = { 0, _i % 2, MPQ_EFFORT_FAST };
    uint64_t row_bytes;
    double told;

    make();
    ck_assert_int_eq(mpq_type_row_bytes(t, COLS, &row_bytes), 0);
    unsigned char *rows = encode(t, &o, &told);
    const double real = loss_of(t, rows, (size_t)row_bytes);
    ck_assert_double_eq_tol(told / real, 1, 2e-3);
    free(rows);
}
END_TEST

/* Codes are chosen for the scale and zero that a checkpoint can store. */
START_TEST(the_same_where_zeros_are_whole)
{
    static const char *const types[] = { "int4g32", "int2g32", "int3g64", "int4g32s" };
    struct mpq_type t = type_of(types[_i]);
    const struct mpq_gptq_options o = { 0, 1, MPQ_EFFORT_DEFAULT };
    uint64_t row_bytes;
    double told;

    t.whole = 1;
    make();
    ck_assert_int_eq(mpq_type_row_bytes(t, COLS, &row_bytes), 0);
    unsigned char *rows = encode(t, &o, &told);
    ck_assert_double_eq_tol(told / loss_of(t, rows, (size_t)row_bytes), 1, 2e-3);
    free(rows);
}
END_TEST

START_TEST(feedback_beats_plain_rounding)
{
    const struct mpq_type t = type_of(names[_i]);
    const struct mpq_gptq_options o = { 0.01, 1, MPQ_EFFORT_DEFAULT };
    float importance[COLS];
    uint64_t row_bytes;
    double told;

    make();
    for (int c = 0; c < COLS; c++)
        importance[c] = (float)h[c][c];
    ck_assert_int_eq(mpq_type_row_bytes(t, COLS, &row_bytes), 0);
    unsigned char *plain = calloc(ROWS, (size_t)row_bytes);
    for (int r = 0; r < ROWS; r++)
        mpq_encode_row(t, w[r], importance, plain + (size_t)r * row_bytes, COLS,
                       MPQ_EFFORT_DEFAULT);
    unsigned char *rows = encode(t, &o, &told);
    const double a = loss_of(t, rows, (size_t)row_bytes);
    const double b = loss_of(t, plain, (size_t)row_bytes);
    ck_assert_msg(a < 0.8 * b, "%s: %g against %g", names[_i], a, b);
    free(rows);
    free(plain);
}
END_TEST

START_TEST(a_line_is_put_as_it_is_read)
{
    const struct mpq_type t = type_of(names[_i]);
    const enum mpq_grid_line kind = mpq_grid_line_kind(t);
    static unsigned char row[COLS * 2], was[COLS * 2];
    static float scale[COLS], offset[COLS];
    const size_t block = mpq_grid_block(t, COLS), from = block < COLS ? block : 0;

    make();
    mpq_encode_row(t, w[0], NULL, row, COLS, MPQ_EFFORT_FAST);
    memcpy(was, row, sizeof row);
    mpq_grid_put_line(t, row, COLS, from, 0.125f, kind == MPQ_GRID_SCALE ? 0 : -0.5f);
    if (kind == MPQ_GRID_SHARED) {
        ck_assert_mem_eq(row, was, sizeof row);
        return;
    }
    mpq_grid_lines(t, row, COLS, 0, COLS, scale, offset);
    for (size_t c = from; c < from + block && c < COLS; c++) {
        ck_assert_double_eq((double)scale[c], 0.125);
        ck_assert_double_eq((double)offset[c], kind == MPQ_GRID_SCALE ? 0 : -0.5);
    }
    if (from) { /* the others stay */
        mpq_grid_lines(t, was, COLS, 0, block, scale + block, offset + block);
        ck_assert_mem_eq(scale, scale + block, block * sizeof *scale);
    }
}
END_TEST

START_TEST(polish_never_raises_the_loss)
{
    const struct mpq_type t = type_of(names[_i]);
    const struct mpq_gptq_options o = { 0, 1, MPQ_EFFORT_DEFAULT };
    double last = INFINITY, first = 0, loss;

    make();
    for (n_sweeps = 0; n_sweeps < 5; n_sweeps++) {
        free(encode(t, &o, &loss));
        if (n_sweeps == 0)
            first = loss;
        ck_assert_msg(loss <= last * (1 + 1e-5), "%s: sweep %d: %g after %g", names[_i],
                      n_sweeps, loss, last);
        last = loss;
    }
    n_sweeps = -1;
    ck_assert_msg(last < first, "%s: %g, at first %g", names[_i], last, first);
}
END_TEST

/* What outputs lack is given by weights that are as much greater: rounding those, or
 * rounding the old ones with the pull, comes to the same. */
START_TEST(a_pull_moves_what_is_aimed_at)
{
    const struct mpq_type t = type_of("q5_1");
    const struct mpq_gptq_options o = { 0, 1, MPQ_EFFORT_DEFAULT };
    static float by[ROWS][COLS], z[ROWS][COLS];
    double pulled, moved;

    make();
    for (int r = 0; r < ROWS; r++)
        for (int i = 0; i < COLS; i++)
            by[r][i] = 0.02f * next();
    for (int r = 0; r < ROWS; r++)
        for (int j = 0; j < COLS; j++) {
            double sum = 0;
            for (int i = 0; i < COLS; i++)
                sum += (double)by[r][i] * h[i][j];
            z[r][j] = (float)sum;
        }
    pull = &z[0][0];
    free(encode(t, &o, &pulled));
    pull = NULL;
    for (int r = 0; r < ROWS; r++)
        for (int i = 0; i < COLS; i++)
            w[r][i] += by[r][i];
    free(encode(t, &o, &moved));
    ck_assert_double_eq_tol(pulled / moved, 1, 0.01);
}
END_TEST

/* Codes and lines do not depend on the scale of H, the loss is in its units. Powers of
 * 4 leave every bit as it is; 1e155 is none, and its square is beyond a double. */
START_TEST(the_scale_of_the_hessian_does_not_matter)
{
    static const double times[] = { 0x1p-500, 0x1p-60, 0x1p90, 0x1p500, 1e155, 1e-290 };
    static const char *const types[] = { "q4_0", "q4_1", "q3_k", "int3g64" };
    const struct mpq_type t = type_of(types[_i % 4]);
    const struct mpq_gptq_options o = { 0.05, 1, MPQ_EFFORT_DEFAULT };
    const double by = times[_i / 4];
    uint64_t row_bytes;
    double told, scaled;

    make();
    ck_assert_int_eq(mpq_type_row_bytes(t, COLS, &row_bytes), 0);
    unsigned char *rows = encode(t, &o, &told);
    const double real = loss_of(t, rows, (size_t)row_bytes);
    for (int i = 0; i < COLS; i++)
        for (int j = 0; j < COLS; j++)
            h[i][j] *= by;
    unsigned char *again = encode(t, &o, &scaled);
    if (_i / 4 < 4) {
        ck_assert_mem_eq(again, rows, (size_t)(ROWS * row_bytes));
        ck_assert_double_eq(scaled, told * by);
    }
    ck_assert_double_eq_tol(loss_of(t, again, (size_t)row_bytes) / by / real, 1, 0.02);
    ck_assert_double_eq_tol(scaled / by / told, 1, 0.02);
    free(rows);
    free(again);
}
END_TEST

/* A column that is 1e-90 of the others has a factor beyond float; undamped, its weights
 * would become NaN. What no sum of squares can be is refused. */
START_TEST(what_has_no_finite_factor_is_damped_or_refused)
{
    const struct mpq_type t = type_of("q4_0");
    const struct mpq_gptq_options o = { 0, 0, MPQ_EFFORT_FAST };
    struct mpq_err err = { 0 };
    struct mpq_gptq *g;
    double damping = 0;

    memset(h, 0, sizeof h);
    for (int i = 0; i < COLS; i++)
        h[i][i] = i % 2 ? 1 : 1e-90;
    ck_assert_int_eq(mpq_gptq_new(&g, &h[0][0], COLS, t, &o, NULL, &damping, &err), 0);
    ck_assert_double_gt(damping, 0);
    for (size_t i = 0; i < COLS * COLS; i++)
        ck_assert(isfinite(g->u[i]));
    mpq_gptq_free(g);
    for (int i = 0; i < COLS; i++)
        for (int j = 0; j < COLS; j++)
            h[i][j] = i == j ? 1e-200 : 1e200 * (1 + (i * j) % 3);
    ck_assert_int_eq(mpq_gptq_new(&g, &h[0][0], COLS, t, &o, NULL, NULL, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "not positive semidefinite"));
}
END_TEST

START_TEST(columns_without_input_are_counted)
{
    const struct mpq_type t = type_of("q4_0");
    const struct mpq_gptq_options o = { 0.01, 1, MPQ_EFFORT_FAST };
    struct mpq_err err = { 0 };
    struct mpq_gptq *g;
    size_t dead;
    double damping;

    make();
    for (int i = 0; i < COLS; i++)
        h[i][7] = h[7][i] = h[i][300] = h[300][i] = 0;
    ck_assert_int_eq(mpq_gptq_new(&g, &h[0][0], COLS, t, &o, &dead, &damping, &err), 0);
    ck_assert_uint_eq(dead, 2);
    ck_assert_double_eq(damping, 0.01);
    mpq_gptq_free(g);
}
END_TEST

START_TEST(a_singular_hessian_is_damped_more)
{
    const struct mpq_type t = type_of("q4_0");
    const struct mpq_gptq_options o = { 0, 0, MPQ_EFFORT_FAST };
    struct mpq_err err = { 0 };
    struct mpq_gptq *g;
    double damping = 0;

    for (int i = 0; i < COLS; i++) /* of rank 1 */
        for (int j = 0; j < COLS; j++)
            h[i][j] = (double)(i % 5 + 1) * (double)(j % 5 + 1);
    ck_assert_int_eq(mpq_gptq_new(&g, &h[0][0], COLS, t, &o, NULL, &damping, &err), 0);
    ck_assert_double_gt(damping, 0);
    mpq_gptq_free(g);
    h[3][3] = -1;
    ck_assert_int_eq(mpq_gptq_new(&g, &h[0][0], COLS, t, &o, NULL, NULL, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "negative"));
}
END_TEST

Suite *
mpq_suite(void)
{
    Suite *s = suite_create("gptq");
    TCase *tc = tcase_create("laws");

    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, a_grid_says_what_the_decoder_reads, 0, N_NAMES);
    tcase_add_loop_test(tc, the_loss_told_is_that_of_the_decoded_rows, 0, N_NAMES);
    tcase_add_loop_test(tc, the_same_where_zeros_are_whole, 0, 4);
    tcase_add_loop_test(tc, feedback_beats_plain_rounding, 0, N_NAMES);
    tcase_add_loop_test(tc, a_line_is_put_as_it_is_read, 0, N_NAMES);
    tcase_add_loop_test(tc, polish_never_raises_the_loss, 0, N_NAMES);
    tcase_add_test(tc, a_pull_moves_what_is_aimed_at);
    tcase_add_loop_test(tc, the_scale_of_the_hessian_does_not_matter, 0, 4 * 6);
    tcase_add_test(tc, what_has_no_finite_factor_is_damped_or_refused);
    tcase_add_test(tc, columns_without_input_are_counted);
    tcase_add_test(tc, a_singular_hessian_is_damped_more);
    suite_add_tcase(s, tc);
    return s;
}
