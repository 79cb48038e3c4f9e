/*
 * What tables of KIND probe, damage and scores have in common: a figure for each unit
 * and type (for scores: each unit), found by their names.
 */
#ifndef MPQ_METHOD_PAIRS_H
#define MPQ_METHOD_PAIRS_H

#include "base/index.h"
#include "base/pool.h"
#include "fmt/dtype.h"
#include "fmt/tsv.h"

struct mpq_pair {
    const char *unit; /* as in the table */
    const char *type; /* its usual name; "" in scores */
    const char *key;  /* the two, parted by a tab */
    double bits, params;
    double value;      /* delta, damage or score */
    double se, inputs; /* 0 where there is no column; inputs: of damages, the part that
                          is not the weights' (mpq-stats --int8) */
    size_t line;       /* in its table, for messages */
};

struct mpq_pairs {
    const char *file;          /* for messages */
    const char *task, *metric; /* probes, else NULL */
    int typed;
    struct mpq_pair *rows; /* [n] in the order of the tables */
    size_t n, cap;
    struct mpq_index index; /* key to position */
    struct mpq_pool strings;
};

/* What there is of T: MPQ_PAIRS_PROBE and so on, by its first line, or by its columns
 * where that was filtered out. -1 with a message for tables of other kinds. */
enum { MPQ_PAIRS_SCORES, MPQ_PAIRS_DAMAGE, MPQ_PAIRS_PROBE };
MPQ_MUST_CHECK int mpq_pairs_kind(const struct mpq_tsv *t, struct mpq_err *err);

/* Reads TABLES[n_tables], parts of one whole of KIND; of probes the rows of TASK and
 * METRIC; when n_types > 0, only rows of TYPES. -1 when a number or type is none, a
 * pair is there twice, or nothing is left. Tables, TASK and METRIC must outlive *out,
 * which on success is the caller's to free. */
struct mpq_pairs_how {
    int kind;
    const char *task, *metric;
    const struct mpq_type *types;
    size_t n_types;
};
MPQ_MUST_CHECK int
mpq_pairs_read(struct mpq_pairs *out, struct mpq_tsv *const *tables, size_t n_tables,
               const struct mpq_pairs_how *how, struct mpq_err *err);
/* Zeroed is fine; empty afterward. */
void mpq_pairs_free(struct mpq_pairs *p);
/* NULL when there is none. */
const struct mpq_pair *mpq_pairs_find(const struct mpq_pairs *p, const char *key);
/* -1, naming the first row of A that B lacks. */
MPQ_MUST_CHECK int mpq_pairs_within(const struct mpq_pairs *a,
                                    const struct mpq_pairs *b, struct mpq_err *err);

/* The distinct tasks and metrics in probes, in order of appearance. */
struct mpq_objective {
    const char *task, *metric; /* borrowed from the tables */
};
enum { MPQ_MAX_OBJECTIVES = 256 };
/* list[MPQ_MAX_OBJECTIVES]; -1 when there are more. */
MPQ_MUST_CHECK int
mpq_objectives(struct mpq_tsv *const *tables, size_t n_tables,
               struct mpq_objective *list, size_t *n, struct mpq_err *err);
/* The one that is meant: TASK and METRIC where they are not NULL; where several metrics
 * are left, PREFERRED. -1 with a message when that leaves none or several. */
MPQ_MUST_CHECK int
mpq_objective_choose(struct mpq_tsv *const *tables, size_t n_tables, const char *task,
                     const char *metric, const char *preferred,
                     struct mpq_objective *out, struct mpq_err *err);

#endif
