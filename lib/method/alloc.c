/* Making an allocation problem: types, units, and the choices of each. */
#include "method/alloc.h"

#include "method/alloc_own.h"
#include "quant/codec.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* So many weights, of 64 bits each, in so many matrices: sums stay below 2^62. */
static const uint64_t MAX_PARAMS = UINT64_C(1) << 40;
enum { MAX_MATRICES = 1 << 16 };

static int
no_memory(struct mpq_err *err)
{
    return mpq_fail(err, MPQ_ENOMEM, "allocation: out of memory");
}

/* A type that was asked for is written, or somewhere there already. */
static int
check_written(const struct mpq_alloc *a, struct mpq_type type, struct mpq_err *err)
{
    char name[MPQ_TYPE_NAME_MAX];

    if (mpq_codec_writes(type))
        return 0;
    for (size_t i = 0; i < a->layout->n; i++)
        if (mpq_type_eq(a->layout->matrices[i].type, type))
            return 0;
    return mpq_fail(err, MPQ_EUSAGE,
                    "types: mpq-pack does not write %s (mpq-alloc --list-types)",
                    mpq_type_name(type, name));
}

static int
choose_types(struct mpq_alloc *a, struct mpq_err *err)
{
    const struct mpq_policy *p = a->policy;
    const struct mpq_damage *d = a->damage;

    a->listed = p->n_types || p->keep;
    if (!a->listed && d->is_scores) {
        a->types = mpq_alloc_default_types(a->rules, &a->n_types);
    } else {
        a->n_types = a->listed ? p->n_types : d->n_types;
        a->types = mpq_array(a->n_types, sizeof *a->types);
        if (a->types && a->n_types)
            memcpy(a->types, a->listed ? p->types : d->types,
                   a->n_types * sizeof *a->types);
    }
    if (!a->types)
        return no_memory(err);
    for (size_t t = 0; t < p->n_types; t++)
        if (check_written(a, p->types[t], err) < 0)
            return -1;
    a->container = a->rules->container == MPQ_CONTAINER_NATIVE ? MPQ_CONTAINER_NATIVE
                                                               : a->layout->container;
    for (size_t t = 0; t < a->n_types; t++)
        if (!mpq_type_is_ggml(a->types[t]))
            a->container = MPQ_CONTAINER_NATIVE;
    return 0;
}

/* What the budget counts for matrix I at TYPE: bits, or bytes in the file. */
static int
matrix_size(const struct mpq_alloc *a, size_t i, struct mpq_type type, uint64_t *size,
            struct mpq_err *err)
{
    const struct mpq_matrix *m = &a->layout->matrices[i];
    char name[MPQ_TYPE_NAME_MAX];

    if (m->rows > MAX_PARAMS / m->cols)
        return mpq_fail(err, MPQ_EDATA, "%s: %" PRIu64 " x %" PRIu64 " is too large",
                        m->name, m->rows, m->cols);
    if (a->by_size) {
        if (mpq_layout_matrix_bytes(a->layout, a->container, m, type, size) == 0)
            return 0;
    } else if (a->policy->nominal) {
        *size = m->rows * m->cols * (uint64_t)mpq_type_nominal_bits(type);
        return 0;
    } else if (mpq_type_bytes(type, m->rows, m->cols, size) == 0 && *size < (uint64_t)1
                                                                                << 56) {
        *size = 8 * (*size - mpq_type_map_bytes(type, m->cols));
        return 0;
    }
    return mpq_fail(err, MPQ_EDATA,
                    "%s: %s does not fit rows of %" PRIu64 " or the file", m->name,
                    mpq_type_name(type, name), m->cols);
}

/* One choice: the sums over the unit's matrices. */
static int
add_choice(struct mpq_alloc *a, size_t u, uint32_t t, struct mpq_err *err)
{
    size_t at = a->n_choices++;
    double damage, se;
    uint64_t size;

    a->type[at] = t;
    for (size_t k = a->units.first[u]; k < a->units.first[u + 1]; k++) {
        size_t i = a->units.member[k];
        const struct mpq_matrix *m = &a->layout->matrices[i];
        struct mpq_type type = mpq_alloc_type(a, t, i);
        if (matrix_size(a, i, type, &size, err) < 0 ||
            mpq_damage_of(a->damage, i, type, &damage, &se, err) < 0)
            return -1;
        a->size[at] += size;
        a->cost[at] += damage + a->policy->risk * se;
        if (!mpq_type_eq(type, m->type)) /* what stays is copied */
            a->error[at] += (double)m->rows * (double)m->cols * mpq_type_error(type);
    }
    return 0;
}

/* All choices of unit U; -1 with MPQ_ENOFIT when there is none. */
static int
add_unit(struct mpq_alloc *a, size_t u, struct mpq_err *err)
{
    for (size_t k = a->units.first[u]; k < a->units.first[u + 1]; k++) {
        const struct mpq_matrix *m = &a->layout->matrices[a->units.member[k]];
        a->params[u] += (double)m->rows * (double)m->cols;
    }
    for (uint32_t t = 0; t < a->n_types; t++)
        if (mpq_alloc_offers(a, u, a->types[t]) &&
            !mpq_alloc_too_wide(a, u, a->types[t]) &&
            !mpq_alloc_unmeasured(a, u, a->types[t]) && add_choice(a, u, t, err) < 0)
            return -1;
    if (mpq_alloc_offers_to_stay(a, u) &&
        add_choice(a, u, (uint32_t)a->n_types, err) < 0)
        return -1;
    a->first[u + 1] = a->n_choices;
    if (a->first[u + 1] == a->first[u])
        return mpq_alloc_fail_illegal(a, u, err);
    return 0;
}

static int
add_choices(struct mpq_alloc *a, struct mpq_err *err)
{
    size_t n = a->units.n, most;

    if (n && a->n_types >= SIZE_MAX / n)
        return no_memory(err);
    most = n * (a->n_types + 1); /* to stay as it is is one more */
    a->first = mpq_array(n + 1, sizeof *a->first);
    a->params = mpq_array(n, sizeof *a->params);
    a->size = mpq_array(most, sizeof *a->size);
    a->cost = mpq_array(most, sizeof *a->cost);
    a->error = mpq_array(most, sizeof *a->error);
    a->type = mpq_array(most, sizeof *a->type);
    if (!a->first || !a->params || !a->size || !a->cost || !a->error || !a->type)
        return no_memory(err);
    for (size_t u = 0; u < n; u++)
        if (add_unit(a, u, err) < 0)
            return -1;
    return 0;
}

/* What cannot change but counts: header and other tensors of a file, matrices in no
 * unit. */
static int
add_fixed(struct mpq_alloc *a, struct mpq_err *err)
{
    const struct mpq_layout *l = a->layout;
    int native = a->container == MPQ_CONTAINER_NATIVE;
    uint64_t size;

    if (a->by_size &&
        mpq_add_u64(native ? l->st_header_bytes : l->header_bytes,
                    native ? l->st_rest_bytes : l->rest_bytes, &a->fixed_size) < 0)
        return mpq_fail(err, MPQ_EDATA, "model of more than 2^64 bytes");
    for (size_t i = 0; i < l->n; i++) {
        const struct mpq_matrix *m = &l->matrices[i];
        if (m->is_linear)
            a->linear_params += m->rows * m->cols;
        if (a->units.unit[i] != SIZE_MAX || (!a->by_size && !m->is_linear))
            continue;
        if (matrix_size(a, i, a->units.fixed[i], &size, err) < 0)
            return -1;
        if (mpq_add_u64(a->fixed_size, size, &a->fixed_size) < 0)
            return mpq_fail(err, MPQ_EDATA, "model of more than 2^64 bytes");
    }
    if (!a->by_size && a->linear_params == 0)
        return mpq_fail(err, MPQ_EDATA,
                        "the model has no linear weights in blocks: "
                        "nothing that mean bits could count");
    return 0;
}

static enum mpq_split
choose_split(const struct mpq_policy *p, const struct mpq_damage *d, int by_size)
{
    if (p->split != MPQ_SPLIT_DEFAULT)
        return p->split;
    if (by_size || d->has_tensors)
        return MPQ_SPLIT_TENSOR;
    return d->has_modules ? MPQ_SPLIT_MODULE : MPQ_SPLIT_LAYER;
}

int
mpq_alloc_new(struct mpq_alloc **out, const struct mpq_layout *layout,
              const struct mpq_rules *rules, const struct mpq_policy *policy,
              const struct mpq_damage *damage, int by_size, struct mpq_err *err)
{
    struct mpq_alloc *a = calloc(1, sizeof *a);
    int rc = -1;

    *out = NULL;
    if (!a)
        return no_memory(err);
    a->layout = layout;
    a->rules = rules;
    a->policy = policy;
    a->damage = damage;
    a->by_size = by_size;
    if (policy->risk > 0 && !damage->has_se) {
        mpq_fail(err, MPQ_EUSAGE, "a risk needs damages with a column se");
        goto out;
    }
    if (layout->n > MAX_MATRICES) {
        mpq_fail(err, MPQ_EDATA, "a model of %zu matrices, at most %d are allocated",
                 layout->n, MAX_MATRICES);
        goto out;
    }
    if (choose_types(a, err) < 0 ||
        mpq_units_build(&a->units, layout, policy, rules,
                        choose_split(policy, damage, by_size), by_size, err) < 0 ||
        add_choices(a, err) < 0 || add_fixed(a, err) < 0)
        goto out;
    mpq_alloc_note_types(a);
    mpq_alloc_note_pins(a);
    mpq_alloc_note_means(a);
    if (a->notes.failed) {
        no_memory(err);
        goto out;
    }
    *out = a;
    a = NULL;
    rc = 0;
out:
    mpq_alloc_free(a);
    return rc;
}

void
mpq_alloc_free(struct mpq_alloc *a)
{
    if (!a)
        return;
    mpq_units_free(&a->units);
    free(a->types);
    free(a->first);
    free(a->size);
    free(a->cost);
    free(a->error);
    free(a->type);
    free(a->params);
    mpq_buf_free(&a->notes);
    free(a);
}
