#include "model/task_file.h"

#include "base/buf.h"
#include "base/io.h"
#include "base/text.h"
#include "fmt/json.h"
#include "fmt/safe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A line that is being read. */
struct line {
    struct mpq_task_file *f;
    const struct mpq_json *json;
    size_t number;
    struct mpq_err *err;
};

static int
fail_at(const struct line *l, const char *fault)
{
    return mpq_fail(l->err, MPQ_EDATA, "%s:%zu: %s", l->f->name, l->number, fault);
}

static int
fail_key(const struct line *l, const char *key, const char *fault)
{
    return mpq_fail(l->err, MPQ_EDATA, "%s:%zu: %.80s %s", l->f->name, l->number, key,
                    fault);
}

static int
no_memory(const struct line *l)
{
    return mpq_fail(l->err, MPQ_ENOMEM, "%s: out of memory", l->f->name);
}

/* A copy of the string V; a NUL inside would cut it short, so it is refused. */
static int
take_text(const struct line *l, const struct mpq_json *v, const char *key,
          const char **out)
{
    size_t n;
    const char *text = mpq_json_str(v, &n);

    if (!v)
        return fail_key(l, key, "is missing");
    if (!text)
        return fail_key(l, key, "is no string");
    if (memchr(text, 0, n))
        return fail_key(l, key, "has a NUL byte");
    *out = mpq_pool_strndup(&l->f->strings, text, n);
    return *out ? 0 : no_memory(l);
}

static int
take_key(const struct line *l, const char *key, const char **out)
{
    return take_text(l, mpq_json_get(l->json, key), key, out);
}

/* A list of strings. */
static int
take_list(const struct line *l, const char *key, const char ***out, size_t *n)
{
    const struct mpq_json *v = mpq_json_get(l->json, key);

    if (!v)
        return fail_key(l, key, "is missing");
    if (!mpq_json_is_array(v))
        return fail_key(l, key, "is no list");
    *n = mpq_json_count(v);
    *out = mpq_array(*n, sizeof **out);
    if (!*out)
        return no_memory(l);
    for (size_t i = 0; i < *n; i++)
        if (take_text(l, mpq_json_item(v, i), key, &(*out)[i]) < 0)
            return -1;
    return 0;
}

/* Bytes of the first CHARACTERS of TEXT; -1 when it has fewer. */
static int
bytes_of(const char *text, uint64_t characters, size_t *bytes)
{
    const size_t n = strlen(text);

    *bytes = 0;
    for (; characters > 0; characters--) {
        const size_t step =
            *bytes < n
                ? mpq_utf8_length((const unsigned char *)text + *bytes, n - *bytes)
                : 0;
        if (step == 0)
            return -1;
        *bytes += step;
    }
    return 0;
}

static int
take_score_from(const struct line *l, struct mpq_task_item *item)
{
    const struct mpq_json *v = mpq_json_get(l->json, "score_from");
    uint64_t characters;

    item->score_from = mpq_array(item->n_choices, sizeof *item->score_from);
    if (!item->score_from)
        return no_memory(l);
    if (!v)
        return 0;
    if (!mpq_json_is_array(v) || mpq_json_count(v) != item->n_choices)
        return mpq_fail(l->err, MPQ_EDATA,
                        "%s:%zu: score_from has %zu numbers, choices %zu", l->f->name,
                        l->number, mpq_json_count(v), item->n_choices);
    for (size_t i = 0; i < item->n_choices; i++) {
        if (mpq_json_u64(mpq_json_item(v, i), &characters) != 1 ||
            bytes_of(item->choices[i], characters, &item->score_from[i]) < 0 ||
            !item->choices[i][item->score_from[i]])
            return fail_key(l, "score_from", "leaves nothing of a choice to be scored");
    }
    return 0;
}

static int
take_choice(const struct line *l, struct mpq_task_item *item)
{
    const struct mpq_json *gold = mpq_json_get(l->json, "gold");
    uint64_t right;

    if (take_list(l, "choices", &item->choices, &item->n_choices) < 0)
        return -1;
    if (item->n_choices < 2)
        return mpq_fail(l->err, MPQ_EDATA, "%s:%zu: %zu choices, at least 2 needed",
                        l->f->name, l->number, item->n_choices);
    for (size_t i = 0; i < item->n_choices; i++)
        if (!item->choices[i][0])
            return fail_at(l, "a choice is empty");
    if (!gold)
        return fail_key(l, "gold", "is missing");
    if (mpq_json_u64(gold, &right) != 1)
        return fail_key(l, "gold", "is no index of a choice");
    if (right >= item->n_choices)
        return mpq_fail(l->err, MPQ_EDATA, "%s:%zu: gold %llu of %zu choices",
                        l->f->name, l->number, (unsigned long long)right,
                        item->n_choices);
    item->right = (size_t)right;
    return take_score_from(l, item);
}

static int
take_generate(const struct line *l, struct mpq_task_item *item)
{
    if (take_key(l, "answer", &item->answer) < 0 ||
        take_key(l, "gold", &item->gold) < 0)
        return -1;
    if (!item->answer[0])
        return fail_key(l, "answer", "is empty");
    if (!mpq_json_get(l->json, "aliases"))
        return 0;
    return take_list(l, "aliases", &item->aliases, &item->n_aliases);
}

static int
take_fields(const struct line *l, struct mpq_task_item *item)
{
    const struct mpq_json *v;
    const char *key;

    item->fields = mpq_array(mpq_json_count(l->json), sizeof *item->fields);
    if (!item->fields)
        return no_memory(l);
    for (const void *at = NULL; (at = mpq_json_next(l->json, at, &key, &v));) {
        struct mpq_task_field *field = &item->fields[item->n_fields];
        if (!mpq_json_str(v, NULL))
            continue;
        field->key = mpq_pool_strdup(&l->f->strings, key);
        if (!field->key)
            return no_memory(l);
        if (take_text(l, v, key, &field->text) < 0)
            return -1;
        item->n_fields++;
    }
    return 0;
}

static enum mpq_task_kind
kind_of(const struct mpq_json *json)
{
    return mpq_json_get(json, "choices") ? MPQ_TASK_CHOICE : MPQ_TASK_GENERATE;
}

static int
take_item(const struct line *l, struct mpq_task_item *item)
{
    char number[24];

    item->line = l->number;
    if (!mpq_json_is_object(l->json))
        return fail_at(l, "no JSON object");
    if (l->f->kind == MPQ_TASK_ANY)
        l->f->kind = kind_of(l->json);
    snprintf(number, sizeof number, "%zu", l->number);
    if (!mpq_json_str(mpq_json_get(l->json, "id"), NULL)) /* or it is a number */
        item->id = mpq_pool_strdup(&l->f->strings, number);
    else if (take_key(l, "id", &item->id) < 0)
        return -1;
    if (!item->id)
        return no_memory(l);
    if (take_key(l, "prompt", &item->prompt) < 0 || take_fields(l, item) < 0)
        return -1;
    return l->f->kind == MPQ_TASK_CHOICE ? take_choice(l, item)
                                         : take_generate(l, item);
}

/* One line TEXT[n], which is not blank. */
static int
take_line(struct mpq_task_file *f, const char *text, size_t n, size_t number,
          struct mpq_err *err)
{
    struct mpq_json *json = NULL;
    char *place = NULL;
    int rc = -1;
    const size_t room = strlen(f->name) + 24;

    place = mpq_array(room, 1);
    if (!place || mpq_grow(&f->items, &f->cap, f->n + 1, sizeof *f->items) < 0) {
        mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", f->name);
        goto out;
    }
    snprintf(place, room, "%s:%zu", f->name, number);
    if (mpq_json_parse(&json, text, n, place, err) < 0)
        goto out;
    f->items[f->n] = (struct mpq_task_item){ 0 };
    rc = take_item(&(struct line){ f, json, number, err }, &f->items[f->n++]);
out:
    mpq_json_free(json);
    free(place);
    return rc;
}

static int
is_blank(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!strchr(" \t\r", text[i]) || !text[i])
            return 0;
    return 1;
}

int
mpq_task_file_parse(struct mpq_task_file *out, const char *text, size_t n,
                    const char *name, enum mpq_task_kind kind, size_t limit,
                    struct mpq_err *err)
{
    size_t number = 1;

    *out = (struct mpq_task_file){ .kind = kind, .name = mpq_strdup(name) };
    if (!out->name) {
        mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", name);
        goto fail;
    }
    for (size_t at = mpq_text_bom(text, n); at < n && (limit == 0 || out->n < limit);
         number++) {
        const char *end = memchr(text + at, '\n', n - at);
        const size_t len = end ? (size_t)(end - text) - at : n - at;
        if (!is_blank(text + at, len) &&
            take_line(out, text + at, len, number, err) < 0)
            goto fail;
        at += len + 1;
    }
    if (out->n > 0)
        return 0;
    mpq_fail(err, MPQ_EDATA, "%s: no items", name);
fail:
    mpq_task_file_free(out);
    return -1;
}

int
mpq_task_file_open(struct mpq_task_file *out, const char *path, enum mpq_task_kind kind,
                   size_t limit, struct mpq_err *err)
{
    struct mpq_map map;

    *out = (struct mpq_task_file){ 0 };
    if (mpq_map_open(&map, path, err) < 0)
        return -1;
    int rc = mpq_task_file_parse(out, (const char *)map.data, (size_t)map.size,
                                 strcmp(path, "-") ? path : "standard input", kind,
                                 limit, err);
    mpq_map_close(&map);
    return rc;
}

void
mpq_task_file_free(struct mpq_task_file *f)
{
    for (size_t i = 0; i < f->n; i++) {
        free(f->items[i].choices);
        free(f->items[i].score_from);
        free(f->items[i].aliases);
        free(f->items[i].fields);
    }
    free(f->items);
    free(f->name);
    mpq_pool_free(&f->strings);
    *f = (struct mpq_task_file){ 0 };
}

const char *
mpq_task_item_field(const struct mpq_task_item *item, const char *key)
{
    for (size_t i = 0; i < item->n_fields; i++)
        if (strcmp(item->fields[i].key, key) == 0)
            return item->fields[i].text;
    return NULL;
}
