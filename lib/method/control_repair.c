/* Filling what single steps leave of a control's budget. */
#include "base/buf.h"
#include "method/control.h"
#include "method/control_own.h"

#include <stdlib.h>
#include <string.h>

/* Closer than this to the budget, a control is left as it is. */
static const double close_enough = 0.005;
enum { MAX_TRADES = 16 };

/* The next smaller choice of unit U: of those, the largest, of equal ones that of least
 * error. Returns 0 when there is none. */
static int
next_down(const struct mpq_control *c, size_t u, uint32_t choice, uint32_t *to)
{
    const struct mpq_knap *k = c->k;
    size_t at = k->first[u], now = at + choice, best = SIZE_MAX;

    for (size_t i = at; i < k->first[u + 1]; i++) {
        if (k->size[i] >= k->size[now])
            continue;
        if (best == SIZE_MAX || k->size[i] > k->size[best] ||
            (k->size[i] == k->size[best] && c->error[i] < c->error[best]))
            best = i;
    }
    if (best == SIZE_MAX)
        return 0;
    *to = (uint32_t)(best - at);
    return 1;
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

static int
is_close(const struct mpq_control *c, const struct mpq_knap_plan *p)
{
    return (double)p->size >= (1 - close_enough) * (double)c->k->budget;
}

/* All moves from P's picks into MOVE, by size; returns how many. */
static size_t
list_moves(const struct mpq_control *c, const struct mpq_knap_plan *p,
           struct move *move)
{
    const struct mpq_knap *k = c->k;
    size_t n = 0;

    for (size_t u = 0; u < k->n_units; u++)
        for (uint32_t i = 0; i < k->first[u + 1] - k->first[u]; i++)
            if (i != p->pick[u])
                move[n++] =
                    (struct move){ (int64_t)k->size[k->first[u] + i] -
                                       (int64_t)k->size[k->first[u] + p->pick[u]],
                                   (uint32_t)u, i };
    qsort(move, n, sizeof *move, by_size);
    return n;
}

/* Pairs of moves until P is close; MOVE has room for all choices. */
static void
fill_by_pairs(const struct mpq_control *c, struct mpq_knap_plan *p, struct move *move)
{
    size_t one = 0, two = 0;

    for (int round = 0; round < 100 && !is_close(c, p); round++) {
        size_t n = list_moves(c, p, move);
        if (!best_pair(move, n, (int64_t)(c->k->budget - p->size), &one, &two))
            break;
        p->pick[move[one].unit] = move[one].choice;
        p->pick[move[two].unit] = move[two].choice;
        mpq_knap_sum(c->k, p);
    }
}

/* Lowers units other than KEEP, spread over the depth, step by step until nothing is
 * over the budget; steps larger than what is over come last. */
static void
lower_evenly(const struct mpq_control *c, size_t keep, struct mpq_knap_plan *p)
{
    const struct mpq_knap *k = c->k;
    unsigned bits = mpq_control_depth_bits(k->n_units);

    for (int larger = 0; larger < 2; larger++) {
        for (int moved = 1; moved && p->size > k->budget;) {
            moved = 0;
            for (size_t i = 0; i < (size_t)1 << bits && p->size > k->budget; i++) {
                size_t u = mpq_control_reverse(i, bits);
                uint32_t to;
                if (u >= k->n_units || u == keep || !next_down(c, u, p->pick[u], &to))
                    continue;
                uint64_t step =
                    k->size[k->first[u] + p->pick[u]] - k->size[k->first[u] + to];
                if (!larger && step > p->size - k->budget)
                    continue;
                p->pick[u] = to;
                p->size -= step;
                moved = 1;
            }
        }
    }
}

/* One unit, too large for the room that is left, goes up, and others go down for it:
 * the embedding may be as large as all the rest. Returns whether P is fuller by that.
 */
static int
trade(const struct mpq_control *c, struct mpq_knap_plan *p, struct move *move,
      uint32_t *spare)
{
    const struct mpq_knap *k = c->k;
    size_t n = list_moves(c, p, move), tried = 0;

    for (size_t i = 0; i < n && tried < MAX_TRADES; i++) {
        struct mpq_knap_plan other = { .pick = spare };
        if (move[i].size <= (int64_t)(k->budget - p->size))
            continue;
        tried++;
        memcpy(spare, p->pick, k->n_units * sizeof *spare);
        spare[move[i].unit] = move[i].choice;
        mpq_knap_sum(k, &other);
        lower_evenly(c, move[i].unit, &other);
        if (other.size <= p->size || other.size > k->budget)
            continue;
        memcpy(p->pick, spare, k->n_units * sizeof *spare);
        mpq_knap_sum(k, p);
        return 1;
    }
    return 0;
}

int
mpq_control_repair(const struct mpq_control *c, struct mpq_knap_plan *p,
                   struct mpq_err *err)
{
    const struct mpq_knap *k = c->k;
    struct move *move = mpq_array(k->first[k->n_units], sizeof *move);
    uint32_t *spare = mpq_array(k->n_units, sizeof *spare);
    int rc = 0;

    if (!move || !spare) {
        rc = mpq_fail(err, MPQ_ENOMEM, "controls: out of memory");
        goto out;
    }
    mpq_knap_sum(k, p);
    fill_by_pairs(c, p, move);
    for (int round = 0; round < MAX_TRADES && !is_close(c, p); round++) {
        if (!trade(c, p, move, spare))
            break;
        fill_by_pairs(c, p, move);
    }
out:
    free(move);
    free(spare);
    return rc;
}
