/* Probes beside what they stand for: two models evaluated side by side. */
#include "nets.h"

#include "base/buf.h"
#include "method/probe.h"
#include "method/probe_units.h"
#include "model/tune_each.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_TOKENS = 400, CTX = 24 };
static const char *const models[] = { "llama", "llama-tied.gguf", "gemma2",
                                      "qwen3.gguf" };
enum { N_MODELS = sizeof models / sizeof *models };

/* A text of tokens that the model has. */
static uint32_t *
make_text(size_t n_vocab, struct mpq_ppl *plan)
{
    uint32_t *tokens = mpq_array(N_TOKENS, sizeof *tokens);

    ck_assert_ptr_nonnull(tokens);
    for (size_t i = 0; i < N_TOKENS; i++)
        tokens[i] = (uint32_t)((i * i + 7 * i) % n_vocab);
    ck_assert_int_eq(mpq_ppl_plan(plan, N_TOKENS, CTX, 0, 0, "text", NULL), 0);
    return tokens;
}

/* The figures of S with WITH[n] in their places beside S itself. */
static void
side_by_side(const struct mpq_source *s, const struct mpq_weight *with, size_t n,
             const struct mpq_ppl *plan, const uint32_t *tokens,
             struct mpq_figure *ppl_diff, struct mpq_figure *kld)
{
    const size_t n_marks = plan->n_chunks * plan->n_scored;
    double *marks = mpq_array(n_marks, 3 * sizeof *marks);
    struct mpq_eval e = { 0 };
    const struct mpq_eval_scores out = { .logp = marks,
                                         .logp_ref = marks + n_marks,
                                         .kld = marks + 2 * n_marks };

    ck_assert_int_eq(mpq_forward_new(&e.model, s, 2, NULL), 0);
    ck_assert_int_eq(mpq_forward_new(&e.ref, s, 2, NULL), 0);
    mpq_forward_replace(e.model, with, n);
    ck_assert_int_eq(mpq_eval_text(&e, plan, tokens, -1, &out, NULL), 0);
    for (size_t i = 0; i < 2 * n_marks; i++)
        marks[i] = -marks[i];
    *ppl_diff = mpq_figure_ppl_diff(marks, marks + n_marks, n_marks);
    *kld = mpq_figure_mean(out.kld, n_marks);
    mpq_forward_free(e.model);
    mpq_forward_free(e.ref);
    free(marks);
}

static void
is_near(double want, double got)
{
    ck_assert_msg(fabs(want - got) <= 1e-9 * fabs(want), "%.17g, not %.17g", got, want);
}

/* The size of memory changes what is kept, not what comes out. */
START_TEST(a_probe_is_an_evaluation_beside_the_model)
{
    static const size_t memory[] = { 1, 30000, 1 << 30 };
    struct mpq_source *s = open_net(models[_i]);
    struct mpq_type type;
    struct mpq_ppl plan;

    ck_assert_int_eq(mpq_type_parse("int3g16", &type), 0);
    uint32_t *tokens = make_text((size_t)mpq_source_hparams(s)->n_vocab, &plan);
    const struct mpq_probe_text text = { "text", &plan, tokens };
    for (size_t m = 0; m < 3; m++) {
        const struct mpq_probe_options o = {
            .source = s,
            .texts = &text,
            .n_texts = 1,
            .bos = -1,
            .metrics = MPQ_METRIC_PPL | MPQ_METRIC_KLD,
            .threads = 2,
            .max_bytes = memory[m],
            .last = (size_t)mpq_source_hparams(s)->n_layer - 1,
        };
        const struct mpq_tune_options how = { .tuner = &mpq_tuner_plain,
                                              .effort = MPQ_EFFORT_FAST,
                                              .encode = mpq_encode_row,
                                              .threads = 2 };
        struct mpq_probe_units units;
        struct mpq_tune_each *tune;
        struct mpq_probe *p;
        size_t n_rows;
        ck_assert_int_eq(
            mpq_probe_units_new(&units, s, MPQ_BY_MODULE, 1, 0, o.last, NULL), 0);
        ck_assert_int_eq(mpq_probe_new(&p, &o, NULL), 0);
        ck_assert_int_eq(mpq_tune_each_new(&tune, s, &how, NULL), 0);
        const struct mpq_probe_row *rows = mpq_probe_rows(p, &n_rows);
        ck_assert_uint_eq(n_rows, 2);
        ck_assert_str_eq(rows[0].metric, "ppl");
        ck_assert_str_eq(rows[1].metric, "kld");
        for (size_t i = 0; i < units.n; i++) {
            const struct mpq_probe_unit *u = &units.units[i];
            const struct mpq_weight *with;
            struct mpq_figure ppl_diff, kld;
            size_t n;
            ck_assert_int_eq(mpq_tune_each_run(tune, u->layer, u->weights, u->n, type,
                                               &with, &n, NULL),
                             0);
            ck_assert_uint_eq(n, u->n);
            ck_assert_int_eq(mpq_probe_run(p, u->from, with, n, NULL), 0);
            side_by_side(s, with, n, &plan, tokens, &ppl_diff, &kld);
            ck_assert(kld.value > 0);
            is_near(kld.value, rows[1].value);
            is_near(kld.value, rows[1].delta);
            is_near(kld.se, rows[1].se);
            is_near(ppl_diff.value, rows[0].delta);
            is_near(ppl_diff.se, rows[0].se);
            is_near(rows[0].value - rows[0].base, rows[0].delta);
            ck_assert_int_eq(mpq_probe_run(p, u->from, NULL, 0, NULL), 0);
            ck_assert(rows[0].delta == 0 && rows[0].se == 0 && rows[1].value == 0);
        }
        mpq_tune_each_free(tune);
        mpq_probe_free(p);
        mpq_probe_units_free(&units);
    }
    free(tokens);
    mpq_source_free(s);
}
END_TEST

START_TEST(units_come_in_the_order_of_the_layers)
{
    static const char *const want[] = {
        "token_embd output blk.0 blk.1 blk.2",
        "blk.1.attn blk.1.ffn blk.2.attn blk.2.ffn",
        "token_embd output blk.0.attn_q blk.0.attn_k blk.0.attn_v blk.0.attn_output"
        " blk.0.ffn_gate blk.0.ffn_up blk.0.ffn_down",
    };
    static const uint64_t first[] = { 0, 1, 0 }, last[] = { 2, 2, 0 };
    struct mpq_source *s = open_net("llama");
    struct mpq_probe_units u;
    struct mpq_buf names = { 0 };
    uint64_t params = 0;

    ck_assert_int_eq(
        mpq_probe_units_new(&u, s, (enum mpq_probe_by)_i, 1, first[_i], last[_i], NULL),
        0);
    for (size_t i = 0; i < u.n; i++) {
        mpq_buf_printf(&names, "%s%s", i ? " " : "", u.units[i].name);
        ck_assert_uint_gt(u.units[i].n, 0);
        params += u.units[i].params;
    }
    /* in any order within a layer: that of the file */
    ck_assert_uint_eq(names.len, strlen(want[_i]));
    for (const char *w = want[_i]; *w; w += strcspn(w, " "), w += *w == ' ') {
        char word[64];
        snprintf(word, sizeof word, "%.*s", (int)strcspn(w, " "), w);
        ck_assert_msg(strstr(names.data, word) != NULL, "%s in %s", word, names.data);
    }
    ck_assert_uint_gt(params, 0);
    mpq_buf_free(&names);
    mpq_probe_units_free(&u);
    mpq_source_free(s);
}
END_TEST

START_TEST(a_unit_takes_what_all_of_its_rows_take)
{
    struct mpq_source *s = open_net("gemma2"); /* rows of 32, of attn_output 24 ... */
    struct mpq_probe_units u;
    struct mpq_type q4_0 = MPQ_TYPE(MPQ_Q4_0), int4;

    ck_assert_int_eq(mpq_type_parse("int4g16", &int4), 0);
    ck_assert_int_eq(mpq_probe_units_new(&u, s, MPQ_BY_LAYER, 1, 0, 1, NULL), 0);
    ck_assert_str_eq(u.units[0].name, "token_embd");
    ck_assert_int_eq(mpq_probe_unit_takes(&u.units[0], q4_0), 1);
    ck_assert(mpq_probe_unit_bits(&u.units[0], q4_0) == 4.5);
    ck_assert_int_eq(mpq_probe_unit_takes(&u.units[1], q4_0), 0);
    ck_assert_int_eq(mpq_probe_unit_takes(&u.units[1], int4), 1);
    ck_assert(mpq_probe_unit_bits(&u.units[1], int4) > 6); /* 4 + 32 / 16, ragged */
    mpq_probe_units_free(&u);
    mpq_source_free(s);
}
END_TEST

/* Rows as the encoder makes them; a matrix of that type already is left out. */
START_TEST(units_are_rounded_row_by_row)
{
    const struct mpq_tune_options how = { .tuner = &mpq_tuner_plain,
                                          .effort = MPQ_EFFORT_DEFAULT,
                                          .encode = mpq_encode_row,
                                          .threads = 3 };
    struct mpq_source *s = open_net("llama");
    const struct mpq_weight *w = mpq_source_find(s, "blk.1.ffn_up"), *with;
    struct mpq_tune_each *tune;
    struct mpq_type type;
    float x[256], want[256], got[256];
    unsigned char row[1024];
    size_t n;

    ck_assert_int_eq(mpq_type_parse("int4g8s", &type), 0);
    ck_assert_uint_le(w->cols, 256);
    ck_assert_int_eq(mpq_tune_each_new(&tune, s, &how, NULL), 0);
    ck_assert_int_eq(mpq_tune_each_run(tune, 1, &w, 1, w->tensor.type, &with, &n, NULL),
                     0);
    ck_assert_uint_eq(n, 0);
    ck_assert_int_eq(mpq_tune_each_run(tune, 1, &w, 1, type, &with, &n, NULL), 0);
    ck_assert_uint_eq(n, 1);
    ck_assert_str_eq(with->name, "blk.1.ffn_up");
    for (uint64_t r = 0; r < w->rows; r++) {
        ck_assert_int_eq(mpq_source_read_rows(s, w, r, 1, x, NULL), 0);
        mpq_encode_row(type, x, NULL, row, (size_t)w->cols, MPQ_EFFORT_DEFAULT);
        mpq_decode_row(type, row, want, (size_t)w->cols);
        ck_assert_int_eq(mpq_source_read_rows(s, with, r, 1, got, NULL), 0);
        for (uint64_t c = 0; c < w->cols; c++)
            ck_assert(want[c] == got[c]);
    }
    mpq_tune_each_free(tune);
    mpq_source_free(s);
}
END_TEST

Suite *
mpq_suite(void)
{
    Suite *s = suite_create("probe");
    TCase *tc = tcase_create("probe");

    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, a_probe_is_an_evaluation_beside_the_model, 0, N_MODELS);
    tcase_add_loop_test(tc, units_come_in_the_order_of_the_layers, 0, 3);
    tcase_add_test(tc, a_unit_takes_what_all_of_its_rows_take);
    tcase_add_test(tc, units_are_rounded_row_by_row);
    suite_add_tcase(s, tc);
    return s;
}
