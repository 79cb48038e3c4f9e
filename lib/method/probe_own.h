/* What the probe*.c files share; nobody else includes this. */
#ifndef MPQ_METHOD_PROBE_OWN_H
#define MPQ_METHOD_PROBE_OWN_H

#include "method/eval_own.h"
#include "method/exam_own.h"
#include "method/probe.h"

/* A text or a task. [0]: with other weights, [1]: of the unchanged model. */
struct mpq_probe_goal {
    struct mpq_eval_work w;
    size_t n_tokens, n_targets;
    struct mpq_states x;    /* on entering the layer that the walk is at */
    struct mpq_states *at;  /* [n_layer] on entering those to come; not all find room */
    struct mpq_states y;    /* the same on its way through the changed model */
    struct mpq_states last; /* [n_rows] behind the last layer, of the unchanged model */
    struct mpq_states z;    /* of the changed one */
    struct mpq_states ref;  /* [n_rows] as last, of the reference; empty without one */
    size_t *rows;           /* [n_rows] 0, 1, 2 ... */
    double *logp[2];        /* [n_targets] */
    double *kld;            /* [n_rows]; NULL: not wanted */
    double *kld_base;       /* [n_rows] of the unchanged model, from the reference */
    float *kept;            /* [n_kept][n_vocab] logits of the first rows */
    size_t n_kept;
    const struct mpq_exam *exam; /* NULL: a text */
    struct mpq_marks marks;
    double *sums[2];  /* [queries] of ln p, of the divergence (NULL: not wanted) */
    size_t first_row; /* of mpq_probe.rows */
};

struct mpq_probe {
    const struct mpq_probe_options *o;
    struct mpq_forward *f, *base; /* base: the reference, or where the logits find no
                                     room; else NULL */
    const struct mpq_net *net;
    struct mpq_probe_goal *goals;
    size_t n_goals, layer; /* that the walk is at */
    size_t n_tokens;       /* of all goals */
    size_t states_left;    /* bytes for states in memory */
    int is_ready;          /* the unchanged model has been run */
    struct mpq_probe_row *rows;
    size_t n_rows;
};

enum { MPQ_PROBE_TASK_METRICS = 5 };

/* probe.c */
int mpq_probe_no_memory(struct mpq_err *err);
/* The head's work on N rows, in tokens that pass a layer. */
uint64_t mpq_probe_head_cost(const struct mpq_net *net, uint64_t n);

/* probe_report.c */
/* The marks of metric I of MPQ_PROBE_TASK_METRICS, in the order of their rows, and its
 * name; NULL: not wanted. */
double *const *
mpq_probe_task_marks(const struct mpq_probe *p, const struct mpq_probe_goal *g,
                     size_t i, const char **metric);
/* Appends the rows of the goal to those of P. */
void
mpq_probe_name_rows(struct mpq_probe *p, struct mpq_probe_goal *g, const char *task);
/* Fills in all rows from what the last run left in the goals. */
MPQ_MUST_CHECK int mpq_probe_report(struct mpq_probe *p, struct mpq_err *err);

#endif
