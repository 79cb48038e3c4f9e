/* Damages of single matrices, from the rows that damage.c has read. */
#include "model/damage.h"

#include "quant/codec.h"

#include <math.h>

/* Is matrix I the embedding of a tied model, and so used twice? */
static int
used_twice(const struct mpq_damage *d, size_t i)
{
    return d->layout->tied && d->layout->matrices[i].role == MPQ_ROLE_EMBED &&
           !mpq_layout_find(d->layout, "output");
}

int
mpq_damage_has(const struct mpq_damage *d, size_t i)
{
    return d->own[i] != SIZE_MAX || d->layer[i] != SIZE_MAX ||
           (used_twice(d, i) && d->second != SIZE_MAX);
}

int
mpq_damage_unmeasured(const struct mpq_damage *d, size_t i, struct mpq_type type)
{
    size_t j = 0;

    if (d->is_scores || d->own[i] != SIZE_MAX || d->layer[i] == SIZE_MAX)
        return 0;
    while (j < d->n_types && !mpq_type_eq(d->types[j], type))
        j++;
    if (j < d->n_types && !isnan(d->damage[d->layer[i] * d->n_types + j]))
        return 0;
    for (size_t o = 0; o < d->layout->n; o++) {
        const struct mpq_matrix *m = &d->layout->matrices[o];
        if (d->layer[o] == d->layer[i] && !mpq_type_fits(type, m->cols))
            return 1;
    }
    return 0;
}

/* Adds SHARE of unit U's figure for type J; -1 when there is none. */
static int
add_pair(const struct mpq_damage *d, size_t u, size_t j, double share, double *damage,
         double *se)
{
    double value = j < d->n_types ? d->damage[u * d->n_types + j] : NAN;

    if (isnan(value))
        return -1;
    *damage += share * value;
    *se += share * d->se[u * d->n_types + j];
    return 0;
}

static int
measured(const struct mpq_damage *d, size_t i, struct mpq_type type, double *damage,
         double *se, struct mpq_err *err)
{
    const struct mpq_matrix *m = &d->layout->matrices[i];
    double params = (double)m->rows * (double)m->cols;
    char name[MPQ_TYPE_NAME_MAX];
    size_t j = 0;

    while (j < d->n_types && !mpq_type_eq(d->types[j], type))
        j++;
    int twice = used_twice(d, i), rc = 0;
    if (d->own[i] != SIZE_MAX)
        rc = add_pair(d, d->own[i], j, 1, damage, se);
    if (rc == 0 && twice && d->second != SIZE_MAX)
        rc = add_pair(d, d->second, j, 1, damage, se);
    if (rc == 0 && d->own[i] == SIZE_MAX && d->layer[i] != SIZE_MAX)
        rc = add_pair(d, d->layer[i], j, params / d->layer_params[i], damage, se);
    mpq_type_name(type, name);
    if (rc < 0)
        return mpq_fail(err, MPQ_EDATA, "%s: no row for unit %s, %s", d->file,
                        d->own[i] != SIZE_MAX     ? d->units[d->own[i]].name
                        : d->layer[i] != SIZE_MAX ? d->units[d->layer[i]].name
                                                  : "output",
                        name);
    if (mpq_damage_has(d, i))
        return 0;
    if (j == d->n_types || isnan(d->mean[j]))
        return mpq_fail(err, MPQ_EDATA, "%s: no row at all for type %s", d->file, name);
    *damage = (twice ? 2 : 1) * params * d->mean[j];
    *se = (twice ? 2 : 1) * params * d->mean_se[j];
    return 0;
}

int
mpq_damage_of(const struct mpq_damage *d, size_t i, struct mpq_type type,
              double *damage, double *se, struct mpq_err *err)
{
    const struct mpq_matrix *m = &d->layout->matrices[i];
    int twice = used_twice(d, i);
    double score = 0;

    *damage = *se = 0;
    if (!d->is_scores)
        return measured(d, i, type, damage, se, err);
    if (!mpq_damage_has(d, i)) {
        score = (twice ? 2 : 1) * d->mean_score;
    } else if (twice) { /* one row alone stands for both uses */
        double first = d->own[i] != SIZE_MAX ? d->units[d->own[i]].score : -1;
        double second = d->second != SIZE_MAX ? d->units[d->second].score : -1;
        score = (first < 0 ? second : first) + (second < 0 ? first : second);
    } else {
        score = d->units[d->own[i] != SIZE_MAX ? d->own[i] : d->layer[i]].score;
    }
    *damage = score * (double)m->rows * (double)m->cols * mpq_type_error(type);
    return 0;
}
