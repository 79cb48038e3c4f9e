/* mpq-eval --each: what is probed, and as what. */
#include "eval_each_own.h"

#include "quant/codec.h"

#include <inttypes.h>
#include <string.h>

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

const struct mpq_weight *
each_back(const struct each_job *e, const struct mpq_probe_unit *u)
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

int
each_make_units(struct each_job *e, struct mpq_err *err)
{
    const struct mpq_source *s = e->j->model.source;
    const int rest = ev.rest || ev.by == MPQ_BY_TENSOR;
    uint64_t first, last;

    if (parse_types(e, err) < 0 ||
        cli_layers(mpq_source_hparams(s)->n_layer, &first, &last, err) < 0 ||
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
