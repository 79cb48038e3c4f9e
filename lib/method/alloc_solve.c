/* Solving an allocation problem, and the solution as a plan. */
#include "method/alloc.h"

#include "method/alloc_own.h"
#include "method/control.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

static int
no_memory(struct mpq_err *err)
{
    return mpq_fail(err, MPQ_ENOMEM, "allocation: out of memory");
}

const char *
mpq_alloc_notes(const struct mpq_alloc *a)
{
    return a->notes.data ? a->notes.data : "";
}

size_t
mpq_alloc_units(const struct mpq_alloc *a)
{
    return a->units.n;
}

/* A MiB in what the budget counts. */
static uint64_t
one_mib(const struct mpq_alloc *a)
{
    return (a->by_size ? 1 : 8) * UINT64_C(1048576);
}

/* The smaller and the larger of the two types that topk is about. */
static int
two_types(const struct mpq_alloc *a, uint32_t *low, uint32_t *high, struct mpq_err *err)
{
    if (a->n_types != 2)
        return mpq_fail(err, MPQ_EUSAGE, "topk takes two types (-t LOW,HIGH), not %zu",
                        a->n_types);
    double one = mpq_type_bpw(a->types[0], 4096), two = mpq_type_bpw(a->types[1], 4096);
    *low = one <= two ? 0 : 1;
    *high = 1 - *low;
    return 0;
}

/* METHOD on its own; the exact plan is in *p already. */
static int
run_method(const struct mpq_alloc *a, enum mpq_alloc_method method,
           const struct mpq_control *c, uint64_t seed, struct mpq_knap_plan *p,
           struct mpq_err *err)
{
    uint32_t low = 0, high = 0;
    int rc = 0;

    switch (method) {
    case MPQ_ALLOC_EXACT:
        break;
    case MPQ_ALLOC_TOPK:
        if (two_types(a, &low, &high, err) < 0)
            return -1;
        return mpq_control_topk(c, low, high, p, err);
    case MPQ_ALLOC_GREEDY:
        rc = mpq_knap_greedy(c->k, p, err);
        break;
    case MPQ_ALLOC_LAGRANGE:
        rc = mpq_knap_lagrange(c->k, p, err);
        break;
    case MPQ_ALLOC_UNIFORM:
        return mpq_control_uniform(c, p, err);
    case MPQ_ALLOC_RANDOM:
        return mpq_control_random(c, seed, p, err);
    case MPQ_ALLOC_INVERTED:
        return mpq_control_inverted(c, p, err);
    }
    if (rc == 0)
        mpq_control_spend(c, p);
    return rc;
}

/* The optimum comes first, for the bound; controls also get its size as their budget.
 */
static int
solve(const struct mpq_alloc *a, enum mpq_alloc_method method, struct mpq_knap *k,
      uint64_t seed, struct mpq_knap_plan *p, double *best, struct mpq_err *err)
{
    struct mpq_control c = { k, a->error, a->params, a->type, a->n_types + 1 };

    if (mpq_knap_exact(k, p, err) < 0)
        return -1;
    const struct mpq_knap_plan exact = *p;
    if (method >= MPQ_ALLOC_UNIFORM) {
        mpq_control_spend(&c, p);
        k->budget = p->size;
    }
    if (run_method(a, method, &c, seed, p, err) < 0)
        return -1;
    p->bound = exact.bound < p->damage ? exact.bound : p->damage;
    p->price = exact.price;
    *best = exact.damage;
    p->nodes = exact.nodes;
    p->optimal = p->damage - p->bound <= MPQ_KNAP_TOLERANCE * p->damage;
    return 0;
}

static int
no_fit(const struct mpq_alloc *a, uint64_t budget, struct mpq_err *err)
{
    struct mpq_buf ways = { 0 };
    char word[64];
    uint64_t low, high;

    mpq_alloc_interval(a, &low, &high);
    mpq_alloc_ways(a, &ways);
    const char *sep = ways.len && !ways.failed ? "; less with " : "";
    const char *more = ways.len && !ways.failed ? ways.data : "";
    mpq_alloc_least(a, low, word);
    if (a->by_size)
        mpq_fail(err, MPQ_ENOFIT,
                 "size of %" PRIu64 " bytes: the smallest file that these types allow "
                 "has %s%s%s",
                 budget, word, sep, more);
    else
        mpq_fail(err, MPQ_ENOFIT,
                 "budget of %.9g mean bits: the smallest plan that these types allow "
                 "has %s%s%s",
                 mpq_alloc_in_bits(a, budget), word, sep, more);
    mpq_buf_free(&ways);
    return -1;
}

/* Mean bits and file size of a solution. */
static int
measure(const struct mpq_alloc *a, struct mpq_alloc_result *r, struct mpq_err *err)
{
    struct mpq_plan plan;
    double bits = 0;
    uint64_t bytes;
    int rc = -1;

    if (mpq_alloc_plan(a, r, &plan, err) < 0)
        return -1;
    enum mpq_container c = mpq_layout_container(a->layout, plan.types);
    if (a->rules->container == MPQ_CONTAINER_NATIVE)
        c = MPQ_CONTAINER_NATIVE;
    if (mpq_layout_file_bytes(a->layout, c, plan.types, &r->file_bytes, err) < 0)
        goto out;
    for (size_t i = 0; i < a->layout->n; i++) {
        const struct mpq_matrix *m = &a->layout->matrices[i];
        if (!m->is_linear)
            continue;
        if (mpq_type_bytes(plan.types[i], m->rows, m->cols, &bytes) < 0)
            goto out;
        bits += a->policy->nominal
                    ? mpq_type_nominal_bits(plan.types[i]) * (double)m->rows *
                          (double)m->cols
                    : 8 * (double)(bytes - mpq_type_map_bytes(plan.types[i], m->cols));
    }
    if (a->linear_params)
        r->mean_bits = bits / (double)a->linear_params;
    /* Native types were on offer and none was taken: another container after all. */
    if (a->by_size && r->file_bytes > r->budget) {
        mpq_fail(err, MPQ_ENOFIT,
                 "size of %" PRIu64 " bytes: the file would have %" PRIu64, r->budget,
                 r->file_bytes);
        goto out;
    }
    rc = 0;
out:
    mpq_plan_free(&plan);
    return rc;
}

int
mpq_alloc_solve(const struct mpq_alloc *a, enum mpq_alloc_method method,
                uint64_t budget, uint64_t seed, struct mpq_alloc_result *r,
                struct mpq_err *err)
{
    struct mpq_knap_plan p = { 0 };
    uint64_t low, high;

    *r = (struct mpq_alloc_result){ .method = method, .budget = budget };
    mpq_alloc_interval(a, &low, &high);
    if (budget < low)
        return no_fit(a, budget, err);
    struct mpq_knap k = mpq_alloc_knap(a, budget - a->fixed_size);
    p.pick = r->pick = mpq_array(a->units.n, sizeof *r->pick);
    if (!r->pick)
        return no_memory(err);
    if (solve(a, method, &k, seed, &p, &r->best, err) < 0)
        goto fail;
    r->size = a->fixed_size + p.size;
    r->damage = p.damage;
    r->bound = p.bound;
    r->optimal = p.optimal;
    r->nodes = p.nodes;
    r->price_per_mib = fmin(p.price * (double)one_mib(a), r->best);
    if (measure(a, r, err) < 0)
        goto fail;
    return 0;
fail:
    free(r->pick);
    r->pick = NULL;
    return -1;
}

int
mpq_alloc_price(const struct mpq_alloc *a, struct mpq_alloc_result *r,
                struct mpq_err *err)
{
    struct mpq_knap k = mpq_alloc_knap(a, r->budget - a->fixed_size + one_mib(a));
    struct mpq_knap_plan p = { .pick = mpq_array(a->units.n, sizeof *p.pick) };
    int rc = 0;

    if (!p.pick)
        return no_memory(err);
    /* Where the optimum was not found in a limited search, the slope has to do. */
    if (fabs(r->best - r->bound) <= MPQ_KNAP_TOLERANCE * r->best) {
        rc = mpq_knap_exact(&k, &p, err);
        if (rc == 0)
            r->price_per_mib = fmax(r->best - p.damage, 0);
    }
    free(p.pick);
    return rc;
}

/* Have all matrices of unit U one type now? */
static int
is_even(const struct mpq_alloc *a, size_t u)
{
    const struct mpq_matrix *m = a->layout->matrices;
    const size_t *member = a->units.member;

    for (size_t k = a->units.first[u] + 1; k < a->units.first[u + 1]; k++)
        if (!mpq_type_eq(m[member[k]].type, m[member[k - 1]].type))
            return 0;
    return 1;
}

int
mpq_alloc_plan(const struct mpq_alloc *a, const struct mpq_alloc_result *r,
               struct mpq_plan *plan, struct mpq_err *err)
{
    if (mpq_plan_new(plan, a->layout, err) < 0)
        return -1;
    for (size_t i = 0; i < a->layout->n; i++) {
        size_t u = a->units.unit[i];
        plan->types[i] = a->units.fixed[i];
        if (u == SIZE_MAX)
            continue;
        uint32_t t = a->type[a->first[u] + r->pick[u]];
        plan->types[i] = mpq_alloc_type(a, t, i);
        /* one row cannot say that the matrices of a layer stay different */
        plan->by_layer[i] = a->units.by_layer[i] && (t < a->n_types || is_even(a, u));
    }
    return 0;
}
