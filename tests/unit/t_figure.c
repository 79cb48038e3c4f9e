#include "suite.h"

#include "eval_expect.h"
#include "method/figure.h"
#include "method/ppl.h"
#include "small.h"

enum { N = 40 };
static double a[N], b[N];

static void
make_values(void)
{
    uint32_t state = 12345;

    for (size_t i = 0; i < N; i++)
        a[i] = (double)(2 + small_random(&state));
    for (size_t i = 0; i < N; i++)
        b[i] = (double)(2 + small_random(&state));
}

static void
is(struct mpq_figure f, double value, double se)
{
    ck_assert_double_eq_tol(f.value, value, 1e-12);
    ck_assert_double_eq_tol(f.se, se, 1e-12);
    ck_assert_uint_eq(f.n, N);
}

START_TEST(figures_are_those_of_numpy)
{
    make_values();
    is(mpq_figure_mean(a, N), want_nll, want_nll_se);
    is(mpq_figure_diff(a, b, N), want_diff, want_diff_se);
    is(mpq_figure_ppl(a, N), want_ppl, want_ppl_se);
    is(mpq_figure_ppl_diff(a, b, N), want_ppl_diff, want_ppl_diff_se);
    is(mpq_figure_dp(a, b, N), want_dp, want_dp_se);
    is(mpq_figure_dp_rms(a, b, N), want_rms, want_rms_se);
}
END_TEST

START_TEST(one_observation_has_no_error)
{
    const double x = 3;

    ck_assert_double_eq(mpq_figure_mean(&x, 1).value, 3);
    ck_assert_double_eq(mpq_figure_mean(&x, 1).se, 0);
    ck_assert_double_eq(mpq_figure_dp_rms(&x, &x, 1).value, 0);
    ck_assert_double_eq(mpq_figure_dp_rms(&x, &x, 1).se, 0);
}
END_TEST

/* llama-perplexity: first = ctx / 2, count += ctx - first - 1, chunks = tokens / ctx;
 * with a stride chunks = (tokens - ctx + stride - 1) / stride, the last stride of each
 * scored. */
static const struct {
    size_t tokens, ctx, stride, max, chunks, step, first, scored;
} plans[] = {
    { 512, 512, 0, 0, 1, 512, 257, 255 },
    { 1023, 512, 0, 0, 1, 512, 257, 255 },
    { 5120, 512, 0, 0, 10, 512, 257, 255 },
    { 5120, 512, 0, 3, 3, 512, 257, 255 },
    { 5120, 512, 0, 99, 10, 512, 257, 255 },
    { 9, 5, 0, 0, 1, 5, 3, 2 },
    { 8, 4, 0, 0, 2, 4, 3, 1 },
    { 1024, 512, 256, 0, 2, 256, 256, 256 },
    { 1025, 512, 256, 0, 3, 256, 256, 256 },
    { 513, 512, 256, 0, 1, 256, 256, 256 },
};

START_TEST(chunks_are_those_of_llama_perplexity)
{
    struct mpq_ppl p;

    ck_assert_int_eq(mpq_ppl_plan(&p, plans[_i].tokens, plans[_i].ctx, plans[_i].stride,
                                  plans[_i].max, "t", NULL),
                     0);
    ck_assert_uint_eq(p.n_chunks, plans[_i].chunks);
    ck_assert_uint_eq(p.step, plans[_i].step);
    ck_assert_uint_eq(p.first, plans[_i].first);
    ck_assert_uint_eq(p.n_scored, plans[_i].scored);
    ck_assert_uint_le((p.n_chunks - 1) * p.step + p.ctx, plans[_i].tokens);
}
END_TEST

static const struct {
    size_t tokens, ctx, stride;
    const char *says;
} short_texts[] = {
    { 511, 512, 0, "t.txt: 511 tokens, 512 needed for one chunk" },
    { 512, 512, 64, "t.txt: 512 tokens, 513 needed for one chunk" },
    { 0, 4, 0, "t.txt: 0 tokens, 4 needed" },
    { 100, 3, 0, "in chunks of 3 tokens" },
    { 100, 8, 8, "a stride of 8 in chunks of 8 tokens" },
};

START_TEST(a_text_too_short_is_told)
{
    struct mpq_ppl p;
    struct mpq_err err = { 0 };

    ck_assert_int_eq(mpq_ppl_plan(&p, short_texts[_i].tokens, short_texts[_i].ctx,
                                  short_texts[_i].stride, 0, "t.txt", &err),
                     -1);
    ck_assert_ptr_nonnull(strstr(err.text, short_texts[_i].says));
}
END_TEST

START_TEST(bos_replaces_the_first_token_of_each_chunk)
{
    uint32_t tokens[12], chunk[4];
    struct mpq_ppl p;

    for (uint32_t i = 0; i < 12; i++)
        tokens[i] = 100 + i;
    ck_assert_int_eq(mpq_ppl_plan(&p, 12, 4, 0, 0, "t", NULL), 0);
    mpq_ppl_chunk(&p, 1, tokens, 7, chunk);
    ck_assert_uint_eq(chunk[0], 7);
    ck_assert_uint_eq(chunk[1], 105);
    ck_assert_uint_eq(chunk[3], 107);
    mpq_ppl_chunk(&p, 2, tokens, -1, chunk);
    ck_assert_uint_eq(chunk[0], 108);
}
END_TEST

Suite *
mpq_suite(void)
{
    Suite *s = suite_create("figure");
    TCase *tc = tcase_create("figure");

    tcase_add_test(tc, figures_are_those_of_numpy);
    tcase_add_test(tc, one_observation_has_no_error);
    tcase_add_loop_test(tc, chunks_are_those_of_llama_perplexity, 0,
                        sizeof plans / sizeof *plans);
    tcase_add_loop_test(tc, a_text_too_short_is_told, 0,
                        sizeof short_texts / sizeof *short_texts);
    tcase_add_test(tc, bos_replaces_the_first_token_of_each_chunk);
    suite_add_tcase(s, tc);
    return s;
}
