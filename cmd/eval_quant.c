/* mpq-eval --each: what units are quantized with, as mpq-pack does it. */
#include "eval_each_own.h"

#include "base/buf.h"
#include "quant/grid.h"
#include "quant/hqq.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int
serves(struct mpq_type t)
{
    struct mpq_grid grid;

    if (mpq_type_is_float(t))
        return 1;
    if (ev.pack == EV_HQQ)
        return mpq_hqq_serves(t);
    return ev.pack == EV_GPTQ ? mpq_grid_of(t, &grid) : 1;
}

static void
note_unserved(const struct each_job *e)
{
    char name[MPQ_TYPE_NAME_MAX];

    for (size_t i = 0; i < e->n_types; i++)
        if (!serves(e->types[i]))
            cli_note("%s is rounded by rtn: %s does not serve it",
                     mpq_type_name(e->types[i], name), ev_methods[ev.pack]);
}

static void
on_tuned(void *ctx, const struct mpq_tuned *t)
{
    struct each_job *e = ctx;

    if (t->how == MPQ_TUNED_UNREACHED && e->n_unreached++ == 0)
        snprintf(e->first_unreached, sizeof e->first_unreached, "%s", t->weight->name);
}

/* Importance from a file of llama-imatrix. */
static int
weigh_by_file(struct each_job *e, struct mpq_err *err)
{
    const struct mpq_source *s = e->j->model.source;
    size_t n_found = 0;

    if (mpq_imatrix_open(&e->imatrix, ev.imatrix, err) < 0)
        return -1;
    for (size_t i = 0; i < mpq_source_count(s); i++) {
        const struct mpq_weight *w = mpq_source_weight(s, i);
        struct mpq_importance *x = &e->importance[i];
        if (!w->is_matrix)
            continue;
        const int found = mpq_imatrix_find(e->imatrix, w->name, w->rows, w->cols,
                                           &x->values, &x->n_parts, err);
        if (found < 0)
            return -1;
        if (!found)
            x->values = NULL;
        n_found += found > 0;
    }
    if (n_found == 0)
        return mpq_fail(err, MPQ_EDATA, "%s: knows no matrix of %s", ev.imatrix,
                        mpq_source_name(s));
    return 0;
}

/* Importance from the text: every weight is a piece, so that it is known by its number.
 */
static int
weigh_by_text(struct each_job *e, struct mpq_err *err)
{
    const struct mpq_source *s = e->j->model.source;
    struct mpq_packfile file = { .n = mpq_source_count(s) };
    int rc = -1;

    file.pieces = mpq_array(file.n, sizeof *file.pieces);
    if (!file.pieces)
        return ev_no_memory(err);
    for (size_t i = 0; i < file.n; i++)
        file.pieces[i].weight = mpq_source_weight(s, i);
    rc = mpq_tune_importance(e->importance, &e->means, &file, s, &e->calib.seqs,
                             (unsigned)cli.threads, err);
    free(file.pieces);
    return rc;
}

static int
read_inputs(struct each_job *e, struct mpq_err *err)
{
    const struct mpq_source *s = e->j->model.source;

    if (ev.hessian && mpq_hessian_open(&e->hessian, ev.hessian, s, err) < 0)
        return -1;
    if (ev.calib) {
        if (mpq_calib_read(&e->calib, ev.calib, s, (size_t)ev.calib_ctx,
                           (size_t)ev.samples, err) < 0)
            return -1;
        const struct mpq_seqs *q = &e->calib.seqs;
        if (q->n == 0)
            return mpq_fail(err, MPQ_EDATA, "%s: has no token", ev.calib);
        cli_note("%s: %zu sequences, %zu tokens", ev.calib, q->n, q->start[q->n]);
    }
    if (!ev.imatrix && !(ev.calib && !ev_sees_inputs()))
        return 0;
    if (!(e->importance = mpq_array(mpq_source_count(s), sizeof *e->importance)))
        return ev_no_memory(err);
    return ev.imatrix ? weigh_by_file(e, err) : weigh_by_text(e, err);
}

int
each_open_quantizer(struct each_job *e, struct mpq_err *err)
{
    static const struct mpq_tuner *const tuners[] = { &mpq_tuner_plain,
                                                      &mpq_tuner_plain, &mpq_tuner_awq,
                                                      &mpq_tuner_gptq };

    if (read_inputs(e, err) < 0)
        return -1;
    note_unserved(e);
    e->tuning = (struct mpq_tune_options){
        .tuner = tuners[ev.pack],
        .effort = (enum mpq_effort)ev.effort,
        .encode = ev.pack == EV_HQQ ? mpq_tune_hqq_row : mpq_encode_row,
        .importance = e->importance,
        .threads = (unsigned)cli.threads,
        .damping = ev.damping,
        .seqs = ev_sees_inputs() && ev.calib ? &e->calib.seqs : NULL,
        .hessian = e->hessian,
        .tuned = on_tuned,
        .ctx = e,
    };
    return mpq_tune_each_new(&e->tune, e->j->model.source, &e->tuning, err);
}

void
each_close_quantizer(struct each_job *e)
{
    if (e->n_unreached)
        cli_note("%zu times a matrix that no token reached was rounded row by row (%s)",
                 e->n_unreached, e->first_unreached);
    mpq_tune_each_free(e->tune);
    mpq_hessian_free(e->hessian);
    mpq_calib_free(&e->calib);
    mpq_imatrix_free(e->imatrix);
    free(e->importance);
    free(e->means);
}
