/* mpq-calibmix: which mixture of texts moves a model as the target does. */
#include "calibmix_own.h"

#include <stdlib.h>

struct calibmix_options calibmix = { .ctx = 512, .steps = 4 };

static const struct cli_opt opts[] = {
    { 's', "source", CLI_LIST, &calibmix.sources, 0, 0, "FILE",
      "a text to mix, or JSON lines; once for each" },
    { 'T', "target", CLI_LIST, &calibmix.targets, 0, 0, "FILE",
      "what the mixture is to be like; once for each" },
    { 'n', "samples", CLI_U64, &calibmix.samples, 1, 1e6, "N",
      "samples of each text (64), with --emit in all (128)" },
    { 0, "ctx", CLI_U64, &calibmix.ctx, 8, 1 << 20, "N",
      "tokens in a sample; --emit: as MIX has it" },
    { 0, "steps", CLI_U64, &calibmix.steps, 1, 1000, "N",
      "the grid has shares of 1/N" },
    { 0, "optimum", CLI_FLAG, &calibmix.optimum, 0, 0, NULL,
      "the best of all shares, not of the grid alone" },
    { 0, "measure", CLI_FLAG, &calibmix.measure, 0, 0, NULL,
      "run each mixture, instead of adding up the sources" },
    { 0, "emit", CLI_STR, &calibmix.emit, 0, 0, "MIX",
      "write the samples that MIX chose, as JSON lines" },
    { 0, "config", CLI_STR, &calibmix.config, 0, 0, "DIR",
      "where config.json and tokenizer.json lie" },
    { 0 },
};

static const struct cli_tool tool = {
    .name = "mpq-calibmix",
    .summary = "Finds the mixture of texts whose activation traces are most like the "
               "target's.",
    .operands = "[MODEL]",
    .example =
        "mpq-calibmix -s wiki.txt -s math.txt -T task.jsonl model.gguf -o mix.tsv",
    .opts = opts,
    .max_operands = 1,
    .seeds = 1,
};

static void
close_job(struct calibmix_job *j)
{
    for (size_t i = 0; j->texts && i < j->n; i++)
        mpq_calib_free(&j->texts[i]);
    free(j->texts);
    free(j->traces);
    free(j->target);
    free(j->points);
    free(j->shares);
    free(j->names);
    mpq_tsv_free(j->mix);
    mpq_forward_free(j->forward);
    mpq_source_free(j->model);
}

static int
run(const char *model, struct mpq_err *err)
{
    struct calibmix_job j = { 0 };
    int rc = -1;

    static const char *const of_search[] = { "steps", "optimum", "measure" };

    if (calibmix.emit && (calibmix.sources.n || calibmix.targets.n))
        return mpq_fail(err, MPQ_EUSAGE, "--emit takes its sources from MIX");
    for (size_t i = 0; calibmix.emit && i < sizeof of_search / sizeof *of_search; i++)
        if (cli_given(of_search[i]))
            return mpq_fail(err, MPQ_EUSAGE, "--emit has a mixture: no --%s",
                            of_search[i]);
    if (!calibmix.emit && (!calibmix.sources.n || !calibmix.targets.n))
        return mpq_fail(err, MPQ_EUSAGE, "takes -s FILE and -T FILE, or --emit MIX");
    if (!calibmix.samples)
        calibmix.samples = calibmix.emit ? 128 : 64;
    if (mpq_source_open(&j.model, model, calibmix.config, err) == 0)
        rc = calibmix.emit ? calibmix_emit(&j, err) : calibmix_find(&j, err);
    close_job(&j);
    return rc;
}

int
main(int argc, char **argv)
{
    struct mpq_err err = { 0 };
    int first = cli_parse(&tool, argc, argv);

    return cli_finish(&tool,
                      run(first < argc ? argv[first] : "-", &err) < 0 ? &err : NULL);
}
