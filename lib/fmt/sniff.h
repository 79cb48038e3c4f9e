/*
 * What a file is, by its first bytes, for messages: whoever gives a model where a table
 * is read, or a table to the wrong tool, is told which tool is the right one.
 */
#ifndef MPQ_FMT_SNIFF_H
#define MPQ_FMT_SNIFF_H

#include "base/err.h"

#include <stddef.h>

/* A kind of table that the tools hand to each other. */
struct mpq_kind {
    const char *name;
    const char *writer, *reader; /* tools; reader NULL: no tool */
    const char *columns;         /* those needed, parted by <TAB>, for messages */
};

/* NULL for a kind that no tool writes. */
const struct mpq_kind *mpq_kind_find(const char *name);
/* Fails with a table of KIND at PLACE where a tool takes WANTED ("scores or damage"),
 * which WRITER (NULL: unknown) makes. Returns -1. */
int mpq_fail_kind(const char *place, const char *kind, const char *wanted,
                  const char *writer, struct mpq_err *err);

/* "a GGUF model" or "a safetensors model" if BYTES[n] begin like one, else NULL. */
const char *mpq_sniff_model(const void *bytes, size_t n);
/* Fails: BYTES[n] of the file NAME, which begin like no model, are none; says what they
 * are instead where that can be told. Returns -1. */
int
mpq_fail_no_model(const char *name, const void *bytes, size_t n, struct mpq_err *err);

#endif
