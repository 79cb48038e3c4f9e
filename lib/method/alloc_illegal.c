/* When a unit is offered no type: why not, and what would be. */
#include "base/buf.h"
#include "method/alloc_own.h"

#include <inttypes.h>
#include <stdlib.h>

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
