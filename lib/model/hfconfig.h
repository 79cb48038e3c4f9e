/*
 * config.json of a folder that other programs load: that of the source, and how its
 * matrices are rounded as "quantization_config". Modules are named one by one, exactly.
 *
 *   compressed-tensors  a config group for each type, with the modules as its targets;
 *                       what stays in floats is in "ignore"
 *   GPTQ                the type that most weights have, and "dynamic" for every module
 *                       that differs; q k v, and gate and up, under the names of vLLM's
 *                       fused modules too where they are alike
 */
#ifndef MPQ_MODEL_HFCONFIG_H
#define MPQ_MODEL_HFCONFIG_H

#include "model/packfile.h"

/* Appends it to TEXT, from the source's CONFIG. -1 when CONFIG is no object or is
 * quantized already; NAME is for messages. */
MPQ_MUST_CHECK int
mpq_hfconfig_put(const struct mpq_packfile *f, const char *config, const char *name,
                 struct mpq_buf *text, struct mpq_err *err);

#endif
