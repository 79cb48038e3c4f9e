/* The baselines by hand, tables of stats read and refused, and scores from them. */
#include "suite.h"

#include "method/baseline.h"
#include "method/score.h"
#include "num/stat.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

START_TEST(means_are_those_by_hand)
{
    const double x[] = { 1, 2, 6 }, w[] = { 1, 1, 2 }, none[] = { 0, 0, 0 };

    ck_assert_double_eq(mpq_mean(x, 3), 3);
    ck_assert_double_eq(mpq_mean(x, 0), 0);
    ck_assert_double_eq(mpq_weighted_mean(x, w, 3), 15.0 / 4);
    ck_assert_double_eq(mpq_weighted_mean(x, none, 3), 0);
}
END_TEST

START_TEST(kurtboost_doubles_after_a_jump)
{
    /* Steps 0 0 0 0 0 0 0 8 0: mean 8/9, sd 2.514: only the 8 is beyond 2 sd. */
    double kurt[] = { 1, 1, 1, 1, 1, 1, 1, 1, 9, 9 }, raw[10];

    mpq_kurtboost(kurt, raw, 10);
    for (int i = 0; i < 10; i++)
        ck_assert_double_eq(raw[i], i == 8 ? 18 : kurt[i]);
    mpq_kurtboost(kurt, kurt, 10); /* in place */
    ck_assert_double_eq(kurt[8], 18);
    ck_assert_double_eq(kurt[9], 9);
}
END_TEST

START_TEST(kurtboost_leaves_even_steps_alone)
{
    const double kurt[] = { -1, 0, 1, 2, 3 };
    double raw[5];

    mpq_kurtboost(kurt, raw, 5);
    for (int i = 0; i < 5; i++)
        ck_assert_double_eq(raw[i], kurt[i]);
    mpq_kurtboost(kurt, raw, 1);
    ck_assert_double_eq(raw[0], -1);
    mpq_kurtboost(kurt, raw, 0);
}
END_TEST

START_TEST(positive_scores_keep_the_order)
{
    const double raw[] = { -5, -1, 0, 1, 1000 }; /* median 0, MAD 1 */
    double score[5];

    ck_assert_int_eq(mpq_positive(raw, score, 5), 0);
    ck_assert_double_eq_tol(score[2], log(2), 1e-15);
    ck_assert_double_eq_tol(score[3], log1p(exp(1 / 1.4826)), 1e-14);
    for (int i = 0; i < 5; i++) {
        ck_assert_double_ge(score[i], 0);
        if (i > 0)
            ck_assert_double_gt(score[i], score[i - 1]);
    }
}
END_TEST

/* Scores of a table given as text. */
struct from_text {
    struct mpq_tsv *table;
    struct mpq_statset stats;
    struct mpq_scores scores;
    struct mpq_err err;
};

static int
score_text(struct from_text *f, const char *text, const struct mpq_score_how *how)
{
    *f = (struct from_text){ 0 };
    ck_assert_msg(mpq_tsv_parse(&f->table, text, strlen(text), "t", NULL, &f->err) == 0,
                  "%s", f->err.text);
    if (mpq_statset_new(&f->stats, &f->table, 1, &f->err) < 0)
        return -1;
    return mpq_score_run(&f->scores, &f->stats, how, &f->err);
}

static void
free_text(struct from_text *f)
{
    mpq_scores_free(&f->scores);
    mpq_statset_free(&f->stats);
    mpq_tsv_free(f->table);
}

#define HEAD "#layer\tunit\tstat\tvalue\n"

START_TEST(sections_may_come_in_any_order)
{
    static const char text[] = HEAD "10\tblk.10.ffn_up\tn\t4\n"
                                    "10\tblk.10.ffn_up\tmse2\t1\n"
                                    "2\tblk.2.ffn_up\tn\t30\n"
                                    "2\tblk.2.ffn_up\tmse2\t2\n"
                                    "2\tblk.2.attn_q\tn\t10\n"
                                    "2\tblk.2.attn_q\tmse2\t6\n"
                                    ".\ttoken_embd\tn\t7\n"
                                    ".\ttoken_embd\tmse2\t5\n";
    struct mpq_score_how how = { .method = MPQ_SCORE_MSE, .bits = 2 };
    struct from_text f;

    ck_assert_msg(score_text(&f, text, &how) == 0, "%s", f.err.text);
    ck_assert_uint_eq(f.scores.n, 2);
    ck_assert_str_eq(f.scores.rows[0].unit, "blk.2");
    ck_assert_double_eq(f.scores.rows[0].params, 40);
    ck_assert_double_eq(f.scores.rows[0].score, 3); /* (30 * 2 + 10 * 6) / 40 */
    ck_assert_str_eq(f.scores.rows[1].unit, "blk.10");
    ck_assert_double_eq(f.scores.rows[1].score, 1);
    free_text(&f);
    how.by_tensor = 1;
    ck_assert_msg(score_text(&f, text, &how) == 0, "%s", f.err.text);
    ck_assert_uint_eq(f.scores.n, 4);
    ck_assert_str_eq(f.scores.rows[0].unit, "token_embd");
    ck_assert_str_eq(f.scores.rows[1].unit, "blk.2.ffn_up");
    ck_assert_double_eq(f.scores.rows[1].score, 2);
    free_text(&f);
}
END_TEST

START_TEST(zd_is_the_plain_mean_over_tensors)
{
    static const char text[] = HEAD "0\tblk.0.ffn_up\tn\t1000\n"
                                    "0\tblk.0.ffn_up\tzshare\t0.25\n"
                                    "0\tblk.0.attn_q\tn\t1\n"
                                    "0\tblk.0.attn_q\tzshare\t0.75\n";
    const struct mpq_score_how how = { .method = MPQ_SCORE_ZD };
    struct from_text f;

    ck_assert_msg(score_text(&f, text, &how) == 0, "%s", f.err.text);
    ck_assert_double_eq(f.scores.rows[0].score, 0.5);
    free_text(&f);
}
END_TEST

START_TEST(kurtboost_by_tensor_compares_tensors_of_one_kind)
{
    /* ffn_up jumps at layer 8, attn_q not at all; token_embd stands alone. */
    char text[4096] = HEAD;
    const struct mpq_score_how how = { .method = MPQ_SCORE_KURTBOOST, .by_tensor = 1 };
    struct from_text f;
    size_t n = strlen(text);

    n += (size_t)snprintf(text + n, sizeof text - n,
                          ".\ttoken_embd\tn\t9\n.\ttoken_embd\tkurt\t50\n");
    for (int l = 0; l < 10; l++)
        n += (size_t)snprintf(text + n, sizeof text - n,
                              "%d\tblk.%d.ffn_up\tn\t4\n%d\tblk.%d.ffn_up\tkurt\t%d\n"
                              "%d\tblk.%d.attn_q\tn\t4\n%d\tblk.%d.attn_q\tkurt\t%d\n",
                              l, l, l, l, l < 8 ? 1 : 9, l, l, l, l, l);
    ck_assert_msg(score_text(&f, text, &how) == 0, "%s", f.err.text);
    ck_assert_uint_eq(f.scores.n, 21);
    ck_assert_double_eq(f.scores.rows[0].detail[0], 50);
    for (size_t l = 0; l < 10; l++) {
        const struct mpq_score *up = &f.scores.rows[1 + 2 * l], *q = up + 1;
        ck_assert_double_eq(up->detail[0], l == 8 ? 18 : l < 8 ? 1 : 9);
        ck_assert_double_eq(up->detail[1], l < 8 ? 1 : 9);
        ck_assert_double_eq(q->detail[0], (double)l);
    }
    free_text(&f);
}
END_TEST

/* clang-format off */
#define ROW(l, unit, stat, x) #l "\tblk." #l "." unit "\t" stat "\t" #x "\n"
#define NSDS(l, unit, x) \
    ROW(l, unit, "nv", x) ROW(l, unit, "se", x) ROW(l, unit, "se_official", x)
#define PLAIN(l, unit) ROW(l, unit, "n", 8)
#define TENSOR(l, unit, x) PLAIN(l, unit) NSDS(l, unit, x)
/* Two experts as tensors of their own, no gate. */
#define LAYER(l, x)                                          \
    PLAIN(l, "attn_qkv") PLAIN(l, "attn_output")             \
    TENSOR(l, "ffn_up.0", x) TENSOR(l, "ffn_up.1", x)        \
    TENSOR(l, "ffn_down", x) NSDS(l, "qk", x) NSDS(l, "ov", x)
/* clang-format on */

START_TEST(a_model_without_gates_has_four_components)
{
    static const char text[] = HEAD LAYER(0, 1) LAYER(1, 2) LAYER(2, 3);
    struct mpq_score_how how = { .method = MPQ_SCORE_NSDS };
    struct from_text f;

    ck_assert_msg(score_text(&f, text, &how) == 0, "%s", f.err.text);
    ck_assert_uint_eq(f.scores.n, 3);
    ck_assert_double_eq(f.scores.rows[1].params, 40);
    ck_assert_double_eq_tol(f.scores.rows[1].score, 8 * log(2), 1e-13);
    const double z = 1 / 1.4826;
    ck_assert_double_eq_tol(f.scores.rows[2].score, 8 * log1p(exp(z)), 1e-13);
    free_text(&f);
    how.by_tensor = 1;
    ck_assert_msg(score_text(&f, text, &how) == 0, "%s", f.err.text);
    ck_assert_uint_eq(f.scores.n, 15);
    for (size_t i = 10; i < 15; i++)
        ck_assert_double_eq_tol(f.scores.rows[i].score, 2 * log1p(exp(z)), 1e-13);
    free_text(&f);
}
END_TEST

START_TEST(a_layers_figure_is_that_of_its_weights)
{
    /* n comes with the weights' table and with the activations' */
    static const char text[] = HEAD "0\tblk.0.attn_q\tn\t10\n"
                                    "0\tblk.0.attn_q\tkurt\t1\n"
                                    "0\tblk.0.ffn_up\tn\t30\n"
                                    ".\ttoken_embd\tn\t7\n"
                                    "0\tblk.0.attn_q\tn\t10\n"
                                    "0\tblk.0\tlim\t0.25\n"
                                    "0\tblk.0\tlsaq\t0.5\n";
    struct mpq_score_how how = { .method = MPQ_SCORE_LIM };
    struct from_text f;

    ck_assert_msg(score_text(&f, text, &how) == 0, "%s", f.err.text);
    ck_assert_uint_eq(f.scores.n, 1);
    ck_assert_str_eq(f.scores.rows[0].unit, "blk.0");
    ck_assert_double_eq(f.scores.rows[0].params, 40);
    ck_assert_double_eq(f.scores.rows[0].score, 0.25);
    ck_assert_str_eq(f.scores.columns[0], "lim");
    free_text(&f);
    how = (struct mpq_score_how){ .method = MPQ_SCORE_LSAQ, .by_tensor = 1 };
    ck_assert_msg(score_text(&f, text, &how) == 0, "%s", f.err.text);
    ck_assert_uint_eq(f.scores.n, 2);
    ck_assert_str_eq(f.scores.rows[1].unit, "blk.0.ffn_up");
    ck_assert_double_eq(f.scores.rows[1].params, 30);
    ck_assert_double_eq(f.scores.rows[1].score, 0.5);
    ck_assert_str_eq(f.scores.columns[0], "lsaq");
    free_text(&f);
}
END_TEST

static const struct {
    const char *text, *says;
    enum mpq_score_method method;
} bad[] = {
    { HEAD, "no stats of any layer", MPQ_SCORE_MSE },
    { HEAD ".\ttoken_embd\tn\t4\n", "no stats of any layer", MPQ_SCORE_MSE },
    { HEAD "0\tblk.0.ffn_up\tn\t4\n", "blk.0.ffn_up: no stat mse2", MPQ_SCORE_MSE },
    { HEAD "0\tblk.0.ffn_up\tmse2\t4\n", "blk.0.ffn_up: no stat n", MPQ_SCORE_MSE },
    { HEAD "0\tblk.0.ffn_up\tn\t4\n0\tblk.0.ffn_up\tn\t5\n",
      ":3: blk.0.ffn_up: stat n for the second time", MPQ_SCORE_MSE },
    { HEAD "0\tblk.0.ffn_up\tkurt\t4\n0\tblk.0.ffn_up\tkurt\t4\n",
      ":3: blk.0.ffn_up: stat kurt for the second time", MPQ_SCORE_MSE },
    { HEAD "0\tblk.0.ffn_up\tn\t4\n", "t: blk.0: no stat lim", MPQ_SCORE_LIM },
    { HEAD "0\tblk.0\tlim\t4\n", "blk.0: no stat n", MPQ_SCORE_LIM },
    { HEAD "0\tblk.0.ffn_up\tn\t4\n0\tblk.0\tlsaq\t-1\n",
      "blk.0: stat lsaq is -1, below 0", MPQ_SCORE_LSAQ },
    { HEAD "0\tblk.0.ffn_up\tn\t4\n1\tblk.0.ffn_up\tmse2\t4\n", "another layer",
      MPQ_SCORE_MSE },
    { HEAD "x\tblk.0.ffn_up\tn\t4\n", "its layer is no number", MPQ_SCORE_MSE },
    { HEAD "70000\tblk.0.ffn_up\tn\t4\n", "its layer is no number", MPQ_SCORE_MSE },
    { HEAD "0\tblk.0.ffn_up\tn\t0\n", "no number of weights", MPQ_SCORE_MSE },
    { HEAD "0\tblk.0.ffn_up\tn\tfour\n", "four", MPQ_SCORE_MSE },
    { "#layer\tunit\tvalue\n0\tblk.0.ffn_up\t4\n", "stat", MPQ_SCORE_MSE },
    { HEAD LAYER(0, 1) PLAIN(1, "attn_q"), "blk.1.qk: no stat nv", MPQ_SCORE_NSDS },
    { HEAD LAYER(0, 1) TENSOR(0, "ffn_gate", 1) LAYER(1, 2),
      "blk.1.ffn_gate: no stat nv", MPQ_SCORE_NSDS },
    { HEAD LAYER(0, 1) PLAIN(0, "ffn_gate"), "blk.0.ffn_gate: no stat nv",
      MPQ_SCORE_NSDS },
    { HEAD LAYER(0, 1) PLAIN(0, "ffn_up.2"), "blk.0.ffn_up.2: no stat nv",
      MPQ_SCORE_NSDS },
    { HEAD LAYER(0, 1) "0\tblk.0.ffn_up.2\tnv\t1\n0\tblk.0.ffn_up.2\tn\t1\n",
      "blk.0.ffn_up.2: no stat se", MPQ_SCORE_NSDS },
    { "##tensor blk.0.ffn_up f32 2 2\n##tensor blk.1.ffn_up f32 2 2\n"
      "##file 64 32 rest=0 container=gguf st_header=64 st_rest=0 n_layer=2 tied=0 "
      "arch=llama name=x\n" HEAD "0\tblk.0.ffn_up\tn\t4\n0\tblk.0.ffn_up\tmse2\t4\n",
      "blk.1.ffn_up: no stats", MPQ_SCORE_MSE },
};

START_TEST(what_is_missing_or_wrong_is_named)
{
    const struct mpq_score_how how = { .method = bad[_i].method, .bits = 2 };
    struct from_text f;

    ck_assert_int_eq(score_text(&f, bad[_i].text, &how), -1);
    ck_assert_msg(strstr(f.err.text, bad[_i].says) != NULL, "%s", f.err.text);
    free_text(&f);
}
END_TEST

Suite *
mpq_suite(void)
{
    Suite *s = suite_create("baseline");
    TCase *tc = tcase_create("baseline");

    tcase_add_test(tc, means_are_those_by_hand);
    tcase_add_test(tc, kurtboost_doubles_after_a_jump);
    tcase_add_test(tc, kurtboost_leaves_even_steps_alone);
    tcase_add_test(tc, positive_scores_keep_the_order);
    tcase_add_test(tc, sections_may_come_in_any_order);
    tcase_add_test(tc, zd_is_the_plain_mean_over_tensors);
    tcase_add_test(tc, kurtboost_by_tensor_compares_tensors_of_one_kind);
    tcase_add_test(tc, a_model_without_gates_has_four_components);
    tcase_add_test(tc, a_layers_figure_is_that_of_its_weights);
    tcase_add_loop_test(tc, what_is_missing_or_wrong_is_named, 0,
                        sizeof bad / sizeof *bad);
    suite_add_tcase(s, tc);
    return s;
}
