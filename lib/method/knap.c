#include "method/knap.h"

#include "base/buf.h"
#include "method/knap_own.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

uint64_t
mpq_knap_min_size(const struct mpq_knap *k)
{
    uint64_t sum = 0;

    for (size_t u = 0; u < k->n_units; u++) {
        uint64_t least = UINT64_MAX;
        for (size_t c = k->first[u]; c < k->first[u + 1]; c++)
            if (k->size[c] < least)
                least = k->size[c];
        sum += least;
    }
    return sum;
}

void
mpq_knap_sum(const struct mpq_knap *k, struct mpq_knap_plan *p)
{
    p->damage = 0;
    p->size = 0;
    for (size_t u = 0; u < k->n_units; u++) {
        p->damage += k->damage[k->first[u] + p->pick[u]];
        p->size += k->size[k->first[u] + p->pick[u]];
    }
}

/* One choice of one unit, while they are sorted. */
struct point {
    uint64_t size;
    double damage;
    uint32_t choice;
};

static int
by_size(const void *a, const void *b)
{
    const struct point *x = a, *y = b;

    if (x->size != y->size)
        return x->size < y->size ? -1 : 1;
    if (x->damage != y->damage)
        return x->damage < y->damage ? -1 : 1;
    return x->choice < y->choice ? -1 : x->choice > y->choice;
}

/* Fills PT with unit U's choices that none dominates, by rising size; their number. */
static size_t
nondominated(const struct mpq_knap *k, size_t u, struct point *pt)
{
    size_t n = k->first[u + 1] - k->first[u], kept = 0;

    for (size_t c = 0; c < n; c++)
        pt[c] = (struct point){ k->size[k->first[u] + c], k->damage[k->first[u] + c],
                                (uint32_t)c };
    qsort(pt, n, sizeof *pt, by_size);
    for (size_t c = 0; c < n; c++)
        if (kept == 0 || pt[c].damage < pt[kept - 1].damage)
            pt[kept++] = pt[c];
    return kept;
}

/* A step along the hull of a unit. */
struct step {
    double slope; /* damage taken off for each unit of size */
    uint64_t size;
    uint32_t unit, choice, order; /* order within the unit */
};

static int
by_slope(const void *a, const void *b)
{
    const struct step *x = a, *y = b;

    if (x->slope != y->slope)
        return x->slope > y->slope ? -1 : 1;
    if (x->unit != y->unit)
        return x->unit < y->unit ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

static double
slope(const struct point *a, const struct point *b)
{
    return (a->damage - b->damage) / (double)(b->size - a->size);
}

/* Reduces pt[n] to its lower convex hull, slopes strictly falling as computed here, and
 * appends the steps along it. */
static size_t
hull_steps(struct point *pt, size_t n, size_t unit, struct step *out)
{
    size_t top = 0;

    for (size_t i = 1; i < n; i++) {
        while (top > 0 && slope(&pt[top], &pt[i]) >= slope(&pt[top - 1], &pt[top]))
            top--;
        pt[++top] = pt[i];
    }
    for (size_t i = 0; i < top; i++)
        out[i] = (struct step){ slope(&pt[i], &pt[i + 1]), pt[i + 1].size - pt[i].size,
                                (uint32_t)unit, pt[i + 1].choice, (uint32_t)i };
    return top;
}

static uint64_t
gcd(uint64_t a, uint64_t b)
{
    while (b) {
        uint64_t t = a % b;
        a = b;
        b = t;
    }
    return a;
}

/* Takes the steps in order of slope until one does not fit. */
static void
walk(struct mpq_relax *r, const struct step *step, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (step[i].size > r->room) {
            r->price = step[i].slope;
            return;
        }
        r->room -= step[i].size;
        r->pick[step[i].unit] = step[i].choice;
    }
}

static int
no_memory(struct mpq_err *err)
{
    return mpq_fail(err, MPQ_ENOMEM, "knapsack: out of memory");
}

int
mpq_relax_solve(struct mpq_relax *r, const struct mpq_knap *k, struct mpq_err *err)
{
    size_t n_choices = k->first[k->n_units], n_steps = 0, widest = 0;
    uint64_t unit_size = 0, least = mpq_knap_min_size(k);
    struct point *pt = NULL;
    struct step *step = NULL;
    int rc = -1;

    *r = (struct mpq_relax){ 0 };
    if (least > k->budget)
        return mpq_fail(err, MPQ_ENOFIT,
                        "budget of %" PRIu64 " below the smallest plan, %" PRIu64,
                        k->budget, least);
    for (size_t u = 0; u < k->n_units; u++)
        if (k->first[u + 1] - k->first[u] > widest)
            widest = k->first[u + 1] - k->first[u];
    pt = mpq_array(widest, sizeof *pt);
    step = mpq_array(n_choices, sizeof *step);
    r->nd_first = mpq_array(k->n_units + 1, sizeof *r->nd_first);
    r->nd = mpq_array(n_choices, sizeof *r->nd);
    r->pick = mpq_array(k->n_units, sizeof *r->pick);
    if (!pt || !step || !r->nd_first || !r->nd || !r->pick) {
        no_memory(err);
        goto out;
    }
    for (size_t u = 0; u < k->n_units; u++) {
        size_t n = nondominated(k, u, pt), at = r->nd_first[u];
        for (size_t i = 0; i < n; i++) {
            r->nd[at + i] = pt[i].choice;
            unit_size = gcd(unit_size, pt[i].size - pt[0].size);
        }
        r->nd_first[u + 1] = at + n;
        r->pick[u] = pt[0].choice;
        n_steps += hull_steps(pt, n, u, step + n_steps);
    }
    r->room = k->budget - least;
    if (unit_size)
        r->room -= r->room % unit_size;
    qsort(step, n_steps, sizeof *step, by_slope);
    walk(r, step, n_steps);
    for (size_t u = 0; u < k->n_units; u++)
        r->damage += k->damage[k->first[u] + r->pick[u]];
    rc = 0;
out:
    free(pt);
    free(step);
    return rc;
}

void
mpq_relax_free(struct mpq_relax *r)
{
    free(r->nd_first);
    free(r->nd);
    free(r->pick);
    *r = (struct mpq_relax){ 0 };
}

double
mpq_relax_bound(const struct mpq_relax *r)
{
    double bound = r->damage - r->price * (double)r->room;

    return r->price > 0 ? (bound > 0 ? bound : 0) : r->damage;
}

/* The change of unit U from CHOICE that takes off the most damage for its size and fits
 * into ROOM. Returns its slope, 0 when there is none. */
static double
best_change(const struct mpq_knap *k, size_t u, uint32_t choice, uint64_t room,
            uint32_t *to)
{
    size_t at = k->first[u], n = k->first[u + 1] - at;
    struct point now = { k->size[at + choice], k->damage[at + choice], choice };
    double best = 0;

    for (uint32_t c = 0; c < n; c++) {
        struct point pt = { k->size[at + c], k->damage[at + c], c };
        if (pt.damage >= now.damage ||
            (pt.size > now.size && pt.size - now.size > room))
            continue;
        double gain = pt.size > now.size ? slope(&now, &pt) : HUGE_VAL;
        if (gain > best) {
            best = gain;
            *to = c;
        }
    }
    return best;
}

/* The best change of a unit, as of the room when it was looked for. */
struct change {
    double gain;
    uint32_t unit, to;
};

/* Of equal gains the earlier unit's comes first. */
static int
before(const struct change *a, const struct change *b)
{
    return a->gain > b->gain || (a->gain == b->gain && a->unit < b->unit);
}

/* Moves heap[i] down to its place in a heap with the best change on top. */
static void
sift(struct change *heap, size_t n, size_t i)
{
    for (;;) {
        size_t best = i;
        for (size_t child = 2 * i + 1; child < n && child <= 2 * i + 2; child++)
            if (before(&heap[child], &heap[best]))
                best = child;
        if (best == i)
            return;
        struct change swap = heap[i];
        heap[i] = heap[best];
        heap[best] = swap;
        i = best;
    }
}

int
mpq_knap_fill(const struct mpq_knap *k, uint32_t *pick, uint64_t *room,
              struct mpq_err *err)
{
    size_t n = k->n_units;
    struct change *heap = mpq_array(n, sizeof *heap);

    if (!heap)
        return no_memory(err);
    for (size_t u = 0; u < n; u++) {
        heap[u].unit = (uint32_t)u;
        heap[u].gain = best_change(k, u, pick[u], *room, &heap[u].to);
    }
    for (size_t i = n / 2; i-- > 0;)
        sift(heap, n, i);
    while (n > 0 && heap[0].gain > 0) {
        size_t u = heap[0].unit;
        uint64_t from = k->size[k->first[u] + pick[u]];
        uint64_t to = k->size[k->first[u] + heap[0].to];
        /* Room only shrinks, so a gain noted earlier is never too small. */
        if (to <= from || to - from <= *room) {
            *room = *room + from - to;
            pick[u] = heap[0].to;
        }
        heap[0].gain = best_change(k, u, pick[u], *room, &heap[0].to);
        sift(heap, n, 0);
    }
    free(heap);
    return 0;
}

/* The finish of both heuristics: fill, sum, and the relaxation's bound. */
static int
finish(const struct mpq_knap *k, struct mpq_knap_plan *p, const struct mpq_relax *r,
       uint64_t room, struct mpq_err *err)
{
    if (mpq_knap_fill(k, p->pick, &room, err) < 0)
        return -1;
    mpq_knap_sum(k, p);
    p->bound = mpq_relax_bound(r);
    if (p->bound > p->damage)
        p->bound = p->damage;
    p->price = r->price;
    p->optimal = p->damage - p->bound <= MPQ_KNAP_TOLERANCE * p->damage;
    p->nodes = 0;
    return 0;
}

int
mpq_knap_lagrange(const struct mpq_knap *k, struct mpq_knap_plan *p,
                  struct mpq_err *err)
{
    struct mpq_relax r;
    int rc = mpq_relax_solve(&r, k, err);

    if (rc == 0) {
        memcpy(p->pick, r.pick, k->n_units * sizeof *p->pick);
        rc = finish(k, p, &r, r.room, err);
    }
    mpq_relax_free(&r);
    return rc;
}

int
mpq_knap_greedy(const struct mpq_knap *k, struct mpq_knap_plan *p, struct mpq_err *err)
{
    struct mpq_relax r;
    int rc = mpq_relax_solve(&r, k, err);

    if (rc == 0) {
        for (size_t u = 0; u < k->n_units; u++)
            p->pick[u] = r.nd[r.nd_first[u]];
        rc = finish(k, p, &r, k->budget - mpq_knap_min_size(k), err);
    }
    mpq_relax_free(&r);
    return rc;
}
