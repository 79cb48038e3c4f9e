/* Shared by the files of lib/fmt/tsv*.c; not for others. */
#ifndef MPQ_FMT_TSV_OWN_H
#define MPQ_FMT_TSV_OWN_H

#include "fmt/tsv.h"

struct mpq_tsv {
    char *name, *text; /* text: the file's bytes, tabs and line ends made NUL */
    char *kind;
    char *first; /* the first ##mpq line behind the version, NULL when filtered out */
    char **info; /* decoded values handed out by mpq_tsv_info */
    size_t n_info, cap_info;
    char **metas;
    size_t n_metas, cap_metas;
    char **columns;
    size_t n_columns, cap_columns;
    char **cells; /* [n_rows][n_columns] */
    size_t n_cells, cap_cells;
    size_t *lines; /* [n_rows] */
    size_t n_rows, cap_lines;
};

/* Appends S to the array; -1 when out of memory. */
MPQ_MUST_CHECK int mpq_tsv_push(char ***array, size_t *n, size_t *cap, char *s);

#endif
