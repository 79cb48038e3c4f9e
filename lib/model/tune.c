#include "model/tune.h"

#include "base/buf.h"
#include "base/par.h"
#include "model/tune_own.h"
#include "model/tune_walk.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { STATES_BYTES = 1 << 30 }; /* of hidden states in memory, above it in a file */

/* The hidden states on their way through the layers. */
struct passage {
    struct mpq_forward *forward;
    struct mpq_activity *activity;
    struct mpq_states x;
    struct mpq_walk *walk; /* instead of all this: as the model becomes */
};

static void
end_passage(struct passage *p)
{
    mpq_activity_free(p->activity);
    mpq_forward_free(p->forward);
    mpq_states_free(&p->x);
    mpq_walk_free(p->walk);
}

static int
begin_passage(struct passage *p, const struct mpq_source *s, const struct mpq_seqs *q,
              enum mpq_activity_kind kind, unsigned threads, struct mpq_err *err)
{
    const size_t n = q->start[q->n];

    if (mpq_forward_new(&p->forward, s, threads, err) < 0)
        return -1;
    const size_t d = mpq_forward_net(p->forward)->n_embd;
    if (mpq_states_new(&p->x, n, d, STATES_BYTES, err) < 0 ||
        mpq_activity_new(&p->activity, p->forward, q, kind, threads, err) < 0)
        return -1;
    return mpq_forward_embed(p->forward, q, &p->x, err);
}

/* --- what tuners share ----------------------------------------------------------- */

const struct mpq_piece *
mpq_tune_piece(const struct mpq_tune *t, const struct mpq_weight *w)
{
    for (size_t i = 0; i < t->file->n; i++)
        if (t->held[i] && !strcmp(t->file->pieces[i].weight->name, w->name))
            return &t->file->pieces[i];
    return NULL;
}

unsigned char *
mpq_tune_rows(const struct mpq_tune *t, const struct mpq_piece *p)
{
    return mpq_store_rows(t->store, (size_t)(p - t->file->pieces));
}

size_t
mpq_tune_row_bytes(const struct mpq_piece *p)
{
    uint64_t bytes = 0;

    if (mpq_type_row_bytes(p->type, p->weight->cols, &bytes) < 0)
        assert(0); /* the plan was checked */
    return (size_t)bytes;
}

int
mpq_tune_take(struct mpq_tune *t, const struct mpq_piece *p, struct mpq_err *err)
{
    const size_t i = (size_t)(p - t->file->pieces);

    if (mpq_store_verify(t->store, i, err) < 0)
        return -1;
    t->ready[i] = 1;
    return 0;
}

void
mpq_tune_tell(struct mpq_tune *t, const struct mpq_piece *p,
              const struct mpq_tuned *told)
{
    t->ready[p - t->file->pieces] = 1;
    if (t->o->tuned)
        t->o->tuned(t->o->ctx, told);
}

int
mpq_tune_scratch(struct mpq_tune *t, size_t n, struct mpq_err *err)
{
    if (t->scratch_room >= n)
        return 0;
    t->scratch_room = 0;
    for (unsigned i = 0; i < t->o->threads; i++) {
        free(t->scratch[i]);
        if (!(t->scratch[i] = mpq_array(n, sizeof **t->scratch)))
            return mpq_fail(err, MPQ_ENOMEM, "out of memory for %zu numbers", n);
    }
    t->scratch_room = n;
    return 0;
}

/* --- the run --------------------------------------------------------------------- */

/* Weights for the forward pass out of the store. */
struct decoding {
    const struct mpq_tune *t;
    const struct mpq_piece *piece;
    float *dst;
};

static int
decode_row(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    const struct decoding *d = ctx;
    const size_t cols = (size_t)d->piece->weight->cols;

    (void)thread, (void)err;
    mpq_decode_row(d->piece->type,
                   mpq_tune_rows(d->t, d->piece) + item * mpq_tune_row_bytes(d->piece),
                   d->dst + item * cols, cols);
    return 0;
}

int
mpq_tune_fill(void *ctx, const struct mpq_weight *w, float *dst, struct mpq_err *err)
{
    struct decoding d = { ctx, mpq_tune_piece(ctx, w), dst };

    if (!d.piece || !d.t->ready[d.piece - d.t->file->pieces])
        return 0;
    return mpq_par_for(d.t->o->threads, (size_t)w->rows, decode_row, &d, err) < 0 ? -1
                                                                                  : 1;
}

/* What a layer is made from that the part's description does not tell apart: of a
 * stream of Hessians it has the header alone. */
static uint64_t
made_from(const struct mpq_tune *t)
{
    return t->o->hessian ? mpq_hessian_sum(t->o->hessian) : 0;
}

static int
tune_layer(struct mpq_tune *t, struct passage *p, size_t layer, struct mpq_err *err)
{
    const struct mpq_input *in = NULL;
    enum mpq_tuned_how left = MPQ_TUNED_UNSERVED;
    size_t n = 0;

    if (p->walk) {
        if (mpq_walk_layer(p->walk, layer, 0, err) < 0)
            return -1;
    } else {
        if (t->o->hessian && mpq_hessian_layer(t->o->hessian, layer, &in, &n, err) < 0)
            return -1;
        if (p->activity) {
            if (mpq_activity_layer(p->activity, layer, &p->x, err) < 0)
                return -1;
            in = mpq_activity_inputs(p->activity);
            n = MPQ_TAP_INPUTS;
        }
        if (t->o->tuner->layer(t, layer, in, n, err) < 0)
            return -1;
        if (t->o->hessian && n == 0) /* a file of other layers */
            left = MPQ_TUNED_UNREACHED;
    }
    if (mpq_tune_rest(t, layer, left, err) < 0)
        return -1;
    return mpq_store_finish_layer(t->store, t->ready, made_from(t), err);
}

/* All pieces of LAYER that an earlier run has finished. */
static int
take_layer(struct mpq_tune *t, size_t layer, struct mpq_err *err)
{
    for (size_t i = 0; i < t->file->n; i++)
        if (t->held[i] && t->file->pieces[i].weight->layer == (int)layer &&
            mpq_tune_take(t, &t->file->pieces[i], err) < 0)
            return -1;
    return 0;
}

/* Passes the Hessians of LAYER, which must be those that it was made from. */
static int
skip_hessians(const struct mpq_tune *t, size_t layer, struct mpq_err *err)
{
    const struct mpq_input *in;
    size_t n;

    if (mpq_hessian_layer(t->o->hessian, layer, &in, &n, err) < 0)
        return -1;
    if (mpq_store_made_from(t->store, layer) == made_from(t))
        return 0;
    return mpq_fail(err, MPQ_EDATA,
                    "%s: was begun with another --hessian (layer %zu): remove it to"
                    " begin anew",
                    t->o->part, layer);
}

/* A layer that an earlier run has finished. */
static int
skip_layer(struct mpq_tune *t, struct passage *p, size_t layer, struct mpq_err *err)
{
    if (take_layer(t, layer, err) < 0)
        return -1;
    if (t->o->hessian)
        return skip_hessians(t, layer, err);
    if (p->walk)
        return mpq_walk_layer(p->walk, layer, 1, err);
    return p->forward ? mpq_forward_layer(p->forward, layer, t->o->seqs, &p->x, err)
                      : 0;
}

/* Is there a step after the layers, for matrices outside? */
static int
has_end(const struct mpq_tuner *tuner)
{
    return tuner->sees_quantized;
}

static int
tune_all(struct mpq_tune *t, size_t n_layers, struct mpq_err *err)
{
    const size_t finished = mpq_store_finished(t->store);
    const int ends = has_end(t->o->tuner);
    struct passage p = { 0 };
    int rc = -1;

    if (t->o->seqs && finished < n_layers + (size_t)ends) {
        if (t->o->tuner->sees_quantized
                ? mpq_walk_new(&p.walk, t, t->o->seqs, err) < 0
                : begin_passage(&p, t->source, t->o->seqs, MPQ_ACTIVITY_HESSIAN,
                                t->o->threads, err) < 0)
            goto out;
    }
    if (p.walk && mpq_walk_begin(p.walk, finished > 0, err) < 0)
        goto out;
    for (size_t l = 0; l < n_layers; l++) {
        if ((l < finished ? skip_layer : tune_layer)(t, &p, l, err) < 0)
            goto out;
        if (t->o->progress)
            t->o->progress(t->o->ctx, 1);
    }
    if (ends && finished <= n_layers &&
        ((p.walk && mpq_walk_end(p.walk, err) < 0) ||
         mpq_tune_rest(t, SIZE_MAX, MPQ_TUNED_UNSERVED, err) < 0 ||
         mpq_store_finish_layer(t->store, t->ready, made_from(t), err) < 0))
        goto out;
    if (ends && finished > n_layers && take_layer(t, SIZE_MAX, err) < 0)
        goto out;
    rc = t->o->hessian ? mpq_hessian_end(t->o->hessian, err) : 0;
out:
    end_passage(&p);
    return rc;
}

/* Is it a matrix of the blocks that is to be rounded? */
static int
is_rounded(const struct mpq_piece *p)
{
    return p->weight->layer >= 0 && p->weight->is_linear &&
           !mpq_type_is_float(p->type) && !mpq_type_eq(p->type, p->weight->tensor.type);
}

int
mpq_tune_check(const struct mpq_tune_options *options, struct mpq_err *err)
{
    const struct mpq_tuner *tuner = options->tuner;

    if (!options->hessian || tuner->takes_weighed)
        return 0;
    return mpq_hessian_check_unweighed(options->hessian, tuner->name, err);
}

int
mpq_tune(struct mpq_store **out, const struct mpq_packfile *f,
         const struct mpq_source *s, const struct mpq_tune_options *options,
         struct mpq_err *err)
{
    const struct mpq_tuner *tuner = options->tuner;
    struct mpq_tune t = { .o = options, .file = f, .source = s };
    struct mpq_store_options store = { .path = options->part,
                                       .description = options->description };
    struct mpq_net net = { 0 };
    int rc = -1;

    *out = NULL;
    if (mpq_tune_check(options, err) < 0 ||
        (tuner->needs_net && mpq_net_read(&net, s, err) < 0))
        return -1;
    t.net = &net;
    t.held = mpq_array(f->n, 1);
    t.ready = mpq_array(f->n, 1);
    t.scratch = mpq_array(options->threads, sizeof *t.scratch);
    if (!t.held || !t.ready || !t.scratch) {
        mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", mpq_source_name(s));
        goto out;
    }
    for (size_t i = 0; i < f->n; i++)
        t.held[i] =
            is_rounded(&f->pieces[i]) || (tuner->holds && tuner->holds(&f->pieces[i]));
    store.held = t.held;
    const size_t n_layers = (size_t)mpq_source_hparams(s)->n_layer;
    store.n_layers = n_layers + (size_t)has_end(tuner);
    if (mpq_store_new(&t.store, f, &store, err) < 0 || tune_all(&t, n_layers, err) < 0)
        goto out;
    *out = t.store;
    t.store = NULL;
    rc = 0;
out:
    for (unsigned i = 0; t.scratch && i < options->threads; i++)
        free(t.scratch[i]);
    free(t.scratch);
    free(t.held);
    free(t.ready);
    mpq_store_free(t.store);
    mpq_net_free(&net);
    return rc;
}

/* --- importance ------------------------------------------------------------------ */

/* Puts the mean squares of an input where its matrices find them. */
static void
share(struct mpq_importance *importance, const struct mpq_packfile *f,
      const struct mpq_input *in, float *values)
{
    for (size_t c = 0; c < in->cols; c++)
        values[c] = in->n_tokens ? (float)(in->diagonal[c] / (double)in->n_tokens) : 1;
    for (size_t k = 0; k < in->n_weights; k++)
        for (size_t i = 0; i < f->n; i++)
            if (!strcmp(f->pieces[i].weight->name, in->weights[k]->name))
                importance[i] = (struct mpq_importance){ values, 1 };
}

int
mpq_tune_importance(struct mpq_importance *importance, float **memory,
                    const struct mpq_packfile *f, const struct mpq_source *s,
                    const struct mpq_seqs *seqs, unsigned threads, struct mpq_err *err)
{
    struct passage p = { 0 };
    size_t at = 0, room = 0;
    int rc = -1;

    *memory = NULL;
    if (begin_passage(&p, s, seqs, MPQ_ACTIVITY_DIAGONAL, threads, err) < 0)
        goto out;
    const struct mpq_net *net = mpq_forward_net(p.forward);
    room = net->n_layer * (2 * net->n_embd + net->n_head * net->head_dim + net->n_ff);
    if (!(*memory = mpq_array(room, sizeof **memory))) {
        mpq_fail(err, MPQ_ENOMEM, "out of memory for %zu numbers", room);
        goto out;
    }
    for (size_t l = 0; l < net->n_layer; l++) {
        if (mpq_activity_layer(p.activity, l, &p.x, err) < 0)
            goto out;
        const struct mpq_input *in = mpq_activity_inputs(p.activity);
        for (int i = 0; i < MPQ_TAP_INPUTS; at += in[i++].cols) {
            assert(in[i].cols <= room - at);
            share(importance, f, &in[i], *memory + at);
        }
    }
    rc = 0;
out:
    end_passage(&p);
    return rc;
}
