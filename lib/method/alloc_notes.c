/* What an allocation says of itself: types that were not offered, units without a
 * score. Each line once, whatever the number of matrices. */
#include "method/alloc_own.h"

#include <inttypes.h>
#include <string.h>

enum { MAX_NAMED = 8, MAX_TOLD = 64 };

/* What a matrix is called without its layer. */
static const char *
kind(const char *name)
{
    const char *dot;

    if (strncmp(name, "blk.", 4) != 0 || !(dot = strchr(name + 4, '.')))
        return name;
    return dot + 1;
}

/* Why unit member I is denied TYPE; *value is the count that is no multiple. */
static enum mpq_legal
denial(const struct mpq_alloc *a, size_t i, struct mpq_type type, uint64_t *value,
       uint64_t *multiple)
{
    const struct mpq_matrix *m = &a->layout->matrices[i];
    enum mpq_legal why = mpq_rules_allow(a->rules, type, m->rows, m->cols, multiple);

    *value = why == MPQ_ROW_LENGTH ? m->cols : m->rows;
    return why;
}

/* " (attn_q attn_k ...)": the kinds of matrices that are denied like (WHY, VALUE,
 * MULTIPLE) for some type. */
static void
add_kinds(struct mpq_alloc *a, enum mpq_legal why, uint64_t value, uint64_t multiple)
{
    const struct mpq_units *u = &a->units;
    size_t begin = a->notes.len;
    uint64_t v, m;

    mpq_buf_adds(&a->notes, " (");
    for (size_t i = 0; i < a->layout->n && !a->notes.failed; i++) {
        int hit = 0, known = 0;
        if (u->unit[i] == SIZE_MAX)
            continue;
        for (size_t t = 0; t < a->n_types && !hit; t++)
            hit =
                denial(a, i, a->types[t], &v, &m) == why && v == value && m == multiple;
        const char *name = kind(a->layout->matrices[i].name);
        size_t len = strlen(name);
        /* Is the word in the list already? */
        for (const char *s = a->notes.data + begin + 1; hit && !known && s;
             s = strchr(s + 1, ' '))
            known = strncmp(s + 1, name, len) == 0 &&
                    (s[1 + len] == ' ' || s[1 + len] == '\0');
        if (hit && !known)
            mpq_buf_printf(&a->notes, "%s%s", a->notes.len > begin + 2 ? " " : "",
                           name);
    }
    mpq_buf_adds(&a->notes, ")");
}

/* One line for all types that are denied like type T for matrix I. */
static void
add_denial(struct mpq_alloc *a, size_t i, size_t t)
{
    char name[MPQ_TYPE_NAME_MAX];
    uint64_t value, multiple, v, m;
    enum mpq_legal why = denial(a, i, a->types[t], &value, &multiple);

    mpq_buf_adds(&a->notes, "not offered:");
    for (size_t o = 0; o < a->n_types; o++)
        if (denial(a, i, a->types[o], &v, &m) == why && v == value && m == multiple)
            mpq_buf_printf(&a->notes, " %s", mpq_type_name(a->types[o], name));
    mpq_buf_printf(&a->notes,
                   why == MPQ_ROW_LENGTH ? ", where rows of %" PRIu64
                                         : ", where %" PRIu64 " rows",
                   value);
    mpq_buf_printf(&a->notes, " are no multiple of %" PRIu64, multiple);
    add_kinds(a, why, value, multiple);
    mpq_buf_adds(&a->notes, "\n");
}

/* Denials told so far. */
struct told {
    struct {
        enum mpq_legal why;
        uint64_t value, multiple;
    } at[MAX_TOLD];
    size_t n;
};

/* Is this denial new? Then it is noted; past MAX_TOLD nothing is told any more. */
static int
is_new(struct told *told, enum mpq_legal why, uint64_t value, uint64_t multiple)
{
    for (size_t i = 0; i < told->n; i++)
        if (told->at[i].why == why && told->at[i].value == value &&
            told->at[i].multiple == multiple)
            return 0;
    if (told->n == MAX_TOLD)
        return 0;
    told->at[told->n].why = why;
    told->at[told->n].value = value;
    told->at[told->n++].multiple = multiple;
    return 1;
}

static int
is_quantized(const struct mpq_alloc *a, size_t u)
{
    for (size_t k = a->units.first[u]; k < a->units.first[u + 1]; k++)
        if (!mpq_type_is_float(a->layout->matrices[a->units.member[k]].type))
            return 1;
    return 0;
}

/* Did the rows of one matrix take a type from others of its unit? */
static int
shared_denial(const struct mpq_alloc *a)
{
    uint64_t v, m;

    for (size_t u = 0; u < a->units.n; u++)
        for (size_t t = 0; t < a->n_types; t++) {
            if (mpq_alloc_offers(a, u, a->types[t]))
                continue;
            for (size_t k = a->units.first[u]; k < a->units.first[u + 1]; k++)
                if (denial(a, a->units.member[k], a->types[t], &v, &m) == MPQ_LEGAL)
                    return 1;
        }
    return 0;
}

/* A quantized unit is not offered what is wider: nothing comes back by that. */
static void
note_wide(struct mpq_alloc *a)
{
    char name[MPQ_TYPE_NAME_MAX];
    size_t begin = a->notes.len;

    for (size_t t = 0; t < a->n_types; t++) {
        int wide = 0;
        for (size_t u = 0; u < a->units.n && !wide; u++)
            wide = is_quantized(a, u) && mpq_alloc_offers(a, u, a->types[t]) &&
                   mpq_alloc_too_wide(a, u, a->types[t]);
        if (wide)
            mpq_buf_printf(&a->notes, "%s%s",
                           a->notes.len > begin ? " "
                                                : "not offered where it is wider "
                                                  "than what is there now: ",
                           mpq_type_name(a->types[t], name));
    }
    if (a->notes.len > begin)
        mpq_buf_adds(&a->notes,
                     " (what quantizing took away would not come back; -t offers "
                     "them all the same)\n");
}

void
mpq_alloc_note_pins(struct mpq_alloc *a)
{
    const struct mpq_layout *l = a->layout;
    int named = 0;

    if (!l->tied || mpq_layout_find(l, "output"))
        return;
    for (size_t p = 0; p < a->policy->n_pins; p++)
        named |= strcmp(a->policy->pins[p].name, "output") == 0;
    for (size_t t = 0; t < a->policy->n_ties; t++)
        for (size_t k = 0; k < a->policy->ties[t].names.n; k++)
            named |= strcmp(a->policy->ties[t].names.items[k], "output") == 0;
    if (named)
        mpq_buf_adds(&a->notes, "output is tied to token_embd: one matrix, which is "
                                "meant by both names\n");
}

void
mpq_alloc_note_types(struct mpq_alloc *a)
{
    char name[MPQ_TYPE_NAME_MAX];
    struct told told = { .n = 0 };
    uint64_t value, multiple;

    for (size_t t = 0; t < a->n_types && a->layout->n; t++) {
        enum mpq_legal why = denial(a, 0, a->types[t], &value, &multiple);
        mpq_type_name(a->types[t], name);
        if (why == MPQ_NOT_LOADED)
            mpq_buf_printf(&a->notes, "not offered: %s: %s does not load it\n", name,
                           a->rules->name);
        else if (why == MPQ_NOT_WRITTEN)
            mpq_buf_printf(&a->notes, "not offered: %s: mpq-pack does not write it\n",
                           name);
    }
    for (size_t i = 0; i < a->layout->n; i++) {
        if (a->units.unit[i] == SIZE_MAX)
            continue;
        for (size_t t = 0; t < a->n_types; t++) {
            enum mpq_legal why = denial(a, i, a->types[t], &value, &multiple);
            if ((why == MPQ_ROW_LENGTH || why == MPQ_ROW_COUNT) &&
                is_new(&told, why, value, multiple))
                add_denial(a, i, t);
        }
    }
    for (size_t t = 0; t < a->n_types; t++) {
        int without = 0;
        for (size_t u = 0; u < a->units.n; u++)
            without |= mpq_alloc_offers(a, u, a->types[t]) &&
                       mpq_alloc_unmeasured(a, u, a->types[t]);
        if (without)
            mpq_buf_printf(&a->notes,
                           "not offered: %s, to parts of layers that cannot take it as "
                           "a whole and so were not measured with it\n",
                           mpq_type_name(a->types[t], name));
    }
    note_wide(a);
    if (shared_denial(a))
        mpq_buf_adds(&a->notes,
                     "what has one type together is offered only what all of "
                     "it can take (--split tensor lets each matrix choose)\n");
}

void
mpq_alloc_note_means(struct mpq_alloc *a)
{
    size_t n = 0;

    for (size_t u = 0; u < a->units.n; u++) {
        int without = 0;
        for (size_t k = a->units.first[u]; k < a->units.first[u + 1]; k++)
            without |= !mpq_damage_has(a->damage, a->units.member[k]);
        if (!without)
            continue;
        if (n < MAX_NAMED)
            mpq_buf_printf(&a->notes, "%s%s",
                           n                      ? ", "
                           : a->damage->is_scores ? "no score, so the median: "
                                                  : "no damage, so the mean: ",
                           a->units.name[u]);
        n++;
    }
    if (n > MAX_NAMED)
        mpq_buf_printf(&a->notes, " and %zu more", n - MAX_NAMED);
    if (n)
        mpq_buf_adds(&a->notes, "\n");
}
