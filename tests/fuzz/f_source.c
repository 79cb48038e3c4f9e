/* A whole model, whatever its container (GGUF, safetensors, our own packed containers,
 * gzip): what is accepted can be decoded row by row, and has an id. */
#include "file.h"
#include "replay.h"

#include "model/source.h"

#include <stdlib.h>
#include <string.h>

static void
read_weight(const struct mpq_source *s, const struct mpq_weight *w)
{
    struct mpq_err err = { 0 };

    if (w->cols > 1 << 20)
        return;
    float *row = malloc((size_t)w->cols * sizeof *row);
    if (!row)
        return;
    for (uint64_t r = 0; r < w->rows && r < 1000; r++)
        if (mpq_source_read_rows(s, w, r, 1, row, &err) < 0 && !err.code)
            abort();
    free(row);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *name = fuzz_file(data, size);
    char id[MPQ_ID_SIZE];
    const char *text;
    struct mpq_err err = { 0 };
    struct mpq_source *s;

    if (mpq_source_open(&s, name, NULL, &err) < 0) {
        if (!err.code || strncmp(err.text, name, strlen(name)))
            abort();
        return 0;
    }
    for (size_t i = 0; i < mpq_source_count(s); i++) {
        const struct mpq_weight *w = mpq_source_weight(s, i);
        if (mpq_source_find(s, w->name) != w)
            abort();
        read_weight(s, w);
    }
    for (uint64_t l = 0; l < mpq_source_hparams(s)->n_layer; l++)
        for (int r = MPQ_ROLE_Q; r <= MPQ_ROLE_GATE_UP; r++)
            mpq_source_role(s, (int)l, (enum mpq_role)r);
    if (mpq_source_text(s, "config.json", &text, &err) < 0)
        abort();
    if (mpq_source_id(s, id, &err) < 0)
        abort();
    mpq_source_free(s);
    return 0;
}
