/* mpq-calibmix: which mixture of texts moves a model as the target does. */
#include "cli.h"

#include "base/buf.h"
#include "base/parse.h"
#include "base/text.h"
#include "fmt/json.h"
#include "method/mix.h"
#include "method/traces.h"
#include "model/calib.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct cli_list sources, targets;
static const char *emit_path, *config_dir;
static uint64_t n_samples, ctx = 512, steps = 4;
static int measure, optimum;

static const struct cli_opt opts[] = {
    { 's', "source", CLI_LIST, &sources, 0, 0, "FILE",
      "a text to mix, or JSON lines; once for each" },
    { 'T', "target", CLI_LIST, &targets, 0, 0, "FILE",
      "what the mixture is to be like; once for each" },
    { 'n', "samples", CLI_U64, &n_samples, 1, 1e6, "N",
      "samples of each text (default 64); with --emit, in all (128)" },
    { 0, "ctx", CLI_U64, &ctx, 8, 1 << 20, "N",
      "tokens in a sample (default 512; with --emit, as MIX has it)" },
    { 0, "steps", CLI_U64, &steps, 1, 1000, "N", "the grid has shares of 1/N" },
    { 0, "optimum", CLI_FLAG, &optimum, 0, 0, NULL,
      "choose the best of all shares, as with three sources and more" },
    { 0, "measure", CLI_FLAG, &measure, 0, 0, NULL,
      "run each mixture of the grid, instead of adding up the sources" },
    { 0, "emit", CLI_STR, &emit_path, 0, 0, "MIX",
      "write the samples that the table MIX chose, as JSON lines" },
    { 0, "config", CLI_STR, &config_dir, 0, 0, "DIR",
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

enum { MOST_POINTS = 100000 };

struct job {
    struct mpq_source *model;
    struct mpq_forward *forward;
    size_t n, n_layers;      /* sources */
    struct mpq_calib *texts; /* [n] */
    double *traces, *target; /* [n][n_layers], [n_layers] */
    double *points;          /* [n_points + 1][n] shares: the grid, the best of all */
    size_t n_points;
    double *shares;     /* [n], of --emit */
    const char **names; /* [n], of --emit: borrowed from the table */
    struct mpq_tsv *mix;
    struct cli_bar *bar;
};

static void
close_job(struct job *j)
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
no_memory(struct mpq_err *err)
{
    return mpq_fail(err, MPQ_ENOMEM, "out of memory");
}

/* A path goes into a cell of the table. */
static int
check_name(const char *path, struct mpq_err *err)
{
    if (strpbrk(path, "\t\r\n"))
        return mpq_fail(err, MPQ_EUSAGE, "%s: a name with a tab or a line's end", path);
    return 0;
}

static void
on_progress(void *bar, uint64_t tokens)
{
    cli_bar_add(bar, tokens);
}

/* --- the mixture ------------------------------------------------------------------ */

/* A text, or lines joined into one, as samples of equal length. */
static int
read_text(struct job *j, const char *path, struct mpq_calib *text, struct mpq_err *err)
{
    if (mpq_calib_read_whole(text, path, j->model, (size_t)ctx, err) < 0)
        return -1;
    return mpq_calib_recut(text, (size_t)ctx, err);
}

/* N samples of TEXT, which PATH has, drawn by the seed, and their trace. */
static int
trace_of(struct job *j, const char *path, const struct mpq_calib *text, double *trace,
         struct mpq_err *err)
{
    struct mpq_calib part = { 0 };
    uint64_t drawn;
    int rc = -1;

    if (mpq_calib_draw(&part, text, n_samples * ctx, cli.seed, &drawn, err) == 0) {
        if (drawn < n_samples * ctx)
            cli_note("%s: %llu tokens, all there are, where -n %llu would have %llu",
                     path, (unsigned long long)drawn, (unsigned long long)n_samples,
                     (unsigned long long)(n_samples * ctx));
        j->bar = cli_bar_new("traces", drawn * j->n_layers, "tokens");
        rc = mpq_traces(j->forward, &part.seqs, (unsigned)cli.threads, trace,
                        on_progress, j->bar, err);
        cli_bar_free(j->bar);
    }
    mpq_calib_free(&part);
    return rc;
}

static int
trace_targets(struct job *j, struct mpq_err *err)
{
    double *all = mpq_array(targets.n, j->n_layers * sizeof *all);
    int rc = -1;

    if (!all)
        return no_memory(err);
    for (size_t i = 0; i < targets.n; i++) {
        struct mpq_calib text = { 0 };
        rc = read_text(j, targets.items[i], &text, err);
        if (rc == 0)
            rc = trace_of(j, targets.items[i], &text, all + i * j->n_layers, err);
        mpq_calib_free(&text);
        if (rc < 0)
            break;
    }
    if (rc == 0)
        mpq_mix_target(all, targets.n, j->n_layers, j->target);
    free(all);
    return rc;
}

/* A text of TOTAL tokens in these shares; the source of each sequence into *from, the
 * caller's to free (NULL is fine). */
static int
compose(const struct job *j, const double *shares, uint64_t total,
        struct mpq_calib *out, size_t **from, struct mpq_err *err)
{
    uint64_t *tokens = mpq_array(j->n, sizeof *tokens), drawn;
    size_t *whose = NULL;
    int rc = -1;

    if (!tokens)
        return no_memory(err);
    mpq_mix_tokens(shares, j->n, total, tokens);
    for (size_t i = 0; i < j->n; i++) {
        const size_t before = out->seqs.n;
        if (tokens[i] == 0)
            continue;
        if (mpq_calib_draw(out, &j->texts[i], tokens[i], cli.seed + i, &drawn, err) < 0)
            goto out;
        if (drawn < tokens[i]) {
            mpq_fail(err, MPQ_ENOFIT,
                     "%s: %llu tokens in samples of %llu, its share is %llu",
                     j->names ? j->names[i] : sources.items[i],
                     (unsigned long long)drawn, (unsigned long long)ctx,
                     (unsigned long long)tokens[i]);
            goto out;
        }
        size_t *more = realloc(whose, (out->seqs.n + 1) * sizeof *more);
        if (!more) {
            no_memory(err);
            goto out;
        }
        whose = more;
        for (size_t k = before; k < out->seqs.n; k++)
            whose[k] = i;
    }
    rc = 0;
out:
    free(tokens);
    if (rc == 0 && from)
        *from = whose;
    else
        free(whose);
    return rc;
}

/* The trace of a mixture: the sum of its parts, or measured. */
static int
mixed_trace(struct job *j, const double *shares, double *trace, struct mpq_err *err)
{
    struct mpq_calib mix = { 0 };
    int rc = -1;

    if (!measure) {
        mpq_mix_trace(j->traces, j->n, j->n_layers, shares, trace);
        return 0;
    }
    if (compose(j, shares, n_samples * ctx, &mix, NULL, err) == 0)
        rc = mpq_traces(j->forward, &mix.seqs, (unsigned)cli.threads, trace,
                        on_progress, j->bar, err);
    mpq_calib_free(&mix);
    return rc;
}

/* Mixtures that were looked at. */
struct points {
    const double *shares;  /* [count][n_sources] */
    const double *cosines; /* [count] */
    size_t count, n_sources, chosen;
    const struct mpq_calib *texts; /* [n_sources] */
};

static int
put_points(const void *job, struct mpq_tsv_writer *w, struct mpq_err *err)
{
    const struct points *points = job;

    if (mpq_tsv_put_meta(w, err, "ctx %llu", (unsigned long long)ctx) < 0)
        return -1;
    for (size_t i = 0; i < points->n_sources; i++)
        if (mpq_tsv_put_meta(w, err, "source id=%016" PRIx64 " name=%s",
                             points->texts[i].id, sources.items[i]) < 0)
            return -1;
    if (mpq_tsv_columns(w, "point\tsource\tweight\tcosine\tchosen", err) < 0)
        return -1;
    for (size_t p = 0; p < points->count; p++)
        for (size_t i = 0; i < points->n_sources; i++)
            if (mpq_tsv_row(w, err, "%zu\t%s\t%.17g\t%.17g\t%d", p + 1,
                            sources.items[i], points->shares[p * points->n_sources + i],
                            points->cosines[p], p == points->chosen) < 0)
                return -1;
    return 0;
}

static void
note_choice(const struct job *j, const double *shares, double cosine)
{
    struct mpq_buf text = { 0 };

    for (size_t i = 0; i < j->n; i++)
        mpq_buf_printf(&text, "%s%.4g %s", i ? ", " : "", shares[i], sources.items[i]);
    if (!text.failed)
        cli_note("%s: cosine %.6f", text.data, cosine);
    mpq_buf_free(&text);
}

/* All points of the grid, and after them the best of the simplex. */
static int
search(struct job *j, struct mpq_err *err)
{
    const size_t count = j->n_points;
    double *points = realloc(j->points, (count + 1) * j->n * sizeof *points);
    double *cosines = mpq_array(count + 1, sizeof *cosines),
           *mixed = mpq_array(j->n_layers, sizeof *mixed);
    const int any_share = optimum || j->n > 2;
    size_t chosen = 0;
    int rc = -1;

    j->points = points ? points : j->points;
    if (!points || !cosines || !mixed) {
        no_memory(err);
        goto out;
    }
    if (mpq_mix_best(j->traces, j->n, j->n_layers, j->target, points + count * j->n,
                     err) < 0)
        goto out;
    if (measure)
        j->bar = cli_bar_new("mixtures", (count + 1) * n_samples * ctx * j->n_layers,
                             "tokens");
    for (size_t p = 0; p <= count; p++) {
        if (mixed_trace(j, points + p * j->n, mixed, err) < 0)
            goto out;
        cosines[p] = mpq_cosine(mixed, j->target, j->n_layers);
        if ((p < count || any_share) && cosines[p] > cosines[chosen])
            chosen = p;
    }
    if (any_share && !measure) /* the best of all sums, but for rounding */
        chosen = count;
    const struct points all = { points, cosines, count + 1, j->n, chosen, j->texts };
    rc = cli_write_table("mix", mpq_source_hparams(j->model)->name, put_points, &all,
                         err);
    if (rc == 0)
        note_choice(j, points + chosen * j->n, cosines[chosen]);
out:
    if (measure)
        cli_bar_free(j->bar);
    free(cosines);
    free(mixed);
    return rc;
}

static int
find_mixture(struct job *j, struct mpq_err *err)
{
    j->n = sources.n;
    if (mpq_mix_grid(j->n, (size_t)steps, MOST_POINTS, &j->points, &j->n_points, err) <
        0)
        return -1;
    j->texts = mpq_array(j->n, sizeof *j->texts);
    if (mpq_forward_new(&j->forward, j->model, (unsigned)cli.threads, err) < 0)
        return -1;
    j->n_layers = mpq_forward_net(j->forward)->n_layer;
    j->traces = mpq_array(j->n, j->n_layers * sizeof *j->traces);
    j->target = mpq_array(j->n_layers, sizeof *j->target);
    if (!j->texts || !j->traces || !j->target)
        return no_memory(err);
    for (size_t i = 0; i < j->n; i++)
        if (check_name(sources.items[i], err) < 0 ||
            read_text(j, sources.items[i], &j->texts[i], err) < 0 ||
            trace_of(j, sources.items[i], &j->texts[i], j->traces + i * j->n_layers,
                     err) < 0)
            return -1;
    if (trace_targets(j, err) < 0)
        return -1;
    return search(j, err);
}

/* --- the samples ------------------------------------------------------------------ */

/* The samples are as long as those that were compared, unless --ctx says otherwise. */
static int
read_ctx(const struct job *j, struct mpq_err *err)
{
    if (cli_given("ctx"))
        return 0;
    for (size_t i = 0; i < mpq_tsv_meta_count(j->mix); i++) {
        const char *line = mpq_tsv_meta(j->mix, i);
        if (!mpq_text_begins(line, "ctx "))
            continue;
        if (mpq_parse_u64(line + 4, &ctx) == 0 && ctx >= 8 && ctx <= 1 << 20)
            return 0;
        return mpq_fail(err, MPQ_EDATA, "%s: ##%s: not from 8 to %d",
                        mpq_tsv_name(j->mix), line, 1 << 20);
    }
    cli_note("%s: no line ##ctx: samples have %" PRIu64 " tokens", mpq_tsv_name(j->mix),
             ctx);
    return 0;
}

/* Is source I what it was when its share was found? A table made by hand does not say.
 */
static int
check_source(const struct job *j, size_t i, struct mpq_err *err)
{
    char id[48];

    snprintf(id, sizeof id, "source id=%016" PRIx64 " name=", j->texts[i].id);
    for (size_t k = 0; k < mpq_tsv_meta_count(j->mix); k++) {
        const char *line = mpq_tsv_meta(j->mix, k);
        if (strlen(line) > strlen(id) && mpq_text_begins(line, "source id=") &&
            strcmp(line + strlen(id), j->names[i]) == 0 && !mpq_text_begins(line, id))
            return mpq_fail(err, MPQ_EDATA,
                            "%s: is not what it was when %s was made: find the mixture"
                            " again",
                            j->names[i], mpq_tsv_name(j->mix));
    }
    return 0;
}

/* Sources and shares of the chosen rows. */
static int
read_choice(struct job *j, struct mpq_err *err)
{
    int source, weight, chosen;
    double sum = 0;

    if (mpq_tsv_read(&j->mix, emit_path, "mix", err) < 0 || read_ctx(j, err) < 0 ||
        (source = mpq_tsv_need(j->mix, "source", err)) < 0 ||
        (weight = mpq_tsv_need(j->mix, "weight", err)) < 0 ||
        (chosen = mpq_tsv_need(j->mix, "chosen", err)) < 0)
        return -1;
    const size_t rows = mpq_tsv_rows(j->mix);
    j->shares = mpq_array(rows, sizeof *j->shares);
    j->names = mpq_array(rows, sizeof *j->names);
    if (!j->shares || !j->names)
        return no_memory(err);
    for (size_t r = 0; r < rows; r++) {
        uint64_t is_chosen;
        double share;
        if (mpq_tsv_u64(j->mix, r, (size_t)chosen, &is_chosen, err) < 0 ||
            mpq_tsv_double(j->mix, r, (size_t)weight, &share, err) < 0)
            return -1;
        if (!is_chosen)
            continue;
        if (!(share >= 0 && share <= 1))
            return mpq_fail(err, MPQ_EDATA, "%s:%zu: weight %g is not from 0 to 1",
                            mpq_tsv_name(j->mix), mpq_tsv_line(j->mix, r), share);
        j->names[j->n] = mpq_tsv_cell(j->mix, r, (size_t)source);
        j->shares[j->n++] = share;
        sum += share;
    }
    if (j->n == 0)
        return mpq_fail(err, MPQ_EDATA, "%s: no row is chosen", mpq_tsv_name(j->mix));
    if (!(sum > 1 - 1e-6 && sum < 1 + 1e-6))
        return mpq_fail(err, MPQ_EDATA, "%s: the chosen weights sum to %g, not to 1",
                        mpq_tsv_name(j->mix), sum);
    return 0;
}

static int
put_sample(struct mpq_out *out, const struct mpq_tokenizer *tok, const uint32_t *ids,
           size_t n, const char *source, struct mpq_err *err)
{
    struct mpq_buf text = { 0 }, line = { 0 };
    char vocabulary[17];
    int rc = -1;

    mpq_tokenizer_checksum(tok, vocabulary);
    mpq_tokenizer_decode(tok, ids, n, &text);
    mpq_buf_adds(&line, "{\"text\": ");
    mpq_json_quote(&line, text.len ? text.data : "", text.len);
    mpq_buf_adds(&line, ", \"tokens\": [");
    for (size_t i = 0; i < n; i++)
        mpq_buf_printf(&line, "%s%lu", i ? ", " : "", (unsigned long)ids[i]);
    mpq_buf_printf(&line, "], \"vocabulary\": \"%s\", \"source\": ", vocabulary);
    mpq_json_quote(&line, source, strlen(source));
    mpq_buf_adds(&line, "}\n");
    if (text.failed || line.failed)
        no_memory(err);
    else
        rc = mpq_out_write(out, line.data, line.len, err);
    mpq_buf_free(&text);
    mpq_buf_free(&line);
    return rc;
}

static int
emit(struct job *j, struct mpq_err *err)
{
    struct mpq_tokenizer *tok = NULL;
    struct mpq_calib mix = { 0 };
    struct mpq_out *out = NULL;
    size_t *from = NULL;
    int rc = -1;

    if (read_choice(j, err) < 0 || mpq_tokenizer_new(&tok, j->model, err) < 0)
        goto out;
    j->texts = mpq_array(j->n, sizeof *j->texts);
    if (!j->texts) {
        no_memory(err);
        goto out;
    }
    for (size_t i = 0; i < j->n; i++) {
        cli_refuse_input_of("-o", cli.output, j->names[i]);
        if (j->shares[i] > 0 && (read_text(j, j->names[i], &j->texts[i], err) < 0 ||
                                 check_source(j, i, err) < 0))
            goto out;
    }
    if (compose(j, j->shares, n_samples * ctx, &mix, &from, err) < 0 ||
        cli_open_output(&out, 0, err) < 0)
        goto out;
    for (size_t s = 0; s < mix.seqs.n; s++)
        if (put_sample(out, tok, mix.tokens.ids + mix.start[s],
                       mix.start[s + 1] - mix.start[s], j->names[from[s]], err) < 0)
            goto out;
    rc = mpq_out_close(out, err);
    out = NULL;
out:
    free(from);
    mpq_out_free(out);
    mpq_calib_free(&mix);
    mpq_tokenizer_free(tok);
    return rc;
}

static int
run(const char *model, struct mpq_err *err)
{
    struct job j = { 0 };
    int rc = -1;

    static const char *const of_search[] = { "steps", "optimum", "measure" };

    if (emit_path && (sources.n || targets.n))
        return mpq_fail(err, MPQ_EUSAGE, "--emit takes its sources from MIX");
    for (size_t i = 0; emit_path && i < sizeof of_search / sizeof *of_search; i++)
        if (cli_given(of_search[i]))
            return mpq_fail(err, MPQ_EUSAGE, "--emit has a mixture: no --%s",
                            of_search[i]);
    if (!emit_path && (!sources.n || !targets.n))
        return mpq_fail(err, MPQ_EUSAGE, "takes -s FILE and -T FILE, or --emit MIX");
    if (!n_samples)
        n_samples = emit_path ? 128 : 64;
    if (mpq_source_open(&j.model, model, config_dir, err) == 0)
        rc = emit_path ? emit(&j, err) : find_mixture(&j, err);
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
