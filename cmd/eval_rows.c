/* mpq-eval: what it writes. */
#include "eval_own.h"

#include "fmt/escape.h"
#include "model/text_file.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int
put_tokens(struct ev_job *j, struct mpq_err *err)
{
    struct mpq_buf piece = { 0 };
    int rc = mpq_tsv_columns(&j->w, "text\tposition\tid\tpiece", err);

    for (size_t i = 0; rc == 0 && i < ev.texts.n; i++)
        for (size_t k = 0; rc == 0 && k < j->texts[i].tokens.n; k++) {
            const uint32_t id = j->texts[i].tokens.ids[k];
            size_t n;
            const char *bytes = mpq_tokenizer_piece(j->model.tok, id, &n);
            piece.len = 0;
            mpq_escape(&piece, bytes, n);
            rc = piece.failed
                     ? ev_no_memory(err)
                     : mpq_tsv_row(&j->w, err, "%s\t%zu\t%" PRIu32 "\t%s",
                                   j->texts[i].name, k, id, n ? piece.data : "");
        }
    mpq_buf_free(&piece);
    return rc;
}

/* One row; ITEM and ANSWER stand in columns of their own under --per-item. */
static int
put_row(struct ev_job *j, const char *task, const char *metric, struct mpq_figure f,
        const char *item, const char *answer, struct mpq_err *err)
{
    struct mpq_buf tail = { 0 };

    if (ev.per_item) {
        mpq_buf_adds(&tail, "\t");
        mpq_escape(&tail, item, strlen(item));
        mpq_buf_adds(&tail, "\t");
        mpq_escape(&tail, answer, strlen(answer));
    }
    int rc = tail.failed ? ev_no_memory(err)
                         : mpq_tsv_row(&j->w, err, "%s\t%s\t%s\t%.17g\t%.17g\t%zu%s",
                                       j->name.data, task, metric, f.value, f.se, f.n,
                                       ev.per_item ? tail.data : "");
    mpq_buf_free(&tail);
    return rc;
}

/* The rows of a whole text or task, at once on their way. */
static int
put_report(struct ev_job *j, const char *task, const struct mpq_report_row *rows,
           size_t n, struct mpq_err *err)
{
    for (size_t i = 0; i < n; i++)
        if (put_row(j, task, rows[i].metric, rows[i].figure, ".", ".", err) < 0)
            return -1;
    return mpq_out_flush(j->out, err);
}

/* A row a chunk and metric. */
static int
put_chunks(struct ev_job *j, const struct ev_text *t, const struct mpq_text_marks *m,
           struct mpq_err *err)
{
    const size_t n = t->plan.n_scored;
    struct mpq_report_row rows[MPQ_REPORT_MAX];
    char item[24];

    for (size_t c = 0; ev.per_item && c < t->plan.n_chunks; c++) {
        const struct mpq_text_marks part = {
            .n = n,
            .nll = m->nll + c * n,
            .nll_ref = m->nll_ref ? m->nll_ref + c * n : NULL,
            .kld = m->kld ? m->kld + c * n : NULL,
            .same = m->same ? m->same + c * n : NULL,
        };
        const size_t n_rows = mpq_report_text(&part, j->metrics, rows);
        snprintf(item, sizeof item, "%zu", c);
        for (size_t i = 0; i < n_rows; i++)
            if (put_row(j, t->name, rows[i].metric, rows[i].figure, item, ".", err) < 0)
                return -1;
    }
    return 0;
}

/* No more than there are. */
static uint64_t
top_k(const struct ev_job *j)
{
    const uint64_t n_vocab = mpq_forward_net(j->model.forward)->n_vocab;

    return ev.top_k < n_vocab ? ev.top_k : n_vocab;
}

static int
measure_text(struct ev_job *j, const struct ev_text *t, struct mpq_err *err)
{
    const size_t n = t->plan.n_chunks * t->plan.n_scored;
    const int with_ref = j->eval.ref || t->known;
    double *nll = mpq_array(n, sizeof *nll), *nll_ref = mpq_array(n, sizeof *nll_ref);
    double *kld = mpq_array(n, sizeof *kld);
    unsigned char *same = mpq_array(n, 1);
    struct mpq_saved saved = { 0 };
    struct mpq_report_row rows[MPQ_REPORT_MAX];
    int rc = -1;

    if (!nll || !nll_ref || !kld || !same) {
        ev_no_memory(err);
        goto out;
    }
    if (j->save && mpq_saved_new(&saved, n, (size_t)top_k(j), err) < 0)
        goto out;
    const struct mpq_eval_scores scores = {
        .logp = nll,
        .logp_ref = with_ref ? nll_ref : NULL,
        .kld = with_ref && (j->metrics & MPQ_METRIC_KLD) ? kld : NULL,
        .same = with_ref && (j->metrics & MPQ_METRIC_TOP1) ? same : NULL,
        .save = j->save ? &saved : NULL,
        .known = t->known,
    };
    if (mpq_eval_text(&j->eval, &t->plan, t->tokens.ids, mpq_text_bos(j->model.tok),
                      &scores, err) < 0 ||
        (j->save && mpq_reference_put(j->save, &saved, err) < 0))
        goto out;
    for (size_t i = 0; i < n; i++) {
        nll[i] = -nll[i];
        nll_ref[i] = -nll_ref[i];
    }
    const struct mpq_text_marks marks = { n, nll, scores.logp_ref, scores.kld,
                                          scores.same };
    if (put_chunks(j, t, &marks, err) < 0)
        goto out;
    rc = put_report(j, t->name, rows, mpq_report_text(&marks, j->metrics, rows), err);
out:
    free(nll);
    free(nll_ref);
    free(kld);
    free(same);
    mpq_saved_free(&saved);
    return rc;
}

/* A row an item and metric; picks are indices of choices. */
static int
put_items(struct ev_job *j, const struct mpq_exam *x, const struct mpq_marks *m,
          struct mpq_err *err)
{
    enum { VALUES = 5, ALL = 7 };
    static const char *const names[2][ALL] = {
        { "acc", "acc_norm", "em", "loss", "kld", "pick", "pick_norm" },
        { "acc_ref", "acc_norm_ref", "em_ref", "loss_ref", NULL, "pick_ref",
          "pick_norm_ref" },
    };
    const unsigned on = j->metrics;

    for (size_t i = 0; ev.per_item && i < m->n; i++)
        for (int s = 0; s < 2; s++) {
            const double *values[] = { on & MPQ_METRIC_ACC ? m->acc[s] : NULL,
                                       on & MPQ_METRIC_ACC_NORM ? m->acc_norm[s] : NULL,
                                       m->em[s], m->loss[s],
                                       s == 0 ? m->kld[s] : NULL };
            const size_t *picks[] = { values[0] ? m->pick[s] : NULL,
                                      values[1] ? m->pick_norm[s] : NULL };
            for (size_t v = 0; v < ALL; v++) {
                const int of_tokens = v == 3 || v == 4;
                struct mpq_figure f = { .n = of_tokens ? m->n_tokens[i] : 1 };
                if (v < VALUES ? !values[v] : !picks[v - VALUES])
                    continue;
                f.value = v < VALUES ? values[v][i] : (double)picks[v - VALUES][i];
                if (put_row(j, x->task->name, names[s][v], f, x->file.items[i].id,
                            v == 2 ? m->text[s][i] : ".", err) < 0)
                    return -1;
            }
        }
    return 0;
}

static int
measure_task(struct ev_job *j, const struct mpq_exam *x, struct mpq_err *err)
{
    struct mpq_report_row rows[MPQ_REPORT_MAX];
    struct mpq_marks marks;

    if (x->metrics == 0)
        return 0;
    if (mpq_exam_run(&marks, x, &j->eval, j->model.tok, err) < 0)
        return -1;
    int rc = put_items(j, x, &marks, err);
    if (rc == 0)
        rc = put_report(j, x->task->name, rows,
                        mpq_report_task(&marks, j->metrics, rows), err);
    mpq_marks_free(&marks);
    return rc;
}

static void
count_tokens(void *ctx_, uint64_t n)
{
    cli_bar_add(ctx_, n);
}

int
ev_put_inputs(struct ev_job *j, struct mpq_err *err)
{
    char id[MPQ_ID_SIZE];

    if (mpq_source_id(j->model.source, id, err) < 0 ||
        mpq_tsv_put_meta(&j->w, err, "model id=%s name=%s", id, j->name.data) < 0)
        return -1;
    if (j->ref.source &&
        (mpq_source_id(j->ref.source, id, err) < 0 ||
         mpq_tsv_put_meta(&j->w, err, "ref id=%s name=%s", id,
                          mpq_source_hparams(j->ref.source)->name) < 0))
        return -1;
    if (ev.load && mpq_tsv_put_meta(&j->w, err, "ref id=%s top_k=%" PRIu64 " name=%s",
                                    j->known.model_id, j->known.k, j->known.model) < 0)
        return -1;
    for (size_t i = 0; i < ev.texts.n; i++) {
        const struct ev_text *t = &j->texts[i];
        if (mpq_tsv_put_meta(&j->w, err,
                             "text id=%s tokens=%zu ctx=%zu stride=%" PRIu64
                             " chunks=%zu scored=%zu name=%s",
                             t->id, t->tokens.n, t->plan.ctx, ev.stride,
                             t->plan.n_chunks, t->plan.n_chunks * t->plan.n_scored,
                             t->name) < 0)
            return -1;
    }
    for (size_t i = 0; i < j->tasks.n; i++)
        if (mpq_tsv_put_meta(&j->w, err,
                             "task id=%016" PRIx64 " items=%zu cut=%zu name=%s",
                             mpq_exam_sum(&j->exams[i]), j->exams[i].file.n,
                             j->exams[i].n_cut, j->exams[i].task->name) < 0)
            return -1;
    return 0;
}

static int
begin_save(struct ev_job *j, struct mpq_err *err)
{
    char vocab[17], id[MPQ_ID_SIZE];
    struct mpq_reference r = { .model = j->name.data,
                               .model_id = id,
                               .vocab = vocab,
                               .ctx = ev.ctx,
                               .stride = ev.stride,
                               .k = top_k(j),
                               .n_texts = ev.texts.n };
    int rc = -1;

    mpq_tokenizer_checksum(j->model.tok, vocab);
    r.texts = mpq_array(r.n_texts, sizeof *r.texts);
    if (!r.texts)
        return ev_no_memory(err);
    for (size_t i = 0; i < r.n_texts; i++) {
        const struct ev_text *t = &j->texts[i];
        r.texts[i] = (struct mpq_reference_text){
            .name = t->name,
            .n_chunks = t->plan.n_chunks,
            .saved = { .n = t->plan.n_chunks * t->plan.n_scored, .k = top_k(j) },
        };
        memcpy(r.texts[i].id, t->id, sizeof t->id);
    }
    if (mpq_source_id(j->model.source, id, err) == 0 &&
        mpq_out_open(&j->save, ev.save, err) == 0)
        rc = mpq_reference_begin(j->save, &r, err);
    free(r.texts);
    return rc;
}

static int
measure(struct ev_job *j, struct mpq_err *err)
{
    uint64_t tokens = 0;
    int rc = 0;

    for (size_t i = 0; i < ev.texts.n; i++)
        tokens += j->texts[i].plan.n_chunks * (j->texts[i].plan.ctx - 1);
    for (size_t i = 0; i < j->tasks.n; i++)
        tokens += mpq_exam_tokens(&j->exams[i]);
    j->bar = cli_bar_new("evaluation", tokens * (j->ref.forward ? 2 : 1), "tokens");
    j->eval = (struct mpq_eval){ .model = j->model.forward,
                                 .ref = j->ref.forward,
                                 .max_bytes = (size_t)ev.max_bytes,
                                 .progress = count_tokens,
                                 .ctx = j->bar };
    for (size_t i = 0; rc == 0 && i < ev.texts.n; i++)
        rc = measure_text(j, &j->texts[i], err);
    for (size_t i = 0; rc == 0 && i < j->tasks.n; i++)
        rc = measure_task(j, &j->exams[i], err);
    return rc;
}

int
ev_name(struct ev_job *j, struct mpq_err *err)
{
    const char *name = ev.name ? ev.name : mpq_source_hparams(j->model.source)->name;

    mpq_escape(&j->name, *name ? name : ".", *name ? strlen(name) : 1);
    return j->name.failed ? ev_no_memory(err) : 0;
}

/* Metrics that were asked for and that nothing given has would be an empty table. */
static int
check_metrics(const struct ev_job *j, struct mpq_err *err)
{
    const unsigned alone = MPQ_METRIC_PPL | MPQ_METRIC_NLL;
    const unsigned beside = MPQ_METRIC_KLD | MPQ_METRIC_TOP1 | MPQ_METRIC_DP;
    const unsigned of_texts = alone | (ev.ref || ev.load ? beside : 0);
    int there = ev.save || (ev.texts.n && (j->metrics & of_texts));

    for (size_t i = 0; i < j->tasks.n; i++)
        there |= j->exams[i].metrics != 0;
    if (there || !ev.only)
        return 0;
    return mpq_fail(
        err, MPQ_EUSAGE,
        "--only %s: nothing to measure: ppl and nll are of -x TEXT; top1 and dp of a"
        " text beside --ref or --load-ref, kld so too, and of -k FILE beside --ref; the"
        " others of -k FILE, choices or answers",
        ev.only);
}

int
ev_write(struct ev_job *j, struct mpq_err *err)
{
    if ((!ev.show_tokens && check_metrics(j, err) < 0) ||
        cli_open_output(&j->out, 0, err) < 0 ||
        cli_begin_table(&j->w, j->out, ev.show_tokens ? "tokens" : "eval", j->name.data,
                        err) < 0)
        return -1;
    if (ev.show_tokens)
        return put_tokens(j, err);
    if (ev_put_inputs(j, err) < 0 || (ev.save && begin_save(j, err) < 0) ||
        mpq_tsv_columns(&j->w,
                        ev.per_item
                            ? "model\ttask\tmetric\tvalue\tstderr\tn\titem\tanswer"
                            : "model\ttask\tmetric\tvalue\tstderr\tn",
                        err) < 0)
        return -1;
    return measure(j, err);
}
