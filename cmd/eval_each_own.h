/* Inside of mpq-eval --each. */
#ifndef MPQ_CMD_EVAL_EACH_OWN_H
#define MPQ_CMD_EVAL_EACH_OWN_H

#include "eval_own.h"

#include "method/probe.h"
#include "method/probe_units.h"
#include "model/layout.h"
#include "model/tune_each.h"

struct each_job {
    struct ev_job *j;
    struct mpq_type types[CLI_MAX_TYPES];
    size_t n_types;
    int back; /* units get the reference's weights; their type is what they have */
    struct mpq_probe_units units;
    struct mpq_probe_text *texts;
    struct mpq_probe_options options;
    struct mpq_probe *probe;
    size_t n_known;  /* rows that are in the output already */
    int is_finished; /* all of it is */
    /* The quantizer. */
    struct rounding_inputs inputs; /* importance: by the number of the weight */
    struct mpq_tune_options tuning;
    struct mpq_tune_each *tune;
    size_t n_unreached;
    char first_unreached[MPQ_SHORT_MAX];
};

/* eval_units.c: units and types, as the command line asks for them. */
MPQ_MUST_CHECK int each_make_units(struct each_job *e, struct mpq_err *err);
/* The type of U's T-th probe; 0 when there is none. */
int each_type(const struct each_job *e, const struct mpq_probe_unit *u, size_t t,
              struct mpq_type *type);
/* What U is given back; NULL where units are quantized. */
const struct mpq_weight *
each_back(const struct each_job *e, const struct mpq_probe_unit *u);

/* eval_quant.c: what the quantizer looks at, each file read once; its ## line; and the
 * quantizer that the command line asks for, up to e->tune. */
MPQ_MUST_CHECK int each_read_inputs(struct each_job *e, struct mpq_err *err);
MPQ_MUST_CHECK int each_put_quantizer(const struct each_job *e, struct mpq_err *err);
MPQ_MUST_CHECK int each_open_quantizer(struct each_job *e, struct mpq_err *err);
void each_close_quantizer(struct each_job *e);

/* eval_resume.c: opens the output. HEAD: what it begins with. Under --resume the rows
 * that are there are held against those that should be and counted. */
MPQ_MUST_CHECK int
each_open_output(struct each_job *e, const struct mpq_buf *head, struct mpq_err *err);
/* Row R of the probe of UNIT as TYPE, up to its figures and a tab. */
void each_row_name(struct mpq_buf *out, const struct mpq_probe_unit *u,
                   struct mpq_type t, const struct mpq_probe_row *r);

#endif
