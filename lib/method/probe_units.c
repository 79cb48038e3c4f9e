#include "method/probe_units.h"

#include "base/buf.h"
#include "quant/codec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of the units of a layer, the one that W belongs to: its name. */
static void
unit_name(const struct mpq_weight *w, enum mpq_probe_by by,
          char name[static MPQ_SHORT_MAX])
{
    const enum mpq_role role = w->role;
    const int is_ffn = role == MPQ_ROLE_GATE || role == MPQ_ROLE_UP ||
                       role == MPQ_ROLE_DOWN || role == MPQ_ROLE_GATE_UP;

    if (by == MPQ_BY_TENSOR || w->layer < 0)
        snprintf(name, MPQ_SHORT_MAX, "%s", w->name);
    else if (by == MPQ_BY_MODULE)
        snprintf(name, MPQ_SHORT_MAX, "blk.%d.%s", w->layer, is_ffn ? "ffn" : "attn");
    else
        snprintf(name, MPQ_SHORT_MAX, "blk.%d", w->layer);
}

/* Appends the unit NAME of LAYER: all of its matrices, where there are some and it is
 * not there yet. *N_WEIGHTS: of all units. */
static void
add_unit(struct mpq_probe_units *u, const struct mpq_source *s, enum mpq_probe_by by,
         const char *name, int layer, int from, size_t *n_weights)
{
    struct mpq_probe_unit unit = { .layer = layer, .from = from };
    char other[MPQ_SHORT_MAX];

    for (size_t i = u->n; i-- > 0 && u->units[i].layer == layer;)
        if (strcmp(u->units[i].name, name) == 0)
            return;
    snprintf(unit.name, sizeof unit.name, "%s", name);
    unit.weights = u->weights + *n_weights;
    for (size_t i = 0; i < mpq_source_count(s); i++) {
        const struct mpq_weight *w = mpq_source_weight(s, i);
        if (w->layer != layer || (layer >= 0 && !w->is_linear))
            continue;
        unit_name(w, by, other);
        if (strcmp(other, name) != 0)
            continue;
        u->weights[(*n_weights)++] = w;
        unit.n++;
        unit.params += w->tensor.n_elements;
    }
    u->units[u->n++] = unit;
}

int
mpq_probe_units_new(struct mpq_probe_units *out, const struct mpq_source *s,
                    enum mpq_probe_by by, int rest, uint64_t first, uint64_t last,
                    struct mpq_err *err)
{
    const size_t n = mpq_source_count(s);
    const int n_layer = (int)mpq_source_hparams(s)->n_layer;
    char name[MPQ_SHORT_MAX];
    size_t n_weights = 0;

    *out = (struct mpq_probe_units){ 0 };
    out->units = mpq_array(n, sizeof *out->units);
    out->weights = mpq_array(n, sizeof *out->weights);
    if (!out->units || !out->weights) {
        mpq_probe_units_free(out);
        return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", mpq_source_name(s));
    }
    if (rest && first == 0) {
        if (mpq_source_find(s, "token_embd"))
            add_unit(out, s, by, "token_embd", -1, -1, &n_weights);
        if (mpq_source_find(s, "output"))
            add_unit(out, s, by, "output", -1, n_layer, &n_weights);
    }
    for (uint64_t l = first; l <= last; l++)
        for (size_t i = 0; i < n; i++) {
            const struct mpq_weight *w = mpq_source_weight(s, i);
            if (w->layer != (int)l || !w->is_linear)
                continue;
            unit_name(w, by, name);
            add_unit(out, s, by, name, w->layer, w->layer, &n_weights);
        }
    return 0;
}

void
mpq_probe_units_free(struct mpq_probe_units *u)
{
    free(u->units);
    free(u->weights);
    *u = (struct mpq_probe_units){ 0 };
}

int
mpq_probe_unit_takes(const struct mpq_probe_unit *u, struct mpq_type t)
{
    for (size_t i = 0; i < u->n; i++) {
        const struct mpq_weight *w = u->weights[i];
        if (!mpq_type_fits(t, w->cols) ||
            (!mpq_codec_writes(t) && !mpq_type_eq(t, w->tensor.type)))
            return 0;
    }
    return 1;
}

double
mpq_probe_unit_bits(const struct mpq_probe_unit *u, struct mpq_type t)
{
    double sum = 0;

    for (size_t i = 0; i < u->n; i++)
        sum += (double)u->weights[i]->tensor.n_elements *
               mpq_type_bpw(t, u->weights[i]->cols);
    return sum / (double)u->params;
}
