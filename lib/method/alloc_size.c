/* Sizes of an allocation: budgets, the least and the most, in bits and in words. */
#include "method/alloc_own.h"
#include "method/control.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

uint64_t
mpq_alloc_bits_budget(const struct mpq_alloc *a, double bits)
{
    double total = bits * (double)a->linear_params, whole = nearbyint(total);

    /* A decimal such as 4.3 is no binary number: what is whole in decimals stays so. */
    if (fabs(total - whole) > 1e-12 * total)
        whole = floor(total);
    return whole < 9e18 ? (uint64_t)whole : (uint64_t)9e18;
}

struct mpq_knap
mpq_alloc_knap(const struct mpq_alloc *a, uint64_t budget)
{
    return (struct mpq_knap){ a->units.n, a->first, a->size, a->cost, budget, 0 };
}

void
mpq_alloc_interval(const struct mpq_alloc *a, uint64_t *low, uint64_t *high)
{
    const struct mpq_knap k = mpq_alloc_knap(a, 0);

    *low = a->fixed_size + mpq_knap_min_size(&k);
    const struct mpq_control c = { &k, a->error, a->params, a->type, a->n_types + 1 };
    *high = a->fixed_size + mpq_control_most(&c);
}

double
mpq_alloc_in_bits(const struct mpq_alloc *a, uint64_t size)
{
    return a->by_size ? (double)size : (double)size / (double)a->linear_params;
}

const char *
mpq_alloc_least(const struct mpq_alloc *a, uint64_t size, char text[64])
{
    double bits = mpq_alloc_in_bits(a, size), up = ceil(bits * 1e4) / 1e4;

    if (a->by_size) {
        snprintf(text, 64, "%" PRIu64, size);
        return text;
    }
    /* four decimals that, given as -b, are enough */
    if (mpq_alloc_bits_budget(a, up - 1e-4) >= size)
        up -= 1e-4;
    snprintf(text, 64, "%.6g", up);
    return text;
}

const char *
mpq_alloc_words(const struct mpq_alloc *a, uint64_t size, char text[64])
{
    char number[64];

    snprintf(text, 64, a->by_size ? "%s bytes" : "%s bits",
             mpq_alloc_least(a, size, number));
    return text;
}
