#include "method/probe.h"

#include "base/buf.h"
#include "method/eval_own.h"
#include "method/exam_own.h"

#include <stdlib.h>
#include <string.h>

/* A text or a task. [0]: with other weights, [1]: of the unchanged model. */
struct goal {
    struct mpq_eval_work w;
    size_t n_tokens, n_targets;
    struct mpq_states x;    /* on entering the layer that the walk is at */
    struct mpq_states *at;  /* [n_layer] on entering those to come; not all find room */
    struct mpq_states y;    /* the same on its way through the changed model */
    struct mpq_states last; /* [n_rows] behind the last layer, of the unchanged model */
    struct mpq_states z;    /* of the changed one */
    struct mpq_states ref;  /* [n_rows] as last, of the reference; empty without one */
    size_t *rows;           /* [n_rows] 0, 1, 2 ... */
    double *logp[2];        /* [n_targets] */
    double *kld;            /* [n_rows]; NULL: not wanted */
    double *kld_base;       /* [n_rows] of the unchanged model, from the reference */
    float *kept;            /* [n_kept][n_vocab] logits of the first rows */
    size_t n_kept;
    const struct mpq_exam *exam; /* NULL: a text */
    struct mpq_marks marks;
    double *sums;            /* [queries] */
    size_t first_row, n_out; /* of mpq_probe.rows */
};

struct mpq_probe {
    const struct mpq_probe_options *o;
    struct mpq_forward *f, *base; /* base: the reference, or where the logits find no
                                     room; else NULL */
    const struct mpq_net *net;
    struct goal *goals;
    size_t n_goals, layer; /* that the walk is at */
    size_t n_tokens;       /* of all goals */
    size_t states_left;    /* bytes for states in memory */
    int is_ready;          /* the unchanged model has been run */
    struct mpq_probe_row *rows;
    size_t n_rows;
};

static int
no_memory(struct mpq_err *err)
{
    return mpq_fail(err, MPQ_ENOMEM, "out of memory for a probe");
}

static void
free_goal(struct goal *g, size_t n_layer)
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
    free(g->sums);
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

/* --- what is measured ------------------------------------------------------------ */

static const char *const text_metrics[] = { "ppl", "nll", "kld" };
static const unsigned text_bits[] = { MPQ_METRIC_PPL, MPQ_METRIC_NLL, MPQ_METRIC_KLD };
enum { TEXT_METRICS = 3, TASK_METRICS = 4 };

/* The marks of a metric of tasks, in the order of their rows. */
static double *const *
task_marks(const struct mpq_probe *p, const struct goal *g, size_t i,
           const char **metric)
{
    static const char *const names[TASK_METRICS] = { "acc", "acc_norm", "em", "loss" };
    static const unsigned bits[TASK_METRICS] = { MPQ_METRIC_ACC, MPQ_METRIC_ACC_NORM,
                                                 MPQ_METRIC_EM, MPQ_METRIC_LOSS };
    double *const *const marks[TASK_METRICS] = { g->marks.acc, g->marks.acc_norm,
                                                 g->marks.em, g->marks.loss };

    *metric = names[i];
    return (p->o->metrics & bits[i]) && marks[i][0] ? marks[i] : NULL;
}

static void
name_rows(struct mpq_probe *p, struct goal *g, const char *task)
{
    const char *metric;

    g->first_row = p->n_rows;
    for (size_t i = 0; !g->exam && i < TEXT_METRICS; i++)
        if (p->o->metrics & text_bits[i])
            p->rows[p->n_rows++] =
                (struct mpq_probe_row){ .task = task, .metric = text_metrics[i] };
    for (size_t i = 0; g->exam && i < TASK_METRICS; i++)
        if (task_marks(p, g, i, &metric))
            p->rows[p->n_rows++] =
                (struct mpq_probe_row){ .task = task, .metric = metric };
    g->n_out = p->n_rows - g->first_row;
}

static void
put(struct mpq_probe_row *row, double base, double value, struct mpq_figure delta)
{
    row->base = base;
    row->value = value;
    row->delta = delta.value;
    row->se = delta.se;
}

static int
report_text(struct mpq_probe *p, const struct goal *g, struct mpq_err *err)
{
    const size_t n = g->n_targets;
    double *nll = mpq_array(n, 2 * sizeof *nll), *base = nll + n;
    struct mpq_probe_row *row = p->rows + g->first_row;
    const int back = p->o->ref != NULL;

    if (!nll)
        return no_memory(err);
    for (size_t i = 0; i < n; i++) {
        nll[i] = -g->logp[back][i];
        base[i] = -g->logp[!back][i];
    }
    if (p->o->metrics & MPQ_METRIC_PPL)
        put(row++, mpq_figure_ppl(base, n).value, mpq_figure_ppl(nll, n).value,
            mpq_figure_ppl_diff(nll, base, n));
    if (p->o->metrics & MPQ_METRIC_NLL)
        put(row++, mpq_figure_mean(base, n).value, mpq_figure_mean(nll, n).value,
            mpq_figure_diff(nll, base, n));
    if (p->o->metrics & MPQ_METRIC_KLD) {
        const struct mpq_figure kld = mpq_figure_mean(g->kld, n);
        if (back)
            put(row, kld.value, mpq_figure_mean(g->kld_base, n).value,
                mpq_figure_diff(g->kld_base, g->kld, n));
        else
            put(row, 0, kld.value, kld);
    }
    free(nll);
    return 0;
}

static void
report_task(struct mpq_probe *p, const struct goal *g)
{
    struct mpq_probe_row *row = p->rows + g->first_row;
    const size_t n = g->marks.n;
    const int back = p->o->ref != NULL;
    const char *metric;

    for (size_t i = 0; i < TASK_METRICS; i++) {
        double *const *x = task_marks(p, g, i, &metric);
        if (!x)
            continue;
        const int swap = (x != g->marks.loss) != back;
        put(row++, mpq_figure_mean(x[!back], n).value,
            mpq_figure_mean(x[back], n).value, mpq_figure_diff(x[swap], x[!swap], n));
    }
}

static int
report(struct mpq_probe *p, struct mpq_err *err)
{
    for (size_t i = 0; i < p->n_goals; i++) {
        const struct goal *g = &p->goals[i];
        if (g->exam)
            report_task(p, g);
        else if (report_text(p, g, err) < 0)
            return -1;
    }
    return 0;
}

/* --- the passes ------------------------------------------------------------------ */

static void
tell(const struct mpq_probe *p, uint64_t n)
{
    if (p->o->progress)
        p->o->progress(p->o->ctx, n);
}

/* The head's work on N rows, in tokens that pass a layer. */
static uint64_t
head_cost(const struct mpq_net *net, uint64_t n)
{
    const double d = (double)net->n_embd, hd = (double)net->head_dim;
    const double layer =
        d * (2 * (double)(net->n_head + net->n_head_kv) * hd + 3 * (double)net->n_ff);

    return (uint64_t)((double)n * d * (double)net->n_vocab / layer);
}

/* All goals through LAYER, their states x or y. */
static int
pass(struct mpq_probe *p, size_t layer, int changed, struct mpq_err *err)
{
    for (size_t i = 0; i < p->n_goals; i++) {
        struct goal *g = &p->goals[i];
        const struct mpq_seqs q = mpq_eval_work_seqs(&g->w);
        if (g->w.n_seqs == 0)
            continue;
        if (mpq_forward_layer(p->f, layer, &q, changed ? &g->y : &g->x, err) < 0)
            return -1;
        tell(p, g->n_tokens);
    }
    return 0;
}

static int
embed(struct mpq_probe *p, int changed, struct mpq_err *err)
{
    for (size_t i = 0; i < p->n_goals; i++) {
        struct goal *g = &p->goals[i];
        const struct mpq_seqs q = mpq_eval_work_seqs(&g->w);
        if (g->w.n_seqs > 0 &&
            mpq_forward_embed(p->f, &q, changed ? &g->y : &g->x, err) < 0)
            return -1;
    }
    return 0;
}

/* The scored rows of FROM, the states of all tokens. */
static void
pick_rows(const struct goal *g, const struct mpq_states *from, struct mpq_states *to)
{
    for (size_t i = 0; i < g->w.n_rows; i++)
        memcpy(to->x + i * to->width, from->x + g->w.rows[i] * from->width,
               to->width * sizeof *to->x);
}

/* The scores of rows [row, row + n) of X, SIDE of the goal. */
static int
score(struct mpq_probe *p, struct goal *g, const struct mpq_states *x, int side,
      size_t row, size_t n, int kept, struct mpq_err *err)
{
    const struct mpq_eval e = { .model = p->f, .ref = p->base };
    /* where there are several parts it is a text: a target for each row */
    const struct mpq_eval_rows rows = { n, g->rows + row, g->w.first,
                                        g->w.targets + row };
    const int compare = side == 0 && g->kld;
    const struct mpq_eval_scores out = {
        .logp = g->logp[side] + row,
        .logp_ref = compare && !p->is_ready && !p->o->ref ? g->logp[1] + row : NULL,
        .kld = compare ? g->kld + row : NULL,
        .keep = side == 1 && kept && !p->o->ref ? g->kept : NULL,
        .kept = compare && kept ? g->kept : NULL,
    };

    if (n == 0)
        return 0;
    const struct mpq_states *from = p->o->ref ? &g->ref : &g->last;
    if (mpq_eval_rows(&e, x, compare && !kept ? from : NULL, &rows, &out, err) < 0)
        return -1;
    tell(p, head_cost(p->net, n));
    return 0;
}

/* Scores, from the states behind the last layer on. */
static int
score_goal(struct mpq_probe *p, struct goal *g, const struct mpq_states *x, int side,
           struct mpq_err *err)
{
    if (score(p, g, x, side, 0, g->n_kept, 1, err) < 0 ||
        score(p, g, x, side, g->n_kept, g->w.n_rows - g->n_kept, 0, err) < 0)
        return -1;
    if (!g->exam)
        return 0;
    memset(g->sums, 0, g->exam->n_queries * sizeof *g->sums);
    for (size_t i = 0; i < g->n_targets; i++)
        g->sums[g->w.query[i]] += g->logp[side][i];
    if (g->exam->n_queries)
        mpq_exam_mark(&g->marks, g->exam, side, g->sums);
    return 0;
}

static int
write_answers(struct mpq_probe *p, struct goal *g, int side, struct mpq_err *err)
{
    const struct mpq_eval e = { .model = p->f, .ref = p->f };

    if (!g->exam || !(g->exam->metrics & MPQ_TASK_EM))
        return 0;
    if (mpq_exam_write(&g->marks, g->exam, &e, p->o->tok, side, err) < 0)
        return -1;
    tell(p, g->exam->prompts.n * p->net->n_layer);
    return 0;
}

/* What the comparison with the reference takes: its states behind the last layer, and
 * logits as far as there is room. */
static int
run_reference(struct mpq_probe *p, struct mpq_err *err)
{
    struct mpq_forward *const model = p->f;
    const struct mpq_eval e = { .model = p->base };
    int rc = -1;

    p->f = p->base;
    if (embed(p, 0, err) < 0)
        goto out;
    for (size_t l = 0; l < p->net->n_layer; l++)
        if (pass(p, l, 0, err) < 0)
            goto out;
    for (size_t i = 0; i < p->n_goals; i++) {
        struct goal *g = &p->goals[i];
        const struct mpq_eval_rows rows = { g->n_kept, g->rows, g->w.first,
                                            g->w.targets };
        const struct mpq_eval_scores out = { .keep = g->kept };
        if (!g->kld)
            continue;
        pick_rows(g, &g->x, &g->ref);
        if (g->n_kept && mpq_eval_rows(&e, &g->ref, NULL, &rows, &out, err) < 0)
            goto out;
    }
    rc = 0;
out:
    p->f = model;
    return rc;
}

static size_t
bytes_of(const struct mpq_states *x)
{
    return x->n * x->width * sizeof *x->x;
}

/* Keeps the states that enter LAYER, which will be asked for, where they find room. */
static int
keep_states(struct mpq_probe *p, size_t layer, struct mpq_err *err)
{
    size_t bytes = 0;

    for (size_t i = 0; i < p->n_goals; i++)
        bytes += bytes_of(&p->goals[i].x);
    if (layer <= p->o->first || layer > p->o->last || bytes > p->states_left)
        return 0;
    for (size_t i = 0; i < p->n_goals; i++) {
        struct goal *g = &p->goals[i];
        if (mpq_states_new(&g->at[layer], g->x.n, g->x.width, SIZE_MAX, err) < 0)
            return -1;
        memcpy(g->at[layer].x, g->x.x, bytes_of(&g->x));
    }
    p->states_left -= bytes;
    return 0;
}

/* The unchanged model; then back to the first layer. */
static int
run_base(struct mpq_probe *p, struct mpq_err *err)
{
    if (p->o->ref && run_reference(p, err) < 0)
        return -1;
    if (embed(p, 0, err) < 0)
        return -1;
    for (size_t l = 0; l < p->net->n_layer; l++)
        if (keep_states(p, l, err) < 0 || pass(p, l, 0, err) < 0)
            return -1;
    for (size_t i = 0; i < p->n_goals; i++) {
        struct goal *g = &p->goals[i];
        pick_rows(g, &g->x, &g->last);
        if (score_goal(p, g, &g->last, 1, err) < 0 || write_answers(p, g, 1, err) < 0)
            return -1;
        /* compared with itself: summed up as it will be beside another */
        if (g->kld && score_goal(p, g, &g->last, 0, err) < 0)
            return -1;
        if (g->kld_base)
            memcpy(g->kld_base, g->kld, g->w.n_rows * sizeof *g->kld);
    }
    p->is_ready = 1;
    return embed(p, 0, err);
}

/* Nothing is changed. */
static void
copy_base(struct mpq_probe *p)
{
    const char *metric;

    for (size_t i = 0; i < p->n_goals; i++) {
        struct goal *g = &p->goals[i];
        memcpy(g->logp[0], g->logp[1], g->n_targets * sizeof *g->logp[0]);
        if (g->kld_base)
            memcpy(g->kld, g->kld_base, g->w.n_rows * sizeof *g->kld);
        else if (g->kld)
            memset(g->kld, 0, g->w.n_rows * sizeof *g->kld);
        for (size_t k = 0; g->exam && k < TASK_METRICS; k++) {
            double *const *x = task_marks(p, g, k, &metric);
            if (x)
                memcpy(x[0], x[1], g->marks.n * sizeof *x[0]);
        }
    }
}

/* With the weights replaced. */
static int
run_changed(struct mpq_probe *p, int layer, struct mpq_err *err)
{
    const size_t n_layer = p->net->n_layer;
    const size_t first = layer < 0 ? 0 : (size_t)layer;

    if (layer < 0 && embed(p, 1, err) < 0)
        return -1;
    for (size_t l = first; l < n_layer; l++)
        if (pass(p, l, 1, err) < 0)
            return -1;
    for (size_t i = 0; i < p->n_goals; i++) {
        struct goal *g = &p->goals[i];
        if (first < n_layer)
            pick_rows(g, &g->y, &g->z);
        if (score_goal(p, g, first < n_layer ? &g->z : &g->last, 0, err) < 0 ||
            write_answers(p, g, 0, err) < 0)
            return -1;
    }
    return 0;
}

/* Brings the kept states to LAYER. */
static int
walk(struct mpq_probe *p, size_t layer, struct mpq_err *err)
{
    for (; p->layer < layer; p->layer++) {
        int kept = 0;
        for (size_t i = 0; i < p->n_goals; i++) {
            struct goal *g = &p->goals[i];
            if (!g->at[p->layer + 1].x)
                continue;
            memcpy(g->x.x, g->at[p->layer + 1].x, bytes_of(&g->x));
            mpq_states_free(&g->at[p->layer + 1]);
            kept = 1;
        }
        if (!kept && pass(p, p->layer, 0, err) < 0)
            return -1;
        if (kept)
            tell(p, p->n_tokens);
    }
    return 0;
}

int
mpq_probe_run(struct mpq_probe *p, int layer, const struct mpq_weight *with, size_t n,
              struct mpq_err *err)
{
    if (!p->is_ready &&
        (mpq_forward_keep(p->f, p->o->first, p->o->max_bytes, err) < 0 ||
         run_base(p, err) < 0))
        return -1;
    if (n == 0) {
        copy_base(p);
        return report(p, err);
    }
    if (layer >= 0 && (size_t)layer < p->net->n_layer) {
        if (walk(p, (size_t)layer, err) < 0)
            return -1;
        for (size_t i = 0; i < p->n_goals; i++) {
            struct goal *g = &p->goals[i];
            memcpy(g->y.x, g->x.x, bytes_of(&g->x));
        }
    }
    mpq_forward_replace(p->f, with, n);
    const int rc = run_changed(p, layer, err);
    mpq_forward_replace(p->f, NULL, 0);
    return rc < 0 ? -1 : report(p, err);
}

const struct mpq_probe_row *
mpq_probe_rows(const struct mpq_probe *p, size_t *n)
{
    *n = p->n_rows;
    return p->rows;
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
make_room(struct mpq_probe *p, struct goal *g, size_t *left, struct mpq_err *err)
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
    const size_t used = 2 * (bytes_of(&g->x) + bytes_of(&g->last));
    p->states_left -= used < p->states_left ? used : p->states_left;
    g->at = mpq_array(p->net->n_layer, sizeof *g->at);
    g->rows = mpq_array(n, sizeof *g->rows);
    for (int s = 0; s < 2; s++)
        g->logp[s] = mpq_array(g->n_targets, sizeof *g->logp[s]);
    if (!g->at || !g->rows || !g->logp[0] || !g->logp[1])
        return no_memory(err);
    for (size_t i = 0; i < n; i++)
        g->rows[i] = i;
    if (g->exam || !(p->o->metrics & MPQ_METRIC_KLD))
        return 0;
    g->n_kept = *left / logits < n ? *left / logits : n;
    *left -= g->n_kept * logits;
    g->kld = mpq_array(n, sizeof *g->kld);
    g->kept = mpq_array(g->n_kept, logits);
    if (!g->kld || !g->kept)
        return no_memory(err);
    if (p->o->ref) {
        g->kld_base = mpq_array(n, sizeof *g->kld_base);
        return g->kld_base ? mpq_states_new(&g->ref, n, d, bytes, err) : no_memory(err);
    }
    if (g->n_kept < n && !p->base)
        return open_forward(p, p->o->source, &p->base, err);
    return 0;
}

static int
add_text(struct mpq_probe *p, struct goal *g, const struct mpq_probe_text *t,
         size_t *left, struct mpq_err *err)
{
    if (mpq_eval_work_text(&g->w, t->plan, t->tokens, p->o->bos, 0, t->plan->n_chunks,
                           err) < 0 ||
        make_room(p, g, left, err) < 0)
        return -1;
    name_rows(p, g, t->name);
    return 0;
}

static int
add_exam(struct mpq_probe *p, struct goal *g, const struct mpq_exam *x, size_t *left,
         struct mpq_err *err)
{
    const struct mpq_eval_queries q = mpq_exam_queries(x);

    g->exam = x;
    if (q.n_items && mpq_eval_work_items(&g->w, &q, 0, q.n_items, err) < 0)
        return -1;
    if (make_room(p, g, left, err) < 0 || mpq_marks_new(&g->marks, x, 2, err) < 0)
        return -1;
    if (!(g->sums = mpq_array(x->n_queries, sizeof *g->sums)))
        return no_memory(err);
    name_rows(p, g, x->task->name);
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
    p->rows = mpq_array(p->n_goals * TASK_METRICS, sizeof *p->rows);
    if (!p->goals || !p->rows)
        return no_memory(err);
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
        no_memory(err);
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
        cost += head_cost(net, t->n_chunks * t->n_scored);
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
