/* mpq-eval: perplexity, divergence and tasks. */
#include "eval_own.h"

#include "quant/codec.h"
#include "quant/gptq.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct ev_options ev = { .ctx = 512,
                         .top_k = 64,
                         .max_bytes = 512 << 20,
                         .effort = MPQ_EFFORT_DEFAULT,
                         .calib_ctx = 512,
                         .samples = 128,
                         .damping = MPQ_GPTQ_DAMPING };

static const struct cli_opt opts[] = {
    { 'x', "text", CLI_LIST, &ev.texts, 0, 0, "TEXT", "a text to be predicted" },
    { 'k', "task", CLI_LIST, &ev.tasks, 0, 0, "FILE",
      "questions (JSONL) or a list of tasks (YAML)" },
    { 0, "ref", CLI_STR, &ev.ref, 0, 0, "MODEL", "what MODEL is compared with" },
    { 0, "load-ref", CLI_STR, &ev.load, 0, 0, "FILE", "the same, saved before" },
    { 0, "save-ref", CLI_STR, &ev.save, 0, 0, "FILE", "save MODEL as a reference" },
    { 0, "top-k", CLI_U64, &ev.top_k, 1, 65536, "N",
      "tokens kept of each distribution" },
    { 0, "ctx", CLI_U64, &ev.ctx, 4, 1 << 20, "N", "tokens in a chunk of text" },
    { 0, "stride", CLI_U64, &ev.stride, 0, 1 << 20, "N",
      "overlapping chunks so far apart; 0: none" },
    { 0, "chunks", CLI_U64, &ev.chunks, 0, 1e9, "N", "first chunks of a text; 0: all" },
    { 0, "limit", CLI_U64, &ev.limit, 0, 1e9, "N", "first items of a task; 0: all" },
    { 0, "only", CLI_STR, &ev.only, 0, 0, "LIST",
      "metrics of ppl,nll,kld,top1,dp,acc,acc_norm,loss,em" },
    { 0, "per-item", CLI_FLAG, &ev.per_item, 0, 0, NULL,
      "rows of single chunks and items too" },
    { 0, "tokens", CLI_FLAG, &ev.show_tokens, 0, 0, NULL,
      "print the tokens of the texts, nothing else" },
    { 0, "parse-special", CLI_FLAG, &ev.parse_special, 0, 0, NULL,
      "take <|...|> in texts for control tokens" },
    { 0, "int8", CLI_FLAG, &ev.int8, 0, 0, NULL,
      "multiply quantized weights in 8 bits" },
    { 0, "config", CLI_STR, &ev.config, 0, 0, "DIR", "where config.json lies" },
    { 0, "max-bytes", CLI_BYTES, &ev.max_bytes, 1, 1e15, "BYTES",
      "memory for hidden states" },
    { 0, "each", CLI_STR, &ev.each, 0, 0, "TYPES",
      "quantize one unit at a time to each of these" },
    { 0, "by", CLI_CHOICE, &ev.by, 0, 0, "layer|module|tensor", "what a unit is" },
    { 0, "rest", CLI_FLAG, &ev.rest, 0, 0, NULL, "embedding and output are units too" },
    { 0, "pack", CLI_CHOICE, &ev.pack, 0, 0, "rtn|hqq|awq|gptq",
      "how units are rounded; awq, gptq need -c" },
    { 0, "effort", CLI_CHOICE, &ev.effort, 0, 0, "fast|default|max",
      "how hard scales are searched for" },
    { 'c', "calib", CLI_STR, &ev.calib, 0, 0, "FILE",
      "text to see what matrices are multiplied with" },
    { 0, "calib-ctx", CLI_U64, &ev.calib_ctx, 1, 1 << 20, "N",
      "tokens of a sequence of it" },
    { 0, "samples", CLI_U64, &ev.samples, 1, 1 << 30, "N", "sequences of it at most" },
    { 0, "hessian", CLI_STR, &ev.hessian, 0, 0, "FILE",
      "the same from mpq-stats -f hessian" },
    { 0, "damp", CLI_DOUBLE, &ev.damping, 0, 10, "X",
      "of the Hessian's diagonal, added to it" },
    { 0, "imatrix", CLI_STR, &ev.imatrix, 0, 0, "FILE",
      "weigh the rounding by llama-imatrix's file" },
    { 0, "resume", CLI_STR, &ev.resume, 0, 0, "FILE",
      "write FILE, going on from the rows in it" },
    { 0 },
};

static const struct cli_tool tool = {
    .name = "mpq-eval",
    .summary = "Measures a language model on texts and tasks, alone or beside another.",
    .operands = "[MODEL]",
    .example = "mpq-eval -x wiki.txt --ref model.gguf small.gguf | grep -w kld",
    .opts = opts,
    .max_operands = 1,
    .layers = 1,
};

static void
close_side(struct ev_side *s)
{
    mpq_forward_free(s->forward);
    mpq_tokenizer_free(s->tok);
    mpq_source_free(s->source);
}

static void
close_job(struct ev_job *j)
{
    for (size_t i = 0; j->texts && i < ev.texts.n; i++)
        mpq_tokens_free(&j->texts[i].tokens);
    free(j->texts);
    for (size_t i = 0; j->exams && i < j->tasks.n; i++)
        mpq_exam_free(&j->exams[i]);
    free(j->exams);
    mpq_task_list_free(&j->tasks);
    mpq_reference_free(&j->known);
    close_side(&j->model);
    close_side(&j->ref);
    mpq_pool_free(&j->strings);
    mpq_buf_free(&j->name);
    mpq_out_free(j->out);
    mpq_out_free(j->save);
    cli_bar_free(j->bar);
}

int
ev_no_memory(struct mpq_err *err)
{
    return mpq_fail(err, MPQ_ENOMEM, "out of memory");
}

/* What cannot be wanted together. */
static int
check_options(const char *model, struct mpq_err *err)
{
    size_t inputs = strcmp(model, "-") == 0;

    for (size_t i = 0; i < ev.texts.n; i++)
        inputs += strcmp(ev.texts.items[i], "-") == 0;
    for (size_t i = 0; i < ev.tasks.n; i++)
        inputs += strcmp(ev.tasks.items[i], "-") == 0;
    inputs += ev.ref && strcmp(ev.ref, "-") == 0;
    inputs += ev.load && strcmp(ev.load, "-") == 0;
    inputs += ev.calib && strcmp(ev.calib, "-") == 0;
    inputs += ev.hessian && strcmp(ev.hessian, "-") == 0;
    inputs += ev.imatrix && strcmp(ev.imatrix, "-") == 0;
    if (inputs > 1)
        return mpq_fail(err, MPQ_EUSAGE, "standard input ('-') is taken %zu times",
                        inputs);
    if (ev.texts.n + ev.tasks.n == 0)
        return mpq_fail(err, MPQ_EUSAGE, "nothing to measure: -x TEXT or -k FILE");
    if (ev.texts.n == 0 && (ev.show_tokens || ev.save || ev.load))
        return mpq_fail(err, MPQ_EUSAGE, "%s needs a text: -x TEXT",
                        ev.show_tokens ? "--tokens"
                        : ev.save      ? "--save-ref"
                                       : "--load-ref");
    if (ev.save &&
        (strcmp(ev.save, "-") == 0 || (cli.output && strcmp(ev.save, cli.output) == 0)))
        return mpq_fail(err, MPQ_EUSAGE,
                        "--save-ref: takes a file of its own, not '%s'", ev.save);
    cli_refuse_input("--save-ref", ev.save);
    if (ev.show_tokens && ev.int8)
        return mpq_fail(err, MPQ_EUSAGE, "--int8: nothing is multiplied for --tokens");
    if (ev.ref && ev.load)
        return mpq_fail(err, MPQ_EUSAGE, "--ref and --load-ref: one reference");
    if (ev.stride >= ev.ctx)
        return mpq_fail(err, MPQ_EUSAGE,
                        "--stride %" PRIu64 " is not below --ctx %" PRIu64, ev.stride,
                        ev.ctx);
    return each_check_options(err);
}

static int
run(const char *model, struct mpq_err *err)
{
    struct ev_job j = { 0 };
    int rc = -1;

    if (check_options(model, err) < 0 ||
        mpq_report_metrics(ev.only, &j.metrics, err) < 0 ||
        (ev.each && each_metrics(&j.metrics, err) < 0) ||
        ev_read_inputs(&j, model, err) < 0 || ev_name(&j, err) < 0 ||
        (ev.each ? each_write(&j, err) : ev_write(&j, err)) < 0)
        goto out;
    if (!j.out) {
        rc = 0;
        goto out;
    }
    if (mpq_tsv_end(&j.w, err) < 0)
        goto out;
    if (j.save) {
        rc = mpq_out_close(j.save, err);
        j.save = NULL;
        if (rc < 0)
            goto out;
    }
    rc = mpq_out_close(j.out, err);
    j.out = NULL;
out:
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
