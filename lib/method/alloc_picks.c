/* What was chosen, in words: how many of each type, who got the most and the least. */
#include "base/buf.h"
#include "method/alloc_own.h"

#include <stdlib.h>

enum { NAMED = 3 };

/* A unit with what it was given. */
struct picked {
    size_t unit;
    struct mpq_type type;
    int mixed;   /* it stays as it is, of several types */
    double bits; /* of a weight */
    double need; /* damage for the error: how sensitive it is */
};

uint64_t
mpq_alloc_present_bytes(const struct mpq_alloc *a)
{
    struct mpq_plan plan;
    struct mpq_err err = { 0 };
    uint64_t bytes = 0;

    if (mpq_plan_new(&plan, a->layout, &err) < 0)
        return 0;
    if (mpq_layout_file_bytes(a->layout, a->layout->container, plan.types, &bytes,
                              &err) < 0)
        bytes = 0;
    mpq_plan_free(&plan);
    return bytes;
}

static struct picked
look_up(const struct mpq_alloc *a, size_t u, uint32_t pick)
{
    struct picked p = { .unit = u };
    double damage = 0, error = 0;
    uint64_t bytes = 0;

    for (size_t k = a->units.first[u]; k < a->units.first[u + 1]; k++) {
        size_t i = a->units.member[k];
        const struct mpq_matrix *m = &a->layout->matrices[i];
        struct mpq_type type = mpq_alloc_type(a, a->type[a->first[u] + pick], i);
        p.mixed |= k > a->units.first[u] && !mpq_type_eq(type, p.type);
        p.type = type;
        if (mpq_type_bytes(type, m->rows, m->cols, &bytes) == 0)
            p.bits +=
                8 * (double)(bytes - mpq_type_map_bytes(type, m->cols)) / a->params[u];
    }
    for (size_t c = a->first[u]; c < a->first[u + 1]; c++) {
        damage += a->cost[c];
        error += a->error[c];
    }
    p.need = error > 0 ? damage / error : 0;
    return p;
}

/* The most bits first, then who needs them most. */
static int
by_bits(const void *a, const void *b)
{
    const struct picked *x = a, *y = b;

    if (x->bits != y->bits)
        return x->bits > y->bits ? -1 : 1;
    if (x->need != y->need)
        return x->need > y->need ? -1 : 1;
    return x->unit < y->unit ? -1 : x->unit > y->unit;
}

static const char *
label(const struct picked *p, char name[MPQ_TYPE_NAME_MAX])
{
    return p->mixed ? "as it is" : mpq_type_name(p->type, name);
}

static int
same_label(const struct picked *p, const struct picked *q)
{
    return p->mixed == q->mixed && (p->mixed || mpq_type_eq(p->type, q->type));
}

/* "14 q4_0, 9 q5_1", the fewest bits first; returns how many different ones. */
static size_t
add_counts(const struct picked *p, size_t n, struct mpq_buf *text)
{
    char name[MPQ_TYPE_NAME_MAX];
    size_t kinds = 0;

    for (size_t i = n; i-- > 0;) {
        size_t count = 0, told = 0;
        for (size_t o = n; o-- > 0;) {
            told |= o > i && same_label(&p[o], &p[i]);
            count += (size_t)same_label(&p[o], &p[i]);
            if (told)
                break;
        }
        if (!told)
            mpq_buf_printf(text, "%s%zu %s", kinds++ ? ", " : "", count,
                           label(&p[i], name));
    }
    return kinds;
}

/* What the units are called together. */
static const char *
noun(const struct mpq_alloc *a)
{
    size_t layers = 0, modules = 0;
    int layer;

    for (size_t u = 0; u < a->units.n; u++) {
        layers += a->units.by_layer[a->units.member[a->units.first[u]]];
        modules += mpq_name_unit_module(a->units.name[u], &layer) != MPQ_MODULE_NONE;
    }
    if (layers == a->units.n || modules == a->units.n)
        return modules ? "modules" : "layers";
    return layers    ? "layers and matrices"
           : modules ? "modules and matrices"
                     : "matrices";
}

void
mpq_alloc_say_picks(const struct mpq_alloc *a, const struct mpq_alloc_result *r,
                    struct mpq_buf *text)
{
    const size_t n = a->units.n, named = n / 2 < NAMED ? n / 2 : NAMED;
    struct picked *p = mpq_array(n, sizeof *p);
    char name[MPQ_TYPE_NAME_MAX];

    if (!p || n == 0) {
        free(p);
        return;
    }
    for (size_t u = 0; u < n; u++)
        p[u] = look_up(a, u, r->pick[u]);
    qsort(p, n, sizeof *p, by_bits);
    mpq_buf_printf(text, "%zu %s: ", n, noun(a));
    if (add_counts(p, n, text) > 1 && p[0].bits > p[n - 1].bits) {
        for (size_t i = 0; i < named; i++)
            mpq_buf_printf(text, "%s%s %s",
                           i ? ", " : "; most bits: ", a->units.name[p[i].unit],
                           label(&p[i], name));
        for (size_t i = 0; i < named; i++)
            mpq_buf_printf(text, "%s%s %s",
                           i ? ", " : "; fewest: ", a->units.name[p[n - 1 - i].unit],
                           label(&p[n - 1 - i], name));
    }
    mpq_buf_adds(text, "\n");
    free(p);
}
