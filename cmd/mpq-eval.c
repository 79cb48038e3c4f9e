/* mpq-eval: perplexity, divergence and tasks. */
#include "eval_own.h"

#include <stdlib.h>

static const struct cli_tool tool = {
    .name = "mpq-eval",
    .summary = "Measures a language model on texts and tasks, alone or beside another.",
    .operands = "[MODEL]",
    .example = "mpq-eval -x wiki.txt --ref model.gguf small.gguf | grep -w kld",
    .opts = ev_opts,
    .max_operands = 1,
    .layers = 1,
};

static void
close_side(struct ev_side *s)
{
    mpq_forward_free(s->forward);
    mpq_tokenizer_free(s->tok);
    mpq_source_free(s->source);
}

static void
close_job(struct ev_job *j)
{
    for (size_t i = 0; j->texts && i < ev.texts.n; i++)
        mpq_tokens_free(&j->texts[i].tokens);
    free(j->texts);
    for (size_t i = 0; j->exams && i < j->tasks.n; i++)
        mpq_exam_free(&j->exams[i]);
    free(j->exams);
    mpq_task_list_free(&j->tasks);
    mpq_reference_free(&j->known);
    close_side(&j->model);
    close_side(&j->ref);
    mpq_pool_free(&j->strings);
    mpq_buf_free(&j->name);
    mpq_out_free(j->out);
    mpq_out_free(j->save);
    cli_bar_free(j->bar);
}

static int
run(const char *model, struct mpq_err *err)
{
    struct ev_job j = { 0 };
    int rc = -1;

    if (ev_check_options(model, err) < 0 || ev_metrics(&j.metrics, err) < 0 ||
        ev_read_inputs(&j, model, err) < 0 || ev_name(&j, err) < 0 ||
        (ev.each ? each_write(&j, err) : ev_write(&j, err)) < 0)
        goto out;
    if (!j.out) {
        rc = 0;
        goto out;
    }
    if (mpq_tsv_end(&j.w, err) < 0)
        goto out;
    if (j.save) {
        rc = mpq_out_close(j.save, err);
        j.save = NULL;
        if (rc < 0)
            goto out;
    }
    rc = mpq_out_close(j.out, err);
    j.out = NULL;
out:
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
