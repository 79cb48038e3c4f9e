/* Importance matrices, both forms: every value accepted is a finite weight. */
#include "file.h"
#include "replay.h"

#include "quant/imatrix.h"

#include <math.h>
#include <string.h>

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *path = fuzz_file(data, size);
    struct mpq_err err = { 0 };
    struct mpq_imatrix *m;

    if (mpq_imatrix_open(&m, path, &err) < 0) {
        if (!err.code || strncmp(err.text, path, strlen(path)))
            abort();
        return 0;
    }
    for (size_t i = 0; i < mpq_imatrix_count(m); i++) {
        const struct mpq_imatrix_entry *e = mpq_imatrix_at(m, i);
        const float *values;
        uint64_t parts;

        for (uint64_t k = 0; k < e->n_values; k++)
            if (!(e->values[k] >= 0) || isinf(e->values[k]))
                abort();
        mpq_imatrix_find(m, e->name, 8, e->n_values, &values, &parts, &err);
        mpq_imatrix_find(m, e->name, 8, 4, &values, &parts, &err);
    }
    mpq_imatrix_free(m);
    return 0;
}
