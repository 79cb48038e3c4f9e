/* mpq-eval --each: what single units lose by each type. */
#include "eval_each_own.h"

#include "base/hash.h"
#include "base/io.h"
#include "model/text_file.h"
#include "quant/codec.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const ev_methods[] = { "rtn", "hqq", "awq", "gptq" };

/* --- what is wanted -------------------------------------------------------------- */

static int
parse_types(struct each_job *e, struct mpq_err *err)
{
    e->back = strcmp(ev.each, "back") == 0;
    e->n_types = 1;
    return e->back ? 0 : cli_types("--each", ev.each, e->types, &e->n_types, err);
}

int
each_type(const struct each_job *e, const struct mpq_probe_unit *u, size_t t,
          struct mpq_type *type)
{
    *type = e->back ? u->weights[0]->tensor.type : e->types[t];
    return e->back ? !mpq_type_is_float(*type) : mpq_probe_unit_takes(u, *type);
}

/* Units that are given back their weights: no quantizer, but a reference. */
static int
check_back(struct mpq_err *err)
{
    static const char *const quantizer[] = {
        "pack", "effort", "calib", "samples", "damp", "hessian", "imatrix", "calib-ctx"
    };

    if (!ev.ref)
        return mpq_fail(err, MPQ_EUSAGE,
                        "--each back takes --ref MODEL: where units get weights from");
    for (size_t i = 0; i < sizeof quantizer / sizeof *quantizer; i++)
        if (cli_given(quantizer[i]))
            return mpq_fail(err, MPQ_EUSAGE, "--each back quantizes nothing: no --%s",
                            quantizer[i]);
    if (cli_given("by") && ev.by != MPQ_BY_TENSOR)
        return mpq_fail(err, MPQ_EUSAGE, "--each back goes by tensor");
    ev.by = MPQ_BY_TENSOR;
    return 0;
}

int
ev_sees_inputs(void)
{
    return ev.pack == EV_AWQ || ev.pack == EV_GPTQ;
}

/* Options of --each alone; those that it does not go with. */
int
each_check_options(struct mpq_err *err)
{
    static const char *const own[] = { "by",     "rest",    "pack",     "effort",
                                       "calib",  "samples", "damp",     "hessian",
                                       "resume", "imatrix", "calib-ctx" };
    static const char *const others[] = { "ref",      "load-ref", "save-ref",
                                          "per-item", "tokens",   "top-k" };
    const int sees = ev_sees_inputs();

    for (size_t i = 0; !ev.each && i < sizeof own / sizeof *own; i++)
        if (cli_given(own[i]))
            return mpq_fail(err, MPQ_EUSAGE, "--%s is for --each", own[i]);
    if (!ev.each)
        return cli.has_layers ? mpq_fail(err, MPQ_EUSAGE, "-l is for --each") : 0;
    const int back = strcmp(ev.each, "back") == 0;
    if (back && check_back(err) < 0)
        return -1;
    for (size_t i = back ? 1 : 0; i < sizeof others / sizeof *others;
         i++) /* [0]: --ref */
        if (cli_given(others[i]))
            return mpq_fail(err, MPQ_EUSAGE, "--%s does not go with --each", others[i]);
    if (sees ? !ev.calib == !ev.hessian : ev.hessian != NULL)
        return mpq_fail(err, MPQ_EUSAGE,
                        sees ? "--pack %s takes either -c FILE or --hessian FILE"
                             : "--pack %s takes no --hessian: -c or --imatrix weighs"
                               " its rounding",
                        ev_methods[ev.pack]);
    if (!sees && ev.calib && ev.imatrix)
        return mpq_fail(err, MPQ_EUSAGE, "-c and --imatrix: one of them");
    if (ev.pack != EV_GPTQ && cli_given("damp"))
        return mpq_fail(err, MPQ_EUSAGE, "--damp is for --pack gptq");
    if (!ev.calib && (cli_given("samples") || cli_given("calib-ctx")))
        return mpq_fail(err, MPQ_EUSAGE, "--%s is for -c FILE",
                        cli_given("samples") ? "samples" : "calib-ctx");
    if (ev.resume && (cli.output || strcmp(ev.resume, "-") == 0))
        return mpq_fail(err, MPQ_EUSAGE,
                        "--resume FILE is the output itself: a file, and no -o");
    cli_refuse_input("--resume", ev.resume);
    return 0;
}

int
each_metrics(unsigned *metrics, struct mpq_err *err)
{
    if (!ev.only)
        *metrics = MPQ_METRIC_PPL | MPQ_METRIC_KLD | MPQ_METRIC_ACC |
                   MPQ_METRIC_ACC_NORM | MPQ_METRIC_LOSS;
    if (*metrics & ~(unsigned)MPQ_PROBE_METRICS)
        return mpq_fail(err, MPQ_EUSAGE,
                        "--only: --each measures ppl,nll,kld,acc,acc_norm,loss,em");
    return 0;
}

/* --- units ----------------------------------------------------------------------- */

/* Types that some units cannot have are told once. -1 where nothing is left. */
static int
note_skipped(const struct each_job *e, struct mpq_err *err)
{
    char name[MPQ_TYPE_NAME_MAX];
    size_t left = 0;

    for (size_t t = 0; t < e->n_types && !e->back; t++) {
        const struct mpq_probe_unit *first = NULL;
        size_t n = 0;
        for (size_t i = 0; i < e->units.n; i++) {
            const struct mpq_probe_unit *u = &e->units.units[i];
            if (mpq_probe_unit_takes(u, e->types[t]))
                continue;
            if (n++ == 0)
                first = u;
        }
        left += e->units.n - n;
        if (n)
            cli_note("%s: %zu of %zu units have rows that are no multiple of %" PRIu32
                     " and are left out (%s)",
                     mpq_type_name(e->types[t], name), n, e->units.n,
                     mpq_type_block(e->types[t]), first->name);
    }
    if (left == 0 && !e->back)
        return mpq_fail(err, MPQ_ENOFIT, "%s: no unit can have any of the types %s",
                        mpq_source_name(e->j->model.source), ev.each);
    return 0;
}

/* Says once that what was quantized is quantized again. */
static void
note_requantized(const struct each_job *e)
{
    const struct mpq_weight *first = NULL;
    char name[MPQ_TYPE_NAME_MAX];
    size_t n = 0;

    for (size_t i = 0; i < e->units.n; i++)
        for (size_t k = 0; k < e->units.units[i].n; k++) {
            const struct mpq_weight *w = e->units.units[i].weights[k];
            if (mpq_type_is_float(w->tensor.type))
                continue;
            if (n++ == 0)
                first = w;
        }
    if (n)
        cli_note("%s: %zu tensor%s quantized already and quantized again (%s: %s)",
                 mpq_source_name(e->j->model.source), n, n == 1 ? " is" : "s are",
                 first->name, mpq_type_name(first->tensor.type, name));
}

/* The reference's matrix for W. */
static const struct mpq_weight *
find_ref(const struct each_job *e, const struct mpq_weight *w)
{
    return mpq_source_find(e->j->ref.source, w->name);
}

/* What U is given back; NULL where units are quantized. */
static const struct mpq_weight *
find_back(const struct each_job *e, const struct mpq_probe_unit *u)
{
    return e->back ? find_ref(e, u->weights[0]) : NULL;
}

/* Is the reference of the same shape, and is there anything to give back? */
static int
check_ref(const struct each_job *e, struct mpq_err *err)
{
    const struct mpq_source *s = e->j->model.source, *ref = e->j->ref.source;
    struct mpq_type type;
    size_t n = 0;

    if (mpq_source_hparams(s)->n_layer != mpq_source_hparams(ref)->n_layer)
        return mpq_fail(err, MPQ_EDATA, "%s: has %" PRIu64 " layers, %s %" PRIu64,
                        mpq_source_name(ref), mpq_source_hparams(ref)->n_layer,
                        mpq_source_name(s), mpq_source_hparams(s)->n_layer);
    for (size_t i = 0; i < e->units.n; i++) {
        const struct mpq_weight *w = e->units.units[i].weights[0], *r = find_ref(e, w);
        if (!r || r->rows != w->rows || r->cols != w->cols)
            return mpq_fail(err, MPQ_EDATA,
                            "%s: has no tensor %s of %" PRIu64 " x %" PRIu64,
                            mpq_source_name(ref), w->name, w->rows, w->cols);
        n += (size_t)each_type(e, &e->units.units[i], 0, &type);
    }
    return n ? 0
             : mpq_fail(err, MPQ_ENOFIT, "%s: no matrix of it is quantized",
                        mpq_source_name(s));
}

static int
make_units(struct each_job *e, struct mpq_err *err)
{
    const struct mpq_source *s = e->j->model.source;
    const int rest = ev.rest || ev.by == MPQ_BY_TENSOR;
    uint64_t first, last;

    if (cli_layers(mpq_source_hparams(s)->n_layer, &first, &last, err) < 0 ||
        mpq_probe_units_new(&e->units, s, (enum mpq_probe_by)ev.by, rest, first, last,
                            err) < 0 ||
        note_skipped(e, err) < 0)
        return -1;
    e->options.first = (size_t)first;
    e->options.last = (size_t)last;
    if (e->back)
        return check_ref(e, err);
    note_requantized(e);
    return 0;
}

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
    const struct mpq_weight *with = find_back(e, u);
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

/* What the quantizer looks at, told apart by its bytes: ##calib id=... A pipe is not,
 * since it can be read only once. */
static int
put_file(struct ev_job *j, const char *what, const char *path, struct mpq_err *err)
{
    struct mpq_map map;

    if (!path || strcmp(path, "-") == 0)
        return 0;
    if (mpq_map_open(&map, path, err) < 0)
        return -1;
    const uint64_t id = mpq_hash64(map.data, (size_t)map.size, 0);
    mpq_map_close(&map);
    return mpq_tsv_put_meta(&j->w, err, "%s id=%016" PRIx64, what, id);
}

/* All that stands before the rows. */
static int
make_head(struct ev_job *j, struct mpq_buf *head, struct mpq_err *err)
{
    j->w = (struct mpq_tsv_writer){ .text = head };
    if (cli_begin_table(&j->w, NULL, "probe", j->name.data, err) < 0 ||
        mpq_layout_put_meta(j->model.source, &j->w, err) < 0 ||
        ev_put_inputs(j, err) < 0 || put_file(j, "calib", ev.calib, err) < 0 ||
        put_file(j, "imatrix", ev.imatrix, err) < 0 ||
        put_file(j, "hessian", ev.hessian, err) < 0)
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

    if (parse_types(&e, err) < 0 || make_units(&e, err) < 0 ||
        make_probe(&e, err) < 0 || make_head(j, &head, err) < 0 ||
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
