#include "suite.h"

#include "fmt/recipe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int
parse(const char *text, struct mpq_recipe **r, struct mpq_err *err)
{
    *err = (struct mpq_err){ 0 };
    return mpq_recipe_parse(r, text, strlen(text), "p.yaml", err);
}

START_TEST(maps_lists_and_words_come_with_their_lines)
{
    struct mpq_recipe *r;
    struct mpq_err err;
    static const char text[] = "# a policy\ntypes: [q4_k, \"q6_k\"]\n"
                               "pins:\n  output: q6_k\n  'blk.3': keep\nempty:\n";

    ck_assert_msg(parse(text, &r, &err) == 0, "%s", err.text);
    const struct mpq_node *root = mpq_recipe_root(r);
    ck_assert_int_eq(root->kind, MPQ_NODE_MAP);
    ck_assert_uint_eq(root->n, 3);
    ck_assert_str_eq(root->keys[1], "pins");
    const struct mpq_node *types = mpq_node_get(root, "types");
    ck_assert_int_eq(types->kind, MPQ_NODE_LIST);
    ck_assert_uint_eq(types->n, 2);
    ck_assert_str_eq(types->items[1]->text, "q6_k");
    const struct mpq_node *pins = mpq_node_get(root, "pins");
    ck_assert_str_eq(pins->keys[1], "blk.3");
    ck_assert_uint_eq(pins->items[1]->line, 5);
    ck_assert_str_eq(mpq_node_get(root, "empty")->text, "");
    ck_assert_ptr_null(mpq_node_get(root, "none"));
    ck_assert_ptr_null(mpq_node_get(types, "q4_k"));
    mpq_recipe_free(r);
}
END_TEST

START_TEST(an_empty_file_is_an_empty_map)
{
    struct mpq_recipe *r;
    struct mpq_err err;

    ck_assert_int_eq(parse("# only words\n", &r, &err), 0);
    ck_assert_int_eq(mpq_recipe_root(r)->kind, MPQ_NODE_MAP);
    ck_assert_uint_eq(mpq_recipe_root(r)->n, 0);
    ck_assert_int_eq(
        mpq_recipe_want(r, mpq_recipe_root(r), MPQ_NODE_LIST, "pins", &err), -1);
    ck_assert_str_eq(err.text, "p.yaml:1: pins is to be a list, not a map");
    mpq_recipe_free(r);
}
END_TEST

static const struct {
    const char *in, *says;
} bad[] = {
    { "a: 1\na: 2\n", "p.yaml:2: key a comes twice" },
    { "a: &x 1\nb: *x\n", "p.yaml:1: anchors (&) are not supported" },
    { "a: 1\nb: *x\n", "p.yaml:2: aliases (*) are not supported" },
    { "a: !!int 1\n", "p.yaml:1: tags (!) are not supported" },
    { "a: !x [1]\n", "p.yaml:1: tags (!) are not supported" },
    { "a: 1\n---\nb: 1\n", "p.yaml:2: a second document" },
    { "[a]: 1\n", "p.yaml:1: a key that is no plain word" },
    { "a: [1, 2\n", "p.yaml:2: " },
    { "a: \"b\n", "p.yaml:2: " },
    { "a: \"b\\0c\"\n", "p.yaml:1: a NUL byte" },
    { "a: b: c\n", "p.yaml:1: mapping values are not allowed" },
    { "a: \xff\n", "p.yaml:" },
    { "[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]", "p.yaml:1: nested deeper than 16 levels" },
};

START_TEST(what_is_no_plain_yaml_is_refused_with_its_line)
{
    struct mpq_recipe *r;
    struct mpq_err err;

    ck_assert_int_eq(parse(bad[_i].in, &r, &err), -1);
    ck_assert_ptr_null(r);
    ck_assert_int_eq(err.code, MPQ_EDATA);
    ck_assert_msg(strstr(err.text, bad[_i].says) != NULL, "%s", err.text);
}
END_TEST

START_TEST(size_and_count_are_bounded)
{
    struct mpq_recipe *r;
    struct mpq_err err = { 0 };
    size_t n = (1 << 20) + 1;
    char *text = malloc(n + 1);

    ck_assert_ptr_nonnull(text);
    memset(text, ' ', n);
    ck_assert_int_eq(mpq_recipe_parse(&r, text, n, "p.yaml", &err), -1);
    ck_assert_str_eq(err.text, "p.yaml: 1048577 bytes, at most 1048576 are read");
    for (size_t i = 0; i < 70000 * 3; i++)
        text[i] = "- \n"[i % 3];
    err.code = 0;
    ck_assert_int_eq(mpq_recipe_parse(&r, text, 70000 * 3, "p.yaml", &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "more than 65,536 nodes"));
    size_t len = 0;
    for (int i = 0; i < 5000; i++)
        len += (size_t)sprintf(text + len, "k%d: 1\n", i);
    err.code = 0;
    ck_assert_int_eq(mpq_recipe_parse(&r, text, len, "p.yaml", &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "p.yaml:4097: more than 4,096 keys"));
    free(text);
}
END_TEST

START_TEST(a_file_is_read_by_its_name)
{
    struct mpq_recipe *r;
    struct mpq_err err = { 0 };
    char path[] = "/tmp/t_recipe.XXXXXX";
    int fd = mkstemp(path);

    ck_assert_int_eq(write(fd, "a: 1\n", 5), 5);
    close(fd);
    ck_assert_int_eq(mpq_recipe_open(&r, path, &err), 0);
    ck_assert_str_eq(mpq_recipe_name(r), path);
    ck_assert_str_eq(mpq_node_get(mpq_recipe_root(r), "a")->text, "1");
    mpq_recipe_free(r);
    unlink(path);
    ck_assert_int_eq(mpq_recipe_open(&r, path, &err), -1);
    ck_assert_int_eq(err.code, MPQ_ESYS);
}
END_TEST

Suite *
mpq_suite(void)
{
    Suite *s = suite_create("recipe");
    TCase *tc = tcase_create("recipe");

    tcase_add_test(tc, maps_lists_and_words_come_with_their_lines);
    tcase_add_test(tc, an_empty_file_is_an_empty_map);
    tcase_add_loop_test(tc, what_is_no_plain_yaml_is_refused_with_its_line, 0,
                        sizeof bad / sizeof *bad);
    tcase_add_test(tc, size_and_count_are_bounded);
    tcase_add_test(tc, a_file_is_read_by_its_name);
    suite_add_tcase(s, tc);
    return s;
}
