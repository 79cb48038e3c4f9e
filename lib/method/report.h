/* The rows that mpq-eval prints of a text or a task, in their order. */
#ifndef MPQ_METHOD_REPORT_H
#define MPQ_METHOD_REPORT_H

#include "method/exam.h"
#include "method/figure.h"

/* Metrics; with a reference each brings rows of its own (ppl_ref, ppl_diff). */
enum {
    MPQ_METRIC_PPL = 1,
    MPQ_METRIC_NLL = 2,
    MPQ_METRIC_KLD = 4,
    MPQ_METRIC_TOP1 = 8,
    MPQ_METRIC_DP = 16, /* dp and dp_rms */
    MPQ_METRIC_ACC = 32,
    MPQ_METRIC_ACC_NORM = 64,
    MPQ_METRIC_LOSS = 128,
    MPQ_METRIC_EM = 256,
    MPQ_METRIC_ALL = 511,
};
/* Those of a list such as "ppl,acc" (dp is dp and dp_rms), all of them for NULL. -1
 * with MPQ_EUSAGE and the first word that is none. */
MPQ_MUST_CHECK int
mpq_report_metrics(const char *list, unsigned *out, struct mpq_err *err);
/* Their MPQ_TASK_* bits. */
unsigned mpq_report_task_metrics(unsigned metrics);

struct mpq_report_row {
    const char *metric;
    struct mpq_figure figure;
};
enum { MPQ_REPORT_MAX = 16 };

/* Scores of a text's tokens: nll = -ln p; nll_ref, kld and same NULL without a
 * reference. Fills rows[] and returns how many. */
struct mpq_text_marks {
    size_t n;
    const double *nll, *nll_ref, *kld;
    const unsigned char *same;
};
size_t mpq_report_text(const struct mpq_text_marks *m, unsigned metrics,
                       struct mpq_report_row rows[MPQ_REPORT_MAX]);
/* The same of a task; METRICS are MPQ_METRIC_*, those not measured are left out. */
size_t mpq_report_task(const struct mpq_marks *m, unsigned metrics,
                       struct mpq_report_row rows[MPQ_REPORT_MAX]);

#endif
