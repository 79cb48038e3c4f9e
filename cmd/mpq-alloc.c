/* mpq-alloc: which type each matrix gets, within a budget. */
#include "cli.h"

#include "base/buf.h"
#include "method/alloc.h"
#include "model/sweep.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static double bits, risk;
static uint64_t size;
static int nominal, method, split, format, list_types;
static const char *types, *rest, *runtime, *rules_path, *policy_path, *model_path,
    *config_dir, *sweep;
static struct cli_list pins, ties;

static const char method_words[] = "exact|topk|greedy|lagrange|uniform|random|inverted";

static const struct cli_opt opts[] = {
    { 'b', "bits", CLI_DOUBLE, &bits, 1e-3, 64, "BITS",
      "budget: mean bits over the blocks' linear weights" },
    { 0, "size", CLI_BYTES, &size, 1, 1e18, "BYTES", "budget: the finished file" },
    { 0, "nominal", CLI_FLAG, &nominal, 0, 0, NULL, "-b without scales" },
    { 0, "rest", CLI_STR, &rest, 0, 0, "TYPE",
      "of embedding and output (default: as they are)" },
    { 't', "types", CLI_STR, &types, 0, 0, "LIST",
      "candidates, q2_k,q4_k (default: every legal one)" },
    { 'm', "method", CLI_CHOICE, &method, 0, 0, method_words, "how to choose" },
    { 0, "risk", CLI_DOUBLE, &risk, 0, 100, "Z", "count Z standard errors as damage" },
    { 0, "split", CLI_CHOICE, &split, 0, 0, "auto|layer|tensor|module",
      "what has one type (auto: tensor under --size)" },
    { 0, "runtime", CLI_STR, &runtime, 0, 0, "NAME",
      "what loads it: llama.cpp (default), vllm, native" },
    { 0, "rules", CLI_STR, &rules_path, 0, 0, "FILE", "rules of another runtime" },
    { 0, "policy", CLI_STR, &policy_path, 0, 0, "FILE", "all of these, as YAML" },
    { 0, "pin", CLI_LIST, &pins, 0, 0, "NAME=TYPE", "a type that is given (or keep)" },
    { 0, "tie", CLI_LIST, &ties, 0, 0, "NAME,NAME", "what has to be alike" },
    { 0, "model", CLI_STR, &model_path, 0, 0, "MODEL",
      "the model's shape, if not in the input" },
    { 0, "config", CLI_STR, &config_dir, 0, 0, "DIR", "where its config.json lies" },
    { 0, "sweep", CLI_STR, &sweep, 0, 0, "A:B:STEP",
      "the front over these bits (or sizes, with a unit)" },
    { 'f', "format", CLI_CHOICE, &format, 0, 0, "tsv|llama|gptqmodel",
      "what to write" },
    { 0, "list-types", CLI_FLAG, &list_types, 0, 0, NULL,
      "print the types there are, and read nothing" },
    { 0 },
};
enum { FORMAT_TSV, FORMAT_LLAMA, FORMAT_GPTQMODEL };

static const struct cli_tool tool = {
    .name = "mpq-alloc",
    .summary = "Gives each matrix a type: least damage within a budget.",
    .operands = "[SCORES]",
    .example = "mpq-stats model.gguf | mpq-score | mpq-alloc -b 3.5 -o plan.tsv",
    .opts = opts,
    .max_operands = 1,
    .seeds = 1,
    .alone = &list_types,
};

struct job {
    struct mpq_policy policy;
    struct mpq_rules rules;
    struct mpq_tsv *table;
    struct mpq_layout layout;
    struct mpq_damage damage;
    struct mpq_alloc *alloc;
    enum mpq_alloc_method method;
    struct mpq_sweep sweep;
    int by_size;
};

static void
close_job(struct job *j)
{
    mpq_alloc_free(j->alloc);
    mpq_damage_free(&j->damage);
    mpq_layout_free(&j->layout);
    mpq_tsv_free(j->table);
    mpq_rules_free(&j->rules);
    mpq_policy_free(&j->policy);
}

/* What the flags say goes over what the policy says. */
static int
apply_flags(struct mpq_policy *p, struct mpq_err *err)
{
    if (cli_given("bits") || cli_given("size")) {
        p->bits = bits;
        p->size = size;
    }
    if (nominal)
        p->nominal = 1;
    if (cli_given("risk"))
        p->risk = risk;
    if (cli_given("split"))
        p->split = (enum mpq_split)split;
    if (runtime || rules_path) {
        p->runtime = runtime;
        p->rules = rules_path;
    }
    if (rest) {
        p->has_rest = 1;
        if (mpq_type_parse(rest, &p->rest) < 0)
            return mpq_fail(err, MPQ_EUSAGE, "--rest: unknown type %.40s", rest);
    }
    if (types && mpq_policy_types(p, types, "-t", err) < 0)
        return -1;
    for (size_t i = 0; i < pins.n; i++)
        if (mpq_policy_pin(p, pins.items[i], "--pin", err) < 0)
            return -1;
    for (size_t i = 0; i < ties.n; i++)
        if (mpq_policy_tie(p, ties.items[i], "--tie", err) < 0)
            return -1;
    return 0;
}

static int
choose_budget(struct job *j, struct mpq_err *err)
{
    const struct mpq_policy *p = &j->policy;

    j->method = (enum mpq_alloc_method)method;
    if (p->method && !cli_given("method") &&
        mpq_alloc_method_parse(p->method, &j->method) < 0)
        return mpq_fail(err, MPQ_EDATA, "%s: method %.40s is none of %s", policy_path,
                        p->method, method_words);
    if (cli_given("bits") && cli_given("size"))
        return mpq_fail(err, MPQ_EUSAGE, "both -b and --size: one budget");
    if (cli_given("runtime") && cli_given("rules"))
        return mpq_fail(err, MPQ_EUSAGE, "both --runtime and --rules");
    if (sweep && (cli_given("bits") || cli_given("size") || format != FORMAT_TSV))
        return mpq_fail(err, MPQ_EUSAGE, "--sweep goes without -b, --size and -f");
    j->by_size = p->size > 0;
    if (sweep) {
        int rc = mpq_sweep_parse(&j->sweep, sweep, err);
        j->by_size = j->sweep.by_size;
        return rc;
    }
    return 0;
}

/* The model's shape: from --model, or as the table brings it along. */
static int
read_layout(struct job *j, struct mpq_err *err)
{
    struct mpq_source *s;

    if (!model_path && !mpq_layout_in_tsv(j->table))
        return mpq_fail(err, MPQ_EDATA,
                        "%s: no ##tensor and ##file lines: name the model with --model",
                        mpq_tsv_name(j->table));
    if (!model_path)
        return mpq_layout_from_tsv(&j->layout, j->table, err);
    if (mpq_source_open(&s, model_path, config_dir, err) < 0)
        return -1;
    int rc = mpq_layout_from_source(&j->layout, s, err);
    mpq_source_free(s);
    return rc;
}

/* The input comes first: whoever names a file that is not there should hear that. */
static int
check_budget(const struct job *j, struct mpq_err *err)
{
    if (sweep || j->policy.bits > 0 || j->policy.size > 0)
        return 0;
    return mpq_fail(err, MPQ_EUSAGE, "no budget: -b BITS or --size BYTES");
}

/* Standard input can be read once. */
static int
check_inputs(const char *table, const struct mpq_policy *p, struct mpq_err *err)
{
    const char *inputs[] = { table, policy_path, model_path, p->rules };
    int n = 0;

    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++)
        n += inputs[i] && !strcmp(inputs[i], "-");
    if (n > 1)
        return mpq_fail(err, MPQ_EUSAGE, "standard input is asked for twice");
    return 0;
}

static int
open_job(struct job *j, const char *table, struct mpq_err *err)
{
    if (check_inputs(table, &j->policy, err) < 0)
        return -1;
    if (policy_path && mpq_policy_open(&j->policy, policy_path, err) < 0)
        return -1;
    if (apply_flags(&j->policy, err) < 0 || choose_budget(j, err) < 0 ||
        check_inputs(table, &j->policy, err) < 0)
        return -1;
    if (j->policy.rules
            ? mpq_rules_open(&j->rules, j->policy.rules, err) < 0
            : mpq_rules_find(&j->rules,
                             j->policy.runtime ? j->policy.runtime : "llama.cpp",
                             err) < 0)
        return -1;
    if (mpq_tsv_read(&j->table, table, NULL, err) < 0 || check_budget(j, err) < 0 ||
        read_layout(j, err) < 0 ||
        mpq_damage_read(&j->damage, j->table, &j->layout, err) < 0)
        return -1;
    return mpq_alloc_new(&j->alloc, &j->layout, &j->rules, &j->policy, &j->damage,
                         j->by_size, err);
}

/* Each line of TEXT as a message. */
static void
say(const char *text)
{
    for (size_t n; *text; text += n + 1) {
        n = strcspn(text, "\n");
        cli_note("%.*s", (int)n, text);
    }
}

static const char *
model_name(const struct job *j)
{
    const char *model = mpq_tsv_info(j->table, "model");

    return model ? model : j->layout.name;
}

static int
put_layout(const struct job *j, struct mpq_tsv_writer *w, struct mpq_err *err)
{
    return model_path ? mpq_layout_put(&j->layout, w, err)
                      : mpq_layout_copy_meta(j->table, w, err);
}

static int
put_summary(const struct job *j, const struct mpq_alloc_result *r,
            struct mpq_tsv_writer *w, struct mpq_err *err)
{
    struct mpq_buf text = { 0 };
    int rc = 0;

    mpq_alloc_meta(j->alloc, r, &text);
    for (char *line = text.data, *end; rc == 0 && line && *line; line = end + 1) {
        end = strchr(line, '\n');
        *end = '\0';
        rc = mpq_tsv_put_meta(w, err, "%s", line);
    }
    if (text.failed)
        rc = mpq_fail(err, MPQ_ENOMEM, "out of memory");
    mpq_buf_free(&text);
    return rc;
}

struct solution {
    const struct job *j;
    const struct mpq_alloc_result *r;
    const struct mpq_plan *plan;
};

static int
put_plan(const void *job, struct mpq_tsv_writer *w, struct mpq_err *err)
{
    const struct solution *s = job;

    return put_layout(s->j, w, err) < 0 || put_summary(s->j, s->r, w, err) < 0 ||
                   mpq_plan_write(s->plan, w, err) < 0
               ? -1
               : 0;
}

/* The plan as the options or the configuration of another program. */
static int
write_foreign(const struct mpq_plan *plan, struct mpq_err *err)
{
    struct mpq_buf text = { 0 };
    struct mpq_out *out = NULL;
    int rc = -1;

    if ((format == FORMAT_LLAMA ? mpq_plan_llama(plan, &text, err)
                                : mpq_plan_gptqmodel(plan, &text, err)) < 0 ||
        cli_open_output(&out, 0, err) < 0 ||
        mpq_out_write(out, text.data, text.len, err) < 0)
        goto out;
    rc = mpq_out_close(out, err);
    out = NULL;
out:
    mpq_out_free(out);
    mpq_buf_free(&text);
    return rc;
}

/* The plan in the form that -f asks for. */
static int
write_plan(const struct job *j, const struct mpq_alloc_result *r, struct mpq_err *err)
{
    struct mpq_plan plan = { 0 };
    const struct solution s = { j, r, &plan };
    int rc = -1;

    if (mpq_alloc_plan(j->alloc, r, &plan, err) == 0)
        rc = format == FORMAT_TSV
                 ? cli_write_table("plan", model_name(j), put_plan, &s, err)
                 : write_foreign(&plan, err);
    mpq_plan_free(&plan);
    return rc;
}

static int
run_once(const struct job *j, struct mpq_err *err)
{
    struct mpq_alloc_result r;
    struct mpq_buf text = { 0 };
    uint64_t budget =
        j->by_size ? j->policy.size : mpq_alloc_bits_budget(j->alloc, j->policy.bits);

    if (mpq_alloc_solve(j->alloc, j->method, budget, cli.seed, &r, err) < 0)
        return -1;
    int rc = mpq_alloc_price(j->alloc, &r, err);
    if (rc == 0) {
        mpq_alloc_summary(j->alloc, &r, &text);
        if (text.data)
            say(text.data);
        rc = write_plan(j, &r, err);
    }
    mpq_buf_free(&text);
    free(r.pick);
    return rc;
}

/* Budget I of the sweep: 1 with its row in ROW, or 0 when no plan meets it. */
static int
solve_point(const struct job *j, size_t i, struct mpq_buf *row, struct mpq_err *err)
{
    struct mpq_alloc_result r;
    uint64_t low, high, budget;
    char text[32];
    double value = mpq_sweep_at(&j->sweep, i, text);

    budget = j->by_size ? (uint64_t)value : mpq_alloc_bits_budget(j->alloc, value);
    mpq_alloc_interval(j->alloc, &low, &high);
    if (budget < low)
        return 0;
    if (mpq_alloc_solve(j->alloc, j->method, budget, cli.seed, &r, err) < 0)
        return -1;
    mpq_buf_free(row);
    mpq_buf_printf(row, "%s\t%.17g\t%" PRIu64 "\t%.17g", text, r.mean_bits,
                   r.file_bytes, r.damage);
    free(r.pick);
    return row->failed ? mpq_fail(err, MPQ_ENOMEM, "out of memory") : 1;
}

static int
put_front(const void *job, struct mpq_tsv_writer *w, struct mpq_err *err)
{
    const struct job *j = job;
    struct mpq_buf row = { 0 };
    uint64_t low, high;
    char word[64];
    int rc = 0;

    if (put_layout(j, w, err) < 0 ||
        mpq_tsv_columns(w, "budget\tbits\tbytes\tdamage", err) < 0)
        return -1;
    for (size_t i = 0; rc >= 0 && i < j->sweep.n; i++) {
        rc = solve_point(j, i, &row, err);
        if (rc > 0)
            rc = mpq_tsv_row(w, err, "%s", row.data);
    }
    mpq_buf_free(&row);
    if (rc < 0)
        return -1;
    mpq_alloc_interval(j->alloc, &low, &high);
    if (w->rows < j->sweep.n)
        cli_note("%" PRIu64 " of %zu budgets are below the smallest plan, %s",
                 j->sweep.n - w->rows, j->sweep.n,
                 mpq_alloc_words(j->alloc, low, word));
    return 0;
}

static int
run_sweep(const struct job *j, struct mpq_err *err)
{
    struct mpq_buf row = { 0 };
    char word[64];
    uint64_t low, high;

    /* Nothing is printed unless the last budget, the largest, has an answer. */
    mpq_alloc_interval(j->alloc, &low, &high);
    int rc = solve_point(j, j->sweep.n - 1, &row, err);
    mpq_buf_free(&row);
    if (rc == 0)
        rc = mpq_fail(err, MPQ_ENOFIT, "--sweep %s: the smallest plan has %s", sweep,
                      mpq_alloc_words(j->alloc, low, word));
    if (rc < 0)
        return -1;
    return cli_write_table("front", model_name(j), put_front, j, err);
}

static int
print_types(struct mpq_err *err)
{
    struct mpq_buf text = { 0 };
    struct mpq_out *out = NULL;
    int rc = -1;

    if (mpq_alloc_list_types(&text, err) == 0 && cli_open_output(&out, 0, err) == 0 &&
        mpq_out_write(out, text.data, text.len, err) == 0) {
        rc = mpq_out_close(out, err);
        out = NULL;
    }
    mpq_out_free(out);
    mpq_buf_free(&text);
    return rc;
}

static int
run(const char *table, struct mpq_err *err)
{
    struct job j = { .by_size = 0 };

    if (list_types)
        return print_types(err);
    int rc = open_job(&j, table, err);

    if (rc == 0) {
        say(mpq_alloc_notes(j.alloc));
        rc = sweep ? run_sweep(&j, err) : run_once(&j, err);
    }
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
