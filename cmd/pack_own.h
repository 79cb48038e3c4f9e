/* What the files of mpq-pack share. */
#ifndef MPQ_CMD_PACK_OWN_H
#define MPQ_CMD_PACK_OWN_H

#include "base/outdir.h"
#include "model/calib.h"
#include "model/plan.h"
#include "model/tune.h"
#include "quant/imatrix.h"

enum pack_method { PACK_RTN, PACK_HQQ, PACK_AWQ, PACK_GPTQ };

/* What the command line says about rounding. */
struct pack_options {
    int method, effort, salience, resume;
    const char *calib, *hessian;
    uint64_t ctx, samples;
    double damping;
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
    struct mpq_imatrix *imatrix;
    struct mpq_importance *importance; /* [file.n], or NULL */
    float *means;                      /* its values, where they are of a text */
    struct mpq_calib calib;
    struct mpq_hessian *hessian;
    struct mpq_store *store;
};

/* Options that do not go together. */
MPQ_MUST_CHECK int pack_check_options(struct mpq_err *err);
/* "-m gptq --effort default --damp 0.01", for provenance. */
void pack_describe_method(struct mpq_buf *text);
/* How a row is encoded by itself. */
mpq_encode_fn *pack_encoder(void);
/* j->importance, none of it known. */
MPQ_MUST_CHECK int pack_need_importance(struct pack_job *j, struct mpq_err *err);
/* Reads the text or the Hessians and does what the method needs before rows can be
 * written: j->importance or j->store. */
MPQ_MUST_CHECK int pack_tune(struct pack_job *j, struct mpq_err *err);
void pack_end_tuning(struct pack_job *j);

/* The folder of -o and its model.safetensors, for what mpq_pack_write gives. */
MPQ_MUST_CHECK int
pack_folder_open(struct mpq_outdir **dir, struct mpq_out **model, struct mpq_err *err);
/* All that lies beside it, once it is closed; gives the folder its name. DIR is freed
 * in any case. */
MPQ_MUST_CHECK int pack_folder_finish(const struct pack_job *j, struct mpq_outdir *dir,
                                      struct mpq_err *err);

#endif
