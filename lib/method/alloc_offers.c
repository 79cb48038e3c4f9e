/* Which types a unit is offered. */
#include "method/alloc_own.h"
#include "quant/codec.h"

enum { NATIVE_GROUP = 128 }; /* of the native types offered when none is asked for */

struct mpq_type *
mpq_alloc_default_types(const struct mpq_rules *r, size_t *n)
{
    struct mpq_type *types = mpq_array(r->n_types + 8, sizeof *types);

    *n = 0;
    for (size_t i = 0; types && i < r->n_types; i++) {
        struct mpq_type t = r->types[i].type;
        if (!r->types[i].any_native) {
            if (mpq_codec_writes(t))
                types[(*n)++] = t;
            continue;
        }
        t = MPQ_TYPE(MPQ_INT);
        t.group = NATIVE_GROUP;
        for (t.bits = 1; t.bits <= 8; t.bits++)
            types[(*n)++] = t;
    }
    return types;
}

int
mpq_alloc_offers(const struct mpq_alloc *a, size_t u, struct mpq_type t)
{
    uint64_t multiple;

    for (size_t k = a->units.first[u]; k < a->units.first[u + 1]; k++) {
        const struct mpq_matrix *m = &a->layout->matrices[a->units.member[k]];
        enum mpq_legal legal =
            mpq_rules_allow(a->rules, t, m->rows, m->cols, &multiple);
        if (legal != MPQ_LEGAL &&
            !(legal == MPQ_NOT_WRITTEN && mpq_type_eq(m->type, t)))
            return 0;
    }
    return 1;
}

/* May all of unit U stay as it is? That nobody writes its type does not matter. */
static int
may_stay(const struct mpq_alloc *a, size_t u)
{
    uint64_t multiple;

    for (size_t k = a->units.first[u]; k < a->units.first[u + 1]; k++) {
        const struct mpq_matrix *m = &a->layout->matrices[a->units.member[k]];
        enum mpq_legal legal =
            mpq_rules_allow(a->rules, m->type, m->rows, m->cols, &multiple);
        if (legal != MPQ_LEGAL && legal != MPQ_NOT_WRITTEN)
            return 0;
    }
    return 1;
}

int
mpq_alloc_offers_to_stay(const struct mpq_alloc *a, size_t u)
{
    int quantized = 0;

    for (size_t k = a->units.first[u]; k < a->units.first[u + 1]; k++)
        quantized |= !mpq_type_is_float(a->layout->matrices[a->units.member[k]].type);
    if (a->listed ? !a->policy->keep : !a->damage->is_scores && !quantized)
        return 0;
    return may_stay(a, u);
}

struct mpq_type
mpq_alloc_type(const struct mpq_alloc *a, uint32_t t, size_t i)
{
    return t < a->n_types ? a->types[t] : a->layout->matrices[i].type;
}

int
mpq_alloc_too_wide(const struct mpq_alloc *a, size_t u, struct mpq_type t)
{
    uint64_t bytes, now = 0, then = 0;

    if (a->listed || !may_stay(a, u))
        return 0;
    for (size_t k = a->units.first[u]; k < a->units.first[u + 1]; k++) {
        const struct mpq_matrix *m = &a->layout->matrices[a->units.member[k]];
        if (mpq_type_bytes(m->type, m->rows, m->cols, &bytes) < 0 ||
            mpq_add_u64(now, bytes, &now) < 0 ||
            mpq_type_bytes(t, m->rows, m->cols, &bytes) < 0 ||
            mpq_add_u64(then, bytes, &then) < 0)
            return 0;
    }
    return then > now;
}

int
mpq_alloc_unmeasured(const struct mpq_alloc *a, size_t u, struct mpq_type t)
{
    for (size_t k = a->units.first[u]; k < a->units.first[u + 1]; k++)
        if (mpq_damage_unmeasured(a->damage, a->units.member[k], t))
            return 1;
    return 0;
}
