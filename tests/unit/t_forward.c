/*
 * The forward pass against logits from plain numpy in double (tests/data/gen_nets.py
 * tells how they were made), and against itself where it must not matter how the work
 * is cut.
 */
#include "nets.h"

#include "base/buf.h"
#include "model/forward.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double tolerance = 1e-4; /* of gen_nets.py, whose faults move them 100 x */

enum { MAX_WANT = 16 };

/* What NAME.want holds. */
struct want {
    struct net_text text;
    size_t n_vocab, n_rows;
    size_t seq[MAX_WANT], pos[MAX_WANT];
    double *logits; /* [n_rows][n_vocab]; the caller's to free */
};

static void
read_want(struct want *w, const char *model)
{
    FILE *f = open_beside(model, ".want");
    size_t n_seqs;

    ck_assert_int_eq(fscanf(f, "%zu %zu %zu", &n_seqs, &w->n_vocab, &w->n_rows), 3);
    ck_assert_uint_le(w->n_rows, MAX_WANT);
    scan_text(&w->text, f, n_seqs);
    w->logits = need(w->n_rows * w->n_vocab, sizeof *w->logits);
    for (size_t r = 0; r < w->n_rows; r++) {
        ck_assert_int_eq(fscanf(f, "%zu %zu", &w->seq[r], &w->pos[r]), 2);
        for (size_t i = 0; i < w->n_vocab; i++)
            ck_assert_int_eq(fscanf(f, "%lf", &w->logits[r * w->n_vocab + i]), 1);
    }
    fclose(f);
}

/* Copies tiles to where they belong. */
struct take {
    float *to; /* [n_rows][n_vocab] */
    size_t n_vocab;
};

/* A second model's logits, where there are any, must be the same. */
static int
take_tile(void *ctx, const struct mpq_logit_tile *t, unsigned thread,
          struct mpq_err *err)
{
    struct take *take = ctx;

    (void)thread, (void)err;
    for (size_t i = 0; i < t->n_rows; i++) {
        memcpy(take->to + (t->row + i) * take->n_vocab + t->vocab,
               t->logits + i * t->stride, t->n_vocab * sizeof(float));
        if (t->ref)
            ck_assert_mem_eq(t->ref + i * t->stride, t->logits + i * t->stride,
                             t->n_vocab * sizeof(float));
    }
    return 0;
}

/* Logits of ROWS of the sequences Q, into [n_rows][n_vocab]; the caller's. */
static float *
run(struct mpq_forward *f, const struct mpq_seqs *q, const size_t *rows, size_t n_rows,
    struct mpq_err *err)
{
    const struct mpq_net *net = mpq_forward_net(f);
    struct take take = { need(n_rows * net->n_vocab, sizeof(float)), net->n_vocab };
    struct mpq_states x;
    int rc = 0;

    ck_assert_int_eq(mpq_states_new(&x, q->start[q->n], net->n_embd, SIZE_MAX, err), 0);
    ck_assert_msg(mpq_forward_embed(f, q, &x, err) == 0, "%s", err->text);
    for (size_t i = 0; rc == 0 && i < net->n_layer; i++)
        rc = mpq_forward_layer(f, i, q, &x, err);
    if (rc == 0) {
        const struct mpq_logits_side side = { f, &x };
        rc = mpq_forward_logits(&side, NULL, rows, n_rows, take_tile, &take, err);
    }
    mpq_states_free(&x);
    if (rc == 0)
        return take.to;
    free(take.to);
    return NULL;
}

static struct mpq_forward *
new_forward(const struct mpq_source *s, unsigned threads)
{
    struct mpq_forward *f;
    struct mpq_err err = { 0 };

    ck_assert_msg(mpq_forward_new(&f, s, threads, &err) == 0, "%s", err.text);
    return f;
}

static void
check_logits(const char *model, const struct want *w, const float *got)
{
    double worst = 0;

    for (size_t i = 0; i < w->n_rows * w->n_vocab; i++) {
        const double off = fabs((double)got[i] - w->logits[i]);
        worst = !(off <= worst) ? off : worst;
    }
    ck_assert_msg(worst <= tolerance, "%s: off by %g", model, worst);
}

START_TEST(logits_are_those_of_numpy_with_any_number_of_threads)
{
    struct want w;
    struct mpq_err err = { 0 };
    float *first = NULL;
    size_t rows[MAX_WANT];

    read_want(&w, net_models[_i]);
    struct mpq_source *s = open_net(net_models[_i]);
    const struct mpq_seqs q = w.text.q;
    for (size_t r = 0; r < w.n_rows; r++)
        rows[r] = w.text.start[w.seq[r]] + w.pos[r];
    for (unsigned threads = 1; threads < 6; threads += 2) {
        struct mpq_forward *f = new_forward(s, threads);
        float *got = run(f, &q, rows, w.n_rows, &err);
        ck_assert_msg(got != NULL, "%s", err.text);
        check_logits(net_models[_i], &w, got);
        if (first)
            ck_assert_mem_eq(got, first, w.n_rows * w.n_vocab * sizeof *got);
        else
            first = got;
        if (first != got)
            free(got);
        mpq_forward_free(f);
    }
    free(first);
    mpq_source_free(s);
    free(w.logits);
}
END_TEST

/* Sequences of more keys than a block has: alone, and beside so many that rows are cut.
 */
START_TEST(blocks_of_keys_are_put_together)
{
    static const char *const names[] = { "llama", "mistral", "gemma3" };
    enum { COPIES = 2 };
    struct want w;
    struct mpq_err err = { 0 };
    char long_name[32];
    size_t rows[MAX_WANT * COPIES], start[COPIES + 1] = { 0 };

    snprintf(long_name, sizeof long_name, "%s-long", names[_i]);
    read_want(&w, long_name);
    struct mpq_source *s = open_net(names[_i]);
    const size_t n = w.text.start[1];
    memcpy(w.text.tokens + n, w.text.tokens, n * sizeof *w.text.tokens);
    for (size_t c = 0; c < COPIES; c++) {
        start[c + 1] = (c + 1) * n;
        for (size_t r = 0; r < w.n_rows; r++)
            rows[c * w.n_rows + r] = c * n + w.pos[r];
    }
    for (size_t copies = 1; copies <= COPIES; copies++) {
        const struct mpq_seqs q = { copies, w.text.tokens, start, NULL, NULL };
        struct mpq_forward *f = new_forward(s, 2);
        float *got = run(f, &q, rows, copies * w.n_rows, &err);
        ck_assert_msg(got != NULL, "%s", err.text);
        for (size_t c = 0; c < copies; c++)
            check_logits(long_name, &w, got + c * w.n_rows * w.n_vocab);
        free(got);
        mpq_forward_free(f);
    }
    mpq_source_free(s);
    free(w.logits);
}
END_TEST

/* So many copies that rows are cut, in several groups, and logits are in tiles. */
START_TEST(many_rows_go_another_way_to_the_same_logits)
{
    enum { COPIES = 170 };
    struct want w;
    struct mpq_err err = { 0 };

    read_want(&w, net_models[_i]);
    struct mpq_source *s = open_net(net_models[_i]);
    const size_t one = w.text.start[w.text.q.n], n = w.text.q.n * COPIES;
    uint32_t *tokens = need(one * COPIES, sizeof *tokens);
    size_t *start = need(n + 1, sizeof *start), *rows = need(w.n_rows * COPIES, 8);
    for (size_t c = 0; c < COPIES; c++) {
        memcpy(tokens + c * one, w.text.tokens, one * sizeof *tokens);
        for (size_t i = 0; i < w.text.q.n; i++)
            start[c * w.text.q.n + i + 1] = c * one + w.text.start[i + 1];
        for (size_t r = 0; r < w.n_rows; r++)
            rows[c * w.n_rows + r] = c * one + w.text.start[w.seq[r]] + w.pos[r];
    }
    const struct mpq_seqs q = { n, tokens, start, NULL, NULL };
    float *got[2];
    for (unsigned t = 0; t < 2; t++) {
        struct mpq_forward *f = new_forward(s, t + 1);
        got[t] = run(f, &q, rows, w.n_rows * COPIES, &err);
        ck_assert_msg(got[t] != NULL, "%s", err.text);
        mpq_forward_free(f);
    }
    for (size_t c = 0; c < COPIES; c++)
        check_logits(net_models[_i], &w, got[0] + c * w.n_rows * w.n_vocab);
    ck_assert_mem_eq(got[0], got[1], COPIES * w.n_rows * w.n_vocab * sizeof *got[0]);
    free(got[0]);
    free(got[1]);
    free(tokens);
    free(start);
    free(rows);
    mpq_source_free(s);
    free(w.logits);
}
END_TEST

/* Each sequence cut in two: the first part's keys serve three that go on from it. */
START_TEST(a_shared_beginning_is_the_same_as_a_whole_sequence)
{
    struct want w;
    struct mpq_err err = { 0 };
    uint32_t tokens[8192];
    size_t start[NET_SEQS + 1] = { 0 }, parent[NET_SEQS], shared[NET_SEQS], n = 0;
    size_t rows[3 * MAX_WANT], n_rows = 0;

    read_want(&w, net_models[_i]);
    struct mpq_source *s = open_net(net_models[_i]);
    for (size_t i = 0; i < w.text.q.n; i++) {
        const size_t from = w.text.start[i], len = w.text.start[i + 1] - from,
                     first = n;
        const size_t keep = i ? len / 3 : 7;
        /* the parent has more than is shared, of other tokens */
        for (size_t c = 0; c < 4; c++, n++) {
            parent[n] = c ? first : n;
            shared[n] = c ? keep : 0;
            start[n + 1] = start[n];
            for (size_t k = c ? keep : 0; k < (c ? len : keep + 5); k++)
                tokens[start[n + 1]++] = k < keep || c ? w.text.tokens[from + k] : 3;
        }
    }
    for (size_t r = 0; r < w.n_rows; r++) {
        const size_t len = w.text.start[w.seq[r] + 1] - w.text.start[w.seq[r]];
        const size_t keep = w.seq[r] ? len / 3 : 7, family = w.seq[r] * 4;
        for (size_t c = 1; c < 4; c++)
            rows[(c - 1) * w.n_rows + r] = w.pos[r] < keep
                                               ? start[family] + w.pos[r]
                                               : start[family + c] + w.pos[r] - keep;
    }
    n_rows = 3 * w.n_rows;
    const struct mpq_seqs q = { n, tokens, start, parent, shared };
    struct mpq_forward *f = new_forward(s, 2);
    float *got = run(f, &q, rows, n_rows, &err);
    ck_assert_msg(got != NULL, "%s", err.text);
    for (size_t c = 0; c < 3; c++)
        check_logits(net_models[_i], &w, got + c * w.n_rows * w.n_vocab);
    free(got);
    mpq_forward_free(f);
    mpq_source_free(s);
    free(w.logits);
}
END_TEST

struct scaled {
    const struct mpq_source *s;
    double factor;
};

/* Puts blk.1.attn_output times a factor in place of the file's. */
static int
scale_one(void *ctx, const struct mpq_weight *w, float *dst, struct mpq_err *err)
{
    const struct scaled *c = ctx;

    if (strcmp(w->name, "blk.1.attn_output"))
        return 0;
    if (mpq_source_read_rows(c->s, w, 0, w->rows, dst, err) < 0)
        return -1;
    for (size_t i = 0; i < w->rows * w->cols; i++)
        dst[i] = (float)((double)dst[i] * c->factor);
    return 1;
}

START_TEST(other_weights_take_the_place_of_the_files)
{
    static const char *const names[] = { "llama-tied.gguf", "qwen2" };
    struct want w;
    struct mpq_err err = { 0 };
    size_t rows[MAX_WANT];

    read_want(&w, names[_i]);
    struct mpq_source *s = open_net(names[_i]);
    struct scaled c = { s, 1 };
    const struct mpq_seqs q = w.text.q;
    for (size_t r = 0; r < w.n_rows; r++)
        rows[r] = w.text.start[w.seq[r]] + w.pos[r];
    struct mpq_forward *f = new_forward(s, 2);
    mpq_forward_fill(f, scale_one, &c);
    float *got = run(f, &q, rows, w.n_rows, &err);
    check_logits(names[_i], &w, got);
    free(got);
    c.factor = 1.5;
    got = run(f, &q, rows, w.n_rows, &err);
    ck_assert_double_gt(fabs((double)got[0] - w.logits[0]), 100 * tolerance);
    free(got);
    c.factor = 1e39; /* infinite as a float */
    ck_assert_ptr_null(run(f, &q, rows, w.n_rows, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "blk.1: a hidden state becomes NaN"));
    mpq_forward_fill(f, NULL, NULL);
    got = run(f, &q, rows, w.n_rows, &err);
    check_logits(names[_i], &w, got);
    free(got);
    mpq_forward_free(f);
    mpq_source_free(s);
    free(w.logits);
}
END_TEST

START_TEST(parts_of_a_layer_make_the_whole)
{
    struct mpq_err err = { 0 };
    struct mpq_source *s = open_net(net_models[_i]);
    struct mpq_forward *f;
    struct mpq_states whole, parts, buf;
    static const uint32_t tokens[] = { 1, 5, 9, 2, 7, 3, 4, 11, 8, 6, 10 };
    const size_t start[] = { 0, 7, 11 };
    const struct mpq_seqs q = { .n = 2, .tokens = tokens, .start = start };

    ck_assert_msg(mpq_forward_new(&f, s, 2, &err) == 0, "%s", err.text);
    const struct mpq_net *net = mpq_forward_net(f);
    const size_t wide = net->n_head * net->head_dim + net->n_ff;
    float *y = need(11 * net->n_embd, sizeof *y);
    ck_assert_int_eq(mpq_states_new(&whole, 11, net->n_embd, SIZE_MAX, &err), 0);
    ck_assert_int_eq(mpq_states_new(&parts, 11, net->n_embd, SIZE_MAX, &err), 0);
    ck_assert_int_eq(mpq_states_new(&buf, 11, wide, SIZE_MAX, &err), 0);
    ck_assert_int_eq(mpq_forward_embed(f, &q, &whole, &err), 0);
    ck_assert_int_eq(mpq_forward_embed(f, &q, &parts, &err), 0);
    for (size_t l = 0; l < net->n_layer; l++) {
        ck_assert_int_eq(mpq_forward_layer(f, l, &q, &whole, &err), 0);
        for (int p = MPQ_FORWARD_Q_K_V; p <= MPQ_FORWARD_DOWN; p++) {
            ck_assert_int_eq(
                mpq_forward_normed(f, l, MPQ_FORWARD_Q_K_V, &parts, 3, 2, y, &err), 0);
            ck_assert(isfinite(y[0]) && y[0] != 0);
            ck_assert_msg(mpq_forward_part(f, l, (enum mpq_forward_part)p, &q, &parts,
                                           &buf, &err) == 0,
                          "%s", err.text);
        }
        ck_assert_mem_eq(whole.x, parts.x, 11 * net->n_embd * sizeof(float));
    }
    free(y);
    mpq_states_free(&whole);
    mpq_states_free(&parts);
    mpq_states_free(&buf);
    mpq_forward_free(f);
    mpq_source_free(s);
}
END_TEST

START_TEST(two_models_are_tiled_alike)
{
    struct want w;
    struct mpq_err err = { 0 };
    size_t rows[200];

    read_want(&w, "llama");
    for (size_t n_rows = 10; n_rows <= 200; n_rows += 190) {
        struct mpq_source *s = open_net("llama.gguf");
        struct mpq_forward *a = new_forward(s, 2), *b = new_forward(s, 2);
        const struct mpq_net *net = mpq_forward_net(a);
        struct take take = { need(n_rows * net->n_vocab, 4), net->n_vocab };
        const struct mpq_seqs q = w.text.q;
        struct mpq_states x;
        for (size_t r = 0; r < n_rows; r++)
            rows[r] = r;
        ck_assert_int_eq(mpq_states_new(&x, q.start[q.n], net->n_embd, SIZE_MAX, &err),
                         0);
        ck_assert_int_eq(mpq_forward_embed(a, &q, &x, &err), 0);
        const struct mpq_logits_side one = { a, &x }, two = { b, &x };
        ck_assert_int_eq(
            mpq_forward_logits(&one, &two, rows, n_rows, take_tile, &take, &err), 0);
        free(take.to);
        mpq_states_free(&x);
        mpq_forward_free(a);
        mpq_forward_free(b);
        mpq_source_free(s);
    }
    free(w.logits);
}
END_TEST

/* What generation must give: each prompt alone, all of it again for each token. */
enum { PROMPTS = 9, MAX_NEW = 11 };

static size_t
prompt_length(size_t i)
{
    return 1 + (i * 13) % 31;
}

/* Sequence 4 ends after 3 tokens, others by their number only. */
static int
is_over(void *ctx, size_t i, const uint32_t *tokens, size_t n)
{
    (void)ctx, (void)tokens;
    return i == 4 && n == 3;
}

struct answers {
    uint32_t tokens[PROMPTS][MAX_NEW];
    size_t n[PROMPTS], next;
};

static int
take_answer(void *ctx, size_t i, const uint32_t *tokens, size_t n, struct mpq_err *err)
{
    struct answers *a = ctx;

    (void)err;
    ck_assert_uint_eq(i, a->next++); /* in order */
    if (n > 0)
        memcpy(a->tokens[i], tokens, n * sizeof *tokens);
    a->n[i] = n;
    return 0;
}

static void
continue_alone(struct mpq_forward *f, const uint32_t *prompt, size_t n, uint32_t *out,
               size_t n_new)
{
    struct mpq_err err = { 0 };
    uint32_t tokens[64];

    memcpy(tokens, prompt, n * sizeof *tokens);
    for (size_t k = 0; k < n_new; k++, n++) {
        const size_t start[] = { 0, n }, last = n - 1;
        const struct mpq_seqs q = { 1, tokens, start, NULL, NULL };
        float *logits = run(f, &q, &last, 1, &err);
        ck_assert_msg(logits != NULL, "%s", err.text);
        for (uint32_t v = 0; v < mpq_forward_net(f)->n_vocab; v++)
            if (v == 0 || logits[v] > logits[out[k]])
                out[k] = v;
        free(logits);
        tokens[n] = out[k];
    }
}

START_TEST(generation_is_that_of_each_prompt_alone)
{
    /* all at once with the weights in memory; one place and weights decoded anew */
    static const size_t memory[] = { 1 << 30, 1, 100000 };
    uint32_t tokens[PROMPTS * 32], want[PROMPTS][MAX_NEW];
    size_t start[PROMPTS + 1] = { 0 };
    struct mpq_err err = { 0 };
    struct mpq_source *s = open_net(net_models[_i]);
    struct mpq_forward *f = new_forward(s, 2);
    const size_t n_vocab = mpq_forward_net(f)->n_vocab;

    for (size_t i = 0; i < PROMPTS; i++) {
        start[i + 1] = start[i] + prompt_length(i);
        for (size_t k = start[i]; k < start[i + 1]; k++)
            tokens[k] = (uint32_t)((k * 37 + i * 11) % n_vocab);
        continue_alone(f, tokens + start[i], prompt_length(i), want[i], MAX_NEW);
    }
    const struct mpq_seqs q = { PROMPTS, tokens, start, NULL, NULL };
    for (int m = 0; m < 3; m++) {
        struct answers got = { .next = 0 };
        const struct mpq_generate_opts opts = { .max_new = MAX_NEW,
                                                .max_bytes = memory[m],
                                                .over = is_over,
                                                .done = take_answer,
                                                .ctx = &got };
        ck_assert_msg(mpq_forward_generate(f, &q, &opts, &err) == 0, "%s", err.text);
        ck_assert_uint_eq(got.next, PROMPTS);
        for (size_t i = 0; i < PROMPTS; i++) {
            ck_assert_uint_eq(got.n[i], i == 4 ? 3 : MAX_NEW);
            ck_assert_mem_eq(got.tokens[i], want[i], got.n[i] * sizeof(uint32_t));
        }
    }
    mpq_forward_free(f);
    mpq_source_free(s);
}
END_TEST

START_TEST(nothing_to_generate)
{
    const uint32_t tokens[] = { 5 };
    const size_t start[] = { 0, 1, 1 };
    struct mpq_seqs q = { 1, tokens, start, NULL, NULL };
    struct answers got = { .next = 0 };
    struct mpq_generate_opts opts = { .done = take_answer, .ctx = &got };
    struct mpq_err err = { 0 };
    struct mpq_source *s = open_net("llama.gguf");
    struct mpq_forward *f = new_forward(s, 1);

    ck_assert_int_eq(mpq_forward_generate(f, &q, &opts, &err), 0);
    ck_assert_uint_eq(got.next, 1);
    ck_assert_uint_eq(got.n[0], 0);
    q.n = 0;
    ck_assert_int_eq(mpq_forward_generate(f, &q, &opts, &err), 0);
    q.n = 2;
    opts.max_new = 1;
    ck_assert_int_eq(mpq_forward_generate(f, &q, &opts, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "prompt 2 is empty"));
    mpq_forward_free(f);
    mpq_source_free(s);
}
END_TEST

START_TEST(a_token_outside_the_vocabulary_is_named)
{
    const uint32_t tokens[] = { 5, 96 };
    const size_t start[] = { 0, 2 };
    const struct mpq_seqs q = { 1, tokens, start, NULL, NULL };
    struct mpq_err err = { 0 };
    struct mpq_states x;
    struct mpq_source *s = open_net("llama.gguf");
    struct mpq_forward *f = new_forward(s, 1);

    ck_assert_int_eq(mpq_states_new(&x, 2, mpq_forward_net(f)->n_embd, 0, &err), 0);
    ck_assert_uint_gt(x.mapped_bytes, 0); /* in a file, since none may be in memory */
    ck_assert_int_eq(mpq_forward_embed(f, &q, &x, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "token id 96 in a vocabulary of 96"));
    mpq_states_free(&x);
    mpq_forward_free(f);
    mpq_source_free(s);
}
END_TEST

Suite *
mpq_suite(void)
{
    Suite *s = suite_create("forward");
    TCase *tc = tcase_create("forward");

    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, logits_are_those_of_numpy_with_any_number_of_threads, 0,
                        NET_MODELS);
    tcase_add_loop_test(tc, blocks_of_keys_are_put_together, 0, 3);
    tcase_add_loop_test(tc, many_rows_go_another_way_to_the_same_logits, 0, NET_MODELS);
    tcase_add_loop_test(tc, a_shared_beginning_is_the_same_as_a_whole_sequence, 0,
                        NET_MODELS);
    tcase_add_loop_test(tc, other_weights_take_the_place_of_the_files, 0, 2);
    tcase_add_loop_test(tc, generation_is_that_of_each_prompt_alone, 0, NET_MODELS);
    tcase_add_test(tc, nothing_to_generate);
    tcase_add_test(tc, two_models_are_tiled_alike);
    tcase_add_loop_test(tc, parts_of_a_layer_make_the_whole, 0, NET_MODELS);
    tcase_add_test(tc, a_token_outside_the_vocabulary_is_named);
    suite_add_tcase(s, tc);
    return s;
}
