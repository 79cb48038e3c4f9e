/* mpq-score: its command line, and what does not go together there. */
#include "score_own.h"

#include "method/score.h"

struct score_options score = { .beta = 0.7 };

static const char *const metrics[] = { "ppl", "nll",      "kld",  "top1",
                                       "acc", "acc_norm", "loss", "em" };

const struct cli_opt score_opts[] = {
    { 'm', "method", CLI_CHOICE, &score.method, 0, 0,
      "nsds|nv|se|mse|zd|ewq|kurtboost|lim|lsaq|"
      "moa|ppl|nll|kld|top1|acc|acc_norm|loss|em",
      "how to score: stats, or from moa on probes" },
    { 0, "variant", CLI_CHOICE, &score.variant, 0, 0, "paper|official",
      "nsds nv se: the paper, or its authors' code" },
    { 0, "bits", CLI_CHOICE, &score.bits, 0, 0, "2|3|4|8",
      "mse: width of the rounding" },
    { 0, "by", CLI_CHOICE, &score.by, 0, 0, "layer|tensor", "stats: what a row is" },
    { 't', "types", CLI_STR, &score.type_list, 0, 0, "LIST",
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
    { 0, "tau", CLI_FLAG, &score.tau, 0, 0, NULL,
      "do tables rank alike? Kendall's tau" },
    { 0 },
};

const char *
score_metric(void)
{
    return score.method < SCORE_FIRST_METRIC
               ? NULL
               : metrics[score.method - SCORE_FIRST_METRIC];
}

/* Options that the input has no use for are refused: they would do nothing. */
int
score_check_options(struct mpq_err *err)
{
    static const char *const of_stats[] = { "variant", "bits", "by" };
    static const char *const of_moa[] = { "beta", "weights" };
    static const char *const of_probes[] = { "norm", "task" };
    const int probes = score.method >= SCORE_MOA,
              others = score.tau || score.refine.n || score.scale;

    for (size_t i = 0; i < 3; i++)
        if (cli_given(of_stats[i]) && (probes || others))
            return mpq_fail(err, MPQ_EUSAGE, "--%s is for stats", of_stats[i]);
    for (size_t i = 0; i < 2; i++)
        if (cli_given(of_moa[i]) && (score.method != SCORE_MOA || score.tau))
            return mpq_fail(err, MPQ_EUSAGE, "--%s is for -m moa", of_moa[i]);
    for (size_t i = 0; i < 2; i++)
        if (cli_given(of_probes[i]) && !probes && !(score.tau && i))
            return mpq_fail(err, MPQ_EUSAGE, "--%s is for probes", of_probes[i]);
    if (cli_given("variant") && score.method > MPQ_SCORE_SE)
        return mpq_fail(err, MPQ_EUSAGE, "--variant is for -m nsds, nv and se");
    if (cli_given("bits") && score.method != MPQ_SCORE_MSE)
        return mpq_fail(err, MPQ_EUSAGE, "--bits is for -m mse");
    if (score.metrics && score.method != SCORE_MOA && !score.tau)
        return mpq_fail(err, MPQ_EUSAGE, "--metric is for -m moa and --tau");
    if (score.fill && (score.method < SCORE_FIRST_METRIC || score.tau))
        return mpq_fail(err, MPQ_EUSAGE, "--fill goes with one metric: -m kld");
    if (score.scale && !score.fill &&
        (score.tau || score.type_list || score.refine.n || cli_given("method")))
        return mpq_fail(err, MPQ_EUSAGE, "--scale goes with --fill, or alone");
    if (score.fill && score.norm == 1)
        return mpq_fail(err, MPQ_EUSAGE, "--fill and --norm sum");
    if (cli_given("beta") && score.weights)
        return mpq_fail(err, MPQ_EUSAGE, "both --beta and -w");
    if (score.refine.n && (score.tau || score.type_list || cli_given("method")))
        return mpq_fail(err, MPQ_EUSAGE, "--refine goes without -m, -t and --tau");
    if (score.tau && cli_given("method"))
        return mpq_fail(err, MPQ_EUSAGE, "--tau compares tables: it takes no -m");
    return 0;
}
