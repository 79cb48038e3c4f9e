/* mpq-score --fill: which pairs of unit and type were probed, and which have a cheap
 * figure. */
#include "score_fill_own.h"

#include "base/buf.h"
#include "base/index.h"
#include "quant/codec.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int
no_memory(struct mpq_err *err)
{
    return mpq_fail(err, MPQ_ENOMEM, "out of memory");
}

void
fill_free(struct fill_job *j)
{
    struct fill_set *sets[] = { &j->units, &j->types, &j->families };

    for (size_t i = 0; i < 3; i++) {
        free(sets[i]->names);
        free(sets[i]->id);
    }
    mpq_pairs_free(&j->probe);
    mpq_pairs_free(&j->all);
    score_scales_free(&j->scales);
    score_free(&j->probes);
    score_free(&j->cheap);
    free(j->coarse);
    free(j->low);
    free(j->delta);
    free(j->delta_se);
    free(j->damage);
    free(j->se);
    free(j->inputs);
    free(j->fits);
}

const struct mpq_pair *
fill_row(const struct fill_job *j, size_t i)
{
    return i < j->all.n ? &j->all.rows[i] : &j->probe.rows[i - j->all.n];
}

size_t
fill_pair(const struct fill_job *j, size_t i)
{
    return j->units.id[i] * j->types.n + j->types.id[i];
}

int
fill_is_appended(const struct fill_job *j, size_t i)
{
    return i >= j->all.n && isnan(j->low[fill_pair(j, i)]);
}

/* Tells NAMES[n] apart. */
static int
make_set(struct fill_set *s, const char *const *names, size_t n, struct mpq_err *err)
{
    struct mpq_index index = { 0 };
    int rc = -1;

    s->names = mpq_array(n, sizeof *s->names);
    s->id = mpq_array(n, sizeof *s->id);
    if (!s->names || !s->id)
        goto out;
    for (size_t i = 0; i < n; i++)
        if (mpq_index_add(&index, names[i], i) < 0)
            goto out;
    (void)mpq_index_sort(&index);
    for (size_t i = 0; i < n; i++) {
        const struct mpq_index_entry *e = &index.entries[i];
        if (i == 0 || strcmp(e->name, index.entries[i - 1].name) != 0)
            s->names[s->n++] = e->name;
        s->id[e->pos] = s->n - 1;
    }
    rc = 0;
out:
    mpq_index_free(&index);
    return rc < 0 ? no_memory(err) : 0;
}

static int
read_inputs(struct fill_job *j, char **names, size_t n, struct mpq_err *err)
{
    char *fill[1];
    struct mpq_objective o;

    fill[0] = mpq_strdup(score.fill);
    if (!fill[0])
        return no_memory(err);
    int rc = score_read(&j->probes, names, n, "probe", err);
    if (rc == 0)
        rc = score_read(&j->cheap, fill, 1, "damage", err);
    free(fill[0]);
    if (rc < 0 || mpq_objective_choose(j->probes.all, j->probes.n, score.tasks,
                                       score_metric(), "kld", &o, err) < 0)
        return -1;
    struct mpq_pairs_how how = { .kind = MPQ_PAIRS_PROBE,
                                 .task = o.task,
                                 .metric = o.metric,
                                 .types = score.types,
                                 .n_types = score.n_types };
    if (mpq_pairs_read(&j->probe, j->probes.all, j->probes.n, &how, err) < 0)
        return -1;
    how.kind = MPQ_PAIRS_DAMAGE;
    if (mpq_pairs_read(&j->all, j->cheap.all, 1, &how, err) < 0 ||
        score_check_damages(&j->all, err) < 0 ||
        score_scales_read(&j->scales, score.scale, err) < 0)
        return -1;
    return score_scales_check(&j->scales, &j->all, err);
}

/* Which units, types and families there are. */
static int
make_sets(struct fill_job *j, struct mpq_err *err)
{
    const size_t n = j->all.n + j->probe.n;
    const char **names = mpq_array(n, sizeof *names);
    int rc = -1;

    if (!names)
        return no_memory(err);
    for (size_t i = 0; i < n; i++)
        names[i] = fill_row(j, i)->unit;
    if (make_set(&j->units, names, n, err) < 0)
        goto out;
    for (size_t i = 0; i < n; i++)
        names[i] = fill_row(j, i)->type;
    if (make_set(&j->types, names, n, err) < 0)
        goto out;
    for (size_t u = 0; u < j->units.n; u++)
        names[u] = score_family(j->units.names[u]);
    rc = make_set(&j->families, names, j->units.n, err);
out:
    free(names);
    return rc;
}

/* The probe has units of DAMAGE's, and they are as large there. */
static int
check_units(const struct fill_job *j, struct mpq_err *err)
{
    double *params = mpq_array(j->units.n, sizeof *params); /* NAN: not in DAMAGE */
    const struct mpq_pair *lost = NULL;
    size_t found = 0;
    int rc = -1;

    if (!params)
        return no_memory(err);
    for (size_t u = 0; u < j->units.n; u++)
        params[u] = NAN;
    for (size_t i = 0; i < j->all.n; i++)
        params[j->units.id[i]] = fill_row(j, i)->params;
    for (size_t i = j->all.n; i < j->all.n + j->probe.n; i++) {
        const struct mpq_pair *r = fill_row(j, i);
        const double there = params[j->units.id[i]];
        if (isnan(there)) {
            lost = lost ? lost : r;
            continue;
        }
        found++;
        if (r->params != there) {
            mpq_fail(err, MPQ_EDATA, "%s: %.120s has %.0f params, in %s %.0f",
                     j->probe.file, r->unit, r->params, j->all.file, there);
            goto out;
        }
    }
    if (!lost)
        rc = 0;
    else if (found)
        mpq_fail(err, MPQ_EDATA, "%s: no row for unit %.120s, which %s has",
                 j->all.file, lost->unit, j->probe.file);
    else
        mpq_fail(err, MPQ_EDATA,
                 "%s has units such as %.100s, %s such as %.100s, none in common:"
                 " both are to be by layer, by module or by tensor",
                 j->probe.file, lost->unit, j->all.file, j->all.rows->unit);
out:
    free(params);
    return rc;
}

static int
make_arrays(struct fill_job *j, struct mpq_err *err)
{
    double **arrays[] = { &j->low,    &j->delta, &j->delta_se,
                          &j->damage, &j->se,    &j->inputs };
    const size_t n = j->units.n * j->types.n;

    j->coarse = mpq_array(j->types.n, sizeof *j->coarse);
    j->fits = mpq_array(j->families.n, sizeof *j->fits);
    if (!j->coarse || !j->fits || (j->types.n && n / j->types.n != j->units.n))
        return no_memory(err);
    for (size_t a = 0; a < sizeof arrays / sizeof *arrays; a++) {
        double *x = *arrays[a] = mpq_array(n, sizeof *x);
        if (!x)
            return no_memory(err);
        for (size_t i = 0; i < n; i++)
            x[i] = NAN;
    }
    for (size_t t = 0; t < j->types.n; t++) {
        struct mpq_type type;
        if (mpq_type_parse(j->types.names[t], &type) < 0)
            return mpq_fail(err, MPQ_EDATA, "unknown type %s", j->types.names[t]);
        j->coarse[t] = fmax(mpq_type_error(type), 1e-12);
    }
    for (size_t i = 0; i < j->all.n; i++) {
        const struct mpq_pair *r = fill_row(j, i);
        j->low[fill_pair(j, i)] = r->value - r->inputs;
        j->inputs[fill_pair(j, i)] = r->inputs;
    }
    j->has_inputs = mpq_tsv_find(j->cheap.all[0], "inputs") >= 0;
    for (size_t i = j->all.n; i < j->all.n + j->probe.n; i++) {
        j->delta[fill_pair(j, i)] = fill_row(j, i)->value;
        j->delta_se[fill_pair(j, i)] = fill_row(j, i)->se;
    }
    return 0;
}

/* Are the probes of the model that DAMAGE is of, or, given back, of what was made of it?
 * And without what DAMAGE has apart, the rounding of inputs? */
static int
check_kin(const struct fill_job *j, struct mpq_err *err)
{
    const struct mpq_tsv *cheap = j->cheap.all[0];
    const char *id = score_word_in(cheap, "file ", " model_id=");
    const int has_inputs = mpq_tsv_find(cheap, "inputs") >= 0;

    for (size_t i = 0; i < j->probes.n; i++) {
        const struct mpq_tsv *t = j->probes.all[i];
        const int back = score_word_in(t, "pack back", "back") != NULL;
        const char *of = score_word_in(t, back ? "ref " : "model ", "id=");
        if (id && of && strcspn(id, " ") == strcspn(of, " ") &&
            strncmp(id, of, strcspn(id, " ")) != 0)
            return mpq_fail(err, MPQ_EDATA, "%s: of another model than %s",
                            mpq_tsv_name(t), mpq_tsv_name(cheap));
        if (has_inputs && score_word_in(t, "pack ", " int8"))
            return mpq_fail(err, MPQ_EDATA,
                            "%s: probes with --int8, which have the rounding of inputs"
                            " in them that %s has apart",
                            mpq_tsv_name(t), mpq_tsv_name(cheap));
    }
    return 0;
}

int
fill_read(struct fill_job *j, char **names, size_t n, struct mpq_err *err)
{
    return read_inputs(j, names, n, err) < 0 || score_one_model(&j->probes, err) < 0 ||
                   score_one_whole(j->probes.all, j->probes.n, err) < 0 ||
                   check_kin(j, err) < 0 || make_sets(j, err) < 0 ||
                   check_units(j, err) < 0 || make_arrays(j, err) < 0
               ? -1
               : 0;
}
