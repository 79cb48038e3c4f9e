#include "method/probe_own.h"

#include "base/buf.h"

#include <stdlib.h>

int
mpq_probe_no_memory(struct mpq_err *err)
{
    return mpq_fail(err, MPQ_ENOMEM, "out of memory for a probe");
}

static void
free_goal(struct mpq_probe_goal *g, size_t n_layer)
{
    for (size_t i = 0; g->at && i < n_layer; i++)
        mpq_states_free(&g->at[i]);
    free(g->at);
    mpq_eval_work_free(&g->w);
    mpq_states_free(&g->x);
    mpq_states_free(&g->y);
    mpq_states_free(&g->last);
    mpq_states_free(&g->z);
    mpq_states_free(&g->ref);
    free(g->rows);
    free(g->logp[0]);
    free(g->logp[1]);
    free(g->kld);
    free(g->kld_base);
    free(g->kept);
    mpq_marks_free(&g->marks);
    free(g->sums[0]);
    free(g->sums[1]);
}

void
mpq_probe_free(struct mpq_probe *p)
{
    if (!p)
        return;
    for (size_t i = 0; p->goals && i < p->n_goals; i++)
        free_goal(&p->goals[i], p->net->n_layer);
    free(p->goals);
    free(p->rows);
    mpq_forward_free(p->f);
    mpq_forward_free(p->base);
    free(p);
}

/* --- making ready ---------------------------------------------------------------- */

static int
open_forward(const struct mpq_probe *p, const struct mpq_source *s,
             struct mpq_forward **out, struct mpq_err *err)
{
    if (mpq_forward_new(out, s, p->o->threads, err) < 0)
        return -1;
    mpq_forward_int8(*out, p->o->int8);
    return 0;
}

/* Room for a goal whose work is known; *LEFT: bytes for logits. */
static int
make_room(struct mpq_probe *p, struct mpq_probe_goal *g, size_t *left,
          struct mpq_err *err)
{
    const size_t d = p->net->n_embd, logits = p->net->n_vocab * sizeof(float);
    const size_t bytes = p->o->max_bytes / (4 * p->n_goals), n = g->w.n_rows;

    g->n_tokens = g->w.n_seqs ? g->w.start[g->w.n_seqs] : 0;
    g->n_targets = g->w.n_seqs ? g->w.first[n] : 0;
    p->n_tokens += g->n_tokens;
    if (mpq_states_new(&g->x, g->n_tokens, d, bytes, err) < 0 ||
        mpq_states_new(&g->y, g->n_tokens, d, bytes, err) < 0 ||
        mpq_states_new(&g->last, n, d, bytes, err) < 0 ||
        mpq_states_new(&g->z, n, d, bytes, err) < 0)
        return -1;
    const size_t used = 2 * (mpq_states_bytes(&g->x) + mpq_states_bytes(&g->last));
    p->states_left -= used < p->states_left ? used : p->states_left;
    g->at = mpq_array(p->net->n_layer, sizeof *g->at);
    g->rows = mpq_array(n, sizeof *g->rows);
    for (int s = 0; s < 2; s++)
        g->logp[s] = mpq_array(g->n_targets, sizeof *g->logp[s]);
    if (!g->at || !g->rows || !g->logp[0] || !g->logp[1])
        return mpq_probe_no_memory(err);
    for (size_t i = 0; i < n; i++)
        g->rows[i] = i;
    if (g->exam ? !(g->exam->metrics & MPQ_TASK_KLD)
                : !(p->o->metrics & MPQ_METRIC_KLD))
        return 0;
    g->n_kept = *left / logits < n ? *left / logits : n;
    *left -= g->n_kept * logits;
    g->kld = mpq_array(n, sizeof *g->kld);
    g->kept = mpq_array(g->n_kept, logits);
    if (!g->kld || !g->kept)
        return mpq_probe_no_memory(err);
    if (p->o->ref) {
        g->kld_base = mpq_array(n, sizeof *g->kld_base);
        return g->kld_base ? mpq_states_new(&g->ref, n, d, bytes, err)
                           : mpq_probe_no_memory(err);
    }
    if (g->n_kept < n && !p->base)
        return open_forward(p, p->o->source, &p->base, err);
    return 0;
}

static int
add_text(struct mpq_probe *p, struct mpq_probe_goal *g, const struct mpq_probe_text *t,
         size_t *left, struct mpq_err *err)
{
    if (mpq_eval_work_text(&g->w, t->plan, t->tokens, p->o->bos, 0, t->plan->n_chunks,
                           err) < 0 ||
        make_room(p, g, left, err) < 0)
        return -1;
    mpq_probe_name_rows(p, g, t->name);
    return 0;
}

static int
add_exam(struct mpq_probe *p, struct mpq_probe_goal *g, const struct mpq_exam *x,
         size_t *left, struct mpq_err *err)
{
    const struct mpq_eval_queries q = mpq_exam_queries(x);

    g->exam = x;
    if (q.n_items && mpq_eval_work_items(&g->w, &q, 0, q.n_items, err) < 0)
        return -1;
    if (make_room(p, g, left, err) < 0 || mpq_marks_new(&g->marks, x, 2, err) < 0)
        return -1;
    for (int k = 0; k < (x->metrics & MPQ_TASK_KLD ? 2 : 1); k++)
        if (!(g->sums[k] = mpq_array(x->n_queries, sizeof *g->sums[k])))
            return mpq_probe_no_memory(err);
    mpq_probe_name_rows(p, g, x->task->name);
    return 0;
}

static int
add_goals(struct mpq_probe *p, struct mpq_err *err)
{
    const struct mpq_probe_options *o = p->o;
    size_t left = o->max_bytes, n = 0;

    p->n_goals = (o->metrics & (MPQ_METRIC_PPL | MPQ_METRIC_NLL | MPQ_METRIC_KLD))
                     ? o->n_texts
                     : 0;
    const size_t n_texts = p->n_goals;
    for (size_t i = 0; i < o->n_exams; i++)
        p->n_goals += o->exams[i].metrics != 0;
    p->states_left = o->max_bytes;
    p->goals = mpq_array(p->n_goals, sizeof *p->goals);
    p->rows = mpq_array(p->n_goals * MPQ_PROBE_TASK_METRICS, sizeof *p->rows);
    if (!p->goals || !p->rows)
        return mpq_probe_no_memory(err);
    for (size_t i = 0; i < n_texts; i++)
        if (add_text(p, &p->goals[n++], &o->texts[i], &left, err) < 0)
            return -1;
    for (size_t i = 0; i < o->n_exams; i++)
        if (o->exams[i].metrics &&
            add_exam(p, &p->goals[n++], &o->exams[i], &left, err) < 0)
            return -1;
    return 0;
}

int
mpq_probe_new(struct mpq_probe **out, const struct mpq_probe_options *o,
              struct mpq_err *err)
{
    struct mpq_probe *p = calloc(1, sizeof *p);
    int rc = -1;

    *out = NULL;
    if (!p) {
        mpq_probe_no_memory(err);
        goto out;
    }
    p->o = o;
    if (open_forward(p, o->source, &p->f, err) < 0)
        goto out;
    p->net = mpq_forward_net(p->f);
    if (o->ref && open_forward(p, o->ref, &p->base, err) < 0)
        goto out;
    if (add_goals(p, err) < 0)
        goto out;
    *out = p;
    p = NULL;
    rc = 0;
out:
    mpq_probe_free(p);
    return rc;
}

uint64_t
mpq_probe_head_cost(const struct mpq_net *net, uint64_t n)
{
    const double d = (double)net->n_embd, hd = (double)net->head_dim;
    const double layer =
        d * (2 * (double)(net->n_head + net->n_head_kv) * hd + 3 * (double)net->n_ff);

    return (uint64_t)((double)n * d * (double)net->n_vocab / layer);
}

uint64_t
mpq_probe_cost(const struct mpq_probe_options *o, const struct mpq_net *net, int layer)
{
    const uint64_t n_layer = net->n_layer;
    const uint64_t layers = layer < 0 ? n_layer : n_layer - (uint64_t)layer;
    const int texts =
        (o->metrics & (MPQ_METRIC_PPL | MPQ_METRIC_NLL | MPQ_METRIC_KLD)) != 0;
    uint64_t cost = 0;

    for (size_t i = 0; texts && i < o->n_texts; i++) {
        const struct mpq_ppl *t = o->texts[i].plan;
        cost += t->n_chunks * (t->ctx - 1) * layers;
        cost += mpq_probe_head_cost(net, t->n_chunks * t->n_scored);
    }
    for (size_t i = 0; i < o->n_exams; i++) {
        const struct mpq_exam *x = &o->exams[i];
        if (!x->metrics)
            continue;
        cost += (mpq_exam_tokens(x) - x->prompts.n) * layers;
        if (x->metrics & MPQ_TASK_EM)
            cost += x->prompts.n * n_layer;
    }
    return cost;
}
