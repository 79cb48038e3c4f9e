/* mpq-score --tau: which tables put the units in the same order. */
#include "score_own.h"

#include "base/buf.h"
#include "fmt/escape.h"
#include "method/agree.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One order of the units: a table, or of probes a task and metric of one. */
struct ranking {
    struct mpq_pairs pairs;
    char *name;
};

struct job {
    struct score_tables tables;
    struct ranking *rankings; /* [n] */
    size_t n, cap;
};

static void
close_job(struct job *j)
{
    for (size_t i = 0; i < j->n; i++) {
        mpq_pairs_free(&j->rankings[i].pairs);
        free(j->rankings[i].name);
    }
    free(j->rankings);
    score_free(&j->tables);
}

static int
no_memory(struct mpq_err *err)
{
    return mpq_fail(err, MPQ_ENOMEM, "out of memory");
}

/* Adds a ranking from T; NAME is the ranking's, taken over. */
static int
add(struct job *j, struct mpq_tsv *t, const struct mpq_pairs_how *how, char *name,
    struct mpq_err *err)
{
    if (!name || mpq_grow(&j->rankings, &j->cap, j->n + 1, sizeof *j->rankings) < 0) {
        free(name);
        return no_memory(err);
    }
    struct ranking *r = &j->rankings[j->n++];
    *r = (struct ranking){ .name = name };
    return mpq_pairs_read(&r->pairs, &t, 1, how, err);
}

/* A word that is not ours, fit for a cell of a table. */
static char *
clean(const char *s, size_t n)
{
    struct mpq_buf b = { 0 };

    mpq_escape(&b, s, n);
    char *word = b.failed ? NULL : mpq_strdup(b.len ? b.data : "");
    mpq_buf_free(&b);
    return word;
}

/* The word behind option BRIEF or FULL in OPTIONS, a command line, and its length into
 * N; NULL where it is not there. */
static const char *
word_behind(const char *options, const char *brief, const char *full, size_t *n)
{
    for (const char *p = options; p && *p; p += strspn(p, " ")) {
        *n = strcspn(p, " ");
        const int is_it = (*n == strlen(brief) && strncmp(p, brief, *n) == 0) ||
                          (*n == strlen(full) && strncmp(p, full, *n) == 0);
        p += *n;
        if (is_it) {
            p += strspn(p, " ");
            *n = strcspn(p, " ");
            return p;
        }
    }
    return NULL;
}

/* What made the scores or damages of T, as a name: METHOD, or TASK:METHOD where it was
 * told to take one task of a probe. */
static char *
method_of(struct mpq_tsv *t)
{
    const char *options = mpq_tsv_info(t, "options"), *tool = mpq_tsv_info(t, "tool");
    size_t n, n_task = 0;
    const char *method = word_behind(options, "-m", "--method", &n),
               *task = word_behind(options, "--task", "--task", &n_task);

    if (!method) { /* --scale and --refine pass on what others have made */
        const char *kind = mpq_tsv_kind(t);
        const int is_default = tool && strcmp(tool, "mpq-score") == 0 &&
                               ((kind && strcmp(kind, "scores") == 0) ||
                                word_behind(options, "-t", "--types", &n));
        method = is_default ? "nsds" : mpq_tsv_name(t);
        return clean(method, strlen(method));
    }
    char *a = clean(task ? task : "", task ? n_task : 0), *b = clean(method, n);
    struct mpq_buf name = { 0 };
    mpq_buf_printf(&name, "%s%s%s", a && task ? a : "", task ? ":" : "", b ? b : "");
    free(a);
    free(b);
    if (name.failed || !a || !b) {
        mpq_buf_free(&name);
        return NULL;
    }
    return name.data;
}

/* Every task and metric of a probe that is asked for. */
static int
add_probe(struct job *j, struct mpq_tsv *t, struct mpq_pairs_how how,
          struct mpq_err *err)
{
    struct mpq_objective list[MPQ_MAX_OBJECTIVES];
    const size_t before = j->n;
    size_t n;

    if (mpq_objectives(&t, 1, list, &n, err) < 0)
        return -1;
    for (size_t i = 0; i < n; i++) {
        struct mpq_buf name = { 0 };
        if ((score.metrics && strcmp(score.metrics, list[i].metric) != 0) ||
            (score.tasks && strcmp(score.tasks, list[i].task) != 0))
            continue;
        how.task = list[i].task;
        how.metric = list[i].metric;
        mpq_buf_printf(&name, "%s:%s", how.task, how.metric);
        if (name.failed)
            return no_memory(err);
        if (add(j, t, &how, name.data, err) < 0)
            return -1;
    }
    if (j->n == before)
        return mpq_fail(err, MPQ_EDATA, "%s: no rows of that task and metric",
                        mpq_tsv_name(t));
    return 0;
}

static int
read_rankings(struct job *j, struct mpq_err *err)
{
    if (score_check_picks(&j->tables, err) < 0)
        return -1;
    for (size_t i = 0; i < j->tables.n; i++) {
        struct mpq_tsv *t = j->tables.all[i];
        struct mpq_pairs_how how = { .types = score.types, .n_types = score.n_types };
        how.kind = mpq_pairs_kind(t, err);
        if (how.kind < 0 ||
            (how.kind == MPQ_PAIRS_PROBE ? add_probe(j, t, how, err)
                                         : add(j, t, &how, method_of(t), err)) < 0)
            return -1;
    }
    if (j->n < 2)
        return mpq_fail(err, MPQ_EUSAGE, "--tau: one ranking: two are compared");
    return 0;
}

/* A figure, or nan where there is none. */
static void
add_figure(struct mpq_buf *text, double x)
{
    if (isnan(x))
        mpq_buf_adds(text, "\tnan");
    else
        mpq_buf_printf(text, "\t%.17g", x);
}

/* Appends the rows for two rankings, each ended by a line feed. */
static int
compare(const struct ranking *a, const struct ranking *b, struct mpq_buf *text,
        struct mpq_err *err)
{
    struct mpq_agree rows[MPQ_MAX_AGREE];
    size_t n;

    if (mpq_agree(&a->pairs, &b->pairs, rows, &n, err) < 0)
        return -1;
    for (size_t i = 0; i < n; i++) {
        mpq_buf_printf(text, "%s\t%s\t%zu", a->name, b->name, rows[i].n);
        add_figure(text, rows[i].tau.tau);
        add_figure(text, rows[i].tau.p);
        mpq_buf_printf(text, "\t%s\n", rows[i].type ? rows[i].type : ".");
    }
    return text->failed ? no_memory(err) : 0;
}

/* Every pair of rankings: all is computed before anything is written. */
static int
compare_all(const struct job *j, struct mpq_buf *text, struct mpq_err *err)
{
    for (size_t a = 0; a < j->n; a++)
        for (size_t b = a + 1; b < j->n; b++)
            if (compare(&j->rankings[a], &j->rankings[b], text, err) < 0)
                return -1;
    return 0;
}

/* The lines of the text JOB. */
static int
put_lines(const void *job, struct mpq_tsv_writer *w, struct mpq_err *err)
{
    if (mpq_tsv_columns(w, "a\tb\tn\ttau\tp\ttype", err) < 0)
        return -1;
    for (const char *line = job, *end; *line; line = end + 1) {
        end = strchr(line, '\n');
        if (mpq_tsv_row(w, err, "%.*s", (int)(end - line), line) < 0)
            return -1;
    }
    return 0;
}

int
score_tau(char **names, size_t n, struct mpq_err *err)
{
    struct job j = { 0 };
    struct mpq_buf text = { 0 };
    int rc = -1;

    if (score_read(&j.tables, names, n, NULL, err) < 0 || read_rankings(&j, err) < 0 ||
        compare_all(&j, &text, err) < 0)
        goto out;
    rc = cli_write_table("tau", score_model(&j.tables), put_lines, text.data, err);
out:
    mpq_buf_free(&text);
    close_job(&j);
    return rc;
}
