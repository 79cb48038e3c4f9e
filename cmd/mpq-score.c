/* mpq-score: scores of layers or tensors from their statistics, or from what was
 * measured on them. */
#include "score_own.h"

#include "base/buf.h"
#include "base/text.h"
#include "method/score.h"
#include "model/layout.h"
#include "quant/codec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct score_options score = { .beta = 0.7 };
static const char *type_list;
static int tau;

static const char *const metrics[] = { "ppl", "nll",      "kld",  "top1",
                                       "acc", "acc_norm", "loss", "em" };

static const struct cli_opt opts[] = {
    { 'm', "method", CLI_CHOICE, &score.method, 0, 0,
      "nsds|nv|se|mse|zd|ewq|kurtboost|lim|lsaq|"
      "moa|ppl|nll|kld|top1|acc|acc_norm|loss|em",
      "how to score: stats, or from moa on probes" },
    { 0, "variant", CLI_CHOICE, &score.variant, 0, 0, "paper|official",
      "nsds nv se: the paper, or its authors' code" },
    { 0, "bits", CLI_CHOICE, &score.bits, 0, 0, "2|3|4|8",
      "mse: width of the rounding" },
    { 0, "by", CLI_CHOICE, &score.by, 0, 0, "layer|tensor", "stats: what a row is" },
    { 't', "types", CLI_STR, &type_list, 0, 0, "LIST",
      "write damages for these types, such as q2_k,q4_k" },
    { 0, "beta", CLI_DOUBLE, &score.beta, 0, 1, "B",
      "moa: weight of the second of two objectives" },
    { 'w', "weights", CLI_STR, &score.weights, 0, 0, "LIST",
      "moa: weights of all objectives" },
    { 0, "metric", CLI_STR, &score.metrics, 0, 0, "LIST",
      "moa, tau: metrics (default: ppl, then loss)" },
    { 0, "task", CLI_STR, &score.tasks, 0, 0, "LIST", "probes: tasks or texts" },
    { 0, "fill", CLI_STR, &score.fill, 0, 0, "DAMAGE",
      "one metric: what was not probed, from this table" },
    { 0, "scale", CLI_STR, &score.scale, 0, 0, "X,FAMILY=X",
      "damages of weights times X, with --fill or alone" },
    { 0, "norm", CLI_CHOICE, &score.norm, 0, 0, "auto|sum|none",
      "divide by all positive deltas (auto: moa)" },
    { 0, "refine", CLI_LIST, &score.refine, 0, 0, "PLAN=DELTA",
      "rescale damages by what a whole plan has cost" },
    { 0, "tau", CLI_FLAG, &tau, 0, 0, NULL, "do tables rank alike? Kendall's tau" },
    { 0 },
};

static const struct cli_tool tool = {
    .name = "mpq-score",
    .summary = "Scores the layers or tensors of a model from stats or probes.",
    .operands = "[TABLE...]",
    .example =
        "mpq-stats model.gguf | mpq-score -m nsds | mpq-alloc -b 3.5 -o plan.tsv",
    .opts = opts,
    .max_operands = 1024,
};

const char *
score_metric(void)
{
    return score.method < SCORE_FIRST_METRIC
               ? NULL
               : metrics[score.method - SCORE_FIRST_METRIC];
}

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

/* Options that the input has no use for are refused: they would do nothing. */
static int
check_options(struct mpq_err *err)
{
    static const char *const of_stats[] = { "variant", "bits", "by" };
    static const char *const of_moa[] = { "beta", "weights" };
    static const char *const of_probes[] = { "norm", "task" };
    const int probes = score.method >= SCORE_MOA;

    for (size_t i = 0; i < 3; i++)
        if (cli_given(of_stats[i]) && (probes || tau))
            return mpq_fail(err, MPQ_EUSAGE, "--%s is for stats", of_stats[i]);
    for (size_t i = 0; i < 2; i++)
        if (cli_given(of_moa[i]) && (score.method != SCORE_MOA || tau))
            return mpq_fail(err, MPQ_EUSAGE, "--%s is for -m moa", of_moa[i]);
    for (size_t i = 0; i < 2; i++)
        if (cli_given(of_probes[i]) && !probes && !(tau && i))
            return mpq_fail(err, MPQ_EUSAGE, "--%s is for probes", of_probes[i]);
    if (cli_given("variant") && score.method > MPQ_SCORE_SE)
        return mpq_fail(err, MPQ_EUSAGE, "--variant is for -m nsds, nv and se");
    if (cli_given("bits") && score.method != MPQ_SCORE_MSE)
        return mpq_fail(err, MPQ_EUSAGE, "--bits is for -m mse");
    if (score.metrics && score.method != SCORE_MOA && !tau)
        return mpq_fail(err, MPQ_EUSAGE, "--metric is for -m moa and --tau");
    if (score.fill && (score.method < SCORE_FIRST_METRIC || tau))
        return mpq_fail(err, MPQ_EUSAGE, "--fill goes with one metric: -m kld");
    if (score.scale && !score.fill &&
        (tau || type_list || score.refine.n || cli_given("method")))
        return mpq_fail(err, MPQ_EUSAGE, "--scale goes with --fill, or alone");
    if (score.fill && score.norm == 1)
        return mpq_fail(err, MPQ_EUSAGE, "--fill and --norm sum");
    if (cli_given("beta") && score.weights)
        return mpq_fail(err, MPQ_EUSAGE, "both --beta and -w");
    if (score.refine.n && (tau || type_list || cli_given("method")))
        return mpq_fail(err, MPQ_EUSAGE, "--refine goes without -m, -t and --tau");
    if (tau && cli_given("method"))
        return mpq_fail(err, MPQ_EUSAGE, "--tau compares tables: it takes no -m");
    return 0;
}

static int
run(char **names, size_t n, struct mpq_err *err)
{
    if (check_options(err) < 0 ||
        (type_list && cli_types("-t", type_list, score.types, &score.n_types, err) < 0))
        return -1;
    if (tau)
        return score_tau(names, n, err);
    if (score.refine.n)
        return score_refine(names, n, err);
    if (score.scale && !score.fill)
        return score_scale(names, n, err);
    if (score.method < SCORE_MOA)
        return score_stats(names, n, err);
    return score.fill ? score_fill(names, n, err) : score_probes(names, n, err);
}

int
main(int argc, char **argv)
{
    struct mpq_err err = { 0 };
    int first = cli_parse(&tool, argc, argv);

    return cli_finish(
        &tool, run(argv + first, (size_t)(argc - first), &err) < 0 ? &err : NULL);
}
