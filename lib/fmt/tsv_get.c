/* What a table holds, once it has been read (tsv.c). */
#include "fmt/tsv.h"

#include "base/buf.h"
#include "base/parse.h"
#include "fmt/percent.h"
#include "fmt/tsv_own.h"

#include <stdlib.h>
#include <string.h>

int
mpq_tsv_push(char ***array, size_t *n, size_t *cap, char *s)
{
    if (mpq_grow(array, cap, *n + 1, sizeof **array) < 0)
        return -1;
    (*array)[(*n)++] = s;
    return 0;
}

void
mpq_tsv_free(struct mpq_tsv *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->n_info; i++)
        free(t->info[i]);
    free(t->info);
    free(t->name);
    free(t->text);
    free(t->metas);
    free(t->columns);
    free(t->cells);
    free(t->lines);
    free(t);
}

const char *
mpq_tsv_name(const struct mpq_tsv *t)
{
    return t->name;
}

const char *
mpq_tsv_kind(const struct mpq_tsv *t)
{
    return t->kind;
}

const char *
mpq_tsv_info(struct mpq_tsv *t, const char *key)
{
    size_t len = strlen(key);

    for (const char *p = t->first; p && *p; p += strcspn(p, " ")) {
        p += strspn(p, " ");
        if (strncmp(p, key, len) != 0 || p[len] != '=')
            continue;
        p += len + 1;
        char *value = mpq_strndup(p, strcspn(p, " "));
        if (!value || mpq_tsv_push(&t->info, &t->n_info, &t->cap_info, value) < 0) {
            free(value);
            return NULL;
        }
        mpq_percent_decode(value);
        return value;
    }
    return NULL;
}

size_t
mpq_tsv_meta_count(const struct mpq_tsv *t)
{
    return t->n_metas;
}

const char *
mpq_tsv_meta(const struct mpq_tsv *t, size_t i)
{
    return t->metas[i];
}

size_t
mpq_tsv_rows(const struct mpq_tsv *t)
{
    return t->n_rows;
}

size_t
mpq_tsv_cols(const struct mpq_tsv *t)
{
    return t->n_columns;
}

const char *
mpq_tsv_col_name(const struct mpq_tsv *t, size_t col)
{
    return t->columns[col];
}

int
mpq_tsv_find(const struct mpq_tsv *t, const char *column)
{
    for (size_t i = 0; i < t->n_columns; i++)
        if (strcmp(t->columns[i], column) == 0)
            return (int)i;
    return -1;
}

int
mpq_tsv_need(const struct mpq_tsv *t, const char *column, struct mpq_err *err)
{
    int col = mpq_tsv_find(t, column);
    if (col < 0)
        mpq_fail(err, MPQ_EDATA, "%s: no column %s", t->name, column);
    return col;
}

const char *
mpq_tsv_cell(const struct mpq_tsv *t, size_t row, size_t col)
{
    return t->cells[row * t->n_columns + col];
}

size_t
mpq_tsv_line(const struct mpq_tsv *t, size_t row)
{
    return t->lines[row];
}

static int
not_a_number(const struct mpq_tsv *t, size_t row, size_t col, const char *what,
             struct mpq_err *err)
{
    return mpq_fail(err, MPQ_EDATA, "%s:%zu: %s: '%.40s' is not %s", t->name,
                    mpq_tsv_line(t, row), t->columns[col], mpq_tsv_cell(t, row, col),
                    what);
}

int
mpq_tsv_double(const struct mpq_tsv *t, size_t row, size_t col, double *out,
               struct mpq_err *err)
{
    if (mpq_parse_double(mpq_tsv_cell(t, row, col), out) < 0)
        return not_a_number(t, row, col, "a finite number", err);
    return 0;
}

int
mpq_tsv_u64(const struct mpq_tsv *t, size_t row, size_t col, uint64_t *out,
            struct mpq_err *err)
{
    if (mpq_parse_u64(mpq_tsv_cell(t, row, col), out) < 0)
        return not_a_number(t, row, col, "a whole number", err);
    return 0;
}
