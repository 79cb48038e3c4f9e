/*
 * JSON files read as a tree of values. A value is lent by the root and lives as long as
 * it; NULL stands for "not there", and every function takes it, so look-ups can be
 * nested without a check at each step.
 */
#ifndef MPQ_FMT_JSON_H
#define MPQ_FMT_JSON_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct mpq_json; /* a value, or the root of all; opaque */

/* Parses TEXT[n]: UTF-8, one value, no key of an object twice. NAME is for messages. On
 * success *out is the caller's to free. */
MPQ_MUST_CHECK int mpq_json_parse(struct mpq_json **out, const void *text, size_t n,
                                  const char *name, struct mpq_err *err);
/* The same from the file PATH. */
MPQ_MUST_CHECK int
mpq_json_open(struct mpq_json **out, const char *path, struct mpq_err *err);
/* ROOT is what mpq_json_parse or mpq_json_open gave; NULL is fine. */
void mpq_json_free(struct mpq_json *root);

/* The value of KEY in an object; NULL when there is none, or V is no object. */
const struct mpq_json *mpq_json_get(const struct mpq_json *v, const char *key);
/* The value at a path of keys parted by '/': "text_config/num_hidden_layers". */
const struct mpq_json *mpq_json_at(const struct mpq_json *v, const char *path);
/* Items of an array or object, else 0. */
size_t mpq_json_count(const struct mpq_json *v);
/* Item I of an array; NULL past its end. */
const struct mpq_json *mpq_json_item(const struct mpq_json *v, size_t i);
/* Walks over an object in the file's order: ITER is NULL at first, then what the last
 * call returned; NULL at the end. */
const void *mpq_json_next(const struct mpq_json *v, const void *iter, const char **key,
                          const struct mpq_json **value);

int mpq_json_is_object(const struct mpq_json *v);
int mpq_json_is_array(const struct mpq_json *v);
/* Values. Each returns 1 and sets *out, 0 when V is NULL or null, -1 when it is of
 * another type or does not fit. */
int mpq_json_u64(const struct mpq_json *v, uint64_t *out);
int mpq_json_f64(const struct mpq_json *v, double *out); /* integers too */
int mpq_json_bool(const struct mpq_json *v, int *out);
/* The text of a string, NUL-terminated; NULL when V is none. N, unless NULL, takes its
 * bytes (it may hold NUL bytes). */
const char *mpq_json_str(const struct mpq_json *v, size_t *n);

/* KEY of the object V: its text, "" where it is none; its truth, OTHERWISE where it is
 * neither true nor false. */
const char *mpq_json_text(const struct mpq_json *v, const char *key);
int mpq_json_flag(const struct mpq_json *v, const char *key, int otherwise);

/* Appends S[n] to TEXT as a JSON string with its quotes. Bytes that are no UTF-8 become
 * U+FFFD. */
struct mpq_buf;
void mpq_json_quote(struct mpq_buf *text, const char *s, size_t n);

#endif
