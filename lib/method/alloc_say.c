/* An allocation in words. */
#include "method/alloc_own.h"

#include "base/buf.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    NEARLY = 65536, /* bytes that a budget may lack and be told of it */
    LARGE = 3       /* a matrix of a third of the file is told of */
};

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

/* BYTES as "98.4 MB", "1.53 MB". */
static const char *
megabytes(uint64_t bytes, char text[64])
{
    double mb = (double)bytes / 1e6;

    snprintf(text, 64, "%.*f MB", mb < 10 ? 3 : mb < 100 ? 2 : 1, mb);
    return text;
}

static void
say_size(const struct mpq_alloc *a, const struct mpq_alloc_result *r,
         struct mpq_buf *text)
{
    char mb[64], least[64], most[64], budget[64];
    uint64_t low, high, now = mpq_alloc_present_bytes(a);

    mpq_alloc_interval(a, &low, &high);
    mpq_buf_printf(text, "%s%s: ", names[r->method], r->optimal ? " (optimal)" : "");
    if (now)
        mpq_buf_printf(text, "%s -> ", megabytes(now, mb));
    mpq_buf_printf(text, "%s, %.5g mean bits", megabytes(r->file_bytes, mb),
                   r->mean_bits);
    if (a->by_size)
        mpq_buf_printf(text, "; budget %s (least %s, most %s)\n",
                       megabytes(r->budget, budget), megabytes(low, least),
                       megabytes(high, most));
    else
        mpq_buf_printf(text, "; budget %.6g (least %s, most %.6g)\n",
                       mpq_alloc_in_bits(a, r->budget), mpq_alloc_least(a, low, least),
                       mpq_alloc_in_bits(a, high));
}

/* What the budget does not let happen, and what would. */
static void
say_limits(const struct mpq_alloc *a, const struct mpq_alloc_result *r,
           struct mpq_buf *text)
{
    struct mpq_buf ways = { 0 };
    uint64_t low, high, now = mpq_alloc_present_bytes(a);

    mpq_alloc_interval(a, &low, &high);
    if (now && r->file_bytes == now && r->size == high)
        mpq_buf_adds(text, "the model fits as it is: nothing is quantized\n");
    if (r->size == low && low < high) {
        mpq_alloc_ways(a, &ways);
        mpq_buf_adds(text,
                     "the budget leaves no choice: everything has its smallest type");
        if (ways.len && !ways.failed)
            mpq_buf_printf(text, "; less with %s", ways.data);
        mpq_buf_adds(text, "\n");
        mpq_buf_free(&ways);
    }
    if (a->by_size && now == high && now > r->budget && now - r->budget <= NEARLY)
        mpq_buf_printf(text,
                       "--size %" PRIu64 " keeps everything as it is (%" PRIu64
                       " bytes more: mpq-pack notes in the file what it did)\n",
                       now, now - r->budget);
}

/* Under a budget of mean bits the matrices outside the blocks stay as they are, and
 * those of a small model can be most of the file. */
static void
say_rest(const struct mpq_alloc *a, const struct mpq_alloc_result *r,
         struct mpq_buf *text)
{
    unsigned char *chosen = mpq_array(a->layout->n, 1);
    char mb[64], name[MPQ_TYPE_NAME_MAX];

    for (size_t u = 0; chosen && u < a->units.n; u++)
        for (size_t k = a->units.first[u]; k < a->units.first[u + 1]; k++)
            chosen[a->units.member[k]] = 1;
    for (size_t i = 0; chosen && i < a->layout->n; i++) {
        const struct mpq_matrix *m = &a->layout->matrices[i];
        uint64_t bytes;
        if (chosen[i] || a->policy->has_rest || !mpq_type_is_float(m->type) ||
            mpq_type_row_bytes(m->type, m->cols, &bytes) < 0 ||
            bytes * m->rows < r->file_bytes / LARGE)
            continue;
        mpq_buf_printf(text, "%s stays %s, %s of the file: --rest TYPE or --size\n",
                       m->name, mpq_type_name(m->type, name),
                       megabytes(bytes * m->rows, mb));
    }
    free(chosen);
}

void
mpq_alloc_summary(const struct mpq_alloc *a, const struct mpq_alloc_result *r,
                  struct mpq_buf *text)
{
    say_size(a, r, text);
    mpq_alloc_say_picks(a, r, text);
    mpq_buf_printf(text, "damage %.6g", r->damage);
    if (!r->optimal)
        mpq_buf_printf(text, ", %.3g%% above what no plan can beat (%.6g)",
                       r->bound > 0 ? 100 * (r->damage - r->bound) / r->bound : 100.0,
                       r->bound);
    if (r->price_per_mib > 0)
        mpq_buf_printf(text, "; one more MiB takes off %.3g", r->price_per_mib);
    mpq_buf_adds(text, "\n");
    say_limits(a, r, text);
    if (!a->by_size)
        say_rest(a, r, text);
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
