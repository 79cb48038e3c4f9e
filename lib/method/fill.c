/* The terms are found in turn, each as a weighted mean of what the others leave, with
 * the variances by moments in between; some rounds settle them to a few percent, which
 * is far below what probes scatter. */
#include "method/fill.h"

#include "base/buf.h"

#include <math.h>
#include <stdlib.h>

enum { ROUNDS = 30 };

/* A pair with both figures. */
struct point {
    size_t unit, type;
    double ratio; /* ln(measured / cheap) */
    double noise; /* variance of that, from the standard error */
};

struct fit {
    const struct mpq_fill *in;
    struct point *points;
    size_t n;
    double *family, *unit, *type; /* terms */
    double *sum, *weight;         /* of whatever is being averaged */
    double *unit_weight;          /* of a unit's points */
    double pairs, units;          /* variances: of pairs about the model, of units */
    double least;                 /* standard error above 0 of all; INFINITY: none */
};

/* No item that changed (0 +- 0 of accuracies) is not to be sure of 0: such a delta has
 * the smallest error that any has. */
static double
error_of(const struct fit *f, size_t i)
{
    const struct mpq_fill *in = f->in;

    return in->se[i] > 0 || in->measured[i] > 0 || isinf(f->least) ? in->se[i]
                                                                   : f->least;
}

/* What is not told from 0 counts as its standard error: the cheap figure then says
 * more, since the noise of its logarithm is 1. */
static int
collect(struct fit *f)
{
    const struct mpq_fill *in = f->in;
    const size_t n = in->n_units * in->n_types;

    f->least = INFINITY;
    for (size_t i = 0; i < n; i++)
        if (!isnan(in->measured[i]) && in->se[i] > 0)
            f->least = fmin(f->least, in->se[i]);
    for (size_t i = 0; i < n; i++) {
        const double error = error_of(f, i), value = fmax(in->measured[i], error);
        if (!(in->cheap[i] > 0) || isnan(in->measured[i]) || !(value > 0))
            continue;
        const double relative = error / value;
        f->points[f->n++] =
            (struct point){ i / in->n_types, i % in->n_types,
                            log(value) - log(in->cheap[i]), relative * relative };
    }
    return f->n > 0;
}

static double
left(const struct fit *f, const struct point *p)
{
    return p->ratio - f->family[f->in->family[p->unit]] - f->unit[p->unit] -
           f->type[p->type];
}

/* Moves TERM[n] to the means of what is left, each point standing at OF it; PRIOR is
 * the precision with which 0 is expected beforehand. */
static void
settle(struct fit *f, double *term, size_t n, size_t (*of)(const struct fit *, size_t),
       double prior)
{
    for (size_t i = 0; i < n; i++)
        f->sum[i] = f->weight[i] = 0;
    for (size_t k = 0; k < f->n; k++) {
        const struct point *p = &f->points[k];
        const size_t i = of(f, k);
        const double w = 1 / (p->noise + f->pairs);
        f->sum[i] += w * (left(f, p) + term[i]);
        f->weight[i] += w;
    }
    for (size_t i = 0; i < n; i++)
        term[i] = f->weight[i] > 0 ? f->sum[i] / (f->weight[i] + prior) : NAN;
}

static size_t
family_of(const struct fit *f, size_t k)
{
    return f->in->family[f->points[k].unit];
}

static size_t
unit_of(const struct fit *f, size_t k)
{
    return f->points[k].unit;
}

static size_t
type_of(const struct fit *f, size_t k)
{
    return f->points[k].type;
}

/* Type terms sum up to 0 over the points: the families have the level. */
static void
center_types(struct fit *f)
{
    double sum = 0;

    for (size_t k = 0; k < f->n; k++)
        sum += f->type[f->points[k].type];
    for (size_t t = 0; t < f->in->n_types; t++)
        f->type[t] -= sum / (double)f->n;
}

/* Variances by moments: of what the model leaves, less the noise that is known; of the
 * units' terms, with what shrinking took from them. */
static void
estimate_variances(struct fit *f)
{
    double rest = 0, units = 0;
    size_t n_units = 0;

    for (size_t k = 0; k < f->n; k++) {
        const double d = left(f, &f->points[k]);
        rest += d * d - f->points[k].noise;
    }
    for (size_t u = 0; u < f->in->n_units; u++)
        if (f->unit_weight[u] > 0) {
            units += f->unit[u] * f->unit[u] + 1 / (f->unit_weight[u] + 1 / f->units);
            n_units++;
        }
    f->pairs = fmax(rest / (double)f->n, 1e-3);
    f->units = fmax(units / (double)n_units, 1e-3);
}

static void
solve(struct fit *f)
{
    const struct mpq_fill *in = f->in;

    f->pairs = f->units = 0.3;
    for (int round = 0; round < ROUNDS; round++) {
        settle(f, f->family, in->n_families, family_of, 0);
        settle(f, f->type, in->n_types, type_of, 1 / 0.3);
        for (size_t t = 0; t < in->n_types; t++)
            f->type[t] = isnan(f->type[t]) ? 0 : f->type[t];
        center_types(f);
        settle(f, f->unit, in->n_units, unit_of, 1 / f->units);
        for (size_t u = 0; u < in->n_units; u++) {
            f->unit_weight[u] = f->weight[u];
            f->unit[u] = isnan(f->unit[u]) ? 0 : f->unit[u];
        }
        estimate_variances(f);
    }
}

/* Types without a measurement, from the nearest ones on both sides. */
static void
bridge_types(struct fit *f, const unsigned char *seen)
{
    const struct mpq_fill *in = f->in;

    for (size_t t = 0; t < in->n_types; t++) {
        size_t low = in->n_types, high = in->n_types;
        if (seen[t])
            continue;
        for (size_t s = 0; s < in->n_types; s++) {
            if (!seen[s])
                continue;
            if (in->coarse[s] <= in->coarse[t] &&
                (low == in->n_types || in->coarse[s] > in->coarse[low]))
                low = s;
            if (in->coarse[s] >= in->coarse[t] &&
                (high == in->n_types || in->coarse[s] < in->coarse[high]))
                high = s;
        }
        if (low == in->n_types || high == in->n_types) {
            f->type[t] = f->type[low == in->n_types ? high : low];
            continue;
        }
        const double from = log(in->coarse[low]), to = log(in->coarse[high]);
        const double at = to > from ? (log(in->coarse[t]) - from) / (to - from) : 0;
        f->type[t] = f->type[low] + at * (f->type[high] - f->type[low]);
    }
}

/* Families without a measurement: as the others are on the whole. */
static void
bridge_families(struct fit *f)
{
    double sum = 0;
    size_t n = 0;

    for (size_t i = 0; i < f->in->n_families; i++)
        if (!isnan(f->family[i])) {
            sum += f->family[i];
            n++;
        }
    for (size_t i = 0; i < f->in->n_families; i++)
        if (isnan(f->family[i]))
            f->family[i] = sum / (double)n;
}

/* The pair from model and measurement, each with its variance. */
static void
put_pair(const struct fit *f, size_t unit, size_t type, double *damage, double *se)
{
    const struct mpq_fill *in = f->in;
    const size_t i = unit * in->n_types + type;
    const double cheap = in->cheap[i];

    if (!(cheap > 0)) { /* no cheap figure, or one of nothing */
        *damage = isnan(in->measured[i]) ? cheap : fmax(in->measured[i], 0);
        *se = isnan(in->measured[i]) ? (isnan(cheap) ? NAN : 0) : in->se[i];
        return;
    }
    double ln =
        log(cheap) + f->family[in->family[unit]] + f->unit[unit] + f->type[type];
    double variance = f->pairs + 1 / (f->unit_weight[unit] + 1 / f->units);
    const double error = error_of(f, i), value = fmax(in->measured[i], error);
    if (!isnan(in->measured[i]) && value > 0) {
        const double noise = error / value * (error / value);
        const double trust = variance / (variance + noise);
        ln += trust * (log(value) - ln);
        variance = noise > 0 ? 1 / (1 / variance + 1 / noise) : 0;
    }
    *damage = exp(ln);
    *se = *damage * sqrt(variance);
}

struct sums {
    double n, x, y, xx, yy, xy;
};

static double
correlation(const struct sums *s)
{
    const double xx = s->xx - s->x * s->x / s->n, yy = s->yy - s->y * s->y / s->n;

    return s->n >= 3 && xx > 0 && yy > 0 ? (s->xy - s->x * s->y / s->n) / sqrt(xx * yy)
                                         : NAN;
}

static void
add(struct sums *s, double x, double y)
{
    s->n++;
    s->x += x;
    s->y += y;
    s->xx += x * x;
    s->yy += y * y;
    s->xy += x * y;
}

/* How cheap and measured agree in family I; BY_TYPE is scratch. */
static struct mpq_fill_family
describe(const struct fit *f, size_t i, struct sums *by_type)
{
    const struct mpq_fill *in = f->in;
    struct sums all = { 0 }, ratio = { 0 };
    struct mpq_fill_family out = { 0 };
    double within = 0, n_within = 0;

    for (size_t t = 0; t < in->n_types; t++)
        by_type[t] = (struct sums){ 0 };
    for (size_t k = 0; k < f->n; k++) {
        const struct point *p = &f->points[k];
        if (in->family[p->unit] != i)
            continue;
        const double x = log(in->cheap[p->unit * in->n_types + p->type]);
        add(&all, x, x + p->ratio);
        add(&by_type[p->type], x, x + p->ratio);
        add(&ratio, p->ratio, 0);
    }
    for (size_t t = 0; t < in->n_types; t++) {
        const double r = correlation(&by_type[t]);
        if (!isnan(r)) {
            within += by_type[t].n * r;
            n_within += by_type[t].n;
        }
    }
    out.n = (size_t)all.n;
    out.correlation = correlation(&all);
    out.within = n_within > 0 ? within / n_within : NAN;
    out.scale = all.n > 0 ? exp(ratio.x / ratio.n) : NAN;
    out.factor =
        all.n > 0
            ? exp(sqrt(fmax(
                  ratio.xx / ratio.n - ratio.x / ratio.n * (ratio.x / ratio.n), 0)))
            : NAN;
    return out;
}

int
mpq_fill(const struct mpq_fill *in, double *damage, double *se,
         struct mpq_fill_family *families, struct mpq_err *err)
{
    size_t most = in->n_units > in->n_types ? in->n_units : in->n_types;
    struct fit f = { .in = in };
    struct sums *by_type = NULL;
    unsigned char *seen = NULL;
    int rc = -1;

    most = in->n_families > most ? in->n_families : most;
    f.points = mpq_array(in->n_units * in->n_types, sizeof *f.points);
    f.family = mpq_array(in->n_families, sizeof *f.family);
    f.unit = mpq_array(in->n_units, sizeof *f.unit);
    f.type = mpq_array(in->n_types, sizeof *f.type);
    f.sum = mpq_array(most, sizeof *f.sum);
    f.weight = mpq_array(most, sizeof *f.weight);
    f.unit_weight = mpq_array(in->n_units, sizeof *f.unit_weight);
    by_type = mpq_array(in->n_types, sizeof *by_type);
    seen = mpq_array(in->n_types, 1);
    if (!f.points || !f.family || !f.unit || !f.type || !f.sum || !f.weight ||
        !f.unit_weight || !by_type || !seen) {
        mpq_fail(err, MPQ_ENOMEM, "out of memory");
        goto out;
    }
    if (!collect(&f)) {
        mpq_fail(err, MPQ_EDATA,
                 "nothing is measured of what has a cheap figure, or all of it as 0"
                 " without an error");
        goto out;
    }
    for (size_t k = 0; k < f.n; k++)
        seen[f.points[k].type] = 1;
    solve(&f);
    bridge_types(&f, seen);
    bridge_families(&f);
    for (size_t i = 0; i < in->n_units * in->n_types; i++)
        put_pair(&f, i / in->n_types, i % in->n_types, &damage[i], &se[i]);
    for (size_t i = 0; families && i < in->n_families; i++)
        families[i] = describe(&f, i, by_type);
    rc = 0;
out:
    free(f.points);
    free(f.family);
    free(f.unit);
    free(f.type);
    free(f.sum);
    free(f.weight);
    free(f.unit_weight);
    free(by_type);
    free(seen);
    return rc;
}
