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
    return d->own[i] != SIZE_MAX || d->group[i] != SIZE_MAX ||
           (used_twice(d, i) && d->second != SIZE_MAX);
}

/* Position of TYPE in the table, n_types when it is not there. */
static size_t
find_type(const struct mpq_damage *d, struct mpq_type type)
{
    size_t j = 0;

    while (j < d->n_types && !mpq_type_eq(d->types[j], type))
        j++;
    return j;
}

static int
is_present(const struct mpq_damage *d, size_t i, struct mpq_type type)
{
    return mpq_type_eq(d->layout->matrices[i].type, type);
}

int
mpq_damage_unmeasured(const struct mpq_damage *d, size_t i, struct mpq_type type)
{
    if (d->is_scores || d->own[i] != SIZE_MAX || d->group[i] == SIZE_MAX ||
        is_present(d, i, type))
        return 0;
    size_t j = find_type(d, type);
    if (j < d->n_types && !isnan(d->damage[d->group[i] * d->n_types + j]))
        return 0;
    return !mpq_type_fits(type, d->units[d->group[i]].cols);
}

/* Adds SHARE of unit U's figure for type J; -1 when there is none: *missing is U. */
static int
add_pair(const struct mpq_damage *d, size_t u, size_t j, double share, double *damage,
         double *se, const char **missing)
{
    double value = j < d->n_types ? d->damage[u * d->n_types + j] : NAN;

    if (isnan(value)) {
        *missing = d->units[u].name;
        return -1;
    }
    *damage += share * value;
    *se += share * d->se[u * d->n_types + j];
    return 0;
}

/* Matrix I's share of what was measured on its group as a whole: it is spread over what
 * type J changed there, by parameters. What had the type already has no part in it,
 * unless all had, when the figure is for leaving the group alone. */
static double
share_of_group(const struct mpq_damage *d, size_t i, size_t j)
{
    const struct mpq_matrix *m = &d->layout->matrices[i];
    const struct mpq_damage_unit *group = &d->units[d->group[i]];
    double kept = j < d->n_types ? d->kept[d->group[i] * d->n_types + j] : 0;
    double params = (double)m->rows * (double)m->cols;

    if (kept >= group->params)
        return params / group->params;
    if (kept > 0 && is_present(d, i, d->types[j]))
        return 0;
    return params / (group->params - kept);
}

/* The sum of the rows that are about matrix I; -1 when one is missing: *missing is its
 * unit. */
static int
add_rows(const struct mpq_damage *d, size_t i, size_t j, double *damage, double *se,
         const char **missing)
{
    if (d->own[i] != SIZE_MAX && add_pair(d, d->own[i], j, 1, damage, se, missing) < 0)
        return -1;
    if (used_twice(d, i) && d->second != SIZE_MAX &&
        add_pair(d, d->second, j, 1, damage, se, missing) < 0)
        return -1;
    if (d->own[i] != SIZE_MAX || d->group[i] == SIZE_MAX)
        return 0;
    return add_pair(d, d->group[i], j, share_of_group(d, i, j), damage, se, missing);
}

static int
measured(const struct mpq_damage *d, size_t i, struct mpq_type type, double *damage,
         double *se, struct mpq_err *err)
{
    const struct mpq_matrix *m = &d->layout->matrices[i];
    const double params = (double)m->rows * (double)m->cols;
    const size_t j = find_type(d, type);
    const char *missing = NULL;
    char name[MPQ_TYPE_NAME_MAX];

    mpq_type_name(type, name);
    int rc = add_rows(d, i, j, damage, se, &missing);
    if (is_present(d, i, type) && (rc < 0 || !mpq_damage_has(d, i))) {
        *damage = *se = 0;
        return 0;
    }
    if (rc < 0)
        return mpq_fail(err, MPQ_EDATA, "%s: no row for unit %s, %s", d->file, missing,
                        name);
    if (mpq_damage_has(d, i))
        return 0;
    if (j == d->n_types || isnan(d->mean[j]))
        return mpq_fail(err, MPQ_EDATA, "%s: no row at all for type %s", d->file, name);
    const double uses = used_twice(d, i) ? 2 : 1;
    *damage = uses * params * d->mean[j];
    *se = uses * params * d->mean_se[j];
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
    if (is_present(d, i, type))
        return 0;
    if (!mpq_damage_has(d, i)) {
        score = (twice ? 2 : 1) * d->median_score;
    } else if (twice) { /* one row alone stands for both uses */
        double first = d->own[i] != SIZE_MAX ? d->units[d->own[i]].score : -1;
        double second = d->second != SIZE_MAX ? d->units[d->second].score : -1;
        score = (first < 0 ? second : first) + (second < 0 ? first : second);
    } else {
        score = d->units[d->own[i] != SIZE_MAX ? d->own[i] : d->group[i]].score;
    }
    *damage = score * (double)m->rows * (double)m->cols * mpq_type_error(type);
    return 0;
}
