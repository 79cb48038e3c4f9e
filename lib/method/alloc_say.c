/* An allocation in words. */
#include "method/alloc_own.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *const names[] = { "exact",   "topk",   "greedy",  "lagrange",
                                     "uniform", "random", "inverted" };

int
mpq_alloc_method_parse(const char *name, enum mpq_alloc_method *method)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(name, names[i]) == 0) {
            *method = (enum mpq_alloc_method)i;
            return 0;
        }
    }
    return -1;
}

const char *
mpq_alloc_words(const struct mpq_alloc *a, uint64_t size, char text[64])
{
    if (a->by_size)
        snprintf(text, 64, "%" PRIu64 " bytes", size);
    else
        snprintf(text, 64, "%.6g bits", mpq_alloc_in_bits(a, size));
    return text;
}

void
mpq_alloc_summary(const struct mpq_alloc *a, const struct mpq_alloc_result *r,
                  struct mpq_buf *text)
{
    char used[64], budget[64], from[64], to[64];
    uint64_t low, high;

    mpq_alloc_interval(a, &low, &high);
    mpq_buf_printf(text,
                   "%s: %s of %s (feasible: %s to %s), file of %" PRIu64 " bytes\n",
                   names[r->method], mpq_alloc_words(a, r->size, used),
                   mpq_alloc_words(a, r->budget, budget), mpq_alloc_words(a, low, from),
                   mpq_alloc_words(a, high, to), r->file_bytes);
    mpq_buf_printf(text,
                   "damage %.6g, bound %.6g, gap %.3g%%%s; one more MiB takes off "
                   "%.3g\n",
                   r->damage, r->bound,
                   r->damage > 0 ? 100 * (r->damage - r->bound) / r->damage : 0,
                   r->optimal ? " (optimal)" : "", r->price_per_mib);
}

void
mpq_alloc_meta(const struct mpq_alloc *a, const struct mpq_alloc_result *r,
               struct mpq_buf *text)
{
    const char *unit = a->by_size           ? "bytes"
                       : a->policy->nominal ? "nominal_bits"
                                            : "bits";
    uint64_t low, high;

    mpq_alloc_interval(a, &low, &high);
    mpq_buf_printf(text, "budget %.17g %s feasible=%.17g..%.17g\n",
                   mpq_alloc_in_bits(a, r->budget), unit, mpq_alloc_in_bits(a, low),
                   mpq_alloc_in_bits(a, high));
    mpq_buf_printf(text, "size %.17g %s file=%" PRIu64 "\n",
                   mpq_alloc_in_bits(a, r->size), unit, r->file_bytes);
    mpq_buf_printf(
        text, "damage %.17g bound=%.17g optimal=%d price_per_mib=%.17g method=%s\n",
        r->damage, r->bound, r->optimal, r->price_per_mib, names[r->method]);
}
