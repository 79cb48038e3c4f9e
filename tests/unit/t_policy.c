#include "suite.h"

#include "model/policy.h"
#include "model/sweep.h"

#include <string.h>

static int
read_policy(struct mpq_policy *p, const char *text, struct mpq_err *err)
{
    struct mpq_recipe *recipe;

    *err = (struct mpq_err){ 0 };
    *p = (struct mpq_policy){ 0 };
    if (mpq_recipe_parse(&recipe, text, strlen(text), "p.yaml", err) < 0)
        return -1;
    int rc = mpq_policy_read(p, recipe, err);
    mpq_recipe_free(recipe);
    return rc;
}

START_TEST(every_key_of_a_policy_is_taken)
{
    struct mpq_policy p;
    struct mpq_err err;

    ck_assert_msg(read_policy(&p,
                              "runtime: vllm\nrules: r.yaml\nmethod: greedy\n"
                              "types: [q2_k, Q4_K]\nbits: 3.25\nnominal: true\n"
                              "rest: q8_0\nrisk: 1.5\nsplit: tensor\n"
                              "pins: { output: q6_k, blk.0: keep }\n"
                              "ties:\n- [attn_q, attn_k]\n- [token_embd, output]\n",
                              &err) == 0,
                  "%s", err.text);
    ck_assert_str_eq(p.runtime, "vllm");
    ck_assert_str_eq(p.rules, "r.yaml");
    ck_assert_str_eq(p.method, "greedy");
    ck_assert_uint_eq(p.n_types, 2);
    ck_assert_uint_eq(p.types[1].id, MPQ_Q4_K);
    ck_assert_double_eq(p.bits, 3.25);
    ck_assert_int_eq(p.nominal, 1);
    ck_assert_int_eq(p.has_rest, 1);
    ck_assert_uint_eq(p.rest.id, MPQ_Q8_0);
    ck_assert_double_eq(p.risk, 1.5);
    ck_assert_int_eq(p.split, MPQ_SPLIT_TENSOR);
    ck_assert_uint_eq(p.n_pins, 2);
    ck_assert_str_eq(p.pins[0].name, "output");
    ck_assert_uint_eq(p.pins[0].type.id, MPQ_Q6_K);
    ck_assert_int_eq(p.pins[1].keep, 1);
    ck_assert_str_eq(p.pins[1].place, "p.yaml:10");
    ck_assert_uint_eq(p.n_ties, 2);
    ck_assert_str_eq(p.ties[1].names.items[1], "output");
    ck_assert_str_eq(p.ties[1].place, "p.yaml:13");
    mpq_policy_free(&p);
}
END_TEST

static const struct {
    const char *in, *says;
} bad[] = {
    { "- a\n", "p.yaml:1: a policy is to be a map, not a list" },
    { "speed: 1\n", "p.yaml:1: unknown key speed" },
    { "types: q4_k\n", "p.yaml:1: types is to be a list, not a word" },
    { "types:\n- q9\n", "p.yaml:2: types: unknown type q9" },
    { "types: [q4_k, q4_K]\n", "p.yaml:1: types: type q4_K comes twice" },
    { "types: [[q4_k]]\n", "p.yaml:1: a type is to be a word, not a list" },
    { "bits: many\n", "p.yaml:1: bits: many is no number of bits" },
    { "bits: -3\n", "p.yaml:1: bits: -3 is no number of bits" },
    { "bits: .nan\n", "p.yaml:1: bits: .nan is no number of bits" },
    { "bits: 65\n", "p.yaml:1: bits: 65 is no number of bits" },
    { "\nsize: 0\n", "p.yaml:2: size: 0 is no size in bytes" },
    { "size: 3XB\n", "p.yaml:1: size: 3XB is no size in bytes" },
    { "bits: 3\nsize: 3M\n", "both bits and size" },
    { "nominal: perhaps\n", "p.yaml:1: nominal: perhaps is no true or false" },
    { "rest: q9\n", "p.yaml:1: rest: q9 is no type" },
    { "risk: -1\n", "p.yaml:1: risk: -1 is no number from 0 to 100" },
    { "risk: 1e308\n", "p.yaml:1: risk: 1e308 is no number from 0 to 100" },
    { "split: row\n", "p.yaml:1: split: row is no split (layer, module, tensor)" },
    { "runtime:\n", "p.yaml:1: runtime: an empty value" },
    { "pins: [a]\n", "p.yaml:1: pins is to be a map, not a list" },
    { "pins:\n  output: q9\n", "p.yaml:2: output: unknown type q9" },
    { "pins:\n  output: [q9]\n",
      "p.yaml:2: a pinned type is to be a word, not a list" },
    { "pins:\n  '': q4_k\n", "p.yaml:2: a pin without a name" },
    { "ties: [a, b]\n", "p.yaml:1: a tie is to be a list, not a word" },
    { "ties:\n- [a]\n", "p.yaml:2: a tie joins two names at least" },
    { "ties:\n- [a, [b]]\n", "p.yaml:2: a name is to be a word, not a list" },
};

START_TEST(broken_policies_are_refused_with_their_line)
{
    struct mpq_policy p;
    struct mpq_err err;

    ck_assert_int_eq(read_policy(&p, bad[_i].in, &err), -1);
    ck_assert_int_eq(err.code, MPQ_EDATA);
    ck_assert_msg(strstr(err.text, bad[_i].says) != NULL, "%s", err.text);
    mpq_policy_free(&p);
}
END_TEST

START_TEST(flags_add_pins_and_ties_and_replace_types)
{
    struct mpq_policy p;
    struct mpq_err err;

    ck_assert_int_eq(read_policy(&p, "types: [q2_k]\npins: { output: q6_k }\n", &err),
                     0);
    ck_assert_int_eq(mpq_policy_types(&p, "q4_0,int3g128s", "-t", &err), 0);
    ck_assert_uint_eq(p.n_types, 2);
    ck_assert_uint_eq(p.types[1].group, 128);
    ck_assert_int_eq(mpq_policy_pin(&p, "output=keep", "--pin", &err), 0);
    ck_assert_uint_eq(p.n_pins, 2);
    ck_assert_int_eq(mpq_policy_tie(&p, "a,b,c", "--tie", &err), 0);
    ck_assert_uint_eq(p.ties[0].names.n, 3);
    mpq_policy_free(&p);
}
END_TEST

static const struct {
    char which;
    const char *in, *says;
} misuse[] = {
    { 't', "q4_k,,q5_k", "-t: an empty word in 'q4_k,,q5_k'" },
    { 't', "", "-t: an empty word in ''" },
    { 't', "q4_k,", "-t: an empty word" },
    { 't', "q9", "-t: unknown type q9" },
    { 't', "q4_k,q4_k", "-t: type q4_k comes twice" },
    { 'p', "output", "--pin takes NAME=TYPE, not 'output'" },
    { 'p', "=q4_k", "--pin: a pin without a name" },
    { 'p', "output=q9", "--pin: output: unknown type q9" },
    { 'i', "a", "--tie: a tie joins two names at least" },
    { 'i', "a,,b", "--tie: an empty word in 'a,,b'" },
};

START_TEST(flags_that_say_nothing_are_misuse)
{
    struct mpq_policy p = { 0 };
    struct mpq_err err = { 0 };
    const char *in = misuse[_i].in;
    int rc = misuse[_i].which == 't'   ? mpq_policy_types(&p, in, "-t", &err)
             : misuse[_i].which == 'p' ? mpq_policy_pin(&p, in, "--pin", &err)
                                       : mpq_policy_tie(&p, in, "--tie", &err);

    ck_assert_int_eq(rc, -1);
    ck_assert_int_eq(err.code, MPQ_EUSAGE);
    ck_assert_msg(strstr(err.text, misuse[_i].says) != NULL, "%s", err.text);
    mpq_policy_free(&p);
}
END_TEST

static const struct {
    const char *text;
    size_t n;
    int by_size;
    const char *second, *last;
} sweeps[] = {
    { "2.5:4.5:0.1", 21, 0, "2.6", "4.5" },
    { "3:3:1", 1, 0, "3", "3" },
    { "3:4:0.3", 4, 0, "3.3", "3.9" },
    { "90M:1.2GiB:500M", 3, 1, "590000000", "1090000000" },
    { "1000B:3000:1000", 3, 1, "2000", "3000" },
};

START_TEST(a_sweep_meets_its_ends_without_drift)
{
    struct mpq_sweep s;
    struct mpq_err err = { 0 };
    char text[32];

    ck_assert_msg(mpq_sweep_parse(&s, sweeps[_i].text, &err) == 0, "%s", err.text);
    ck_assert_uint_eq(s.n, sweeps[_i].n);
    ck_assert_int_eq(s.by_size, sweeps[_i].by_size);
    (void)mpq_sweep_at(&s, s.n - 1, text);
    ck_assert_str_eq(text, sweeps[_i].last);
    if (s.n > 1) {
        (void)mpq_sweep_at(&s, 1, text);
        ck_assert_str_eq(text, sweeps[_i].second);
    }
}
END_TEST

static const char *const bad_sweeps[] = {
    "",      "3",      "3:4",         "3:4:",  ":4:1",   "3:4:1:1",      "4:3:1",
    "0:3:1", "3:4:0",  "3:4:-1",      "a:4:1", "3:4:1x", "1:2:0.000009", "nan:4:1",
    "3::1",  "-1:3:1", "1:1e30:1e29",
};

START_TEST(a_sweep_that_goes_nowhere_is_misuse)
{
    struct mpq_sweep s;
    struct mpq_err err = { 0 };

    ck_assert_int_eq(mpq_sweep_parse(&s, bad_sweeps[_i], &err), -1);
    ck_assert_int_eq(err.code, MPQ_EUSAGE);
}
END_TEST

Suite *
mpq_suite(void)
{
    Suite *s = suite_create("policy");
    TCase *tc = tcase_create("policy");

    tcase_add_test(tc, every_key_of_a_policy_is_taken);
    tcase_add_loop_test(tc, broken_policies_are_refused_with_their_line, 0,
                        sizeof bad / sizeof *bad);
    tcase_add_test(tc, flags_add_pins_and_ties_and_replace_types);
    tcase_add_loop_test(tc, flags_that_say_nothing_are_misuse, 0,
                        sizeof misuse / sizeof *misuse);
    tcase_add_loop_test(tc, a_sweep_meets_its_ends_without_drift, 0,
                        sizeof sweeps / sizeof *sweeps);
    tcase_add_loop_test(tc, a_sweep_that_goes_nowhere_is_misuse, 0,
                        sizeof bad_sweeps / sizeof *bad_sweeps);
    suite_add_tcase(s, tc);
    return s;
}
