/*
 * YAML that people write by hand: policies, task lists, the rules of a runtime. Read
 * into a tree of maps, lists and words. Left out, with a message: anchors, aliases and
 * tags (a few bytes of them can grow without bound), several documents, keys that are
 * no plain words or come twice. At most 1 MiB, 65,536 nodes, 16 levels.
 */
#ifndef MPQ_FMT_RECIPE_H
#define MPQ_FMT_RECIPE_H

#include "base/err.h"

#include <stddef.h>

enum mpq_node_kind { MPQ_NODE_TEXT, MPQ_NODE_LIST, MPQ_NODE_MAP };

/* A node of the tree; plain data, all of it owned by the recipe. */
struct mpq_node {
    enum mpq_node_kind kind;
    size_t line;                   /* 1-based, for messages */
    const char *text;              /* text: the word, without quotes; else "" */
    const char **keys;             /* map: [n]; else NULL */
    const struct mpq_node **items; /* map, list: [n] */
    size_t n;
};

struct mpq_recipe; /* a document; opaque, owns its nodes */

/* Parses TEXT[n]; NAME is for messages. An empty document is an empty map. On success
 * *out is the caller's to free. */
MPQ_MUST_CHECK int mpq_recipe_parse(struct mpq_recipe **out, const char *text, size_t n,
                                    const char *name, struct mpq_err *err);
/* The same from the file PATH ("-": standard input). */
MPQ_MUST_CHECK int
mpq_recipe_open(struct mpq_recipe **out, const char *path, struct mpq_err *err);
void mpq_recipe_free(struct mpq_recipe *r);

const struct mpq_node *mpq_recipe_root(const struct mpq_recipe *r);
const char *mpq_recipe_name(const struct mpq_recipe *r);
/* The value of KEY in a map; NULL when there is none. */
const struct mpq_node *mpq_node_get(const struct mpq_node *map, const char *key);
/* Fails with "NAME:LINE: FAULT". */
int mpq_recipe_fail(const struct mpq_recipe *r, const struct mpq_node *node,
                    struct mpq_err *err, const char *fmt, ...) MPQ_PRINTF(4, 5);
/* Is NODE of this kind? -1 with "NAME:LINE: WHAT is to be a list", WHAT such as a key.
 */
MPQ_MUST_CHECK int
mpq_recipe_want(const struct mpq_recipe *r, const struct mpq_node *node,
                enum mpq_node_kind kind, const char *what, struct mpq_err *err);

#endif
