/*
 * An allocation problem put together from a model's shape, the rules of a runtime, a
 * policy, and scores or damages; solved for any number of budgets.
 */
#ifndef MPQ_METHOD_ALLOC_H
#define MPQ_METHOD_ALLOC_H

#include "base/buf.h"
#include "method/knap.h"
#include "method/units.h"
#include "model/damage.h"
#include "model/plan.h"

enum mpq_alloc_method {
    MPQ_ALLOC_EXACT,
    MPQ_ALLOC_TOPK,
    MPQ_ALLOC_GREEDY,
    MPQ_ALLOC_LAGRANGE,
    MPQ_ALLOC_UNIFORM, /* from here on controls: they get the bytes of the exact plan */
    MPQ_ALLOC_RANDOM,
    MPQ_ALLOC_INVERTED,
};

struct mpq_alloc; /* a problem; opaque, owns its arrays */

/* A solution. Sizes are what the budget counts: bits, or bytes of the file. */
struct mpq_alloc_result {
    enum mpq_alloc_method method;
    uint32_t *pick;        /* [units] */
    uint64_t budget, size; /* what the fixed matrices take up included */
    double mean_bits;      /* over the linear weights of the blocks, scales included
                              unless --nominal */
    uint64_t file_bytes;   /* of the finished file */
    double damage;         /* with --risk its share */
    double best;           /* of the exact method; `damage` if that was asked for */
    double bound;          /* no allocation within the budget has less */
    double price_per_mib;  /* damage that one more MiB takes off, from the slope of the
                              relaxation; mpq_alloc_price finds it out */
    int optimal;
    uint64_t nodes;
};

/* LAYOUT, RULES, POLICY and DAMAGE must outlive *out. BY_SIZE: budgets are bytes of the
 * whole file, embedding and output are candidates. -1 with MPQ_EDATA, with MPQ_ENOFIT
 * when a unit has no legal type, with MPQ_EUSAGE for what the policy may not ask. On
 * success *out is the caller's to free. */
MPQ_MUST_CHECK int
mpq_alloc_new(struct mpq_alloc **out, const struct mpq_layout *layout,
              const struct mpq_rules *rules, const struct mpq_policy *policy,
              const struct mpq_damage *damage, int by_size, struct mpq_err *err);
void mpq_alloc_free(struct mpq_alloc *a);

/* Lines for people, each ended by \n: which types were not offered and why, which units
 * had no score. NUL-terminated, maybe empty. */
const char *mpq_alloc_notes(const struct mpq_alloc *a);
size_t mpq_alloc_units(const struct mpq_alloc *a);
/* A budget of BITS mean bits as whole bits. */
uint64_t mpq_alloc_bits_budget(const struct mpq_alloc *a, double bits);
/* Sizes that a budget can choose between: of the smallest plan, and of the one of least
 * damage without a budget. */
void mpq_alloc_interval(const struct mpq_alloc *a, uint64_t *low, uint64_t *high);
/* SIZE in the unit that the budget was given in: mean bits, or bytes. */
double mpq_alloc_in_bits(const struct mpq_alloc *a, uint64_t size);

/* Solves for BUDGET. -1 with MPQ_ENOFIT and the smallest size when nothing fits. On
 * success r->pick is the caller's to free. */
MPQ_MUST_CHECK int
mpq_alloc_solve(const struct mpq_alloc *a, enum mpq_alloc_method method,
                uint64_t budget, uint64_t seed, struct mpq_alloc_result *r,
                struct mpq_err *err);
/* Sets r->price_per_mib to what the exact method gains by one more MiB: it is run once
 * more. */
MPQ_MUST_CHECK int mpq_alloc_price(const struct mpq_alloc *a,
                                   struct mpq_alloc_result *r, struct mpq_err *err);
/* The solution as a plan, the caller's to free. */
MPQ_MUST_CHECK int
mpq_alloc_plan(const struct mpq_alloc *a, const struct mpq_alloc_result *r,
               struct mpq_plan *plan, struct mpq_err *err);

/* Appends a table for people, "#type bits multiple error mpq-pack runtimes": bits of a
 * weight, what the row length is a multiple of, mpq_type_error, yes or no, and who
 * loads the type (NAME:MULTIPLE where that asks for another row length). */
MPQ_MUST_CHECK int mpq_alloc_list_types(struct mpq_buf *text, struct mpq_err *err);

/* The method called NAME; -1 when there is none. */
MPQ_MUST_CHECK int
mpq_alloc_method_parse(const char *name, enum mpq_alloc_method *method);
/* SIZE as a budget to be given: "3.0125" (rounded up) or "1234567"; returns TEXT. */
const char *mpq_alloc_least(const struct mpq_alloc *a, uint64_t size, char text[64]);
/* The same with its unit: "3.0125 bits", "1234567 bytes". */
const char *mpq_alloc_words(const struct mpq_alloc *a, uint64_t size, char text[64]);
/* Appends what goes below the smallest plan, "--split tensor (4.0313), --runtime native
 * (1.25)", each with its smallest budget; nothing when nothing does. */
void mpq_alloc_ways(const struct mpq_alloc *a, struct mpq_buf *text);
/* Appends what came of it, lines ended by \n: for people, and for a table's metadata.
 */
void mpq_alloc_summary(const struct mpq_alloc *a, const struct mpq_alloc_result *r,
                       struct mpq_buf *text);
void mpq_alloc_meta(const struct mpq_alloc *a, const struct mpq_alloc_result *r,
                    struct mpq_buf *text);

#endif
