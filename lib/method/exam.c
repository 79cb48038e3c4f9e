/* Items to tokens. */
#include "method/exam.h"

#include "base/text.h"

#include <stdlib.h>
#include <string.h>

/* While a task is made ready. */
struct maker {
    struct mpq_exam *x;
    const struct mpq_tokenizer *tok;
    unsigned flags;
    size_t n_ctx;
    struct mpq_buf shots; /* put before each context */
    struct mpq_err *err;
};

static int
no_memory(const struct maker *m)
{
    return mpq_fail(m->err, MPQ_ENOMEM, "%s: out of memory", m->x->file.name);
}

static int
add_bos(const struct maker *m, struct mpq_tokens *out)
{
    const int64_t bos = mpq_tokenizer_bos(m->tok);

    if (!mpq_tokenizer_adds_bos(m->tok) || bos < 0)
        return 0;
    return mpq_tokens_add(out, (uint32_t)bos, m->err);
}

/* Appends BOS and the tokens of TEXT. */
static int
encode(const struct maker *m, const struct mpq_buf *text, struct mpq_tokens *out)
{
    if (text->failed)
        return no_memory(m);
    if (add_bos(m, out) < 0)
        return -1;
    return mpq_tokenizer_encode(m->tok, text->len ? text->data : "", text->len,
                                m->flags, m->x->file.name, out, m->err);
}

/* Cuts tokens [start, out->n) down to MOST from the left, BOS excepted. Returns how
 * many went. */
static size_t
cut(const struct maker *m, struct mpq_tokens *out, size_t start, size_t most)
{
    const size_t n = out->n - start;
    const size_t keep = mpq_tokenizer_adds_bos(m->tok) && n > 0 ? 1 : 0;

    if (n <= most)
        return 0;
    const size_t gone = n - most;
    memmove(out->ids + start + keep, out->ids + start + keep + gone,
            (most - keep) * sizeof *out->ids);
    out->n -= gone;
    return gone;
}

/* What a sum is divided by: the blank that parts a choice from the context is not the
 * choice's. */
static size_t
length_of(const char *choice)
{
    return strlen(choice) - (choice[0] == ' ' && choice[1] != '\0');
}

/* The query CONTEXT + CONTINUATION. Returns 1 when it had to be cut. */
static int
add_query(struct maker *m, const struct mpq_task_item *item,
          const struct mpq_buf *context, const char *continuation)
{
    struct mpq_exam *x = m->x;
    struct mpq_eval_query *q = &x->queries[x->n_queries];
    struct mpq_tokens alone = { 0 };
    struct mpq_buf whole = { 0 }, head = { 0 };
    size_t gone = 0;
    int rc = -1;

    mpq_buf_add(&head, context->data, mpq_text_trim(context->data, context->len));
    mpq_buf_add(&whole, context->data, context->len);
    mpq_buf_adds(&whole, continuation);
    q->start = x->tokens.n;
    if (encode(m, &head, &alone) < 0 || encode(m, &whole, &x->tokens) < 0)
        goto out;
    if (alone.n == 0 || x->tokens.n - q->start <= alone.n) {
        mpq_fail(m->err, MPQ_EDATA, "%s:%zu: %s without a token of its own",
                 x->file.name, item->line, alone.n ? "a continuation" : "a context");
        goto out;
    }
    const size_t scored = x->tokens.n - q->start - alone.n;
    if (m->n_ctx > 0) { /* the last token is predicted, not read */
        if (scored >= m->n_ctx) {
            mpq_fail(m->err, MPQ_EDATA,
                     "%s:%zu: a continuation of %zu tokens, the model's context is %zu",
                     x->file.name, item->line, scored, m->n_ctx);
            goto out;
        }
        gone = cut(m, &x->tokens, q->start, m->n_ctx + 1);
    }
    q->end = x->tokens.n;
    q->scored = q->end - scored;
    x->bytes[x->n_queries++] = length_of(continuation);
    rc = gone > 0;
out:
    mpq_tokens_free(&alone);
    mpq_buf_free(&whole);
    mpq_buf_free(&head);
    return rc;
}

/* The choices of an item, or its one answer. Returns 1 when something was cut. */
static int
add_queries(struct maker *m, const struct mpq_task_item *item,
            const struct mpq_buf *context)
{
    struct mpq_buf with = { 0 };
    int any = 0, rc = 0;

    if (m->x->file.kind == MPQ_TASK_GENERATE)
        return add_query(m, item, context, item->answer);
    for (size_t i = 0; rc >= 0 && i < item->n_choices; i++) {
        const size_t from = item->score_from[i];
        with.len = 0;
        mpq_buf_add(&with, context->data, context->len);
        mpq_buf_add(&with, item->choices[i], from);
        rc = with.failed ? no_memory(m)
                         : add_query(m, item, &with, item->choices[i] + from);
        any |= rc > 0;
    }
    mpq_buf_free(&with);
    return rc < 0 ? -1 : any;
}

static int
add_prompt(struct maker *m, const struct mpq_task_item *item,
           const struct mpq_buf *context, size_t i)
{
    struct mpq_exam *x = m->x;
    const size_t max_new = mpq_matcher_max_new(x->matcher);
    size_t gone = 0;

    if (encode(m, context, &x->prompts) < 0)
        return -1;
    if (x->prompts.n == x->prompt_start[i])
        return mpq_fail(m->err, MPQ_EDATA, "%s:%zu: a context without a token",
                        x->file.name, item->line);
    if (m->n_ctx > 0) {
        if (max_new + 2 > m->n_ctx)
            return mpq_fail(
                m->err, MPQ_EDATA,
                "%s: %zu tokens to be generated, the model's context is %zu",
                x->file.name, max_new, m->n_ctx);
        gone = cut(m, &x->prompts, x->prompt_start[i], m->n_ctx - max_new);
    }
    x->prompt_start[i + 1] = x->prompts.n;
    return gone > 0;
}

static int
add_item(struct maker *m, size_t i)
{
    const struct mpq_task_item *item = &m->x->file.items[i];
    struct mpq_exam *x = m->x;
    struct mpq_buf context = { 0 };
    int cut_query = 0, cut_prompt = 0, rc = -1;

    if (m->shots.len > 0)
        mpq_buf_add(&context, m->shots.data, m->shots.len);
    if (mpq_task_fill(x->task->template_text, item, x->file.name, &context, m->err) < 0)
        goto out;
    if (x->metrics & ~(unsigned)MPQ_TASK_EM)
        cut_query = add_queries(m, item, &context);
    if (cut_query >= 0 && (x->metrics & MPQ_TASK_EM))
        cut_prompt = add_prompt(m, item, &context, i);
    if (cut_query < 0 || cut_prompt < 0)
        goto out;
    x->first[i + 1] = x->n_queries;
    x->n_cut += cut_query || cut_prompt;
    rc = 0;
out:
    mpq_buf_free(&context);
    return rc;
}

/* The solved examples. */
static int
take_shots(struct maker *m, const struct mpq_task_file *shots)
{
    const struct mpq_task *t = m->x->task;

    if (shots->n < t->shots)
        return mpq_fail(m->err, MPQ_EDATA, "%s: %zu items, %s wants %zu shots",
                        shots->name, shots->n, t->place, t->shots);
    for (size_t i = 0; i < t->shots; i++) {
        const struct mpq_task_item *item = &shots->items[i];
        if (mpq_task_fill(t->template_text, item, shots->name, &m->shots, m->err) < 0)
            return -1;
        mpq_buf_adds(&m->shots, shots->kind == MPQ_TASK_CHOICE
                                    ? item->choices[item->right]
                                    : item->answer);
        mpq_buf_adds(&m->shots, "\n\n");
    }
    return m->shots.failed ? no_memory(m) : 0;
}

/* Of the metrics wanted those that this kind has. */
static int
choose_metrics(struct mpq_exam *x, unsigned wanted, struct mpq_err *err)
{
    const unsigned all =
        x->file.kind == MPQ_TASK_CHOICE
            ? MPQ_TASK_ACC | MPQ_TASK_ACC_NORM | MPQ_TASK_LOSS | MPQ_TASK_KLD
            : MPQ_TASK_LOSS | MPQ_TASK_EM | MPQ_TASK_KLD;

    if (x->task->metrics & ~all)
        return mpq_fail(err, MPQ_EDATA, "%s: a metric that %s tasks do not have",
                        x->task->place,
                        x->file.kind == MPQ_TASK_CHOICE ? "choice" : "generate");
    x->metrics = (x->task->metrics ? x->task->metrics : all) & wanted;
    return 0;
}

static int
allocate(struct mpq_exam *x, struct mpq_err *err)
{
    size_t n = 0;

    for (size_t i = 0; i < x->file.n; i++)
        n += x->file.kind == MPQ_TASK_CHOICE ? x->file.items[i].n_choices : 1;
    x->queries = mpq_array(n, sizeof *x->queries);
    x->bytes = mpq_array(n, sizeof *x->bytes);
    x->first = mpq_array(x->file.n + 1, sizeof *x->first);
    x->prompt_start = mpq_array(x->file.n + 1, sizeof *x->prompt_start);
    if (!x->queries || !x->bytes || !x->first || !x->prompt_start)
        return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", x->file.name);
    return 0;
}

int
mpq_exam_new(struct mpq_exam *x, const struct mpq_task *t, struct mpq_task_file *file,
             const struct mpq_task_file *shots, const struct mpq_tokenizer *tok,
             unsigned flags, unsigned wanted, size_t n_ctx, struct mpq_err *err)
{
    struct maker m = { .x = x, .tok = tok, .flags = flags, .n_ctx = n_ctx, .err = err };
    int rc = -1;

    *x = (struct mpq_exam){ .task = t, .file = *file };
    *file = (struct mpq_task_file){ 0 };
    if (choose_metrics(x, wanted, err) < 0 || allocate(x, err) < 0 ||
        (x->file.kind == MPQ_TASK_GENERATE &&
         mpq_matcher_new(&x->matcher, t, &x->file, err) < 0) ||
        (shots && take_shots(&m, shots) < 0))
        goto out;
    for (size_t i = 0; i < x->file.n; i++)
        if (add_item(&m, i) < 0)
            goto out;
    rc = 0;
out:
    mpq_buf_free(&m.shots);
    if (rc < 0)
        mpq_exam_free(x);
    return rc;
}

void
mpq_exam_free(struct mpq_exam *x)
{
    mpq_task_file_free(&x->file);
    mpq_matcher_free(x->matcher);
    mpq_tokens_free(&x->tokens);
    mpq_tokens_free(&x->prompts);
    free(x->queries);
    free(x->first);
    free(x->bytes);
    free(x->prompt_start);
    *x = (struct mpq_exam){ 0 };
}
