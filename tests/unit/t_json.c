#include "suite.h"

#include "base/buf.h"
#include "base/index.h"
#include "base/pool.h"
#include "fmt/json.h"
#include "fmt/safe.h"

#include <stdio.h>
#include <string.h>

static struct mpq_json *
parse(const char *text)
{
    struct mpq_json *root = NULL;
    struct mpq_err err = { 0 };

    ck_assert_msg(mpq_json_parse(&root, text, strlen(text), "x.json", &err) == 0, "%s",
                  err.text);
    return root;
}

START_TEST(values_are_found_by_path_and_have_their_types)
{
    struct mpq_json *r =
        parse("{\"a\": {\"b\": {\"n\": 7, \"x\": 1.5, \"neg\": -2}},"
              " \"t\": true, \"s\": \"\\u00fc\\u0000z\", \"none\": null,"
              " \"list\": [1, \"two\"]}");
    uint64_t u = 99;
    double f;
    size_t n;
    int b;

    ck_assert_int_eq(mpq_json_u64(mpq_json_at(r, "a/b/n"), &u), 1);
    ck_assert_uint_eq(u, 7);
    ck_assert_int_eq(mpq_json_u64(mpq_json_at(r, "a/b/neg"), &u), -1);
    ck_assert_int_eq(mpq_json_u64(mpq_json_at(r, "a/b/x"), &u), -1);
    ck_assert_int_eq(mpq_json_u64(mpq_json_at(r, "a/nothing/n"), &u), 0);
    ck_assert_int_eq(mpq_json_u64(mpq_json_at(r, "none"), &u), 0);
    ck_assert_int_eq(mpq_json_u64(mpq_json_at(r, "t"), &u), -1);
    ck_assert_int_eq(mpq_json_u64(NULL, &u), 0);
    ck_assert_uint_eq(u, 7); /* left alone where it fails */
    ck_assert_int_eq(mpq_json_f64(mpq_json_at(r, "a/b/x"), &f), 1);
    ck_assert_double_eq(f, 1.5);
    ck_assert_int_eq(mpq_json_f64(mpq_json_at(r, "a/b/neg"), &f), 1);
    ck_assert_double_eq(f, -2);
    ck_assert_int_eq(mpq_json_f64(mpq_json_at(r, "s"), &f), -1);
    ck_assert_int_eq(mpq_json_bool(mpq_json_get(r, "t"), &b), 1);
    ck_assert_int_eq(b, 1);
    ck_assert_int_eq(mpq_json_bool(mpq_json_get(r, "list"), &b), -1);
    ck_assert_mem_eq(mpq_json_str(mpq_json_get(r, "s"), &n), "\xc3\xbc\0z", 4);
    ck_assert_uint_eq(n, 4);
    ck_assert_ptr_null(mpq_json_str(mpq_json_get(r, "t"), &n));
    ck_assert_uint_eq(mpq_json_count(mpq_json_get(r, "list")), 2);
    ck_assert_str_eq(mpq_json_str(mpq_json_item(mpq_json_get(r, "list"), 1), NULL),
                     "two");
    ck_assert_ptr_null(mpq_json_item(mpq_json_get(r, "list"), 2));
    ck_assert_ptr_null(mpq_json_item(NULL, 0));
    ck_assert_uint_eq(mpq_json_count(NULL), 0);
    ck_assert_int_eq(mpq_json_is_array(mpq_json_get(r, "list")), 1);
    ck_assert_int_eq(mpq_json_is_object(NULL), 0);
    mpq_json_free(r);
}
END_TEST

START_TEST(an_object_is_walked_in_the_order_of_the_file)
{
    struct mpq_json *r = parse("{\"z\": 0, \"a\": 1, \"m\": 2, \"A\": 3}");
    const struct mpq_json *value;
    const char *key, *want = "zamA";
    uint64_t n = 0, u;

    for (const void *i = NULL; (i = mpq_json_next(r, i, &key, &value)); n++) {
        ck_assert_int_eq(key[0], want[n]);
        ck_assert_int_eq(mpq_json_u64(value, &u), 1);
        ck_assert_uint_eq(u, n);
    }
    ck_assert_uint_eq(n, 4);
    ck_assert_ptr_null(mpq_json_next(NULL, NULL, &key, &value));
    mpq_json_free(r);
}
END_TEST

START_TEST(members_of_another_type_are_as_if_absent)
{
    struct mpq_json *r =
        parse("{\"s\": \"x\", \"n\": 1, \"yes\": true, \"no\": false}");

    ck_assert_str_eq(mpq_json_text(r, "s"), "x");
    ck_assert_str_eq(mpq_json_text(r, "n"), "");
    ck_assert_str_eq(mpq_json_text(NULL, "s"), "");
    ck_assert_int_eq(mpq_json_flag(r, "yes", 0), 1);
    ck_assert_int_eq(mpq_json_flag(r, "no", 1), 0);
    ck_assert_int_eq(mpq_json_flag(r, "n", 1), 1);
    ck_assert_int_eq(mpq_json_flag(r, "absent", 0), 0);
    mpq_json_free(r);
}
END_TEST

START_TEST(text_that_is_no_json_is_refused)
{
    static const char *const bad[] = { "",
                                       "{",
                                       "[1,]",
                                       "{} {}",
                                       "nulll",
                                       "\"\xff\"",
                                       "{\"a\":1,\"a\":2}",
                                       "{'a':1}",
                                       "[1e999999]",
                                       "99999999999999999999" };
    struct mpq_json *r;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct mpq_err err = { 0 };
        ck_assert_int_eq(mpq_json_parse(&r, bad[i], strlen(bad[i]), "x.json", &err),
                         -1);
        ck_assert_ptr_null(r);
        ck_assert_msg(!strncmp(err.text, "x.json: JSON, line 1", 20), "%s", err.text);
    }
}
END_TEST

START_TEST(a_quoted_string_is_read_back)
{
    static const char text[] =
        "q\" b\\ n\n t\t nul\0 \x01\x1f\x7f \xc3\xbc \xf0\x9f\x98\x80";
    struct mpq_buf b = { 0 };
    size_t n;

    mpq_json_quote(&b, text, sizeof text - 1);
    struct mpq_json *r = parse(b.data);
    ck_assert_mem_eq(mpq_json_str(r, &n), text, sizeof text - 1);
    ck_assert_uint_eq(n, sizeof text - 1);
    for (size_t i = 0; i < b.len; i++)
        ck_assert_int_ge((unsigned char)b.data[i], 0x20);
    mpq_json_free(r);
    mpq_buf_free(&b);
    mpq_json_quote(&b, "a\xff\xc3", 3); /* no UTF-8: U+FFFD for each byte */
    ck_assert_str_eq(b.data, "\"a\xef\xbf\xbd\xef\xbf\xbd\"");
    mpq_buf_free(&b);
}
END_TEST

START_TEST(utf8_sequences_have_their_lengths)
{
    static const struct {
        const char *s;
        size_t n, want;
    } all[] = {
        { "a", 1, 1 },
        { "\xc2\x80", 2, 2 },
        { "\xdf\xbf", 2, 2 },
        { "\xe0\xa0\x80", 3, 3 },
        { "\xef\xbf\xbf", 3, 3 },
        { "\xf0\x90\x80\x80", 4, 4 },
        { "\xf4\x8f\xbf\xbf", 4, 4 },
        { "\x80", 1, 0 },
        { "\xc1\xbf", 2, 0 },         /* overlong */
        { "\xe0\x9f\xbf", 3, 0 },     /* overlong */
        { "\xf0\x8f\xbf\xbf", 4, 0 }, /* overlong */
        { "\xed\xa0\x80", 3, 0 },     /* a surrogate */
        { "\xf4\x90\x80\x80", 4, 0 }, /* past U+10FFFF */
        { "\xf5\x80\x80\x80", 4, 0 },
        { "\xe2\x82", 2, 0 }, /* cut */
        { "\xf0\x9f\x98", 3, 0 },
        { "\xc3\x28", 2, 0 },
    };

    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        ck_assert_uint_eq(mpq_utf8_length((const unsigned char *)all[i].s, all[i].n),
                          all[i].want);
}
END_TEST

START_TEST(an_index_finds_names_and_tells_of_twins)
{
    struct mpq_index x = { 0 };
    struct mpq_pool pool = { 0 }, more = { 0 };
    char name[32];
    size_t pos;

    for (size_t i = 0; i < 5000; i++) {
        snprintf(name, sizeof name, "name %zu", i * 7919 % 5000);
        char *copy = mpq_pool_strdup(i % 2 ? &pool : &more, name);
        ck_assert_int_eq(mpq_index_add(&x, copy, i), 0);
    }
    mpq_pool_merge(&pool, &more);
    ck_assert_ptr_null(mpq_index_sort(&x));
    for (size_t i = 0; i < 5000; i++) {
        snprintf(name, sizeof name, "name %zu", i * 7919 % 5000);
        ck_assert_int_eq(mpq_index_find(&x, name, &pos), 1);
        ck_assert_uint_eq(pos, i);
    }
    ck_assert_int_eq(mpq_index_find(&x, "name", &pos), 0);
    ck_assert_int_eq(mpq_index_find(&x, "name 5000", &pos), 0);
    ck_assert_int_eq(mpq_index_add(&x, "name 17", 5000), 0);
    ck_assert_str_eq(mpq_index_sort(&x), "name 17");
    mpq_index_free(&x);
    ck_assert_int_eq(mpq_index_find(&x, "name 17", &pos), 0);
    mpq_pool_free(&pool);
}
END_TEST

Suite *
mpq_suite(void)
{
    Suite *s = suite_create("json");
    TCase *tc = tcase_create("json");

    tcase_add_test(tc, values_are_found_by_path_and_have_their_types);
    tcase_add_test(tc, an_object_is_walked_in_the_order_of_the_file);
    tcase_add_test(tc, members_of_another_type_are_as_if_absent);
    tcase_add_test(tc, text_that_is_no_json_is_refused);
    tcase_add_test(tc, a_quoted_string_is_read_back);
    tcase_add_test(tc, utf8_sequences_have_their_lengths);
    tcase_add_test(tc, an_index_finds_names_and_tells_of_twins);
    suite_add_tcase(s, tc);
    return s;
}
