/* When nothing fits: why not, and what would. */
#include "base/buf.h"
#include "method/alloc_own.h"

#include <string.h>

/* The smallest plan of the problem A with another policy or runtime; 0 if it has none.
 */
static uint64_t
least_with(const struct mpq_alloc *a, const struct mpq_rules *rules,
           const struct mpq_policy *policy)
{
    struct mpq_alloc *other;
    struct mpq_err err = { 0 };
    uint64_t low = 0, high;

    if (mpq_alloc_new(&other, a->layout, rules, policy, a->damage, a->by_size, &err) <
        0)
        return 0;
    mpq_alloc_interval(other, &low, &high);
    mpq_alloc_free(other);
    return low;
}

/* Appends the way called NAME if its smallest plan is below LOW. */
static void
add_way(const struct mpq_alloc *a, const char *name, uint64_t size, uint64_t low,
        struct mpq_buf *text)
{
    char word[64];

    if (size && size < low)
        mpq_buf_printf(text, "%s%s (%s)", text->len ? ", " : "", name,
                       mpq_alloc_least(a, size, word));
}

void
mpq_alloc_ways(const struct mpq_alloc *a, struct mpq_buf *text)
{
    struct mpq_policy policy = *a->policy; /* its arrays are only read */
    struct mpq_rules native;
    struct mpq_err err = { 0 };
    uint64_t low, high;

    mpq_alloc_interval(a, &low, &high);
    policy.split = MPQ_SPLIT_TENSOR;
    add_way(a, "--split tensor", least_with(a, a->rules, &policy), low, text);
    policy = *a->policy;
    if (policy.n_pins || policy.has_rest) {
        policy.n_pins = 0;
        policy.has_rest = 0;
        add_way(a, "fewer pins", least_with(a, a->rules, &policy), low, text);
        policy = *a->policy;
    }
    if (a->listed) {
        policy.types = NULL;
        policy.n_types = 0;
        policy.keep = 0;
        add_way(a, "types of all kinds (no list)", least_with(a, a->rules, &policy),
                low, text);
    } else if (a->damage->is_scores && strcmp(a->rules->name, "native") != 0 &&
               mpq_rules_find(&native, "native", &err) == 0) {
        add_way(a, "--runtime native", least_with(a, &native, &policy), low, text);
        mpq_rules_free(&native);
    }
}
