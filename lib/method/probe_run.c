/* The runs of a probe: the unchanged model once, then others from the lowest layer on
 * that is changed. */
#include "method/probe_own.h"

#include <string.h>

static void
tell(const struct mpq_probe *p, uint64_t n)
{
    if (p->o->progress)
        p->o->progress(p->o->ctx, n);
}

/* All goals through LAYER, their states x or y. */
static int
pass(struct mpq_probe *p, size_t layer, int changed, struct mpq_err *err)
{
    for (size_t i = 0; i < p->n_goals; i++) {
        struct mpq_probe_goal *g = &p->goals[i];
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
        struct mpq_probe_goal *g = &p->goals[i];
        const struct mpq_seqs q = mpq_eval_work_seqs(&g->w);
        if (g->w.n_seqs > 0 &&
            mpq_forward_embed(p->f, &q, changed ? &g->y : &g->x, err) < 0)
            return -1;
    }
    return 0;
}

/* The scored rows of FROM, the states of all tokens. */
static void
pick_rows(const struct mpq_probe_goal *g, const struct mpq_states *from,
          struct mpq_states *to)
{
    for (size_t i = 0; i < g->w.n_rows; i++)
        memcpy(to->x + i * to->width, from->x + g->w.rows[i] * from->width,
               to->width * sizeof *to->x);
}

/* The scores of rows [row, row + n) of X, SIDE of the goal. */
static int
score(struct mpq_probe *p, struct mpq_probe_goal *g, const struct mpq_states *x,
      int side, size_t row, size_t n, int kept, struct mpq_err *err)
{
    const struct mpq_eval e = { .model = p->f, .ref = p->base };
    const struct mpq_eval_rows rows = { n, g->rows + row, g->w.first + row,
                                        g->w.targets };
    const int compare = side == 0 && g->kld;
    const struct mpq_eval_scores out = {
        .logp = g->logp[side],
        .kld = compare ? g->kld + row : NULL,
        .keep = side == 1 && kept && !p->o->ref ? g->kept : NULL,
        .kept = compare && kept ? g->kept : NULL,
    };

    if (n == 0)
        return 0;
    const struct mpq_states *from = p->o->ref ? &g->ref : &g->last;
    if (mpq_eval_rows(&e, x, compare && !kept ? from : NULL, &rows, &out, err) < 0)
        return -1;
    tell(p, mpq_probe_head_cost(p->net, n));
    return 0;
}

/* The marks of SIDE from what its targets and rows have come to. */
static void
mark(struct mpq_probe_goal *g, int side)
{
    const int compared = side == 0 && g->sums[1];

    if (!g->exam || !g->exam->n_queries)
        return;
    for (int k = 0; k <= compared; k++)
        memset(g->sums[k], 0, g->exam->n_queries * sizeof *g->sums[k]);
    mpq_eval_work_add_targets(&g->w, g->logp[side], g->sums[0]);
    if (compared)
        mpq_eval_work_add_rows(&g->w, g->kld, g->sums[1]);
    mpq_exam_mark(&g->marks, g->exam, side, g->sums[0], compared ? g->sums[1] : NULL);
}

/* Scores, from the states behind the last layer on. */
static int
score_goal(struct mpq_probe *p, struct mpq_probe_goal *g, const struct mpq_states *x,
           int side, struct mpq_err *err)
{
    if (score(p, g, x, side, 0, g->n_kept, 1, err) < 0 ||
        score(p, g, x, side, g->n_kept, g->w.n_rows - g->n_kept, 0, err) < 0)
        return -1;
    mark(g, side);
    return 0;
}

static int
write_answers(struct mpq_probe *p, struct mpq_probe_goal *g, int side,
              struct mpq_err *err)
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
        struct mpq_probe_goal *g = &p->goals[i];
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

/* Keeps the states that enter LAYER, which will be asked for, where they find room. */
static int
keep_states(struct mpq_probe *p, size_t layer, struct mpq_err *err)
{
    size_t bytes = 0;

    for (size_t i = 0; i < p->n_goals; i++)
        bytes += mpq_states_bytes(&p->goals[i].x);
    if (layer <= p->o->first || layer > p->o->last || bytes > p->states_left)
        return 0;
    for (size_t i = 0; i < p->n_goals; i++) {
        struct mpq_probe_goal *g = &p->goals[i];
        if (mpq_states_new(&g->at[layer], g->x.n, g->x.width, SIZE_MAX, err) < 0)
            return -1;
        memcpy(g->at[layer].x, g->x.x, mpq_states_bytes(&g->x));
    }
    p->states_left -= bytes;
    return 0;
}

/* The unchanged model beside the reference, or itself: ln p is then summed up as it
 * will be for a changed one. */
static int
compare_base(struct mpq_probe *p, struct mpq_probe_goal *g, struct mpq_err *err)
{
    if (score_goal(p, g, &g->last, 0, err) < 0)
        return -1;
    memcpy(g->logp[1], g->logp[0], g->n_targets * sizeof *g->logp[0]);
    mark(g, 1);
    if (!g->kld_base)
        return 0;
    memcpy(g->kld_base, g->kld, g->w.n_rows * sizeof *g->kld);
    if (g->exam)
        memcpy(g->marks.kld[1], g->marks.kld[0], g->marks.n * sizeof *g->marks.kld[0]);
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
        struct mpq_probe_goal *g = &p->goals[i];
        pick_rows(g, &g->x, &g->last);
        if (score_goal(p, g, &g->last, 1, err) < 0 || write_answers(p, g, 1, err) < 0)
            return -1;
        if (g->kld && compare_base(p, g, err) < 0)
            return -1;
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
        struct mpq_probe_goal *g = &p->goals[i];
        memcpy(g->logp[0], g->logp[1], g->n_targets * sizeof *g->logp[0]);
        if (g->kld_base)
            memcpy(g->kld, g->kld_base, g->w.n_rows * sizeof *g->kld);
        else if (g->kld)
            memset(g->kld, 0, g->w.n_rows * sizeof *g->kld);
        for (size_t k = 0; g->exam && k < MPQ_PROBE_TASK_METRICS; k++) {
            double *const *x = mpq_probe_task_marks(p, g, k, &metric);
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
        struct mpq_probe_goal *g = &p->goals[i];
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
            struct mpq_probe_goal *g = &p->goals[i];
            if (!g->at[p->layer + 1].x)
                continue;
            memcpy(g->x.x, g->at[p->layer + 1].x, mpq_states_bytes(&g->x));
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
        return mpq_probe_report(p, err);
    }
    if (layer >= 0 && (size_t)layer < p->net->n_layer) {
        if (walk(p, (size_t)layer, err) < 0)
            return -1;
        for (size_t i = 0; i < p->n_goals; i++) {
            struct mpq_probe_goal *g = &p->goals[i];
            memcpy(g->y.x, g->x.x, mpq_states_bytes(&g->x));
        }
    }
    mpq_forward_replace(p->f, with, n);
    const int rc = run_changed(p, layer, err);
    mpq_forward_replace(p->f, NULL, 0);
    return rc < 0 ? -1 : mpq_probe_report(p, err);
}

const struct mpq_probe_row *
mpq_probe_rows(const struct mpq_probe *p, size_t *n)
{
    *n = p->n_rows;
    return p->rows;
}
