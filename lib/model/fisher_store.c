#include "model/fisher_store.h"

#include "base/buf.h"
#include "model/hessian.h"

#include <stdio.h>
#include <stdlib.h>

struct mpq_fisher_store {
    const struct mpq_source *s;
    size_t first, last;
    struct mpq_states x; /* [layers][floats of a layer] */
};

/* As mpq_fishers_get has them. */
static const char *const names[MPQ_FISHER_WEIGHTS] = {
    "attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"
};

static const struct mpq_weight *
weight_of(const struct mpq_source *s, size_t layer, int i)
{
    char name[64];

    snprintf(name, sizeof name, "blk.%zu.%s", layer, names[i]);
    return mpq_source_find(s, name);
}

int
mpq_fisher_store_new(struct mpq_fisher_store **out, const struct mpq_source *s,
                     size_t first, size_t last, size_t max_bytes, struct mpq_err *err)
{
    struct mpq_fisher_store *t = calloc(1, sizeof *t);
    size_t width = 0;
    int rc = -1;

    *out = NULL;
    if (!t) {
        mpq_fail(err, MPQ_ENOMEM, "out of memory");
        goto out;
    }
    t->s = s;
    t->first = first;
    t->last = last;
    for (int i = 0; i < MPQ_FISHER_WEIGHTS; i++) {
        const struct mpq_weight *w = weight_of(s, first, i);
        width += (size_t)w->cols * (size_t)w->cols + (size_t)w->rows;
    }
    if (mpq_states_new(&t->x, last - first + 1, width, max_bytes, err) < 0)
        goto out;
    *out = t;
    t = NULL;
    rc = 0;
out:
    mpq_fisher_store_free(t);
    return rc;
}

void
mpq_fisher_store_free(struct mpq_fisher_store *t)
{
    if (!t)
        return;
    mpq_states_free(&t->x);
    free(t);
}

void
mpq_fisher_store_put(struct mpq_fisher_store *t, size_t layer,
                     const struct mpq_fisher *f)
{
    float *to = t->x.x + (layer - t->first) * t->x.width;

    for (int i = 0; i < MPQ_FISHER_WEIGHTS; i++) {
        const size_t cols = (size_t)f[i].weight->cols, rows = (size_t)f[i].weight->rows;
        for (size_t r = 0; r < cols; r++)
            for (size_t c = 0; c < cols; c++)
                *to++ =
                    (float)(c < r ? f[i].gram[c * cols + r] : f[i].gram[r * cols + c]);
        for (size_t r = 0; r < rows; r++)
            *to++ = (float)f[i].rows[r];
    }
}

static int
put_layer(struct mpq_st_head *head, const struct mpq_source *s, size_t layer,
          struct mpq_err *err)
{
    char name[64];

    for (int i = 0; i < MPQ_FISHER_WEIGHTS; i++) {
        const struct mpq_weight *w = weight_of(s, layer, i);
        const uint64_t square[2] = { w->cols, w->cols };
        snprintf(name, sizeof name, "blk.%zu.%s.gram", layer, names[i]);
        if (mpq_st_put_tensor(head, name, MPQ_TYPE(MPQ_F32), 2, square, err) < 0)
            return -1;
        snprintf(name, sizeof name, "blk.%zu.%s.rows", layer, names[i]);
        if (mpq_st_put_tensor(head, name, MPQ_TYPE(MPQ_F32), 1, &w->rows, err) < 0)
            return -1;
    }
    return 0;
}

int
mpq_fisher_store_write(const struct mpq_fisher_store *t, uint64_t n_labels,
                       struct mpq_out *out, struct mpq_err *err)
{
    struct mpq_st_head *head = NULL;
    int rc = -1;

    if (mpq_hessian_new_head(&head, t->s, n_labels, err) < 0 ||
        mpq_st_put_meta(head, "weights", "fisher", err) < 0)
        goto out;
    for (size_t l = t->first; l <= t->last; l++)
        if (put_layer(head, t->s, l, err) < 0)
            goto out;
    if (mpq_hessian_put_head(head, out, err) < 0)
        goto out;
    for (size_t l = 0; l < t->x.n; l++)
        if (mpq_hessian_put_floats(t->x.x + l * t->x.width, t->x.width, out, err) < 0)
            goto out;
    rc = 0;
out:
    mpq_st_head_free(head);
    return rc;
}
