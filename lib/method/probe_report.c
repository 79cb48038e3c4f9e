/* What the runs of a probe come to: a row for each metric of each text and task. */
#include "method/probe_own.h"

#include "base/buf.h"

#include <stdlib.h>

static const char *const text_metrics[] = { "ppl", "nll", "kld" };
static const unsigned text_bits[] = { MPQ_METRIC_PPL, MPQ_METRIC_NLL, MPQ_METRIC_KLD };
enum { TEXT_METRICS = 3 };

double *const *
mpq_probe_task_marks(const struct mpq_probe *p, const struct mpq_probe_goal *g,
                     size_t i, const char **metric)
{
    static const char *const names[MPQ_PROBE_TASK_METRICS] = { "acc", "acc_norm", "em",
                                                               "loss", "kld" };
    static const unsigned bits[MPQ_PROBE_TASK_METRICS] = {
        MPQ_METRIC_ACC, MPQ_METRIC_ACC_NORM, MPQ_METRIC_EM, MPQ_METRIC_LOSS,
        MPQ_METRIC_KLD
    };
    double *const *const marks[MPQ_PROBE_TASK_METRICS] = {
        g->marks.acc, g->marks.acc_norm, g->marks.em, g->marks.loss, g->marks.kld
    };

    *metric = names[i];
    return (p->o->metrics & bits[i]) && marks[i][0] ? marks[i] : NULL;
}

void
mpq_probe_name_rows(struct mpq_probe *p, struct mpq_probe_goal *g, const char *task)
{
    const char *metric;

    g->first_row = p->n_rows;
    for (size_t i = 0; !g->exam && i < TEXT_METRICS; i++)
        if (p->o->metrics & text_bits[i])
            p->rows[p->n_rows++] =
                (struct mpq_probe_row){ .task = task, .metric = text_metrics[i] };
    for (size_t i = 0; g->exam && i < MPQ_PROBE_TASK_METRICS; i++)
        if (mpq_probe_task_marks(p, g, i, &metric))
            p->rows[p->n_rows++] =
                (struct mpq_probe_row){ .task = task, .metric = metric };
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
report_text(struct mpq_probe *p, const struct mpq_probe_goal *g, struct mpq_err *err)
{
    const size_t n = g->n_targets;
    double *nll = mpq_array(n, 2 * sizeof *nll), *base = nll + n;
    struct mpq_probe_row *row = p->rows + g->first_row;
    const int back = p->o->ref != NULL;

    if (!nll)
        return mpq_probe_no_memory(err);
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
report_task(struct mpq_probe *p, const struct mpq_probe_goal *g)
{
    struct mpq_probe_row *row = p->rows + g->first_row;
    const size_t n = g->marks.n;
    const int back = p->o->ref != NULL;
    const char *metric;

    for (size_t i = 0; i < MPQ_PROBE_TASK_METRICS; i++) {
        double *const *x = mpq_probe_task_marks(p, g, i, &metric);
        if (!x)
            continue;
        const int up_is_better = x != g->marks.loss && x != g->marks.kld;
        const int swap = up_is_better != back;
        put(row++, mpq_figure_mean(x[!back], n).value,
            mpq_figure_mean(x[back], n).value, mpq_figure_diff(x[swap], x[!swap], n));
    }
}

int
mpq_probe_report(struct mpq_probe *p, struct mpq_err *err)
{
    for (size_t i = 0; i < p->n_goals; i++) {
        const struct mpq_probe_goal *g = &p->goals[i];
        if (g->exam)
            report_task(p, g);
        else if (report_text(p, g, err) < 0)
            return -1;
    }
    return 0;
}
