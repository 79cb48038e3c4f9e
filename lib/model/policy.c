#include "model/policy.h"

#include "base/buf.h"
#include "base/parse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int
no_memory(struct mpq_err *err)
{
    return mpq_fail(err, MPQ_ENOMEM, "policy: out of memory");
}

/* While one value is taken: whose fault it is if it is wrong. */
struct source {
    struct mpq_policy *p;
    const char *place;
    enum mpq_code code;
    struct mpq_err *err;
};

static int
add_type(struct source *s, const char *text)
{
    struct mpq_policy *p = s->p;
    struct mpq_type t;

    if (strcmp(text, "keep") == 0) {
        p->keep = 1;
        return 0;
    }
    if (mpq_type_parse(text, &t) < 0)
        return mpq_fail(s->err, s->code, "%s: unknown type %.40s", s->place, text);
    for (size_t i = 0; i < p->n_types; i++)
        if (mpq_type_eq(p->types[i], t))
            return mpq_fail(s->err, s->code, "%s: type %.40s comes twice", s->place,
                            text);
    struct mpq_type *grown = realloc(p->types, (p->n_types + 1) * sizeof *grown);
    if (!grown)
        return no_memory(s->err);
    p->types = grown;
    p->types[p->n_types++] = t;
    return 0;
}

static int
add_pin(struct source *s, const char *name, const char *type)
{
    struct mpq_policy *p = s->p;
    struct mpq_pin pin = { .keep = strcmp(type, "keep") == 0 };

    if (!name[0])
        return mpq_fail(s->err, s->code, "%s: a pin without a name", s->place);
    if (!pin.keep && mpq_type_parse(type, &pin.type) < 0)
        return mpq_fail(s->err, s->code, "%s: %.80s: unknown type %.40s", s->place,
                        name, type);
    pin.name = mpq_pool_strdup(&p->strings, name);
    pin.place = mpq_pool_strdup(&p->strings, s->place);
    if (!pin.name || !pin.place ||
        mpq_grow(&p->pins, &p->cap_pins, p->n_pins + 1, sizeof *p->pins) < 0)
        return no_memory(s->err);
    p->pins[p->n_pins++] = pin;
    return 0;
}

/* Takes over the array of NAMES, also when it fails. */
static int
add_tie(struct source *s, struct mpq_names names)
{
    struct mpq_policy *p = s->p;
    const char *place = mpq_pool_strdup(&p->strings, s->place);
    int rc = -1;

    if (names.n < 2)
        mpq_fail(s->err, s->code, "%s: a tie joins two names at least", s->place);
    else if (!place ||
             mpq_grow(&p->ties, &p->cap_ties, p->n_ties + 1, sizeof *p->ties) < 0)
        no_memory(s->err);
    else
        rc = 0;
    if (rc < 0)
        free(names.items);
    else
        p->ties[p->n_ties++] = (struct mpq_tie){ names, place };
    return rc;
}

/* The words of TEXT between commas, none of them empty. */
static int
split(struct source *s, const char *text, struct mpq_names *out)
{
    size_t n = 1;

    for (const char *c = text; *c; c++)
        n += *c == ',';
    *out = (struct mpq_names){ mpq_array(n, sizeof *out->items), 0 };
    if (!out->items)
        return no_memory(s->err);
    for (const char *c = text;; c++) {
        size_t len = strcspn(c, ",");
        if (len == 0)
            return mpq_fail(s->err, s->code, "%s: an empty word in '%.80s'", s->place,
                            text);
        out->items[out->n] = mpq_pool_strndup(&s->p->strings, c, len);
        if (!out->items[out->n++])
            return no_memory(s->err);
        c += len;
        if (!*c)
            return 0;
    }
}

int
mpq_policy_types(struct mpq_policy *p, const char *text, const char *place,
                 struct mpq_err *err)
{
    struct source s = { p, place, MPQ_EUSAGE, err };
    struct mpq_names words;
    int rc = split(&s, text, &words);

    p->n_types = 0;
    p->keep = 0;
    for (size_t i = 0; rc == 0 && i < words.n; i++)
        rc = add_type(&s, words.items[i]);
    free(words.items);
    return rc;
}

int
mpq_policy_pin(struct mpq_policy *p, const char *text, const char *place,
               struct mpq_err *err)
{
    struct source s = { p, place, MPQ_EUSAGE, err };
    const char *equals = strchr(text, '=');

    if (!equals)
        return mpq_fail(err, MPQ_EUSAGE, "%s takes NAME=TYPE, not '%.80s'", place,
                        text);
    char *name = mpq_pool_strndup(&p->strings, text, (size_t)(equals - text));
    return name ? add_pin(&s, name, equals + 1) : no_memory(err);
}

int
mpq_policy_tie(struct mpq_policy *p, const char *text, const char *place,
               struct mpq_err *err)
{
    struct source s = { p, place, MPQ_EUSAGE, err };
    struct mpq_names words;

    if (split(&s, text, &words) < 0) {
        free(words.items);
        return -1;
    }
    return add_tie(&s, words);
}

/* One key of the file, with what its value has to be. */
struct key {
    const char *name;
    enum mpq_node_kind kind;
    int (*take)(struct source *s, const struct mpq_recipe *r, const struct mpq_node *n);
};

static int
bad_value(struct source *s, const struct mpq_node *n, const char *wanted)
{
    return mpq_fail(s->err, MPQ_EDATA, "%s: %.80s is no %s", s->place, n->text, wanted);
}

static int
take_text(struct source *s, const struct mpq_node *n, const char **out)
{
    if (!n->text[0])
        return mpq_fail(s->err, MPQ_EDATA, "%s: an empty value", s->place);
    *out = mpq_pool_strdup(&s->p->strings, n->text);
    return *out ? 0 : no_memory(s->err);
}

static int
take_runtime(struct source *s, const struct mpq_recipe *r, const struct mpq_node *n)
{
    (void)r;
    return take_text(s, n, &s->p->runtime);
}

static int
take_rules(struct source *s, const struct mpq_recipe *r, const struct mpq_node *n)
{
    (void)r;
    return take_text(s, n, &s->p->rules);
}

static int
take_method(struct source *s, const struct mpq_recipe *r, const struct mpq_node *n)
{
    (void)r;
    return take_text(s, n, &s->p->method);
}

static int
take_types(struct source *s, const struct mpq_recipe *r, const struct mpq_node *n)
{
    for (size_t i = 0; i < n->n; i++)
        if (mpq_recipe_want(r, n->items[i], MPQ_NODE_TEXT, "a type", s->err) < 0 ||
            add_type(s, n->items[i]->text) < 0)
            return -1;
    return 0;
}

static int
take_bits(struct source *s, const struct mpq_recipe *r, const struct mpq_node *n)
{
    (void)r;
    if (mpq_parse_double(n->text, &s->p->bits) < 0 || s->p->bits <= 0 ||
        s->p->bits > 64)
        return bad_value(s, n, "number of bits");
    return 0;
}

static int
take_size(struct source *s, const struct mpq_recipe *r, const struct mpq_node *n)
{
    (void)r;
    if (mpq_parse_bytes(n->text, &s->p->size) < 0 || s->p->size == 0)
        return bad_value(s, n, "size in bytes");
    return 0;
}

static int
take_risk(struct source *s, const struct mpq_recipe *r, const struct mpq_node *n)
{
    (void)r;
    if (mpq_parse_double(n->text, &s->p->risk) < 0 || s->p->risk < 0 ||
        s->p->risk > 100)
        return bad_value(s, n, "number from 0 to 100");
    return 0;
}

static int
take_nominal(struct source *s, const struct mpq_recipe *r, const struct mpq_node *n)
{
    (void)r;
    s->p->nominal = strcmp(n->text, "true") == 0;
    if (!s->p->nominal && strcmp(n->text, "false") != 0)
        return bad_value(s, n, "true or false");
    return 0;
}

static int
take_rest(struct source *s, const struct mpq_recipe *r, const struct mpq_node *n)
{
    (void)r;
    s->p->has_rest = 1;
    if (mpq_type_parse(n->text, &s->p->rest) < 0)
        return bad_value(s, n, "type");
    return 0;
}

static int
take_split(struct source *s, const struct mpq_recipe *r, const struct mpq_node *n)
{
    (void)r;
    if (strcmp(n->text, "layer") == 0)
        s->p->split = MPQ_SPLIT_LAYER;
    else if (strcmp(n->text, "tensor") == 0)
        s->p->split = MPQ_SPLIT_TENSOR;
    else if (strcmp(n->text, "module") == 0)
        s->p->split = MPQ_SPLIT_MODULE;
    else
        return bad_value(s, n, "split (layer, module, tensor)");
    return 0;
}

static int
take_pins(struct source *s, const struct mpq_recipe *r, const struct mpq_node *n)
{
    char place[320];

    for (size_t i = 0; i < n->n; i++) {
        struct source at = *s;
        snprintf(place, sizeof place, "%.280s:%zu", mpq_recipe_name(r),
                 n->items[i]->line);
        at.place = place;
        if (mpq_recipe_want(r, n->items[i], MPQ_NODE_TEXT, "a pinned type", s->err) <
                0 ||
            add_pin(&at, n->keys[i], n->items[i]->text) < 0)
            return -1;
    }
    return 0;
}

static int
take_ties(struct source *s, const struct mpq_recipe *r, const struct mpq_node *n)
{
    char place[320];

    for (size_t i = 0; i < n->n; i++) {
        struct source at = *s;
        struct mpq_names names;
        snprintf(place, sizeof place, "%.280s:%zu", mpq_recipe_name(r),
                 n->items[i]->line);
        at.place = place;
        if (mpq_rules_names(&names, &s->p->strings, r, n->items[i], "a tie", s->err) <
            0) {
            free(names.items);
            return -1;
        }
        if (add_tie(&at, names) < 0)
            return -1;
    }
    return 0;
}

static const struct key keys[] = {
    { "runtime", MPQ_NODE_TEXT, take_runtime },
    { "rules", MPQ_NODE_TEXT, take_rules },
    { "types", MPQ_NODE_LIST, take_types },
    { "bits", MPQ_NODE_TEXT, take_bits },
    { "size", MPQ_NODE_TEXT, take_size },
    { "nominal", MPQ_NODE_TEXT, take_nominal },
    { "rest", MPQ_NODE_TEXT, take_rest },
    { "risk", MPQ_NODE_TEXT, take_risk },
    { "split", MPQ_NODE_TEXT, take_split },
    { "method", MPQ_NODE_TEXT, take_method },
    { "pins", MPQ_NODE_MAP, take_pins },
    { "ties", MPQ_NODE_LIST, take_ties },
};

static int
take_key(struct mpq_policy *p, const struct mpq_recipe *r, const char *name,
         const struct mpq_node *node, struct mpq_err *err)
{
    char place[400];
    struct source s = { p, place, MPQ_EDATA, err };

    snprintf(place, sizeof place, "%.280s:%zu: %.40s", mpq_recipe_name(r), node->line,
             name);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (strcmp(keys[i].name, name) != 0)
            continue;
        if (mpq_recipe_want(r, node, keys[i].kind, name, err) < 0)
            return -1;
        return keys[i].take(&s, r, node);
    }
    return mpq_recipe_fail(r, node, err,
                           "unknown key %.40s (runtime, rules, types, bits, size, "
                           "nominal, rest, risk, split, method, pins, ties)",
                           name);
}

int
mpq_policy_read(struct mpq_policy *p, const struct mpq_recipe *recipe,
                struct mpq_err *err)
{
    const struct mpq_node *root = mpq_recipe_root(recipe);

    if (mpq_recipe_want(recipe, root, MPQ_NODE_MAP, "a policy", err) < 0)
        return -1;
    for (size_t i = 0; i < root->n; i++)
        if (take_key(p, recipe, root->keys[i], root->items[i], err) < 0)
            return -1;
    if (p->bits > 0 && p->size > 0)
        return mpq_recipe_fail(recipe, root, err, "both bits and size: one budget");
    return 0;
}

int
mpq_policy_open(struct mpq_policy *p, const char *path, struct mpq_err *err)
{
    struct mpq_recipe *recipe;

    if (mpq_recipe_open(&recipe, path, err) < 0)
        return -1;
    int rc = mpq_policy_read(p, recipe, err);
    mpq_recipe_free(recipe);
    return rc;
}

void
mpq_policy_free(struct mpq_policy *p)
{
    for (size_t i = 0; i < p->n_ties; i++)
        free(p->ties[i].names.items);
    free(p->ties);
    free(p->pins);
    free(p->types);
    mpq_pool_free(&p->strings);
    *p = (struct mpq_policy){ 0 };
}
