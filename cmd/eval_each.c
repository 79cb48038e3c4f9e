/* mpq-eval --each: what single units lose by each type. */
#include "eval_each_own.h"

#include "model/text_file.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static int
make_probe(struct each_job *e, struct mpq_err *err)
{
    struct ev_job *j = e->j;
    size_t n_rows;

    e->texts = mpq_array(ev.texts.n, sizeof *e->texts);
    if (!e->texts)
        return ev_no_memory(err);
    for (size_t i = 0; i < ev.texts.n; i++)
        e->texts[i] = (struct mpq_probe_text){ j->texts[i].name, &j->texts[i].plan,
                                               j->texts[i].tokens.ids };
    e->options.source = j->model.source;
    e->options.ref = e->back ? j->ref.source : NULL;
    e->options.texts = e->texts;
    e->options.n_texts = ev.texts.n;
    e->options.bos = mpq_text_bos(j->model.tok);
    e->options.exams = j->exams;
    e->options.n_exams = j->tasks.n;
    e->options.tok = j->model.tok;
    e->options.metrics = j->metrics;
    e->options.threads = (unsigned)cli.threads;
    e->options.int8 = ev.int8;
    e->options.max_bytes = (size_t)ev.max_bytes;
    if (mpq_probe_new(&e->probe, &e->options, err) < 0)
        return -1;
    mpq_probe_rows(e->probe, &n_rows);
    if (n_rows == 0)
        return mpq_fail(err, MPQ_EUSAGE,
                        "nothing to measure: no metric of --only is one of these texts"
                        " or tasks");
    return 0;
}

/* --- rows ------------------------------------------------------------------------ */

/* Rows from SKIP on of the probe that has been run. */
static int
put_rows(struct each_job *e, const struct mpq_probe_unit *u, struct mpq_type t,
         size_t skip, struct mpq_err *err)
{
    struct mpq_buf line = { 0 };
    size_t n;
    const struct mpq_probe_row *rows = mpq_probe_rows(e->probe, &n);
    int rc = 0;

    for (size_t i = skip; rc == 0 && i < n; i++) {
        line.len = 0;
        each_row_name(&line, u, t, &rows[i]);
        rc = line.failed
                 ? ev_no_memory(err)
                 : mpq_tsv_row(&e->j->w, err, "%s%.17g\t%.17g\t%.17g\t%.17g", line.data,
                               rows[i].base, rows[i].value, rows[i].delta, rows[i].se);
    }
    mpq_buf_free(&line);
    return rc == 0 ? mpq_out_flush(e->j->out, err) : -1;
}

static int
probe(struct each_job *e, const struct mpq_probe_unit *u, struct mpq_type t,
      size_t skip, struct mpq_err *err)
{
    const struct mpq_weight *with = each_back(e, u);
    size_t n = 1;

    if ((!e->back && mpq_tune_each_run(e->tune, u->layer, u->weights, u->n, t, &with,
                                       &n, err) < 0) ||
        mpq_probe_run(e->probe, u->from, with, n, err) < 0)
        return -1;
    return put_rows(e, u, t, skip, err);
}

/* The N-th row of all is the first that is not there yet. */
static int
is_known(const struct each_job *e, size_t n, size_t n_rows)
{
    return n + n_rows <= e->n_known;
}

static uint64_t
whole_cost(const struct each_job *e)
{
    const struct mpq_net *net = mpq_forward_net(e->j->model.forward);
    uint64_t cost = mpq_probe_cost(&e->options, net, -1);
    int highest = 0;
    size_t n = 0, n_rows;

    mpq_probe_rows(e->probe, &n_rows);
    for (size_t i = 0; i < e->units.n; i++)
        for (size_t t = 0; t < e->n_types; t++) {
            const struct mpq_probe_unit *u = &e->units.units[i];
            struct mpq_type type;
            if (!each_type(e, u, t, &type))
                continue;
            if (!is_known(e, n, n_rows)) {
                cost += mpq_probe_cost(&e->options, net, u->from);
                if (u->layer > highest)
                    highest = u->layer;
            }
            n += n_rows;
        }
    return cost + mpq_probe_cost(&e->options, net, 0) -
           mpq_probe_cost(&e->options, net, highest);
}

static int
probe_all(struct each_job *e, struct mpq_err *err)
{
    size_t n = 0, n_rows;

    mpq_probe_rows(e->probe, &n_rows);
    for (size_t i = 0; i < e->units.n; i++)
        for (size_t t = 0; t < e->n_types; t++) {
            const struct mpq_probe_unit *u = &e->units.units[i];
            struct mpq_type type;
            if (!each_type(e, u, t, &type))
                continue;
            if (!is_known(e, n, n_rows) &&
                probe(e, u, type, e->n_known > n ? e->n_known - n : 0, err) < 0)
                return -1;
            n += n_rows;
        }
    return 0;
}

/* All that stands before the rows. */
static int
make_head(const struct each_job *e, struct mpq_buf *head, struct mpq_err *err)
{
    struct ev_job *j = e->j;

    j->w = (struct mpq_tsv_writer){ .text = head };
    if (cli_begin_table(&j->w, NULL, "probe", j->name.data, err) < 0 ||
        mpq_layout_put_meta(j->model.source, &j->w, err) < 0 ||
        ev_put_inputs(j, err) < 0 || each_put_quantizer(e, err) < 0)
        return -1;
    return mpq_tsv_columns(
        &j->w, "unit\ttype\tbits\tparams\ttask\tmetric\tbase\tvalue\tdelta\tse", err);
}

static void
count(void *bar, uint64_t n)
{
    cli_bar_add(bar, n);
}

int
each_write(struct ev_job *j, struct mpq_err *err)
{
    struct each_job e = { .j = j };
    struct mpq_buf head = { 0 };
    int rc = -1;

    if (each_make_units(&e, err) < 0 || make_probe(&e, err) < 0 ||
        each_read_inputs(&e, err) < 0 || make_head(&e, &head, err) < 0 ||
        each_open_output(&e, &head, err) < 0)
        goto out;
    if (e.is_finished) {
        rc = 0;
        goto out;
    }
    j->bar = cli_bar_new("probe", whole_cost(&e), "token layers");
    e.options.progress = count;
    e.options.ctx = j->bar;
    if (e.back || each_open_quantizer(&e, err) == 0)
        rc = probe_all(&e, err);
out:
    mpq_buf_free(&head);
    each_close_quantizer(&e);
    mpq_probe_free(e.probe);
    mpq_probe_units_free(&e.units);
    free(e.texts);
    return rc;
}
