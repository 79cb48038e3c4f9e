/* Tables of KIND stats in memory: units with their figures, in model order. */
#ifndef MPQ_METHOD_STATSET_H
#define MPQ_METHOD_STATSET_H

#include "fmt/tsv.h"
#include "model/names.h"

/* The figures that scores are made of. */
enum mpq_stat {
    MPQ_STAT_N, /* weights; only tensors have it */
    MPQ_STAT_KURT,
    MPQ_STAT_ZSHARE,
    MPQ_STAT_ENTROPY,
    MPQ_STAT_MSE2,
    MPQ_STAT_MSE3,
    MPQ_STAT_MSE4,
    MPQ_STAT_MSE8,
    MPQ_STAT_NV,
    MPQ_STAT_SE,
    MPQ_STAT_SE_OFFICIAL,
    MPQ_STAT_LIM, /* of a layer, blk.3 */
    MPQ_STAT_LSAQ,
    MPQ_N_STATS,
};
extern const char *const mpq_stat_names[MPQ_N_STATS];

struct mpq_stat_unit {
    const char *name; /* borrowed from the table */
    int layer;        /* -1 outside the blocks */
    enum mpq_role role;
    unsigned has; /* a bit for each of: */
    double stat[MPQ_N_STATS];
    size_t row; /* where it was seen first */
    const struct mpq_tsv *table;
};

struct mpq_statset {
    struct mpq_stat_unit *units; /* by layer, within a layer as in the table */
    size_t n;
    size_t n_layers; /* distinct ones, without -1 */
};

/* Collects the rows of TABLES[n_tables], which must outlive *out; other stats are
 * passed over. -1 when a unit has a stat twice (but n, which tables of weights and of
 * activations both have), two layers, or a wrong number. Where a table carries the
 * model's shape, every matrix of the blocks must be there. On success *out is the
 * caller's to free. */
MPQ_MUST_CHECK int
mpq_statset_new(struct mpq_statset *out, struct mpq_tsv *const *tables, size_t n_tables,
                struct mpq_err *err);
void mpq_statset_free(struct mpq_statset *s);
/* -1 with a message that names unit and stat, unless U has it. */
MPQ_MUST_CHECK int
mpq_stat_need(const struct mpq_stat_unit *u, enum mpq_stat stat, struct mpq_err *err);

#endif
