/*
 * Gram matrices of the inputs of a model's linears as a stream, so that they can be
 * made once, or on another machine, or by another program: safetensors with, for each
 * input of each layer, layers ascending,
 *
 *   NAME.gram   F32 or F64 [cols][cols], sum of x x^T over all tokens, symmetric (the
 *               upper triangle is read)
 *
 * NAME is the short name of a matrix with that input. A matrix without one of its own
 * takes another's: k and v that of q, up that of gate. Tensors NAME.rows, weights of
 * NAME's rows (fisher_store.h), may be among them. Metadata, all strings: format
 * "mpq-hessian 1"; model; model_id (mpq_source_id), held against the model where it is
 * there; tokens.
 */
#ifndef MPQ_MODEL_HESSIAN_H
#define MPQ_MODEL_HESSIAN_H

#include "model/activity.h"
#include "model/source.h"

struct mpq_hessian; /* a stream being read, strictly forward; opaque */

/* Opens PATH ("-": standard input) for the model S, borrowed; reads and checks the
 * header. -1 when it belongs to another model, names matrices that S has not, has wrong
 * shapes, or layers that go back. On success *out is the caller's to free. */
MPQ_MUST_CHECK int mpq_hessian_open(struct mpq_hessian **out, const char *path,
                                    const struct mpq_source *s, struct mpq_err *err);
void mpq_hessian_free(struct mpq_hessian *h);
/* Refuses it for a method to which all tokens are alike: they weigh by gradients in the
 * one of fisher_store.h. NAME: the method, for the message. */
MPQ_MUST_CHECK int mpq_hessian_check_unweighed(const struct mpq_hessian *h,
                                               const char *name, struct mpq_err *err);
/* Reads the inputs of LAYER, greater than that of the call before, into *in [*n], which
 * live until the next call; gram and diagonal are set, traces not. None when the stream
 * has none of it. -1 when it is cut short, has NaN or infinity, or less than 0 on a
 * diagonal. */
MPQ_MUST_CHECK int
mpq_hessian_layer(struct mpq_hessian *h, size_t layer, const struct mpq_input **in,
                  size_t *n, struct mpq_err *err);
/* Reads to the end: -1 when it is cut short, or goes on behind its last tensor. */
MPQ_MUST_CHECK int mpq_hessian_end(struct mpq_hessian *h, struct mpq_err *err);
/* A checksum of all that has been read: at first the header, then each layer, with what
 * lies before it. */
uint64_t mpq_hessian_sum(const struct mpq_hessian *h);

/* Writing: the header for layers [first, last] of S and N_TOKENS tokens, F32; then the
 * four inputs of each. */
MPQ_MUST_CHECK int
mpq_hessian_write_head(struct mpq_out *out, const struct mpq_source *s, size_t first,
                       size_t last, uint64_t n_tokens, struct mpq_err *err);
MPQ_MUST_CHECK int
mpq_hessian_write_layer(struct mpq_out *out, const struct mpq_input *in, size_t n,
                        struct mpq_err *err);

/* The pieces of that: the header, begun with its metadata (the caller's to free) and
 * written out; data. */
extern const char mpq_hessian_format[];
MPQ_MUST_CHECK int
mpq_hessian_new_head(struct mpq_st_head **out, const struct mpq_source *s,
                     uint64_t n_tokens, struct mpq_err *err);
MPQ_MUST_CHECK int mpq_hessian_put_head(struct mpq_st_head *head, struct mpq_out *out,
                                        struct mpq_err *err);
MPQ_MUST_CHECK int mpq_hessian_put_floats(const float *x, size_t n, struct mpq_out *out,
                                          struct mpq_err *err);

#endif
