/* mpq-score: the tables that it reads, and what of them goes into those that it writes.
 */
#include "score_own.h"

#include "base/buf.h"
#include "base/text.h"
#include "model/layout.h"

#include <stdio.h>
#include <stdlib.h>

int
score_read(struct score_tables *t, char **names, size_t n, const char *kind,
           struct mpq_err *err)
{
    static char standard_input[] = "-";
    char *standard[] = { standard_input };

    if (n == 0) {
        names = standard;
        n = 1;
    }
    t->all = mpq_array(n, sizeof(struct mpq_tsv *));
    if (!t->all)
        return mpq_fail(err, MPQ_ENOMEM, "out of memory");
    while (t->n < n) {
        struct mpq_tsv **one = &t->all[t->n];
        if (mpq_tsv_read(one, names[t->n], kind, err) < 0)
            return -1;
        t->n++; /* ours to free */
        if (score_one_whole(one, 1, err) < 0)
            return -1;
    }
    t->meta = t->all[0];
    for (size_t i = n; i-- > 0;)
        if (mpq_layout_in_tsv(t->all[i]))
            t->meta = t->all[i];
    return 0;
}

void
score_free(struct score_tables *t)
{
    for (size_t i = 0; t->all && i < t->n; i++)
        mpq_tsv_free(t->all[i]);
    free(t->all);
}

const char *
score_model(const struct score_tables *t)
{
    const char *model = mpq_tsv_info(t->meta, "model");

    return model ? model : "";
}

struct writing {
    const struct score_tables *t;
    cli_put_fn *put;
    const void *job;
};

static int
put_both(const void *ctx, struct mpq_tsv_writer *w, struct mpq_err *err)
{
    const struct writing *x = ctx;

    return mpq_layout_copy_meta(x->t->meta, w, err) < 0 ? -1 : x->put(x->job, w, err);
}

int
score_write(const struct score_tables *t, const char *kind, cli_put_fn *put,
            const void *job, struct mpq_err *err)
{
    const struct writing x = { t, put, job };

    return cli_write_table(kind, score_model(t), put_both, &x, err);
}

int
score_put_objectives(const struct mpq_tsv *t, struct mpq_tsv_writer *w,
                     struct mpq_err *err)
{
    for (size_t i = 0; i < mpq_tsv_meta_count(t); i++)
        if (mpq_text_begins(mpq_tsv_meta(t, i), "objective ") &&
            mpq_tsv_put_meta(w, err, "%s", mpq_tsv_meta(t, i)) < 0)
            return -1;
    return 0;
}

int
score_put_columns(const struct mpq_tsv *t, struct mpq_tsv_writer *w,
                  struct mpq_err *err)
{
    struct mpq_buf text = { 0 };

    for (size_t c = 0; c < mpq_tsv_cols(t); c++)
        mpq_buf_printf(&text, "%s%s", c ? "\t" : "", mpq_tsv_col_name(t, c));
    const int rc = text.failed ? mpq_fail(err, MPQ_ENOMEM, "out of memory")
                               : mpq_tsv_columns(w, text.data, err);
    mpq_buf_free(&text);
    return rc;
}

int
score_put_row(const struct mpq_tsv *t, size_t row, const int *columns,
              const double *values, size_t n, struct mpq_tsv_writer *w,
              struct mpq_err *err)
{
    struct mpq_buf text = { 0 };

    for (size_t c = 0; c < mpq_tsv_cols(t); c++) {
        size_t i = 0;
        while (i < n && columns[i] != (int)c)
            i++;
        mpq_buf_adds(&text, c ? "\t" : "");
        if (i < n)
            mpq_buf_printf(&text, "%.17g", values[i]);
        else
            mpq_buf_adds(&text, mpq_tsv_cell(t, row, c));
    }
    const int rc = text.failed ? mpq_fail(err, MPQ_ENOMEM, "out of memory")
                               : mpq_tsv_row(w, err, "%s", text.data);
    mpq_buf_free(&text);
    return rc;
}

int
score_check_picks(const struct score_tables *t, struct mpq_err *err)
{
    if (!score.metrics && !score.tasks)
        return 0;
    for (size_t i = 0; i < t->n; i++) {
        const int kind = mpq_pairs_kind(t->all[i], err);
        if (kind < 0)
            return -1;
        if (kind == MPQ_PAIRS_PROBE)
            return 0;
    }
    return mpq_fail(err, MPQ_EUSAGE, "--%s picks from probes, and there is none: %s",
                    score.metrics ? "metric" : "task", mpq_tsv_name(t->all[0]));
}

int
score_check(const char *file, const char *unit, const char *what, double x, double low,
            struct mpq_err *err)
{
    static const double most = 1e100; /* what readers take */

    if (x >= low && x <= most)
        return 0;
    return mpq_fail(err, MPQ_EDATA, "%s: %.160s: a %s of %g, not from %g to %g", file,
                    unit, what, x, low, most);
}

int
score_check_pair(const char *file, const char *unit, const char *type, double damage,
                 double se, struct mpq_err *err)
{
    char pair[160];

    snprintf(pair, sizeof pair, "%.120s, %s", unit, type);
    return score_check(file, pair, "damage", damage, 0, err) < 0
               ? -1
               : score_check(file, pair, "standard error", se, 0, err);
}
