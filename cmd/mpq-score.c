/* mpq-score: scores of layers or tensors from their statistics. */
#include "cli.h"

#include "base/buf.h"
#include "base/index.h"
#include "method/score.h"
#include "model/layout.h"
#include "quant/codec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int method, variant, by, bits;
static const char *type_list;

static const struct cli_opt opts[] = {
    { 'm', "method", CLI_CHOICE, &method, 0, 0,
      "nsds|nv|se|mse|zd|ewq|kurtboost|lim|lsaq", "how to score" },
    { 0, "variant", CLI_CHOICE, &variant, 0, 0, "paper|official",
      "nsds nv se: the paper, or its authors' code" },
    { 0, "bits", CLI_CHOICE, &bits, 0, 0, "2|3|4|8", "mse: width of the rounding" },
    { 0, "by", CLI_CHOICE, &by, 0, 0, "layer|tensor", "what a row is" },
    { 't', "types", CLI_STR, &type_list, 0, 0, "LIST",
      "write damages for these types (q2_k,q4_k) instead" },
    { 0 },
};

static const struct cli_tool tool = {
    .name = "mpq-score",
    .summary = "Scores the layers or tensors of a model from their statistics.",
    .operands = "[STATS...]",
    .example =
        "mpq-stats model.gguf | mpq-score -m nsds | mpq-alloc -b 3.5 -o plan.tsv",
    .opts = opts,
    .max_operands = 1024,
};

enum { MAX_TYPES = 64 };

/* What was read, and what came of it. */
struct job {
    struct mpq_tsv **tables;
    size_t n_tables;
    struct mpq_tsv *meta; /* the first with metadata, else the first */
    struct mpq_statset stats;
    struct mpq_scores scores;
    struct mpq_type types[MAX_TYPES];
    size_t n_types;
    struct mpq_layout layout;
    int has_layout;
};

static void
close_job(struct job *j)
{
    mpq_layout_free(&j->layout);
    mpq_scores_free(&j->scores);
    mpq_statset_free(&j->stats);
    for (size_t i = 0; j->tables && i < j->n_tables; i++)
        mpq_tsv_free(j->tables[i]);
    free(j->tables);
}

static int
parse_types(struct job *j, const char *list, struct mpq_err *err)
{
    char word[MPQ_TYPE_NAME_MAX];

    for (;; list++) {
        const size_t n = strcspn(list, ",");
        struct mpq_type *t = &j->types[j->n_types];
        snprintf(word, sizeof word, "%.*s", (int)n, list);
        if (n >= sizeof word || mpq_type_parse(word, t) < 0 || !mpq_codec_writes(*t))
            return mpq_fail(err, MPQ_EUSAGE,
                            "-t: '%.*s' is no type that can be written", (int)n, list);
        if (++j->n_types == MAX_TYPES)
            return mpq_fail(err, MPQ_EUSAGE, "-t: more than %d types", MAX_TYPES - 1);
        list += n;
        if (!*list)
            return 0;
    }
}

/* Several files are parts of one model: their metadata must be the same. */
static int
check_meta(const struct job *j, struct mpq_err *err)
{
    struct mpq_index lines = { 0 };
    int rc = -1;
    size_t pos;

    for (size_t i = 0; i < mpq_tsv_meta_count(j->meta); i++)
        if (mpq_index_add(&lines, mpq_tsv_meta(j->meta, i), i) < 0) {
            mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", mpq_tsv_name(j->meta));
            goto out;
        }
    (void)mpq_index_sort(&lines); /* the reader keeps identical lines once */
    for (size_t t = 0; t < j->n_tables; t++)
        for (size_t i = 0; i < mpq_tsv_meta_count(j->tables[t]); i++) {
            const char *line = mpq_tsv_meta(j->tables[t], i);
            if (mpq_index_find(&lines, line, &pos))
                continue;
            mpq_fail(err, MPQ_EDATA, "%s: another model than %s: ##%s",
                     mpq_tsv_name(j->tables[t]), mpq_tsv_name(j->meta), line);
            goto out;
        }
    rc = 0;
out:
    mpq_index_free(&lines);
    return rc;
}

static int
read_tables(struct job *j, char **names, size_t n, struct mpq_err *err)
{
    static char standard_input[] = "-";
    char *standard[] = { standard_input };

    if (n == 0) {
        names = standard;
        n = 1;
    }
    j->tables = mpq_array(n, sizeof(struct mpq_tsv *));
    if (!j->tables)
        return mpq_fail(err, MPQ_ENOMEM, "out of memory");
    for (; j->n_tables < n; j->n_tables++)
        if (mpq_tsv_read(&j->tables[j->n_tables], names[j->n_tables], "stats", err) < 0)
            return -1;
    j->meta = j->tables[0];
    for (size_t i = n; i-- > 0;)
        if (mpq_tsv_meta_count(j->tables[i]) > 0)
            j->meta = j->tables[i];
    j->has_layout = mpq_layout_in_tsv(j->meta);
    if (j->has_layout && mpq_layout_from_tsv(&j->layout, j->meta, err) < 0)
        return -1;
    return check_meta(j, err);
}

static int
begin(const struct job *j, struct mpq_tsv_writer *w, struct mpq_out *out,
      const char *kind, struct mpq_err *err)
{
    const char *model = mpq_tsv_info(j->meta, "model");

    if (cli_begin_table(w, out, kind, model ? model : "", err) < 0)
        return -1;
    return mpq_layout_copy_meta(j->meta, w, err);
}

static int
put_scores(const struct job *j, struct mpq_tsv_writer *w, struct mpq_err *err)
{
    const struct mpq_scores *s = &j->scores;
    struct mpq_buf text = { 0 };
    int rc = -1;

    mpq_buf_adds(&text, "unit\tscore\tparams");
    for (size_t c = 0; c < s->n_details; c++)
        mpq_buf_printf(&text, "\t%s", s->columns[c]);
    if (text.failed || mpq_tsv_columns(w, text.data, err) < 0)
        goto out;
    for (size_t i = 0; i < s->n; i++) {
        mpq_buf_free(&text);
        mpq_buf_printf(&text, "%s\t%.17g\t%.17g", s->rows[i].unit, s->rows[i].score,
                       s->rows[i].params);
        for (size_t c = 0; c < s->n_details; c++)
            mpq_buf_printf(&text, "\t%.17g", s->rows[i].detail[c]);
        if (text.failed || mpq_tsv_row(w, err, "%s", text.data) < 0)
            goto out;
    }
    rc = 0;
out:
    if (text.failed)
        mpq_fail(err, MPQ_ENOMEM, "out of memory");
    mpq_buf_free(&text);
    return rc;
}

/* Is M part of the unit of row R? */
static int
covers(const struct mpq_score *r, const struct mpq_matrix *m)
{
    return by ? strcmp(r->unit, m->name) == 0 : m->is_linear && m->layer == r->layer;
}

/* Mean bits of a weight of the unit, scales included; 0 when a row of it does not take
 * the type. Without the model's shape rows are taken to be long. */
static double
unit_bits(const struct job *j, const struct mpq_score *r, struct mpq_type t)
{
    double sum = 0, weights = 0;

    for (size_t i = 0; i < j->layout.n; i++) {
        const struct mpq_matrix *m = &j->layout.matrices[i];
        if (!covers(r, m))
            continue;
        if (!mpq_type_fits(t, m->cols))
            return 0;
        const double n = (double)m->rows * (double)m->cols;
        sum += n * mpq_type_bpw(t, m->cols);
        weights += n;
    }
    return weights > 0 ? sum / weights : mpq_type_bpw(t, UINT64_C(1) << 24);
}

static int
put_damages(const struct job *j, struct mpq_tsv_writer *w, struct mpq_err *err)
{
    char name[MPQ_TYPE_NAME_MAX];

    if (mpq_tsv_columns(w, "unit\ttype\tbits\tparams\tdamage\tse", err) < 0)
        return -1;
    for (size_t i = 0; i < j->scores.n; i++)
        for (size_t t = 0; t < j->n_types; t++) {
            const struct mpq_score *r = &j->scores.rows[i];
            const double wide = unit_bits(j, r, j->types[t]);
            if (!(wide > 0)) {
                cli_debug("%s: no %s: it does not divide the rows", r->unit,
                          mpq_type_name(j->types[t], name));
                continue;
            }
            const double damage = r->score * r->params * mpq_type_error(j->types[t]);
            if (mpq_tsv_row(w, err, "%s\t%s\t%.17g\t%.17g\t%.17g\t0", r->unit,
                            mpq_type_name(j->types[t], name), wide, r->params,
                            damage) < 0)
                return -1;
        }
    return 0;
}

static int
run(char **names, size_t n, struct mpq_err *err)
{
    static const int widths[] = { 2, 3, 4, 8 };
    const struct mpq_score_how how = { .method = (enum mpq_score_method)method,
                                       .official = variant,
                                       .bits = widths[bits],
                                       .by_tensor = by };
    struct job j = { 0 };
    struct mpq_out *out = NULL;
    struct mpq_tsv_writer w;
    int rc = -1;

    if ((type_list && parse_types(&j, type_list, err) < 0) ||
        read_tables(&j, names, n, err) < 0 ||
        mpq_statset_new(&j.stats, j.tables, j.n_tables, err) < 0 ||
        mpq_score_run(&j.scores, &j.stats, &how, err) < 0)
        goto out;
    if (cli_open_output(&out, 0, err) < 0 ||
        begin(&j, &w, out, type_list ? "damage" : "scores", err) < 0 ||
        (type_list ? put_damages(&j, &w, err) : put_scores(&j, &w, err)) < 0 ||
        mpq_tsv_end(&w, err) < 0)
        goto out;
    rc = mpq_out_close(out, err);
    out = NULL;
out:
    mpq_out_free(out);
    close_job(&j);
    return rc;
}

int
main(int argc, char **argv)
{
    struct mpq_err err = { 0 };
    int first = cli_parse(&tool, argc, argv);

    return cli_finish(
        &tool, run(argv + first, (size_t)(argc - first), &err) < 0 ? &err : NULL);
}
