/* What the files of mpq-pack share. */
#ifndef MPQ_CMD_PACK_OWN_H
#define MPQ_CMD_PACK_OWN_H

#include "rounding.h"

#include "base/outdir.h"
#include "model/plan.h"

/* What the command line says about rounding. */
struct pack_options {
    struct rounding how;
    int salience, resume;
};
extern struct pack_options pack;

/* A model, a plan for it, the type of each of its weights, and what is known about
 * what they are multiplied with. */
struct pack_job {
    struct mpq_source *source;
    struct mpq_layout layout;
    struct mpq_plan plan;
    struct mpq_type *types; /* [mpq_source_count] */
    struct mpq_packfile file;
    struct rounding_inputs inputs;
    struct mpq_store *store;
};

/* Options that do not go together. */
MPQ_MUST_CHECK int pack_check_options(struct mpq_err *err);
/* "-m gptq --effort default --damp 0.01", for provenance. */
void pack_describe_method(struct mpq_buf *text);
/* Reads the text or the Hessians and does what the method needs before rows can be
 * written: j->inputs.importance or j->store. */
MPQ_MUST_CHECK int pack_tune(struct pack_job *j, struct mpq_err *err);

/* The folder of -o and its model.safetensors, for what mpq_pack_write gives. */
MPQ_MUST_CHECK int
pack_folder_open(struct mpq_outdir **dir, struct mpq_out **model, struct mpq_err *err);
/* All that lies beside it, once it is closed; gives the folder its name. DIR is freed
 * in any case. */
MPQ_MUST_CHECK int pack_folder_finish(const struct pack_job *j, struct mpq_outdir *dir,
                                      struct mpq_err *err);

#endif
