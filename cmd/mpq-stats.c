/* mpq-stats: statistics of a model's matrices and components, without data or of what
 * they are given when the model reads a text. */
#include "stats_own.h"

#include "method/survey.h"
#include "model/layout.h"

#include <stdio.h>
#include <string.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

static const char *only, *config_dir;
static int no_spectrum;

static const struct cli_opt opts[] = {
    { 0, "only", CLI_STR, &only, 0, 0, "LIST",
      "groups of moments,zshare,entropy,rtn,spectrum,nsds" },
    { 0, "no-spectrum", CLI_FLAG, &no_spectrum, 0, 0, NULL,
      "all but spectrum and nsds: many times faster" },
    { 'c', "calib", CLI_STR, &stats_text.path, 0, 0, "FILE",
      "what this text does to the model, instead" },
    { 0, "ctx", CLI_U64, &stats_text.ctx, 8, 1 << 20, "N", "-c: tokens of a sequence" },
    { 0, "samples", CLI_U64, &stats_text.samples, 0, 1 << 30, "N",
      "-c: sequences at most; 0: all" },
    { 'f', "format", CLI_CHOICE, &stats_text.format, 0, 0, "tsv|imatrix|hessian|damage",
      "-c: what to write" },
    { 0, "fisher", CLI_FLAG, &stats_text.fisher, 0, 0, NULL,
      "-f imatrix, hessian: tokens weigh by their gradients" },
    { 't', "types", CLI_STR, &stats_text.types, 0, 0, "LIST",
      "-f damage: of rounding to these (q2_k,q4_k)" },
    { 0, "effort", CLI_CHOICE, &stats_text.effort, 0, 0, "fast|default|max",
      "-f damage: of the search for scales" },
    { 0, "int8", CLI_FLAG, &stats_text.int8, 0, 0, NULL,
      "-f damage: and of rounding inputs to 8 bits" },
    { 0, "labels", CLI_CHOICE, &stats_text.labels, 0, 0, "own|text",
      "gradients of what the model or the text says" },
    { 0, "answers", CLI_FLAG, &stats_text.answers, 0, 0, NULL,
      "gradients only of where answers are predicted" },
    { 0, "config", CLI_STR, &config_dir, 0, 0, "DIR",
      "where config.json and tokenizer.json lie" },
    { 0 },
};

static const struct cli_tool tool = {
    .name = "mpq-stats",
    .summary = "Writes statistics of the weights of MODEL as a table.",
    .operands = "[MODEL]",
    .example =
        "mpq-stats model.gguf | mpq-score -m nsds | mpq-alloc -b 3.5 -o plan.tsv",
    .opts = opts,
    .max_operands = 1,
    .layers = 1,
    .seeds = 1,
};

static const struct {
    const char *name;
    unsigned bit;
} groups[] = {
    { "moments", MPQ_SURVEY_MOMENTS },   { "zshare", MPQ_SURVEY_ZSHARE },
    { "entropy", MPQ_SURVEY_ENTROPY },   { "rtn", MPQ_SURVEY_RTN },
    { "spectrum", MPQ_SURVEY_SPECTRUM }, { "nsds", MPQ_SURVEY_NSDS },
};

/* Bits of the comma-separated words. */
static int
parse_groups(const char *list, unsigned *out, struct mpq_err *err)
{
    *out = 0;
    for (;;) {
        const size_t n = strcspn(list, ",");
        size_t i = 0;
        while (i < sizeof groups / sizeof *groups &&
               (strlen(groups[i].name) != n || strncmp(groups[i].name, list, n)))
            i++;
        if (i == sizeof groups / sizeof *groups)
            return mpq_fail(err, MPQ_EUSAGE,
                            "--only: '%.*s' is no group of "
                            "moments,zshare,entropy,rtn,spectrum,nsds",
                            (int)n, list);
        *out |= groups[i].bit;
        if (!list[n])
            return 0;
        list += n + 1;
    }
}

/* With a text weights are looked at only when their groups are named. */
static int
wanted_groups(unsigned *out, struct mpq_err *err)
{
    *out = stats_text.path && !only && !no_spectrum ? 0 : MPQ_SURVEY_ALL;
    if (only && parse_groups(only, out, err) < 0)
        return -1;
    if (no_spectrum)
        *out &= ~(unsigned)(MPQ_SURVEY_SPECTRUM | MPQ_SURVEY_NSDS);
    if (*out == 0 && no_spectrum)
        return mpq_fail(err, MPQ_EUSAGE, "--no-spectrum leaves nothing of --only %s",
                        only);
    return 0;
}

static int
check_gradients(struct mpq_err *err)
{
    const int damage = stats_text.format == STATS_DAMAGE;

    if (stats_text.fisher && stats_text.format == STATS_TSV)
        return mpq_fail(err, MPQ_EUSAGE, "--fisher takes -f imatrix or -f hessian");
    if (damage != !!stats_text.types)
        return mpq_fail(err, MPQ_EUSAGE,
                        damage ? "-f damage takes -t LIST" : "-t takes -f damage");
    if (!damage && (cli_given("effort") || stats_text.int8))
        return mpq_fail(err, MPQ_EUSAGE, "--%s takes -f damage",
                        stats_text.int8 ? "int8" : "effort");
    static const char *const of_gradients[] = { "labels", "answers", "seed" };
    for (size_t i = 0; i < 3 && !damage && !stats_text.fisher; i++)
        if (cli_given(of_gradients[i]))
            return mpq_fail(err, MPQ_EUSAGE, "--%s takes --fisher or -f damage",
                            of_gradients[i]);
    return 0;
}

static int
check_options(const char *model, unsigned which, struct mpq_err *err)
{
    static const char *const of_text[] = { "ctx",    "samples", "format",
                                           "fisher", "types",   "effort",
                                           "int8",   "labels",  "answers" };

    for (size_t i = 0; i < sizeof of_text / sizeof *of_text; i++)
        if (!stats_text.path && cli_given(of_text[i]))
            return mpq_fail(err, MPQ_EUSAGE, "--%s is about a text: takes -c FILE",
                            of_text[i]);
    if (check_gradients(err) < 0)
        return -1;
    if (stats_text.path && !strcmp(stats_text.path, "-") && !strcmp(model, "-"))
        return mpq_fail(err, MPQ_EUSAGE, "standard input is asked for twice");
    if (stats_text.format != STATS_TSV && which)
        return mpq_fail(err, MPQ_EUSAGE, "%s goes into a table alone: take out -f",
                        only ? "--only" : "--no-spectrum");
    return 0;
}

static int
begin(struct mpq_tsv_writer *w, struct mpq_out *out, const struct mpq_source *s,
      struct mpq_err *err)
{
    if (cli_begin_table(w, out, "stats", mpq_source_hparams(s)->name, err) < 0 ||
        mpq_layout_put_meta(s, w, err) < 0)
        return -1;
    return mpq_tsv_columns(w, "layer\tunit\tstat\tvalue", err);
}

static int
put_layer(struct mpq_tsv_writer *w, struct mpq_survey *v, int layer,
          struct mpq_err *err)
{
    size_t n;

    if (mpq_survey_layer(v, layer, err) < 0)
        return -1;
    const struct mpq_survey_row *r = mpq_survey_rows(v, &n);
    for (size_t i = 0; i < n; i++) {
        char text[16] = "."; /* outside the blocks */
        if (layer >= 0)
            snprintf(text, sizeof text, "%d", layer);
        if (mpq_tsv_row(w, err, "%s\t%s\t%s\t%.17g", text, r[i].unit, r[i].stat,
                        r[i].value) < 0)
            return -1;
    }
    return 0;
}

/* Rows of layers FIRST to LAST, of the weights (V) and of what they are given (A),
 * either of which may be NULL; what lies outside the blocks goes with layer 0. */
static int
put_layers(struct mpq_tsv_writer *w, struct mpq_survey *v,
           const struct stats_activity *a, uint64_t first, uint64_t last,
           struct mpq_err *err)
{
    const int begin_at = first == 0 ? -1 : (int)first, end = (int)last;
    uint64_t total = 0;
    int rc = 0;

    for (int l = begin_at; v && l <= end; l++)
        total += mpq_survey_weights(v, l);
    struct cli_bar *bar = cli_bar_new("statistics", total, "weights");
    for (int l = begin_at; !rc && l <= end; l++) {
        if (v)
            rc = put_layer(w, v, l, err);
        if (rc == 0 && a && l >= 0)
            rc = stats_activity_put(a, l, !v, w, err);
        cli_bar_add(bar, v ? mpq_survey_weights(v, l) : 0);
    }
    cli_bar_free(bar);
    return rc;
}

static int
measure_text(struct stats_activity **a, const struct mpq_source *s, uint64_t first,
             uint64_t last, struct mpq_out *out, struct mpq_err *err)
{
    if (stats_text.fisher || stats_text.format == STATS_DAMAGE)
        return stats_fisher_run(s, first, last, out, err);
    return stats_activity_run(a, s, first, last, out, err);
}

static int
run(const char *model, struct mpq_err *err)
{
    struct mpq_source *s = NULL;
    struct mpq_survey *v = NULL;
    struct stats_activity *a = NULL;
    struct mpq_out *out = NULL;
    struct mpq_tsv_writer w;
    uint64_t first, last;
    unsigned which;
    int rc = -1;

    if (wanted_groups(&which, err) < 0 || check_options(model, which, err) < 0 ||
        mpq_source_open(&s, model, config_dir, err) < 0 ||
        cli_layers(mpq_source_hparams(s)->n_layer, &first, &last, err) < 0 ||
        (which && mpq_survey_new(&v, s, which, (unsigned)cli.threads, err) < 0) ||
        cli_open_output(&out,
                        stats_text.format == STATS_IMATRIX ||
                            stats_text.format == STATS_HESSIAN,
                        err) < 0 ||
        (stats_text.path && measure_text(&a, s, first, last, out, err) < 0))
        goto out;
    if (stats_text.format == STATS_TSV &&
        (begin(&w, out, s, err) < 0 || put_layers(&w, v, a, first, last, err) < 0 ||
         mpq_tsv_end(&w, err) < 0))
        goto out;
    rc = mpq_out_close(out, err);
    out = NULL;
out:
    mpq_out_free(out);
    stats_activity_free(a);
    mpq_survey_free(v);
    mpq_source_free(s);
    return rc;
}

/* Blocks of a few megabytes come and go with every tensor: as fresh pages from the
 * kernel each time they would cost some 5% of the run. */
static void
keep_freed_memory(void)
{
#ifdef __GLIBC__
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
    mallopt(M_TRIM_THRESHOLD, 128 << 20);
    mallopt(M_TOP_PAD, 8 << 20);
#endif
}

int
main(int argc, char **argv)
{
    struct mpq_err err = { 0 };
    int first = cli_parse(&tool, argc, argv);

    keep_freed_memory();
    return cli_finish(&tool,
                      run(first < argc ? argv[first] : "-", &err) < 0 ? &err : NULL);
}
