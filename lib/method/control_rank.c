/* The controls that go by rank: inverted and topk. */
#include "base/buf.h"
#include "method/control.h"
#include "method/control_own.h"

#include <inttypes.h>
#include <stdlib.h>

static int
no_memory(struct mpq_err *err)
{
    return mpq_fail(err, MPQ_ENOMEM, "controls: out of memory");
}

struct ranked {
    double value;
    size_t unit;
};

static int
by_value(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;

    if (x->value != y->value)
        return x->value < y->value ? -1 : 1;
    return x->unit < y->unit ? -1 : x->unit > y->unit;
}

/* How sensitive each unit is: its damages over its errors; for damages that come from
 * scores, just the score. */
static void
sensitivities(const struct mpq_control *c, struct ranked *rank)
{
    for (size_t u = 0; u < c->k->n_units; u++) {
        double damage = 0, error = 0;
        for (size_t i = c->k->first[u]; i < c->k->first[u + 1]; i++) {
            damage += c->k->damage[i];
            error += c->error[i];
        }
        rank[u] = (struct ranked){ error > 0 ? damage / error : 0, u };
    }
}

int
mpq_control_inverted(const struct mpq_control *c, struct mpq_knap_plan *p,
                     struct mpq_err *err)
{
    struct mpq_knap k = *c->k;
    size_t n = k.n_units;
    struct ranked *rank = mpq_array(n, sizeof *rank);
    double *damage = mpq_array(k.first[n], sizeof *damage);
    struct mpq_knap_plan inner = { .pick = p->pick };
    int rc = -1;

    if (!rank || !damage) {
        no_memory(err);
        goto out;
    }
    sensitivities(c, rank);
    qsort(rank, n, sizeof *rank, by_value);
    for (size_t r = 0; r < n; r++) {
        size_t u = rank[r].unit;
        double own = rank[r].value, other = rank[n - 1 - r].value;
        for (size_t i = k.first[u]; i < k.first[u + 1]; i++)
            damage[i] = own > 0 ? c->k->damage[i] / own * other : c->error[i] * other;
    }
    k.damage = damage;
    if (mpq_knap_exact(&k, &inner, err) < 0)
        goto out;
    rc = mpq_control_repair(c, p, err);
out:
    free(rank);
    free(damage);
    return rc;
}

/* Both types' choices in unit U; one it does not take is the other. */
static int
two_choices(const struct mpq_control *c, size_t u, uint32_t low, uint32_t high,
            uint32_t *lower, uint32_t *higher, struct mpq_err *err)
{
    int has_low = mpq_control_choice(c, u, low, lower),
        has_high = mpq_control_choice(c, u, high, higher);

    if (!has_low && !has_high)
        return mpq_fail(err, MPQ_EUSAGE, "topk: a unit takes neither of the two types");
    if (!has_low)
        *lower = *higher;
    if (!has_high)
        *higher = *lower;
    return 0;
}

int
mpq_control_topk(const struct mpq_control *c, uint32_t low, uint32_t high,
                 struct mpq_knap_plan *p, struct mpq_err *err)
{
    const struct mpq_knap *k = c->k;
    struct ranked *rank = mpq_array(k->n_units, sizeof *rank);
    uint32_t lower, higher;
    uint64_t room;
    int rc = -1;

    if (!rank) {
        no_memory(err);
        goto out;
    }
    for (size_t u = 0; u < k->n_units; u++) {
        if (two_choices(c, u, low, high, &lower, &higher, err) < 0)
            goto out;
        double gain = k->damage[k->first[u] + lower] - k->damage[k->first[u] + higher];
        p->pick[u] = lower;
        rank[u] = (struct ranked){ -gain / c->params[u], u };
    }
    mpq_knap_sum(k, p);
    if (p->size > k->budget) {
        mpq_fail(err, MPQ_ENOFIT,
                 "budget of %" PRIu64 " below the smallest plan, %" PRIu64, k->budget,
                 p->size);
        goto out;
    }
    room = k->budget - p->size;
    qsort(rank, k->n_units, sizeof *rank, by_value);
    for (size_t r = 0; r < k->n_units; r++) {
        size_t u = rank[r].unit;
        if (two_choices(c, u, low, high, &lower, &higher, err) < 0)
            goto out;
        uint64_t from = k->size[k->first[u] + lower],
                 to = k->size[k->first[u] + higher];
        if (to > from && to - from > room)
            continue;
        room = room + from - to;
        p->pick[u] = higher;
    }
    mpq_knap_sum(k, p);
    rc = 0;
out:
    free(rank);
    return rc;
}
