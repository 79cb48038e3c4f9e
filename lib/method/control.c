#include "method/control.h"

#include "base/buf.h"
#include "method/control_own.h"
#include "num/rng.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int
no_memory(struct mpq_err *err)
{
    return mpq_fail(err, MPQ_ENOMEM, "controls: out of memory");
}

/* The next choice of unit U that is larger than CHOICE and has less error: the smallest
 * such, of equal ones that of least error. Returns 0 when there is none. */
static int
next_up(const struct mpq_control *c, size_t u, uint32_t choice, uint32_t *to)
{
    const struct mpq_knap *k = c->k;
    size_t at = k->first[u], now = at + choice, best = SIZE_MAX;

    for (size_t i = at; i < k->first[u + 1]; i++) {
        if (k->size[i] <= k->size[now] || c->error[i] >= c->error[now])
            continue;
        if (best == SIZE_MAX || k->size[i] < k->size[best] ||
            (k->size[i] == k->size[best] && c->error[i] < c->error[best]))
            best = i;
    }
    if (best == SIZE_MAX)
        return 0;
    *to = (uint32_t)(best - at);
    return 1;
}

/* One step up for unit U if it fits into *room. */
static int
raise_unit(const struct mpq_control *c, size_t u, uint32_t *pick, uint64_t *room)
{
    const uint64_t *size = c->k->size + c->k->first[u];
    uint32_t to;

    if (!next_up(c, u, pick[u], &to) || size[to] - size[pick[u]] > *room)
        return 0;
    *room -= size[to] - size[pick[u]];
    pick[u] = to;
    return 1;
}

/* Every unit at its smallest choice, of equal ones that of least error. */
static void
smallest(const struct mpq_control *c, uint32_t *pick)
{
    const struct mpq_knap *k = c->k;

    for (size_t u = 0; u < k->n_units; u++) {
        size_t best = k->first[u];
        for (size_t i = best + 1; i < k->first[u + 1]; i++)
            if (k->size[i] < k->size[best] ||
                (k->size[i] == k->size[best] && c->error[i] < c->error[best]))
                best = i;
        pick[u] = (uint32_t)(best - k->first[u]);
    }
}

size_t
mpq_control_reverse(size_t i, unsigned bits)
{
    size_t r = 0;

    while (bits--) {
        r = r << 1 | (i & 1);
        i >>= 1;
    }
    return r;
}

unsigned
mpq_control_depth_bits(size_t n)
{
    unsigned bits = 0;

    while ((size_t)1 << bits < n)
        bits++;
    return bits;
}

int
mpq_control_choice(const struct mpq_control *c, size_t u, uint32_t type,
                   uint32_t *choice)
{
    for (size_t i = c->k->first[u]; i < c->k->first[u + 1]; i++) {
        if (c->type[i] == type) {
            *choice = (uint32_t)(i - c->k->first[u]);
            return 1;
        }
    }
    return 0;
}

/* Puts every unit at TYPE if all take it and that fits; gives size and error. */
static int
single_type(const struct mpq_control *c, uint32_t type, uint32_t *pick, uint64_t *size,
            double *error)
{
    *size = 0;
    *error = 0;
    for (size_t u = 0; u < c->k->n_units; u++) {
        if (!mpq_control_choice(c, u, type, &pick[u]))
            return 0;
        *size += c->k->size[c->k->first[u] + pick[u]];
        *error += c->error[c->k->first[u] + pick[u]];
    }
    return *size <= c->k->budget;
}

static void
raise_evenly(const struct mpq_control *c, uint32_t *pick, uint64_t room)
{
    unsigned bits = mpq_control_depth_bits(c->k->n_units);
    int raised = 1;

    while (raised) {
        raised = 0;
        for (size_t i = 0; i < (size_t)1 << bits; i++) {
            size_t u = mpq_control_reverse(i, bits);
            if (u < c->k->n_units)
                raised |= raise_unit(c, u, pick, &room);
        }
    }
}

static int
check_budget(const struct mpq_knap *k, struct mpq_err *err)
{
    uint64_t least = mpq_knap_min_size(k);

    if (least <= k->budget)
        return 0;
    return mpq_fail(err, MPQ_ENOFIT,
                    "budget of %" PRIu64 " below the smallest plan, %" PRIu64,
                    k->budget, least);
}

int
mpq_control_uniform(const struct mpq_control *c, struct mpq_knap_plan *p,
                    struct mpq_err *err)
{
    double error, best_error = HUGE_VAL;
    uint64_t size, best_size = mpq_knap_min_size(c->k);
    uint32_t best = 0;

    if (check_budget(c->k, err) < 0)
        return -1;
    for (uint32_t t = 0; t < c->n_types; t++) {
        if (!single_type(c, t, p->pick, &size, &error))
            continue;
        if (error < best_error || (error == best_error && size < best_size)) {
            best = t;
            best_error = error;
            best_size = size;
        }
    }
    if (best_error < HUGE_VAL)
        (void)single_type(c, best, p->pick, &size, &error);
    else
        smallest(c, p->pick);
    raise_evenly(c, p->pick, c->k->budget - best_size);
    return mpq_control_repair(c, p, err);
}

int
mpq_control_random(const struct mpq_control *c, uint64_t seed, struct mpq_knap_plan *p,
                   struct mpq_err *err)
{
    size_t n = c->k->n_units;
    uint64_t room = c->k->budget - mpq_knap_min_size(c->k);

    if (check_budget(c->k, err) < 0)
        return -1;
    size_t *open = mpq_array(n, sizeof *open);
    if (!open)
        return no_memory(err);
    for (size_t u = 0; u < n; u++)
        open[u] = u;
    smallest(c, p->pick);
    while (n > 0) {
        size_t i = (size_t)(mpq_rng_next(&seed) % n);
        if (!raise_unit(c, open[i], p->pick, &room))
            open[i] = open[--n]; /* room only shrinks: it will not fit later either */
    }
    free(open);
    return mpq_control_repair(c, p, err);
}

void
mpq_control_spend(const struct mpq_control *c, struct mpq_knap_plan *p)
{
    const struct mpq_knap *k = c->k;
    uint64_t room = k->budget - p->size;

    for (;;) {
        size_t best_unit = 0, best = SIZE_MAX;
        double best_slope = 0;
        for (size_t u = 0; u < k->n_units; u++) {
            size_t now = k->first[u] + p->pick[u];
            for (size_t i = k->first[u]; i < k->first[u + 1]; i++) {
                if (k->damage[i] > k->damage[now] || k->size[i] <= k->size[now] ||
                    k->size[i] - k->size[now] > room)
                    continue;
                double slope =
                    (c->error[now] - c->error[i]) / (double)(k->size[i] - k->size[now]);
                if (slope > best_slope) {
                    best_slope = slope;
                    best_unit = u;
                    best = i;
                }
            }
        }
        if (best == SIZE_MAX)
            break;
        room -= k->size[best] - k->size[k->first[best_unit] + p->pick[best_unit]];
        p->pick[best_unit] = (uint32_t)(best - k->first[best_unit]);
    }
    mpq_knap_sum(k, p);
}

/* Is choice A better than B where size does not matter? */
static int
is_better(const struct mpq_control *c, size_t a, size_t b)
{
    const double *damage = c->k->damage;

    if (damage[a] < damage[b] || damage[a] > damage[b])
        return damage[a] < damage[b];
    if (c->error[a] < c->error[b] || c->error[a] > c->error[b])
        return c->error[a] < c->error[b];
    return c->k->size[a] < c->k->size[b];
}

uint64_t
mpq_control_most(const struct mpq_control *c)
{
    const struct mpq_knap *k = c->k;
    uint64_t sum = 0;

    for (size_t u = 0; u < k->n_units; u++) {
        size_t best = k->first[u];
        for (size_t i = best + 1; i < k->first[u + 1]; i++)
            best = is_better(c, i, best) ? i : best;
        sum += k->size[best];
    }
    return sum;
}
