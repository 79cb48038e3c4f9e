/*
 * Gradients against differences of a forward pass in plain numpy and double precision
 * (tests/data/gen_grads.py tells how they were made), and against laws that they obey.
 */
#include "nets.h"

#include "base/buf.h"
#include "model/backward.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Sum of gradient times direction of gen_grads.py, for each matrix. */
struct sums {
    const struct mpq_weight *weight[2048];
    double sum[2048][2], size[2048][2];
    size_t n, tokens[2048];
    float *all; /* [n_all] every gradient, one after another */
    size_t n_all, room;
};

static double
direction(size_t t, size_t r, size_t k)
{
    return ((double)((37 * t + 101 * r + 7 * t * r + 53 * k) % 64) - 31.5) / 32;
}

static int
add_up(void *ctx, const struct mpq_grad_tap *tap, struct mpq_err *err)
{
    struct sums *s = ctx;
    const size_t embd = !tap->x;
    const size_t rows = (size_t)(embd ? tap->weight->cols : tap->weight->rows);
    size_t i = 0;

    (void)err;
    while (i < s->n && s->weight[i] != tap->weight)
        i++;
    if (i == s->n)
        s->weight[s->n++] = tap->weight;
    ck_assert_uint_lt(i, 2048);
    ck_assert_uint_eq(tap->token, s->tokens[i]); /* in order */
    s->tokens[i] += tap->n;
    for (size_t t = 0; t < tap->n; t++)
        for (size_t r = 0; r < rows; r++)
            for (size_t k = 0; k < 2; k++) {
                const double x = (double)tap->g[t * tap->g_stride + r] *
                                 direction(tap->token + t, r, k);
                s->sum[i][k] += x;
                s->size[i][k] += x * x;
            }
    ck_assert_int_eq(
        mpq_grow(&s->all, &s->room, s->n_all + tap->n * rows, sizeof *s->all), 0);
    for (size_t t = 0; t < tap->n; t++, s->n_all += rows)
        memcpy(s->all + s->n_all, tap->g + t * tap->g_stride, rows * sizeof *s->all);
    return 0;
}

/* A run through MODEL; the loss. */
static double
run(struct sums *s, const struct mpq_source *source, const struct mpq_seqs *q,
    uint32_t *labels, uint64_t seed, unsigned threads)
{
    struct mpq_err err = { 0 };
    struct mpq_forward *f;
    struct mpq_backward *b;
    size_t n;

    memset(s, 0, sizeof *s);
    ck_assert_msg(mpq_forward_new(&f, source, threads, &err) == 0, "%s", err.text);
    ck_assert_msg(mpq_backward_new(&b, f, q, SIZE_MAX, &err) == 0, "%s", err.text);
    ck_assert_msg(mpq_backward_forward(b, NULL, NULL, &err) == 0, "%s", err.text);
    ck_assert_msg(mpq_backward_output(b, labels, seed, &err) == 0, "%s", err.text);
    for (size_t l = mpq_forward_net(f)->n_layer; l-- > 0;)
        ck_assert_msg(mpq_backward_layer(b, l, add_up, s, &err) == 0, "%s", err.text);
    ck_assert_msg(mpq_backward_embedding(b, add_up, s, &err) == 0, "%s", err.text);
    const double loss = mpq_backward_loss(b, &n);
    mpq_backward_free(b);
    mpq_forward_free(f);
    return loss;
}

/* A gradient is a sum of single-precision numbers: what is lost of it is some 1e-6 of
 * their size, and here and there ten times more. */
static void
check_line(const struct sums *s, const char *model, int layer, const char *matrix,
           size_t k, double want)
{
    char name[64];
    size_t i = 0;

    if (strcmp(matrix, "token_embd") == 0)
        snprintf(name, sizeof name, "%s", matrix);
    else
        snprintf(name, sizeof name, "blk.%d.%s", layer, matrix);
    while (i < s->n && strcmp(s->weight[i]->name, name))
        i++;
    ck_assert_msg(i < s->n, "%s: no gradient by %s", model, name);
    const double off = fabs(s->sum[i][k] - want);
    ck_assert_msg(off <= 1e-4 * sqrt(s->size[i][k]) + 1e-5,
                  "%s: %s, direction %zu: %.9g, not %.9g (size %g)", model, name, k,
                  s->sum[i][k], want, sqrt(s->size[i][k]));
}

START_TEST(gradients_are_those_of_differences)
{
    static struct sums s;
    static struct net_text t;
    static uint32_t labels[NET_TOKENS];
    const char *model = net_models[_i];
    /* GGUF's llama has the rows of q and k in another order */
    const int other_rows = !strncmp(model, "llama", 5) && strchr(model, '.');
    char matrix[32];
    double want;
    int layer;
    size_t k, lines = 0;

    read_text(&t, model);
    for (size_t i = 0; i < t.start[t.q.n]; i++)
        labels[i] = i % 5 == 3 ? MPQ_LABEL_NONE : (uint32_t)((29 * i + 11) % 96);
    struct mpq_source *source = open_net(model);
    const double loss = run(&s, source, &t.q, labels, 0, 2);
    FILE *f = open_beside(model, ".grad");
    ck_assert_int_eq(fscanf(f, "loss %lf", &want), 1);
    ck_assert_double_eq_tol(loss, want, 1e-5 * want);
    while (fscanf(f, "%d %31s %zu %lf", &layer, matrix, &k, &want) == 4) {
        if (!other_rows ||
            (strcmp(matrix, "attn_q") != 0 && strcmp(matrix, "attn_k") != 0))
            check_line(&s, model, layer, matrix, k, want);
        lines++;
    }
    ck_assert_uint_gt(lines, 20);
    fclose(f);
    free(s.all);
    mpq_source_free(source);
}
END_TEST

START_TEST(bits_do_not_depend_on_the_number_of_threads)
{
    static struct sums s[2];
    static struct net_text t;
    static uint32_t labels[2][NET_TOKENS];

    read_text(&t, net_models[_i]);
    struct mpq_source *source = open_net(net_models[_i]);
    for (unsigned k = 0; k < 2; k++) {
        for (size_t i = 0; i < t.start[t.q.n]; i++)
            labels[k][i] = MPQ_LABEL_DRAW;
        run(&s[k], source, &t.q, labels[k], 7, 1 + 4 * k);
    }
    ck_assert_mem_eq(labels[0], labels[1], t.start[t.q.n] * sizeof *labels[0]);
    ck_assert_uint_eq(s[0].n_all, s[1].n_all);
    ck_assert_mem_eq(s[0].all, s[1].all, s[0].n_all * sizeof *s[0].all);
    free(s[0].all);
    free(s[1].all);
    mpq_source_free(source);
}
END_TEST

/* In the mean over draws the gradient of ln p is 0, and the loss is the entropy: of 400
 * draws of every position both are within a few standard errors. */
START_TEST(labels_are_drawn_from_the_models_own_distribution)
{
    static struct net_text t;
    static uint32_t labels[NET_TOKENS];
    enum { DRAWS = 400 };
    struct mpq_err err = { 0 };
    struct mpq_forward *f;
    struct mpq_backward *b;
    size_t n;

    read_text(&t, net_models[_i]);
    t.q.n = 1;
    const size_t tokens = t.start[1];
    struct mpq_source *source = open_net(net_models[_i]);
    ck_assert_int_eq(mpq_forward_new(&f, source, 1, &err), 0);
    ck_assert_int_eq(mpq_backward_new(&b, f, &t.q, SIZE_MAX, &err), 0);
    ck_assert_int_eq(mpq_backward_forward(b, NULL, NULL, &err), 0);
    double sum = 0, square = 0, entropy = 0;
    for (uint64_t seed = 0; seed < DRAWS; seed++) {
        for (size_t i = 0; i < tokens; i++)
            labels[i] = MPQ_LABEL_DRAW;
        ck_assert_int_eq(mpq_backward_output(b, labels, seed, &err), 0);
        const double loss = mpq_backward_loss(b, &n);
        ck_assert_uint_eq(n, tokens);
        sum += loss;
        square += loss * loss;
    }
    /* Every id as the label of every position: p by exp(-loss). */
    static double each[96];
    for (size_t i = 0; i < tokens; i++) {
        double total = 0;
        for (uint32_t v = 0; v < 96; v++) {
            for (size_t k = 0; k < tokens; k++)
                labels[k] = k == i ? v : MPQ_LABEL_NONE;
            ck_assert_int_eq(mpq_backward_output(b, labels, 0, &err), 0);
            each[v] = mpq_backward_loss(b, &n);
            ck_assert_uint_eq(n, 1);
            total += exp(-each[v]);
            entropy += each[v] * exp(-each[v]);
        }
        ck_assert_double_eq_tol(total, 1, 1e-5);
    }
    const double mean = sum / DRAWS,
                 se = sqrt((square / DRAWS - mean * mean) / (DRAWS - 1));
    ck_assert_msg(fabs(mean - entropy) < 4 * se, "%s: %g, entropy %g, se %g",
                  net_models[_i], mean, entropy, se);
    mpq_backward_free(b);
    mpq_forward_free(f);
    mpq_source_free(source);
}
END_TEST

START_TEST(refuses_a_label_that_is_no_token)
{
    static struct net_text t;
    static uint32_t labels[NET_TOKENS];
    struct mpq_err err = { 0 };
    struct mpq_forward *f;
    struct mpq_backward *b;

    read_text(&t, "llama");
    struct mpq_source *source = open_net("llama");
    ck_assert_int_eq(mpq_forward_new(&f, source, 1, &err), 0);
    ck_assert_int_eq(mpq_backward_new(&b, f, &t.q, SIZE_MAX, &err), 0);
    ck_assert_int_eq(mpq_backward_forward(b, NULL, NULL, &err), 0);
    labels[3] = 96;
    ck_assert_int_eq(mpq_backward_output(b, labels, 0, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "token id 96 in a vocabulary of 96"));
    mpq_backward_free(b);
    mpq_forward_free(f);
    mpq_source_free(source);
}
END_TEST

Suite *
mpq_suite(void)
{
    Suite *s = suite_create("backward");
    TCase *tc = tcase_create("all");

    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, gradients_are_those_of_differences, 0, NET_MODELS);
    tcase_add_loop_test(tc, bits_do_not_depend_on_the_number_of_threads, 0, NET_MODELS);
    tcase_add_loop_test(tc, labels_are_drawn_from_the_models_own_distribution, 0,
                        NET_MODELS);
    tcase_add_test(tc, refuses_a_label_that_is_no_token);
    suite_add_tcase(s, tc);
    return s;
}
