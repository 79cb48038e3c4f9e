/* mpq-pack: writes a model with the types of a plan. */
#include "cli.h"
#include "pack_own.h"

#include "base/buf.h"
#include "model/packcheck.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *plan_path, *check_path, *config_dir, *pre;
static int format, dry_run;

static const struct cli_opt opts[] = {
    { 'p', "plan", CLI_STR, &plan_path, 0, 0, "PLAN",
      "types: mpq-alloc's table, or llama-quantize's lines" },
    { 'm', "method", CLI_CHOICE, &pack.how.method, 0, 0, ROUNDING_METHODS,
      "how to round; awq, gptq need -c or --hessian" },
    { 0, "effort", CLI_CHOICE, &pack.how.effort, 0, 0, "fast|default|max",
      "how hard scales are searched for" },
    { 0, "salience", CLI_CHOICE, &pack.salience, 0, 0, "obs|square",
      "int3g128v: what a group gets its bits by" },
    { 'c', "calib", CLI_STR, &pack.how.calib, 0, 0, "FILE",
      "text to see what matrices are multiplied with" },
    { 0, "ctx", CLI_U64, &pack.how.ctx, 1, 1 << 20, "N", "tokens of a sequence of it" },
    { 0, "samples", CLI_U64, &pack.how.samples, 1, 1 << 30, "N",
      "sequences of it at most" },
    { 0, "hessian", CLI_STR, &pack.how.hessian, 0, 0, "FILE",
      "the same from mpq-stats -f hessian" },
    { 0, "damp", CLI_DOUBLE, &pack.how.damping, 0, 10, "X",
      "of the Hessian's diagonal, added to it" },
    { 0, "resume", CLI_FLAG, &pack.resume, 0, 0, NULL,
      "keep finished layers in FILE.part, go on from them" },
    { 0, "imatrix", CLI_STR, &pack.how.imatrix, 0, 0, "FILE",
      "weigh the rounding by llama-imatrix's file" },
    { 'f', "format", CLI_CHOICE, &format, 0, 0,
      "auto|gguf|safetensors|fake|hf|compressed-tensors|gptq|gptq-v2",
      "what to write" },
    { 0, "config", CLI_STR, &config_dir, 0, 0, "DIR",
      "where config.json and tokenizer.json lie" },
    { 0, "pre", CLI_STR, &pre, 0, 0, "NAME",
      "llama.cpp's pre-tokenizer, where it is not known" },
    { 0, "dry-run", CLI_FLAG, &dry_run, 0, 0, NULL,
      "print the exact size instead of packing" },
    { 0, "check", CLI_STR, &check_path, 0, 0, "PLAN",
      "hold the types of the file MODEL against PLAN" },
    { 0 },
};
enum {
    FORMAT_AUTO,
    FORMAT_GGUF,
    FORMAT_NATIVE,
    FORMAT_FAKE,
    FORMAT_HF,
    FORMAT_CT,
    FORMAT_GPTQ,
    FORMAT_GPTQ_V2,
};

static const struct cli_tool tool = {
    .name = "mpq-pack",
    .summary = "Writes MODEL with the types of a plan.",
    .operands = "[MODEL]",
    .example = "mpq-alloc -b 3.5 scores.tsv | mpq-pack -p - model.gguf > small.gguf",
    .opts = opts,
    .max_operands = 1,
};

static void
close_job(struct pack_job *j)
{
    mpq_store_free(j->store);
    rounding_free(&j->inputs);
    mpq_packfile_free(&j->file);
    free(j->types);
    mpq_plan_free(&j->plan);
    mpq_layout_free(&j->layout);
    mpq_source_free(j->source);
}

static int
open_job(struct pack_job *j, const char *model, const char *plan, struct mpq_err *err)
{
    const size_t n_stdin =
        rounding_n_stdin(&pack.how) + !strcmp(plan, "-") + !strcmp(model, "-");

    if (n_stdin > 1)
        return mpq_fail(err, MPQ_EUSAGE, "standard input is asked for twice");
    if (mpq_source_open(&j->source, model, config_dir, err) < 0 ||
        (pre && mpq_source_name_pre(j->source, pre, err) < 0) ||
        mpq_layout_from_source(&j->layout, j->source, err) < 0 ||
        mpq_plan_read(&j->plan, plan, &j->layout, err) < 0)
        return -1;
    if (j->plan.n_unnamed)
        cli_note("%s: %zu tensors that no pattern names stay as they are", plan,
                 j->plan.n_unnamed);
    size_t n = mpq_source_count(j->source);
    j->types = mpq_array(n, sizeof *j->types);
    if (!j->types)
        return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", model);
    for (size_t i = 0; i < n; i++) {
        const struct mpq_weight *w = mpq_source_weight(j->source, i);
        const struct mpq_matrix *m = mpq_layout_find(&j->layout, w->name);
        j->types[i] = m ? j->plan.types[m - j->layout.matrices] : w->tensor.type;
    }
    return 0;
}

/* Says why a model that llama.cpp knows does not become what it loads. */
static void
note_native(const struct pack_job *j)
{
    struct mpq_convert c = { 0 };
    struct mpq_err why = { 0 };

    if (mpq_convert_knows(j->source) && mpq_convert_open(&c, j->source, &why) < 0)
        cli_note("%s (the native container is written instead of a GGUF)", why.text);
    mpq_convert_free(&c);
}

/* auto: a GGUF stays one, a model that can be one becomes one unless a type is native;
 * anything else becomes native. */
static enum mpq_packform
choose_form(const struct pack_job *j)
{
    if (format >= FORMAT_HF)
        return MPQ_PACK_HF + (enum mpq_packform)(format - FORMAT_HF);
    if (format == FORMAT_GGUF)
        return MPQ_PACK_GGUF;
    if (format == FORMAT_FAKE)
        return MPQ_PACK_FAKE;
    if (format == FORMAT_AUTO && mpq_source_gguf(j->source))
        return MPQ_PACK_GGUF;
    if (format == FORMAT_AUTO &&
        mpq_layout_container(&j->layout, j->plan.types) == MPQ_CONTAINER_GGUF)
        return MPQ_PACK_GGUF;
    if (format == FORMAT_AUTO && j->layout.container == MPQ_CONTAINER_NATIVE)
        note_native(j);
    return MPQ_PACK_NATIVE;
}

/* What decides the bytes, and no path: a file and a pipe give the same output. */
static void
describe(const struct pack_job *j, struct mpq_buf *text)
{
    mpq_buf_printf(text, "mpq-pack %s ", MPQ_VERSION);
    pack_describe_method(text);
    mpq_buf_printf(text, "%s; model %s, id %s", pack.how.imatrix ? " --imatrix" : "",
                   mpq_source_hparams(j->source)->name, j->layout.id);
}

/* Says once that what was quantized is quantized again: errors add up. */
static void
note_requantized(const struct pack_job *j)
{
    const struct mpq_piece *first = NULL;
    char from[MPQ_TYPE_NAME_MAX], to[MPQ_TYPE_NAME_MAX];
    size_t n = 0;

    for (size_t i = 0; i < j->file.n; i++) {
        const struct mpq_piece *p = &j->file.pieces[i];
        const struct mpq_type now = p->weight->tensor.type;
        if (mpq_type_is_float(now) || mpq_type_is_float(p->type) ||
            mpq_type_eq(now, p->type))
            continue;
        if (n++ == 0)
            first = p;
    }
    if (n)
        cli_note("%s: %zu tensor%s quantized already and quantized again"
                 " (%s: %s to %s%s)",
                 mpq_source_name(j->source), n, n == 1 ? " is" : "s are",
                 first->weight->name, mpq_type_name(first->weight->tensor.type, from),
                 mpq_type_name(first->type, to),
                 strcmp(from, to) == 0 ? " as this container has it" : "");
}

static int
print_size(const struct pack_job *j, struct mpq_err *err)
{
    struct mpq_buf text = { 0 };
    struct mpq_out *out = NULL;
    int rc = -1;

    mpq_packfile_table(&j->file, &text);
    if (text.failed) {
        mpq_fail(err, MPQ_ENOMEM, "out of memory");
    } else if (cli_open_output(&out, 0, err) == 0 &&
               mpq_out_write(out, text.data, text.len, err) == 0) {
        rc = mpq_out_close(out, err);
        out = NULL;
    }
    mpq_out_free(out);
    mpq_buf_free(&text);
    return rc;
}

static void
on_progress(void *bar, uint64_t bytes)
{
    cli_bar_add(bar, bytes);
}

/* What came of it, header and all. */
static void
note_sizes(const struct pack_job *j)
{
    const double before = (double)mpq_source_file_size(j->source),
                 after = (double)j->file.size_bytes;
    double weights = 0;

    for (size_t i = 0; i < j->file.n; i++)
        weights += (double)j->file.pieces[i].weight->tensor.n_elements;
    if (weights > 0)
        cli_note("%.0f -> %.0f bytes, %.2f -> %.2f bits for each weight", before, after,
                 8 * before / weights, 8 * after / weights);
}

static int
open_output(struct mpq_outdir **dir, struct mpq_out **out, struct mpq_err *err)
{
    *dir = NULL;
    return format >= FORMAT_HF ? pack_folder_open(dir, out, err)
                               : cli_open_output(out, 1, err);
}

/* Sees that the output can be made, and leaves nothing of it: between that and its
 * first byte hours may pass, in which the program can be killed. */
static int
check_output(struct mpq_err *err)
{
    struct mpq_outdir *dir;
    struct mpq_out *out;
    struct stat st;

    /* who reads from a pipe would take the first close for the end */
    if (cli.output && stat(cli.output, &st) == 0 && S_ISFIFO(st.st_mode))
        return access(cli.output, W_OK) < 0 ? mpq_fail_errno(err, "%s", cli.output) : 0;
    if (open_output(&dir, &out, err) < 0)
        return -1;
    mpq_out_free(out);
    mpq_outdir_free(dir);
    return 0;
}

static int
write_file(struct pack_job *j, struct mpq_err *err)
{
    struct mpq_pack_options options = { .effort = (enum mpq_effort)pack.how.effort,
                                        .salience = (enum mpq_salience)pack.salience,
                                        .threads = (unsigned)cli.threads,
                                        .encode = rounding_encoder(&pack.how),
                                        .progress = on_progress };
    struct mpq_outdir *dir;
    struct mpq_out *out;
    int rc = -1;

    if (check_output(err) < 0)
        return -1;
    note_requantized(j);
    if (pack_tune(j, err) < 0 || open_output(&dir, &out, err) < 0)
        return -1;
    options.importance = j->inputs.importance; /* which the text may have given */
    if (j->store)
        options.encoded = mpq_store_all(j->store);
    options.progress_ctx = cli_bar_new("packing", j->file.size_bytes, "B");
    if (mpq_pack_write(&j->file, j->source, out, &options, err) == 0 &&
        mpq_packcheck_written(&j->file, out, err) == 0) {
        rc = mpq_out_close(out, err);
        out = NULL;
    }
    cli_bar_free(options.progress_ctx);
    mpq_out_free(out);
    if (rc == 0 && dir)
        rc = pack_folder_finish(j, dir, err);
    else
        mpq_outdir_free(dir);
    if (rc == 0) {
        mpq_store_remove(j->store);
        note_sizes(j);
    }
    return rc;
}

static int
pack_model(struct pack_job *j, const char *model, struct mpq_err *err)
{
    struct mpq_buf provenance = { 0 };
    int rc = -1;

    if (open_job(j, model, plan_path, err) < 0)
        return -1;
    if (j->plan.model_id[0] && strcmp(j->plan.model_id, j->layout.id) != 0)
        cli_note(
            "%s: was made for other weights, or another form of them (model_id %s, %s has"
            " %s)",
            plan_path, j->plan.model_id, mpq_source_name(j->source), j->layout.id);
    describe(j, &provenance);
    if (provenance.failed)
        mpq_fail(err, MPQ_ENOMEM, "out of memory");
    else
        rc = mpq_packfile_plan(&j->file, j->source, choose_form(j), j->types,
                               provenance.data, err);
    mpq_buf_free(&provenance);
    if (rc < 0)
        return -1;
    if (j->file.convert.note[0])
        cli_note("%s: %s", mpq_source_name(j->source), j->file.convert.note);
    if (pack.how.imatrix &&
        (mpq_imatrix_open(&j->inputs.imatrix, pack.how.imatrix, err) < 0 ||
         rounding_weigh(&j->inputs, &pack.how, &j->file, j->source, err) < 0))
        return -1;
    return dry_run ? print_size(j, err) : write_file(j, err);
}

static int
check(struct pack_job *j, const char *model, struct mpq_err *err)
{
    char wanted[MPQ_TYPE_NAME_MAX], found[MPQ_TYPE_NAME_MAX];
    struct mpq_packcheck c;

    if (open_job(j, model, check_path, err) < 0)
        return -1;
    mpq_packcheck_types(j->source, j->types, &c);
    if (c.n_wrong)
        return mpq_fail(err, MPQ_EDATA,
                        "%s: tensor %s: is %s, the plan wants %s (%zu of %zu differ)",
                        mpq_source_name(j->source), c.first->name,
                        mpq_type_name(c.found, found), mpq_type_name(c.wanted, wanted),
                        c.n_wrong, j->layout.n);
    cli_debug("%s: all %zu matrices are as planned", mpq_source_name(j->source),
              j->layout.n);
    return 0;
}

/* What a check has no use for. */
static int
check_only(struct mpq_err *err)
{
    static const char *const of_packing[][2] = {
        { "output", "-o" },         { "dry-run", "--dry-run" },
        { "format", "-f" },         { "method", "-m" },
        { "effort", "--effort" },   { "salience", "--salience" },
        { "calib", "-c" },          { "hessian", "--hessian" },
        { "imatrix", "--imatrix" }, { "resume", "--resume" },
    };

    for (size_t i = 0; i < sizeof of_packing / sizeof *of_packing; i++)
        if (cli_given(of_packing[i][0]))
            return mpq_fail(err, MPQ_EUSAGE, "--check writes nothing: take out %s",
                            of_packing[i][1]);
    return 0;
}

static int
run(const char *model, struct mpq_err *err)
{
    struct pack_job j = { 0 };
    int rc;

    if (pack_check_options(err) < 0)
        return -1;
    if (!plan_path == !check_path)
        return mpq_fail(err, MPQ_EUSAGE, "takes -p PLAN, or --check PLAN");
    if (check_path && check_only(err) < 0)
        return -1;
    if (dry_run && cli.output) /* appended to a finished command, it must not harm */
        return mpq_fail(err, MPQ_EUSAGE, "--dry-run writes no FILE: take out -o");
    rc = check_path ? check(&j, model, err) : pack_model(&j, model, err);
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
