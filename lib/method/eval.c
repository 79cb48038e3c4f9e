#include "method/eval_own.h"

#include "base/buf.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const size_t default_bytes = (size_t)512 << 20;

static size_t
max_bytes(const struct mpq_eval *e)
{
    return e->max_bytes ? e->max_bytes : default_bytes;
}

size_t
mpq_eval_group(const struct mpq_eval *e)
{
    size_t width = mpq_forward_net(e->model)->n_embd;

    if (e->ref && mpq_forward_net(e->ref)->n_embd > width)
        width = mpq_forward_net(e->ref)->n_embd;
    return max_bytes(e) / (width * sizeof(float));
}

int
mpq_eval_pass(const struct mpq_eval *e, struct mpq_forward *f, const struct mpq_seqs *q,
              struct mpq_states *x, struct mpq_err *err)
{
    const struct mpq_net *net = mpq_forward_net(f);
    const uint64_t n = q->start[q->n];

    if (mpq_states_new(x, q->start[q->n], net->n_embd, max_bytes(e), err) < 0)
        return -1;
    if (mpq_forward_embed(f, q, x, err) < 0)
        return -1;
    for (size_t l = 0; l < net->n_layer; l++) {
        if (mpq_forward_layer(f, l, q, x, err) < 0)
            return -1;
        if (e->progress) /* the sum over the layers is n */
            e->progress(e->ctx, n * (l + 1) / net->n_layer - n * l / net->n_layer);
    }
    return 0;
}

/* The part of OUT from target (and row) AT on. */
static struct mpq_eval_scores
part_of(const struct mpq_eval_scores *out, size_t at, struct mpq_saved *save,
        struct mpq_saved *known)
{
    struct mpq_eval_scores s = *out;

    s.logp = out->logp ? out->logp + at : NULL;
    s.logp_ref = out->logp_ref ? out->logp_ref + at : NULL;
    s.kld = out->kld ? out->kld + at : NULL;
    s.same = out->same ? out->same + at : NULL;
    for (int i = 0; i < 2; i++) {
        const struct mpq_saved *whole = i ? out->known : out->save;
        struct mpq_saved *part = i ? known : save;
        if (!whole)
            continue;
        part->n = whole->n - at;
        part->k = whole->k;
        part->target = whole->target + at;
        part->tail = whole->tail + at;
        part->ids = whole->ids + at * whole->k;
        part->logp = whole->logp + at * whole->k;
        if (i)
            s.known = part;
        else
            s.save = part;
    }
    return s;
}

int
mpq_eval_group_run(const struct mpq_eval *e, const struct mpq_seqs *q,
                   const struct mpq_eval_rows *rows, const struct mpq_eval_scores *out,
                   struct mpq_err *err)
{
    struct mpq_states x = { 0 }, x_ref = { 0 };
    int rc = -1;

    if (mpq_eval_pass(e, e->model, q, &x, err) < 0 ||
        (e->ref && mpq_eval_pass(e, e->ref, q, &x_ref, err) < 0))
        goto out;
    rc = mpq_eval_rows(e, &x, e->ref ? &x_ref : NULL, rows, out, err);
out:
    mpq_states_free(&x);
    mpq_states_free(&x_ref);
    return rc;
}

void
mpq_eval_work_free(struct mpq_eval_work *w)
{
    free(w->tokens);
    free(w->start);
    free(w->parent);
    free(w->shared);
    free(w->rows);
    free(w->first);
    free(w->targets);
    free(w->query);
    *w = (struct mpq_eval_work){ 0 };
}

struct mpq_seqs
mpq_eval_work_seqs(const struct mpq_eval_work *w)
{
    return (struct mpq_seqs){ w->n_seqs, w->tokens, w->start, w->parent, w->shared };
}

struct mpq_eval_rows
mpq_eval_work_rows(const struct mpq_eval_work *w)
{
    return (struct mpq_eval_rows){ w->n_rows, w->rows, w->first, w->targets };
}

/* The last token of a chunk is predicted, but nothing is predicted from it. */
int
mpq_eval_work_text(struct mpq_eval_work *w, const struct mpq_ppl *p,
                   const uint32_t *tokens, int64_t bos, size_t c, size_t n,
                   struct mpq_err *err)
{
    const size_t len = p->ctx - 1, n_rows = n * p->n_scored;

    *w = (struct mpq_eval_work){ .n_seqs = n, .n_rows = n_rows };
    w->tokens =
        mpq_array(n * len + 1, sizeof *w->tokens); /* a chunk reaches 1 beyond */
    w->start = mpq_array(n + 1, sizeof *w->start);
    w->rows = mpq_array(n_rows, sizeof *w->rows);
    w->first = mpq_array(n_rows + 1, sizeof *w->first);
    w->targets = mpq_array(n_rows, sizeof *w->targets);
    if (!w->tokens || !w->start || !w->rows || !w->first || !w->targets) {
        mpq_eval_work_free(w);
        return mpq_fail(err, MPQ_ENOMEM, "%zu chunks: out of memory", n);
    }
    for (size_t i = 0; i < n; i++) {
        mpq_ppl_chunk(p, c + i, tokens, bos, w->tokens + i * len);
        w->start[i + 1] = (i + 1) * len;
        for (size_t k = 0; k < p->n_scored; k++) {
            const size_t at = i * p->n_scored + k;
            w->rows[at] = i * len + p->first + k - 1;
            w->targets[at] = tokens[(c + i) * p->step + p->first + k];
            w->first[at + 1] = at + 1;
        }
    }
    return 0;
}

/* Chunks [c, c + n) of a text. */
static int
run_chunks(const struct mpq_eval *e, const struct mpq_ppl *p, const uint32_t *tokens,
           int64_t bos, size_t c, size_t n, const struct mpq_eval_scores *out,
           struct mpq_err *err)
{
    struct mpq_saved save, known;
    const struct mpq_eval_scores part = part_of(out, c * p->n_scored, &save, &known);
    struct mpq_eval_work w;

    if (mpq_eval_work_text(&w, p, tokens, bos, c, n, err) < 0)
        return -1;
    const struct mpq_seqs seqs = mpq_eval_work_seqs(&w);
    const struct mpq_eval_rows rows = mpq_eval_work_rows(&w);
    const int rc = mpq_eval_group_run(e, &seqs, &rows, &part, err);
    mpq_eval_work_free(&w);
    return rc;
}

int
mpq_eval_text(const struct mpq_eval *e, const struct mpq_ppl *p, const uint32_t *tokens,
              int64_t bos, const struct mpq_eval_scores *out, struct mpq_err *err)
{
    size_t group = mpq_eval_group(e) / p->ctx;

    if (group == 0)
        group = 1;
    for (size_t c = 0; c < p->n_chunks; c += group) {
        const size_t n = p->n_chunks - c < group ? p->n_chunks - c : group;
        if (run_chunks(e, p, tokens, bos, c, n, out, err) < 0)
            return -1;
    }
    return 0;
}
