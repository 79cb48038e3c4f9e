/* Weights in the place of the source's, and weights that stay decoded. */
#include "base/buf.h"
#include "model/forward_own.h"

#include <stdlib.h>
#include <string.h>

void
mpq_forward_replace(struct mpq_forward *f, const struct mpq_weight *with, size_t n)
{
    f->with = with;
    f->n_with = n;
    f->layer_ready = 0;
}

const struct mpq_weight *
mpq_fwd_find(const struct mpq_forward *f, const char *name)
{
    for (size_t i = 0; i < f->n_with; i++)
        if (strcmp(f->with[i].name, name) == 0)
            return &f->with[i];
    return mpq_source_find(f->s, name);
}

const float *
mpq_fwd_kept(const struct mpq_forward *f, size_t layer, int m,
             const struct mpq_weight *w)
{
    const struct mpq_fwd_layer *l = f->kept ? &f->kept[layer] : NULL;

    return l && l->weight[m] == w ? l->mat[m] : NULL;
}

const float *
mpq_fwd_unembed_ready(const struct mpq_forward *f, const struct mpq_weight *w)
{
    return f->unembed && f->unembed_of == w ? f->unembed : mpq_fwd_in_place(w);
}

/* Bytes of W as floats, 0 where it needs no decoding. */
static size_t
float_bytes(const struct mpq_weight *w)
{
    return mpq_fwd_in_place(w) ? 0 : (size_t)(w->rows * w->cols) * sizeof(float);
}

static int
keep_unembed(struct mpq_forward *f, size_t *left, struct mpq_err *err)
{
    const struct mpq_weight *w = mpq_fwd_unembed(f);
    const size_t bytes = float_bytes(w);

    if (bytes == 0 || bytes > *left)
        return 0;
    if (!(f->kept_unembed = malloc(bytes)))
        return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", mpq_source_name(f->s));
    if (mpq_fwd_rows(f, w, 0, (size_t)w->rows, f->kept_unembed, err) < 0)
        return -1;
    f->unembed = f->kept_unembed;
    f->unembed_of = w;
    *left -= bytes;
    return 0;
}

static size_t
layer_bytes(const struct mpq_forward *f, size_t layer)
{
    size_t bytes = 0;

    for (size_t i = 0; i < mpq_source_count(f->s); i++) {
        const struct mpq_weight *w = mpq_source_weight(f->s, i);
        if (w->is_linear && w->layer == (int)layer)
            bytes += float_bytes(w);
    }
    return bytes;
}

int
mpq_forward_keep(struct mpq_forward *f, size_t first, size_t max_bytes,
                 struct mpq_err *err)
{
    size_t left = max_bytes;

    mpq_fwd_drop_kept(f);
    if (keep_unembed(f, &left, err) < 0)
        return -1;
    f->kept = mpq_array(f->net.n_layer, sizeof *f->kept);
    if (!f->kept)
        return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", mpq_source_name(f->s));
    for (size_t i = f->net.n_layer; i-- > first;) {
        struct mpq_fwd_layer l = { 0 };
        const size_t bytes = layer_bytes(f, i);
        if (bytes > left)
            break;
        if (mpq_fwd_decode(f, i, &l, err) < 0) {
            mpq_fwd_layer_free(&l);
            return -1;
        }
        f->kept[i] = l;
        left -= bytes;
    }
    return 0;
}

void
mpq_fwd_drop_kept(struct mpq_forward *f)
{
    for (size_t i = 0; f->kept && i < f->net.n_layer; i++)
        mpq_fwd_layer_free(&f->kept[i]);
    free(f->kept);
    free(f->kept_unembed);
    f->kept = NULL;
    f->kept_unembed = NULL;
    f->unembed = NULL;
    f->unembed_of = NULL;
    f->layer_ready = 0;
}
