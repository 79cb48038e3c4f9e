/* Hugging Face folders: shards and their index; config.json and tokenizer.json. */
#include "base/buf.h"
#include "fmt/gz.h"
#include "fmt/safe.h"
#include "model/native.h"
#include "model/source_own.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char *const text_files[MPQ_N_TEXTS] = {
    "config.json",           "tokenizer.json",
    "tokenizer_config.json", "generation_config.json",
    "chat_template.jinja",
};

const char *
mpq_source_text_file(size_t i)
{
    return i < MPQ_N_TEXTS ? text_files[i] : NULL;
}

char *
mpq_source_path(const char *dir, const char *file)
{
    struct mpq_buf b = { 0 };
    size_t n = strlen(dir);

    mpq_buf_adds(&b, dir);
    if (n && dir[n - 1] != '/')
        mpq_buf_adds(&b, "/");
    mpq_buf_adds(&b, file);
    if (b.failed)
        mpq_buf_free(&b);
    return b.data;
}

/* Is there anything of that name? What cannot be looked at (a loop of links, a folder
 * closed to us) is there, so that opening it says why. */
static int
exists(const char *path)
{
    struct stat st;

    return !stat(path, &st) || (errno != ENOENT && errno != ENOTDIR);
}

static int
open_shard(struct mpq_shard *shard, struct mpq_err *err)
{
    if (mpq_map_open_file(&shard->map, shard->path, err) < 0 ||
        mpq_gz_expand(&shard->map, shard->path, err) < 0)
        return -1;
    return mpq_st_open(&shard->st, &shard->map, shard->path, err);
}

/* A shard's name in the index: a plain file name, since it is opened. */
static int
is_plain_file(const char *file, size_t n)
{
    return strlen(file) == n && !mpq_safe_key(file, n) && !strchr(file, '/') &&
           file[0] != '.';
}

/* The files of the weight map, each once, sorted by name: into FILES. */
static int
list_files(const char *path, const struct mpq_json *map, struct mpq_index *files,
           struct mpq_err *err)
{
    const struct mpq_json *value;
    const char *key;

    for (const void *i = NULL; (i = mpq_json_next(map, i, &key, &value));) {
        size_t n;
        const char *file = mpq_json_str(value, &n);
        if (!file)
            return mpq_fail(err, MPQ_EDATA, "%s: tensor %.200s: no string for a file",
                            path, key);
        if (!is_plain_file(file, n))
            return mpq_fail(err, MPQ_EDATA,
                            "%s: tensor %.200s: \"%.80s\" is no file name", path, key,
                            file);
        if (mpq_index_add(files, file, 0) < 0)
            return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", path);
    }
    mpq_index_sort(files);
    size_t n = 0;
    for (size_t i = 0; i < files->n; i++)
        if (!i || strcmp(files->entries[i].name, files->entries[n - 1].name))
            files->entries[n++] = files->entries[i];
    files->n = n;
    return n ? 0 : mpq_fail(err, MPQ_EDATA, "%s: no weight_map, or an empty one", path);
}

static int
open_shards(struct mpq_source *s, const char *dir, const struct mpq_index *files,
            struct mpq_err *err)
{
    s->shards = mpq_array(files->n, sizeof *s->shards);
    if (!s->shards)
        return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", s->name);
    for (size_t i = 0; i < files->n; i++) {
        struct mpq_shard *shard = &s->shards[s->n_shards++];
        shard->path = mpq_source_path(dir, files->entries[i].name);
        if (!shard->path)
            return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", s->name);
        if (open_shard(shard, err) < 0)
            return -1;
    }
    return 0;
}

/* Index and shards must name the same tensors: each that a shard has is listed with
 * that shard, and there are as many as are listed. FILES is in the shards' order. */
static int
check_index(const struct mpq_source *s, const char *path, const struct mpq_json *map,
            const struct mpq_index *files, struct mpq_err *err)
{
    size_t n = 0;

    for (size_t k = 0; k < s->n_shards; k++) {
        const char *file = files->entries[k].name;
        for (size_t i = 0; i < mpq_st_count(s->shards[k].st); i++, n++) {
            const char *name = mpq_st_tensor(s->shards[k].st, i)->name;
            const char *listed = mpq_json_str(mpq_json_get(map, name), NULL);
            if (!listed)
                return mpq_fail(err, MPQ_EDATA, "%s: tensor %s of %s is not listed",
                                path, name, file);
            if (strcmp(listed, file))
                return mpq_fail(err, MPQ_EDATA, "%s: tensor %s is in %s, listed in %s",
                                path, name, file, listed);
        }
    }
    if (n == mpq_json_count(map))
        return 0;
    const struct mpq_json *value;
    const char *key;
    for (const void *i = NULL; (i = mpq_json_next(map, i, &key, &value));) {
        const char *file = mpq_json_str(value, NULL);
        for (size_t k = 0; k < s->n_shards; k++)
            if (!strcmp(files->entries[k].name, file) &&
                !mpq_st_find(s->shards[k].st, key))
                return mpq_fail(err, MPQ_EDATA, "%s: tensor %.200s: not in %s", path,
                                key, file);
    }
    return 0;
}

static int
open_index(struct mpq_source *s, const char *dir, const char *path, struct mpq_err *err)
{
    struct mpq_index files = { 0 };
    struct mpq_json *index = NULL;
    int rc = -1;

    if (mpq_json_open(&index, path, err) < 0)
        goto out;
    const struct mpq_json *map = mpq_json_get(index, "weight_map");
    if (list_files(path, map, &files, err) < 0 ||
        open_shards(s, dir, &files, err) < 0 ||
        check_index(s, path, map, &files, err) < 0)
        goto out;
    rc = 0;
out:
    mpq_index_free(&files);
    mpq_json_free(index);
    return rc;
}

int
mpq_source_open_folder(struct mpq_source *s, const char *path, struct mpq_err *err)
{
    struct mpq_index_entry entry = { "model.safetensors", 0 };
    const struct mpq_index single = { &entry, 1, 1 };
    char *index = mpq_source_path(path, "model.safetensors.index.json");
    char *file = mpq_source_path(path, entry.name);
    int rc = -1;

    if (!index || !file)
        mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", path);
    else if (exists(index))
        rc = open_index(s, path, index, err);
    else if (exists(file))
        rc = open_shards(s, path, &single, err);
    else
        mpq_fail(err, MPQ_EDATA,
                 "%s: a folder with neither model.safetensors nor "
                 "model.safetensors.index.json",
                 path);
    free(index);
    free(file);
    return rc;
}

/* The folder that PATH lies in; NULL when out of memory. */
static char *
folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    if (!slash)
        return mpq_strdup(".");
    return mpq_strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

/* The content of PATH, NUL-terminated, into *text, which stays NULL if there is no such
 * file. */
static int
read_text(const char *path, char **text, struct mpq_err *err)
{
    struct mpq_map map;

    if (!exists(path))
        return 0;
    if (mpq_map_open_file(&map, path, err) < 0)
        return -1;
    int rc = -1;
    if (map.size && memchr(map.data, '\0', (size_t)map.size))
        mpq_fail(err, MPQ_EDATA, "%s: a NUL byte: not a text", path);
    else if (!(*text = mpq_strndup(map.size ? (const char *)map.data : "",
                                   (size_t)map.size)))
        mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", path);
    else
        rc = 0;
    mpq_map_close(&map);
    return rc;
}

static int
load_text(struct mpq_source *s, size_t which, struct mpq_err *err)
{
    struct mpq_text *t = &s->texts[which];
    const char *inside =
        s->n_shards ? mpq_st_meta(s->shards[0].st, text_files[which]) : NULL;
    char *path = NULL;
    int rc = 0;

    if (t->tried)
        return 0;
    if (inside && !s->config_dir_wins) {
        t->text = mpq_strdup(inside);
        rc = t->text ? 0 : mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", s->name);
    } else if (s->config_dir) {
        path = mpq_source_path(s->config_dir, text_files[which]);
        rc = path ? read_text(path, &t->text, err)
                  : mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", s->name);
    }
    free(path);
    t->tried = rc == 0;
    return rc;
}

static int
parse_config(struct mpq_source *s, const char *text, struct mpq_err *err)
{
    struct mpq_buf name = { 0 };
    int rc = -1;

    mpq_buf_printf(&name, "%s: %s", s->name, text_files[0]);
    if (name.failed)
        mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", s->name);
    else
        rc = mpq_json_parse(&s->config, text, strlen(text), name.data, err);
    if (rc == 0 && !mpq_json_is_object(s->config))
        rc = mpq_fail(err, MPQ_EDATA, "%s: no JSON object", name.data);
    const char *method =
        mpq_json_str(mpq_json_at(s->config, "quantization_config/quant_method"), NULL);
    if (rc == 0 && method && !mpq_st_meta(s->shards[0].st, "mpq.container"))
        rc = mpq_fail(
            err, MPQ_EDATA,
            "%s: weights packed by %.40s, which are not read here (mpq-pack -f "
            "hf writes those of a plan as floats)",
            name.data, method);
    mpq_buf_free(&name);
    return rc;
}

int
mpq_source_open_config(struct mpq_source *s, const char *path, int is_folder,
                       const char *config_dir, struct mpq_err *err)
{
    if (s->gguf)
        return 0; /* has all of it */
    int carries = mpq_native_keys(s->shards[0].st, s->name, &s->keys_bytes, err);
    if (carries < 0)
        return -1;
    if (carries) {
        const struct mpq_map keys = { (const unsigned char *)s->keys_bytes.data,
                                      s->keys_bytes.len };
        if (mpq_gguf_open(&s->keys, &keys, s->name, err) < 0)
            return -1;
    }
    s->config_dir_wins = config_dir != NULL;
    if (config_dir || is_folder || strcmp(path, "-")) {
        s->config_dir = config_dir  ? mpq_strdup(config_dir)
                        : is_folder ? mpq_strdup(path)
                                    : folder_of(path);
        if (!s->config_dir)
            return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", s->name);
    }
    if (load_text(s, 0, err) < 0)
        return -1;
    const char *text = s->texts[0].text;
    if (!text && config_dir)
        return mpq_fail(err, MPQ_EDATA, "%s: has no config.json", config_dir);
    return text ? parse_config(s, text, err) : 0;
}

int
mpq_source_text(const struct mpq_source *s, const char *file, const char **text,
                struct mpq_err *err)
{
    *text = NULL;
    for (size_t i = 0; i < MPQ_N_TEXTS; i++)
        if (!strcmp(file, text_files[i])) {
            /* what is read stays the same: only when it is read is put off */
            if (load_text((struct mpq_source *)(uintptr_t)s, i, err) < 0)
                return -1;
            *text = s->texts[i].text;
        }
    return 0;
}
