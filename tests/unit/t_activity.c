/*
 * What the linears are given, against plain numpy in double (tests/data/gen_activity.py
 * tells how that was made), and against itself where it must not matter how the work is
 * cut; how far blocks move hidden states; importance matrices written and read back.
 */
#include "nets.h"

#include "base/buf.h"
#include "method/reach.h"
#include "model/activity.h"
#include "quant/imatrix.h"
#include "quant/imatrix_write.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const double tolerance = 1e-4;

static const char *const models[] = { "llama",      "llama.gguf", "qwen2",
                                      "qwen2.gguf", "gemma3",     "gemma3.gguf" };
enum { N_MODELS = sizeof models / sizeof *models, MAX_LAYERS = 8 };

/* All that a pass gives, copied. */
struct seen {
    size_t n_layer, cols[MAX_LAYERS + 1][MPQ_TAP_INPUTS];
    size_t n_weights[MAX_LAYERS + 1][MPQ_TAP_INPUTS];
    uint64_t n_tokens[MAX_LAYERS + 1][MPQ_TAP_INPUTS];
    double *gram[MAX_LAYERS + 1][MPQ_TAP_INPUTS];
    double *diagonal[MAX_LAYERS + 1][MPQ_TAP_INPUTS];
    double trace[MAX_LAYERS + 1][MPQ_TAP_INPUTS][NET_SEQS];
    double lim[MAX_LAYERS], lsaq[MAX_LAYERS];
    char output[64]; /* the name of what the last input goes to */
};

static void
copy_input(struct seen *s, size_t l, size_t i, const struct mpq_input *in,
           size_t n_seqs)
{
    const size_t n = in->cols;

    s->cols[l][i] = n;
    s->n_weights[l][i] = in->n_weights;
    s->n_tokens[l][i] = in->n_tokens;
    s->diagonal[l][i] = mpq_array(n, sizeof(double));
    ck_assert_ptr_nonnull(s->diagonal[l][i]);
    memcpy(s->diagonal[l][i], in->diagonal, n * sizeof(double));
    for (size_t k = 0; k < n_seqs; k++)
        s->trace[l][i][k] = in->trace[k];
    if (!in->gram)
        return;
    s->gram[l][i] = mpq_array(n * n, sizeof(double));
    ck_assert_ptr_nonnull(s->gram[l][i]);
    memcpy(s->gram[l][i], in->gram, n * n * sizeof(double));
}

static void
free_seen(struct seen *s)
{
    for (size_t l = 0; l <= s->n_layer; l++)
        for (size_t i = 0; i < MPQ_TAP_INPUTS; i++) {
            free(s->gram[l][i]);
            free(s->diagonal[l][i]);
        }
}

/* MODEL reads Q; layers from FIRST on are measured. The unembedding's input comes as
 * input 0 of layer n_layer. */
static void
run(struct seen *seen, const char *model, const struct mpq_seqs *q,
    enum mpq_activity_kind kind, unsigned threads, size_t first)
{
    struct mpq_source *s;
    struct mpq_forward *f;
    struct mpq_activity *a;
    struct mpq_reach *r;
    struct mpq_states x;
    const struct mpq_input *in;
    struct mpq_err err = { 0 };

    *seen = (struct seen){ 0 };
    s = open_net(model);
    ck_assert_msg(mpq_forward_new(&f, s, threads, &err) == 0, "%s", err.text);
    const struct mpq_net *net = mpq_forward_net(f);
    seen->n_layer = net->n_layer;
    ck_assert_uint_le(net->n_layer, MAX_LAYERS);
    ck_assert_int_eq(mpq_states_new(&x, q->start[q->n], net->n_embd, SIZE_MAX, &err),
                     0);
    ck_assert_int_eq(mpq_activity_new(&a, f, q, kind, threads, &err), 0);
    ck_assert_int_eq(
        mpq_reach_new(&r, f, q, first, net->n_layer - 1, SIZE_MAX, threads, &err), 0);
    ck_assert_int_eq(mpq_forward_embed(f, q, &x, &err), 0);
    for (size_t l = 0; l < net->n_layer; l++) {
        ck_assert_int_eq(mpq_reach_see(r, l, &x, &err), 0);
        ck_assert_msg(mpq_activity_layer(a, l, &x, &err) == 0, "%s", err.text);
        in = mpq_activity_inputs(a);
        for (size_t i = 0; i < MPQ_TAP_INPUTS; i++)
            copy_input(seen, l, i, &in[i], q->n);
    }
    ck_assert_int_eq(mpq_reach_see(r, net->n_layer, &x, &err), 0);
    ck_assert_msg(mpq_reach_project(r, &err) == 0, "%s", err.text);
    for (size_t l = first; l < net->n_layer; l++) {
        seen->lim[l] = mpq_reach_lim(r, l);
        seen->lsaq[l] = mpq_reach_lsaq(r, l);
    }
    ck_assert_msg(mpq_activity_output(a, &x, &in, &err) == 0, "%s", err.text);
    copy_input(seen, net->n_layer, 0, in, q->n);
    snprintf(seen->output, sizeof seen->output, "%s", in->weights[0]->name);
    mpq_reach_free(r);
    mpq_activity_free(a);
    mpq_states_free(&x);
    mpq_forward_free(f);
    mpq_source_free(s);
}

#define ck_near(got, want, scale, what)                                                \
    ck_assert_msg(fabs((got) - (want)) <= tolerance * (scale), "%s: %s: %g, not %g",   \
                  models[_i], what, got, want)

START_TEST(figures_are_numpys)
{
    struct net_text t;
    struct seen s;
    char what[16];
    size_t layers, inputs, seqs, l, i, a, b, n = 0;
    double want;

    read_text(&t, models[_i]);
    run(&s, models[_i], &t.q, MPQ_ACTIVITY_HESSIAN, 2, 0);
    FILE *f = open_beside(models[_i], ".activity");
    ck_assert_int_eq(fscanf(f, "%zu %zu %zu", &layers, &inputs, &seqs), 3);
    ck_assert_uint_eq(layers, s.n_layer);
    ck_assert_uint_eq(inputs, MPQ_TAP_INPUTS);
    ck_assert_uint_eq(seqs, t.q.n);
    for (; fscanf(f, "%15s", what) == 1; n++) {
        if (!strcmp(what, "trace") || !strcmp(what, "output")) {
            l = layers, i = 0;
            if (what[0] == 't')
                ck_assert_int_eq(fscanf(f, "%zu %zu", &l, &i), 2);
            ck_assert(l <= layers && i < inputs);
            for (size_t k = 0; k < seqs; k++) {
                ck_assert_int_eq(fscanf(f, "%lf", &want), 1);
                ck_near(s.trace[l][i][k], want, want, what);
            }
        } else if (!strcmp(what, "gram")) {
            ck_assert_int_eq(fscanf(f, "%zu %zu %zu %zu %lf", &l, &i, &a, &b, &want),
                             5);
            ck_assert(l < layers && i < inputs && a <= b && b < s.cols[l][i]);
            const double *d = s.diagonal[l][i];
            ck_near(s.gram[l][i][a * s.cols[l][i] + b], want, sqrt(d[a] * d[b]), what);
            if (a == b)
                ck_near(d[a], want, want, "diagonal");
        } else {
            ck_assert_int_eq(fscanf(f, "%zu %lf", &l, &want), 2);
            ck_assert(l < layers);
            if (!strcmp(what, "lim"))
                ck_near(s.lim[l], want, want, what);
            else /* ten of each: a multiple of a fraction, or a token is wrong */
                ck_assert_double_eq_tol(s.lsaq[l], want, 1e-9);
        }
    }
    ck_assert(feof(f));
    ck_assert_uint_gt(n, 30 * layers);
    fclose(f);
    const size_t weights[] = { 3, 1, 2, 1 };
    for (l = 0; l < layers; l++)
        for (i = 0; i < MPQ_TAP_INPUTS; i++) {
            ck_assert_uint_eq(s.n_weights[l][i], weights[i]);
            ck_assert_uint_eq(s.n_tokens[l][i], t.start[t.q.n]);
        }
    ck_assert_str_eq(s.output,
                     strncmp(models[_i], "llama", 5) ? "token_embd" : "output");
    free_seen(&s);
}
END_TEST

START_TEST(threads_do_not_show)
{
    struct net_text t;
    struct seen one, four;

    read_text(&t, models[_i]);
    for (int kind = MPQ_ACTIVITY_DIAGONAL; kind <= MPQ_ACTIVITY_HESSIAN; kind++) {
        run(&one, models[_i], &t.q, (enum mpq_activity_kind)kind, 1, 0);
        run(&four, models[_i], &t.q, (enum mpq_activity_kind)kind, 4, 0);
        ck_assert_mem_eq(one.trace, four.trace, sizeof one.trace);
        ck_assert_mem_eq(one.lim, four.lim, sizeof one.lim);
        ck_assert_mem_eq(one.lsaq, four.lsaq, sizeof one.lsaq);
        for (size_t l = 0; l <= one.n_layer; l++)
            for (size_t i = 0; i < (l < one.n_layer ? MPQ_TAP_INPUTS : 1); i++) {
                const size_t n = one.cols[l][i];
                ck_assert_mem_eq(one.diagonal[l][i], four.diagonal[l][i],
                                 n * sizeof(double));
                ck_assert_int_eq(one.gram[l][i] != NULL, kind == MPQ_ACTIVITY_HESSIAN);
                if (one.gram[l][i])
                    ck_assert_mem_eq(one.gram[l][i], four.gram[l][i],
                                     n * n * sizeof(double));
            }
        free_seen(&one);
        free_seen(&four);
    }
}
END_TEST

/* Each sequence by itself, added up: the whole. The diagonal alone is that of the Gram
 * matrix, and its sum the trace. Floats of other tiles: 1e-5. */
START_TEST(sequences_add_up)
{
    struct net_text t;
    struct seen whole, diagonal, part;
    double sum[MAX_LAYERS + 1][MPQ_TAP_INPUTS][64] = { { { 0 } } },
                            lim[MAX_LAYERS] = { 0 };

    read_text(&t, models[_i]);
    run(&whole, models[_i], &t.q, MPQ_ACTIVITY_HESSIAN, 2, 0);
    run(&diagonal, models[_i], &t.q, MPQ_ACTIVITY_DIAGONAL, 2, 0);
    for (size_t k = 0; k < t.q.n; k++) {
        const size_t start[] = { 0, t.start[k + 1] - t.start[k] };
        const struct mpq_seqs q = { .n = 1,
                                    .tokens = t.tokens + t.start[k],
                                    .start = start };
        run(&part, models[_i], &q, MPQ_ACTIVITY_DIAGONAL, 2, 0);
        for (size_t l = 0; l <= part.n_layer; l++)
            for (size_t i = 0; i < (l < part.n_layer ? MPQ_TAP_INPUTS : 1); i++) {
                ck_assert_double_eq_tol(part.trace[l][i][0], whole.trace[l][i][k],
                                        1e-5 * whole.trace[l][i][k]);
                ck_assert_uint_le(part.cols[l][i], 64);
                for (size_t c = 0; c < part.cols[l][i]; c++)
                    sum[l][i][c] += part.diagonal[l][i][c];
            }
        for (size_t l = 0; l < part.n_layer; l++)
            lim[l] += part.lim[l] * (double)start[1] / (double)t.start[t.q.n];
        free_seen(&part);
    }
    for (size_t l = 0; l <= whole.n_layer; l++)
        for (size_t i = 0; i < (l < whole.n_layer ? MPQ_TAP_INPUTS : 1); i++) {
            double trace = 0, from = 0;
            for (size_t c = 0; c < whole.cols[l][i]; c++) {
                const double d = whole.diagonal[l][i][c];
                ck_assert_double_eq_tol(sum[l][i][c], d, 1e-5 * d);
                ck_assert_double_eq_tol(diagonal.diagonal[l][i][c], d, 1e-5 * d);
                trace += d;
            }
            for (size_t k = 0; k < t.q.n; k++)
                from += whole.trace[l][i][k];
            ck_assert_double_eq_tol(trace, from, 1e-5 * from);
        }
    for (size_t l = 0; l < whole.n_layer; l++)
        ck_assert_double_eq_tol(lim[l], whole.lim[l], 1e-5);
    free_seen(&whole);
    free_seen(&diagonal);
}
END_TEST

START_TEST(a_part_of_the_layers_has_the_same_figures)
{
    struct net_text t;
    struct seen whole, part;

    read_text(&t, models[_i]);
    run(&whole, models[_i], &t.q, MPQ_ACTIVITY_DIAGONAL, 2, 0);
    run(&part, models[_i], &t.q, MPQ_ACTIVITY_DIAGONAL, 2, 1);
    for (size_t l = 1; l < whole.n_layer; l++) {
        ck_assert_double_eq(part.lim[l], whole.lim[l]);
        ck_assert_double_eq(part.lsaq[l], whole.lsaq[l]);
    }
    free_seen(&whole);
    free_seen(&part);
}
END_TEST

/* More sequences than are projected: evenly chosen, the same ten tokens each time here,
 * since all are the same sequence. */
START_TEST(many_sequences_are_sampled)
{
    struct net_text t;
    struct seen one;
    uint32_t tokens[700];
    size_t start[101], start_one[] = { 0, 7 };

    read_text(&t, "llama");
    for (size_t i = 0; i <= 100; i++)
        start[i] = 7 * i;
    for (size_t i = 0; i < 700; i++)
        tokens[i] = t.tokens[i % 7];
    struct mpq_seqs q = { .n = 1, .tokens = tokens, .start = start_one };
    run(&one, "llama", &q, MPQ_ACTIVITY_DIAGONAL, 1, 0);
    /* NET_SEQS traces are copied: show the others by the figures alone */
    struct mpq_source *s;
    struct mpq_forward *f;
    struct mpq_reach *r;
    struct mpq_states x;
    struct mpq_err err = { 0 };
    q = (struct mpq_seqs){ .n = 100, .tokens = tokens, .start = start };
    ck_assert_int_eq(mpq_source_open(&s, NETS "llama", NULL, &err), 0);
    ck_assert_int_eq(mpq_forward_new(&f, s, 3, &err), 0);
    ck_assert_int_eq(
        mpq_states_new(&x, 700, mpq_forward_net(f)->n_embd, SIZE_MAX, &err), 0);
    ck_assert_int_eq(mpq_reach_new(&r, f, &q, 0, one.n_layer - 1, 1, 3, &err), 0);
    ck_assert_int_eq(mpq_forward_embed(f, &q, &x, &err), 0);
    for (size_t l = 0; l <= one.n_layer; l++) {
        ck_assert_int_eq(mpq_reach_see(r, l, &x, &err), 0);
        if (l < one.n_layer)
            ck_assert_int_eq(mpq_forward_layer(f, l, &q, &x, &err), 0);
    }
    ck_assert_int_eq(mpq_reach_project(r, &err), 0);
    for (size_t l = 0; l < one.n_layer; l++) {
        ck_assert_double_eq_tol(mpq_reach_lim(r, l), one.lim[l], 1e-6);
        ck_assert_double_eq_tol(mpq_reach_lsaq(r, l), one.lsaq[l], 1e-9);
    }
    mpq_reach_free(r);
    mpq_states_free(&x);
    mpq_forward_free(f);
    mpq_source_free(s);
    free_seen(&one);
}
END_TEST

START_TEST(importance_reads_back)
{
    const double b[] = { 10, 20, 30 }, a[] = { 8, 0 }, big[] = { 1, 1e39 };
    struct mpq_imatrix_new m = { 0 };
    struct mpq_imatrix *back;
    struct mpq_out *out;
    struct mpq_err err = { 0 };
    const float *values;
    uint64_t parts;
    char path[] = "/tmp/mpq-imatrix-XXXXXX";

    const int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    close(fd);
    ck_assert_int_eq(mpq_imatrix_put(&m, "blk.0.ffn_up", b, 3, 10, &err), 0);
    ck_assert_int_eq(mpq_imatrix_put(&m, "blk.0.attn_q", a, 2, 4, &err), 0);
    ck_assert_int_eq(mpq_imatrix_put(&m, "blk.1.attn_q", a, 2, 0, &err), 0);
    ck_assert_int_eq(mpq_imatrix_put(&m, "blk.1.ffn_up", big, 2, 4, &err), -1);
    ck_assert_str_eq(err.text, "blk.1.ffn_up: column 2: a sum of squares of 1e+39");
    ck_assert_int_eq(mpq_out_open(&out, path, &err), 0);
    ck_assert_int_eq(mpq_imatrix_write(&m, out, "text", 2, 512, &err), 0);
    ck_assert_int_eq(mpq_out_close(out, &err), 0);
    mpq_imatrix_new_free(&m);
    ck_assert_msg(mpq_imatrix_open(&back, path, &err) == 0, "%s", err.text);
    unlink(path);
    ck_assert_uint_eq(mpq_imatrix_count(back), 3);
    ck_assert_str_eq(mpq_imatrix_at(back, 0)->name, "blk.0.attn_q");
    ck_assert_int_eq(
        mpq_imatrix_find(back, "blk.0.ffn_up", 5, 3, &values, &parts, &err), 1);
    for (int i = 0; i < 3; i++)
        ck_assert_float_eq(values[i], (float)(i + 1));
    ck_assert_int_eq(
        mpq_imatrix_find(back, "blk.0.attn_q", 5, 2, &values, &parts, &err), 1);
    ck_assert(values[0] == 2 && values[1] == 0);
    ck_assert_int_eq(
        mpq_imatrix_find(back, "blk.1.attn_q", 5, 2, &values, &parts, &err), 0);
    mpq_imatrix_free(back);
}
END_TEST

Suite *
mpq_suite(void)
{
    Suite *s = suite_create("activity");
    TCase *tc = tcase_create("activity");

    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, figures_are_numpys, 0, N_MODELS);
    tcase_add_loop_test(tc, threads_do_not_show, 0, N_MODELS);
    tcase_add_loop_test(tc, sequences_add_up, 0, N_MODELS);
    tcase_add_loop_test(tc, a_part_of_the_layers_has_the_same_figures, 0, N_MODELS);
    tcase_add_test(tc, many_sequences_are_sampled);
    tcase_add_test(tc, importance_reads_back);
    suite_add_tcase(s, tc);
    return s;
}
