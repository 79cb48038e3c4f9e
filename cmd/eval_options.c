/* mpq-eval: its command line, and what does not go together there. */
#include "eval_own.h"

#include "method/probe.h"
#include "method/probe_units.h"
#include "method/report.h"

#include <inttypes.h>
#include <string.h>

struct ev_options ev = { .ctx = 512,
                         .top_k = 64,
                         .max_bytes = 512 << 20,
                         .pack = { ROUNDING_DEFAULTS, .method_option = "--pack",
                                   .ctx_option = "calib-ctx" } };

const struct cli_opt ev_opts[] = {
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
    { 0, "name", CLI_STR, &ev.name, 0, 0, "NAME", "what MODEL is called in the rows" },
    { 0, "per-item", CLI_FLAG, &ev.per_item, 0, 0, NULL,
      "rows of single chunks and items too" },
    { 0, "tokens", CLI_FLAG, &ev.show_tokens, 0, 0, NULL,
      "print the tokens of the texts, nothing else" },
    { 0, "parse-special", CLI_FLAG, &ev.parse_special, 0, 0, NULL,
      "take <|...|> in texts for control tokens" },
    { 0, "int8", CLI_FLAG, &ev.int8, 0, 0, NULL,
      "multiply quantized weights in 8 bits" },
    { 0, "config", CLI_STR, &ev.config, 0, 0, "DIR",
      "where config.json and tokenizer.json lie" },
    { 0, "max-bytes", CLI_BYTES, &ev.max_bytes, 1, 1e15, "BYTES",
      "memory for hidden states" },
    { 0, "each", CLI_STR, &ev.each, 0, 0, "TYPES",
      "one unit at a time as each of these, or given back" },
    { 0, "by", CLI_CHOICE, &ev.by, 0, 0, "layer|module|tensor", "what a unit is" },
    { 0, "rest", CLI_FLAG, &ev.rest, 0, 0, NULL, "embedding and output are units too" },
    { 0, "pack", CLI_CHOICE, &ev.pack.method, 0, 0, ROUNDING_METHODS,
      "how to round; awq, gptq need -c or --hessian" },
    { 0, "effort", CLI_CHOICE, &ev.pack.effort, 0, 0, "fast|default|max",
      "how hard scales are searched for" },
    { 'c', "calib", CLI_STR, &ev.pack.calib, 0, 0, "FILE",
      "text to see what matrices are multiplied with" },
    { 0, "calib-ctx", CLI_U64, &ev.pack.ctx, 1, 1 << 20, "N",
      "tokens of a sequence of it" },
    { 0, "samples", CLI_U64, &ev.pack.samples, 1, 1 << 30, "N",
      "sequences of it at most" },
    { 0, "hessian", CLI_STR, &ev.pack.hessian, 0, 0, "FILE",
      "the same from mpq-stats -f hessian" },
    { 0, "damp", CLI_DOUBLE, &ev.pack.damping, 0, 10, "X",
      "of the Hessian's diagonal, added to it" },
    { 0, "imatrix", CLI_STR, &ev.pack.imatrix, 0, 0, "FILE",
      "weigh the rounding by llama-imatrix's file" },
    { 0, "resume", CLI_STR, &ev.resume, 0, 0, "FILE",
      "write FILE, going on from the rows in it" },
    { 0 },
};

int
ev_no_memory(struct mpq_err *err)
{
    return mpq_fail(err, MPQ_ENOMEM, "out of memory");
}

/* Is "back" a word of LIST? */
static int
names_back(const char *list)
{
    size_t n;

    for (;; list += n + 1) {
        n = strcspn(list, ",");
        if (n == strlen("back") && memcmp(list, "back", n) == 0)
            return 1;
        if (!list[n])
            return 0;
    }
}

/* Units that are given back their weights: no quantizer, but a reference. */
static int
check_back(struct mpq_err *err)
{
    static const char *const quantizer[] = {
        "pack", "effort", "calib", "samples", "damp", "hessian", "imatrix", "calib-ctx"
    };

    if (!ev.ref)
        return mpq_fail(err, MPQ_EUSAGE,
                        "--each back takes --ref MODEL: where units get weights from");
    for (size_t i = 0; i < sizeof quantizer / sizeof *quantizer; i++)
        if (cli_given(quantizer[i]))
            return mpq_fail(err, MPQ_EUSAGE, "--each back quantizes nothing: no --%s",
                            quantizer[i]);
    if (cli_given("by") && ev.by != MPQ_BY_TENSOR)
        return mpq_fail(err, MPQ_EUSAGE, "--each back goes by tensor");
    ev.by = MPQ_BY_TENSOR;
    return 0;
}

/* Options of --each alone; those that it does not go with. */
static int
check_each(struct mpq_err *err)
{
    static const char *const own[] = { "by",     "rest",    "pack",     "effort",
                                       "calib",  "samples", "damp",     "hessian",
                                       "resume", "imatrix", "calib-ctx" };
    static const char *const others[] = { "ref",      "load-ref", "save-ref",
                                          "per-item", "tokens",   "top-k" };

    for (size_t i = 0; !ev.each && i < sizeof own / sizeof *own; i++)
        if (cli_given(own[i]))
            return mpq_fail(err, MPQ_EUSAGE, "--%s is for --each", own[i]);
    if (!ev.each)
        return cli.has_layers ? mpq_fail(err, MPQ_EUSAGE, "-l is for --each") : 0;
    const int back = strcmp(ev.each, "back") == 0;
    if (!back && names_back(ev.each))
        return mpq_fail(err, MPQ_EUSAGE, "--each back goes with no type");
    if (back && check_back(err) < 0)
        return -1;
    for (size_t i = back ? 1 : 0; i < sizeof others / sizeof *others;
         i++) /* [0]: --ref */
        if (cli_given(others[i]))
            return mpq_fail(err, MPQ_EUSAGE, "--%s does not go with --each", others[i]);
    if (rounding_check(&ev.pack, err) < 0)
        return -1;
    if (ev.resume && (cli.output || strcmp(ev.resume, "-") == 0))
        return mpq_fail(err, MPQ_EUSAGE,
                        "--resume FILE is the output itself: a file, and no -o");
    cli_refuse_input("--resume", ev.resume);
    return 0;
}

int
ev_check_options(const char *model, struct mpq_err *err)
{
    static const char *const of_model[] = { "int8",  "ref",  "load-ref", "save-ref",
                                            "top-k", "only", "per-item" };
    size_t inputs = strcmp(model, "-") == 0;

    for (size_t i = 0; i < ev.texts.n; i++)
        inputs += strcmp(ev.texts.items[i], "-") == 0;
    for (size_t i = 0; i < ev.tasks.n; i++)
        inputs += strcmp(ev.tasks.items[i], "-") == 0;
    inputs += ev.ref && strcmp(ev.ref, "-") == 0;
    inputs += ev.load && strcmp(ev.load, "-") == 0;
    inputs += rounding_n_stdin(&ev.pack);
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
    for (size_t i = 0; ev.show_tokens && i < sizeof of_model / sizeof *of_model; i++)
        if (cli_given(of_model[i]))
            return mpq_fail(err, MPQ_EUSAGE, "--tokens runs no model: no --%s",
                            of_model[i]);
    if (ev.ref && ev.load)
        return mpq_fail(err, MPQ_EUSAGE, "--ref and --load-ref: one reference");
    if (ev.stride >= ev.ctx)
        return mpq_fail(err, MPQ_EUSAGE,
                        "--stride %" PRIu64 " is not below --ctx %" PRIu64, ev.stride,
                        ev.ctx);
    return check_each(err);
}

int
ev_metrics(unsigned *metrics, struct mpq_err *err)
{
    if (mpq_report_metrics(ev.only, metrics, err) < 0)
        return -1;
    if (ev.each && !ev.only)
        *metrics = MPQ_METRIC_PPL | MPQ_METRIC_KLD | MPQ_METRIC_ACC |
                   MPQ_METRIC_ACC_NORM | MPQ_METRIC_LOSS;
    if (ev.each && *metrics & ~(unsigned)MPQ_PROBE_METRICS)
        return mpq_fail(err, MPQ_EUSAGE,
                        "--only: --each measures ppl,nll,kld,acc,acc_norm,loss,em");
    return 0;
}
