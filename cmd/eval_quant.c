/* mpq-eval --each: what units are quantized with, as mpq-pack does it. */
#include "eval_each_own.h"

#include "base/buf.h"
#include "base/hash.h"
#include "base/io.h"
#include "quant/grid.h"
#include "quant/hqq.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

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

/* Hessians come as a stream, too long to be read before the first row. Of a file the
 * checksum of all is taken; of a pipe that of its head, which is too little to go on by. */
static int
sum_hessian(const struct each_job *e, uint64_t *sum, struct mpq_err *err)
{
    struct mpq_map map;
    struct stat st;

    *sum = mpq_hessian_sum(e->hessian);
    if (strcmp(ev.hessian, "-") == 0 || stat(ev.hessian, &st) < 0 ||
        !S_ISREG(st.st_mode))
        return ev.resume ? mpq_fail(err, MPQ_EUSAGE,
                                    "--resume: --hessian %s is no file that could be"
                                    " told from another",
                                    ev.hessian)
                         : 0;
    if (mpq_map_open(&map, ev.hessian, err) < 0)
        return -1;
    *sum = mpq_hash64(map.data, (size_t)map.size, 0);
    mpq_map_close(&map);
    return 0;
}

int
each_read_inputs(struct each_job *e, struct mpq_err *err)
{
    const struct mpq_source *s = e->j->model.source;

    if (ev.hessian && mpq_hessian_open(&e->hessian, ev.hessian, s, err) < 0)
        return -1;
    if (ev.imatrix && mpq_imatrix_open(&e->imatrix, ev.imatrix, err) < 0)
        return -1;
    if (!ev.calib)
        return 0;
    if (mpq_calib_read(&e->calib, ev.calib, s, (size_t)ev.calib_ctx, (size_t)ev.samples,
                       err) < 0)
        return -1;
    if (e->calib.seqs.n == 0)
        return mpq_fail(err, MPQ_EDATA, "%s: has no token", ev.calib);
    return 0;
}

/* One line, so that what another table lacks of it parts the two:
 * pack gptq effort=default damp=0.2 ctx=512 samples=128 calib=ID int8 */
static void
describe(const struct each_job *e, uint64_t hessian, struct mpq_buf *line)
{
    mpq_buf_printf(line, "pack %s", e->back ? "back" : ev_methods[ev.pack]);
    if (!e->back)
        mpq_buf_printf(line, " effort=%s", mpq_effort_name((enum mpq_effort)ev.effort));
    if (ev.pack == EV_GPTQ)
        mpq_buf_printf(line, " damp=%.9g", ev.damping);
    if (ev.calib)
        mpq_buf_printf(line, " ctx=%" PRIu64 " samples=%" PRIu64, ev.calib_ctx,
                       ev.samples);
    if (ev.calib)
        mpq_buf_printf(line, " calib=%016" PRIx64, e->calib.id);
    if (ev.imatrix)
        mpq_buf_printf(line, " imatrix=%016" PRIx64, mpq_imatrix_sum(e->imatrix));
    if (ev.hessian)
        mpq_buf_printf(line, " hessian=%016" PRIx64, hessian);
    if (ev.int8)
        mpq_buf_adds(line, " int8");
}

int
each_put_quantizer(const struct each_job *e, struct mpq_err *err)
{
    struct mpq_buf line = { 0 };
    uint64_t hessian = 0;

    if (ev.hessian && sum_hessian(e, &hessian, err) < 0)
        return -1;
    describe(e, hessian, &line);
    const int rc = line.failed ? ev_no_memory(err)
                               : mpq_tsv_put_meta(&e->j->w, err, "%s", line.data);
    mpq_buf_free(&line);
    return rc;
}

/* Importance, where plain rounding is weighed. */
static int
weigh(struct each_job *e, struct mpq_err *err)
{
    if (!ev.imatrix && !(ev.calib && !ev_sees_inputs()))
        return 0;
    e->importance =
        mpq_array(mpq_source_count(e->j->model.source), sizeof *e->importance);
    if (!e->importance)
        return ev_no_memory(err);
    return ev.imatrix ? weigh_by_file(e, err) : weigh_by_text(e, err);
}

int
each_open_quantizer(struct each_job *e, struct mpq_err *err)
{
    static const struct mpq_tuner *const tuners[] = { &mpq_tuner_plain,
                                                      &mpq_tuner_plain, &mpq_tuner_awq,
                                                      &mpq_tuner_gptq };

    if (ev.calib) {
        const struct mpq_seqs *q = &e->calib.seqs;
        cli_note("%s: %zu sequences, %zu tokens", ev.calib, q->n, q->start[q->n]);
    }
    if (weigh(e, err) < 0)
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
