#include "method/control.h"

#include "base/buf.h"
#include "method/control_own.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Closer than this to the budget, a control is left as it is. */
static const double close_enough = 0.005;

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

/* A unit moved to another choice. */
struct move {
    int64_t size;
    uint32_t unit, choice;
};

static int
by_size(const void *a, const void *b)
{
    const struct move *x = a, *y = b;

    if (x->size != y->size)
        return x->size < y->size ? -1 : 1;
    if (x->unit != y->unit)
        return x->unit < y->unit ? -1 : 1;
    return x->choice < y->choice ? -1 : x->choice > y->choice;
}

/* The pair of moves, of two units, that fills most of ROOM: one up, one down or up as
 * well; or one alone, given twice. Sorted moves are met from both ends. */
static int
best_pair(const struct move *move, size_t n, int64_t room, size_t *one, size_t *two)
{
    int64_t best = 0;

    for (size_t i = 0, j = n; i < n; i++) {
        if (move[i].size > best && move[i].size <= room) { /* alone */
            best = move[i].size;
            *one = *two = i;
        }
        while (j > 0 && move[i].size + move[j - 1].size > room)
            j--;
        size_t at = j;
        while (at > 0 && move[at - 1].unit == move[i].unit)
            at--;
        if (at > 0 && move[i].size + move[at - 1].size > best) {
            best = move[i].size + move[at - 1].size;
            *one = i;
            *two = at - 1;
        }
    }
    return best > 0;
}

int
mpq_control_repair(const struct mpq_control *c, struct mpq_knap_plan *p,
                   struct mpq_err *err)
{
    const struct mpq_knap *k = c->k;
    struct move *move = mpq_array(k->first[k->n_units], sizeof *move);
    size_t one = 0, two = 0;

    if (!move)
        return no_memory(err);
    mpq_knap_sum(k, p);
    for (int round = 0; round < 100; round++) {
        size_t n = 0;
        if ((double)p->size >= (1 - close_enough) * (double)k->budget)
            break;
        for (size_t u = 0; u < k->n_units; u++)
            for (uint32_t i = 0; i < k->first[u + 1] - k->first[u]; i++)
                if (i != p->pick[u])
                    move[n++] =
                        (struct move){ (int64_t)k->size[k->first[u] + i] -
                                           (int64_t)k->size[k->first[u] + p->pick[u]],
                                       (uint32_t)u, i };
        qsort(move, n, sizeof *move, by_size);
        if (!best_pair(move, n, (int64_t)(k->budget - p->size), &one, &two))
            break;
        p->pick[move[one].unit] = move[one].choice;
        p->pick[move[two].unit] = move[two].choice;
        mpq_knap_sum(k, p);
    }
    free(move);
    return 0;
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

/* I with its BITS bits in reverse: visiting units in this order spreads any number of
 * them evenly (van der Corput's sequence). */
static size_t
reverse_bits(size_t i, unsigned bits)
{
    size_t r = 0;

    while (bits--) {
        r = r << 1 | (i & 1);
        i >>= 1;
    }
    return r;
}

static void
raise_evenly(const struct mpq_control *c, uint32_t *pick, uint64_t room)
{
    unsigned bits = 0;
    int raised = 1;

    while ((size_t)1 << bits < c->k->n_units)
        bits++;
    while (raised) {
        raised = 0;
        for (size_t i = 0; i < (size_t)1 << bits; i++) {
            size_t u = reverse_bits(i, bits);
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

static uint64_t
next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
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
        size_t i = (size_t)(next_random(&seed) % n);
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
