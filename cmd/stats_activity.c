/* mpq-stats -c: what the linears are given when the model reads a text. */
#include "stats_own.h"

#include "base/buf.h"
#include "method/reach.h"
#include "model/activity.h"
#include "model/calib.h"
#include "model/hessian.h"
#include "quant/codec.h"
#include "quant/imatrix_write.h"

#include <stdlib.h>
#include <string.h>

struct stats_text stats_text = { .ctx = 512, .effort = MPQ_EFFORT_DEFAULT };

enum { STATES_BYTES = 1 << 30 }; /* hidden states beyond go to a temporary file */

struct figure {
    const struct mpq_weight *weight;
    uint64_t tokens;
    double trace; /* of X^T X, for each token */
};

struct stats_activity {
    const struct mpq_source *s;
    size_t first, last;
    struct mpq_calib text;
    struct mpq_forward *forward;
    struct mpq_activity *activity;
    struct mpq_reach *reach; /* for a table, else NULL */
    struct mpq_states x;
    struct figure *figures;
    size_t n_figures, room;
    struct mpq_imatrix_new imatrix;
    struct mpq_out *out;
};

void
stats_activity_free(struct stats_activity *a)
{
    if (!a)
        return;
    mpq_imatrix_new_free(&a->imatrix);
    free(a->figures);
    mpq_reach_free(a->reach);
    mpq_activity_free(a->activity);
    mpq_states_free(&a->x);
    mpq_forward_free(a->forward);
    mpq_calib_free(&a->text);
    free(a);
}

static int
prepare(struct stats_activity *a, struct mpq_err *err)
{
    const struct mpq_seqs *q = &a->text.seqs;
    const unsigned threads = (unsigned)cli.threads;
    const enum mpq_activity_kind kind = stats_text.format == STATS_HESSIAN
                                            ? MPQ_ACTIVITY_HESSIAN
                                            : MPQ_ACTIVITY_DIAGONAL;

    if (mpq_forward_new(&a->forward, a->s, threads, err) < 0 ||
        mpq_calib_read(&a->text, stats_text.path, a->s, (size_t)stats_text.ctx,
                       (size_t)stats_text.samples, err) < 0 ||
        mpq_states_new(&a->x, q->start[q->n], mpq_forward_net(a->forward)->n_embd,
                       STATES_BYTES, err) < 0 ||
        mpq_activity_new(&a->activity, a->forward, q, kind, threads, err) < 0)
        return -1;
    if (stats_text.format != STATS_TSV)
        return 0;
    return mpq_reach_new(&a->reach, a->forward, q, a->first, a->last, STATES_BYTES,
                         threads, err);
}

/* The figures of an input, for each matrix that has it. */
static int
take_figures(struct stats_activity *a, const struct mpq_input *in, struct mpq_err *err)
{
    double trace = 0;

    for (size_t s = 0; s < a->text.seqs.n; s++)
        trace += in->trace[s];
    for (size_t i = 0; i < in->n_weights; i++) {
        if (mpq_grow(&a->figures, &a->room, a->n_figures + 1, sizeof *a->figures) < 0)
            return mpq_fail(err, MPQ_ENOMEM, "out of memory");
        a->figures[a->n_figures++] =
            (struct figure){ in->weights[i], in->n_tokens,
                             in->n_tokens ? trace / (double)in->n_tokens : 0 };
        if (stats_text.format == STATS_IMATRIX &&
            mpq_imatrix_put(&a->imatrix, in->weights[i]->name, in->diagonal, in->cols,
                            in->n_tokens, err) < 0)
            return -1;
    }
    return 0;
}

static int
take_layer(struct stats_activity *a, struct mpq_err *err)
{
    const struct mpq_input *in = mpq_activity_inputs(a->activity);

    for (int i = 0; i < MPQ_TAP_INPUTS; i++)
        if (take_figures(a, &in[i], err) < 0)
            return -1;
    if (stats_text.format == STATS_HESSIAN)
        return mpq_hessian_write_layer(a->out, in, MPQ_TAP_INPUTS, err);
    return 0;
}

/* A layer below the first is passed through; what its linears are given is not
 * counted. */
static int
pass_layer(struct stats_activity *a, size_t layer, struct mpq_err *err)
{
    if (a->reach && mpq_reach_see(a->reach, layer, &a->x, err) < 0)
        return -1;
    if (layer < a->first)
        return mpq_forward_layer(a->forward, layer, &a->text.seqs, &a->x, err);
    if (mpq_activity_layer(a->activity, layer, &a->x, err) < 0)
        return -1;
    return take_layer(a, err);
}

static int
pass(struct stats_activity *a, struct mpq_err *err)
{
    const size_t n_layer = mpq_forward_net(a->forward)->n_layer;
    const struct mpq_seqs *q = &a->text.seqs;
    const uint64_t tokens = q->start[q->n];
    const struct mpq_input *in;
    int rc = mpq_forward_embed(a->forward, q, &a->x, err);

    if (rc == 0 && stats_text.format == STATS_HESSIAN)
        rc = mpq_hessian_write_head(a->out, a->s, a->first, a->last, tokens, err);
    struct cli_bar *bar = cli_bar_new("activations", tokens * (a->last + 1), "tokens");
    for (size_t l = 0; rc == 0 && l <= a->last; l++) {
        rc = pass_layer(a, l, err);
        cli_bar_add(bar, tokens);
    }
    cli_bar_free(bar);
    if (rc == 0 && a->reach &&
        (mpq_reach_see(a->reach, a->last + 1, &a->x, err) < 0 ||
         mpq_reach_project(a->reach, err) < 0))
        rc = -1;
    if (rc == 0 && stats_text.format == STATS_IMATRIX && a->last + 1 == n_layer &&
        (mpq_activity_output(a->activity, &a->x, &in, err) < 0 ||
         take_figures(a, in, err) < 0))
        rc = -1;
    return rc;
}

static const struct figure *
figure_of(const struct stats_activity *a, const struct mpq_weight *w)
{
    for (size_t i = 0; i < a->n_figures; i++)
        if (a->figures[i].weight == w && a->figures[i].tokens > 0)
            return &a->figures[i];
    return NULL;
}

/* How many tokens the linears of the layers have seen, and which have seen none. */
static void
note_coverage(const struct stats_activity *a)
{
    struct mpq_buf none = { 0 };
    size_t n = 0, n_none = 0;
    uint64_t least = UINT64_MAX;

    for (size_t i = 0; i < mpq_source_count(a->s); i++) {
        const struct mpq_weight *w = mpq_source_weight(a->s, i);
        if (!w->is_linear || w->layer < (int)a->first || w->layer > (int)a->last)
            continue;
        const struct figure *f = figure_of(a, w);
        n++;
        if (f)
            least = f->tokens < least ? f->tokens : least;
        else if (n_none++ < 5)
            mpq_buf_printf(&none, " %s", w->name);
    }
    if (n > n_none)
        cli_note("%zu of %zu tensors have seen %llu tokens at least, in %zu sequences",
                 n - n_none, n, (unsigned long long)least, a->text.seqs.n);
    if (n_none && !none.failed)
        cli_note("%zu tensors have seen no token:%s%s", n_none, none.data,
                 n_none > 5 ? " ..." : "");
    mpq_buf_free(&none);
}

const char *
stats_text_name(void)
{
    const char *slash = strrchr(stats_text.path, '/');

    if (strcmp(stats_text.path, "-") == 0)
        return "standard input";
    return slash ? slash + 1 : stats_text.path;
}

int
stats_activity_run(struct stats_activity **out, const struct mpq_source *s,
                   uint64_t first, uint64_t last, struct mpq_out *to,
                   struct mpq_err *err)
{
    struct stats_activity *a = calloc(1, sizeof *a);
    int rc = -1;

    *out = NULL;
    if (!a) {
        mpq_fail(err, MPQ_ENOMEM, "out of memory");
        goto out;
    }
    a->s = s;
    a->first = (size_t)first;
    a->last = (size_t)last;
    a->out = to;
    if (prepare(a, err) < 0 || pass(a, err) < 0)
        goto out;
    const uint64_t tokens = a->text.seqs.start[a->text.seqs.n],
                   chunks = tokens / stats_text.ctx;
    if (stats_text.format == STATS_IMATRIX &&
        mpq_imatrix_write(&a->imatrix, to, stats_text_name(), chunks ? chunks : 1,
                          stats_text.ctx, err) < 0)
        goto out;
    note_coverage(a);
    *out = a;
    a = NULL; /* handed over */
    rc = 0;
out:
    stats_activity_free(a);
    return rc;
}

int
stats_activity_put(const struct stats_activity *a, int layer, int with_n,
                   struct mpq_tsv_writer *w, struct mpq_err *err)
{
    for (size_t i = 0; i < mpq_source_count(a->s); i++) {
        const struct mpq_weight *m = mpq_source_weight(a->s, i);
        const struct figure *f;
        if (!m->is_linear || m->layer != layer)
            continue;
        if (with_n && mpq_tsv_row(w, err, "%d\t%s\tn\t%.17g", layer, m->name,
                                  (double)m->rows * (double)m->cols) < 0)
            return -1;
        f = figure_of(a, m);
        if (mpq_tsv_row(w, err, "%d\t%s\ttokens\t%llu", layer, m->name,
                        f ? (unsigned long long)f->tokens : 0) < 0 ||
            (f &&
             mpq_tsv_row(w, err, "%d\t%s\ttrace\t%.17g", layer, m->name, f->trace) < 0))
            return -1;
    }
    if (mpq_tsv_row(w, err, "%d\tblk.%d\tlim\t%.17g", layer, layer,
                    mpq_reach_lim(a->reach, (size_t)layer)) < 0)
        return -1;
    return mpq_tsv_row(w, err, "%d\tblk.%d\tlsaq\t%.17g", layer, layer,
                       mpq_reach_lsaq(a->reach, (size_t)layer));
}
