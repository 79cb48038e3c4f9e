/* YAML by hand: any text is a tree, or refused; the same as a policy. */
#include "replay.h"

#include "model/policy.h"

#include <stdlib.h>
#include <string.h>

static size_t
walk(const struct mpq_node *node)
{
    size_t n = node->kind == MPQ_NODE_TEXT ? strlen(node->text) : 0;

    for (size_t i = 0; i < node->n; i++) {
        if (node->keys && !mpq_node_get(node, node->keys[i]))
            abort();
        n += walk(node->items[i]);
    }
    return n;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mpq_err err = { 0 };
    struct mpq_recipe *r;
    struct mpq_policy policy = { 0 };

    if (mpq_recipe_parse(&r, (const char *)data, size, "input", &err) < 0) {
        if (!err.code || strncmp(err.text, "input", 5))
            abort();
        return 0;
    }
    walk(mpq_recipe_root(r));
    if (mpq_policy_read(&policy, r, &err) < 0 && !err.code)
        abort();
    mpq_policy_free(&policy);
    mpq_recipe_free(r);
    return 0;
}
