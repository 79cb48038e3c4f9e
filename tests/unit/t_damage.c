#include "suite.h"

#include "model/damage.h"
#include "quant/codec.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Layer 0 of 3 and 1 parts (attn_q, ffn_down), a tied embedding. */
#define SHAPE                                                                          \
    "##tensor token_embd f16 100 64\n"                                                 \
    "##tensor blk.0.attn_q f16 96 32\n##tensor blk.0.ffn_down f16 4 256\n"             \
    "##tensor blk.1.attn_q f16 96 32\n##tensor blk.1.ffn_down f16 4 256\n"             \
    "##file 1000 32 rest=0 container=gguf st_header=900 st_rest=0 n_layer=2 "          \
    "tied=1 arch=llama name=m\n"
enum { EMBED, Q0, DOWN0, Q1, DOWN1 }; /* in the order of the shape */
static const double q_params = 96 * 32, down_params = 4 * 256, embed_params = 6400;

static struct mpq_layout layout;
static struct mpq_damage d;
static struct mpq_err err;

static int
read_table(const char *rows)
{
    char text[4096];
    struct mpq_tsv *t;

    err = (struct mpq_err){ 0 };
    d = (struct mpq_damage){ 0 };
    snprintf(text, sizeof text, "%s%s", SHAPE, rows);
    if (mpq_tsv_parse(&t, text, strlen(text), "x", NULL, &err) < 0)
        return -1;
    ck_assert_int_eq(mpq_layout_from_tsv(&layout, t, &err), 0);
    int rc = mpq_damage_read(&d, t, &layout, &err);
    mpq_tsv_free(t);
    return rc;
}

static void
close_table(void)
{
    mpq_damage_free(&d);
    mpq_layout_free(&layout);
}

static double
of(size_t i, enum mpq_dtype type)
{
    double damage = NAN, se;

    ck_assert_msg(mpq_damage_of(&d, i, MPQ_TYPE(type), &damage, &se, &err) == 0, "%s",
                  err.text);
    return damage;
}

#define SCORES "#unit\tscore\tparams\n"
#define DAMAGE "#unit\ttype\tbits\tparams\tdamage\tse\n"

START_TEST(a_score_is_a_damage_by_parameters_and_error_of_the_type)
{
    const double e = mpq_type_error(MPQ_TYPE(MPQ_Q4_0));

    ck_assert_msg(read_table("#params\tunit\textra\tscore\n4096\tblk.0\tx\t2\n"
                             "3072\tblk.1.attn_q\tx\t5\n4096\tblk.1\tx\t3\n") == 0,
                  "%s", err.text);
    ck_assert_double_eq_tol(of(Q0, MPQ_Q4_0), 2 * q_params * e, 1e-12);
    ck_assert_double_eq_tol(of(DOWN0, MPQ_Q4_0), 2 * down_params * e, 1e-12);
    ck_assert_double_eq_tol(of(Q1, MPQ_Q4_0), 5 * q_params * e, 1e-12);
    ck_assert_double_eq_tol(of(DOWN1, MPQ_Q4_0), 3 * down_params * e, 1e-12);
    /* no score: the median by parameters, and a tied embedding is used twice */
    const double median = 3;
    ck_assert_int_eq(mpq_damage_has(&d, EMBED), 0);
    ck_assert_double_eq_tol(of(EMBED, MPQ_Q4_0), 2 * median * embed_params * e, 1e-9);
    close_table();
}
END_TEST

START_TEST(a_tied_embedding_is_damaged_in_both_uses)
{
    const double e = embed_params * mpq_type_error(MPQ_TYPE(MPQ_Q8_0));

    ck_assert_int_eq(read_table(SCORES "token_embd\t2\t6400\n"), 0);
    ck_assert_double_eq_tol(of(EMBED, MPQ_Q8_0), 4 * e, 1e-12);
    close_table();
    ck_assert_int_eq(read_table(SCORES "token_embd\t2\t6400\noutput\t3\t6400\n"), 0);
    ck_assert_double_eq_tol(of(EMBED, MPQ_Q8_0), 5 * e, 1e-12);
    close_table();
    ck_assert_int_eq(read_table(SCORES "output\t3\t6400\n"), 0);
    ck_assert_double_eq_tol(of(EMBED, MPQ_Q8_0), 6 * e, 1e-12);
    close_table();
    /* measured damage has both uses in it already */
    ck_assert_int_eq(read_table(DAMAGE "token_embd\tq8_0\t8.5\t6400\t7\t1\n"), 0);
    ck_assert_double_eq(of(EMBED, MPQ_Q8_0), 7);
    close_table();
    ck_assert_int_eq(read_table(DAMAGE "token_embd\tq8_0\t8.5\t6400\t7\t1\n"
                                       "output\tq8_0\t8.5\t6400\t2\t1\n"),
                     0);
    ck_assert_double_eq(of(EMBED, MPQ_Q8_0), 9);
    close_table();
}
END_TEST

START_TEST(a_layers_damage_is_spread_by_parameters)
{
    double damage, se;

    ck_assert_msg(read_table(DAMAGE "blk.0\tq4_0\t4.5\t4096\t8\t4\n"
                                    "blk.0\tq8_0\t8.5\t4096\t2\t1\n"
                                    "blk.1\tq8_0\t8.5\t4096\t1\t0\n"
                                    "blk.1\tq4_0\t4.5\t4096\t6\t0\n") == 0,
                  "%s", err.text);
    ck_assert_uint_eq(d.n_types, 2);
    ck_assert_int_eq(d.has_se, 1);
    ck_assert_int_eq(d.has_tensors, 0);
    ck_assert_int_eq(mpq_damage_of(&d, DOWN0, MPQ_TYPE(MPQ_Q4_0), &damage, &se, &err),
                     0);
    ck_assert_double_eq(damage, 2); /* a quarter of the layer */
    ck_assert_double_eq(se, 1);
    ck_assert_double_eq(of(Q1, MPQ_Q4_0), 4.5);
    /* the embedding has none: (8 + 6) / 8192 for each parameter, twice */
    ck_assert_double_eq_tol(of(EMBED, MPQ_Q4_0), 2 * 6400 * 14.0 / 8192, 1e-12);
    close_table();
}
END_TEST

START_TEST(the_narrowest_group_that_was_measured_counts)
{
    ck_assert_msg(read_table(DAMAGE "blk.0\tq8_0\t8.5\t4096\t8\t4\n"
                                    "blk.0.ffn\tq8_0\t8.5\t1024\t3\t0\n"
                                    "blk.1.attn\tq8_0\t8.5\t3072\t5\t0\n"
                                    "blk.1.ffn\tq8_0\t8.5\t1024\t2\t0\n"
                                    "blk.1.ffn_down\tq8_0\t8.5\t1024\t1\t0\n") == 0,
                  "%s", err.text);
    ck_assert_int_eq(d.has_modules, 1);
    ck_assert_double_eq(of(Q0, MPQ_Q8_0), 6); /* three quarters of the layer */
    ck_assert_double_eq(of(DOWN0, MPQ_Q8_0), 3);
    ck_assert_double_eq(of(Q1, MPQ_Q8_0), 5);
    ck_assert_double_eq(of(DOWN1, MPQ_Q8_0), 1);
    /* rows of 32 do not keep q4_k from the module that has none of them */
    ck_assert_int_eq(mpq_damage_unmeasured(&d, DOWN0, MPQ_TYPE(MPQ_Q4_K)), 0);
    close_table();
}
END_TEST

START_TEST(a_missing_pair_is_an_error_unless_the_layer_could_not_have_it)
{
    double damage, se;

    ck_assert_int_eq(read_table(DAMAGE "blk.0\tq4_0\t4.5\t4096\t8\t4\n"
                                       "blk.1\tq8_0\t8.5\t4096\t1\t0\n"),
                     0);
    ck_assert_int_eq(mpq_damage_of(&d, Q0, MPQ_TYPE(MPQ_Q8_0), &damage, &se, &err), -1);
    ck_assert_str_eq(err.text, "x: no row for unit blk.0, q8_0");
    err.code = 0;
    ck_assert_int_eq(mpq_damage_of(&d, EMBED, MPQ_TYPE(MPQ_Q5_0), &damage, &se, &err),
                     -1);
    ck_assert_str_eq(err.text, "x: no row at all for type q5_0");
    err.code = 0;
    ck_assert_int_eq(mpq_damage_unmeasured(&d, Q0, MPQ_TYPE(MPQ_Q8_0)), 0);
    /* rows of 32 keep q4_k from the layer, so it has no row; ffn_down could take it */
    ck_assert_int_eq(mpq_damage_unmeasured(&d, DOWN0, MPQ_TYPE(MPQ_Q4_K)), 1);
    close_table();
    /* of the two uses of a tied embedding the one that lacks its row is named */
    ck_assert_int_eq(read_table(DAMAGE "token_embd\tq8_0\t8.5\t6400\t1\t0\n"
                                       "output\tq4_0\t4.5\t6400\t2\t0\n"),
                     0);
    ck_assert_int_eq(mpq_damage_of(&d, EMBED, MPQ_TYPE(MPQ_Q8_0), &damage, &se, &err),
                     -1);
    ck_assert_str_eq(err.text, "x: no row for unit output, q8_0");
    err.code = 0;
    ck_assert_int_eq(mpq_damage_of(&d, EMBED, MPQ_TYPE(MPQ_Q4_0), &damage, &se, &err),
                     -1);
    ck_assert_str_eq(err.text, "x: no row for unit token_embd, q4_0");
    close_table();
}
END_TEST

START_TEST(what_stays_as_it_is_has_no_damage)
{
    ck_assert_int_eq(read_table(SCORES "blk.0\t2\t4096\n"), 0);
    ck_assert_double_eq(of(Q0, MPQ_F16), 0);
    ck_assert_double_eq(of(EMBED, MPQ_F16), 0);
    ck_assert_double_gt(of(Q0, MPQ_BF16), 0);
    close_table();
    /* a table that does not tell of the present type; one that does */
    ck_assert_int_eq(read_table(DAMAGE "blk.0\tq4_0\t4.5\t4096\t8\t4\n"), 0);
    ck_assert_double_eq(of(Q0, MPQ_F16), 0);
    ck_assert_double_eq(of(EMBED, MPQ_F16), 0);
    ck_assert_int_eq(mpq_damage_unmeasured(&d, Q0, MPQ_TYPE(MPQ_F16)), 0);
    close_table();
    ck_assert_int_eq(read_table(DAMAGE "blk.0\tf16\t16\t4096\t8\t4\n"), 0);
    ck_assert_double_eq(of(DOWN0, MPQ_F16), 2);
    ck_assert_double_eq(of(Q1, MPQ_F16), 0); /* not the mean: it has no row */
    close_table();
}
END_TEST

START_TEST(a_layers_damage_is_spread_over_what_the_type_changes)
{
    /* attn_q of layer 0 is q8_0 already: measuring q8_0 changed ffn_down alone */
    static const char shape[] = "##tensor blk.0.attn_q q8_0 96 32\n"
                                "##tensor blk.0.ffn_down f16 4 256\n"
                                "##file 1000 32 rest=0 container=gguf st_header=900 "
                                "st_rest=0 n_layer=1 tied=0 arch=llama name=m\n" DAMAGE
                                "blk.0\tq8_0\t8.5\t4096\t6\t2\n"
                                "blk.0\tq4_0\t4.5\t4096\t8\t0\n";
    struct mpq_tsv *t;

    err = (struct mpq_err){ 0 };
    ck_assert_int_eq(mpq_tsv_parse(&t, shape, strlen(shape), "x", NULL, &err), 0);
    ck_assert_int_eq(mpq_layout_from_tsv(&layout, t, &err), 0);
    ck_assert_int_eq(mpq_damage_read(&d, t, &layout, &err), 0);
    mpq_tsv_free(t);
    ck_assert_double_eq(of(0, MPQ_Q8_0), 0);
    ck_assert_double_eq(of(1, MPQ_Q8_0), 6);
    ck_assert_double_eq(of(0, MPQ_Q4_0), 6);
    ck_assert_double_eq(of(1, MPQ_Q4_0), 2);
    close_table();
}
END_TEST

static const struct {
    const char *in, *says;
} bad[] = {
    { "#unit\tscore\n", "x: no column params" },
    { "#unit\tparams\n", "x: no column score" },
    { "#score\tparams\n", "x: no column unit" },
    { "#unit\tparams\tdamage\n", "x: no column type" },
    { SCORES, "x: no rows" },
    { SCORES "blk.2\t1\t4096\n", "x:8: unit blk.2 is no layer or matrix of the model" },
    { SCORES "blk.0.qk\t1\t4096\n", "unit blk.0.qk is no layer or matrix" },
    { SCORES "blk.00\t1\t4096\n", "unit blk.00 is no layer or matrix" },
    { SCORES "blk.2.attn\t1\t4096\n", "unit blk.2.attn is no layer or matrix" },
    { SCORES "blk.00.attn\t1\t3072\n", "unit blk.00.attn is no layer or matrix" },
    { SCORES "blk.0.ffn\t1\t3072\n",
      "blk.0.ffn has 3072 params, the model's has 1024" },
    { SCORES "\t1\t4096\n", "unit  is no layer or matrix" },
    { SCORES "blk.0\t1\t4000\n",
      "x:8: unit blk.0 has 4000 params, the model's has 4096" },
    { SCORES "blk.0\t1\t4096.5\n", "x:8: " },
    { SCORES "blk.0\t-1\t4096\n", "x:8: score of -1: a number from 0 to 1e+100 is" },
    { SCORES "blk.0\tnan\t4096\n", "x:8: " },
    { SCORES "blk.0\tinf\t4096\n", "x:8: " },
    { SCORES "blk.0\t1e101\t4096\n", "x:8: score of 1e101: a number from 0 to" },
    { SCORES "blk.0\thigh\t4096\n", "x:8: " },
    { SCORES "blk.0\t1\t4096\nblk.0\t1\t4096\n", "x: two rows for unit blk.0" },
    { DAMAGE "blk.0\tq9\t4\t4096\t1\t0\n", "x:8: unknown type q9" },
    { DAMAGE "blk.0\tq4_0\t4\t4096\t-1\t0\n", "x:8: damage of -1: a number from 0 to" },
    { DAMAGE "blk.0\tq4_0\t4\t4096\tnan\t0\n", "x:8: " },
    { DAMAGE "blk.0\tq4_0\t4\t4096\t1\t-1\n", "x:8: se of -1: a number from 0 to" },
    { DAMAGE "blk.0\tq4_0\t4\t4096\t1\t0\nblk.0\tq4_0\t4\t4096\t1\t0\n",
      "x:9: a second row for unit blk.0, q4_0" },
    { DAMAGE "blk.9\tq4_0\t4\t4096\t1\t0\n", "unit blk.9 is no layer or matrix" },
    { "##mpq probe 1\n" DAMAGE "##end 0\n", "x: a table of probe, scores or damage" },
};

START_TEST(broken_tables_are_refused)
{
    ck_assert_int_eq(read_table(bad[_i].in), -1);
    ck_assert_int_eq(err.code, MPQ_EDATA);
    ck_assert_msg(strstr(err.text, bad[_i].says) != NULL, "%s", err.text);
    mpq_layout_free(&layout);
}
END_TEST

Suite *
mpq_suite(void)
{
    Suite *s = suite_create("damage");
    TCase *tc = tcase_create("damage");

    tcase_add_test(tc, a_score_is_a_damage_by_parameters_and_error_of_the_type);
    tcase_add_test(tc, a_tied_embedding_is_damaged_in_both_uses);
    tcase_add_test(tc, a_layers_damage_is_spread_by_parameters);
    tcase_add_test(tc, the_narrowest_group_that_was_measured_counts);
    tcase_add_test(tc, a_missing_pair_is_an_error_unless_the_layer_could_not_have_it);
    tcase_add_test(tc, what_stays_as_it_is_has_no_damage);
    tcase_add_test(tc, a_layers_damage_is_spread_over_what_the_type_changes);
    tcase_add_loop_test(tc, broken_tables_are_refused, 0, sizeof bad / sizeof *bad);
    suite_add_tcase(s, tc);
    return s;
}
