/* When nothing fits: why not, and what would. */
#include "base/buf.h"
#include "method/alloc_own.h"

#include <inttypes.h>
#include <stdlib.h>
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

/* Why TYPE is no choice of unit U: the first matrix that cannot have it. Returns 0 when
 * all could. */
static enum mpq_legal
find_denial(const struct mpq_alloc *a, size_t u, struct mpq_type type, size_t *at,
            uint64_t *multiple)
{
    for (size_t k = a->units.first[u]; k < a->units.first[u + 1]; k++) {
        const struct mpq_matrix *m = &a->layout->matrices[a->units.member[k]];
        enum mpq_legal why =
            mpq_rules_allow(a->rules, type, m->rows, m->cols, multiple);
        *at = a->units.member[k];
        if (why != MPQ_LEGAL)
            return why;
    }
    return MPQ_LEGAL;
}

static void
say_denial(const struct mpq_alloc *a, enum mpq_legal why, size_t i, uint64_t multiple,
           struct mpq_buf *text)
{
    const struct mpq_matrix *m = &a->layout->matrices[i];

    switch (why) {
    case MPQ_LEGAL:
        mpq_buf_adds(text, "not measured");
        break;
    case MPQ_NOT_LOADED:
        mpq_buf_printf(text, "%s does not load that", a->rules->name);
        break;
    case MPQ_NOT_WRITTEN:
        mpq_buf_adds(text, "mpq-pack does not write that");
        break;
    case MPQ_ROW_LENGTH:
        mpq_buf_printf(text,
                       "takes rows of a multiple of %" PRIu64 ", %.80s has %" PRIu64,
                       multiple, m->name, m->cols);
        break;
    case MPQ_ROW_COUNT:
        mpq_buf_printf(text, "takes a multiple of %" PRIu64 " rows, %.80s has %" PRIu64,
                       multiple, m->name, m->rows);
        break;
    }
}

/* "q2_k q4_k: REASON; int3: REASON": types that are denied alike together. */
static void
add_denials(const struct mpq_alloc *a, size_t u, struct mpq_buf *text)
{
    char name[MPQ_TYPE_NAME_MAX];
    size_t at = 0, other_at = 0;
    uint64_t multiple, other;

    for (size_t t = 0; t < a->n_types; t++) {
        int told = 0;
        multiple = 0;
        enum mpq_legal why = find_denial(a, u, a->types[t], &at, &multiple);
        size_t begin = text->len;
        for (size_t o = 0; o < a->n_types && !told; o++) {
            other = 0;
            if (find_denial(a, u, a->types[o], &other_at, &other) != why ||
                other_at != at || other != multiple)
                continue;
            told = o < t;
            if (!told)
                mpq_buf_printf(text, "%s%s",
                               text->len > begin ? " "
                               : begin           ? "; "
                                                 : "",
                               mpq_type_name(a->types[o], name));
        }
        if (told || text->failed)
            continue;
        mpq_buf_adds(text, ": ");
        say_denial(a, why, at, multiple, text);
    }
}

int
mpq_alloc_fail_illegal(const struct mpq_alloc *a, size_t u, struct mpq_err *err)
{
    struct mpq_buf why = { 0 }, legal = { 0 };
    char name[MPQ_TYPE_NAME_MAX];
    size_t n = 0;
    struct mpq_type *types = mpq_alloc_default_types(a->rules, &n);

    add_denials(a, u, &why);
    for (size_t t = 0; types && t < n; t++)
        if (mpq_alloc_offers(a, u, types[t]))
            mpq_buf_printf(&legal, "%s%s", legal.len ? " " : "",
                           mpq_type_name(types[t], name));
    mpq_fail(err, MPQ_ENOFIT, "%s: no legal type: %s; legal there: %s",
             a->units.name[u], why.failed || !why.data ? "none was given" : why.data,
             legal.failed || !legal.data ? "none" : legal.data);
    free(types);
    mpq_buf_free(&why);
    mpq_buf_free(&legal);
    return -1;
}
