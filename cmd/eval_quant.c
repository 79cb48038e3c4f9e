/* mpq-eval --each: what units are quantized with, as mpq-pack does it. */
#include "eval_each_own.h"

#include "base/buf.h"
#include "base/hash.h"
#include "base/io.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void
note_unserved(const struct each_job *e)
{
    char name[MPQ_TYPE_NAME_MAX];

    for (size_t i = 0; i < e->n_types; i++)
        if (!rounding_serves(&ev.pack, e->types[i]))
            cli_note("%s is rounded by rtn: %s does not serve it",
                     mpq_type_name(e->types[i], name), rounding_name(&ev.pack));
}

static void
on_tuned(void *ctx, const struct mpq_tuned *t)
{
    struct each_job *e = ctx;

    if (t->how == MPQ_TUNED_UNREACHED && e->n_unreached++ == 0)
        snprintf(e->first_unreached, sizeof e->first_unreached, "%s", t->weight->name);
}

static int
is_probed(const struct each_job *e, const struct mpq_weight *w)
{
    for (size_t i = 0; i < e->units.n; i++)
        for (size_t k = 0; k < e->units.units[i].n; k++)
            if (e->units.units[i].weights[k] == w)
                return 1;
    return 0;
}

/* A type that W is rounded to in some probe, else the one that it has. */
static struct mpq_type
rounded_as(const struct each_job *e, const struct mpq_weight *w)
{
    for (size_t t = 0, n = is_probed(e, w) ? e->n_types : 0; t < n; t++)
        if (!mpq_type_is_float(e->types[t]) &&
            !mpq_type_eq(e->types[t], w->tensor.type))
            return e->types[t];
    return w->tensor.type;
}

/* Importance: every weight is a piece, so that it is known by its number. */
static int
weigh(struct each_job *e, struct mpq_err *err)
{
    const struct mpq_source *s = e->j->model.source;
    struct mpq_packfile file = { .n = mpq_source_count(s) };
    int rc;

    file.pieces = mpq_array(file.n, sizeof *file.pieces);
    if (!file.pieces)
        return ev_no_memory(err);
    for (size_t i = 0; i < file.n; i++) {
        const struct mpq_weight *w = mpq_source_weight(s, i);
        file.pieces[i].weight = w;
        file.pieces[i].type = rounded_as(e, w);
    }
    rc = rounding_weigh(&e->inputs, &ev.pack, &file, s, err);
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

    *sum = mpq_hessian_sum(e->inputs.hessian);
    if (strcmp(ev.pack.hessian, "-") == 0 || stat(ev.pack.hessian, &st) < 0 ||
        !S_ISREG(st.st_mode))
        return ev.resume ? mpq_fail(err, MPQ_EUSAGE,
                                    "--resume: --hessian %s is no file that could be"
                                    " told from another",
                                    ev.pack.hessian)
                         : 0;
    if (mpq_map_open(&map, ev.pack.hessian, err) < 0)
        return -1;
    *sum = mpq_hash64(map.data, (size_t)map.size, 0);
    mpq_map_close(&map);
    return 0;
}

int
each_read_inputs(struct each_job *e, struct mpq_err *err)
{
    if (ev.pack.imatrix &&
        mpq_imatrix_open(&e->inputs.imatrix, ev.pack.imatrix, err) < 0)
        return -1;
    return rounding_read(&e->inputs, &ev.pack, e->j->model.source, err);
}

/* One line, so that what another table lacks of it parts the two:
 * pack gptq effort=default damp=0.2 ctx=512 samples=128 calib=ID int8 */
static void
describe(const struct each_job *e, uint64_t hessian, struct mpq_buf *line)
{
    const struct rounding *r = &ev.pack;

    mpq_buf_printf(line, "pack %s", e->back ? "back" : rounding_name(r));
    if (!e->back)
        mpq_buf_printf(line, " effort=%s", mpq_effort_name((enum mpq_effort)r->effort));
    if (r->method == ROUND_GPTQ) {
        mpq_buf_adds(line, " damp=");
        rounding_put_damping(r, line);
    }
    if (r->calib)
        mpq_buf_printf(line, " ctx=%" PRIu64 " samples=%" PRIu64 " calib=%016" PRIx64,
                       r->ctx, r->samples, e->inputs.calib.id);
    if (r->imatrix)
        mpq_buf_printf(line, " imatrix=%016" PRIx64,
                       mpq_imatrix_sum(e->inputs.imatrix));
    if (r->hessian)
        mpq_buf_printf(line, " hessian=%016" PRIx64, hessian);
    if (ev.int8)
        mpq_buf_adds(line, " int8");
}

int
each_put_quantizer(const struct each_job *e, struct mpq_err *err)
{
    struct mpq_buf line = { 0 };
    uint64_t hessian = 0;

    if (ev.pack.hessian && sum_hessian(e, &hessian, err) < 0)
        return -1;
    describe(e, hessian, &line);
    const int rc = line.failed ? ev_no_memory(err)
                               : mpq_tsv_put_meta(&e->j->w, err, "%s", line.data);
    mpq_buf_free(&line);
    return rc;
}

int
each_open_quantizer(struct each_job *e, struct mpq_err *err)
{
    rounding_say_text(&e->inputs, &ev.pack);
    if (weigh(e, err) < 0)
        return -1;
    note_unserved(e);
    e->tuning = rounding_options(&e->inputs, &ev.pack);
    e->tuning.tuned = on_tuned;
    e->tuning.ctx = e;
    return mpq_tune_each_new(&e->tune, e->j->model.source, &e->tuning, err);
}

void
each_close_quantizer(struct each_job *e)
{
    if (e->n_unreached)
        cli_note("%zu times a matrix that no token reached was rounded row by row (%s)",
                 e->n_unreached, e->first_unreached);
    mpq_tune_each_free(e->tune);
    rounding_free(&e->inputs);
}
