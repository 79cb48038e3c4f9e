/* Tables: what is accepted has every cell, and numbers that parse or are refused. */
#include "replay.h"

#include "fmt/tsv.h"

#include <stdlib.h>
#include <string.h>

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mpq_err err = { 0 };
    struct mpq_tsv *t;

    if (mpq_tsv_parse(&t, (const char *)data, size, "input", NULL, &err) < 0) {
        if (!err.code || strncmp(err.text, "input:", 6))
            abort();
        return 0;
    }
    for (size_t i = 0; i < mpq_tsv_meta_count(t); i++)
        if (!mpq_tsv_meta(t, i))
            abort();
    mpq_tsv_kind(t);
    mpq_tsv_info(t, "model");
    for (size_t c = 0; c < mpq_tsv_cols(t); c++)
        if (mpq_tsv_find(t, mpq_tsv_col_name(t, c)) < 0)
            abort();
    for (size_t r = 0; r < mpq_tsv_rows(t); r++)
        for (size_t c = 0; c < mpq_tsv_cols(t); c++) {
            uint64_t u;
            double v;
            if (!mpq_tsv_cell(t, r, c) || !mpq_tsv_line(t, r))
                abort();
            err.code = 0;
            if (mpq_tsv_double(t, r, c, &v, &err) < 0 && !err.code)
                abort();
            err.code = 0;
            if (mpq_tsv_u64(t, r, c, &u, &err) < 0 && !err.code)
                abort();
        }
    mpq_tsv_free(t);
    return 0;
}
