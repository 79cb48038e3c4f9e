#include "method/traces.h"

#include "model/activity.h"

enum { STATES_BYTES = 1 << 30 }; /* hidden states beyond go to a temporary file */

static double
layer_trace(const struct mpq_activity *a, const struct mpq_seqs *q)
{
    const struct mpq_input *in = mpq_activity_inputs(a);
    double sum = 0;

    for (int i = 0; i < MPQ_TAP_INPUTS; i++) {
        double trace = 0;
        for (size_t s = 0; s < q->n; s++)
            trace += in[i].trace[s];
        if (in[i].n_tokens)
            sum += (double)in[i].n_weights * trace / (double)in[i].n_tokens;
    }
    return sum;
}

int
mpq_traces(struct mpq_forward *f, const struct mpq_seqs *q, unsigned n_threads,
           double *trace, void (*progress)(void *ctx, uint64_t tokens), void *ctx,
           struct mpq_err *err)
{
    const struct mpq_net *net = mpq_forward_net(f);
    const size_t n = q->start[q->n];
    struct mpq_activity *a = NULL;
    struct mpq_states x = { 0 };
    int rc = -1;

    if (mpq_states_new(&x, n, net->n_embd, STATES_BYTES, err) < 0 ||
        mpq_activity_new(&a, f, q, MPQ_ACTIVITY_DIAGONAL, n_threads, err) < 0 ||
        mpq_forward_embed(f, q, &x, err) < 0)
        goto out;
    for (size_t l = 0; l < net->n_layer; l++) {
        if (mpq_activity_layer(a, l, &x, err) < 0)
            goto out;
        trace[l] = layer_trace(a, q);
        if (progress)
            progress(ctx, n);
    }
    rc = 0;
out:
    mpq_activity_free(a);
    mpq_states_free(&x);
    return rc;
}
