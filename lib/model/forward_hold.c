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

const struct mpq_fwd_layer *
mpq_fwd_kept(const struct mpq_forward *f, size_t layer, int m,
             const struct mpq_weight *w)
{
    const struct mpq_fwd_layer *l = f->kept ? &f->kept[layer] : NULL;

    return l && l->weight[m] == w ? l : NULL;
}

/* The unembedding that is kept or lent, where that is W's; else an empty one. */
static const struct mpq_fwd_unembedding *
find_unembed(const struct mpq_forward *f, const struct mpq_weight *w)
{
    static const struct mpq_fwd_unembedding none;

    return f->unembed && f->unembed->of == w ? f->unembed : &none;
}

const float *
mpq_fwd_unembed_ready(const struct mpq_forward *f, const struct mpq_weight *w)
{
    const float *own = find_unembed(f, w)->own;

    return own ? own : mpq_fwd_in_place(w);
}

const struct mpq_gemm8_weights *
mpq_fwd_unembed_ready8(const struct mpq_forward *f, const struct mpq_weight *w)
{
    const struct mpq_fwd_unembedding *u = find_unembed(f, w);

    return u->of && !u->own ? &u->own8 : NULL;
}

int
mpq_fwd_decode_unembed(const struct mpq_forward *f, const struct mpq_weight *w,
                       struct mpq_fwd_unembedding *u, struct mpq_err *err)
{
    struct mpq_gemm8_form form;

    if (mpq_fwd_form(f, w, &form)) {
        if (mpq_fwd_rows8(f, w, form, 0, (size_t)w->rows, &u->own8, err) < 0)
            return -1;
    } else {
        u->own = mpq_array((size_t)w->rows * (size_t)w->cols, sizeof *u->own);
        if (!u->own)
            return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory",
                            mpq_source_name(f->s));
        if (mpq_fwd_rows(f, w, 0, (size_t)w->rows, u->own, err) < 0)
            return -1;
    }
    u->of = w;
    return 0;
}

void
mpq_fwd_free_unembed(struct mpq_fwd_unembedding *u)
{
    free(u->own);
    mpq_gemm8_free(&u->own8);
    *u = (struct mpq_fwd_unembedding){ 0 };
}

static int
keep_unembed(struct mpq_forward *f, size_t *left, struct mpq_err *err)
{
    const struct mpq_weight *w = mpq_fwd_unembed(f);
    const size_t bytes = (size_t)mpq_fwd_ready_bytes(f, w);

    if (bytes == 0 || bytes > *left)
        return 0;
    if (mpq_fwd_decode_unembed(f, w, &f->kept_unembed, err) < 0)
        return -1;
    f->unembed = &f->kept_unembed;
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
            bytes += (size_t)mpq_fwd_ready_bytes(f, w);
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
        const size_t bytes = layer_bytes(f, i);
        if (bytes > left)
            break;
        if (mpq_fwd_decode(f, i, &f->kept[i], err) < 0) {
            mpq_fwd_layer_free(&f->kept[i]); /* it is not whole */
            return -1;
        }
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
    mpq_fwd_free_unembed(&f->kept_unembed);
    f->kept = NULL;
    f->unembed = NULL;
    f->layer_ready = 0;
}
