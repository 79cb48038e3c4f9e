#include "suite.h"

#include "model/rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct mpq_type
type(const char *name)
{
    struct mpq_type t;

    ck_assert_int_eq(mpq_type_parse(name, &t), 0);
    return t;
}

static int
read_rules(struct mpq_rules *r, const char *text, struct mpq_err *err)
{
    struct mpq_recipe *recipe;

    *err = (struct mpq_err){ 0 };
    *r = (struct mpq_rules){ 0 };
    if (mpq_recipe_parse(&recipe, text, strlen(text), "r.yaml", err) < 0)
        return -1;
    int rc = mpq_rules_read(r, recipe, err);
    mpq_recipe_free(recipe);
    return rc;
}

START_TEST(the_rules_compiled_in_are_all_readable_and_called_as_their_files)
{
    struct mpq_err err = { 0 };
    struct mpq_rules r;
    size_t n = 0;

    for (const struct mpq_rule_file *f = mpq_rule_files; f->name; f++, n++) {
        ck_assert_msg(mpq_rules_find(&r, f->name, &err) == 0, "%s", err.text);
        ck_assert_str_eq(r.name, f->name);
        mpq_rules_free(&r);
    }
    ck_assert_uint_eq(n, 3);
    ck_assert_int_eq(mpq_rules_find(&r, "nobody", &err), -1);
    ck_assert_int_eq(err.code, MPQ_EUSAGE);
    ck_assert_str_eq(err.text,
                     "no rules for runtime nobody: there are llama.cpp, native, vllm");
}
END_TEST

START_TEST(blocks_of_llama_cpp_are_those_of_the_gguf_package)
{
    struct mpq_err err = { 0 };
    struct mpq_rules r;
    FILE *f = fopen("tests/data/ggml_types.tsv", "r");
    char line[200], name[50];
    unsigned id, block, bytes, n = 0;

    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(mpq_rules_find(&r, "llama.cpp", &err), 0);
    while (fgets(line, sizeof line, f)) {
        if (sscanf(line, "%u %49s %u %u", &id, name, &block, &bytes) != 4)
            continue;
        for (size_t i = 0; i < r.n_types; i++) {
            if (!mpq_type_eq(r.types[i].type, type(name)))
                continue;
            ck_assert_msg(r.types[i].multiple == block, "%s", name);
            n++;
        }
    }
    /* q2_0 is newer than the package; 64 is ggml-common.h's QK2_0 */
    for (size_t i = 0; i < r.n_types; i++)
        n += mpq_type_eq(r.types[i].type, type("q2_0")) && r.types[i].multiple == 64;
    ck_assert_uint_eq(n, r.n_types);
    mpq_rules_free(&r);
    fclose(f);
}
END_TEST

/* Facts about real models: rows of 576 (SmolLM2), of 640 (Gemma 3 270M). */
static const struct {
    const char *runtime, *type;
    uint64_t rows, cols;
    enum mpq_legal want;
    uint64_t multiple;
} cases[] = {
    { "llama.cpp", "q4_k", 576, 576, MPQ_ROW_LENGTH, 256 },
    { "llama.cpp", "q4_k", 576, 1536, MPQ_LEGAL, 0 },
    { "llama.cpp", "q4_0", 576, 576, MPQ_LEGAL, 0 },
    { "llama.cpp", "q6_k", 2048, 640, MPQ_ROW_LENGTH, 256 },
    { "llama.cpp", "q6_k", 640, 1024, MPQ_LEGAL, 0 },
    { "llama.cpp", "q8_0", 4, 33, MPQ_ROW_LENGTH, 32 },
    { "llama.cpp", "f16", 3, 7, MPQ_LEGAL, 0 },
    { "llama.cpp", "iq2_xs", 256, 256, MPQ_NOT_WRITTEN, 0 },
    { "llama.cpp", "int4g128", 256, 256, MPQ_NOT_LOADED, 0 },
    { "llama.cpp", "i32", 256, 256, MPQ_NOT_LOADED, 0 },
    { "vllm", "q4_0", 256, 256, MPQ_NOT_LOADED, 0 },
    { "vllm", "int3g128", 256, 256, MPQ_NOT_LOADED, 0 },
    { "vllm", "bf16", 3, 7, MPQ_LEGAL, 0 },
};

START_TEST(a_type_is_legal_where_runtime_packer_and_row_length_allow_it)
{
    struct mpq_err err = { 0 };
    struct mpq_rules r;
    uint64_t multiple = 0;

    ck_assert_int_eq(mpq_rules_find(&r, cases[_i].runtime, &err), 0);
    ck_assert_int_eq(mpq_rules_allow(&r, type(cases[_i].type), cases[_i].rows,
                                     cases[_i].cols, &multiple),
                     cases[_i].want);
    if (cases[_i].multiple)
        ck_assert_uint_eq(multiple, cases[_i].multiple);
    mpq_rules_free(&r);
}
END_TEST

START_TEST(rules_of_ones_own_may_be_stricter_but_not_laxer_than_the_type)
{
    struct mpq_err err;
    struct mpq_rules r;
    uint64_t m = 0;

    ck_assert_msg(read_rules(&r,
                             "runtime: mine\ncontainer: safetensors\nrows: 64\n"
                             "types: { q4_0: 128, q4_k: 1, f16: 1 }\n"
                             "fused: [[a, b], [c, d]]\nkept: [output, ffn_up]\n",
                             &err) == 0,
                  "%s", err.text);
    ck_assert_str_eq(r.name, "mine");
    ck_assert_int_eq(r.container, MPQ_CONTAINER_NATIVE);
    ck_assert_int_eq(mpq_rules_allow(&r, type("q4_0"), 64, 64, &m), MPQ_ROW_LENGTH);
    ck_assert_uint_eq(m, 128);
    ck_assert_int_eq(mpq_rules_allow(&r, type("q4_0"), 63, 128, &m), MPQ_ROW_COUNT);
    ck_assert_uint_eq(m, 64);
    ck_assert_int_eq(mpq_rules_allow(&r, type("q4_k"), 64, 128, &m), MPQ_ROW_LENGTH);
    ck_assert_uint_eq(m, 256);
    ck_assert_int_eq(mpq_rules_allow(&r, type("f16"), 63, 128, &m), MPQ_LEGAL);
    ck_assert_uint_eq(r.n_fused, 2);
    ck_assert_str_eq(r.fused[1].items[0], "c");
    ck_assert_int_eq(mpq_rules_keeps(&r, "output"), 1);
    ck_assert_int_eq(mpq_rules_keeps(&r, "blk.7.ffn_up"), 1);
    ck_assert_int_eq(mpq_rules_keeps(&r, "blk.7.attn_output"), 0);
    mpq_rules_free(&r);
}
END_TEST

static const struct {
    const char *pattern, *name;
    int means;
} names[] = {
    { "output", "output", 1 },
    { "output", "blk.0.attn_output", 0 },
    { "ffn_up", "blk.12.ffn_up", 1 },
    { "ffn_up", "blk.12.ffn_up_exps", 0 },
    { "ffn_up", "blk.0.ffn_up.7", 1 },
    { "ffn_up", "blk.0.ffn_up.x", 0 },
    { "ffn_up", "ffn_up.7", 0 },
    { "blk.3.ffn_up", "blk.3.ffn_up", 1 },
    { "blk.3", "blk.3.ffn_up", 0 },
    { "ffn_up", "blk.0.ffn_up.", 0 },
    { "", "blk.0.", 1 },
};

START_TEST(a_name_means_one_matrix_or_its_kind_in_every_layer)
{
    ck_assert_int_eq(mpq_name_means(names[_i].pattern, names[_i].name),
                     names[_i].means);
}
END_TEST

static const struct {
    const char *in, *says;
} bad[] = {
    { "types: { f16: 1 }\n", "r.yaml: no runtime" },
    { "runtime: x\n", "r.yaml: no types" },
    { "runtime: x\ntypes: {}\n", "r.yaml: no types" },
    { "runtime: x\ntypes: [f16]\n", "r.yaml:2: types is to be a map, not a list" },
    { "runtime: x\ntypes:\n  q9: 1\n", "r.yaml:3: unknown type q9" },
    { "runtime: x\ntypes:\n  f16: 0\n", "r.yaml:3: f16: 0 is no whole number from 1" },
    { "runtime: x\ntypes:\n  f16: -1\n", "r.yaml:3: f16: -1 is no whole number" },
    { "runtime: x\ntypes:\n  f16: [1]\n", "r.yaml:3: f16 is to be a word, not a list" },
    { "container: zip\n", "r.yaml:1: container is gguf or safetensors" },
    { "fused: [a, b]\n", "r.yaml:1: a group of fused is to be a list, not a word" },
    { "fused:\n  - [a, [b]]\n", "r.yaml:2: a name is to be a word, not a list" },
    { "kept: ['']\n", "r.yaml:1: an empty name in kept" },
    { "\nspeed: fast\n", "r.yaml:2: unknown key speed" },
    { "- a\n", "r.yaml:1: a file of rules is to be a map, not a list" },
};

START_TEST(broken_rules_are_refused_with_their_line)
{
    struct mpq_err err;
    struct mpq_rules r;

    ck_assert_int_eq(read_rules(&r, bad[_i].in, &err), -1);
    ck_assert_msg(strstr(err.text, bad[_i].says) != NULL, "%s", err.text);
    ck_assert_ptr_null(r.types);
}
END_TEST

Suite *
mpq_suite(void)
{
    Suite *s = suite_create("rules");
    TCase *tc = tcase_create("rules");

    tcase_add_test(tc,
                   the_rules_compiled_in_are_all_readable_and_called_as_their_files);
    tcase_add_test(tc, blocks_of_llama_cpp_are_those_of_the_gguf_package);
    tcase_add_loop_test(tc,
                        a_type_is_legal_where_runtime_packer_and_row_length_allow_it, 0,
                        sizeof cases / sizeof *cases);
    tcase_add_test(tc, rules_of_ones_own_may_be_stricter_but_not_laxer_than_the_type);
    tcase_add_loop_test(tc, a_name_means_one_matrix_or_its_kind_in_every_layer, 0,
                        sizeof names / sizeof *names);
    tcase_add_loop_test(tc, broken_rules_are_refused_with_their_line, 0,
                        sizeof bad / sizeof *bad);
    suite_add_tcase(s, tc);
    return s;
}
