/* NSDS against numpy with full singular value decompositions in double
 * (tests/data/gen_nsds.py makes nsds_expect.h), and its edges by hand. */
#include "suite.h"

#include "base/buf.h"
#include "method/nsds.h"
#include "nsds_expect.h"
#include "num/linalg.h"
#include "num/stat.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { D = 37, VOCAB = 70 };

/* What is said of the figures: within 1e-5 of max(1, |x|), ten times better than asked.
 */
static void
near(double got, double want)
{
    ck_assert_double_eq_tol(got, want, 1e-5 * fmax(1, fabs(want)));
}

static void
near_nsds(const struct mpq_nsds *c, const double want[3])
{
    near(c->nv, want[0]);
    near(c->se, want[1]);
    near(c->se_official, want[2]);
}

/* lcg() of gen_nsds.py. */
static float *
weights(size_t rows, size_t cols, uint32_t seed)
{
    float *x = mpq_array(rows * cols, sizeof *x);

    ck_assert_ptr_nonnull(x);
    for (size_t i = 0; i < rows * cols; i++) {
        seed = seed * 1664525U + 1013904223U;
        const double u = (seed >> 8) / 16777216.0 - 0.5;
        /* Volatile: GCC 12's vectorizer drops the rounding of a float that turns double
         * again at once. */
        volatile float rounded = (float)(u * u * u + 0.25 * u);
        x[i] = rounded;
    }
    return x;
}

static double *
gram(const float *w, size_t rows, size_t cols, int by_cols)
{
    const size_t n = by_cols ? cols : rows;
    double *g = mpq_array(n * n, sizeof *g);
    float *scratch = mpq_array(mpq_gram_scratch(), sizeof *scratch);

    ck_assert(g && scratch);
    if (by_cols)
        mpq_gram_rows(g, w, rows, cols, scratch);
    else
        mpq_gram_cols(g, w, rows, cols, scratch);
    free(scratch);
    return g;
}

static struct mpq_subspace
unembedding(size_t vocab, uint32_t seed)
{
    struct mpq_subspace p;
    struct mpq_err err = { 0 };
    float *w = weights(vocab, D, seed);

    ck_assert_int_eq(mpq_subspace_new(&p, gram(w, vocab, D, 1), D, &err), 0);
    free(w);
    return p;
}

static struct mpq_nsds
mlp(size_t rows, size_t cols, uint32_t seed, const struct mpq_subspace *p,
    struct mpq_spectrum *spectrum)
{
    struct mpq_err err = { 0 };
    struct mpq_nsds out;
    float *w = weights(rows, cols, seed);
    const int needs = mpq_mlp_needs_matrix(rows, cols, p != NULL);
    double *g = gram(w, rows, cols, mpq_mlp_by_cols(rows, cols, p != NULL));

    out.nv = mpq_kurt(w, rows * cols);
    ck_assert_int_eq(
        mpq_nsds_mlp(&out, spectrum, g, needs ? w : NULL, rows, cols, p, &err), 0);
    free(w);
    return out;
}

static const struct {
    size_t ff;
    double gate[3], spectrum[5], down[3], down_narrow[3];
} mlps[] = {
    { 61, WANT_GATE_TALL, WANT_SPECTRUM_TALL, WANT_DOWN_WIDE, WANT_DOWN_NARROW_WIDE },
    { 23, WANT_GATE_WIDE, WANT_SPECTRUM_WIDE, WANT_DOWN_TALL, WANT_DOWN_NARROW_TALL },
    { 37, WANT_GATE_SQUARE, WANT_SPECTRUM_SQUARE, WANT_DOWN_SQUARE,
      WANT_DOWN_NARROW_SQUARE },
};

START_TEST(detectors_of_every_shape_agree_with_numpy)
{
    struct mpq_spectrum s;
    const struct mpq_nsds c = mlp(mlps[_i].ff, D, 11, NULL, &s);

    near_nsds(&c, mlps[_i].gate);
    near(s.fro, mlps[_i].spectrum[0]);
    near(s.sigma_max, mlps[_i].spectrum[1]);
    near(s.stable_rank, mlps[_i].spectrum[2]);
    /* The smallest singular values are square roots of rounded zeros. */
    ck_assert_double_eq_tol(s.effective_rank, mlps[_i].spectrum[3],
                            1e-4 * mlps[_i].spectrum[3]);
    ck_assert_double_eq(s.k99, mlps[_i].spectrum[4]);
}
END_TEST

START_TEST(writers_of_every_shape_agree_with_numpy)
{
    struct mpq_spectrum s;
    struct mpq_subspace p = unembedding(VOCAB, 5), narrow = unembedding(9, 6);

    ck_assert_int_eq(p.complement, 1);
    ck_assert_int_eq(narrow.complement, 0); /* both ways of measuring are tested */
    struct mpq_nsds c = mlp(D, mlps[_i].ff, 12, &p, &s);
    near_nsds(&c, mlps[_i].down);
    c = mlp(D, mlps[_i].ff, 12, &narrow, &s);
    near_nsds(&c, mlps[_i].down_narrow);
    mpq_subspace_free(&p);
    mpq_subspace_free(&narrow);
}
END_TEST

static const struct {
    size_t rank;
    double qk[2][3], ov[2][3];
} head_cases[] = {
    { 7, { WANT_QK_7_0, WANT_QK_7_1 }, { WANT_OV_7_0, WANT_OV_7_1 } },
    { 40,
      { WANT_QK_40_0, WANT_QK_40_1 },
      { WANT_OV_40_0, WANT_OV_40_1 } }, /* above D */
};

START_TEST(heads_agree_with_numpy)
{
    const size_t rank = head_cases[_i].rank;
    float *f = weights(2 * rank, D, 21), *g = weights(rank, D, 22);
    float *o = mpq_array(2 * rank * D, sizeof *o);
    struct mpq_subspace p = unembedding(VOCAB, 5);
    struct mpq_nsds out[2];
    struct mpq_err err = { 0 };

    for (size_t i = 0; i < 2 * rank; i++) /* [d][heads * rank] */
        for (size_t j = 0; j < D; j++)
            o[j * 2 * rank + i] = f[i * D + j];
    ck_assert_int_eq(mpq_nsds_qk(out, f, 2, g, rank, D, &err), 0);
    near_nsds(&out[0], head_cases[_i].qk[0]);
    near_nsds(&out[1], head_cases[_i].qk[1]);
    ck_assert_int_eq(mpq_nsds_ov(out, o, 2 * rank, 2, g, rank, D, &p, &err), 0);
    near_nsds(&out[0], head_cases[_i].ov[0]);
    near_nsds(&out[1], head_cases[_i].ov[1]);
    free(f);
    free(g);
    free(o);
    mpq_subspace_free(&p);
}
END_TEST

START_TEST(nearly_parallel_rows_go_through_qr)
{
    static const double want[3] = WANT_QK_PARALLEL;
    float *f = weights(7, D, 21), *g = weights(7, D, 22);
    struct mpq_nsds out;
    struct mpq_err err = { 0 };

    for (size_t j = 0; j < D; j++)
        g[6 * D + j] = g[5 * D + j] * 1.5F;
    g[6 * D] += 0x1p-20F;
    ck_assert_int_eq(mpq_nsds_qk(&out, f, 1, g, 7, D, &err), 0);
    near_nsds(&out, want);
    free(f);
    free(g);
}
END_TEST

START_TEST(all_zero_tensors_score_zero)
{
    struct mpq_subspace p = unembedding(VOCAB, 5);
    float *zero = mpq_array(7 * D, sizeof *zero);
    double *g = mpq_array((size_t)D * D, sizeof *g);
    struct mpq_nsds c = { 9, 9, 9 };
    struct mpq_spectrum s;
    struct mpq_err err = { 0 };

    ck_assert_int_eq(mpq_nsds_qk(&c, zero, 1, zero, 7, D, &err), 0);
    ck_assert_double_eq(c.nv, -3); /* 0/0 = 0, less 3 */
    ck_assert_double_eq(c.se, 0);
    ck_assert_double_eq(c.se_official, 0);
    c.se = 9;
    ck_assert_int_eq(mpq_nsds_ov(&c, zero, 7, 1, zero, 7, D, &p, &err), 0);
    ck_assert_double_eq(c.se, 0);
    c.se = 9;
    ck_assert_int_eq(mpq_nsds_mlp(&c, &s, g, NULL, 50, D, NULL, &err), 0);
    ck_assert_double_eq(c.se, 0);
    ck_assert_double_eq(s.fro, 0);
    ck_assert_double_eq(s.k99, 0);
    free(zero);
    mpq_subspace_free(&p);
}
END_TEST

START_TEST(equal_singular_values_have_the_entropy_of_their_number)
{
    /* W = identity: all sigma 1; with P everything, b = 1, SE = n * n and n / n. */
    struct mpq_subspace all = { .n = D, .complement = 1 };
    double *g = mpq_array((size_t)D * D, sizeof *g);
    struct mpq_nsds c;
    struct mpq_spectrum s;
    struct mpq_err err = { 0 };

    for (size_t i = 0; i < D; i++)
        g[i * D + i] = 1;
    ck_assert_int_eq(mpq_nsds_mlp(&c, &s, g, NULL, D, D + 1, &all, &err), 0);
    near(c.se, 37 * 37); /* 0.99 of 37 is all of them */
    near(c.se_official, 1);
    near(s.effective_rank, 37);
    near(s.stable_rank, 37);
}
END_TEST

START_TEST(kept_are_at_least_two_and_reach_the_share)
{
    const double one[] = { 5 }, steep[] = { 100, 1e-9, 0 }, flat[] = { 1, 1, 1, 1 };
    const double edge[] = { 99, 1, 0 }, low[] = { 98, 1, 1 }, zero[] = { 0, 0, 0 };

    ck_assert_uint_eq(mpq_nsds_keep(one, 1), 1);
    ck_assert_uint_eq(mpq_nsds_keep(steep, 3), 2);
    ck_assert_uint_eq(mpq_nsds_keep(flat, 4), 4);
    ck_assert_uint_eq(mpq_nsds_keep(edge, 3), 2);
    ck_assert_uint_eq(mpq_nsds_keep(low, 3), 2);
    ck_assert_uint_eq(mpq_nsds_keep(zero, 3), 2);
}
END_TEST

START_TEST(fusion_agrees_with_numpy_in_both_variants)
{
    static const double want[2][6][6] = {
        { WANT_FUSE_PAPER_0, WANT_FUSE_PAPER_1, WANT_FUSE_PAPER_2, WANT_FUSE_PAPER_3,
          WANT_FUSE_PAPER_4, WANT_FUSE_PAPER_5 },
        { WANT_FUSE_OFFICIAL_0, WANT_FUSE_OFFICIAL_1, WANT_FUSE_OFFICIAL_2,
          WANT_FUSE_OFFICIAL_3, WANT_FUSE_OFFICIAL_4, WANT_FUSE_OFFICIAL_5 },
    };
    struct mpq_nsds_layer y[6];
    struct mpq_err err = { 0 };

    for (uint32_t i = 0; i < 6; i++)
        for (uint32_t c = 0; c < MPQ_N_COMPONENTS; c++) {
            float *x = weights(1, 3, 100 + 10 * i + c);
            y[i].in[c] = (struct mpq_nsds){ (double)x[0], (double)x[1], (double)x[2] };
            free(x);
        }
    ck_assert_int_eq(mpq_nsds_fuse(y, 6, 31, _i, &err), 0);
    for (int i = 0; i < 6; i++) {
        const double got[6] = { y[i].score, y[i].nsds,         y[i].nv,
                                y[i].se,    y[i].p_nv[MPQ_QK], y[i].p_se[MPQ_DOWN] };
        for (int j = 0; j < 6; j++)
            ck_assert_double_eq_tol(got[j], want[_i][i][j], 1e-12 * (1 + fabs(got[j])));
    }
}
END_TEST

START_TEST(one_layer_or_no_spread_gives_one_half)
{
    struct mpq_nsds_layer y[3] = { 0 };
    struct mpq_err err = { 0 };

    ck_assert_int_eq(mpq_nsds_fuse(y, _i ? 3 : 1, 31, 0, &err), 0);
    ck_assert_double_eq(y[0].p_nv[0], 0.5); /* MAD 0: z = 0 */
    near(y[0].score, 10 * log(2));
    near(y[0].nsds, 1 - pow(0.5, 10));
}
END_TEST

START_TEST(scores_order_layers_where_the_soft_or_saturates)
{
    struct mpq_nsds_layer y[5] = { 0 };
    struct mpq_err err = { 0 };

    for (int i = 0; i < 5; i++)
        for (int c = 0; c < MPQ_N_COMPONENTS; c++)
            y[i].in[c].nv = y[i].in[c].se = i < 3 ? i : 1000 + i;
    ck_assert_int_eq(mpq_nsds_fuse(y, 5, 31, 0, &err), 0);
    ck_assert_double_eq(y[3].nsds, 1);
    ck_assert_double_eq(y[4].nsds, 1);
    ck_assert_double_gt(y[4].score, y[3].score);
}
END_TEST

Suite *
mpq_suite(void)
{
    Suite *s = suite_create("nsds");
    TCase *tc = tcase_create("nsds");

    if (mpq_linalg_init(1, NULL) < 0)
        abort();
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, detectors_of_every_shape_agree_with_numpy, 0, 3);
    tcase_add_loop_test(tc, writers_of_every_shape_agree_with_numpy, 0, 3);
    tcase_add_loop_test(tc, heads_agree_with_numpy, 0, 2);
    tcase_add_test(tc, nearly_parallel_rows_go_through_qr);
    tcase_add_test(tc, all_zero_tensors_score_zero);
    tcase_add_test(tc, equal_singular_values_have_the_entropy_of_their_number);
    tcase_add_test(tc, kept_are_at_least_two_and_reach_the_share);
    tcase_add_loop_test(tc, fusion_agrees_with_numpy_in_both_variants, 0, 2);
    tcase_add_loop_test(tc, one_layer_or_no_spread_gives_one_half, 0, 2);
    tcase_add_test(tc, scores_order_layers_where_the_soft_or_saturates);
    suite_add_tcase(s, tc);
    return s;
}
