/*
 * The project's own containers: safetensors files that any reader of that format opens.
 * Strings in __metadata__ say the rest:
 *
 *   mpq.container    "native 1", or "fake 1": packfile.h tells what a fake one is
 *   mpq.type.NAME    "TYPE DIM DIM", e.g. "int3g128 4096 11008": type and shape of the
 *                    packed matrix NAME, the row length last. (Fake: the type that the
 *                    matrix was rounded to.)
 *   mpq.provenance   tool, options, model
 *   config.json, tokenizer.json and the like, of a model that had them, or
 *   KEY              every GGUF key of a model that was a GGUF, as fmt/kvtext.h has it
 *
 * With COLS = the last DIM and ROWS = the product of the others, NAME is stored as
 *
 *   intB[gN[v]][s]             NAME.codes   U8  [ROWS, ceil(COLS * B / 8)]
 *                              NAME.scales  F16 [ROWS, groups]
 *                              NAME.zeros   F16 [ROWS, groups], not in symmetric ones
 *                              NAME.bits    U8  [1, groups], in varied ones (v) alone
 *   ggml's block types         NAME         U8  [ROWS, bytes of a row]
 *   anything else              NAME         as it is, without mpq.type
 *
 * Tensors of wider elements come first, so that those are aligned; otherwise they stand
 * in model order. quant/intb.c and ggml's headers say what the codes mean.
 */
#ifndef MPQ_MODEL_NATIVE_H
#define MPQ_MODEL_NATIVE_H

#include "base/pool.h"
#include "fmt/gguf.h"
#include "fmt/st.h"

/* A tensor of the model: packed parts joined. */
struct mpq_native_tensor {
    struct mpq_tensor tensor; /* data: the row bytes, or the codes alone if ... */
    const unsigned char *scales, *zeros; /* ... these lie apart; otherwise NULL */
    const unsigned char *map;            /* of a varied type */
};

/* Is ST a container of ours (native or fake)? */
int mpq_native_is(const struct mpq_st *st);

/* The model's tensors: *out is an array of *n, for free(); names belong to NAMES or ST.
 * -1 when a part is missing or of another shape than its type says. NAME is for
 * messages. In a fake container, or any safetensors file, every tensor is itself. */
MPQ_MUST_CHECK int
mpq_native_tensors(const struct mpq_st *st, const char *name, struct mpq_pool *names,
                   struct mpq_native_tensor **out, size_t *n, struct mpq_err *err);

/* The GGUF keys that ST carries, as the bytes of a GGUF file without tensors, for
 * mpq_gguf_open. Returns 1, or 0 when it carries none; *out is the caller's to free. */
MPQ_MUST_CHECK int mpq_native_keys(const struct mpq_st *st, const char *name,
                                   struct mpq_buf *out, struct mpq_err *err);

/* The type that matrix NAME of a fake container was rounded to. 1, or 0 when it says
 * nothing. */
int
mpq_native_rounded(const struct mpq_st *st, const char *name, struct mpq_type *type);

#endif
