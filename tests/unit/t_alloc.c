#include "suite.h"

#include "method/alloc.h"
#include "quant/codec.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A layer of SmolLM2-135M: rows of 576 but for ffn_down's 1,536; 3,538,944 weights. */
#define LAYER(n)                                                                       \
    "##tensor blk." n ".attn_q f16 576 576\n##tensor blk." n ".attn_k f16 192 576\n"   \
    "##tensor blk." n ".attn_v f16 192 576\n##tensor blk." n                           \
    ".attn_output f16 576 576\n##tensor blk." n ".ffn_gate f16 1536 576\n##tensor "    \
    "blk." n ".ffn_up f16 1536 576\n##tensor blk." n ".ffn_down f16 576 1536\n"
#define TAIL(tied)                                                                     \
    "##file 5000 32 rest=4672 container=gguf st_header=3000 st_rest=4608 n_layer=2 "   \
    "tied=" tied " arch=llama name=m\n"
#define SMOL "##tensor token_embd q8_0 1000 576\n" LAYER("0") LAYER("1") TAIL("1")
#define UNTIED                                                                         \
    "##tensor token_embd q8_0 1000 576\n##tensor output f16 1000 576\n" LAYER("0")     \
        LAYER("1") TAIL("0")
#define SCORES "#unit\tscore\tparams\nblk.0\t1\t3538944\nblk.1\t3\t3538944\n"
enum { N_LAYER_PARAMS = 3538944, N_DOWN = 576 * 1536 };

static struct mpq_tsv *table;
static struct mpq_layout layout;
static struct mpq_rules rules;
static struct mpq_policy policy;
static struct mpq_damage damage;
static struct mpq_alloc *alloc;
static struct mpq_plan plan;
static struct mpq_alloc_result result;
static struct mpq_err err;

static void
setup(void)
{
    err = (struct mpq_err){ 0 };
    policy = (struct mpq_policy){ 0 };
}

static void
teardown(void)
{
    free(result.pick);
    result.pick = NULL;
    mpq_plan_free(&plan);
    mpq_alloc_free(alloc);
    alloc = NULL;
    mpq_damage_free(&damage);
    mpq_rules_free(&rules);
    mpq_layout_free(&layout);
    mpq_tsv_free(table);
    table = NULL;
    mpq_policy_free(&policy);
}

/* Everything up to the problem itself, for POLICY as it stands. */
static int
make(const char *text, const char *runtime, int by_size)
{
    ck_assert_msg(mpq_tsv_parse(&table, text, strlen(text), "x", NULL, &err) == 0, "%s",
                  err.text);
    ck_assert_msg(mpq_layout_from_tsv(&layout, table, &err) == 0, "%s", err.text);
    ck_assert_int_eq(mpq_rules_find(&rules, runtime, &err), 0);
    ck_assert_msg(mpq_damage_read(&damage, table, &layout, &err) == 0, "%s", err.text);
    return mpq_alloc_new(&alloc, &layout, &rules, &policy, &damage, by_size, &err);
}

/* The solution and its plan; those of the last call are freed. */
static void
solve(enum mpq_alloc_method method, uint64_t budget)
{
    free(result.pick);
    mpq_plan_free(&plan);
    ck_assert_msg(mpq_alloc_solve(alloc, method, budget, 1, &result, &err) == 0, "%s",
                  err.text);
    ck_assert_int_eq(mpq_alloc_plan(alloc, &result, &plan, &err), 0);
    ck_assert_uint_le(result.size, budget);
}

static void
types(const char *list)
{
    ck_assert_int_eq(mpq_policy_types(&policy, list, "-t", &err), 0);
}

static void
pin(const char *text)
{
    ck_assert_int_eq(mpq_policy_pin(&policy, text, "--pin", &err), 0);
}

static void
tie(const char *text)
{
    ck_assert_int_eq(mpq_policy_tie(&policy, text, "--tie", &err), 0);
}

static const char *
type_of(const char *name)
{
    static char text[MPQ_TYPE_NAME_MAX];
    size_t i;

    ck_assert_int_eq(mpq_index_find(&layout.index, name, &i), 1);
    return mpq_type_name(plan.types[i], text);
}

START_TEST(k_quants_are_offered_where_256_divides_the_row_and_a_note_says_so)
{
    policy.split = MPQ_SPLIT_TENSOR;
    types("q2_k,q4_0,q4_k,q8_0");
    ck_assert_msg(make(SMOL SCORES, "llama.cpp", 1) == 0, "%s", err.text);
    ck_assert_str_eq(mpq_alloc_notes(alloc),
                     "not offered: q2_k q4_k, where rows of 576 are no multiple of 256 "
                     "(token_embd attn_q attn_k attn_v attn_output ffn_gate ffn_up)\n"
                     "no score, so the median: token_embd\n");
    /* the least: q4_0 and, in ffn_down, q2_k */
    uint64_t low, high;
    mpq_alloc_interval(alloc, &low, &high);
    solve(MPQ_ALLOC_EXACT, low);
    for (size_t i = 0; i < layout.n; i++)
        ck_assert_uint_eq(plan.types[i].id, strstr(layout.matrices[i].name, "down")
                                                ? MPQ_Q2_K
                                                : MPQ_Q4_0);
    solve(MPQ_ALLOC_EXACT, high + 1000000);
    for (size_t i = 0; i < layout.n; i++)
        ck_assert_uint_eq(plan.types[i].id, MPQ_Q8_0);
    ck_assert_uint_eq(result.size, high);
}
END_TEST

START_TEST(a_whole_layer_takes_only_what_all_of_it_can)
{
    uint64_t low, high;

    types("q2_k,q4_0,q4_k,q8_0");
    ck_assert_int_eq(make(SMOL SCORES, "llama.cpp", 0), 0);
    ck_assert_uint_eq(mpq_alloc_units(alloc), 2);
    ck_assert_ptr_nonnull(strstr(mpq_alloc_notes(alloc), "--split tensor"));
    mpq_alloc_interval(alloc, &low, &high);
    ck_assert_double_eq(mpq_alloc_in_bits(alloc, low), 4.5);
    ck_assert_double_eq(mpq_alloc_in_bits(alloc, high), 8.5);
    solve(MPQ_ALLOC_EXACT, mpq_alloc_bits_budget(alloc, 6.5));
    ck_assert_str_eq(type_of("blk.0.ffn_down"), "q4_0");
    ck_assert_str_eq(type_of("blk.1.ffn_down"), "q8_0");
    ck_assert_str_eq(type_of("token_embd"), "q8_0");
    ck_assert_double_eq(result.mean_bits, 6.5);
    ck_assert_int_eq(result.optimal, 1);
    /* by hand: 1 * e(q4_0) and 3 * e(q8_0), each on 3,538,944 weights */
    ck_assert_double_eq_tol(
        result.damage,
        (mpq_type_error(MPQ_TYPE(MPQ_Q4_0)) + 3 * mpq_type_error(MPQ_TYPE(MPQ_Q8_0))) *
            N_LAYER_PARAMS,
        1e-9 * result.damage);
    /* by hand: header, rest, the embedding's 1000 rows of 18 blocks, the layers */
    ck_assert_uint_eq(result.file_bytes,
                      5000 + 4672 + 1000 * 18 * 34 + N_LAYER_PARAMS / 32 * (18 + 34));
}
END_TEST

START_TEST(a_budget_below_the_smallest_plan_says_which_that_is)
{
    types("q4_0,q8_0");
    ck_assert_int_eq(make(SMOL SCORES, "llama.cpp", 0), 0);
    ck_assert_int_eq(mpq_alloc_solve(alloc, MPQ_ALLOC_EXACT,
                                     mpq_alloc_bits_budget(alloc, 4.25), 0, &result,
                                     &err),
                     -1);
    ck_assert_int_eq(err.code, MPQ_ENOFIT);
    ck_assert_str_eq(err.text, "budget of 4.25 mean bits: the smallest plan that these "
                               "types allow has 4.5");
}
END_TEST

START_TEST(a_size_counts_header_rest_and_padding)
{
    types("q4_0,q8_0");
    ck_assert_int_eq(make(UNTIED SCORES, "llama.cpp", 1), 0);
    uint64_t low, high, want = 5000 + 4672 + 2 * 1000 * 18 * 18;
    mpq_alloc_interval(alloc, &low, &high);
    want += 2 * (uint64_t)N_LAYER_PARAMS / 32 * 18;
    ck_assert_uint_eq(low, want); /* all of these are multiples of 32 */
    solve(MPQ_ALLOC_EXACT, want);
    ck_assert_uint_eq(result.file_bytes, want);
    free(result.pick);
    result.pick = NULL;
    ck_assert_int_eq(
        mpq_alloc_solve(alloc, MPQ_ALLOC_EXACT, want - 1, 0, &result, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "the smallest file that these types allow"));
}
END_TEST

START_TEST(nominal_bits_leave_scales_out)
{
    policy.nominal = 1;
    types("q4_0,q8_0");
    ck_assert_int_eq(make(SMOL SCORES, "llama.cpp", 0), 0);
    solve(MPQ_ALLOC_EXACT, mpq_alloc_bits_budget(alloc, 6));
    ck_assert_double_eq(result.mean_bits, 6);
    ck_assert_str_eq(type_of("blk.1.attn_q"), "q8_0");
    ck_assert_str_eq(type_of("blk.0.attn_q"), "q4_0");
}
END_TEST

START_TEST(pins_hold_the_more_precise_first_and_then_the_later)
{
    types("q4_0,q8_0");
    pin("ffn_down=q6_k");
    pin("blk.0.ffn_down=keep");
    pin("attn_v=q5_0");
    pin("attn_v=q5_1");
    pin("blk.1=q8_0");
    pin("output=q5_0"); /* of a tied model: the embedding */
    ck_assert_msg(make(SMOL SCORES, "llama.cpp", 0) == 0, "%s", err.text);
    solve(MPQ_ALLOC_EXACT, mpq_alloc_bits_budget(alloc, 9));
    ck_assert_str_eq(type_of("token_embd"), "q5_0");
    ck_assert_str_eq(type_of("blk.0.ffn_down"), "f16");
    ck_assert_str_eq(type_of("blk.0.attn_v"), "q5_1");
    ck_assert_str_eq(type_of("blk.1.ffn_down"), "q8_0");
    ck_assert_str_eq(type_of("blk.1.attn_v"), "q8_0");
    ck_assert_str_eq(type_of("blk.0.ffn_up"), "q4_0");
    /* what is pinned counts: 16 bits of ffn_down are in the mean */
    double bits = 16.0 * N_DOWN + 6.0 * 192 * 576 +
                  4.5 * (N_LAYER_PARAMS - N_DOWN - 192 * 576) + 8.5 * N_LAYER_PARAMS;
    ck_assert_double_eq_tol(result.mean_bits, bits / (2.0 * N_LAYER_PARAMS), 1e-12);
}
END_TEST

START_TEST(tied_matrices_get_one_type_and_one_pin)
{
    policy.split = MPQ_SPLIT_TENSOR;
    types("q4_0,q5_0,q8_0");
    tie("attn_q,attn_k,attn_v");
    tie("blk.0.ffn_up,blk.1.ffn_up");
    pin("blk.1.attn_k=q5_0");
    ck_assert_msg(make(SMOL SCORES, "llama.cpp", 0) == 0, "%s", err.text);
    /* layer 0: qkv, output, gate, down; layer 1 the same less qkv; up of both */
    ck_assert_uint_eq(mpq_alloc_units(alloc), 4 + 3 + 1);
    for (int i = 0; i < 12; i++) {
        solve(MPQ_ALLOC_EXACT, mpq_alloc_bits_budget(alloc, 5 + 0.25 * i));
        const char *q = type_of("blk.0.attn_q");
        char kept[MPQ_TYPE_NAME_MAX];
        snprintf(kept, sizeof kept, "%s", q);
        ck_assert_str_eq(type_of("blk.0.attn_k"), kept);
        ck_assert_str_eq(type_of("blk.0.attn_v"), kept);
        ck_assert_str_eq(type_of("blk.1.attn_q"), "q5_0");
        ck_assert_str_eq(type_of("blk.1.attn_v"), "q5_0");
        snprintf(kept, sizeof kept, "%s", type_of("blk.0.ffn_up"));
        ck_assert_str_eq(type_of("blk.1.ffn_up"), kept);
    }
}
END_TEST

static const struct {
    const char *pin1, *pin2, *tie, *says;
} bad[] = {
    { "ffn_foo=q4_0", NULL, NULL, "--pin: ffn_foo is no matrix, layer or kind" },
    { "blk.7=q4_0", NULL, NULL, "--pin: blk.7 is no matrix, layer or kind" },
    { "attn_q=q4_k", NULL, NULL,
      "--pin: blk.0.attn_q: q4_k needs rows of a multiple of 256, these have 576" },
    { "attn_q=iq2_xs", NULL, NULL, "mpq-pack does not write iq2_xs" },
    { "attn_q=int4g128", NULL, NULL, "llama.cpp does not load int4g128" },
    { NULL, NULL, "attn_q,attn_kk", "--tie: attn_kk is no matrix, layer or kind" },
    { "attn_q=q4_0", "attn_k=q8_0", "attn_q,attn_k",
      "--pin: attn_k and attn_q (--pin) are tied and differ" },
};

START_TEST(pins_and_ties_that_cannot_hold_are_refused)
{
    types("q4_0,q8_0");
    if (bad[_i].pin1)
        pin(bad[_i].pin1);
    if (bad[_i].pin2)
        pin(bad[_i].pin2);
    if (bad[_i].tie)
        tie(bad[_i].tie);
    ck_assert_int_eq(make(SMOL SCORES, "llama.cpp", 0), -1);
    ck_assert_int_eq(err.code, MPQ_EDATA);
    ck_assert_msg(strstr(err.text, bad[_i].says) != NULL, "%s", err.text);
}
END_TEST

START_TEST(no_legal_type_at_all_is_no_fit)
{
    types("q2_k,q4_k");
    ck_assert_int_eq(make(SMOL SCORES, "llama.cpp", 0), -1);
    ck_assert_int_eq(err.code, MPQ_ENOFIT);
    ck_assert_str_eq(
        err.text, "blk.0: no legal type: q2_k q4_k: takes rows of a multiple of 256, "
                  "blk.0.attn_q has 576; legal there: f32 f16 bf16 q8_0 q5_1 q5_0 "
                  "q4_1 q4_0 iq4_nl");
}
END_TEST

START_TEST(types_that_nobody_loads_or_writes_are_named)
{
    types("int4g128,q8_0");
    ck_assert_int_eq(make(SMOL SCORES, "llama.cpp", 0), 0);
    ck_assert_str_eq(mpq_alloc_notes(alloc),
                     "not offered: int4g128: llama.cpp does not load it\n");
    teardown();
    setup();
    types("iq2_xs,q8_0");
    ck_assert_int_eq(make(SMOL SCORES, "llama.cpp", 0), -1);
    ck_assert_int_eq(err.code, MPQ_EUSAGE);
    ck_assert_ptr_nonnull(strstr(err.text, "mpq-pack does not write iq2_xs"));
}
END_TEST

/* A model that is quantized already: a layer of one type, one of two, and a matrix of a
 * type that nobody but its maker writes. */
#define QUANTIZED                                                                      \
    "##tensor token_embd iq2_xs 100 256\n"                                             \
    "##tensor blk.0.attn_q q4_1 256 256\n##tensor blk.0.ffn_down q4_1 256 256\n"       \
    "##tensor blk.1.attn_q q4_0 256 256\n##tensor blk.1.ffn_down q8_0 256 256\n" TAIL( \
        "1") "#unit\tscore\tparams\nblk.0\t1\t131072\nblk.1\t3\t131072\n"

START_TEST(what_stays_costs_nothing_and_nothing_wider_is_offered)
{
    static const enum mpq_alloc_method methods[] = { MPQ_ALLOC_EXACT, MPQ_ALLOC_UNIFORM,
                                                     MPQ_ALLOC_RANDOM };
    uint64_t low, high;

    policy.split = _i / 3 ? MPQ_SPLIT_TENSOR : MPQ_SPLIT_LAYER;
    ck_assert_msg(make(QUANTIZED, "llama.cpp", 1) == 0, "%s", err.text);
    mpq_alloc_interval(alloc, &low, &high);
    /* by hand: blocks of 74 bytes in 256, of 20, 18 and 34 in 32 */
    ck_assert_uint_eq(high, 5000 + 4672 + (100 * 74 + 31) / 32 * 32 +
                                65536 / 32 * (20 + 20 + 18 + 34));
    solve(methods[_i % 3], high + 1000000);
    ck_assert_uint_eq(result.size, high);
    ck_assert_double_eq(result.damage, 0);
    for (size_t i = 0; i < layout.n; i++)
        ck_assert(mpq_type_eq(plan.types[i], layout.matrices[i].type));
    /* a row of a layer has one type */
    ck_assert_int_eq(plan.by_layer[1], _i < 3);
    ck_assert_int_eq(plan.by_layer[3], 0);
    solve(methods[_i % 3], high - 1);
    for (size_t i = 0; i < layout.n; i++)
        ck_assert_double_le(mpq_type_bpw(plan.types[i], 256),
                            _i < 3 ? 8.5 : mpq_type_bpw(layout.matrices[i].type, 256));
}
END_TEST

START_TEST(types_that_are_listed_are_offered_wider_or_not)
{
    types("q2_k,q8_0");
    ck_assert_msg(make(QUANTIZED, "llama.cpp", 0) == 0, "%s", err.text);
    solve(MPQ_ALLOC_EXACT, mpq_alloc_bits_budget(alloc, 9));
    ck_assert_str_eq(type_of("blk.0.attn_q"), "q8_0");
    ck_assert_str_eq(type_of("blk.1.attn_q"), "q8_0");
    teardown();
    setup();
    types("keep,q2_k");
    ck_assert_msg(make(QUANTIZED, "llama.cpp", 0) == 0, "%s", err.text);
    solve(MPQ_ALLOC_EXACT, mpq_alloc_bits_budget(alloc, 4.6));
    ck_assert_str_eq(type_of("blk.0.attn_q"), "q2_k"); /* (2.625 + 6.5) / 2 = 4.5625 */
    ck_assert_str_eq(type_of("blk.1.attn_q"), "q4_0");
    ck_assert_str_eq(type_of("blk.1.ffn_down"), "q8_0");
}
END_TEST

START_TEST(a_runtime_that_does_not_load_the_present_types_is_offered_all_of_its_own)
{
    ck_assert_msg(make(QUANTIZED, "vllm", 0) == 0, "%s", err.text);
    solve(MPQ_ALLOC_EXACT, mpq_alloc_bits_budget(alloc, 64));
    ck_assert_str_eq(type_of("blk.0.attn_q"), "f32");
}
END_TEST

START_TEST(one_more_mib_takes_off_no_more_than_there_is)
{
    struct mpq_alloc_result more;
    uint64_t low, high;

    policy.split = MPQ_SPLIT_TENSOR;
    ck_assert_int_eq(make(SMOL SCORES, "llama.cpp", 1), 0);
    mpq_alloc_interval(alloc, &low, &high);
    for (uint64_t budget = low; budget < high; budget += (high - low) / 9) {
        solve(MPQ_ALLOC_EXACT, budget);
        ck_assert_int_eq(mpq_alloc_price(alloc, &result, &err), 0);
        ck_assert_int_eq(
            mpq_alloc_solve(alloc, MPQ_ALLOC_EXACT, budget + 1048576, 1, &more, &err),
            0);
        free(more.pick);
        ck_assert_double_eq_tol(result.price_per_mib, result.damage - more.damage,
                                1e-9 * result.damage);
    }
}
END_TEST

START_TEST(rest_is_for_embedding_and_output)
{
    policy.has_rest = 1;
    policy.rest = MPQ_TYPE(MPQ_Q5_0);
    types("q4_0");
    ck_assert_int_eq(make(UNTIED SCORES, "llama.cpp", 0), 0);
    solve(MPQ_ALLOC_EXACT, mpq_alloc_bits_budget(alloc, 4.5));
    ck_assert_str_eq(type_of("token_embd"), "q5_0");
    ck_assert_str_eq(type_of("output"), "q5_0");
    ck_assert_double_eq(result.mean_bits, 4.5);
}
END_TEST

#define DAMAGES                                                                        \
    "#unit\ttype\tbits\tparams\tdamage\tse\n"                                          \
    "blk.0\tq4_0\t4.5\t3538944\t10\t0\nblk.0\tq8_0\t8.5\t3538944\t1\t0\n"              \
    "blk.1\tq4_0\t4.5\t3538944\t9\t2\nblk.1\tq8_0\t8.5\t3538944\t1\t0\n"

START_TEST(risk_counts_standard_errors_as_damage)
{
    ck_assert_int_eq(make(SMOL DAMAGES, "llama.cpp", 0), 0);
    solve(MPQ_ALLOC_EXACT, mpq_alloc_bits_budget(alloc, 6.5));
    ck_assert_str_eq(type_of("blk.0.attn_q"), "q8_0");
    ck_assert_double_eq_tol(result.damage, 10, 1e-12);
    teardown();
    setup();
    policy.risk = 1;
    ck_assert_int_eq(make(SMOL DAMAGES, "llama.cpp", 0), 0);
    solve(MPQ_ALLOC_EXACT, mpq_alloc_bits_budget(alloc, 6.5));
    ck_assert_str_eq(type_of("blk.1.attn_q"), "q8_0");
    ck_assert_double_eq_tol(result.damage, 11, 1e-12);
    teardown();
    setup();
    policy.risk = 1;
    ck_assert_int_eq(make(SMOL SCORES, "llama.cpp", 0), -1);
    ck_assert_int_eq(err.code, MPQ_EUSAGE);
}
END_TEST

START_TEST(a_type_without_its_damage_is_an_error)
{
    types("q4_0,q5_0,q8_0");
    ck_assert_int_eq(make(SMOL DAMAGES, "llama.cpp", 0), -1);
    ck_assert_int_eq(err.code, MPQ_EDATA);
    ck_assert_str_eq(err.text, "x: no row for unit blk.0, q5_0");
}
END_TEST

START_TEST(topk_wants_two_types)
{
    types("q4_0,q5_0,q8_0");
    ck_assert_int_eq(make(SMOL SCORES, "llama.cpp", 0), 0);
    ck_assert_int_eq(mpq_alloc_solve(alloc, MPQ_ALLOC_TOPK,
                                     mpq_alloc_bits_budget(alloc, 6), 0, &result, &err),
                     -1);
    ck_assert_int_eq(err.code, MPQ_EUSAGE);
    ck_assert_ptr_nonnull(
        strstr(err.text, "topk takes two types (-t LOW,HIGH), not 3"));
}
END_TEST

START_TEST(every_method_obeys_the_budget_and_the_bound)
{
    static const char *const names[] = { "exact",   "topk",   "greedy",  "lagrange",
                                         "uniform", "random", "inverted" };
    enum mpq_alloc_method m;

    policy.split = MPQ_SPLIT_TENSOR;
    types("q4_0,q8_0");
    ck_assert_int_eq(make(SMOL SCORES, "llama.cpp", 1), 0);
    ck_assert_int_eq(mpq_alloc_method_parse(names[_i], &m), 0);
    uint64_t low, high;
    mpq_alloc_interval(alloc, &low, &high);
    for (uint64_t budget = low; budget < high; budget += (high - low) / 20) {
        solve(m, budget);
        ck_assert_uint_eq(result.file_bytes, result.size);
        ck_assert_double_le(result.bound, result.damage);
    }
    ck_assert_int_eq(mpq_alloc_method_parse("magic", &m), -1);
}
END_TEST

START_TEST(budgets_in_decimals_lose_no_bit)
{
    types("q4_0,q8_0");
    ck_assert_int_eq(make(SMOL SCORES, "llama.cpp", 0), 0);
    ck_assert_uint_eq(mpq_alloc_bits_budget(alloc, 4.5), 9 * (uint64_t)N_LAYER_PARAMS);
    /* 7,077,888 * 4.3 = 30,434,918.4 */
    ck_assert_uint_eq(mpq_alloc_bits_budget(alloc, 4.3), 30434918);
    /* 7,077,888 * 4.625 = 32,735,232, and a little less in doubles */
    ck_assert_uint_eq(mpq_alloc_bits_budget(alloc, 4.625 - 1e-15), 32735232);
}
END_TEST

Suite *
mpq_suite(void)
{
    Suite *s = suite_create("alloc");
    TCase *tc = tcase_create("alloc");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc,
                   k_quants_are_offered_where_256_divides_the_row_and_a_note_says_so);
    tcase_add_test(tc, a_whole_layer_takes_only_what_all_of_it_can);
    tcase_add_test(tc, a_budget_below_the_smallest_plan_says_which_that_is);
    tcase_add_test(tc, a_size_counts_header_rest_and_padding);
    tcase_add_test(tc, nominal_bits_leave_scales_out);
    tcase_add_test(tc, pins_hold_the_more_precise_first_and_then_the_later);
    tcase_add_test(tc, tied_matrices_get_one_type_and_one_pin);
    tcase_add_loop_test(tc, pins_and_ties_that_cannot_hold_are_refused, 0,
                        sizeof bad / sizeof *bad);
    tcase_add_test(tc, no_legal_type_at_all_is_no_fit);
    tcase_add_test(tc, types_that_nobody_loads_or_writes_are_named);
    tcase_add_loop_test(tc, what_stays_costs_nothing_and_nothing_wider_is_offered, 0,
                        6);
    tcase_add_test(tc, types_that_are_listed_are_offered_wider_or_not);
    tcase_add_test(
        tc, a_runtime_that_does_not_load_the_present_types_is_offered_all_of_its_own);
    tcase_add_test(tc, one_more_mib_takes_off_no_more_than_there_is);
    tcase_add_test(tc, rest_is_for_embedding_and_output);
    tcase_add_test(tc, risk_counts_standard_errors_as_damage);
    tcase_add_test(tc, a_type_without_its_damage_is_an_error);
    tcase_add_test(tc, topk_wants_two_types);
    tcase_add_loop_test(tc, every_method_obeys_the_budget_and_the_bound, 0, 7);
    tcase_add_test(tc, budgets_in_decimals_lose_no_bit);
    suite_add_tcase(s, tc);
    return s;
}
