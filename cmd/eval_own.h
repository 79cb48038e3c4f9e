/* Inside of mpq-eval: what it was asked, what it works with. */
#ifndef MPQ_CMD_EVAL_OWN_H
#define MPQ_CMD_EVAL_OWN_H

#include "cli.h"
#include "rounding.h"

#include "method/report.h"

/* The command line. */
struct ev_options {
    struct cli_list texts, tasks; /* paths */
    const char *ref, *load, *save, *config, *only, *name;
    uint64_t ctx, stride, chunks, limit, top_k, max_bytes;
    int per_item, show_tokens, parse_special, int8;
    /* --each */
    const char *each, *resume;
    int by, rest; /* by: enum mpq_probe_by */
    struct rounding pack;
};
extern struct ev_options ev;
extern const struct cli_opt ev_opts[];

struct ev_side {
    struct mpq_source *source;
    struct mpq_tokenizer *tok;
    struct mpq_forward *forward; /* not under --tokens */
};

struct ev_text {
    const char *name;
    struct mpq_tokens tokens;
    struct mpq_ppl plan;
    char id[17]; /* of the tokens that are scored */
    const struct mpq_saved *known;
};

struct ev_job {
    struct ev_side model, ref;
    struct ev_text *texts; /* [ev.texts.n] */
    struct mpq_task_list tasks;
    struct mpq_exam *exams; /* [tasks.n] */
    struct mpq_reference known;
    struct mpq_pool strings;
    unsigned metrics;
    struct mpq_buf name; /* of the model, as a cell */
    struct mpq_out *out, *save;
    struct mpq_tsv_writer w;
    struct cli_bar *bar;
    struct mpq_eval eval;
};

int ev_no_memory(struct mpq_err *err);
/* What cannot be wanted together, MODEL being the operand. */
MPQ_MUST_CHECK int ev_check_options(const char *model, struct mpq_err *err);
/* The metrics that are to be measured. */
MPQ_MUST_CHECK int ev_metrics(unsigned *metrics, struct mpq_err *err);
/* Everything that is read before the first row is written. */
MPQ_MUST_CHECK int
ev_read_inputs(struct ev_job *j, const char *model, struct mpq_err *err);
/* The model's name, as a cell, into j->name. */
MPQ_MUST_CHECK int ev_name(struct ev_job *j, struct mpq_err *err);
/* ## lines: what the rows rest on. */
MPQ_MUST_CHECK int ev_put_inputs(struct ev_job *j, struct mpq_err *err);
/* --each: all rows. Without j->out afterward all of it had been written before. */
MPQ_MUST_CHECK int each_write(struct ev_job *j, struct mpq_err *err);
/* Measures and writes, up to the last row. */
MPQ_MUST_CHECK int ev_write(struct ev_job *j, struct mpq_err *err);

#endif
