#include "fmt/json.h"

#include "base/buf.h"
#include "base/io.h"
#include "fmt/safe.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* A struct mpq_json is jansson's json_t under another name. */
static const json_t *
in(const struct mpq_json *v)
{
    return (const json_t *)v;
}

static const struct mpq_json *
out_of(const json_t *v)
{
    return (const struct mpq_json *)v;
}

int
mpq_json_parse(struct mpq_json **out, const void *text, size_t n, const char *name,
               struct mpq_err *err)
{
    json_error_t fault;
    json_t *root =
        json_loadb(n ? text : "", n,
                   JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, &fault);

    *out = (struct mpq_json *)root;
    if (root)
        return 0;
    if (json_error_code(&fault) == json_error_out_of_memory)
        return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", name);
    return mpq_fail(err, MPQ_EDATA, "%s: JSON, line %d, column %d: %s", name,
                    fault.line, fault.column, fault.text);
}

int
mpq_json_open(struct mpq_json **out, const char *path, struct mpq_err *err)
{
    struct mpq_map map;

    *out = NULL;
    if (mpq_map_open_file(&map, path, err) < 0)
        return -1;
    int rc = mpq_json_parse(out, map.data, (size_t)map.size, path, err);
    mpq_map_close(&map);
    return rc;
}

void
mpq_json_free(struct mpq_json *root)
{
    json_decref((json_t *)root);
}

const struct mpq_json *
mpq_json_get(const struct mpq_json *v, const char *key)
{
    return out_of(json_object_get(in(v), key));
}

const struct mpq_json *
mpq_json_at(const struct mpq_json *v, const char *path)
{
    while (v && *path) {
        size_t len = strcspn(path, "/");
        char *key = mpq_strndup(path, len);
        if (!key)
            return NULL;
        v = mpq_json_get(v, key);
        free(key);
        path += len + (path[len] == '/');
    }
    return v;
}

size_t
mpq_json_count(const struct mpq_json *v)
{
    return json_is_array(in(v)) ? json_array_size(in(v)) : json_object_size(in(v));
}

const struct mpq_json *
mpq_json_item(const struct mpq_json *v, size_t i)
{
    return out_of(json_array_get(in(v), i));
}

const void *
mpq_json_next(const struct mpq_json *v, const void *iter, const char **key,
              const struct mpq_json **value)
{
    json_t *object = (json_t *)in(v); /* not changed */
    void *next =
        iter ? json_object_iter_next(object, (void *)iter) : json_object_iter(object);

    if (next) {
        *key = json_object_iter_key(next);
        *value = out_of(json_object_iter_value(next));
    }
    return next;
}

int
mpq_json_is_object(const struct mpq_json *v)
{
    return json_is_object(in(v));
}

int
mpq_json_is_array(const struct mpq_json *v)
{
    return json_is_array(in(v));
}

static int
is_absent(const struct mpq_json *v)
{
    return !v || json_is_null(in(v));
}

int
mpq_json_u64(const struct mpq_json *v, uint64_t *out)
{
    if (is_absent(v))
        return 0;
    if (!json_is_integer(in(v)) || json_integer_value(in(v)) < 0)
        return -1;
    *out = (uint64_t)json_integer_value(in(v));
    return 1;
}

int
mpq_json_f64(const struct mpq_json *v, double *out)
{
    if (is_absent(v))
        return 0;
    if (!json_is_number(in(v)))
        return -1;
    *out = json_number_value(in(v));
    return 1;
}

int
mpq_json_bool(const struct mpq_json *v, int *out)
{
    if (is_absent(v))
        return 0;
    if (!json_is_boolean(in(v)))
        return -1;
    *out = json_is_true(in(v));
    return 1;
}

const char *
mpq_json_str(const struct mpq_json *v, size_t *n)
{
    if (n)
        *n = json_string_length(in(v));
    return json_string_value(in(v));
}

const char *
mpq_json_text(const struct mpq_json *v, const char *key)
{
    const char *s = mpq_json_str(mpq_json_get(v, key), NULL);

    return s ? s : "";
}

int
mpq_json_flag(const struct mpq_json *v, const char *key, int otherwise)
{
    mpq_json_bool(mpq_json_get(v, key), &otherwise);
    return otherwise;
}

static void
quote_byte(struct mpq_buf *text, unsigned char c)
{
    if (c == '"' || c == '\\')
        mpq_buf_add(text, (const unsigned char[]){ '\\', c }, 2);
    else if (c == '\n')
        mpq_buf_adds(text, "\\n");
    else if (c == '\t')
        mpq_buf_adds(text, "\\t");
    else if (c < 0x20 || c == 0x7f)
        mpq_buf_printf(text, "\\u%04x", c);
    else
        mpq_buf_add(text, &c, 1);
}

void
mpq_json_quote(struct mpq_buf *text, const char *s, size_t n)
{
    const unsigned char *u = (const unsigned char *)s;

    mpq_buf_adds(text, "\"");
    for (size_t i = 0; i < n;) {
        size_t run = 0; /* of bytes that stand for themselves: nearly all */
        while (i + run < n && u[i + run] >= ' ' && u[i + run] < 0x7f &&
               u[i + run] != '"' && u[i + run] != '\\')
            run++;
        mpq_buf_add(text, s + i, run);
        i += run;
        if (i == n)
            break;
        size_t len = mpq_utf8_length(u + i, n - i);
        if (len == 1)
            quote_byte(text, u[i]);
        else if (len)
            mpq_buf_add(text, s + i, len);
        else
            mpq_buf_adds(text, "\xef\xbf\xbd");
        i += len ? len : 1;
    }
    mpq_buf_adds(text, "\"");
}
