/* Rows encoded one by one, whatever they are multiplied with: a tuner of its own, and
 * what the others do with matrices that they cannot serve. */
#include "base/par.h"
#include "model/salience.h"
#include "model/tune_own.h"
#include "quant/hqq.h"

#include <string.h>

enum { ROWS = 32 }; /* for a thread at a time */

struct job {
    struct mpq_tune *t;
    const struct mpq_piece *piece;
    const float *importance; /* [n_parts][cols], or NULL */
    uint64_t rows_of_part;
};

static int
encode_rows(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    const struct job *j = ctx;
    const struct mpq_weight *w = j->piece->weight;
    const uint64_t row = (uint64_t)item * ROWS, left = w->rows - row;
    const uint64_t n = left < ROWS ? left : ROWS;
    const size_t bytes = mpq_tune_row_bytes(j->piece), cols = (size_t)w->cols;
    float *x = j->t->scratch[thread];

    if (mpq_source_read_for(j->t->source, w, row, n, j->piece->type, x, err) < 0)
        return -1;
    for (uint64_t r = row; r < row + n; r++, x += cols)
        j->t->o->encode(
            j->piece->type, x,
            j->importance ? j->importance + r / j->rows_of_part * cols : NULL,
            mpq_tune_rows(j->t, j->piece) + r * bytes, cols, j->t->o->effort);
    return 0;
}

int
mpq_tune_map(struct mpq_tune *t, const struct mpq_piece *p, const double *inverse,
             const struct mpq_importance *importance, struct mpq_err *err)
{
    const size_t n = (size_t)mpq_type_map_bytes(p->type, p->weight->cols);
    const size_t row_bytes = mpq_tune_row_bytes(p);
    unsigned char *rows = mpq_tune_rows(t, p);

    if (n == 0)
        return 0;
    if (mpq_salience_map(t->source, p->weight, p->type, inverse, importance,
                         t->o->salience, rows, err) < 0)
        return -1;
    for (uint64_t r = 1; r < p->weight->rows; r++)
        memcpy(rows + r * row_bytes, rows, n);
    return 0;
}

int
mpq_tune_plain(struct mpq_tune *t, const struct mpq_piece *p, struct mpq_err *err)
{
    const struct mpq_importance *known = t->o->importance;
    const size_t cols = (size_t)p->weight->cols;
    struct job j = { .t = t, .piece = p, .rows_of_part = p->weight->rows };

    if (mpq_tune_scratch(t, ROWS * cols, err) < 0)
        return -1;
    if (known && known[p - t->file->pieces].values) {
        j.importance = known[p - t->file->pieces].values;
        j.rows_of_part /= known[p - t->file->pieces].n_parts;
    }
    const struct mpq_importance weighs = { j.importance,
                                           p->weight->rows / j.rows_of_part };
    if (mpq_tune_map(t, p, NULL, &weighs, err) < 0)
        return -1;
    const size_t n = (size_t)((p->weight->rows + ROWS - 1) / ROWS);
    return mpq_par_for(t->o->threads, n, encode_rows, &j, err);
}

int
mpq_tune_rest(struct mpq_tune *t, size_t layer, enum mpq_tuned_how how,
              struct mpq_err *err)
{
    for (size_t i = 0; i < t->file->n; i++) {
        const struct mpq_piece *p = &t->file->pieces[i];
        if (!t->held[i] || t->ready[i] || p->weight->layer != (int)layer)
            continue;
        if (mpq_tune_plain(t, p, err) < 0)
            return -1;
        mpq_tune_tell(t, p, &(struct mpq_tuned){ .weight = p->weight, .how = how });
    }
    return 0;
}

static int
plain_layer(struct mpq_tune *t, size_t layer, const struct mpq_input *in, size_t n,
            struct mpq_err *err)
{
    (void)t, (void)layer, (void)in, (void)n, (void)err;
    return 0; /* all of it is what the others leave */
}

const struct mpq_tuner mpq_tuner_plain = { .name = "plain", .layer = plain_layer };

void
mpq_tune_hqq_row(struct mpq_type t, const float *src, const float *importance,
                 void *dst, size_t cols, enum mpq_effort effort)
{
    if (mpq_hqq_serves(t))
        mpq_hqq_encode_row(t, src, importance, dst, cols);
    else
        mpq_encode_row(t, src, importance, dst, cols, effort);
}
