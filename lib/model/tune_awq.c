/*
 * AWQ over a layer: for each input the power of the scales is searched for; then the
 * scales go into the matrices that are given the input, and are taken out of what makes
 * it: a norm's gains, the rows of attn_v for attn_output (the query heads of a group
 * share theirs), those of ffn_up for ffn_down. A norm takes what its stored type can
 * say; the matrices get exactly that.
 */
#include "base/buf.h"
#include "base/par.h"
#include "model/tune_awq_own.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Inputs of a layer, each with what makes it. */
enum { INPUT_ATTN, INPUT_O, INPUT_FFN, INPUT_DOWN, N_INPUTS };

static int
input_of(enum mpq_role role)
{
    switch (role) {
    case MPQ_ROLE_Q:
    case MPQ_ROLE_K:
    case MPQ_ROLE_V:
    case MPQ_ROLE_QKV:
        return INPUT_ATTN;
    case MPQ_ROLE_O:
        return INPUT_O;
    case MPQ_ROLE_GATE:
    case MPQ_ROLE_UP:
    case MPQ_ROLE_GATE_UP:
        return INPUT_FFN;
    case MPQ_ROLE_DOWN:
        return INPUT_DOWN;
    default:
        return -1;
    }
}

/* An input, and what was found for it. */
struct group {
    const struct mpq_input *in; /* NULL: not known */
    int is_reached, is_folded;
    unsigned step;
    double loss;
    double *square;    /* [cols] mean squares times mpq_awq_unit */
    float *scale;      /* [cols]; all 1 unless it is folded */
    float *importance; /* [cols] of the scaled columns */
    float *out;        /* for each row or value of what makes it; NULL: nothing */
};

/* What makes each: its rows, or its values, are divided by the scales. */
static const struct {
    const char *matrix, *bias;
} makers[N_INPUTS] = { { "attn_norm", NULL },
                       { "attn_v", "attn_v.bias" },
                       { "ffn_norm", NULL },
                       { "ffn_up", "ffn_up.bias" } };

struct layer {
    struct mpq_tune *t;
    int number;
    const struct mpq_input *in; /* [n_in]: matrices with one input may have one each */
    size_t n_in;
    struct group groups[N_INPUTS];
};

/* --- what takes scales over ------------------------------------------------------ */

static const struct mpq_piece *
piece_named(const struct layer *l, const char *name)
{
    char text[64];

    snprintf(text, sizeof text, "blk.%d.%s", l->number, name);
    const struct mpq_weight *w = mpq_source_find(l->t->source, text);
    return w ? mpq_tune_piece(l->t, w) : NULL;
}

static int
is_given(const struct mpq_input *in, const struct mpq_weight *w)
{
    for (size_t k = 0; k < in->n_weights; k++)
        if (!strcmp(in->weights[k]->name, w->name))
            return 1;
    return 0;
}

/* What W is given; NULL: not known, or no token reached it. */
static const struct mpq_input *
given_to(const struct layer *l, const struct mpq_weight *w)
{
    for (size_t i = 0; i < l->n_in; i++) {
        const struct mpq_input *in = &l->in[i];
        if (!in->n_tokens || !is_given(in, w))
            continue;
        for (size_t c = 0; c < in->cols; c++)
            if (in->diagonal[c] > 0)
                return in;
        return NULL;
    }
    return NULL;
}

/* Can all that is given the input take scales, and what makes it give them? Matrices
 * with Gram matrices of their own are weighed by them, but take no scales. */
static int
can_fold(const struct layer *l, int input)
{
    const char *bias = makers[input].bias;
    const struct mpq_source *s = l->t->source;
    char text[64];

    const struct mpq_piece *maker = piece_named(l, makers[input].matrix);
    if (!maker || maker->type.varied || maker->weight->role == MPQ_ROLE_GATE_UP)
        return 0;
    if (bias) {
        snprintf(text, sizeof text, "blk.%d.%s", l->number, bias);
        if (mpq_source_find(s, text) && !piece_named(l, bias))
            return 0;
    }
    for (size_t i = 0; i < mpq_source_count(s); i++) {
        const struct mpq_weight *w = mpq_source_weight(s, i);
        if (w->layer != l->number || !w->is_linear || input_of(w->role) != input)
            continue;
        const struct mpq_piece *p = mpq_tune_piece(l->t, w);
        if (!p || p->type.varied || !is_given(l->groups[input].in, w))
            return 0;
    }
    return 1;
}

/* The row of attn_v that makes column C of attn_output. */
static size_t
row_of_v(const struct mpq_net *net, size_t c)
{
    const size_t head = c / net->head_dim;

    return head / (net->n_head / net->n_head_kv) * net->head_dim + c % net->head_dim;
}

/* Columns of attn_output that come from one row of attn_v share its scale. */
static int
share_squares(const struct mpq_net *net, double *square, size_t cols,
              struct mpq_err *err)
{
    const size_t n = net->n_head_kv * net->head_dim;
    double *sum = mpq_array(n, sizeof *sum);

    if (!sum)
        return mpq_fail(err, MPQ_ENOMEM, "out of memory for %zu numbers", n);
    for (size_t c = 0; c < cols; c++)
        sum[row_of_v(net, c)] += square[c] * (double)n / (double)cols;
    for (size_t c = 0; c < cols; c++)
        square[c] = sum[row_of_v(net, c)];
    free(sum);
    return 0;
}

/* --- what is found ------------------------------------------------------------ */

/* The same by the rows of attn_v, each of which several columns may have. */
static float *
scales_of_v(const struct mpq_net *net, const struct group *g)
{
    float *scale = mpq_array(g->in->cols, sizeof *scale);

    for (size_t c = 0; scale && c < g->in->cols; c++)
        scale[row_of_v(net, c)] = g->scale[c];
    return scale;
}

static int
open_group(struct layer *l, int input, struct mpq_err *err)
{
    struct group *g = &l->groups[input];
    const size_t cols = g->in->cols;

    g->square = mpq_array(cols, sizeof *g->square);
    g->scale = mpq_array(cols, sizeof *g->scale);
    g->importance = mpq_array(cols, sizeof *g->importance);
    if (!g->square || !g->scale || !g->importance)
        return mpq_fail(err, MPQ_ENOMEM, "out of memory for %zu columns", cols);
    const double unit = mpq_awq_unit(g->in);
    for (size_t c = 0; c < cols; c++) {
        g->scale[c] = 1;
        g->square[c] = g->in->diagonal[c] / (double)g->in->n_tokens * unit;
        g->is_reached |= g->square[c] > 0;
    }
    g->is_folded = g->is_reached && can_fold(l, input);
    if (!g->is_folded)
        return 0;
    if (input == INPUT_O && share_squares(l->t->net, g->square, cols, err) < 0)
        return -1;
    if (mpq_awq_search(l->t, g->in, g->square, g->scale, &g->step, &g->loss, err) < 0)
        return -1;
    if (g->step == 0)
        return 0;
    g->out = g->scale;
    if (input == INPUT_O && !(g->out = scales_of_v(l->t->net, g)))
        return mpq_fail(err, MPQ_ENOMEM, "out of memory for %zu columns", cols);
    return 0;
}

/* --- writing --------------------------------------------------------------------- */

/* A vector as it will be stored, each value divided by OF's scale (NULL: by 1). A norm
 * takes what its type can say, and its scale becomes just that. */
static int
write_vector(const struct layer *l, const struct mpq_piece *p, float *scale,
             struct mpq_err *err)
{
    const size_t n = (size_t)p->weight->cols;
    const int is_norm = !strstr(p->weight->name, ".bias");
    const float one = is_norm && l->t->net->norm_plus_one ? 1 : 0;
    float *was = mpq_array(2 * n, sizeof *was), *x = was + n;
    unsigned char *row = mpq_tune_rows(l->t, p);
    int rc = -1;

    if (!was)
        return mpq_fail(err, MPQ_ENOMEM, "out of memory for %zu numbers", n);
    if (mpq_source_read_rows(l->t->source, p->weight, 0, 1, was, err) < 0)
        goto out;
    for (size_t i = 0; i < n; i++)
        x[i] = scale ? (was[i] + one) / scale[i] - one + p->plus : was[i] + p->plus;
    mpq_encode_row(p->type, x, NULL, row, n, MPQ_EFFORT_DEFAULT);
    if (scale && is_norm) {
        mpq_decode_row(p->type, row, x, n);
        for (size_t i = 0; i < n; i++) {
            const float now = x[i] - p->plus + one, before = was[i] + one;
            const float exact = before / now;
            const int says = isfinite(exact) && exact > 0;
            scale[i] = says ? exact : 1;
            x[i] = says ? x[i] : was[i] + p->plus;
        }
        mpq_encode_row(p->type, x, NULL, row, n, MPQ_EFFORT_DEFAULT);
    }
    mpq_tune_tell(l->t, p,
                  &(struct mpq_tuned){ .weight = p->weight, .how = MPQ_TUNED_FOLDED });
    rc = 0;
out:
    free(was);
    return rc;
}

struct writing {
    const struct layer *l;
    const struct mpq_piece *piece;
    struct mpq_awq awq;
    const float *divisor; /* of each row; NULL: 1 */
};

static int
write_tile(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    const struct writing *j = ctx;
    const struct mpq_weight *w = j->piece->weight;
    const size_t cols = (size_t)w->cols, n = mpq_awq_tile_rows(w, item);
    const size_t row = item * MPQ_AWQ_ROWS;
    float *x = j->l->t->scratch[thread];

    if (mpq_source_read_for(j->l->t->source, w, row, n, j->piece->type, x, err) < 0)
        return -1;
    for (size_t r = 0; j->divisor && r < n; r++)
        for (size_t c = 0; c < cols; c++)
            x[r * cols + c] /= j->divisor[row + r];
    mpq_awq_round(&j->awq, x, n,
                  mpq_tune_rows(j->l->t, j->piece) + row * mpq_tune_row_bytes(j->piece),
                  x + MPQ_AWQ_ROWS * cols);
    return 0;
}

/* What becomes of P, whose input is G; rows are divided by DIVISOR. */
static int
write_matrix(const struct layer *l, const struct mpq_piece *p, struct group *g,
             const float *divisor, struct mpq_err *err)
{
    const size_t cols = (size_t)p->weight->cols;
    struct writing j = {
        .l = l,
        .piece = p,
        .awq = { .type = p->type, .cols = cols, .effort = l->t->o->effort },
        .divisor = divisor
    };
    struct mpq_tuned told = { .weight = p->weight, .how = MPQ_TUNED_UNREACHED };
    const struct mpq_input *in = g->in ? given_to(l, p->weight) : NULL;

    if (in) {
        mpq_awq_weigh(in, g->scale, g->importance);
        j.awq.scale = g->step ? g->scale : NULL;
        j.awq.importance = g->importance;
        told.how = g->is_folded ? MPQ_TUNED : MPQ_TUNED_UNSERVED;
        told.n_tokens = in->n_tokens;
        told.loss = g->loss;
    }
    if (mpq_tune_scratch(l->t, MPQ_AWQ_ROWS * cols + mpq_awq_scratch(p->type, cols),
                         err) < 0 ||
        mpq_par_for(l->t->o->threads, mpq_awq_tiles(p->weight), write_tile, &j, err) <
            0)
        return -1;
    if (mpq_type_is_float(p->type))
        told.how = MPQ_TUNED_FOLDED;
    mpq_tune_tell(l->t, p, &told);
    return 0;
}

/* What is taken out of W: the scales of what it makes, by its rows; or NULL. */
static float *
taken_out_of(const struct layer *l, const struct mpq_weight *w)
{
    const char *base = strchr(w->name + 4, '.') + 1;

    for (int i = 0; i < N_INPUTS; i++)
        if (!strcmp(base, makers[i].matrix) ||
            (makers[i].bias && !strcmp(base, makers[i].bias)))
            return l->groups[i].out;
    return NULL;
}

/* Every piece of the layer; vectors first, since the scales become what norms can say.
 */
static int
write_layer(struct layer *l, struct mpq_err *err)
{
    static struct group unknown;

    for (int matrices = 0; matrices < 2; matrices++)
        for (size_t i = 0; i < l->t->file->n; i++) {
            const struct mpq_piece *p = &l->t->file->pieces[i];
            const struct mpq_weight *w = p->weight;
            if (!l->t->held[i] || w->layer != l->number || w->is_matrix != matrices ||
                p->type.varied) /* left to mpq_tune_rest */
                continue;
            const int input = input_of(w->role);
            float *out = taken_out_of(l, w);
            if ((matrices ? write_matrix(l, p, input < 0 ? &unknown : &l->groups[input],
                                         out, err)
                          : write_vector(l, p, out, err)) < 0)
                return -1;
        }
    return 0;
}

static int
awq_layer(struct mpq_tune *t, size_t layer, const struct mpq_input *in, size_t n,
          struct mpq_err *err)
{
    struct layer l = { .t = t, .number = (int)layer, .in = in, .n_in = n };
    int rc = -1;

    for (size_t i = 0; i < n; i++) {
        const int input = in[i].n_weights ? input_of(in[i].weights[0]->role) : -1;
        if (input >= 0 && in[i].n_tokens && !l.groups[input].in)
            l.groups[input].in = &in[i];
    }
    for (int i = 0; i < N_INPUTS; i++)
        if (l.groups[i].in && open_group(&l, i, err) < 0)
            goto out;
    rc = write_layer(&l, err);
out:
    for (int i = 0; i < N_INPUTS; i++) {
        struct group *g = &l.groups[i];
        if (g->out != g->scale)
            free(g->out);
        free(g->square);
        free(g->scale);
        free(g->importance);
    }
    return rc;
}

/* What may take scales over is kept too: norms, biases, matrices of floats. */
static int
holds(const struct mpq_piece *p)
{
    const struct mpq_weight *w = p->weight;

    if (w->layer < 0)
        return 0;
    if (w->is_linear)
        return mpq_type_is_float(p->type);
    const char *base = strchr(w->name, '.');
    base = base ? strchr(base + 1, '.') : NULL;
    for (int i = 0; base && i < N_INPUTS; i++)
        if (!strcmp(base + 1, makers[i].matrix) ||
            (makers[i].bias && !strcmp(base + 1, makers[i].bias)))
            return 1;
    return 0;
}

const struct mpq_tuner mpq_tuner_awq = {
    .name = "awq", .sees_inputs = 1, .needs_net = 1, .holds = holds, .layer = awq_layer
};
