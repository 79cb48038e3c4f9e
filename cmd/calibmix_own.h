/* Inside of mpq-calibmix: what it was asked, the texts it mixes. */
#ifndef MPQ_CMD_CALIBMIX_OWN_H
#define MPQ_CMD_CALIBMIX_OWN_H

#include "cli.h"

#include "method/traces.h"
#include "model/calib.h"

/* The command line. */
struct calibmix_options {
    struct cli_list sources, targets; /* paths */
    const char *emit, *config;        /* a path of a mix, a folder; or NULL */
    uint64_t samples, ctx, steps;
    int measure, optimum;
};
extern struct calibmix_options calibmix;

struct calibmix_job {
    struct mpq_source *model;
    struct mpq_forward *forward;
    size_t n, n_layers;      /* sources */
    struct mpq_calib *texts; /* [n] */
    double *traces, *target; /* [n][n_layers], [n_layers] */
    double *points;          /* [n_points + 1][n] shares: the grid, the best of all */
    size_t n_points;
    double *shares;     /* [n], of --emit */
    const char **names; /* [n], of --emit: borrowed from the table */
    struct mpq_tsv *mix;
    struct cli_bar *bar; /* of --measure */
};

int calibmix_no_memory(struct mpq_err *err);
/* A text, or lines joined into one, as samples of equal length. */
MPQ_MUST_CHECK int calibmix_read_text(struct calibmix_job *j, const char *path,
                                      struct mpq_calib *text, struct mpq_err *err);
/* A text of TOTAL tokens in these shares; the source of each sequence into *from, the
 * caller's to free (NULL is fine). */
MPQ_MUST_CHECK int
calibmix_compose(const struct calibmix_job *j, const double *shares, uint64_t total,
                 struct mpq_calib *out, size_t **from, struct mpq_err *err);

/* What the tool does: the table of mixtures; the samples of one. */
MPQ_MUST_CHECK int calibmix_find(struct calibmix_job *j, struct mpq_err *err);
MPQ_MUST_CHECK int calibmix_emit(struct calibmix_job *j, struct mpq_err *err);

#endif
