#include "method/report.h"

#include <math.h>
#include <string.h>

static const struct {
    const char *name;
    unsigned bit, task;
} words[] = {
    { "ppl", MPQ_METRIC_PPL, 0 },
    { "nll", MPQ_METRIC_NLL, 0 },
    { "kld", MPQ_METRIC_KLD, MPQ_TASK_KLD },
    { "top1", MPQ_METRIC_TOP1, 0 },
    { "dp", MPQ_METRIC_DP, 0 },
    { "acc", MPQ_METRIC_ACC, MPQ_TASK_ACC },
    { "acc_norm", MPQ_METRIC_ACC_NORM, MPQ_TASK_ACC_NORM },
    { "loss", MPQ_METRIC_LOSS, MPQ_TASK_LOSS },
    { "em", MPQ_METRIC_EM, MPQ_TASK_EM },
};
enum { N_WORDS = sizeof words / sizeof *words };

int
mpq_report_metrics(const char *list, unsigned *out, struct mpq_err *err)
{
    *out = list ? 0 : MPQ_METRIC_ALL;
    while (list) {
        const size_t n = strcspn(list, ",");
        size_t i = 0;
        while (i < N_WORDS &&
               (strlen(words[i].name) != n || strncmp(words[i].name, list, n) != 0))
            i++;
        if (i == N_WORDS)
            return mpq_fail(err, MPQ_EUSAGE,
                            "--only: '%.*s' is no metric of "
                            "ppl,nll,kld,top1,dp,acc,acc_norm,loss,em",
                            (int)n, list);
        *out |= words[i].bit;
        list = list[n] ? list + n + 1 : NULL;
    }
    return 0;
}

unsigned
mpq_report_task_metrics(unsigned metrics)
{
    unsigned task = 0;

    for (size_t i = 0; i < N_WORDS; i++)
        if (metrics & words[i].bit)
            task |= words[i].task;
    return task;
}

struct list {
    struct mpq_report_row *rows;
    size_t n;
};

static void
add(struct list *l, const char *metric, struct mpq_figure f)
{
    l->rows[l->n++] = (struct mpq_report_row){ metric, f };
}

/* A share, as llama-perplexity gives its error: sqrt(p (1 - p) / (n - 1)), which is
 * that of the mean of zeros and ones. */
static struct mpq_figure
share(const unsigned char *yes, size_t n)
{
    struct mpq_figure f = { .n = n };
    size_t count = 0;

    for (size_t i = 0; i < n; i++)
        count += yes[i];
    f.value = (double)count / (double)n;
    f.se = n > 1 ? sqrt(f.value * (1 - f.value) / ((double)n - 1)) : 0;
    return f;
}

size_t
mpq_report_text(const struct mpq_text_marks *m, unsigned metrics,
                struct mpq_report_row rows[MPQ_REPORT_MAX])
{
    struct list l = { rows, 0 };

    if (metrics & MPQ_METRIC_PPL)
        add(&l, "ppl", mpq_figure_ppl(m->nll, m->n));
    if (metrics & MPQ_METRIC_NLL)
        add(&l, "nll", mpq_figure_mean(m->nll, m->n));
    if (m->nll_ref && (metrics & MPQ_METRIC_PPL)) {
        add(&l, "ppl_ref", mpq_figure_ppl(m->nll_ref, m->n));
        add(&l, "ppl_diff", mpq_figure_ppl_diff(m->nll, m->nll_ref, m->n));
    }
    if (m->nll_ref && (metrics & MPQ_METRIC_NLL)) {
        add(&l, "nll_ref", mpq_figure_mean(m->nll_ref, m->n));
        add(&l, "nll_diff", mpq_figure_diff(m->nll, m->nll_ref, m->n));
    }
    if (m->kld && (metrics & MPQ_METRIC_KLD))
        add(&l, "kld", mpq_figure_mean(m->kld, m->n));
    if (m->same && (metrics & MPQ_METRIC_TOP1))
        add(&l, "top1", share(m->same, m->n));
    if (m->nll_ref && (metrics & MPQ_METRIC_DP)) {
        add(&l, "dp", mpq_figure_dp(m->nll, m->nll_ref, m->n));
        add(&l, "dp_rms", mpq_figure_dp_rms(m->nll, m->nll_ref, m->n));
    }
    return l.n;
}

static void
add_pair(struct list *l, const char *const names[3], double *const x[2], size_t n)
{
    if (!x[0])
        return;
    add(l, names[0], mpq_figure_mean(x[0], n));
    if (!x[1])
        return;
    add(l, names[1], mpq_figure_mean(x[1], n));
    add(l, names[2], mpq_figure_diff(x[0], x[1], n));
}

size_t
mpq_report_task(const struct mpq_marks *m, unsigned metrics,
                struct mpq_report_row rows[MPQ_REPORT_MAX])
{
    static const char *const acc[] = { "acc", "acc_ref", "acc_diff" };
    static const char *const norm[] = { "acc_norm", "acc_norm_ref", "acc_norm_diff" };
    static const char *const em[] = { "em", "em_ref", "em_diff" };
    static const char *const loss[] = { "loss", "loss_ref", "loss_diff" };
    struct list l = { rows, 0 };

    if (metrics & MPQ_METRIC_ACC)
        add_pair(&l, acc, m->acc, m->n);
    if (metrics & MPQ_METRIC_ACC_NORM)
        add_pair(&l, norm, m->acc_norm, m->n);
    if (metrics & MPQ_METRIC_EM)
        add_pair(&l, em, m->em, m->n);
    if (metrics & MPQ_METRIC_LOSS)
        add_pair(&l, loss, m->loss, m->n);
    if (m->kld[0] && (metrics & MPQ_METRIC_KLD))
        add(&l, "kld", mpq_figure_mean(m->kld[0], m->n));
    return l.n;
}
