#include "method/units.h"

#include "base/buf.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NONE SIZE_MAX

/* While the units are being built. */
struct builder {
    const struct mpq_layout *layout;
    const struct mpq_policy *policy;
    const struct mpq_rules *rules;
    struct mpq_units *out;
    size_t *parent;   /* [layout->n] joined matrices: the forest of their sets */
    size_t *by_layer; /* [n_layers] scratch: a matrix of each layer */
    size_t n_layers;
    unsigned char *choice;      /* [layout->n] may its type change? */
    const struct mpq_pin **pin; /* [layout->n] the pin that holds for it, or NULL */
    int by_size;
    struct mpq_err *err;
};

static size_t
root(const struct builder *b, size_t i)
{
    while (b->parent[i] != i)
        i = b->parent[i] = b->parent[b->parent[i]];
    return i;
}

/* The smaller position stays the root, so units come in model order. */
static void
join(struct builder *b, size_t i, size_t j)
{
    i = root(b, i);
    j = root(b, j);
    if (i < j)
        b->parent[j] = i;
    else
        b->parent[i] = j;
}

/* The matrices that NAME may mean: one that is called so, or any. */
static void
find_range(const struct builder *b, const char *name, size_t *first, size_t *end)
{
    *first = 0;
    *end = b->layout->n;
    if (mpq_index_find(&b->layout->index, name, first))
        *end = *first + 1;
    else
        *first = 0;
}

/* How precisely NAME means matrix I: 3 by its own name, 2 by its layer, 1 by its kind,
 * 0 not at all. The output of a tied model is its embedding. */
static int
means(const struct builder *b, const char *name, size_t i)
{
    const struct mpq_matrix *m = &b->layout->matrices[i];

    if (strcmp(name, m->name) == 0)
        return 3;
    if (b->layout->tied && m->role == MPQ_ROLE_EMBED && strcmp(name, "output") == 0 &&
        !mpq_layout_find(b->layout, "output"))
        return 3;
    if (m->is_linear && m->layer >= 0 && mpq_name_unit_layer(name) == m->layer)
        return 2;
    return mpq_name_means(name, m->name);
}

static int
choose_pins(struct builder *b)
{
    for (size_t p = 0; p < b->policy->n_pins; p++) {
        const struct mpq_pin *pin = &b->policy->pins[p];
        int found = 0;
        size_t i, end;
        for (find_range(b, pin->name, &i, &end); i < end; i++) {
            int how = means(b, pin->name, i);
            found |= how;
            if (how && (!b->pin[i] || how >= means(b, b->pin[i]->name, i)))
                b->pin[i] = pin;
        }
        if (!found)
            return mpq_fail(b->err, MPQ_EDATA,
                            "%s: %.80s is no matrix, layer or kind of the model",
                            pin->place, pin->name);
    }
    return 0;
}

/* Joins what one tie means: names of their own with each other, kinds layer by layer.
 */
static int
tie(struct builder *b, const struct mpq_names *names, const char *place)
{
    size_t whole = NONE;

    for (size_t l = 0; l < b->n_layers; l++)
        b->by_layer[l] = NONE;
    for (size_t k = 0; k < names->n; k++) {
        int found = 0;
        size_t i, end;
        for (find_range(b, names->items[k], &i, &end); i < end; i++) {
            int how = means(b, names->items[k], i),
                layer = b->layout->matrices[i].layer;
            found |= how;
            if (!how || (!b->choice[i] && !b->pin[i]) || (how == 1 && layer < 0))
                continue;
            size_t *with = how > 1 ? &whole : &b->by_layer[layer];
            if (*with != NONE)
                join(b, i, *with);
            *with = i;
        }
        if (!found && place)
            return mpq_fail(b->err, MPQ_EDATA,
                            "%s: %.80s is no matrix, layer or kind of the model", place,
                            names->items[k]);
    }
    return 0;
}

static int
join_ties(struct builder *b)
{
    for (size_t t = 0; t < b->policy->n_ties; t++)
        if (tie(b, &b->policy->ties[t].names, b->policy->ties[t].place) < 0)
            return -1;
    for (size_t t = 0; t < b->rules->n_fused; t++) /* not every model has them all */
        if (tie(b, &b->rules->fused[t], NULL) < 0)
            return -1;
    return 0;
}

/* Fixes matrix I at TYPE, which has to be legal unless it is the present one. */
static int
fix(struct builder *b, size_t i, struct mpq_type type, const char *place)
{
    const struct mpq_matrix *m = &b->layout->matrices[i];
    char name[MPQ_TYPE_NAME_MAX];
    uint64_t multiple;

    b->choice[i] = 0;
    b->out->fixed[i] = type;
    if (mpq_type_eq(type, m->type))
        return 0;
    mpq_type_name(type, name);
    switch (mpq_rules_allow(b->rules, type, m->rows, m->cols, &multiple)) {
    case MPQ_LEGAL:
        return 0;
    case MPQ_NOT_LOADED:
        return mpq_fail(b->err, MPQ_EDATA, "%s: %s: %s does not load %s", place,
                        m->name, b->rules->name, name);
    case MPQ_NOT_WRITTEN:
        return mpq_fail(b->err, MPQ_EDATA, "%s: %s: mpq-pack does not write %s", place,
                        m->name, name);
    case MPQ_ROW_LENGTH:
        return mpq_fail(b->err, MPQ_EDATA,
                        "%s: %s: %s needs rows of a multiple of %" PRIu64
                        ", these have %" PRIu64,
                        place, m->name, name, multiple, m->cols);
    case MPQ_ROW_COUNT:
        break;
    }
    return mpq_fail(b->err, MPQ_EDATA,
                    "%s: %s: %s needs a multiple of %" PRIu64
                    " rows, there are %" PRIu64,
                    place, m->name, name, multiple, m->rows);
}

/* A pin goes over to all that is tied to its matrix. */
static int
spread_pins(struct builder *b)
{
    size_t n = b->layout->n;
    const struct mpq_pin **at = mpq_array(n, sizeof *at); /* of each root */
    int rc = -1;

    if (!at)
        return mpq_fail(b->err, MPQ_ENOMEM, "units: out of memory");
    for (size_t i = 0; i < n; i++) {
        const struct mpq_pin *pin = b->pin[i], **other = &at[root(b, i)];
        if (pin && *other && *other != pin &&
            (pin->keep || (*other)->keep || !mpq_type_eq(pin->type, (*other)->type))) {
            mpq_fail(b->err, MPQ_EDATA, "%s: %.80s and %.80s (%s) are tied and differ",
                     pin->place, pin->name, (*other)->name, (*other)->place);
            goto out;
        }
        if (pin)
            *other = pin;
    }
    for (size_t i = 0; i < n; i++) {
        const struct mpq_pin *pin = at[root(b, i)];
        if (pin && fix(b, i, pin->keep ? b->layout->matrices[i].type : pin->type,
                       pin->place) < 0)
            goto out;
    }
    rc = 0;
out:
    free(at);
    return rc;
}

/* What has a choice at all, and the type of what has none. */
static int
find_choices(struct builder *b)
{
    for (size_t i = 0; i < b->layout->n; i++) {
        const struct mpq_matrix *m = &b->layout->matrices[i];
        int outside = m->role == MPQ_ROLE_EMBED || m->role == MPQ_ROLE_OUTPUT;
        b->out->fixed[i] = m->type;
        if (mpq_rules_keeps(b->rules, m->name))
            continue;
        b->choice[i] = m->is_linear || (outside && b->by_size);
        if (outside && b->policy->has_rest && fix(b, i, b->policy->rest, "--rest") < 0)
            return -1;
    }
    return 0;
}

static void
join_layers(struct builder *b)
{
    for (size_t l = 0; l < b->n_layers; l++)
        b->by_layer[l] = NONE;
    for (size_t i = 0; i < b->layout->n; i++) {
        const struct mpq_matrix *m = &b->layout->matrices[i];
        if (!b->choice[i] || !m->is_linear || m->layer < 0)
            continue;
        size_t *with = &b->by_layer[m->layer];
        if (*with != NONE)
            join(b, i, *with);
        *with = i;
        b->out->by_layer[i] = 1;
    }
}

/* Numbers the sets and lists their members. */
static void
number_units(struct builder *b, int by_layer)
{
    struct mpq_units *u = b->out;
    size_t n = b->layout->n;

    for (size_t i = 0; i < n; i++) {
        const struct mpq_matrix *m = &b->layout->matrices[i];
        u->unit[i] = NONE;
        if (!b->choice[i])
            continue;
        size_t r = root(b, i);
        if (r == i) {
            if (by_layer && m->is_linear)
                snprintf(u->name[u->n], sizeof *u->name, "blk.%d", m->layer);
            else
                snprintf(u->name[u->n], sizeof *u->name, "%.63s", m->name);
            u->unit[i] = u->n++;
        } else {
            u->unit[i] = u->unit[r];
        }
    }
    for (size_t i = 0; i < n; i++)
        if (u->unit[i] != NONE)
            u->first[u->unit[i] + 1]++;
    for (size_t k = 0; k < u->n; k++)
        u->first[k + 1] += u->first[k];
    for (size_t i = 0; i < n; i++) /* first[k] moves to the unit's end ... */
        if (u->unit[i] != NONE)
            u->member[u->first[u->unit[i]]++] = i;
    for (size_t k = u->n; k > 0; k--) /* ... which is where the next one begins */
        u->first[k] = u->first[k - 1];
    u->first[0] = 0;
}

static int
allocate(struct builder *b)
{
    struct mpq_units *u = b->out;
    size_t n = b->layout->n;

    for (size_t i = 0; i < n; i++)
        if (b->layout->matrices[i].layer >= (int)b->n_layers)
            b->n_layers = (size_t)b->layout->matrices[i].layer + 1;
    u->first = mpq_array(n + 1, sizeof *u->first);
    u->member = mpq_array(n, sizeof *u->member);
    u->unit = mpq_array(n, sizeof *u->unit);
    u->fixed = mpq_array(n, sizeof *u->fixed);
    u->by_layer = mpq_array(n, 1);
    u->name = mpq_array(n, sizeof *u->name);
    b->parent = mpq_array(n, sizeof *b->parent);
    b->by_layer = mpq_array(b->n_layers, sizeof *b->by_layer);
    b->choice = mpq_array(n, 1);
    b->pin = mpq_array(n, sizeof *b->pin);
    if (!u->first || !u->member || !u->unit || !u->fixed || !u->by_layer || !u->name ||
        !b->parent || !b->by_layer || !b->choice || !b->pin)
        return mpq_fail(b->err, MPQ_ENOMEM, "units: out of memory");
    for (size_t i = 0; i < n; i++)
        b->parent[i] = i;
    return 0;
}

int
mpq_units_build(struct mpq_units *out, const struct mpq_layout *layout,
                const struct mpq_policy *policy, const struct mpq_rules *rules,
                int by_layer, int by_size, struct mpq_err *err)
{
    struct builder b = { .layout = layout,
                         .policy = policy,
                         .rules = rules,
                         .out = out,
                         .by_size = by_size,
                         .err = err };
    int rc = -1;

    *out = (struct mpq_units){ 0 };
    if (allocate(&b) < 0 || find_choices(&b) < 0 || choose_pins(&b) < 0 ||
        join_ties(&b) < 0 || spread_pins(&b) < 0)
        goto out;
    if (by_layer)
        join_layers(&b);
    number_units(&b, by_layer);
    rc = 0;
out:
    free(b.parent);
    free(b.by_layer);
    free(b.choice);
    free(b.pin);
    if (rc < 0)
        mpq_units_free(out);
    return rc;
}

void
mpq_units_free(struct mpq_units *u)
{
    free(u->first);
    free(u->member);
    free(u->unit);
    free(u->fixed);
    free(u->by_layer);
    free(u->name);
    *u = (struct mpq_units){ 0 };
}
