/*
 * What mpq-pack and mpq-eval --each have in common: the quantizer that the command line
 * asks for, and the files that it looks at.
 */
#ifndef MPQ_CMD_ROUNDING_H
#define MPQ_CMD_ROUNDING_H

#include "base/buf.h"
#include "model/calib.h"
#include "model/tune.h"
#include "quant/codec.h"
#include "quant/gptq.h"
#include "quant/imatrix.h"

enum rounding_method { ROUND_RTN, ROUND_HQQ, ROUND_AWQ, ROUND_GPTQ };
#define ROUNDING_METHODS "rtn|hqq|awq|gptq"

/* The options. */
struct rounding {
    int method, effort;                    /* enum rounding_method, enum mpq_effort */
    const char *calib, *hessian, *imatrix; /* files, or NULL */
    uint64_t ctx, samples;                 /* of calib */
    double damping;
    const char *method_option, *ctx_option; /* what the tool calls them: "-m", "ctx" */
};
#define ROUNDING_DEFAULTS                                                              \
    .effort = MPQ_EFFORT_DEFAULT, .ctx = 512, .samples = 128,                          \
    .damping = MPQ_GPTQ_DAMPING

/* What is read for it. */
struct rounding_inputs {
    struct mpq_calib calib;
    struct mpq_hessian *hessian;
    struct mpq_imatrix *imatrix;
    struct mpq_importance *importance; /* of each piece of a file, or NULL */
    float *means;                      /* its values, where they are of a text */
};

const char *rounding_name(const struct rounding *r);
/* Does the method choose codes from what matrices are multiplied with? */
int rounding_sees_inputs(const struct rounding *r);
/* Does the method serve matrices of type T? If not they are rounded by rtn. */
int rounding_serves(const struct rounding *r, struct mpq_type t);
/* How many of its files are standard input. */
size_t rounding_n_stdin(const struct rounding *r);
/* Options that do not go together. */
MPQ_MUST_CHECK int rounding_check(const struct rounding *r, struct mpq_err *err);
/* The damping, with as many digits as it takes to read it back. */
void rounding_put_damping(const struct rounding *r, struct mpq_buf *text);
/* How a row is encoded by itself. */
mpq_encode_fn *rounding_encoder(const struct rounding *r);

/* Opens the Hessians and reads the text, if any, for S, which must outlive *in. */
MPQ_MUST_CHECK int rounding_read(struct rounding_inputs *in, const struct rounding *r,
                                 const struct mpq_source *s, struct mpq_err *err);
/* How much text that was. */
void rounding_say_text(const struct rounding_inputs *in, const struct rounding *r);
/* in->importance of the pieces of F, whose weights are those of S: from in->imatrix,
 * which says which that are rounded it does not know; or, where rows are rounded by
 * themselves, from the text. Without either there is none. */
MPQ_MUST_CHECK int rounding_weigh(struct rounding_inputs *in, const struct rounding *r,
                                  const struct mpq_packfile *f,
                                  const struct mpq_source *s, struct mpq_err *err);
/* For mpq_tune, borrowing from IN: what both tools set. */
struct mpq_tune_options
rounding_options(const struct rounding_inputs *in, const struct rounding *r);
/* Zeroed is fine. */
void rounding_free(struct rounding_inputs *in);

#endif
