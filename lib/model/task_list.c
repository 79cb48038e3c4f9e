#include "model/task_list.h"

#include "base/buf.h"
#include "base/parse.h"
#include "base/text.h"
#include "fmt/recipe.h"

#include <stdlib.h>
#include <string.h>

/* A task whose keys are being read. */
struct reader {
    struct mpq_task_list *l;
    struct mpq_task *t;
    const struct mpq_recipe *r;
    const char *folder;
    struct mpq_err *err;
};

static int
no_memory(struct mpq_err *err)
{
    return mpq_fail(err, MPQ_ENOMEM, "tasks: out of memory");
}

const char *
mpq_task_base_name(struct mpq_pool *pool, const char *path)
{
    const char *base = strrchr(path, '/');
    base = base ? base + 1 : path;
    const char *dot = strrchr(base, '.');

    return mpq_pool_strndup(pool, base,
                            dot && dot > base ? (size_t)(dot - base) : strlen(base));
}

static int
take_text(struct reader *s, const struct mpq_node *n, const char **out)
{
    if (!n->text[0])
        return mpq_recipe_fail(s->r, n, s->err, "an empty value");
    *out = mpq_pool_strdup(&s->l->strings, n->text);
    return *out ? 0 : no_memory(s->err);
}

static int
take_count(struct reader *s, const struct mpq_node *n, size_t *out)
{
    uint64_t v;

    if (mpq_parse_u64(n->text, &v) < 0 || v == 0 || v > 1000000)
        return mpq_recipe_fail(s->r, n, s->err,
                               "'%.40s' is no number from 1 to 1000000", n->text);
    *out = (size_t)v;
    return 0;
}

/* The index of the word among WORDS, parted by blanks. */
static int
take_word(struct reader *s, const struct mpq_node *n, const char *words)
{
    const size_t len = strlen(n->text);
    int index = 0;

    for (const char *w = words; *w; index++) {
        const size_t m = strcspn(w, " ");
        if (m == len && strncmp(w, n->text, m) == 0)
            return index;
        w += m + (w[m] == ' ');
    }
    return mpq_recipe_fail(s->r, n, s->err, "'%.40s' is none of: %s", n->text, words);
}

static int
take_path(struct reader *s, const struct mpq_node *n, const char **out)
{
    struct mpq_buf path = { 0 };

    if (!n->text[0])
        return mpq_recipe_fail(s->r, n, s->err, "an empty file name");
    if (n->text[0] != '/')
        mpq_buf_adds(&path, s->folder);
    mpq_buf_adds(&path, n->text);
    *out = path.failed ? NULL : mpq_pool_strdup(&s->l->strings, path.data);
    mpq_buf_free(&path);
    return *out ? 0 : no_memory(s->err);
}

static int
take_kind(struct reader *s, const struct mpq_node *n)
{
    const int i = take_word(s, n, "choice generate");

    s->t->kind = i == 0 ? MPQ_TASK_CHOICE : MPQ_TASK_GENERATE;
    return i < 0 ? -1 : 0;
}

static int
take_match(struct reader *s, const struct mpq_node *n)
{
    const int i = take_word(s, n, "number word text");

    s->t->match = (enum mpq_match)(MPQ_MATCH_NUMBER + i);
    return i < 0 ? -1 : 0;
}

static int
take_metrics(struct reader *s, const struct mpq_node *n)
{
    for (size_t i = 0; i < n->n; i++) {
        if (mpq_recipe_want(s->r, n->items[i], MPQ_NODE_TEXT, "a metric", s->err) < 0)
            return -1;
        const int bit = take_word(s, n->items[i], "acc acc_norm loss em kld");
        if (bit < 0)
            return -1;
        s->t->metrics |= 1u << bit;
    }
    return 0;
}

static int
take_stop(struct reader *s, const struct mpq_node *n)
{
    s->t->stop = mpq_array(n->n, sizeof *s->t->stop);
    if (!s->t->stop)
        return no_memory(s->err);
    for (; s->t->n_stop < n->n; s->t->n_stop++) {
        const struct mpq_node *word = n->items[s->t->n_stop];
        if (mpq_recipe_want(s->r, word, MPQ_NODE_TEXT, "a stop string", s->err) < 0 ||
            take_text(s, word, &s->t->stop[s->t->n_stop]) < 0)
            return -1;
    }
    return 0;
}

static int
take_name(struct reader *s, const struct mpq_node *n)
{
    return take_text(s, n, &s->t->name);
}

static int
take_file(struct reader *s, const struct mpq_node *n)
{
    return take_path(s, n, &s->t->file);
}

static int
take_template(struct reader *s, const struct mpq_node *n)
{
    return take_text(s, n, &s->t->template_text);
}

static int
take_shots(struct reader *s, const struct mpq_node *n)
{
    return take_count(s, n, &s->t->shots);
}

static int
take_shots_from(struct reader *s, const struct mpq_node *n)
{
    return take_path(s, n, &s->t->shots_from);
}

static int
take_limit(struct reader *s, const struct mpq_node *n)
{
    return take_count(s, n, &s->t->limit);
}

static int
take_pattern(struct reader *s, const struct mpq_node *n)
{
    s->t->match = MPQ_MATCH_PATTERN;
    return take_text(s, n, &s->t->pattern);
}

static int
take_max_new(struct reader *s, const struct mpq_node *n)
{
    return take_count(s, n, &s->t->max_new);
}

static const struct {
    const char *name;
    enum mpq_node_kind kind;
    int (*take)(struct reader *s, const struct mpq_node *n);
} keys[] = {
    { "name", MPQ_NODE_TEXT, take_name },
    { "file", MPQ_NODE_TEXT, take_file },
    { "kind", MPQ_NODE_TEXT, take_kind },
    { "template", MPQ_NODE_TEXT, take_template },
    { "shots", MPQ_NODE_TEXT, take_shots },
    { "shots_from", MPQ_NODE_TEXT, take_shots_from },
    { "limit", MPQ_NODE_TEXT, take_limit },
    { "metrics", MPQ_NODE_LIST, take_metrics },
    { "match", MPQ_NODE_TEXT, take_match },
    { "pattern", MPQ_NODE_TEXT, take_pattern },
    { "stop", MPQ_NODE_LIST, take_stop },
    { "max_new", MPQ_NODE_TEXT, take_max_new },
};

static int
take_key(struct reader *s, const char *name, const struct mpq_node *node)
{
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (strcmp(keys[i].name, name) == 0)
            return mpq_recipe_want(s->r, node, keys[i].kind, name, s->err) < 0
                       ? -1
                       : keys[i].take(s, node);
    return mpq_recipe_fail(s->r, node, s->err,
                           "unknown key %.40s (name, file, kind, template, shots, "
                           "shots_from, limit, metrics, match, pattern, stop, max_new)",
                           name);
}

/* An empty task at the end of the list. */
static struct mpq_task *
new_task(struct mpq_task_list *l, const char *place, struct mpq_err *err)
{
    const char *copy = mpq_pool_strdup(&l->strings, place);

    if (!copy || mpq_grow(&l->tasks, &l->cap, l->n + 1, sizeof *l->tasks) < 0) {
        no_memory(err);
        return NULL;
    }
    l->tasks[l->n] = (struct mpq_task){ .place = copy };
    return &l->tasks[l->n++];
}

static int
take_task(struct reader *s, const struct mpq_node *node)
{
    struct mpq_buf place = { 0 };

    if (mpq_recipe_want(s->r, node, MPQ_NODE_MAP, "a task", s->err) < 0)
        return -1;
    mpq_buf_printf(&place, "%s:%zu", mpq_recipe_name(s->r), node->line);
    s->t = place.failed ? NULL : new_task(s->l, place.data, s->err);
    mpq_buf_free(&place);
    if (!s->t)
        return no_memory(s->err);
    for (size_t i = 0; i < node->n; i++)
        if (take_key(s, node->keys[i], node->items[i]) < 0)
            return -1;
    if (!s->t->file)
        return mpq_recipe_fail(s->r, node, s->err, "a task without file");
    if ((s->t->shots > 0) != (s->t->shots_from != NULL))
        return mpq_recipe_fail(s->r, node, s->err,
                               "shots and shots_from belong together");
    if (mpq_node_get(node, "match") && mpq_node_get(node, "pattern"))
        return mpq_recipe_fail(s->r, node, s->err, "match and pattern: one of them");
    if (!s->t->name)
        s->t->name = mpq_task_base_name(&s->l->strings, s->t->file);
    return s->t->name ? 0 : no_memory(s->err);
}

static int
take_recipe(struct mpq_task_list *l, const struct mpq_recipe *r, const char *folder,
            struct mpq_err *err)
{
    struct reader s = { l, NULL, r, folder, err };
    const struct mpq_node *root = mpq_recipe_root(r);

    if (mpq_recipe_want(r, root, MPQ_NODE_LIST, "a task file", err) < 0)
        return -1;
    if (root->n == 0)
        return mpq_recipe_fail(r, root, err, "no tasks");
    for (size_t i = 0; i < root->n; i++)
        if (take_task(&s, root->items[i]) < 0)
            return -1;
    return 0;
}

int
mpq_task_list_parse(struct mpq_task_list *l, const char *text, size_t n,
                    const char *name, const char *folder, struct mpq_err *err)
{
    struct mpq_recipe *r;

    if (mpq_recipe_parse(&r, text, n, name, err) < 0)
        return -1;
    int rc = take_recipe(l, r, folder, err);
    mpq_recipe_free(r);
    return rc;
}

static int
add_recipe(struct mpq_task_list *l, const char *path, struct mpq_err *err)
{
    const char *slash = strrchr(path, '/');
    const char *folder =
        mpq_pool_strndup(&l->strings, path, slash ? (size_t)(slash - path) + 1 : 0);
    struct mpq_recipe *r;

    if (!folder)
        return no_memory(err);
    if (mpq_recipe_open(&r, path, err) < 0)
        return -1;
    int rc = take_recipe(l, r, folder, err);
    mpq_recipe_free(r);
    return rc;
}

int
mpq_task_list_add(struct mpq_task_list *l, const char *path, struct mpq_err *err)
{
    if (mpq_text_ends(path, ".yaml") || mpq_text_ends(path, ".yml"))
        return add_recipe(l, path, err);

    struct mpq_task *t = new_task(l, path, err);
    if (!t)
        return -1;
    t->file = t->place;
    t->name = mpq_task_base_name(&l->strings, path);
    return t->name ? 0 : no_memory(err);
}

void
mpq_task_list_free(struct mpq_task_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->tasks[i].stop);
    free(l->tasks);
    mpq_pool_free(&l->strings);
    *l = (struct mpq_task_list){ 0 };
}

/* {KEY} at TEXT, which is behind the brace: appends the string of that key. Returns the
 * bytes up to the closing brace and over it, 0 when there is no such. */
static size_t
fill_key(const char *text, const struct mpq_task_item *item, struct mpq_buf *out)
{
    const size_t n = strcspn(text, "}");
    char key[64];

    if (!text[n] || n >= sizeof key)
        return 0;
    memcpy(key, text, n);
    key[n] = 0;
    const char *value = mpq_task_item_field(item, key);
    if (!value)
        return 0;
    mpq_buf_adds(out, value);
    return n + 1;
}

int
mpq_task_fill(const char *template_text, const struct mpq_task_item *item,
              const char *name, struct mpq_buf *text, struct mpq_err *err)
{
    if (!template_text)
        mpq_buf_adds(text, item->prompt);
    for (const char *c = template_text; c && *c;) {
        const size_t plain = strcspn(c, "{");
        mpq_buf_add(text, c, plain);
        c += plain;
        if (!*c)
            break;
        if (c[1] == '{') {
            mpq_buf_adds(text, "{");
            c += 2;
            continue;
        }
        const size_t n = fill_key(c + 1, item, text);
        if (n == 0)
            return mpq_fail(err, MPQ_EDATA,
                            "%s:%zu: no string for '%.40s' of the "
                            "template",
                            name, item->line, c);
        c += n + 1;
    }
    return text->failed ? mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", name) : 0;
}
