#include "base/buf.h"
#include "method/knap.h"
#include "method/knap_own.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/*
 * Dynamic programming around the relaxation's whole part, the base. A state is a set of
 * units moved off the base: what that adds in size and in damage. Units are taken in
 * order of how close to the price their nearest slope lies: the first few decide, and
 * the slopes of the rest bound what a state can still become. Of two states the one
 * that is larger and worse is dropped; so is one that cannot beat the best plan.
 */
struct state {
    int64_t size;   /* relative to the base */
    double damage;  /* relative to the base */
    uint32_t trace; /* how it came about */
    uint32_t
        choice; /* of the unit under way, or NO_CHOICE while it stays at the base */
};
#define NO_CHOICE UINT32_MAX

/* One unit moved off the base. Node 0 is the base itself. */
struct node {
    uint32_t parent, unit, choice;
};

struct list {
    struct state *at;
    size_t n, cap;
};

struct solver {
    const struct mpq_knap *k;
    struct mpq_relax relax;
    uint32_t *order; /* [n_core] units that may leave the base, nearest first */
    double *near;    /* [n_units] distance of the unit's nearest slope to the price */
    double *up,
        *down; /* [n_core + 1] best slope of order[i..] for growing, shrinking */
    size_t n_core;
    struct list now, shifted, merged;
    struct node *node;
    size_t n_nodes, node_cap;
    uint64_t max_nodes, made;
    double best;    /* damage of the best plan, relative to the base */
    double slack;   /* differences up to this do not count */
    double dropped; /* least bound of the states dropped for lack of room */
    uint32_t best_trace;
    int found; /* best is best_trace's, not the heuristic's */
};

static int
no_memory(struct mpq_err *err)
{
    return mpq_fail(err, MPQ_ENOMEM, "knapsack: out of memory");
}

/* Least damage, relative to the base, that a state can come to with the units from
 * order[i] on. */
static double
state_bound(const struct solver *s, size_t i, int64_t size, double damage)
{
    int64_t room = (int64_t)s->relax.room - size;

    if (room >= 0)
        return damage - s->up[i] * (double)room;
    return damage + s->down[i] * (double)-room;
}

/* Slopes of unit U's choices against its base: the best for growing, for shrinking. */
static void
unit_slopes(const struct solver *s, size_t u, double *up, double *down)
{
    const struct mpq_knap *k = s->k;
    size_t at = k->first[u], base = at + s->relax.pick[u];

    *up = 0;
    *down = HUGE_VAL;
    for (size_t i = s->relax.nd_first[u]; i < s->relax.nd_first[u + 1]; i++) {
        size_t c = at + s->relax.nd[i];
        double gain = k->damage[base] - k->damage[c];
        if (k->size[c] > k->size[base])
            *up = fmax(*up, gain / (double)(k->size[c] - k->size[base]));
        else if (k->size[c] < k->size[base])
            *down = fmin(*down, -gain / (double)(k->size[base] - k->size[c]));
    }
}

struct by_near {
    double near;
    uint32_t unit;
};

static int
compare_near(const void *a, const void *b)
{
    const struct by_near *x = a, *y = b;

    if (x->near != y->near)
        return x->near < y->near ? -1 : 1;
    return x->unit < y->unit ? -1 : x->unit > y->unit;
}

static int
order_units(struct solver *s, struct mpq_err *err)
{
    size_t n = s->k->n_units;
    struct by_near *key = mpq_array(n, sizeof *key);
    double up, down;

    s->order = mpq_array(n, sizeof *s->order);
    s->up = mpq_array(n + 1, sizeof *s->up);
    s->down = mpq_array(n + 1, sizeof *s->down);
    if (!key || !s->order || !s->up || !s->down) {
        free(key);
        return no_memory(err);
    }
    for (size_t u = 0; u < n; u++) {
        unit_slopes(s, u, &up, &down);
        double near =
            fmin(up > 0 ? s->relax.price - up : HUGE_VAL, down - s->relax.price);
        if (near < HUGE_VAL)
            key[s->n_core++] = (struct by_near){ near, (uint32_t)u };
    }
    qsort(key, s->n_core, sizeof *key, compare_near);
    s->up[s->n_core] = 0;
    s->down[s->n_core] = HUGE_VAL;
    for (size_t i = s->n_core; i-- > 0;) {
        s->order[i] = key[i].unit;
        unit_slopes(s, key[i].unit, &up, &down);
        s->up[i] = fmax(s->up[i + 1], up);
        s->down[i] = fmin(s->down[i + 1], down);
    }
    free(key);
    return 0;
}

static int
reserve(struct list *l, size_t n, struct mpq_err *err)
{
    if (mpq_grow(&l->at, &l->cap, n, sizeof *l->at) < 0)
        return no_memory(err);
    return 0;
}

/* shifted = now with unit order[i] at CHOICE, without the states that cannot win. */
static int
shift(struct solver *s, size_t i, uint32_t choice, struct mpq_err *err)
{
    const struct mpq_knap *k = s->k;
    size_t unit = s->order[i], at = k->first[unit];
    size_t base = at + s->relax.pick[unit], to = at + choice;
    int64_t size = (int64_t)k->size[to] - (int64_t)k->size[base];
    double damage = k->damage[to] - k->damage[base];

    s->shifted.n = 0;
    /* By the relaxation alone (reduced cost) this choice may be out altogether. */
    if (damage + s->relax.price * ((double)size - (double)s->relax.room) >=
        s->best - s->slack)
        return 0;
    if (reserve(&s->shifted, s->now.n, err) < 0)
        return -1;
    for (size_t j = 0; j < s->now.n; j++) {
        struct state st = s->now.at[j];
        st.size += size;
        st.damage += damage;
        st.choice = choice;
        if (state_bound(s, i + 1, st.size, st.damage) < s->best - s->slack)
            s->shifted.at[s->shifted.n++] = st;
    }
    return 0;
}

/* Appends ST unless the last state is as small and as good. */
static void
put(struct list *l, const struct state *st)
{
    if (l->n == 0 || st->damage < l->at[l->n - 1].damage)
        l->at[l->n++] = *st;
}

/* merged = merged + shifted, by rising size, without dominated states. */
static int
merge(struct solver *s, struct mpq_err *err)
{
    struct list out = { 0 };
    const struct list *a = &s->merged, *b = &s->shifted;
    size_t i = 0, j = 0;

    if (b->n == 0)
        return 0;
    if (reserve(&out, a->n + b->n, err) < 0)
        return -1;
    while (i < a->n || j < b->n) {
        int first = j == b->n || (i < a->n && (a->at[i].size < b->at[j].size ||
                                               (a->at[i].size == b->at[j].size &&
                                                a->at[i].damage <= b->at[j].damage)));
        put(&out, first ? &a->at[i++] : &b->at[j++]);
    }
    free(s->merged.at);
    s->merged = out;
    return 0;
}

/* Feasible states come first, and of these the last is the best. */
static int
note_best(struct solver *s, size_t *best)
{
    size_t lo = 0, hi = s->now.n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (s->now.at[mid].size <= (int64_t)s->relax.room)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo == 0 || s->now.at[lo - 1].damage >= s->best)
        return 0;
    s->best = s->now.at[lo - 1].damage;
    s->found = 1;
    *best = lo - 1;
    return 1;
}

static int
compare_double(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

/* Keeps the WIDTH states of least bound and remembers what the rest could have been. */
static int
narrow(struct solver *s, size_t next, size_t width, struct mpq_err *err)
{
    size_t n = s->now.n, kept = 0, ties = width;
    double *bound = mpq_array(n, sizeof *bound);

    if (!bound)
        return no_memory(err);
    for (size_t j = 0; j < n; j++)
        bound[j] = state_bound(s, next, s->now.at[j].size, s->now.at[j].damage);
    qsort(bound, n, sizeof *bound, compare_double);
    double limit = bound[width]; /* the least bound that must go */
    s->dropped = fmin(s->dropped, limit);
    while (ties > 0 && bound[ties - 1] == limit)
        ties--;
    ties = width - ties; /* as many of that very bound may stay */
    for (size_t j = 0; j < n; j++) {
        double b = state_bound(s, next, s->now.at[j].size, s->now.at[j].damage);
        if (b > limit || (b == limit && ties == 0))
            continue;
        ties -= b == limit;
        s->now.at[kept++] = s->now.at[j];
    }
    s->now.n = kept;
    free(bound);
    return 0;
}

/* Drops what cannot win, and writes a node for each state that moved the unit. */
static int
settle(struct solver *s, size_t i, struct mpq_err *err)
{
    size_t kept = 0, best = SIZE_MAX, width;
    uint64_t left = s->max_nodes > s->n_nodes ? s->max_nodes - s->n_nodes : 0;
    struct node *node;

    s->made += s->now.n;
    /* The best state may be pruned below as finished: its node is written first. */
    if (note_best(s, &best)) {
        struct state *st = &s->now.at[best];
        if (mpq_grow(&s->node, &s->node_cap, s->n_nodes + 1, sizeof *s->node) < 0)
            return no_memory(err);
        if (st->choice != NO_CHOICE) {
            s->node[s->n_nodes] = (struct node){ st->trace, s->order[i], st->choice };
            st->trace = (uint32_t)s->n_nodes++;
            st->choice = NO_CHOICE;
        }
        s->best_trace = st->trace;
    }
    for (size_t j = 0; j < s->now.n; j++) {
        const struct state *st = &s->now.at[j];
        if (state_bound(s, i + 1, st->size, st->damage) < s->best - s->slack)
            s->now.at[kept++] = *st;
    }
    s->now.n = kept;
    width = left / 16 > 64 ? (size_t)(left / 16) : 64;
    if (s->now.n > width && narrow(s, i + 1, width, err) < 0)
        return -1;
    if (mpq_grow(&s->node, &s->node_cap, s->n_nodes + s->now.n, sizeof *s->node) < 0)
        return no_memory(err);
    node = s->node;
    for (size_t j = 0; j < s->now.n; j++) {
        struct state *st = &s->now.at[j];
        if (st->choice == NO_CHOICE)
            continue;
        node[s->n_nodes] = (struct node){ st->trace, s->order[i], st->choice };
        st->trace = (uint32_t)s->n_nodes++;
        st->choice = NO_CHOICE;
    }
    return 0;
}

static int
expand(struct solver *s, size_t i, struct mpq_err *err)
{
    const struct mpq_relax *r = &s->relax;
    size_t unit = s->order[i];
    struct list swap;

    if (reserve(&s->merged, s->now.n, err) < 0)
        return -1;
    memcpy(s->merged.at, s->now.at, s->now.n * sizeof *s->now.at);
    s->merged.n = s->now.n;
    for (size_t c = r->nd_first[unit]; c < r->nd_first[unit + 1]; c++) {
        if (r->nd[c] == r->pick[unit])
            continue;
        if (shift(s, i, r->nd[c], err) < 0 || merge(s, err) < 0)
            return -1;
    }
    swap = s->now;
    s->now = s->merged;
    s->merged = swap;
    return settle(s, i, err);
}

static int
search(struct solver *s, struct mpq_err *err)
{
    if (reserve(&s->now, 1, err) < 0 ||
        mpq_grow(&s->node, &s->node_cap, 1, sizeof *s->node) < 0)
        return no_memory(err);
    s->node[s->n_nodes++] = (struct node){ 0, 0, NO_CHOICE };
    s->now.at[s->now.n++] = (struct state){ 0, 0, 0, NO_CHOICE };
    for (size_t i = 0; i < s->n_core && s->now.n; i++) {
        if (s->n_nodes > UINT32_MAX / 2)
            return no_memory(err);
        if (expand(s, i, err) < 0)
            return -1;
    }
    return 0;
}

/* A first plan to beat: the base, filled greedily. */
static int
start(struct solver *s, struct mpq_knap_plan *p, struct mpq_err *err)
{
    uint64_t room = s->relax.room;

    memcpy(p->pick, s->relax.pick, s->k->n_units * sizeof *p->pick);
    if (mpq_knap_fill(s->k, p->pick, &room, err) < 0)
        return -1;
    mpq_knap_sum(s->k, p);
    s->best = p->damage - s->relax.damage;
    s->slack = MPQ_KNAP_TOLERANCE / 2 * p->damage;
    s->dropped = HUGE_VAL;
    s->max_nodes = s->k->max_nodes ? s->k->max_nodes : MPQ_KNAP_NODES;
    return order_units(s, err);
}

static void
report(struct solver *s, struct mpq_knap_plan *p)
{
    if (s->found) {
        memcpy(p->pick, s->relax.pick, s->k->n_units * sizeof *p->pick);
        for (uint32_t t = s->best_trace; t; t = s->node[t].parent)
            p->pick[s->node[t].unit] = s->node[t].choice;
        mpq_knap_sum(s->k, p);
    }
    p->price = s->relax.price;
    p->nodes = s->made;
    p->optimal = s->dropped >= s->best - s->slack;
    p->bound = p->damage;
    if (!p->optimal)
        p->bound = fmax(mpq_relax_bound(&s->relax), s->relax.damage + s->dropped);
    if (p->bound > p->damage)
        p->bound = p->damage;
}

int
mpq_knap_exact(const struct mpq_knap *k, struct mpq_knap_plan *p, struct mpq_err *err)
{
    struct solver s = { .k = k };
    int rc = -1;

    if (mpq_relax_solve(&s.relax, k, err) < 0 || start(&s, p, err) < 0)
        goto out;
    if (s.relax.price > 0 && search(&s, err) < 0)
        goto out;
    report(&s, p);
    rc = 0;
out:
    mpq_relax_free(&s.relax);
    free(s.order);
    free(s.up);
    free(s.down);
    free(s.now.at);
    free(s.shifted.at);
    free(s.merged.at);
    free(s.node);
    return rc;
}
