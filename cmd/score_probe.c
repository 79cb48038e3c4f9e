/* mpq-score: from what was measured, one unit and type at a time, to damages. */
#include "score_own.h"

#include "base/buf.h"
#include "base/parse.h"
#include "fmt/percent.h"
#include "fmt/sniff.h"
#include "method/moa.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_OBJECTIVES = 64 };

/* A list, "a,b": words[n]; without one, n is 0. */
struct words {
    char *text, *words[MAX_OBJECTIVES];
    size_t n;
};

struct job {
    struct score_tables tables;
    struct words tasks, metrics, weights;
    struct mpq_pairs sets[MAX_OBJECTIVES];
    double weight[MAX_OBJECTIVES], sums[MAX_OBJECTIVES];
    size_t n; /* objectives */
    double *damage, *se;
};

static void
close_job(struct job *j)
{
    for (size_t k = 0; k < MAX_OBJECTIVES; k++)
        mpq_pairs_free(&j->sets[k]);
    free(j->tasks.text);
    free(j->metrics.text);
    free(j->weights.text);
    free(j->damage);
    free(j->se);
    score_free(&j->tables);
}

static int
split(struct words *w, const char *list, const char *option, struct mpq_err *err)
{
    if (!list)
        return 0;
    w->text = mpq_strdup(list);
    if (!w->text)
        return mpq_fail(err, MPQ_ENOMEM, "out of memory");
    for (char *p = w->text;; p++) {
        if (w->n == MAX_OBJECTIVES)
            return mpq_fail(err, MPQ_EUSAGE, "%s: more than %d", option,
                            MAX_OBJECTIVES);
        w->words[w->n++] = p;
        const size_t n = strcspn(p, ",");
        if (!n)
            return mpq_fail(err, MPQ_EUSAGE, "%s %s: a word is empty", option, list);
        p += n;
        if (!*p)
            return 0;
        *p = '\0';
    }
}

/* Objectives are probes, or damages that were foretold. */
static int
check_kinds(const struct job *j, struct mpq_err *err)
{
    for (size_t i = 0; i < j->tables.n; i++) {
        const int kind = mpq_pairs_kind(j->tables.all[i], err);
        if (kind == MPQ_PAIRS_SCORES)
            return mpq_fail_kind(mpq_tsv_name(j->tables.all[i]), "scores",
                                 "probe or damage",
                                 "mpq-eval --each or mpq-stats -f damage", err);
        if (kind == MPQ_PAIRS_DAMAGE && j->tables.n == 1)
            return mpq_fail(err, MPQ_EUSAGE, "moa: %s: one objective: give two tables",
                            mpq_tsv_name(j->tables.all[i]));
        if (kind < 0)
            return -1;
    }
    return score_check_picks(&j->tables, err);
}

/* How many objectives there are: a table each; or one table has them all. */
static int
count_objectives(struct job *j, struct mpq_err *err)
{
    const struct words *lists[] = { &j->tasks, &j->metrics, &j->weights };
    static const char *const names[] = { "--task", "--metric", "-w" };

    j->n = score.method == SCORE_MOA ? j->tables.n : 1;
    for (size_t i = 0; i < 3 && j->tables.n == 1 && score.method == SCORE_MOA; i++)
        j->n = lists[i]->n > j->n ? lists[i]->n : j->n;
    if (j->n > MAX_OBJECTIVES)
        return mpq_fail(err, MPQ_EUSAGE, "moa: more than %d objectives",
                        MAX_OBJECTIVES);
    if (score.method == SCORE_MOA && j->n < 2)
        return mpq_fail(err, MPQ_EUSAGE,
                        "moa: one objective: give two tables, or one and --metric A,B "
                        "or --task A,B");
    for (size_t i = 0; i < 3; i++)
        if (lists[i]->n > (i < 2) && lists[i]->n != j->n)
            return mpq_fail(err, MPQ_EUSAGE, "%s: %zu of %zu objectives", names[i],
                            lists[i]->n, j->n);
    return 0;
}

/* The weights, made to sum up to 1. */
static int
choose_weights(struct job *j, struct mpq_err *err)
{
    double sum = 0;

    if (j->n == 1) {
        j->weight[0] = 1;
        return 0;
    }
    if (j->weights.n == 0) {
        if (j->n > 2)
            return mpq_fail(err, MPQ_EUSAGE,
                            "moa: %zu objectives: -w has to weigh them", j->n);
        j->weight[0] = 1 - score.beta;
        j->weight[1] = score.beta;
        return 0;
    }
    for (size_t k = 0; k < j->n; k++) {
        const char *word = j->weights.words[k];
        if (mpq_parse_double(word, &j->weight[k]) < 0 || !(j->weight[k] >= 0) ||
            j->weight[k] > 1e100)
            return mpq_fail(err, MPQ_EUSAGE, "-w: '%.40s' is no weight from 0 up",
                            word);
        sum += j->weight[k];
    }
    if (!(sum > 0))
        return mpq_fail(err, MPQ_EUSAGE, "-w: all weights are 0");
    for (size_t k = 0; k < j->n; k++)
        j->weight[k] /= sum;
    return 0;
}

/* The word for objective K: one stands for all. */
static const char *
pick(const struct words *w, size_t k)
{
    return w->n == 0 ? NULL : w->words[w->n == 1 ? 0 : k];
}

/* The task of objective K, or NULL: as --task says; or else, where one table has
 * several tasks with its metric and as many objectives ask for that, they take them in
 * turn. */
static int
choose_task(const struct job *j, size_t k, const char **task, struct mpq_err *err)
{
    struct mpq_objective list[MPQ_MAX_OBJECTIVES];
    const char *metric = pick(&j->metrics, k), *mine = NULL;
    size_t n, asked = 0, before = 0, there = 0;

    *task = pick(&j->tasks, k);
    if (*task || j->metrics.n < 2 || j->tables.n > 1)
        return 0;
    if (mpq_objectives(j->tables.all, j->tables.n, list, &n, err) < 0)
        return -1;
    for (size_t i = 0; i < j->metrics.n; i++)
        if (strcmp(j->metrics.words[i], metric) == 0) {
            asked++;
            before += i < k;
        }
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i].metric, metric) == 0 && there++ == before)
            mine = list[i].task;
    if (asked > 1 && asked == there)
        *task = mine;
    return 0;
}

static int
read_objective(struct job *j, size_t k, struct mpq_err *err)
{
    const int moa = score.method == SCORE_MOA, own = moa && j->tables.n > 1;
    struct mpq_tsv *const *tables = &j->tables.all[own ? k : 0];
    const size_t n = own ? 1 : j->tables.n;
    struct mpq_objective o = { NULL, NULL };
    const char *task;

    if (own && mpq_pairs_kind(tables[0], err) == MPQ_PAIRS_DAMAGE)
        return mpq_pairs_read(&j->sets[k], tables, 1,
                              &(struct mpq_pairs_how){ .kind = MPQ_PAIRS_DAMAGE,
                                                       .types = score.types,
                                                       .n_types = score.n_types },
                              err);
    if (choose_task(j, k, &task, err) < 0 ||
        mpq_objective_choose(tables, n, task,
                             moa ? pick(&j->metrics, k) : score_metric(),
                             k == 0 ? "ppl" : "loss", &o, err) < 0)
        return -1;
    const struct mpq_pairs_how how = { .kind = MPQ_PAIRS_PROBE,
                                       .task = o.task,
                                       .metric = o.metric,
                                       .types = score.types,
                                       .n_types = score.n_types };
    return mpq_pairs_read(&j->sets[k], tables, n, &how, err);
}

static int
compute(struct job *j, struct mpq_err *err)
{
    const int normalize = score.norm == 1 || (score.norm == 0 && j->n > 1);

    for (size_t k = 0; k < j->n; k++)
        if (read_objective(j, k, err) < 0)
            return -1;
    j->damage = mpq_array(j->sets->n, sizeof *j->damage);
    j->se = mpq_array(j->sets->n, sizeof *j->se);
    if (!j->damage || !j->se)
        return mpq_fail(err, MPQ_ENOMEM, "out of memory");
    if (mpq_moa(j->sets, j->n, j->weight, normalize, j->damage, j->se, j->sums, err) <
        0)
        return -1;
    for (size_t i = 0; i < j->sets->n; i++) {
        const struct mpq_pair *r = &j->sets->rows[i];
        if (score_check_pair(j->sets->file, r->unit, r->type, j->damage[i], j->se[i],
                             err) < 0)
            return -1;
    }
    return 0;
}

/* A table of damages is called by its file. */
static const char *
name_of(const struct mpq_pairs *p)
{
    return p->task ? p->task : p->file;
}

static const char *
metric_of(const struct mpq_pairs *p)
{
    return p->metric ? p->metric : "damage";
}

/* ##objective 1 task=wiki metric=ppl weight=0.3 sum=12.5 */
static int
put_objectives(const struct job *j, struct mpq_tsv_writer *w, struct mpq_err *err)
{
    int rc = 0;

    for (size_t k = 0; rc == 0 && k < j->n; k++) {
        struct mpq_buf line = { 0 };
        mpq_buf_printf(&line, "objective %zu task=", k + 1);
        mpq_percent_add_word(&line, name_of(&j->sets[k]));
        mpq_buf_adds(&line, " metric=");
        mpq_percent_add_word(&line, metric_of(&j->sets[k]));
        mpq_buf_printf(&line, " weight=%.17g sum=%.17g", j->weight[k], j->sums[k]);
        rc = line.failed ? mpq_fail(err, MPQ_ENOMEM, "out of memory")
                         : mpq_tsv_put_meta(w, err, "%s", line.data);
        mpq_buf_free(&line);
    }
    return rc;
}

/* The raw deltas of row I, with their errors. */
static void
add_deltas(const struct job *j, size_t i, struct mpq_buf *text)
{
    for (size_t k = 0; k < j->n; k++) {
        const struct mpq_pair *r = mpq_pairs_find(&j->sets[k], j->sets->rows[i].key);
        mpq_buf_printf(text, "\t%.17g\t%.17g", r->value, r->se);
    }
}

static int
put_rows(const struct job *j, struct mpq_tsv_writer *w, struct mpq_err *err)
{
    struct mpq_buf text = { 0 };
    int rc = -1;

    mpq_buf_adds(&text, "unit\ttype\tbits\tparams\tdamage\tse");
    for (size_t k = 1; k <= j->n; k++)
        mpq_buf_printf(&text, "\tdelta%zu\tse%zu", k, k);
    if (text.failed || mpq_tsv_columns(w, text.data, err) < 0)
        goto out;
    for (size_t i = 0; i < j->sets->n; i++) {
        const struct mpq_pair *r = &j->sets->rows[i];
        mpq_buf_free(&text);
        mpq_buf_printf(&text, "%s\t%s\t%.17g\t%.17g\t%.17g\t%.17g", r->unit, r->type,
                       r->bits, r->params, j->damage[i], j->se[i]);
        add_deltas(j, i, &text);
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

/* Says what of the deltas counted as 0: all of them is worth a note. */
static void
say_negative(const struct job *j)
{
    for (size_t k = 0; k < j->n; k++) {
        const struct mpq_pairs *p = &j->sets[k];
        size_t above = 0, below = 0;
        for (size_t i = 0; i < p->n; i++) {
            above += p->rows[i].value > 0;
            below += p->rows[i].value < 0;
        }
        if (!above)
            cli_note("%s, %s: none of %zu deltas is above 0: all count as 0",
                     name_of(p), metric_of(p), p->n);
        else if (below)
            cli_debug("%s, %s: %zu of %zu deltas are below 0 and count as 0",
                      name_of(p), metric_of(p), below, p->n);
    }
}

/* All rows, with what stands before them. */
static int
put_all(const void *job, struct mpq_tsv_writer *w, struct mpq_err *err)
{
    const struct job *j = job;

    return put_objectives(j, w, err) < 0 || put_rows(j, w, err) < 0 ? -1 : 0;
}

/* Says where a probe was rounded in another way than the first: the objectives then
 * differ by that too. */
static void
say_quantizers(const struct score_tables *t)
{
    const struct mpq_tsv *of = NULL;
    const char *first = NULL;

    for (size_t i = 0; i < t->n; i++) {
        const char *here = score_word_in(t->all[i], "pack ", "pack ");
        if (here && !first) {
            first = here;
            of = t->all[i];
        } else if (here && strcmp(here, first) != 0) {
            cli_note("%s: another quantizer than in %s: ##pack %s",
                     mpq_tsv_name(t->all[i]), mpq_tsv_name(of), here);
        }
    }
}

int
score_probes(char **names, size_t n, struct mpq_err *err)
{
    struct job j = { 0 };
    int rc = -1;

    if (split(&j.tasks, score.tasks, "--task", err) < 0 ||
        split(&j.metrics, score.metrics, "--metric", err) < 0 ||
        split(&j.weights, score.weights, "-w", err) < 0 ||
        score_read(&j.tables, names, n, score.method == SCORE_MOA ? NULL : "probe",
                   err) < 0 ||
        check_kinds(&j, err) < 0 || count_objectives(&j, err) < 0 ||
        choose_weights(&j, err) < 0 || score_one_model(&j.tables, err) < 0 ||
        (score.method != SCORE_MOA &&
         score_one_whole(j.tables.all, j.tables.n, err) < 0) ||
        compute(&j, err) < 0)
        goto out;
    say_quantizers(&j.tables);
    say_negative(&j);
    rc = score_write(&j.tables, "damage", put_all, &j, err);
out:
    close_job(&j);
    return rc;
}
