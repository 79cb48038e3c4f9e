/*
 * Fisher information and predicted damage: sums against plain loops over the same
 * gradients, and the law that they are for, that half the mean square of the gradient
 * along a small change of the weights is the divergence that it brings.
 */
#include "nets.h"

#include "base/buf.h"
#include "model/fisher_damage.h"
#include "quant/half.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const models[] = { "llama", "qwen2", "qwen3", "gemma2", "gemma3" };
enum { N_MODELS = sizeof models / sizeof *models, TOKENS = 57, LAYER = 1 };

/* A model with two sequences that have gone through it. */
struct run {
    struct mpq_source *s;
    struct mpq_forward *f;
    struct mpq_backward *b;
    uint32_t tokens[TOKENS], labels[TOKENS];
    size_t start[3];
    struct mpq_seqs q;
};

static void
draw(struct run *r, uint64_t seed)
{
    struct mpq_err err = { 0 };

    for (size_t i = 0; i < TOKENS; i++)
        r->labels[i] = MPQ_LABEL_DRAW;
    ck_assert_msg(mpq_backward_output(r->b, r->labels, seed, &err) == 0, "%s",
                  err.text);
}

static void
begin(struct run *r, const char *model, unsigned threads)
{
    struct mpq_err err = { 0 };

    memset(r, 0, sizeof *r);
    for (uint32_t i = 0; i < TOKENS; i++)
        r->tokens[i] = 3 + (i * i * 7 + i) % 61;
    r->start[1] = 40;
    r->start[2] = TOKENS;
    r->q = (struct mpq_seqs){ 2, r->tokens, r->start, NULL, NULL };
    r->s = open_net(model);
    ck_assert_int_eq(mpq_forward_new(&r->f, r->s, threads, &err), 0);
    ck_assert_int_eq(mpq_backward_new(&r->b, r->f, &r->q, SIZE_MAX, &err), 0);
    ck_assert_int_eq(mpq_backward_forward(r->b, NULL, NULL, &err), 0);
    draw(r, 3);
}

/* Down to above LAYER. */
static void
go_down(struct run *r)
{
    struct mpq_err err = { 0 };

    for (size_t l = mpq_forward_net(r->f)->n_layer; l-- > LAYER + 1;)
        ck_assert_int_eq(mpq_backward_layer(r->b, l, NULL, NULL, &err), 0);
}

static void
end(struct run *r)
{
    mpq_backward_free(r->b);
    mpq_forward_free(r->f);
    mpq_source_free(r->s);
}

/* What a tap shows of the matrices of a layer. */
struct seen {
    float *x[8], *g[8];
    const struct mpq_weight *weight[8];
    size_t n;
};

static int
see(void *ctx, const struct mpq_grad_tap *tap, struct mpq_err *err)
{
    struct seen *s = ctx;
    size_t i = 0;

    (void)err;
    while (i < s->n && s->weight[i] != tap->weight)
        i++;
    const size_t rows = (size_t)tap->weight->rows, cols = (size_t)tap->weight->cols;
    if (i == s->n) {
        s->weight[s->n++] = tap->weight;
        s->x[i] = need(TOKENS * cols, sizeof(float));
        s->g[i] = need(TOKENS * rows, sizeof(float));
    }
    for (size_t t = 0; t < tap->n; t++) {
        memcpy(s->x[i] + (tap->token + t) * cols, tap->x + t * tap->x_stride,
               cols * sizeof(float));
        memcpy(s->g[i] + (tap->token + t) * rows, tap->g + t * tap->g_stride,
               rows * sizeof(float));
    }
    return 0;
}

static void
free_seen(struct seen *s)
{
    for (size_t i = 0; i < s->n; i++) {
        free(s->x[i]);
        free(s->g[i]);
    }
}

static void
near(double got, double want, double size, const char *what)
{
    ck_assert_msg(fabs(got - want) <= 1e-5 * size, "%s: %.9g, not %.9g (size %g)", what,
                  got, want, size);
}

/* The sums of F by plain loops, and damages by plain rounding. */
static void
check_sums(const struct mpq_fisher *f, const struct seen *s, size_t i)
{
    const size_t rows = (size_t)f->weight->rows, cols = (size_t)f->weight->cols;
    double w[TOKENS], all = 0, trace = 0, share[2] = { 0 };

    for (size_t t = 0; t < TOKENS; t++) {
        double xx = 0;
        w[t] = 0;
        for (size_t r = 0; r < rows; r++)
            w[t] += pow((double)s->g[i][t * rows + r], 2) / (double)rows;
        for (size_t c = 0; c < cols; c++)
            xx += pow((double)s->x[i][t * cols + c], 2);
        all += w[t];
        trace += w[t] * xx;
        share[t >= 40] += w[t] * xx;
    }
    near(f->share[0], share[0], trace, "share");
    near(f->share[1], share[1], trace, "share");
    ck_assert_uint_eq(f->n_tokens, TOKENS);
    for (size_t r = 0; r < rows; r++) {
        double sum = 0;
        for (size_t t = 0; t < TOKENS; t++)
            sum += pow((double)s->g[i][t * rows + r], 2);
        near(f->rows[r], sum / all, 1, "row");
    }
    for (size_t a = 0; a < cols; a++)
        for (size_t b = a; b < cols; b++) {
            double sum = 0;
            for (size_t t = 0; t < TOKENS; t++)
                sum += w[t] * (double)s->x[i][t * cols + a] *
                       (double)s->x[i][t * cols + b];
            near(f->gram[a * cols + b], sum, trace / (double)cols, "gram");
            if (a == b)
                ck_assert_double_eq(f->diagonal[a], f->gram[a * cols + a]);
        }
}

/* Rounds N numbers to 8 bits in blocks of 32, scales in f16, by the rule itself. */
static void
round_plainly(const float *x, size_t n, double *to)
{
    for (size_t b = 0; b < n; b += 32) {
        double most = 0;
        for (size_t c = b; c < b + 32; c++)
            most = fmax(most, fabs((double)x[c]));
        const double scale = (double)mpq_f16_round((float)(most / 127));
        for (size_t c = b; c < b + 32; c++)
            to[c] = most > 0 ? scale * nearbyint((double)x[c] * 127 / most) : 0;
    }
}

/* What rounding the inputs costs, by plain loops. */
static void
check_inputs(const struct mpq_fisher *f, const struct seen *s, size_t i,
             const struct run *r)
{
    const size_t rows = (size_t)f->weight->rows, cols = (size_t)f->weight->cols;
    double *rounded = need(cols, sizeof *rounded), sum = 0;
    float *w = need(rows * cols, sizeof *w);
    struct mpq_err err = { 0 };

    ck_assert(isnan(f->inputs[1])); /* 256 columns are not there */
    ck_assert(isnan(f->inputs[0]) == (cols % 32 != 0));
    ck_assert_int_eq(mpq_source_read_rows(r->s, f->weight, 0, rows, w, &err), 0);
    for (size_t t = 0; t < TOKENS && cols % 32 == 0; t++) {
        const float *x = s->x[i] + t * cols;
        double moved = 0;
        round_plainly(x, cols, rounded);
        for (size_t k = 0; k < rows; k++)
            for (size_t c = 0; c < cols; c++)
                moved += (double)s->g[i][t * rows + k] * (double)w[k * cols + c] *
                         (rounded[c] - (double)x[c]);
        sum += moved * moved;
    }
    if (cols % 32 == 0)
        ck_assert_double_eq_tol(f->inputs[0], sum, 1e-3 * sum);
    free(rounded);
    free(w);
}

static double
quadratic_form(const struct mpq_fisher *f, const struct run *r, struct mpq_type type)
{
    const size_t rows = (size_t)f->weight->rows, cols = (size_t)f->weight->cols;
    float *w = need(cols, sizeof *w), *e = need(cols, sizeof *e),
          *by = need(cols, sizeof *by);
    struct mpq_err err = { 0 };
    unsigned char bytes[4096];
    double sum = 0;

    for (size_t c = 0; c < cols; c++)
        by[c] = (float)f->diagonal[c];
    for (size_t k = 0; k < rows; k++) {
        ck_assert_int_eq(mpq_source_read_rows(r->s, f->weight, k, 1, w, &err), 0);
        mpq_encode_row(type, w, by, bytes, cols, MPQ_EFFORT_FAST);
        mpq_decode_row(type, bytes, e, cols);
        for (size_t a = 0; a < cols; a++)
            for (size_t b = 0; b < cols; b++)
                sum += f->rows[k] * (double)(e[a] - w[a]) * (double)(e[b] - w[b]) *
                       f->gram[(a < b ? a : b) * cols + (a < b ? b : a)];
    }
    free(w);
    free(e);
    free(by);
    return sum / (2 * (double)TOKENS);
}

static void
check_damage(const struct mpq_fisher *f, const struct run *r)
{
    struct mpq_type types[3];
    struct mpq_err err = { 0 };
    struct mpq_fisher_damage damage[3];
    const int blocks = f->weight->cols % 32 == 0;
    const struct mpq_fisher_rounding how = { types, 3, MPQ_EFFORT_FAST, 3, 1 };

    ck_assert_int_eq(mpq_type_parse("int3g8", &types[0]), 0);
    ck_assert_int_eq(mpq_type_parse("q4_k", &types[1]), 0);
    ck_assert_int_eq(mpq_type_parse(blocks ? "q5_1" : "f32", &types[2]), 0);
    size_t labels[] = { r->q.start[1], r->q.start[2] - r->q.start[1] };
    ck_assert_uint_eq(labels[0] + labels[1], TOKENS);
    ck_assert_int_eq(mpq_fisher_damage(damage, f, labels, r->q.n, r->s, &how, &err), 0);
    const double want = quadratic_form(f, r, types[0]);
    near(damage[0].mean, want, want, f->weight->name);
    const double a = f->share[0], b = f->share[1],
                 off = a - (a + b) * (double)labels[0] / TOKENS;
    near(damage[0].se, want * 2 * fabs(off) / (a + b), want, "se of two");
    ck_assert(isnan(damage[1].mean));         /* 256 columns are not there */
    ck_assert_double_eq(damage[0].inputs, 0); /* no runtime rounds for it */
    ck_assert_double_eq(damage[1].inputs, 0);
    if (blocks)
        ck_assert_double_eq_tol(damage[2].inputs, f->inputs[0] / (2 * TOKENS), 1e-12);
    else
        ck_assert_double_eq(damage[2].mean, 0);
}

START_TEST(sums_are_those_of_the_gradients)
{
    struct run r;
    struct seen seen = { .n = 0 };
    struct mpq_fishers *f[2];
    struct mpq_err err = { 0 };

    begin(&r, models[_i], 1);
    go_down(&r);
    ck_assert_int_eq(mpq_backward_layer(r.b, LAYER, see, &seen, &err), 0);
    for (unsigned k = 0; k < 2; k++) {
        draw(&r, 3);
        go_down(&r);
        ck_assert_int_eq(mpq_fishers_new(&f[k], &r.q,
                                         MPQ_FISHER_GRAMS | MPQ_FISHER_INPUTS,
                                         1 + 3 * k, &err),
                         0);
        ck_assert_int_eq(mpq_fishers_layer(f[k], r.b, LAYER, &err), 0);
    }
    for (int m = 0; m < MPQ_FISHER_WEIGHTS; m++) {
        const struct mpq_fisher *a = &mpq_fishers_get(f[0])[m],
                                *b = &mpq_fishers_get(f[1])[m];
        const size_t cols = (size_t)a->weight->cols;
        size_t i = 0;
        while (i < seen.n && seen.weight[i] != a->weight)
            i++;
        ck_assert_uint_lt(i, seen.n);
        check_sums(a, &seen, i);
        check_inputs(a, &seen, i, &r);
        check_damage(a, &r);
        ck_assert_mem_eq(a->inputs, b->inputs, sizeof a->inputs);
        ck_assert_mem_eq(a->gram, b->gram, cols * cols * sizeof *a->gram);
        ck_assert_mem_eq(a->rows, b->rows, (size_t)a->weight->rows * sizeof *a->rows);
    }
    /* diagonals alone */
    struct mpq_fishers *d;
    draw(&r, 3);
    go_down(&r);
    ck_assert_int_eq(mpq_fishers_new(&d, &r.q, 0, 2, &err), 0);
    ck_assert_int_eq(mpq_fishers_layer(d, r.b, LAYER, &err), 0);
    for (int m = 0; m < MPQ_FISHER_WEIGHTS; m++) {
        const struct mpq_fisher *a = &mpq_fishers_get(f[0])[m],
                                *b = &mpq_fishers_get(d)[m];
        ck_assert_ptr_null(b->gram);
        for (size_t c = 0; c < a->weight->cols; c++)
            near(b->diagonal[c], a->diagonal[c], a->diagonal[c], "diagonal");
    }
    mpq_fishers_free(d);
    mpq_fishers_free(f[0]);
    mpq_fishers_free(f[1]);
    free_seen(&seen);
    end(&r);
}
END_TEST

/* --- the law ---------------------------------------------------------------------- */

/* A small change of one matrix. */
struct change {
    const struct mpq_source *s;
    const char *name;
    double size, along; /* sum over tokens of g^T E x */
};

static double
entry(const struct change *c, size_t row, size_t col)
{
    return c->size * sin(1.7 * (double)row + 0.9 * (double)(col * col) + 0.3);
}

static int
fill(void *ctx, const struct mpq_weight *w, float *dst, struct mpq_err *err)
{
    const struct change *c = ctx;
    const size_t cols = (size_t)w->cols;

    if (strcmp(w->name, c->name) != 0)
        return 0;
    if (mpq_source_read_rows(c->s, w, 0, w->rows, dst, err) < 0)
        return -1;
    for (size_t i = 0; i < w->rows * cols; i++)
        dst[i] += (float)entry(c, i / cols, i % cols);
    return 1;
}

static int
go_along(void *ctx, const struct mpq_grad_tap *tap, struct mpq_err *err)
{
    struct change *c = ctx;

    (void)err;
    if (strcmp(tap->weight->name, c->name) != 0)
        return 0;
    for (size_t t = 0; t < tap->n; t++)
        for (size_t r = 0; r < tap->weight->rows; r++)
            for (size_t k = 0; k < tap->weight->cols; k++)
                c->along += (double)tap->g[t * tap->g_stride + r] * entry(c, r, k) *
                            (double)tap->x[t * tap->x_stride + k];
    return 0;
}

/* Sum of the divergences of all rows. */
static int
add_divergence(void *ctx, const struct mpq_logit_tile *t, unsigned thread,
               struct mpq_err *err)
{
    double *sum = ctx;

    (void)thread, (void)err;
    for (size_t i = 0; i < t->n_rows; i++) {
        const float *x = t->logits + i * t->stride, *ref = t->ref + i * t->stride;
        double zx = 0, zr = 0, kl = 0;
        for (size_t v = 0; v < t->n_vocab; v++) {
            zx += exp((double)x[v]);
            zr += exp((double)ref[v]);
        }
        for (size_t v = 0; v < t->n_vocab; v++)
            kl += exp((double)ref[v]) / zr *
                  ((double)ref[v] - (double)x[v] + log(zx) - log(zr));
        *sum += kl;
    }
    return 0;
}

static double
divergence(struct run *r, const struct mpq_logits_side *side, size_t *rows)
{
    struct mpq_states before;
    struct mpq_err err = { 0 };
    double sum = 0;

    mpq_backward_states(r->b, mpq_forward_net(r->f)->n_layer, &before);
    const struct mpq_logits_side ref = { r->f, &before };
    for (size_t i = 0; i < TOKENS; i++)
        rows[i] = i;
    ck_assert_int_eq(
        mpq_forward_logits(side, &ref, rows, TOKENS, add_divergence, &sum, &err), 0);
    return sum;
}

START_TEST(divergence_is_half_the_mean_square_of_the_gradient)
{
    static const char *const names[] = { "blk.1.ffn_up", "blk.1.attn_q",
                                         "blk.1.attn_output" };
    enum { DRAWS = 400 };
    struct run r;
    struct mpq_err err = { 0 };
    struct mpq_states x;
    size_t rows[TOKENS];

    begin(&r, models[_i], 1);
    const struct mpq_net *net = mpq_forward_net(r.f);
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        struct change c = { r.s, names[k], 0.003, 0 };
        double sum = 0, square = 0;
        struct mpq_forward *changed;
        ck_assert_int_eq(mpq_forward_new(&changed, r.s, 1, &err), 0);
        mpq_forward_fill(changed, fill, &c);
        ck_assert_int_eq(mpq_states_new(&x, TOKENS, net->n_embd, SIZE_MAX, &err), 0);
        ck_assert_int_eq(mpq_forward_embed(changed, &r.q, &x, &err), 0);
        for (size_t l = 0; l < net->n_layer; l++)
            ck_assert_int_eq(mpq_forward_layer(changed, l, &r.q, &x, &err), 0);
        const double kl =
            divergence(&r, &(struct mpq_logits_side){ changed, &x }, rows);
        for (uint64_t seed = 0; seed < DRAWS; seed++) {
            draw(&r, seed);
            go_down(&r);
            c.along = 0;
            ck_assert_int_eq(mpq_backward_layer(r.b, LAYER, go_along, &c, &err), 0);
            sum += c.along * c.along / 2;
            square += pow(c.along, 4) / 4;
        }
        const double mean = sum / DRAWS,
                     se = sqrt((square / DRAWS - mean * mean) / (DRAWS - 1));
        ck_assert_msg(fabs(mean - kl) < 4 * se + 0.02 * kl,
                      "%s, %s: %g predicted, se %g; %g measured", models[_i], names[k],
                      mean, se, kl);
        mpq_states_free(&x);
        mpq_forward_free(changed);
    }
    end(&r);
}
END_TEST

/* The unembedding's damage is the divergence with a rounded one in its place. */
START_TEST(damage_of_the_output_is_measured)
{
    struct run r;
    struct mpq_err err = { 0 };
    struct mpq_type type;
    struct mpq_fisher_damage damage;
    const struct mpq_fisher_rounding how = { &type, 1, MPQ_EFFORT_FAST, 2, 0 };
    struct mpq_states x;
    unsigned char bytes[256];
    size_t rows[TOKENS];

    begin(&r, "llama", 2);
    const struct mpq_net *net = mpq_forward_net(r.f);
    const size_t d = net->n_embd;
    float *importance = need(d, sizeof *importance);
    ck_assert_int_eq(mpq_type_parse("int3g12", &type), 0);
    mpq_backward_states(r.b, net->n_layer, &x);
    ck_assert_int_eq(
        mpq_fisher_damage_output(&damage, r.f, &x, 1000, importance, &how, &err), 0);
    struct mpq_weight w = *mpq_source_find(r.s, "output");
    float *rounded = need(net->n_vocab, d * sizeof *rounded);
    ck_assert_int_eq(mpq_source_read_rows(r.s, &w, 0, net->n_vocab, rounded, &err), 0);
    for (size_t i = 0; i < net->n_vocab; i++) {
        mpq_encode_row(type, rounded + i * d, importance, bytes, d, MPQ_EFFORT_FAST);
        mpq_decode_row(type, bytes, rounded + i * d, d);
    }
    w.tensor.type = MPQ_TYPE(MPQ_F32);
    w.tensor.data = (const unsigned char *)rounded;
    struct mpq_forward *changed;
    ck_assert_int_eq(mpq_forward_new(&changed, r.s, 1, &err), 0);
    mpq_forward_replace(changed, &w, 1);
    const double want =
        divergence(&r, &(struct mpq_logits_side){ changed, &x }, rows) / TOKENS;
    ck_assert_double_gt(want, 0);
    ck_assert_double_eq_tol(damage.mean, want, 1e-4 * want);
    ck_assert(damage.se > 0 && damage.se < damage.mean);
    mpq_forward_free(changed);
    free(rounded);
    free(importance);
    end(&r);
}
END_TEST

/* What rounding its inputs costs is what mpq_forward_int8 does, of weights that are in
 * 8 bits before. */
START_TEST(inputs_of_the_output_are_measured)
{
    struct run r;
    struct mpq_err err = { 0 };
    const struct mpq_type type = MPQ_TYPE(MPQ_Q8_0);
    struct mpq_fisher_damage damage;
    const struct mpq_fisher_rounding how = { &type, 1, MPQ_EFFORT_FAST, 2, 1 };
    struct mpq_states x;
    struct mpq_forward *plain, *rounds;
    size_t rows[TOKENS];
    double sum = 0;
    uint64_t bytes;

    begin(&r, models[_i], 2);
    const struct mpq_net *net = mpq_forward_net(r.f);
    struct mpq_weight w =
        *mpq_source_find(r.s, mpq_source_find(r.s, "output") ? "output" : "token_embd");
    const size_t d = net->n_embd;
    ck_assert_int_eq(mpq_type_row_bytes(type, d, &bytes), 0);
    float *row = need(d, sizeof *row);
    unsigned char *codes = need(net->n_vocab, (size_t)bytes);
    for (size_t i = 0; i < net->n_vocab; i++) {
        ck_assert_int_eq(mpq_source_read_rows(r.s, &w, i, 1, row, &err), 0);
        mpq_encode_row(type, row, NULL, codes + i * bytes, d, MPQ_EFFORT_FAST);
    }
    w.tensor.type = type;
    w.tensor.data = codes;
    ck_assert_int_eq(mpq_forward_new(&plain, r.s, 1, &err), 0);
    ck_assert_int_eq(mpq_forward_new(&rounds, r.s, 1, &err), 0);
    mpq_forward_replace(plain, &w, 1);
    mpq_forward_replace(rounds, &w, 1);
    mpq_forward_int8(rounds, 1);
    mpq_backward_states(r.b, net->n_layer, &x);
    ck_assert_int_eq(
        mpq_fisher_damage_output(&damage, plain, &x, 1000, NULL, &how, &err), 0);
    for (size_t i = 0; i < TOKENS; i++)
        rows[i] = i;
    const struct mpq_logits_side ref = { plain, &x }, side = { rounds, &x };
    ck_assert_int_eq(
        mpq_forward_logits(&side, &ref, rows, TOKENS, add_divergence, &sum, &err), 0);
    ck_assert_double_gt(sum, 0);
    ck_assert_double_eq_tol(damage.inputs, sum / TOKENS, 1e-3 * sum / TOKENS);
    ck_assert_double_eq(damage.mean, 0);
    mpq_forward_free(plain);
    mpq_forward_free(rounds);
    free(codes);
    free(row);
    end(&r);
}
END_TEST

/* --- the embedding ---------------------------------------------------------------- */

static int
check_embedding(void *ctx, const struct mpq_grad_tap *tap, struct mpq_err *err)
{
    struct run *r = ctx;
    const size_t d = (size_t)tap->weight->cols;
    const float scale = mpq_forward_net(r->f)->embed_scale;
    struct mpq_type type;
    struct mpq_fisher_damage damage;
    const struct mpq_fisher_rounding how = { &type, 1, MPQ_EFFORT_FAST, 2, 0 };
    unsigned char bytes[256];
    float w[64], e[64];
    double sum = 0;

    ck_assert_int_eq(mpq_type_parse("int3g8", &type), 0);
    ck_assert_int_eq(mpq_fisher_damage_embedding(&damage, tap, &r->q, NULL, scale,
                                                 TOKENS, r->s, &how, err),
                     0);
    for (size_t q = 0; q < 2; q++)
        for (uint32_t id = 0; id < 96; id++) {
            double moved = 0;
            ck_assert_int_eq(mpq_source_read_rows(r->s, tap->weight, id, 1, w, err), 0);
            mpq_encode_row(type, w, NULL, bytes, d, MPQ_EFFORT_FAST);
            mpq_decode_row(type, bytes, e, d);
            for (size_t t = r->start[q]; t < r->start[q + 1]; t++)
                for (size_t c = 0; c < d && r->tokens[t] == id; c++)
                    moved +=
                        (double)tap->g[t * tap->g_stride + c] * (double)(e[c] - w[c]);
            sum += moved * moved;
        }
    const double want = sum * (double)scale * (double)scale / (2 * (double)TOKENS);
    ck_assert_double_eq_tol(damage.mean, want, 1e-5 * want);
    ck_assert(damage.se > 0 && damage.se < damage.mean);
    return 0;
}

START_TEST(damage_of_the_embedding_takes_a_token_s_places_together)
{
    struct run r;
    struct mpq_err err = { 0 };

    begin(&r, models[_i], 2);
    for (size_t l = mpq_forward_net(r.f)->n_layer; l-- > 0;)
        ck_assert_int_eq(mpq_backward_layer(r.b, l, NULL, NULL, &err), 0);
    ck_assert_int_eq(mpq_backward_embedding(r.b, check_embedding, &r, &err), 0);
    end(&r);
}
END_TEST

Suite *
mpq_suite(void)
{
    Suite *s = suite_create("fisher");
    TCase *tc = tcase_create("all");

    tcase_set_timeout(tc, 240);
    tcase_add_loop_test(tc, sums_are_those_of_the_gradients, 0, N_MODELS);
    tcase_add_loop_test(tc, divergence_is_half_the_mean_square_of_the_gradient, 0,
                        N_MODELS);
    tcase_add_test(tc, damage_of_the_output_is_measured);
    tcase_add_loop_test(tc, inputs_of_the_output_are_measured, 1, N_MODELS);
    tcase_add_loop_test(tc, damage_of_the_embedding_takes_a_token_s_places_together, 0,
                        N_MODELS);
    suite_add_tcase(s, tc);
    return s;
}
