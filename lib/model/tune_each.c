#include "model/tune_each.h"

#include "base/buf.h"
#include "model/tune_own.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { STATES_BYTES = 1 << 30 }; /* of hidden states in memory, above it in a file */

struct mpq_tune_each {
    const struct mpq_source *source;
    struct mpq_tune_options o;
    /* The text on its way through the unchanged model. */
    struct mpq_forward *forward;
    struct mpq_activity *activity;
    struct mpq_states x, ahead;
    size_t passed,
        seen; /* layers that x has passed; one more than the last looked at */
    const struct mpq_input *in;
    size_t n_in;
    /* The unit. */
    struct mpq_packfile file;
    struct mpq_importance *importance; /* [file.n] */
    struct mpq_store *store;
    struct mpq_weight *with; /* [file.n] */
    struct mpq_net net;      /* where the tuner needs it */
    float **scratch;
    size_t scratch_room;
};

int
mpq_tune_each_new(struct mpq_tune_each **out, const struct mpq_source *s,
                  const struct mpq_tune_options *options, struct mpq_err *err)
{
    *out = NULL;
    if (mpq_tune_check(options, err) < 0)
        return -1;
    struct mpq_tune_each *e = calloc(1, sizeof *e);
    int rc = -1;

    if (!e || !(e->scratch = mpq_array(options->threads, sizeof *e->scratch))) {
        mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", mpq_source_name(s));
        goto out;
    }
    e->source = s;
    e->o = *options;
    const struct mpq_seqs *q = e->o.seqs;
    if (e->o.tuner->needs_net && mpq_net_read(&e->net, s, err) < 0)
        goto out;
    if (q) {
        if (mpq_forward_new(&e->forward, s, e->o.threads, err) < 0 ||
            mpq_states_new(&e->x, q->start[q->n], mpq_forward_net(e->forward)->n_embd,
                           STATES_BYTES, err) < 0 ||
            mpq_states_new(&e->ahead, e->x.n, e->x.width, STATES_BYTES, err) < 0 ||
            mpq_activity_new(&e->activity, e->forward, q, MPQ_ACTIVITY_HESSIAN,
                             e->o.threads, err) < 0 ||
            mpq_forward_embed(e->forward, q, &e->x, err) < 0)
            goto out;
    }
    *out = e;
    e = NULL;
    rc = 0;
out:
    mpq_tune_each_free(e);
    return rc;
}

static void
end_unit(struct mpq_tune_each *e)
{
    mpq_store_free(e->store);
    free(e->file.pieces);
    free(e->importance);
    free(e->with);
    e->with = NULL;
    e->store = NULL;
    e->file = (struct mpq_packfile){ 0 };
    e->importance = NULL;
}

void
mpq_tune_each_free(struct mpq_tune_each *e)
{
    if (!e)
        return;
    end_unit(e);
    for (unsigned i = 0; e->scratch && i < e->o.threads; i++)
        free(e->scratch[i]);
    free(e->scratch);
    mpq_activity_free(e->activity);
    mpq_forward_free(e->forward);
    mpq_states_free(&e->x);
    mpq_states_free(&e->ahead);
    mpq_net_free(&e->net);
    free(e);
}

/* What the linears of LAYER are given. The states pass in the same way as in mpq_tune,
 * whichever layers are looked at: to the last bit the same sums. */
static int
see_layer(struct mpq_tune_each *e, size_t layer, struct mpq_err *err)
{
    const int apart = e->o.tuner->sees_quantized; /* there a copy shows the inputs */

    if (e->seen == layer + 1)
        return 0;
    e->seen = layer + 1;
    if (e->o.hessian)
        return mpq_hessian_layer(e->o.hessian, layer, &e->in, &e->n_in, err);
    for (; e->passed < layer; e->passed++)
        if ((apart ? mpq_forward_layer(e->forward, e->passed, e->o.seqs, &e->x, err)
                   : mpq_activity_layer(e->activity, e->passed, &e->x, err)) < 0)
            return -1;
    if (apart)
        memcpy(e->ahead.x, e->x.x, mpq_states_bytes(&e->x));
    if (mpq_activity_layer(e->activity, layer, apart ? &e->ahead : &e->x, err) < 0)
        return -1;
    e->passed += !apart;
    e->in = mpq_activity_inputs(e->activity);
    e->n_in = MPQ_TAP_INPUTS;
    return 0;
}

/* The index of W in the source, which is that of its importance. */
static size_t
index_of(const struct mpq_source *s, const struct mpq_weight *w)
{
    size_t i = 0;

    while (mpq_source_weight(s, i) != w)
        i++;
    return i;
}

/* Not floats, and not what is outside the blocks. */
static int
tuner_takes(const struct mpq_tune_each *e, int layer, struct mpq_type type)
{
    return layer >= 0 && !mpq_type_is_float(type) && e->o.tuner->layer;
}

static void
add_piece(struct mpq_tune_each *e, const struct mpq_weight *w, struct mpq_type type)
{
    struct mpq_packfile *f = &e->file;

    if (e->o.importance)
        e->importance[f->n] = e->o.importance[index_of(e->source, w)];
    f->pieces[f->n++] = (struct mpq_piece){
        .weight = w, .name = w->file_name, .type = type, .stored = type
    };
}

static int
is_planned(const struct mpq_packfile *f, const struct mpq_weight *w)
{
    for (size_t i = 0; i < f->n; i++)
        if (f->pieces[i].weight == w)
            return 1;
    return 0;
}

/* A file of the unit alone, and of what the tuner changes along with it. */
static int
plan_unit(struct mpq_tune_each *e, int layer, const struct mpq_weight *const *w,
          size_t n, struct mpq_type type, struct mpq_err *err)
{
    const size_t most = mpq_source_count(e->source);
    struct mpq_packfile *f = &e->file;

    f->pieces = mpq_array(most, sizeof *f->pieces);
    e->importance = mpq_array(most, sizeof *e->importance);
    if (!f->pieces || !e->importance)
        return mpq_fail(err, MPQ_ENOMEM, "out of memory for %zu matrices", most);
    for (size_t i = 0; i < n; i++)
        if (!mpq_type_eq(w[i]->tensor.type, type))
            add_piece(e, w[i], type);
    if (f->n == 0 || !e->o.tuner->holds || !tuner_takes(e, layer, type))
        return 0;
    for (size_t i = 0; i < most; i++) {
        const struct mpq_weight *x = mpq_source_weight(e->source, i);
        const struct mpq_piece p = { .weight = x, .type = x->tensor.type };
        if (x->layer == layer && !is_planned(f, x) && e->o.tuner->holds(&p))
            add_piece(e, x, x->tensor.type);
    }
    return 0;
}

static int
quantize(struct mpq_tune_each *e, struct mpq_tune *t, int layer, struct mpq_type type,
         struct mpq_err *err)
{
    if (tuner_takes(e, layer, type)) {
        if ((e->o.tuner->sees_inputs && see_layer(e, (size_t)layer, err) < 0) ||
            e->o.tuner->layer(t, (size_t)layer, e->in, e->n_in, err) < 0)
            return -1;
    }
    for (size_t i = 0; i < t->file->n; i++)
        if (!t->ready[i] && mpq_tune_plain(t, &t->file->pieces[i], err) < 0)
            return -1;
    return 0;
}

static void
hand_over(const struct mpq_tune_each *e)
{
    for (size_t i = 0; i < e->file.n; i++) {
        const struct mpq_piece *p = &e->file.pieces[i];
        struct mpq_weight *with = &e->with[i];
        uint64_t bytes = 0;
        *with = *p->weight;
        with->tensor.type = p->type;
        with->tensor.data = mpq_store_rows(e->store, i);
        if (mpq_type_bytes(p->type, p->weight->rows, p->weight->cols, &bytes) < 0)
            assert(0); /* it has been stored */
        with->tensor.size_bytes = bytes;
        with->scales = with->zeros = NULL;
    }
}

int
mpq_tune_each_run(struct mpq_tune_each *e, int layer, const struct mpq_weight *const *w,
                  size_t n, struct mpq_type type, const struct mpq_weight **with,
                  size_t *n_with, struct mpq_err *err)
{
    struct mpq_tune t = { .o = &e->o, .source = e->source };
    struct mpq_tune_options options = e->o;
    int rc = -1;

    *with = NULL;
    *n_with = 0;
    end_unit(e);
    if (plan_unit(e, layer, w, n, type, err) < 0)
        return -1;
    if (e->file.n == 0)
        return 0;
    options.importance = e->o.importance ? e->importance : NULL;
    t.o = &options;
    t.file = &e->file;
    t.scratch = e->scratch;
    t.scratch_room = e->scratch_room;
    t.net = &e->net;
    e->with = mpq_array(e->file.n, sizeof *e->with);
    t.held = mpq_array(e->file.n, 1);
    t.ready = mpq_array(e->file.n, 1);
    if (!e->with || !t.held || !t.ready) {
        mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", mpq_source_name(e->source));
        goto out;
    }
    memset(t.held, 1, e->file.n);
    const struct mpq_store_options store = { .held = t.held, .description = "" };
    if (mpq_store_new(&e->store, &e->file, &store, err) < 0)
        goto out;
    t.store = e->store;
    rc = quantize(e, &t, layer, type, err);
    e->scratch_room = t.scratch_room;
    if (rc < 0)
        goto out;
    hand_over(e);
    *with = e->with;
    *n_with = e->file.n;
out:
    free(t.held);
    free(t.ready);
    return rc;
}
