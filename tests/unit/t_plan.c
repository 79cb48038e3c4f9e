#include "suite.h"

#include "model/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Two layers of three matrices, a router, an embedding and an output. */
#define SHAPE                                                                          \
    "##tensor token_embd q8_0 100 256\n##tensor output f16 100 256\n"                  \
    "##tensor blk.0.attn_q f16 256 256\n##tensor blk.0.attn_output f16 256 256\n"      \
    "##tensor blk.0.ffn_down f16 256 512\n##tensor blk.0.ffn_gate_inp f32 4 256\n"     \
    "##tensor blk.1.attn_q f16 256 256\n##tensor blk.1.attn_output f16 256 256\n"      \
    "##tensor blk.1.ffn_down f16 256 96\n"                                             \
    "##file 1000 32 rest=320 container=gguf st_header=900 st_rest=300 n_layer=2 "      \
    "tied=0 arch=llama name=m\n#unit\tscore\tparams\n"

static struct mpq_layout layout;

static void
open_layout(void)
{
    struct mpq_err err = { 0 };
    struct mpq_tsv *t;

    ck_assert_int_eq(mpq_tsv_parse(&t, SHAPE, strlen(SHAPE), "m", NULL, &err), 0);
    ck_assert_msg(mpq_layout_from_tsv(&layout, t, &err) == 0, "%s", err.text);
    mpq_tsv_free(t);
}

static void
close_layout(void)
{
    mpq_layout_free(&layout);
}

static int
read_text(struct mpq_plan *p, const char *text, struct mpq_err *err)
{
    struct mpq_tsv *t;

    *err = (struct mpq_err){ 0 };
    *p = (struct mpq_plan){ 0 };
    if (text[0] != '#' || !strchr(text, '\t'))
        return mpq_plan_from_lines(p, text, strlen(text), "x", &layout, err);
    if (mpq_tsv_parse(&t, text, strlen(text), "x", "plan", err) < 0)
        return -1;
    int rc = mpq_plan_from_tsv(p, t, &layout, err);
    mpq_tsv_free(t);
    return rc;
}

static const char *
type_of(const struct mpq_plan *p, const char *name)
{
    static char text[MPQ_TYPE_NAME_MAX];
    size_t i;

    ck_assert_int_eq(mpq_index_find(&layout.index, name, &i), 1);
    return mpq_type_name(p->types[i], text);
}

static void
same_types(const struct mpq_plan *a, const struct mpq_plan *b)
{
    for (size_t i = 0; i < layout.n; i++)
        ck_assert_msg(mpq_type_eq(a->types[i], b->types[i]), "%s",
                      layout.matrices[i].name);
}

/* Every table below has these, so that only what is tested is missing. */
#define REST "token_embd\tq8_0\noutput\tq6_k\nblk.0.ffn_gate_inp\tf32\n"
#define HEAD "#unit\ttype\n"

START_TEST(a_layer_covers_its_linear_weights_and_a_row_of_ones_own_wins)
{
    struct mpq_plan p;
    struct mpq_err err;

    ck_assert_msg(read_text(&p,
                            HEAD REST "blk.0.ffn_down\tQ5_K\nblk.0\tq2_k\n"
                                      "blk.1\tq4_0\n",
                            &err) == 0,
                  "%s", err.text);
    ck_assert_str_eq(type_of(&p, "blk.0.attn_q"), "q2_k");
    ck_assert_str_eq(type_of(&p, "blk.0.ffn_down"), "q5_k");
    ck_assert_str_eq(type_of(&p, "blk.0.ffn_gate_inp"), "f32");
    ck_assert_str_eq(type_of(&p, "blk.1.ffn_down"), "q4_0");
    mpq_plan_free(&p);
}
END_TEST

START_TEST(a_layers_type_need_not_fit_a_matrix_that_has_its_own)
{
    struct mpq_plan p;
    struct mpq_err err;

    ck_assert_msg(
        read_text(&p, HEAD REST "blk.0\tq2_k\nblk.1\tq2_k\nblk.1.ffn_down\tq4_0\n",
                  &err) == 0,
        "%s", err.text);
    ck_assert_str_eq(type_of(&p, "blk.1.attn_q"), "q2_k");
    mpq_plan_free(&p);
}
END_TEST

static const struct {
    const char *in, *says;
} bad[] = {
    { "#unit\tbits\n", "x: no column type" },
    { HEAD "blk.0\tq9\n", "x:2: unit blk.0: unknown type q9" },
    { HEAD "blk.2\tq4_0\n", "x:2: unit blk.2 is no layer or matrix of the model" },
    { HEAD "blk.00\tq4_0\n", "x:2: unit blk.00 is no layer or matrix" },
    { HEAD "blk.0.attn_norm\tf32\n", "unit blk.0.attn_norm is no layer or matrix" },
    { HEAD "blk\\.0\tq4_0\n", "is no layer or matrix" },
    { HEAD "blk.0\tq4_0\nblk.0\tq4_0\n", "x:3: a second row for unit blk.0" },
    { HEAD "output\tq4_0\noutput\tq4_0\n", "x:3: a second row for unit output" },
    { HEAD REST "blk.0\tq4_0\n", "x: no row for blk.1.attn_q, neither of its own nor" },
    { HEAD "blk.1.ffn_down\tq2_k\n",
      "x:2: q2_k needs rows of a multiple of 256, blk.1.ffn_down has 96" },
    { HEAD REST "blk.0\tq4_0\nblk.1\tq2_k\n",
      "x: q2_k needs rows of a multiple of 256, blk.1.ffn_down has 96" },
    /* tensor-type files */
    { "attn_q=q4_0 ffn_up=q4_0", "x:1: pattern ffn_up matches no matrix of the model" },
    { "blk=q4_0\nattn_q=q5_0", "x:2: pattern attn_q comes too late" },
    { "attn_q", "x:1: attn_q: PATTERN=TYPE expected" },
    { "=q4_0", "x:1: =q4_0: PATTERN=TYPE expected" },
    { "attn_q=q9", "x:1: pattern attn_q: unknown type q9" },
    { "\n\nffn_down=q4_k", "x:3: q4_k needs rows of a multiple of 256" },
    { "# nothing\n", "x: neither a plan nor PATTERN=TYPE lines" },
    { "a{9999}{9999}=q4_0", "{ }, which is not supported" },
    { "(a=q4_0", "( without )" },
    { "a)=q4_0", ") without (" },
    { "*=q4_0", "nothing to repeat" },
    { "a**=q4_0", "nothing to repeat" },
    { "[a=q4_0", "[ without ]" },
    { "[]a]=q4_0", "an empty [ ]" },
    { "[[:alpha:]]=q4_0", "[ within [ ]" },
    { "(a)\\1=q4_0", "an escape that is not supported" },
    { "a\\=q4_0", "an escape that is not supported" },
    { "(?!a)b=q4_0", "look-around, which is not supported" },
    { "(|a)=q4_0", "an empty alternative" },
    { "(a|)=q4_0", "an empty alternative" },
    { "a|=q4_0", "an empty alternative" },
    { "()=q4_0", "an empty alternative" },
    /* regcomp would copy what + repeats: 2^28 of them */
    { "(((((((((((((((((((((((((((a+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+"
      ")+=q4_0",
      "too many + within +" },
    { "((((((a+)b)+|c)*(d+))+)+)+=q4_0", "too many + within +" },
};

START_TEST(what_would_not_apply_as_written_is_refused)
{
    struct mpq_plan p;
    struct mpq_err err;

    ck_assert_int_eq(read_text(&p, bad[_i].in, &err), -1);
    ck_assert_int_eq(err.code, MPQ_EDATA);
    ck_assert_msg(strstr(err.text, bad[_i].says) != NULL, "%s", err.text);
    ck_assert_ptr_null(p.types);
}
END_TEST

START_TEST(a_word_or_pattern_without_end_is_refused)
{
    struct mpq_plan p;
    struct mpq_err err;
    char word[1200], groups[200];

    memset(word, 'a', sizeof word);
    word[sizeof word - 1] = '\0';
    ck_assert_int_eq(read_text(&p, word, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "a word of more than 1024 bytes"));
    memset(groups, '(', 100);
    memset(groups + 100, ')', 80);
    strcpy(groups + 180, "=q4_0");
    ck_assert_int_eq(read_text(&p, groups, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "too many groups"));
}
END_TEST

/* Which matrices a pattern finds; as std::regex_search would have it, by hand. */
static const struct {
    const char *pattern, *name;
    int hit;
} found[] = {
    { "attn_q", "blk.0.attn_q", 1 },
    { "output", "blk.0.attn_output", 1 }, /* the trap: it is not only `output` */
    { "^output", "blk.0.attn_output", 0 },
    { "^output\\.weight$", "output", 1 },
    { "ATTN_Q", "blk.1.attn_q", 1 },
    { "blk\\.(0|[2-9])\\.", "blk.0.attn_q", 1 },
    { "blk\\.(0|[2-9])\\.", "blk.1.attn_q", 0 },
    { "blk\\.\\d+\\.ffn_(down|up)\\.weight$", "blk.1.ffn_down", 1 },
    { "blk\\.[\\d]\\.attn", "blk.1.ffn_down", 0 },
    { "(?:attn|ffn)_\\w+?\\.weight", "blk.1.ffn_down", 1 },
    { "blk.1.attn-?_q", "blk.1.attn_q", 1 },
};

START_TEST(patterns_find_what_llama_quantize_finds)
{
    struct mpq_plan p;
    struct mpq_err err;
    char text[256];

    snprintf(text, sizeof text, "%s=q5_0", found[_i].pattern);
    ck_assert_msg(read_text(&p, text, &err) == 0, "%s", err.text);
    ck_assert_int_eq(strcmp(type_of(&p, found[_i].name), "q5_0") == 0, found[_i].hit);
    mpq_plan_free(&p);
}
END_TEST

START_TEST(the_first_pattern_wins_and_the_unnamed_are_kept_and_counted)
{
    struct mpq_plan p;
    struct mpq_err err;

    ck_assert_int_eq(read_text(&p, "blk\\.1=q4_0 attn=q8_0", &err), 0);
    ck_assert_str_eq(type_of(&p, "blk.1.attn_q"), "q4_0");
    ck_assert_str_eq(type_of(&p, "blk.0.attn_q"), "q8_0");
    ck_assert_str_eq(type_of(&p, "output"), "f16");
    ck_assert_uint_eq(p.n_unnamed, 4); /* token_embd output ffn_down ffn_gate_inp */
    mpq_plan_free(&p);
}
END_TEST

/* Writes P as a table to a scratch file and gives its text. */
static char *
written(const struct mpq_plan *p)
{
    static const char *const info[] = { "tool", "t", NULL };
    struct mpq_tsv_writer w;
    struct mpq_err err = { 0 };
    struct mpq_out *out;
    char path[] = "/tmp/t_plan.XXXXXX";
    char *text = calloc(1, 10000);

    close(mkstemp(path));
    ck_assert_int_eq(mpq_out_open(&out, path, &err), 0);
    ck_assert_int_eq(mpq_tsv_begin(&w, out, "plan", info, &err), 0);
    ck_assert_msg(mpq_plan_write(p, &w, &err) == 0, "%s", err.text);
    ck_assert_int_eq(mpq_tsv_end(&w, &err), 0);
    ck_assert_int_eq(mpq_out_close(out, &err), 0);
    FILE *f = fopen(path, "r");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_gt(fread(text, 1, 9999, f), 0);
    fclose(f);
    unlink(path);
    return text;
}

START_TEST(a_written_plan_has_every_matrix_and_reads_back)
{
    struct mpq_plan p, q;
    struct mpq_err err;

    ck_assert_int_eq(read_text(&p,
                               HEAD REST "blk.0.ffn_down\tQ5_K\nblk.0\tq2_k\n"
                                         "blk.1\tq4_0\n",
                               &err),
                     0);
    char *text = written(&p);
    /* by hand: q2_k 84 bytes for 256, q5_k 176 for 256, q4_0 18 for 32 */
    ck_assert_msg(strstr(text, "#unit\ttype\tbits\tparams\tbytes\n"
                               "token_embd\tq8_0\t8.5\t25600\t27200\n"
                               "output\tq6_k\t6.5625\t25600\t21000\n"
                               "blk.0\tq2_k\t2.625\t131072\t43008\n"
                               "blk.0.ffn_down\tq5_k\t5.5\t131072\t90112\n"
                               "blk.0.ffn_gate_inp\tf32\t32\t1024\t4096\n"
                               "blk.1\tq4_0\t4.5\t155648\t87552\n##end 6 ") != NULL,
                  "%s", text);
    ck_assert_int_eq(read_text(&q, text, &err), 0);
    same_types(&p, &q);
    mpq_plan_free(&p);
    mpq_plan_free(&q);
    free(text);
}
END_TEST

START_TEST(lines_for_llama_quantize_are_anchored_escaped_and_read_back)
{
    struct mpq_plan p, q;
    struct mpq_err err;
    struct mpq_buf text = { 0 };

    ck_assert_int_eq(read_text(&p, HEAD REST "blk.0\tq2_k\nblk.1\tq4_0\n", &err), 0);
    ck_assert_int_eq(mpq_plan_llama(&p, &text, &err), 0);
    ck_assert_str_eq(text.data, "^token_embd\\.weight$=q8_0\n^output\\.weight$=q6_k\n"
                                "^blk\\.0\\.attn_q\\.weight$=q2_k\n"
                                "^blk\\.0\\.attn_output\\.weight$=q2_k\n"
                                "^blk\\.0\\.ffn_down\\.weight$=q2_k\n"
                                "^blk\\.0\\.ffn_gate_inp\\.weight$=f32\n"
                                "^blk\\.1\\.attn_q\\.weight$=q4_0\n"
                                "^blk\\.1\\.attn_output\\.weight$=q4_0\n"
                                "^blk\\.1\\.ffn_down\\.weight$=q4_0\n"
                                "#--token-embedding-type=q8_0\n"
                                "#--output-tensor-type=q6_k\n");
    ck_assert_msg(read_text(&q, text.data, &err) == 0, "%s", err.text);
    same_types(&p, &q);
    ck_assert_uint_eq(q.n_unnamed, 0);
    mpq_plan_free(&p);
    mpq_plan_free(&q);
    mpq_buf_free(&text);
}
END_TEST

START_TEST(native_types_become_a_map_for_gptqmodel_and_nothing_else_does)
{
    struct mpq_plan p;
    struct mpq_err err;
    struct mpq_buf text = { 0 };

    ck_assert_int_eq(read_text(&p,
                               HEAD "token_embd\tf16\noutput\tf16\n"
                                    "blk.0.ffn_gate_inp\tf32\nblk.0\tint4g128s\n"
                                    "blk.1\tint8\n",
                               &err),
                     0);
    ck_assert_msg(mpq_plan_gptqmodel(&p, &text, &err) == 0, "%s", err.text);
    ck_assert_str_eq(
        text.data,
        "{\n"
        "  \"-:^lm_head$\": {},\n"
        "  \"+:^model\\\\.layers\\\\.0\\\\.self_attn\\\\.q_proj$\": {\"bits\": 4, "
        "\"group_size\": 128, \"sym\": true},\n"
        "  \"+:^model\\\\.layers\\\\.0\\\\.self_attn\\\\.o_proj$\": {\"bits\": 4, "
        "\"group_size\": 128, \"sym\": true},\n"
        "  \"+:^model\\\\.layers\\\\.0\\\\.mlp\\\\.down_proj$\": {\"bits\": 4, "
        "\"group_size\": 128, \"sym\": true},\n"
        "  \"+:^model\\\\.layers\\\\.1\\\\.self_attn\\\\.q_proj$\": {\"bits\": 8, "
        "\"group_size\": -1, \"sym\": false},\n"
        "  \"+:^model\\\\.layers\\\\.1\\\\.self_attn\\\\.o_proj$\": {\"bits\": 8, "
        "\"group_size\": -1, \"sym\": false},\n"
        "  \"+:^model\\\\.layers\\\\.1\\\\.mlp\\\\.down_proj$\": {\"bits\": 8, "
        "\"group_size\": -1, \"sym\": false}\n"
        "}\n");
    mpq_buf_free(&text);
    ck_assert_int_eq(mpq_plan_llama(&p, &text, &err), -1);
    ck_assert_str_eq(err.text, "blk.0.attn_q: llama-quantize has no type int4g128s");
    mpq_plan_free(&p);
    mpq_buf_free(&text);
    ck_assert_int_eq(read_text(&p, HEAD REST "blk.0\tq2_k\nblk.1\tq4_0\n", &err), 0);
    ck_assert_int_eq(mpq_plan_gptqmodel(&p, &text, &err), -1);
    ck_assert_str_eq(err.text, "output: GPTQModel takes intB[gN][s] or floats, not q6_k"
                               " (--runtime vllm offers those)");
    mpq_plan_free(&p);
    mpq_buf_free(&text);
}
END_TEST

Suite *
mpq_suite(void)
{
    Suite *s = suite_create("plan");
    TCase *tc = tcase_create("plan");

    tcase_add_checked_fixture(tc, open_layout, close_layout);
    tcase_add_test(tc, a_layer_covers_its_linear_weights_and_a_row_of_ones_own_wins);
    tcase_add_test(tc, a_layers_type_need_not_fit_a_matrix_that_has_its_own);
    tcase_add_loop_test(tc, what_would_not_apply_as_written_is_refused, 0,
                        sizeof bad / sizeof *bad);
    tcase_add_test(tc, a_word_or_pattern_without_end_is_refused);
    tcase_add_loop_test(tc, patterns_find_what_llama_quantize_finds, 0,
                        sizeof found / sizeof *found);
    tcase_add_test(tc, the_first_pattern_wins_and_the_unnamed_are_kept_and_counted);
    tcase_add_test(tc, a_written_plan_has_every_matrix_and_reads_back);
    tcase_add_test(tc, lines_for_llama_quantize_are_anchored_escaped_and_read_back);
    tcase_add_test(tc, native_types_become_a_map_for_gptqmodel_and_nothing_else_does);
    suite_add_tcase(s, tc);
    return s;
}
