/* What models make of the items. */
#include "method/exam_own.h"

#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

struct mpq_eval_queries
mpq_exam_queries(const struct mpq_exam *x)
{
    return (struct mpq_eval_queries){ x->n_queries ? x->file.n : 0, x->first,
                                      x->queries, x->tokens.ids };
}

uint64_t
mpq_exam_tokens(const struct mpq_exam *x)
{
    const struct mpq_eval_queries q = mpq_exam_queries(x);

    return mpq_eval_continuations_tokens(&q) + x->prompts.n;
}

static uint64_t
add_text(uint64_t sum, const char *text)
{
    return text ? mpq_hash64(text, strlen(text) + 1, sum) : sum;
}

/* How generated text is held against the answers. */
static uint64_t
add_match(uint64_t sum, const struct mpq_task *t)
{
    const uint64_t numbers[] = { (uint64_t)t->match, t->max_new, t->n_stop };

    sum = mpq_hash64(numbers, sizeof numbers, sum);
    for (size_t i = 0; i < t->n_stop; i++)
        sum = add_text(sum, t->stop[i]);
    return add_text(sum, t->pattern);
}

uint64_t
mpq_exam_sum(const struct mpq_exam *x)
{
    const int em = (x->metrics & MPQ_TASK_EM) != 0;
    uint64_t sum = mpq_hash64(x->tokens.ids, x->tokens.n * sizeof *x->tokens.ids, 0);

    sum = mpq_hash64(x->prompts.ids, x->prompts.n * sizeof *x->prompts.ids, sum);
    for (size_t i = 0; i < x->file.n; i++) {
        const struct mpq_task_item *item = &x->file.items[i];
        const uint64_t right = item->right;
        sum = mpq_hash64(&right, sizeof right, sum);
        sum = add_text(sum, item->gold);
        for (size_t k = 0; em && k < item->n_aliases; k++)
            sum = add_text(sum, item->aliases[k]);
    }
    return em ? add_match(sum, x->task) : sum;
}

int
mpq_marks_new(struct mpq_marks *m, const struct mpq_exam *x, int sides,
              struct mpq_err *err)
{
    const size_t n = x->file.n;
    const int choice = x->file.kind == MPQ_TASK_CHOICE && x->n_queries > 0;
    int ok;

    *m = (struct mpq_marks){ .n = n, .n_tokens = mpq_array(n, sizeof *m->n_tokens) };
    ok = m->n_tokens != NULL;
    for (int s = 0; s < sides; s++) {
        if (x->metrics & MPQ_TASK_LOSS)
            ok &= (m->loss[s] = mpq_array(n, sizeof(double))) != NULL;
        if ((x->metrics & MPQ_TASK_KLD) && sides == 2)
            ok &= (m->kld[s] = mpq_array(n, sizeof(double))) != NULL;
        if (x->metrics & MPQ_TASK_EM) {
            ok &= (m->em[s] = mpq_array(n, sizeof(double))) != NULL;
            ok &= (m->text[s] = mpq_array(n, sizeof(char *))) != NULL;
        }
        if (choice) {
            if (x->metrics & MPQ_TASK_ACC)
                ok &= (m->acc[s] = mpq_array(n, sizeof(double))) != NULL;
            if (x->metrics & MPQ_TASK_ACC_NORM)
                ok &= (m->acc_norm[s] = mpq_array(n, sizeof(double))) != NULL;
            ok &= (m->pick[s] = mpq_array(n, sizeof(size_t))) != NULL;
            ok &= (m->pick_norm[s] = mpq_array(n, sizeof(size_t))) != NULL;
        }
    }
    return ok ? 0 : mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", x->file.name);
}

void
mpq_marks_free(struct mpq_marks *m)
{
    for (int s = 0; s < 2; s++) {
        for (size_t i = 0; m->text[s] && i < m->n; i++)
            free(m->text[s][i]);
        free(m->text[s]);
        free(m->acc[s]);
        free(m->acc_norm[s]);
        free(m->em[s]);
        free(m->loss[s]);
        free(m->kld[s]);
        free(m->pick[s]);
        free(m->pick_norm[s]);
    }
    free(m->n_tokens);
    *m = (struct mpq_marks){ 0 };
}

void
mpq_exam_mark(struct mpq_marks *m, const struct mpq_exam *x, int s, const double *logp,
              const double *kld)
{
    for (size_t i = 0; i < x->file.n; i++) {
        const size_t first = x->first[i], n = x->first[i + 1] - first;
        const size_t right = m->pick[s] ? x->file.items[i].right : 0;
        const struct mpq_eval_query *q = &x->queries[first + right];
        m->n_tokens[i] = q->end - q->scored;
        if (m->loss[s])
            m->loss[s][i] = -logp[first + right] / (double)m->n_tokens[i];
        if (m->kld[s] && kld)
            m->kld[s][i] = kld[first + right] / (double)m->n_tokens[i];
        if (!m->pick[s])
            continue;
        m->pick[s][i] = m->pick_norm[s][i] = 0;
        for (size_t c = 1; c < n; c++) {
            const double *sum = logp + first;
            const size_t *bytes = x->bytes + first;
            const size_t best = m->pick_norm[s][i];
            if (sum[c] > sum[m->pick[s][i]])
                m->pick[s][i] = c;
            if (sum[c] / (double)bytes[c] > sum[best] / (double)bytes[best])
                m->pick_norm[s][i] = c;
        }
        if (m->acc[s])
            m->acc[s][i] = m->pick[s][i] == right;
        if (m->acc_norm[s])
            m->acc_norm[s][i] = m->pick_norm[s][i] == right;
    }
}

static int
run_queries(struct mpq_marks *m, const struct mpq_exam *x, const struct mpq_eval *e,
            struct mpq_err *err)
{
    const struct mpq_eval_queries q = mpq_exam_queries(x);
    const struct mpq_eval_sums sums = {
        .logp = mpq_array(x->n_queries, sizeof(double)),
        .logp_ref = mpq_array(x->n_queries, sizeof(double)),
        .kld = m->kld[0] ? mpq_array(x->n_queries, sizeof(double)) : NULL,
    };
    int rc = -1;

    if (!sums.logp || !sums.logp_ref || (m->kld[0] && !sums.kld))
        mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", x->file.name);
    else
        rc = mpq_eval_continuations(e, &q, &sums, err);
    if (rc == 0) {
        mpq_exam_mark(m, x, 0, sums.logp, sums.kld);
        if (e->ref)
            mpq_exam_mark(m, x, 1, sums.logp_ref, NULL);
    }
    free(sums.logp);
    free(sums.logp_ref);
    free(sums.kld);
    return rc;
}

/* While a model writes. */
struct writing {
    struct mpq_marks *m;
    const struct mpq_exam *x;
    const struct mpq_eval *e;
    const struct mpq_tokenizer *tok;
    struct mpq_buf text;
    int side;
};

static int
is_over(void *ctx, size_t i, const uint32_t *tokens, size_t n)
{
    struct writing *w = ctx;

    (void)i;
    if (n > 0 && mpq_tokenizer_is_eog(w->tok, tokens[n - 1]))
        return 1;
    w->text.len = 0;
    mpq_tokenizer_decode(w->tok, tokens, n, &w->text);
    return w->text.len > 0 &&
           mpq_matcher_stop(w->x->matcher, w->text.data, w->text.len) < w->text.len;
}

static int
is_done(void *ctx, size_t i, const uint32_t *tokens, size_t n, struct mpq_err *err)
{
    struct writing *w = ctx;
    const struct mpq_exam *x = w->x;

    w->text.len = 0;
    mpq_tokenizer_decode(w->tok, tokens, n, &w->text);
    mpq_buf_add(&w->text, "", 0); /* so that there is a text, if an empty one */
    const char *text = w->text.len ? w->text.data : "";
    const int right =
        mpq_matcher_is(x->matcher, text, w->text.len, &x->file.items[i], err);
    if (right < 0)
        return -1;
    w->m->em[w->side][i] = right;
    free(w->m->text[w->side][i]);
    w->m->text[w->side][i] =
        mpq_strndup(text, mpq_matcher_stop(x->matcher, text, w->text.len));
    if (w->text.failed || !w->m->text[w->side][i])
        return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", x->file.name);
    if (w->e->progress)
        w->e->progress(w->e->ctx, x->prompt_start[i + 1] - x->prompt_start[i]);
    return 0;
}

int
mpq_exam_write(struct mpq_marks *m, const struct mpq_exam *x, const struct mpq_eval *e,
               const struct mpq_tokenizer *tok, int side, struct mpq_err *err)
{
    struct writing w = { .m = m, .x = x, .e = e, .tok = tok, .side = side };
    const struct mpq_seqs q = { .n = x->file.n,
                                .tokens = x->prompts.ids,
                                .start = x->prompt_start };
    const struct mpq_generate_opts opts = { .max_new = mpq_matcher_max_new(x->matcher),
                                            .over = is_over,
                                            .done = is_done,
                                            .ctx = &w };

    int rc = mpq_forward_generate(side ? e->ref : e->model, &q, &opts, err);
    mpq_buf_free(&w.text);
    return rc;
}

int
mpq_exam_run(struct mpq_marks *marks, const struct mpq_exam *x,
             const struct mpq_eval *e, const struct mpq_tokenizer *tok,
             struct mpq_err *err)
{
    const int sides = e->ref ? 2 : 1;

    if (mpq_marks_new(marks, x, sides, err) < 0)
        goto fail;
    if (x->n_queries > 0 && run_queries(marks, x, e, err) < 0)
        goto fail;
    for (int s = 0; (x->metrics & MPQ_TASK_EM) && s < sides; s++)
        if (mpq_exam_write(marks, x, e, tok, s, err) < 0)
            goto fail;
    return 0;
fail:
    mpq_marks_free(marks);
    return -1;
}
