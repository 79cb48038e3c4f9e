/* The ##tensor and ##file lines: reading, writing, passing on. */
#include "model/layout.h"

#include "base/buf.h"
#include "base/parse.h"
#include "base/text.h"
#include "fmt/percent.h"
#include "fmt/safe.h"
#include "model/names.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_WORDS = 32 };
/* Of a header, or of all that is no matrix: sums with the matrices stay in 64 bits. */
static const uint64_t MAX_BYTES = UINT64_C(1) << 56;

static const char tensor_line[] = "tensor ";
static const char file_line[] = "file ";

static int
bad_line(const struct mpq_tsv *t, const char *line, const char *fault,
         struct mpq_err *err)
{
    return mpq_fail(err, MPQ_EDATA, "%s: ##%.120s: %s", mpq_tsv_name(t), line, fault);
}

/* Cuts LINE at its blanks; 0 when there are more than MAX_WORDS words. */
static size_t
split(char *line, char *words[MAX_WORDS])
{
    size_t n = 0;
    for (;;) {
        if (n == MAX_WORDS)
            return 0;
        words[n++] = line;
        line = strchr(line, ' ');
        if (!line)
            return n;
        *line++ = '\0';
    }
}

/* "tensor NAME TYPE ROWS COLS" */
static int
read_tensor(struct mpq_layout *l, size_t *cap, const struct mpq_tsv *t, char **words,
            size_t n, const char *line, struct mpq_err *err)
{
    struct mpq_matrix m = { 0 };
    uint64_t bytes;

    if (n != 5)
        return bad_line(t, line, "NAME TYPE ROWS COLS expected", err);
    if (mpq_safe_name(words[1], strlen(words[1])))
        return bad_line(t, line, "no name of a tensor", err);
    if (mpq_type_parse(words[2], &m.type) < 0)
        return bad_line(t, line, "unknown type", err);
    if (mpq_parse_u64(words[3], &m.rows) < 0 || mpq_parse_u64(words[4], &m.cols) < 0 ||
        m.rows == 0 || m.cols == 0)
        return bad_line(t, line, "rows and columns are whole numbers from 1 on", err);
    if (!mpq_type_fits(m.type, m.cols))
        return bad_line(t, line, "the rows are not whole blocks of the type", err);
    if (mpq_type_bytes(MPQ_TYPE(MPQ_F64), m.rows, m.cols, &bytes) < 0)
        return bad_line(t, line, "too large", err);
    m.name = mpq_pool_strdup(&l->names, words[1]);
    if (!m.name || mpq_grow(&l->matrices, cap, l->n + 1, sizeof *l->matrices) < 0)
        return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", mpq_tsv_name(t));
    m.layer = mpq_name_layer(m.name);
    m.role = mpq_name_role(m.name);
    m.is_linear = mpq_role_is_linear(m.role);
    l->matrices[l->n++] = m;
    return 0;
}

/* VALUE decoded, cut to what fits. */
static void
decode(char *dst, size_t size, char *value)
{
    mpq_percent_decode(value);
    snprintf(dst, size, "%s", value);
}

static int
read_id(char id[MPQ_ID_SIZE], const char *value)
{
    const size_t n = strspn(value, "0123456789abcdef");

    if (n != MPQ_ID_SIZE - 1 || value[n])
        return -1;
    memcpy(id, value, MPQ_ID_SIZE);
    return 0;
}

static int
read_word(struct mpq_layout *l, char *word)
{
    uint64_t tied = 0;
    char *value = strchr(word, '=');

    if (!value)
        return -1;
    *value++ = '\0';
    if (strcmp(word, "rest") == 0)
        return mpq_parse_u64(value, &l->rest_bytes);
    if (strcmp(word, "st_header") == 0)
        return mpq_parse_u64(value, &l->st_header_bytes);
    if (strcmp(word, "st_rest") == 0)
        return mpq_parse_u64(value, &l->st_rest_bytes);
    if (strcmp(word, "n_layer") == 0)
        return mpq_parse_u64(value, &l->n_layer);
    if (strcmp(word, "tied") == 0) {
        int rc = mpq_parse_u64(value, &tied);
        l->tied = tied != 0;
        return rc;
    }
    if (strcmp(word, "arch") == 0)
        decode(l->arch, sizeof l->arch, value);
    else if (strcmp(word, "name") == 0)
        decode(l->name, sizeof l->name, value);
    else if (strcmp(word, "model_id") == 0)
        return read_id(l->id, value);
    else if (strcmp(word, "container") == 0 && strcmp(value, "gguf") != 0) {
        l->container = MPQ_CONTAINER_NATIVE;
        return strcmp(value, "safetensors") == 0 ? 0 : -1;
    }
    return 0; /* a word of a later version */
}

/* "file HEADER_BYTES ALIGNMENT KEY=VALUE ..." */
static int
read_file(struct mpq_layout *l, const struct mpq_tsv *t, char **words, size_t n,
          const char *line, struct mpq_err *err)
{
    if (n < 3 || mpq_parse_u64(words[1], &l->header_bytes) < 0 ||
        mpq_parse_u64(words[2], &l->alignment) < 0 || l->alignment == 0 ||
        l->alignment > 1 << 20)
        return bad_line(t, line, "HEADER_BYTES ALIGNMENT expected", err);
    for (size_t i = 3; i < n; i++)
        if (read_word(l, words[i]) < 0)
            return bad_line(t, line, "a value is wrong", err);
    if (l->header_bytes > MAX_BYTES || l->rest_bytes > MAX_BYTES ||
        l->st_header_bytes > MAX_BYTES || l->st_rest_bytes > MAX_BYTES)
        return bad_line(t, line, "more than 2^56 bytes", err);
    return 0;
}

static int
read_line(struct mpq_layout *l, size_t *cap, int *files, const struct mpq_tsv *t,
          const char *line, struct mpq_err *err)
{
    char *words[MAX_WORDS];
    int is_file = mpq_text_begins(line, file_line), rc;

    if (!is_file && !mpq_text_begins(line, tensor_line))
        return 0;
    if (is_file && ++*files > 1)
        return bad_line(t, line, "a second ##file line: of another model?", err);
    char *copy = mpq_strdup(line);
    if (!copy)
        return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", mpq_tsv_name(t));
    size_t n = split(copy, words);
    if (n == 0)
        rc = bad_line(t, line, "too many words", err);
    else if (is_file)
        rc = read_file(l, t, words, n, line, err);
    else
        rc = read_tensor(l, cap, t, words, n, line, err);
    free(copy);
    return rc;
}

int
mpq_layout_in_tsv(const struct mpq_tsv *t)
{
    for (size_t i = 0; i < mpq_tsv_meta_count(t); i++)
        if (mpq_text_begins(mpq_tsv_meta(t, i), file_line))
            return 1;
    return 0;
}

void
mpq_layout_tsv_id(const struct mpq_tsv *t, char id[MPQ_ID_SIZE])
{
    static const char key[] = " model_id=";
    char word[MPQ_ID_SIZE];

    id[0] = '\0';
    for (size_t i = 0; i < mpq_tsv_meta_count(t); i++) {
        const char *line = mpq_tsv_meta(t, i);
        const char *at = mpq_text_begins(line, file_line) ? strstr(line, key) : NULL;
        if (!at)
            continue;
        at += sizeof key - 1;
        snprintf(word, sizeof word, "%.*s", (int)strcspn(at, " "), at);
        if (read_id(id, word) < 0)
            id[0] = '\0';
        return;
    }
}

int
mpq_layout_from_tsv(struct mpq_layout *out, const struct mpq_tsv *t,
                    struct mpq_err *err)
{
    struct mpq_layout l = { 0 };
    size_t cap = 0;
    int files = 0, rc = -1;

    *out = (struct mpq_layout){ 0 };
    for (size_t i = 0; i < mpq_tsv_meta_count(t); i++)
        if (read_line(&l, &cap, &files, t, mpq_tsv_meta(t, i), err) < 0)
            goto out;
    if (files == 0 || l.n == 0) {
        mpq_fail(err, MPQ_EDATA,
                 "%s: no ##%s lines: the model's shape was filtered out",
                 mpq_tsv_name(t), files ? "tensor" : "file");
        goto out;
    }
    if (mpq_layout_index(&l, mpq_tsv_name(t), err) < 0)
        goto out;
    *out = l;
    l = (struct mpq_layout){ 0 };
    rc = 0;
out:
    mpq_layout_free(&l);
    return rc;
}

int
mpq_layout_put(const struct mpq_layout *l, struct mpq_tsv_writer *w,
               struct mpq_err *err)
{
    char type[MPQ_TYPE_NAME_MAX];
    struct mpq_buf line = { 0 };
    int rc;

    for (size_t i = 0; i < l->n; i++) {
        const struct mpq_matrix *m = &l->matrices[i];
        if (mpq_tsv_put_meta(w, err, "tensor %s %s %" PRIu64 " %" PRIu64, m->name,
                             mpq_type_name(m->type, type), m->rows, m->cols) < 0)
            return -1;
    }
    mpq_buf_printf(&line,
                   "file %" PRIu64 " %" PRIu64 " rest=%" PRIu64
                   " container=%s st_header=%" PRIu64 " st_rest=%" PRIu64
                   " n_layer=%" PRIu64 " tied=%d arch=",
                   l->header_bytes, l->alignment, l->rest_bytes,
                   l->container == MPQ_CONTAINER_GGUF ? "gguf" : "safetensors",
                   l->st_header_bytes, l->st_rest_bytes, l->n_layer, l->tied);
    mpq_percent_add_word(&line, l->arch);
    mpq_buf_adds(&line, " name=");
    mpq_percent_add_word(&line, l->name);
    if (l->id[0])
        mpq_buf_printf(&line, " model_id=%s", l->id);
    if (line.failed)
        rc = mpq_fail(err, MPQ_ENOMEM, "out of memory");
    else
        rc = mpq_tsv_put_meta(w, err, "%s", line.data);
    mpq_buf_free(&line);
    return rc;
}

int
mpq_layout_put_meta(const struct mpq_source *s, struct mpq_tsv_writer *w,
                    struct mpq_err *err)
{
    struct mpq_layout l;

    if (mpq_layout_from_source(&l, s, err) < 0)
        return -1;
    int rc = mpq_layout_put(&l, w, err);
    mpq_layout_free(&l);
    return rc;
}

int
mpq_layout_copy_meta(const struct mpq_tsv *t, struct mpq_tsv_writer *w,
                     struct mpq_err *err)
{
    for (size_t i = 0; i < mpq_tsv_meta_count(t); i++) {
        const char *line = mpq_tsv_meta(t, i);
        if ((mpq_text_begins(line, tensor_line) || mpq_text_begins(line, file_line)) &&
            mpq_tsv_put_meta(w, err, "%s", line) < 0)
            return -1;
    }
    return 0;
}
