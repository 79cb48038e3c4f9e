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
    size_t *parent;  /* [layout->n] joined matrices: the forest of their sets */
    size_t *by_part; /* [n_layers][MPQ_N_MODULES] scratch: a matrix of each */
    size_t n_layers;
    enum mpq_split split;
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

/* How precisely NAME means matrix I: 4 by its own name, 3 by its module, 2 by its
 * layer, 1 by its kind, 0 not at all. The output of a tied model is its embedding. */
static int
means(const struct builder *b, const char *name, size_t i)
{
    const struct mpq_matrix *m = &b->layout->matrices[i];
    int layer;

    if (strcmp(name, m->name) == 0)
        return 4;
    if (b->layout->tied && m->role == MPQ_ROLE_EMBED && strcmp(name, "output") == 0 &&
        !mpq_layout_find(b->layout, "output"))
        return 4;
    if (!m->is_linear || m->layer < 0)
        return mpq_name_means(name, m->name);
    const enum mpq_module module = mpq_name_unit_module(name, &layer);
    if (module && layer == m->layer && module == mpq_role_module(m->role))
        return 3;
    if (mpq_name_unit_layer(name) == m->layer)
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

static void
forget_parts(struct builder *b)
{
    for (size_t l = 0; l < b->n_layers * MPQ_N_MODULES; l++)
        b->by_part[l] = NONE;
}

static size_t *
part_of(struct builder *b, int layer, enum mpq_module module)
{
    return &b->by_part[(size_t)layer * MPQ_N_MODULES + module];
}

/* Joins what one tie means: names of their own with each other, kinds layer by layer.
 */
static int
tie(struct builder *b, const struct mpq_names *names, const char *place)
{
    size_t whole = NONE;
    int has_names = 0, has_kinds = 0;

    forget_parts(b);
    for (size_t k = 0; k < names->n; k++) {
        int found = 0;
        size_t i, end;
        for (find_range(b, names->items[k], &i, &end); i < end; i++) {
            int how = means(b, names->items[k], i),
                layer = b->layout->matrices[i].layer;
            found |= how;
            has_names |= how > 1;
            has_kinds |= how == 1;
            if (!how || (!b->choice[i] && !b->pin[i]) || (how == 1 && layer < 0))
                continue;
            size_t *with = how > 1 ? &whole : part_of(b, layer, MPQ_MODULE_NONE);
            if (*with != NONE)
                join(b, i, *with);
            *with = i;
        }
        if (!found && place)
            return mpq_fail(b->err, MPQ_EDATA,
                            "%s: %.80s is no matrix, layer or kind of the model", place,
                            names->items[k]);
    }
    if (has_names && has_kinds && place)
        return mpq_fail(b->err, MPQ_EDATA,
                        "%s: kinds are tied layer by layer, and so not with names of"
                        " matrices or layers",
                        place);
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

/* Joins the matrices of each layer or module. */
static void
join_parts(struct builder *b)
{
    const int whole = b->split == MPQ_SPLIT_LAYER;

    forget_parts(b);
    for (size_t i = 0; i < b->layout->n; i++) {
        const struct mpq_matrix *m = &b->layout->matrices[i];
        if (!b->choice[i] || !m->is_linear || m->layer < 0)
            continue;
        size_t *with =
            part_of(b, m->layer, whole ? MPQ_MODULE_NONE : mpq_role_module(m->role));
        if (*with != NONE)
            join(b, i, *with);
        *with = i;
        b->out->by_layer[i] = (unsigned char)whole;
    }
}

/* What the unit is called whose first matrix is M. */
static void
name_unit(const struct builder *b, const struct mpq_matrix *m, char name[64])
{
    if (b->split == MPQ_SPLIT_TENSOR || !m->is_linear)
        snprintf(name, 64, "%.63s", m->name);
    else
        snprintf(name, 64, "blk.%d%s", m->layer,
                 b->split == MPQ_SPLIT_LAYER
                     ? ""
                     : mpq_module_names[mpq_role_module(m->role)]);
}

/* Numbers the sets and lists their members. */
static void
number_units(struct builder *b)
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
            name_unit(b, m, u->name[u->n]);
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
    b->by_part = mpq_array(b->n_layers, MPQ_N_MODULES * sizeof *b->by_part);
    b->choice = mpq_array(n, 1);
    b->pin = mpq_array(n, sizeof *b->pin);
    if (!u->first || !u->member || !u->unit || !u->fixed || !u->by_layer || !u->name ||
        !b->parent || !b->by_part || !b->choice || !b->pin)
        return mpq_fail(b->err, MPQ_ENOMEM, "units: out of memory");
    for (size_t i = 0; i < n; i++)
        b->parent[i] = i;
    return 0;
}

int
mpq_units_build(struct mpq_units *out, const struct mpq_layout *layout,
                const struct mpq_policy *policy, const struct mpq_rules *rules,
                enum mpq_split split, int by_size, struct mpq_err *err)
{
    struct builder b = { .layout = layout,
                         .policy = policy,
                         .rules = rules,
                         .out = out,
                         .by_size = by_size,
                         .split = split,
                         .err = err };
    int rc = -1;

    *out = (struct mpq_units){ 0 };
    if (allocate(&b) < 0 || find_choices(&b) < 0 || choose_pins(&b) < 0 ||
        join_ties(&b) < 0 || spread_pins(&b) < 0)
        goto out;
    if (split != MPQ_SPLIT_TENSOR)
        join_parts(&b);
    number_units(&b);
    rc = 0;
out:
    free(b.parent);
    free(b.by_part);
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
