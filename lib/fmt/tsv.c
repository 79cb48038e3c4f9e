/* Reading of tables; tsv_get.c hands out what was read, tsv_write.c writes. The whole
 * text stays in memory once, cells are pointers into it. */
#include "fmt/tsv.h"

#include "base/buf.h"
#include "base/index.h"
#include "base/parse.h"
#include "fmt/gz.h"
#include "fmt/sniff.h"
#include "fmt/tsv_own.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

/* Where the parser stands. */
struct cursor {
    struct mpq_tsv *t;
    const char *want_kind;
    size_t line;
    int in_section;  /* between ##mpq and ##end */
    int has_columns; /* since the section began */
    uint64_t section_rows;
    uint32_t crc;
    struct mpq_err *err;
};

static int
no_memory(struct cursor *c)
{
    return mpq_fail(c->err, MPQ_ENOMEM, "%s: out of memory", c->t->name);
}

static int
fail_kind(struct cursor *c, const char *kind, const char *want)
{
    const struct mpq_kind *k = mpq_kind_find(want);
    char place[512];

    snprintf(place, sizeof place, "%.400s:%zu", c->t->name, c->line);
    return mpq_fail_kind(place, kind, want, k ? k->writer : NULL, c->err);
}

/* Of a table whose first row comes before any line with #. */
static int
fail_no_columns(struct cursor *c)
{
    const char *kind = c->t->kind ? c->t->kind : c->want_kind;
    const struct mpq_kind *k = mpq_kind_find(kind ? kind : "scores");

    return mpq_fail(c->err, MPQ_EDATA,
                    "%s:%zu: a row before the line of column names, such as #%s",
                    c->t->name, c->line, k ? k->columns : "unit<TAB>...");
}

/* "mpq KIND 1 key=value ..." */
static int
begin_section(struct cursor *c, char *line)
{
    struct mpq_tsv *t = c->t;
    char *kind = line + strlen("mpq ");
    char *version = strchr(kind, ' ');

    if (c->in_section)
        return mpq_fail(c->err, MPQ_EDATA,
                        "%s:%zu: a table begins before ##end: the one"
                        " before was cut short",
                        t->name, c->line);
    if (!version)
        return mpq_fail(c->err, MPQ_EDATA, "%s:%zu: ##mpq without kind and version",
                        t->name, c->line);
    *version++ = '\0';
    if (version[0] != '1' || (version[1] && version[1] != ' '))
        return mpq_fail(c->err, MPQ_EDATA,
                        "%s:%zu: table version %.8s, this program"
                        " reads 1",
                        t->name, c->line, version);
    const char *want = c->want_kind ? c->want_kind : t->kind;
    if (want && strcmp(kind, want) != 0)
        return fail_kind(c, kind, want);
    if (!t->kind) {
        t->kind = kind;
        t->first = version[1] ? version + 2 : version + 1;
    }
    c->in_section = 1;
    c->has_columns = 0;
    c->section_rows = 0;
    c->crc = 0;
    return 0;
}

/* "end ROWS crc32=XXXXXXXX" */
static int
end_section(struct cursor *c, char *line)
{
    struct mpq_tsv *t = c->t;
    char *count = line + strlen("end ");
    char *crc = strchr(count, ' ');
    uint64_t rows;

    if (!c->in_section)
        return mpq_fail(c->err, MPQ_EDATA, "%s:%zu: ##end without ##mpq", t->name,
                        c->line);
    if (crc)
        *crc++ = '\0';
    if (mpq_parse_u64(count, &rows) < 0 || rows != c->section_rows)
        return mpq_fail(c->err, MPQ_EDATA,
                        "%s:%zu: ##end says %s rows, there are %llu (if edited by hand,"
                        " take out the ##mpq and ##end lines)",
                        t->name, c->line, count, (unsigned long long)c->section_rows);
    /* plans are made to be edited by hand: their rows must all be there, no more */
    const int is_plan = t->kind && strcmp(t->kind, "plan") == 0;
    if (crc && !is_plan && strncmp(crc, "crc32=", 6) == 0) {
        unsigned long sum = strtoul(crc + 6, NULL, 16);
        if (sum != c->crc)
            return mpq_fail(c->err, MPQ_EDATA,
                            "%s:%zu: checksum %s, the rows give %08lx (if edited by"
                            " hand, take out the ##mpq and ##end lines)",
                            t->name, c->line, crc + 6, (unsigned long)c->crc);
    }
    c->in_section = 0;
    return 0;
}

static int
add_meta(struct cursor *c, char *line)
{
    struct mpq_tsv *t = c->t;

    if (mpq_tsv_push(&t->metas, &t->n_metas, &t->cap_metas, line) < 0)
        return no_memory(c);
    return 0;
}

/* Of identical lines, which every section brings along, only the first stays. */
static int
drop_repeated_metas(struct cursor *c)
{
    struct mpq_tsv *t = c->t;
    struct mpq_index x = { 0 };
    size_t n = 0;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < t->n_metas; i++)
        rc = mpq_index_add(&x, t->metas[i], i);
    if (rc == 0 && mpq_index_sort(&x)) {
        for (size_t i = 1; i < x.n; i++)
            if (strcmp(x.entries[i].name, x.entries[i - 1].name) == 0)
                t->metas[x.entries[i].pos] = NULL;
        for (size_t i = 0; i < t->n_metas; i++)
            if (t->metas[i])
                t->metas[n++] = t->metas[i];
        t->n_metas = n;
    }
    mpq_index_free(&x);
    return rc < 0 ? no_memory(c) : 0;
}

/* Cuts LINE at its tabs into *array; returns the number of fields. */
static size_t
split(char *line, char ***array, size_t *n, size_t *cap)
{
    size_t fields = 0;
    for (;;) {
        char *tab = strchr(line, '\t');
        if (mpq_tsv_push(array, n, cap, line) < 0)
            return 0;
        fields++;
        if (!tab)
            return fields;
        *tab = '\0';
        line = tab + 1;
    }
}

static int
check_columns(struct cursor *c)
{
    const struct mpq_tsv *t = c->t;
    struct mpq_index x = { 0 };
    const char *twice = NULL;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < t->n_columns; i++)
        rc = mpq_index_add(&x, t->columns[i], i);
    if (rc == 0)
        twice = mpq_index_sort(&x);
    mpq_index_free(&x);
    if (twice)
        return mpq_fail(c->err, MPQ_EDATA, "%s:%zu: column %s twice", t->name, c->line,
                        twice);
    return rc < 0 ? no_memory(c) : 0;
}

static int
add_columns(struct cursor *c, char *line)
{
    struct mpq_tsv *t = c->t;

    if (t->n_columns == 0) {
        if (split(line, &t->columns, &t->n_columns, &t->cap_columns) == 0)
            return no_memory(c);
        if (check_columns(c) < 0)
            return -1;
    } else { /* a later section: must agree */
        char **again = NULL;
        size_t n = 0, cap = 0;
        int same = split(line, &again, &n, &cap) == t->n_columns;
        for (size_t i = 0; same && i < n; i++)
            same = strcmp(again[i], t->columns[i]) == 0;
        free(again);
        if (!same)
            return mpq_fail(c->err, MPQ_EDATA,
                            "%s:%zu: columns differ from those of the"
                            " first section",
                            t->name, c->line);
    }
    c->has_columns = 1;
    return 0;
}

static int
add_row(struct cursor *c, char *line)
{
    struct mpq_tsv *t = c->t;

    if (t->n_columns == 0)
        return fail_no_columns(c);
    size_t n = split(line, &t->cells, &t->n_cells, &t->cap_cells);
    if (n == 0 ||
        mpq_grow(&t->lines, &t->cap_lines, t->n_rows + 1, sizeof *t->lines) < 0)
        return no_memory(c);
    if (n != t->n_columns)
        return mpq_fail(c->err, MPQ_EDATA, "%s:%zu: %zu fields, the header has %zu",
                        t->name, c->line, n, t->n_columns);
    t->lines[t->n_rows++] = c->line;
    c->section_rows++;
    return 0;
}

/* LINE is NUL-terminated in place; LENGTH counts its bytes with the line end. */
static int
take_line(struct cursor *c, char *line, size_t length)
{
    if (line[0] == '#' && line[1] == '#') {
        if (strncmp(line + 2, "mpq ", 4) == 0)
            return begin_section(c, line + 2);
        if (strncmp(line + 2, "end ", 4) == 0)
            return end_section(c, line + 2);
        return add_meta(c, line + 2);
    }
    if (line[0] == '#')
        return add_columns(c, line + 1);
    if (line[0] == '\0' && length <= 1)
        return mpq_fail(c->err, MPQ_EDATA, "%s:%zu: an empty line", c->t->name,
                        c->line);
    line[length - 1] = '\n'; /* for the checksum, over the bytes as they stood */
    c->crc = (uint32_t)crc32(c->crc, (const unsigned char *)line, (unsigned)length);
    line[length - 1] = '\0';
    return add_row(c, line);
}

/* A CR would be a part of the last cell, or of the last column's name, which is then
 * not found; and the checksum is of lines without it. */
static int
fail_crlf(struct cursor *c)
{
    return mpq_fail(c->err, MPQ_EDATA, "%s:%zu: ends in CR LF (tr -d '\\r' mends it)",
                    c->t->name, c->line);
}

static int
take_text(struct cursor *c, size_t n)
{
    struct mpq_tsv *t = c->t;
    char *p = t->text, *end = t->text + n;

    const char *model = mpq_sniff_model(t->text, n);

    if (model)
        return mpq_fail(c->err, MPQ_EDATA,
                        "%s: %s, not a table: run mpq-stats on it first", t->name,
                        model);
    if (memchr(t->text, '\0', n))
        return mpq_fail(c->err, MPQ_EDATA, "%s: a NUL byte: not a table", t->name);
    if (n == 0)
        return mpq_fail(c->err, MPQ_EDATA, "%s: empty", t->name);
    while (p < end) {
        char *nl = memchr(p, '\n', (size_t)(end - p));
        c->line++;
        if (!nl)
            return mpq_fail(c->err, MPQ_EDATA,
                            "%s:%zu: the last line has no end: cut"
                            " short",
                            t->name, c->line);
        if (nl > p && nl[-1] == '\r')
            return fail_crlf(c);
        *nl = '\0';
        if (take_line(c, p, (size_t)(nl - p) + 1) < 0)
            return -1;
        p = nl + 1;
    }
    if (c->in_section)
        return mpq_fail(c->err, MPQ_EDATA,
                        "%s: cut short: begins with ##mpq and has no"
                        " ##end",
                        t->name);
    if (t->n_columns == 0)
        return mpq_fail(c->err, MPQ_EDATA, "%s: no line of column names", t->name);
    return drop_repeated_metas(c);
}

int
mpq_tsv_parse(struct mpq_tsv **out, const char *bytes, size_t n, const char *name,
              const char *kind, struct mpq_err *err)
{
    struct mpq_tsv *t;
    int rc = -1;

    *out = NULL;
    t = calloc(1, sizeof *t);
    if (t) {
        t->name = mpq_strdup(name);
        t->text = mpq_strndup(n ? bytes : "", n);
    }
    if (!t || !t->name || !t->text) {
        mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", name);
        goto out;
    }
    struct cursor c = { .t = t, .want_kind = kind, .err = err };
    if (take_text(&c, n) < 0)
        goto out;
    *out = t;
    t = NULL;
    rc = 0;
out:
    mpq_tsv_free(t);
    return rc;
}

int
mpq_tsv_read(struct mpq_tsv **out, const char *path, const char *kind,
             struct mpq_err *err)
{
    const char *name = strcmp(path, "-") == 0 ? "standard input" : path;
    struct mpq_map map;
    struct stat st;

    *out = NULL;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return mpq_fail(err, MPQ_EDATA,
                        "%s: a folder, not a table: if it is a model, run mpq-stats on"
                        " it first",
                        path);
    if (mpq_map_open(&map, path, err) < 0)
        return -1;
    int rc = mpq_gz_expand(&map, name, err);
    if (rc == 0)
        rc = mpq_tsv_parse(out, (const char *)map.data, (size_t)map.size, name, kind,
                           err);
    mpq_map_close(&map);
    return rc;
}
