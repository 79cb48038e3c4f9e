#include "model/tune_walk.h"

#include "base/buf.h"
#include "base/par.h"
#include "num/linalg.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    STATES_BYTES = 1 << 30, /* of each kind in memory, above it in a file */
    CHUNK = 2048,           /* tokens whose inputs are multiplied together */
    STRIP = 64              /* rows of a product, for a thread at a time */
};

/* Each of these twice: of the model, and as quantized. */
enum side { FULL, QUANT, SIDES };

struct mpq_walk {
    struct mpq_tune *t;
    const struct mpq_seqs *q;
    struct mpq_forward *forward;
    struct mpq_states x[SIDES];   /* [tokens][n_embd] */
    struct mpq_states buf[SIDES]; /* what attn_output or ffn_down is given */
    float *rows[SIDES];           /* inputs of CHUNK tokens, of the widest matrix */
    float *lag;                   /* [CHUNK][n_embd] by how far x is behind */
    float **scratch;              /* [threads] */
    struct mpq_input in;
    float *drift, *rest; /* room for those of in */
};

/* Which matrices have the input, by the names of weights; what comes before them. */
static const struct step {
    enum mpq_forward_part part;
    int from_x; /* the input is the normed x, not buf */
    const char *names[3];
} steps[MPQ_TAP_INPUTS] = {
    { MPQ_FORWARD_Q_K_V, 1, { "attn_q", "attn_k", "attn_v" } },
    { MPQ_FORWARD_O, 0, { "attn_output" } },
    { MPQ_FORWARD_GATE_UP, 1, { "ffn_gate", "ffn_up" } },
    { MPQ_FORWARD_DOWN, 0, { "ffn_down" } },
};

void
mpq_walk_free(struct mpq_walk *w)
{
    if (!w)
        return;
    mpq_forward_free(w->forward);
    for (int s = 0; s < SIDES; s++) {
        mpq_states_free(&w->x[s]);
        mpq_states_free(&w->buf[s]);
        free(w->rows[s]);
    }
    for (unsigned i = 0; w->scratch && i < w->t->o->threads; i++)
        free(w->scratch[i]);
    free(w->scratch);
    free(w->lag);
    free(w->in.gram);
    free(w->in.diagonal);
    free(w->drift);
    free(w->rest);
    free(w);
}

static int
allocate(struct mpq_walk *w, struct mpq_err *err)
{
    const struct mpq_net *net = mpq_forward_net(w->forward);
    const size_t n = w->q->start[w->q->n], q = net->n_head * net->head_dim;
    const size_t inner = q > net->n_ff ? q : net->n_ff;
    const size_t widest = inner > net->n_embd ? inner : net->n_embd;
    int ok = 1;

    for (int s = 0; s < SIDES; s++) {
        if (mpq_states_new(&w->x[s], n, net->n_embd, STATES_BYTES, err) < 0 ||
            mpq_states_new(&w->buf[s], n, inner, STATES_BYTES, err) < 0)
            return -1;
        ok &= !!(w->rows[s] = mpq_array(CHUNK, widest * sizeof(float)));
    }
    ok &= !!(w->lag = mpq_array(CHUNK, net->n_embd * sizeof(float)));
    ok &= !!(w->in.gram = mpq_array(widest, widest * sizeof(double)));
    ok &= !!(w->in.diagonal = mpq_array(widest, sizeof(double)));
    ok &= !!(w->drift = mpq_array(widest, widest * sizeof(float)));
    ok &= !!(w->rest = mpq_array(net->n_embd, widest * sizeof(float)));
    ok &= !!(w->scratch = mpq_array(w->t->o->threads, sizeof *w->scratch));
    for (unsigned i = 0; ok && i < w->t->o->threads; i++)
        ok &= !!(w->scratch[i] = mpq_array(mpq_gram_scratch(), sizeof(float)));
    return ok ? 0
              : mpq_fail(err, MPQ_ENOMEM, "out of memory for a Hessian of %zu", widest);
}

int
mpq_walk_new(struct mpq_walk **out, struct mpq_tune *t, const struct mpq_seqs *q,
             struct mpq_err *err)
{
    struct mpq_walk *w = calloc(1, sizeof *w);
    int rc = -1;

    *out = NULL;
    if (!w)
        return mpq_fail(err, MPQ_ENOMEM, "out of memory");
    w->t = t;
    w->q = q;
    if (mpq_forward_new(&w->forward, t->source, t->o->threads, err) < 0 ||
        allocate(w, err) < 0)
        goto out;
    *out = w;
    w = NULL;
    rc = 0;
out:
    mpq_walk_free(w);
    return rc;
}

/* --- what a step's input comes to --------------------------------------------------
 */

struct sums {
    const struct mpq_walk *w;
    size_t n, lag_rows; /* tokens of the chunk; n_embd, or 0: no rest */
};

static int
add_gram(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    const struct sums *s = ctx;
    const size_t cols = s->w->in.cols;

    (void)err;
    mpq_gram_tile(s->w->in.gram, s->w->rows[QUANT], s->n, cols, cols, item,
                  s->w->scratch[thread]);
    return 0;
}

/* c[rows][cols] += a^T x for rows [STRIP item, ...), a[n][rows]. */
static void
add_strip(const struct sums *s, const float *a, size_t rows, size_t item, float *c)
{
    const size_t cols = s->w->in.cols, from = item * STRIP;
    const size_t n = rows - from < STRIP ? rows - from : STRIP;

    mpq_gemm_add_f(1, 0, n, cols, s->n, 1, a + from, rows, s->w->rows[QUANT], cols, 1,
                   c + from * cols, cols);
}

static size_t
strips(size_t rows)
{
    return (rows + STRIP - 1) / STRIP;
}

static int
add_products(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    const struct sums *s = ctx;
    const size_t n = strips(s->w->in.cols);

    (void)thread, (void)err;
    if (item < n)
        add_strip(s, s->w->rows[FULL], s->w->in.cols, item, s->w->drift);
    else
        add_strip(s, s->w->lag, s->lag_rows, item - n, s->w->rest);
    return 0;
}

static void
subtract(float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        a[i] -= b[i];
}

/* Inputs of tokens [at, at + n) into rows, the model's less what they have become. */
static int
gather(struct mpq_walk *w, size_t layer, const struct step *step, size_t at, size_t n,
       struct mpq_err *err)
{
    const size_t cols = w->in.cols, d = w->x[FULL].width;

    for (int s = 0; s < SIDES; s++) {
        if (step->from_x) {
            if (mpq_forward_normed(w->forward, layer, step->part, &w->x[s], at, n,
                                   w->rows[s], err) < 0)
                return -1;
            continue;
        }
        for (size_t r = 0; r < n; r++)
            memcpy(w->rows[s] + r * cols, w->buf[s].x + (at + r) * w->buf[s].width,
                   cols * sizeof(float));
    }
    subtract(w->rows[FULL], w->rows[QUANT], n * cols);
    if (w->in.rest) {
        memcpy(w->lag, w->x[FULL].x + at * d, n * d * sizeof(float));
        subtract(w->lag, w->x[QUANT].x + at * d, n * d);
    }
    return 0;
}

/* Fills in: all sums over the tokens. */
static int
look(struct mpq_walk *w, size_t layer, const struct step *step, int drifted,
     struct mpq_err *err)
{
    const size_t cols = w->in.cols, all = w->q->start[w->q->n], d = w->x[FULL].width;
    struct sums s = { .w = w };

    w->in.n_tokens = all;
    w->in.drift = drifted ? w->drift : NULL;
    w->in.rest =
        !step->from_x && mpq_forward_adds(w->forward, step->part) ? w->rest : NULL;
    s.lag_rows = w->in.rest ? d : 0;
    memset(w->in.gram, 0, cols * cols * sizeof *w->in.gram);
    memset(w->drift, 0, cols * cols * sizeof *w->drift);
    memset(w->rest, 0, d * cols * sizeof *w->rest);
    for (size_t at = 0; at < all; at += CHUNK) {
        s.n = all - at < CHUNK ? all - at : CHUNK;
        if (gather(w, layer, step, at, s.n, err) < 0 ||
            mpq_par_for(w->t->o->threads, mpq_gram_tiles(cols), add_gram, &s, err) <
                0 ||
            (drifted && mpq_par_for(w->t->o->threads, strips(cols) + strips(s.lag_rows),
                                    add_products, &s, err) < 0))
            return -1;
    }
    for (size_t c = 0; c < cols; c++)
        w->in.diagonal[c] = w->in.gram[c * cols + c];
    return 0;
}

/* --- the layers --------------------------------------------------------------------
 */

/* Has the tuner quantize the matrices of a step. */
static int
tune_step(struct mpq_walk *w, size_t layer, const struct step *step,
          struct mpq_err *err)
{
    const struct mpq_weight *weights[3];
    char name[64];

    w->in.n_weights = 0;
    w->in.weights = weights;
    for (int i = 0; i < 3 && step->names[i]; i++) {
        snprintf(name, sizeof name, "blk.%zu.%s", layer, step->names[i]);
        const struct mpq_weight *m = mpq_source_find(w->t->source, name);
        if (m)
            weights[w->in.n_weights++] = m;
    }
    assert(w->in.n_weights > 0); /* the forward pass has it */
    w->in.cols = (size_t)weights[0]->cols;
    if (look(w, layer, step, 1, err) < 0)
        return -1;
    return w->t->o->tuner->layer(w->t, layer, &w->in, 1, err);
}

static int
pass(struct mpq_walk *w, size_t layer, enum mpq_forward_part part, enum side s,
     struct mpq_err *err)
{
    mpq_forward_fill(w->forward, s == QUANT ? mpq_tune_fill : NULL, w->t);
    const int rc =
        mpq_forward_part(w->forward, layer, part, w->q, &w->x[s], &w->buf[s], err);
    mpq_forward_fill(w->forward, NULL, NULL);
    return rc;
}

int
mpq_walk_layer(struct mpq_walk *w, size_t layer, int ready, struct mpq_err *err)
{
    for (int i = 0; i < MPQ_TAP_INPUTS; i++) {
        if (!ready && tune_step(w, layer, &steps[i], err) < 0)
            return -1;
        if (pass(w, layer, steps[i].part, FULL, err) < 0 ||
            pass(w, layer, steps[i].part, QUANT, err) < 0)
            return -1;
    }
    return 0;
}

/* --- before and after them ---------------------------------------------------------
 */

/* Has the tuner quantize the unembedding M, given the last states. */
static int
tune_unembed(struct mpq_walk *w, const struct mpq_weight *m, int drifted,
             struct mpq_err *err)
{
    static const struct step last = { MPQ_FORWARD_WHOLE, 1, { NULL } };

    w->in.weights = &m;
    w->in.n_weights = 1;
    w->in.cols = (size_t)m->cols;
    if (look(w, 0, &last, drifted, err) < 0)
        return -1;
    return w->t->o->tuner->layer(w->t, 0, &w->in, 1, err);
}

/* The states as quantized at their beginning, from the rows in the store. */
struct embedding {
    struct mpq_walk *w;
    const struct mpq_piece *piece;
};

static int
embed_token(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    const struct embedding *e = ctx;
    const struct mpq_walk *w = e->w;
    const size_t cols = w->x[QUANT].width;
    float *x = w->x[QUANT].x + item * cols;
    const float scale = mpq_forward_net(w->forward)->embed_scale;

    (void)thread, (void)err;
    mpq_decode_row(e->piece->type,
                   mpq_tune_rows(w->t, e->piece) +
                       w->q->tokens[item] * mpq_tune_row_bytes(e->piece),
                   x, cols);
    for (size_t c = 0; scale != 1 && c < cols; c++)
        x[c] *= scale;
    return 0;
}

static void
copy_states(struct mpq_walk *w)
{
    memcpy(w->x[QUANT].x, w->x[FULL].x, mpq_states_bytes(&w->x[FULL]));
}

/* Fills the store with the embedding E. */
static int
tune_embedding(struct mpq_walk *w, const struct mpq_piece *e, struct mpq_err *err)
{
    const size_t n = mpq_forward_net(w->forward)->n_layer;

    if (mpq_source_find(w->t->source, "output")) {
        const struct mpq_tuned told = { .weight = e->weight,
                                        .how = MPQ_TUNED_UNSERVED };
        if (mpq_tune_plain(w->t, e, err) < 0)
            return -1;
        mpq_tune_tell(w->t, e, &told);
        return 0;
    }
    copy_states(w);
    for (size_t l = 0; l < n; l++)
        if (mpq_forward_layer(w->forward, l, w->q, &w->x[QUANT], err) < 0)
            return -1;
    return tune_unembed(w, e->weight, 0, err);
}

int
mpq_walk_begin(struct mpq_walk *w, int ready, struct mpq_err *err)
{
    const struct mpq_weight *m = mpq_source_find(w->t->source, "token_embd");
    struct embedding e = { w, mpq_tune_piece(w->t, m) };

    if (mpq_forward_embed(w->forward, w->q, &w->x[FULL], err) < 0)
        return -1;
    if (!e.piece) {
        copy_states(w);
        return 0;
    }
    if ((ready ? mpq_tune_take(w->t, e.piece, err) : tune_embedding(w, e.piece, err)) <
        0)
        return -1;
    w->t->ready[e.piece - w->t->file->pieces] = 1;
    return mpq_par_for(w->t->o->threads, w->q->start[w->q->n], embed_token, &e, err);
}

int
mpq_walk_end(struct mpq_walk *w, struct mpq_err *err)
{
    const struct mpq_weight *m = mpq_source_find(w->t->source, "output");

    return m && mpq_tune_piece(w->t, m) ? tune_unembed(w, m, 1, err) : 0;
}
