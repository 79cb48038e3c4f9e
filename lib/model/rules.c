#include "model/rules.h"

#include "base/buf.h"
#include "base/parse.h"
#include "model/names.h"
#include "quant/codec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Text that stays when the recipe is gone. */
static const char *
keep(struct mpq_pool *pool, const char *name, const char *text, struct mpq_err *err)
{
    char *copy = mpq_pool_strdup(pool, text);

    if (!copy)
        mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", name);
    return copy;
}

int
mpq_rules_names(struct mpq_names *out, struct mpq_pool *pool,
                const struct mpq_recipe *recipe, const struct mpq_node *node,
                const char *what, struct mpq_err *err)
{
    const char *file = mpq_recipe_name(recipe);

    *out = (struct mpq_names){ 0 };
    if (mpq_recipe_want(recipe, node, MPQ_NODE_LIST, what, err) < 0)
        return -1;
    out->items = mpq_array(node->n, sizeof *out->items);
    if (!out->items)
        return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", file);
    for (size_t i = 0; i < node->n; i++) {
        const struct mpq_node *item = node->items[i];
        if (mpq_recipe_want(recipe, item, MPQ_NODE_TEXT, "a name", err) < 0)
            return -1;
        if (!item->text[0])
            return mpq_recipe_fail(recipe, item, err, "an empty name in %s", what);
        out->items[out->n] = keep(pool, file, item->text, err);
        if (!out->items[out->n++])
            return -1;
    }
    return 0;
}

static int
read_multiple(const struct mpq_recipe *recipe, const struct mpq_node *node,
              const char *what, uint64_t *out, struct mpq_err *err)
{
    if (mpq_recipe_want(recipe, node, MPQ_NODE_TEXT, what, err) < 0)
        return -1;
    if (mpq_parse_u64(node->text, out) < 0 || *out == 0 || *out > 1 << 24)
        return mpq_recipe_fail(recipe, node, err,
                               "%.40s: %.40s is no whole number from 1 to 2^24", what,
                               node->text);
    return 0;
}

static int
read_types(struct mpq_rules *r, const struct mpq_recipe *recipe,
           const struct mpq_node *node, struct mpq_err *err)
{
    if (mpq_recipe_want(recipe, node, MPQ_NODE_MAP, "types", err) < 0)
        return -1;
    r->types = mpq_array(node->n, sizeof *r->types);
    if (!r->types)
        return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", mpq_recipe_name(recipe));
    for (size_t i = 0; i < node->n; i++) {
        struct mpq_rule *rule = &r->types[i];
        rule->any_native = strcmp(node->keys[i], "int*") == 0;
        if (!rule->any_native && mpq_type_parse(node->keys[i], &rule->type) < 0)
            return mpq_recipe_fail(recipe, node->items[i], err, "unknown type %.40s",
                                   node->keys[i]);
        if (read_multiple(recipe, node->items[i], node->keys[i], &rule->multiple, err) <
            0)
            return -1;
    }
    r->n_types = node->n;
    return 0;
}

static int
read_fused(struct mpq_rules *r, const struct mpq_recipe *recipe,
           const struct mpq_node *node, struct mpq_err *err)
{
    if (mpq_recipe_want(recipe, node, MPQ_NODE_LIST, "fused", err) < 0)
        return -1;
    r->fused = mpq_array(node->n, sizeof *r->fused);
    if (!r->fused)
        return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", mpq_recipe_name(recipe));
    for (; r->n_fused < node->n; r->n_fused++) {
        struct mpq_names *group = &r->fused[r->n_fused];
        const struct mpq_node *item = node->items[r->n_fused];
        if (mpq_rules_names(group, &r->strings, recipe, item, "a group of fused", err) <
            0) {
            free(group->items);
            return -1;
        }
    }
    return 0;
}

static int
read_container(struct mpq_rules *r, const struct mpq_recipe *recipe,
               const struct mpq_node *node, struct mpq_err *err)
{
    if (strcmp(node->text, "gguf") == 0)
        r->container = MPQ_CONTAINER_GGUF;
    else if (strcmp(node->text, "safetensors") == 0)
        r->container = MPQ_CONTAINER_NATIVE;
    else
        return mpq_recipe_fail(recipe, node, err, "container is gguf or safetensors");
    return 0;
}

static int
read_key(struct mpq_rules *r, const struct mpq_recipe *recipe, const char *key,
         const struct mpq_node *node, struct mpq_err *err)
{
    if (strcmp(key, "runtime") == 0) {
        r->name = keep(&r->strings, mpq_recipe_name(recipe), node->text, err);
        return r->name ? 0 : -1;
    }
    if (strcmp(key, "container") == 0)
        return read_container(r, recipe, node, err);
    if (strcmp(key, "types") == 0)
        return read_types(r, recipe, node, err);
    if (strcmp(key, "rows") == 0)
        return read_multiple(recipe, node, key, &r->rows, err);
    if (strcmp(key, "fused") == 0)
        return read_fused(r, recipe, node, err);
    if (strcmp(key, "kept") == 0)
        return mpq_rules_names(&r->kept, &r->strings, recipe, node, key, err);
    return mpq_recipe_fail(recipe, node, err,
                           "unknown key %.40s (runtime, container, types, rows, fused, "
                           "kept)",
                           key);
}

int
mpq_rules_read(struct mpq_rules *out, const struct mpq_recipe *recipe,
               struct mpq_err *err)
{
    const struct mpq_node *root = mpq_recipe_root(recipe);
    struct mpq_rules r = { .rows = 1 };
    int rc = -1;

    *out = (struct mpq_rules){ 0 };
    if (mpq_recipe_want(recipe, root, MPQ_NODE_MAP, "a file of rules", err) < 0)
        goto out;
    for (size_t i = 0; i < root->n; i++)
        if (read_key(&r, recipe, root->keys[i], root->items[i], err) < 0)
            goto out;
    if (!r.name || !r.name[0] || r.n_types == 0) {
        mpq_fail(err, MPQ_EDATA, "%s: no %s", mpq_recipe_name(recipe),
                 r.n_types ? "runtime" : "types");
        goto out;
    }
    *out = r;
    r = (struct mpq_rules){ 0 };
    rc = 0;
out:
    mpq_rules_free(&r);
    return rc;
}

int
mpq_rules_open(struct mpq_rules *out, const char *path, struct mpq_err *err)
{
    struct mpq_recipe *recipe;

    *out = (struct mpq_rules){ 0 };
    if (mpq_recipe_open(&recipe, path, err) < 0)
        return -1;
    int rc = mpq_rules_read(out, recipe, err);
    mpq_recipe_free(recipe);
    return rc;
}

int
mpq_rules_find(struct mpq_rules *out, const char *name, struct mpq_err *err)
{
    const struct mpq_rule_file *f = mpq_rule_files;
    struct mpq_recipe *recipe;
    struct mpq_buf known = { 0 };

    *out = (struct mpq_rules){ 0 };
    for (; f->name && strcmp(f->name, name) != 0; f++)
        mpq_buf_printf(&known, "%s%s", known.len ? ", " : "", f->name);
    if (!f->name) {
        mpq_fail(err, MPQ_EUSAGE, "no rules for runtime %.40s: there are %s", name,
                 known.failed ? "others" : known.data);
        mpq_buf_free(&known);
        return -1;
    }
    mpq_buf_free(&known);
    if (mpq_recipe_parse(&recipe, f->text, f->size, f->name, err) < 0)
        return -1;
    int rc = mpq_rules_read(out, recipe, err);
    mpq_recipe_free(recipe);
    return rc;
}

void
mpq_rules_free(struct mpq_rules *r)
{
    for (size_t i = 0; i < r->n_fused; i++)
        free(r->fused[i].items);
    free(r->fused);
    free(r->types);
    free(r->kept.items);
    mpq_pool_free(&r->strings);
    *r = (struct mpq_rules){ 0 };
}

static const struct mpq_rule *
find_rule(const struct mpq_rules *r, struct mpq_type type)
{
    for (size_t i = 0; i < r->n_types; i++)
        if (r->types[i].any_native ? type.id == MPQ_INT
                                   : mpq_type_eq(r->types[i].type, type))
            return &r->types[i];
    return NULL;
}

uint64_t
mpq_rules_multiple(const struct mpq_rules *r, struct mpq_type type)
{
    const struct mpq_rule *rule = find_rule(r, type);

    return rule ? rule->multiple : 0;
}

enum mpq_legal
mpq_rules_allow(const struct mpq_rules *r, struct mpq_type type, uint64_t rows,
                uint64_t cols, uint64_t *multiple)
{
    const struct mpq_rule *rule = find_rule(r, type);

    if (!rule)
        return MPQ_NOT_LOADED;
    if (!mpq_codec_writes(type))
        return MPQ_NOT_WRITTEN;
    *multiple = rule->multiple;
    if (cols % rule->multiple != 0)
        return MPQ_ROW_LENGTH;
    *multiple = mpq_type_block(type); /* rules of one's own may be too lenient */
    if (!mpq_type_fits(type, cols))
        return MPQ_ROW_LENGTH;
    *multiple = r->rows;
    if (!mpq_type_is_float(type) && rows % r->rows != 0)
        return MPQ_ROW_COUNT;
    return MPQ_LEGAL;
}

int
mpq_rules_keeps(const struct mpq_rules *r, const char *name)
{
    for (size_t i = 0; i < r->kept.n; i++)
        if (mpq_name_means(r->kept.items[i], name))
            return 1;
    return 0;
}

int
mpq_name_means(const char *pattern, const char *name)
{
    size_t n = strlen(pattern);

    if (strcmp(pattern, name) == 0)
        return 1;
    if (strncmp(name, "blk.", 4) != 0)
        return 0;
    name += 4 + strspn(name + 4, "0123456789");
    if (*name++ != '.' || strncmp(pattern, name, n) != 0)
        return 0;
    name += n;
    return !*name ||
           (name[0] == '.' && name[1] && !name[1 + strspn(name + 1, "0123456789")]);
}

const char *const mpq_module_names[MPQ_N_MODULES] = { "", ".attn", ".ffn" };

enum mpq_module
mpq_role_module(enum mpq_role role)
{
    if (!mpq_role_is_linear(role))
        return MPQ_MODULE_NONE;
    return role == MPQ_ROLE_GATE || role == MPQ_ROLE_UP || role == MPQ_ROLE_DOWN ||
                   role == MPQ_ROLE_GATE_UP
               ? MPQ_MODULE_FFN
               : MPQ_MODULE_ATTN;
}

enum mpq_module
mpq_name_unit_module(const char *name, int *layer)
{
    const char *dot = strncmp(name, "blk.", 4) ? NULL : strchr(name + 4, '.');

    *layer = -1;
    for (int m = MPQ_MODULE_ATTN; dot && m < MPQ_N_MODULES; m++)
        if (strcmp(dot, mpq_module_names[m]) == 0 &&
            (*layer = mpq_name_layer(name)) >= 0)
            return (enum mpq_module)m;
    return MPQ_MODULE_NONE;
}

int
mpq_name_unit_layer(const char *name)
{
    char probe[32];

    if (strncmp(name, "blk.", 4) != 0 || strchr(name + 4, '.') || strlen(name) > 24)
        return -1;
    snprintf(probe, sizeof probe, "%s.x", name);
    return mpq_name_layer(probe);
}
