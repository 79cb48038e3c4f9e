/* Scores and damages with a model's shape, up to a plan: whatever the table says, a
 * plan that comes out is within the budget, whole, and reads back. */
#include "replay.h"

#include "method/alloc.h"

#include <stdlib.h>
#include <string.h>

/* Solves for a budget in the middle of what is feasible, and checks the plan. */
static void
solve(const struct mpq_alloc *a, const struct mpq_layout *l, enum mpq_alloc_method m)
{
    struct mpq_alloc_result r;
    struct mpq_plan plan;
    struct mpq_err err = { 0 };
    uint64_t low, high;

    mpq_alloc_interval(a, &low, &high);
    if (high < low)
        abort();
    uint64_t budget = low + (high - low) / 2;
    if (mpq_alloc_solve(a, m, budget, 1, &r, &err) < 0) {
        if (!err.code)
            abort();
        return;
    }
    if (r.size > budget || r.size < low || r.bound > r.damage)
        abort();
    if (mpq_alloc_plan(a, &r, &plan, &err) < 0)
        abort();
    for (size_t i = 0; i < l->n; i++)
        if (!mpq_type_fits(plan.types[i], l->matrices[i].cols))
            abort();
    mpq_plan_free(&plan);
    free(r.pick);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mpq_policy policy = { .split = size % 3 };
    struct mpq_layout layout = { 0 };
    struct mpq_damage damage = { 0 };
    struct mpq_rules rules = { 0 };
    struct mpq_alloc *alloc = NULL;
    struct mpq_tsv *t = NULL;
    struct mpq_err err = { 0 };

    if (mpq_tsv_parse(&t, (const char *)data, size, "input", NULL, &err) < 0 ||
        mpq_layout_from_tsv(&layout, t, &err) < 0 ||
        mpq_rules_find(&rules, size % 2 ? "native" : "llama.cpp", &err) < 0 ||
        mpq_damage_read(&damage, t, &layout, &err) < 0 ||
        mpq_alloc_new(&alloc, &layout, &rules, &policy, &damage, size % 5 < 2, &err) <
            0) {
        if (!err.code)
            abort();
    } else {
        for (int m = MPQ_ALLOC_EXACT; m <= MPQ_ALLOC_INVERTED; m++)
            solve(alloc, &layout, (enum mpq_alloc_method)m);
    }
    mpq_alloc_free(alloc);
    mpq_damage_free(&damage);
    mpq_rules_free(&rules);
    mpq_layout_free(&layout);
    mpq_tsv_free(t);
    return 0;
}
