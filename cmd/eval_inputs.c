/* mpq-eval: models, texts, tasks and references. */
#include "eval_own.h"

#include "fmt/escape.h"
#include "model/text_file.h"

#include <inttypes.h>
#include <string.h>

static int
open_side(struct ev_side *s, const char *path, struct mpq_err *err)
{
    if (mpq_source_open(&s->source, path, ev.config, err) < 0 ||
        mpq_tokenizer_new(&s->tok, s->source, err) < 0)
        return -1;
    if (ev.show_tokens)
        return 0;
    if (mpq_forward_new(&s->forward, s->source, (unsigned)cli.threads, err) < 0)
        return -1;
    mpq_forward_int8(s->forward, ev.int8);
    return 0;
}

static int
check_vocabulary(const struct ev_side *model, const struct ev_side *ref,
                 struct mpq_err *err)
{
    char a[17], b[17];

    mpq_tokenizer_checksum(model->tok, a);
    mpq_tokenizer_checksum(ref->tok, b);
    if (strcmp(a, b) == 0)
        return 0;
    return mpq_fail(err, MPQ_EDATA,
                    "%s: vocabulary %s of %zu tokens, that of %s is %s of %zu",
                    mpq_source_name(ref->source), b, mpq_tokenizer_count(ref->tok),
                    mpq_source_name(model->source), a, mpq_tokenizer_count(model->tok));
}

static unsigned
token_flags(void)
{
    return ev.parse_special ? MPQ_TOKENS_PARSE_SPECIAL : 0;
}

static void
set_id(struct ev_text *t, const struct ev_job *j)
{
    const size_t n = (t->plan.n_chunks - 1) * t->plan.step + t->plan.ctx;

    mpq_text_checksum(t->tokens.ids, n, mpq_text_bos(j->model.tok), t->id);
}

/* A name as a cell of the tables: NAME, or NULL, becomes a copy that lives as long as
 * J. */
static int
escape_name(struct ev_job *j, const char **name, struct mpq_err *err)
{
    struct mpq_buf cell = { 0 };

    if (*name)
        mpq_escape(&cell, *name, strlen(*name));
    *name = *name && !cell.failed
                ? mpq_pool_strndup(&j->strings, cell.len ? cell.data : "", cell.len)
                : NULL;
    mpq_buf_free(&cell);
    return *name ? 0 : ev_no_memory(err);
}

static int
read_text(struct ev_job *j, size_t i, struct mpq_err *err)
{
    const char *path = ev.texts.items[i];
    struct ev_text *t = &j->texts[i];

    t->name = mpq_task_base_name(&j->strings, path);
    if (escape_name(j, &t->name, err) < 0)
        return -1;
    if (mpq_text_open(&t->tokens, path, j->model.tok, token_flags(), err) < 0)
        return -1;
    if (ev.show_tokens)
        return 0;
    if (mpq_ppl_plan(&t->plan, t->tokens.n, (size_t)ev.ctx, (size_t)ev.stride,
                     (size_t)ev.chunks, strcmp(path, "-") ? path : "standard input",
                     err) < 0)
        return -1;
    set_id(t, j);
    return 0;
}

static int
read_task(struct ev_job *j, size_t i, struct mpq_err *err)
{
    const struct mpq_task *t = &j->tasks.tasks[i];
    const size_t most =
        ev.limit && (!t->limit || ev.limit < t->limit) ? (size_t)ev.limit : t->limit;
    const unsigned alone = ev.ref || ev.each ? 0 : MPQ_METRIC_KLD;
    struct mpq_task_file file, shots = { 0 };
    int rc = -1;

    if (mpq_task_file_open(&file, t->file, t->kind, most, err) < 0)
        return -1;
    if (t->shots &&
        mpq_task_file_open(&shots, t->shots_from, file.kind, t->shots, err) < 0) {
        mpq_task_file_free(&file);
        return -1;
    }
    rc = mpq_exam_new(&j->exams[i], t, &file, t->shots ? &shots : NULL, j->model.tok,
                      token_flags(), mpq_report_task_metrics(j->metrics & ~alone),
                      mpq_forward_net(j->model.forward)->n_ctx, err);
    if (rc == 0 && j->exams[i].n_cut)
        cli_note("%s: %zu of %zu items cut at their beginning to the model's context",
                 t->name, j->exams[i].n_cut, j->exams[i].file.n);
    mpq_task_file_free(&shots);
    return rc;
}

/* Names are what rows are found by. */
static int
check_names(const struct ev_job *j, struct mpq_err *err)
{
    const size_t n = ev.texts.n + j->tasks.n;

    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < i; k++) {
            const char *a =
                i < ev.texts.n ? j->texts[i].name : j->tasks.tasks[i - ev.texts.n].name;
            const char *b =
                k < ev.texts.n ? j->texts[k].name : j->tasks.tasks[k - ev.texts.n].name;
            if (strcmp(a, b) == 0)
                return mpq_fail(err, MPQ_EUSAGE, "two texts or tasks are called '%s'",
                                a);
        }
    return 0;
}

/* A chunk must not be longer than what the models were trained on. */
static int
check_context(const struct ev_side *s, struct mpq_err *err)
{
    const size_t most = s->forward ? mpq_forward_net(s->forward)->n_ctx : 0;

    if (most == 0 || ev.ctx <= most || ev.texts.n == 0)
        return 0;
    return mpq_fail(err, MPQ_EDATA,
                    "%s: chunks of %" PRIu64 " tokens, the model's context is %zu",
                    mpq_source_name(s->source), ev.ctx, most);
}

static int
open_known(struct ev_job *j, struct mpq_err *err)
{
    struct mpq_reference *r = &j->known;
    char vocab[17];

    mpq_tokenizer_checksum(j->model.tok, vocab);
    if (mpq_reference_open(r, ev.load, vocab,
                           mpq_forward_net(j->model.forward)->n_vocab, err) < 0)
        return -1;
    if ((cli_given("ctx") && ev.ctx != r->ctx) ||
        (cli_given("stride") && ev.stride != r->stride))
        return mpq_fail(err, MPQ_EDATA,
                        "%s: made with --ctx %" PRIu64 " --stride %" PRIu64
                        ", not %" PRIu64 " and %" PRIu64,
                        ev.load, r->ctx, r->stride, ev.ctx, ev.stride);
    ev.ctx = r->ctx;
    ev.stride = r->stride;
    if (ev.ctx < 4 || ev.ctx > 1 << 20 || ev.stride >= ev.ctx)
        return mpq_fail(err, MPQ_EDATA, "%s: chunks of %" PRIu64 " tokens", ev.load,
                        ev.ctx);
    return 0;
}

/* The saved reference of text T, of its first chunks if there are fewer and --chunks
 * does not say how many. */
static int
find_known(struct ev_job *j, struct ev_text *t, struct mpq_err *err)
{
    const size_t n_chunks = t->plan.n_chunks;

    for (size_t i = 0; i < j->known.n_texts; i++) {
        const struct mpq_reference_text *r = &j->known.texts[i];
        if (r->n_chunks == 0 || r->n_chunks > n_chunks)
            continue;
        t->plan.n_chunks = ev.chunks ? n_chunks : (size_t)r->n_chunks;
        set_id(t, j);
        if (strcmp(t->id, r->id) == 0 &&
            r->saved.n == t->plan.n_chunks * t->plan.n_scored) {
            t->known = &r->saved;
            return 0;
        }
    }
    t->plan.n_chunks = n_chunks;
    set_id(t, j);
    return mpq_fail(err, MPQ_EDATA,
                    "%s: made from %s (%s, %" PRIu64 " chunks), not from %s (%s, %zu)",
                    ev.load, j->known.n_texts ? j->known.texts[0].name : "no text",
                    j->known.n_texts ? j->known.texts[0].id : "-",
                    j->known.n_texts ? j->known.texts[0].n_chunks : 0, t->name, t->id,
                    n_chunks);
}

/* FILE, which a list of tasks names, is not to be written. */
static void
refuse_as_output(const char *file)
{
    cli_refuse_input_of("-o", cli.output, file);
    cli_refuse_input_of("--save-ref", ev.save, file);
    cli_refuse_input_of("--resume", ev.resume, file);
}

int
ev_read_inputs(struct ev_job *j, const char *model, struct mpq_err *err)
{
    if (open_side(&j->model, model, err) < 0)
        return -1;
    if (ev.ref && !ev.show_tokens &&
        (open_side(&j->ref, ev.ref, err) < 0 ||
         check_vocabulary(&j->model, &j->ref, err) < 0))
        return -1;
    if (ev.load && !ev.show_tokens && open_known(j, err) < 0)
        return -1;
    if (check_context(&j->model, err) < 0 || check_context(&j->ref, err) < 0)
        return -1;
    j->texts = mpq_array(ev.texts.n, sizeof *j->texts);
    if (!j->texts)
        return ev_no_memory(err);
    for (size_t i = 0; i < ev.texts.n; i++)
        if (read_text(j, i, err) < 0 ||
            (ev.load && !ev.show_tokens && find_known(j, &j->texts[i], err) < 0))
            return -1;
    for (size_t i = 0; i < ev.tasks.n && !ev.show_tokens; i++)
        if (mpq_task_list_add(&j->tasks, ev.tasks.items[i], err) < 0)
            return -1;
    j->exams = mpq_array(j->tasks.n, sizeof *j->exams);
    if (!j->exams)
        return ev_no_memory(err);
    for (size_t i = 0; i < j->tasks.n; i++) {
        struct mpq_task *t = &j->tasks.tasks[i];
        refuse_as_output(t->file);
        refuse_as_output(t->shots_from);
        if (escape_name(j, &t->name, err) < 0 || read_task(j, i, err) < 0)
            return -1;
    }
    return check_names(j, err);
}
