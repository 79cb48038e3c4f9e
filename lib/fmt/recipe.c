#include "fmt/recipe.h"

#include "base/buf.h"
#include "base/io.h"
#include "base/pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

enum { MAX_BYTES = 1 << 20, MAX_NODES = 65536, MAX_DEPTH = 16, MAX_KEYS = 4096 };

struct mpq_recipe {
    struct mpq_pool strings;
    struct mpq_node **nodes; /* [n], each from malloc */
    size_t n, cap;
    const struct mpq_node *root;
    char *name;
};

/* A map or list that is still open. */
struct level {
    struct mpq_node *node;
    size_t cap_keys, cap_items;
    const char *key; /* a map's, waiting for its value */
};

struct parser {
    yaml_parser_t yaml;
    struct mpq_recipe *r;
    struct level level[MAX_DEPTH];
    size_t depth;
    struct mpq_err *err;
};

static int
fail_at(struct parser *p, size_t line, const char *fault)
{
    return mpq_fail(p->err, MPQ_EDATA, "%s:%zu: %s", p->r->name, line, fault);
}

static int
no_memory(struct parser *p)
{
    return mpq_fail(p->err, MPQ_ENOMEM, "%s: out of memory", p->r->name);
}

static size_t
line_of(const yaml_event_t *e)
{
    return e->start_mark.line + 1;
}

static struct mpq_node *
new_node(struct parser *p, enum mpq_node_kind kind, size_t line)
{
    struct mpq_recipe *r = p->r;
    struct mpq_node *node;

    if (r->n == MAX_NODES) {
        fail_at(p, line, "more than 65,536 nodes");
        return NULL;
    }
    node = calloc(1, sizeof *node);
    if (!node || mpq_grow(&r->nodes, &r->cap, r->n + 1, sizeof *r->nodes) < 0) {
        free(node);
        no_memory(p);
        return NULL;
    }
    *node = (struct mpq_node){ .kind = kind, .line = line, .text = "" };
    r->nodes[r->n++] = node;
    return node;
}

/* Hangs NODE into the innermost open map or list, or makes it the root. */
static int
attach(struct parser *p, const struct mpq_node *node)
{
    struct level *l = p->depth ? &p->level[p->depth - 1] : NULL;

    if (!l) {
        p->r->root = node;
        return 0;
    }
    struct mpq_node *in = l->node;
    if (mpq_grow(&in->items, &l->cap_items, in->n + 1, sizeof *in->items) < 0)
        return no_memory(p);
    if (in->kind == MPQ_NODE_MAP) {
        if (mpq_grow(&in->keys, &l->cap_keys, in->n + 1, sizeof *in->keys) < 0)
            return no_memory(p);
        in->keys[in->n] = l->key;
        l->key = NULL;
    }
    in->items[in->n++] = node;
    return 0;
}

/* Is a key of a map due? */
static int
wants_key(const struct parser *p)
{
    const struct level *l = p->depth ? &p->level[p->depth - 1] : NULL;

    return l && l->node->kind == MPQ_NODE_MAP && !l->key;
}

static int
take_key(struct parser *p, const char *text, size_t line)
{
    struct level *l = &p->level[p->depth - 1];

    if (mpq_node_get(l->node, text))
        return mpq_fail(p->err, MPQ_EDATA, "%s:%zu: key %.80s comes twice", p->r->name,
                        line, text);
    if (l->node->n == MAX_KEYS)
        return fail_at(p, line, "more than 4,096 keys in a map");
    l->key = text;
    return 0;
}

static int
scalar(struct parser *p, const yaml_event_t *e)
{
    const char *value = (const char *)e->data.scalar.value;
    size_t n = e->data.scalar.length, line = line_of(e);

    if (memchr(value, '\0', n))
        return fail_at(p, line, "a NUL byte");
    char *text = mpq_pool_strndup(&p->r->strings, value, n);
    if (!text)
        return no_memory(p);
    if (wants_key(p))
        return take_key(p, text, line);
    struct mpq_node *node = new_node(p, MPQ_NODE_TEXT, line);
    if (!node)
        return -1;
    node->text = text;
    return attach(p, node);
}

static int
begin(struct parser *p, const yaml_event_t *e, enum mpq_node_kind kind)
{
    if (wants_key(p))
        return fail_at(p, line_of(e), "a key that is no plain word");
    if (p->depth == MAX_DEPTH)
        return fail_at(p, line_of(e), "nested deeper than 16 levels");
    struct mpq_node *node = new_node(p, kind, line_of(e));
    if (!node || attach(p, node) < 0)
        return -1;
    p->level[p->depth++] = (struct level){ .node = node };
    return 0;
}

/* Anchors and tags may sit on any node. */
static int
check_plain(struct parser *p, const yaml_event_t *e, const yaml_char_t *anchor,
            const yaml_char_t *tag)
{
    if (anchor)
        return fail_at(p, line_of(e), "anchors (&) are not supported");
    if (tag)
        return fail_at(p, line_of(e), "tags (!) are not supported");
    return 0;
}

/* 1 to go on, 0 at the end of the stream. */
static int
take(struct parser *p, const yaml_event_t *e)
{
    int rc = 0;

    switch (e->type) {
    case YAML_ALIAS_EVENT:
        return fail_at(p, line_of(e), "aliases (*) are not supported");
    case YAML_DOCUMENT_START_EVENT:
        if (p->r->root)
            rc = fail_at(p, line_of(e), "a second document");
        break;
    case YAML_SCALAR_EVENT:
        rc = check_plain(p, e, e->data.scalar.anchor, e->data.scalar.tag);
        if (rc == 0)
            rc = scalar(p, e);
        break;
    case YAML_SEQUENCE_START_EVENT:
        rc = check_plain(p, e, e->data.sequence_start.anchor,
                         e->data.sequence_start.tag);
        if (rc == 0)
            rc = begin(p, e, MPQ_NODE_LIST);
        break;
    case YAML_MAPPING_START_EVENT:
        rc = check_plain(p, e, e->data.mapping_start.anchor, e->data.mapping_start.tag);
        if (rc == 0)
            rc = begin(p, e, MPQ_NODE_MAP);
        break;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        p->depth--;
        break;
    case YAML_STREAM_END_EVENT:
        return 0;
    default:
        break;
    }
    return rc < 0 ? -1 : 1;
}

static int
run(struct parser *p)
{
    int more = 1;

    while (more > 0) {
        yaml_event_t e;
        if (!yaml_parser_parse(&p->yaml, &e)) {
            if (p->yaml.error == YAML_MEMORY_ERROR)
                return no_memory(p);
            size_t line = p->yaml.problem_mark.line + 1;
            return fail_at(p, line, p->yaml.problem ? p->yaml.problem : "no YAML");
        }
        more = take(p, &e);
        yaml_event_delete(&e);
    }
    if (more == 0 && !p->r->root) { /* an empty file: a map without keys */
        p->r->root = new_node(p, MPQ_NODE_MAP, 1);
        return p->r->root ? 0 : -1;
    }
    return more;
}

int
mpq_recipe_parse(struct mpq_recipe **out, const char *text, size_t n, const char *name,
                 struct mpq_err *err)
{
    struct parser p = { .err = err };
    int rc = -1;

    *out = NULL;
    if (n > MAX_BYTES)
        return mpq_fail(err, MPQ_EDATA, "%s: %zu bytes, at most %d are read", name, n,
                        MAX_BYTES);
    p.r = calloc(1, sizeof *p.r);
    if (p.r)
        p.r->name = mpq_strdup(name);
    if (!p.r || !p.r->name || !yaml_parser_initialize(&p.yaml)) {
        mpq_recipe_free(p.r);
        return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", name);
    }
    yaml_parser_set_input_string(&p.yaml, (const unsigned char *)text, n);
    yaml_parser_set_encoding(&p.yaml, YAML_UTF8_ENCODING);
    rc = run(&p);
    yaml_parser_delete(&p.yaml);
    if (rc < 0)
        mpq_recipe_free(p.r);
    else
        *out = p.r;
    return rc;
}

int
mpq_recipe_open(struct mpq_recipe **out, const char *path, struct mpq_err *err)
{
    const char *name = strcmp(path, "-") == 0 ? "standard input" : path;
    struct mpq_map m;

    *out = NULL;
    if (mpq_map_open(&m, path, err) < 0)
        return -1;
    int rc = mpq_recipe_parse(out, m.size ? (const char *)m.data : "", (size_t)m.size,
                              name, err);
    mpq_map_close(&m);
    return rc;
}

void
mpq_recipe_free(struct mpq_recipe *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < r->n; i++) {
        free(r->nodes[i]->keys);
        free(r->nodes[i]->items);
        free(r->nodes[i]);
    }
    free(r->nodes);
    free(r->name);
    mpq_pool_free(&r->strings);
    free(r);
}

const struct mpq_node *
mpq_recipe_root(const struct mpq_recipe *r)
{
    return r->root;
}

const char *
mpq_recipe_name(const struct mpq_recipe *r)
{
    return r->name;
}

const struct mpq_node *
mpq_node_get(const struct mpq_node *map, const char *key)
{
    for (size_t i = 0; map->kind == MPQ_NODE_MAP && i < map->n; i++)
        if (strcmp(map->keys[i], key) == 0)
            return map->items[i];
    return NULL;
}

int
mpq_recipe_fail(const struct mpq_recipe *r, const struct mpq_node *node,
                struct mpq_err *err, const char *fmt, ...)
{
    char text[400];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return mpq_fail(err, MPQ_EDATA, "%s:%zu: %s", r->name, node->line, text);
}

int
mpq_recipe_want(const struct mpq_recipe *r, const struct mpq_node *node,
                enum mpq_node_kind kind, const char *what, struct mpq_err *err)
{
    static const char *const words[] = { "a word", "a list", "a map" };

    if (node->kind == kind)
        return 0;
    return mpq_recipe_fail(r, node, err, "%s is to be %s, not %s", what, words[kind],
                           words[node->kind]);
}
