/* mpq-score: scores of layers or tensors from their statistics, or from what was
 * measured on them. */
#include "score_own.h"

static const struct cli_tool tool = {
    .name = "mpq-score",
    .summary = "Scores the layers or tensors of a model from stats or probes.",
    .operands = "[TABLE...]",
    .example =
        "mpq-stats model.gguf | mpq-score -m nsds | mpq-alloc -b 3.5 -o plan.tsv",
    .opts = score_opts,
    .max_operands = 1024,
};

static int
run(char **names, size_t n, struct mpq_err *err)
{
    if (score_check_options(err) < 0 ||
        (score.type_list &&
         cli_types("-t", score.type_list, score.types, &score.n_types, err) < 0))
        return -1;
    if (score.tau)
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
