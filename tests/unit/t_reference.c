#include "suite.h"

#include "model/reference.h"
#include "small.h"

#include <math.h>

enum { N = 5, K = 3, VOCAB = 100 };

static void
fill(struct mpq_saved *s)
{
    ck_assert_int_eq(mpq_saved_new(s, N, K, NULL), 0);
    for (size_t i = 0; i < N; i++) {
        s->target[i] = -1.5f * (float)i;
        s->tail[i] = 0.125f;
        for (size_t k = 0; k < K; k++) {
            s->ids[i * K + k] = (int32_t)(7 * i + k);
            s->logp[i * K + k] = -0.5f - (float)k;
        }
    }
}

static void
write_reference(const char *path, const struct mpq_saved *s)
{
    struct mpq_reference_text text = { .name = "wiki",
                                       .n_chunks = 2,
                                       .id = "0123456789abcdef",
                                       .saved = { .n = N, .k = K } };
    const struct mpq_reference r = { .model = "m",
                                     .model_id = "00",
                                     .vocab = "11",
                                     .ctx = 512,
                                     .stride = 0,
                                     .k = K,
                                     .texts = &text,
                                     .n_texts = 1 };
    struct mpq_out *out;

    ck_assert_int_eq(mpq_out_open(&out, path, NULL), 0);
    ck_assert_int_eq(mpq_reference_begin(out, &r, NULL), 0);
    ck_assert_int_eq(mpq_reference_put(out, s, NULL), 0);
    ck_assert_int_eq(mpq_out_close(out, NULL), 0);
}

START_TEST(a_reference_comes_back_as_it_was)
{
    const char *path = small_path("ref.st");
    struct mpq_saved s;
    struct mpq_reference r;
    struct mpq_err err = { 0 };

    fill(&s);
    write_reference(path, &s);
    ck_assert_msg(mpq_reference_open(&r, path, NULL, VOCAB, &err) == 0, "%s", err.text);
    ck_assert_str_eq(r.model, "m");
    ck_assert_str_eq(r.vocab, "11");
    ck_assert_uint_eq(r.ctx, 512);
    ck_assert_uint_eq(r.n_texts, 1);
    ck_assert_str_eq(r.texts[0].name, "wiki");
    ck_assert_str_eq(r.texts[0].id, "0123456789abcdef");
    ck_assert_uint_eq(r.texts[0].n_chunks, 2);
    ck_assert_uint_eq(r.texts[0].saved.n, N);
    ck_assert_mem_eq(r.texts[0].saved.target, s.target, N * sizeof(float));
    ck_assert_mem_eq(r.texts[0].saved.tail, s.tail, N * sizeof(float));
    ck_assert_mem_eq(r.texts[0].saved.ids, s.ids, N * K * sizeof(float));
    ck_assert_mem_eq(r.texts[0].saved.logp, s.logp, N * K * sizeof(float));
    mpq_reference_free(&r);
    mpq_saved_free(&s);
    unlink(path);
}
END_TEST

/* What is wrong, and what is said. */
enum { BIG_ID, NEGATIVE_ID, POSITIVE, NO_NUMBER, TAIL, KINDS };

START_TEST(numbers_that_are_no_probabilities_are_refused)
{
    const char *path = small_path("bad.st");
    struct mpq_saved s;
    struct mpq_reference r;
    struct mpq_err err = { 0 };

    fill(&s);
    if (_i == BIG_ID)
        s.ids[4] = VOCAB;
    else if (_i == NEGATIVE_ID)
        s.ids[4] = -1;
    else if (_i == POSITIVE)
        s.logp[4] = 1;
    else if (_i == NO_NUMBER)
        s.target[1] = (float)NAN;
    else
        s.tail[1] = 2;
    write_reference(path, &s);
    ck_assert_int_eq(mpq_reference_open(&r, path, NULL, VOCAB, &err), -1);
    ck_assert_msg(strstr(err.text, "text 0: token 1 has no probabilities") != NULL,
                  "%s", err.text);
    mpq_saved_free(&s);
    unlink(path);
}
END_TEST

START_TEST(other_files_are_refused)
{
    const char *path = small_path("other");
    struct mpq_reference r;
    struct mpq_err err = { 0 };

    ck_assert_int_eq(mpq_reference_open(&r, "tests/data/formats/hf/model.safetensors",
                                        NULL, VOCAB, &err),
                     -1);
    ck_assert_ptr_nonnull(strstr(err.text, "no saved reference"));
    err = (struct mpq_err){ 0 };
    small_write(path, 5, -1);
    ck_assert_int_eq(mpq_reference_open(&r, path, NULL, VOCAB, &err), -1);
    unlink(path);
}
END_TEST

Suite *
mpq_suite(void)
{
    Suite *s = suite_create("reference");
    TCase *tc = tcase_create("reference");

    tcase_add_test(tc, a_reference_comes_back_as_it_was);
    tcase_add_loop_test(tc, numbers_that_are_no_probabilities_are_refused, 0, KINDS);
    tcase_add_test(tc, other_files_are_refused);
    suite_add_tcase(s, tc);
    return s;
}
