/*
 * Products in 8 bits: which matrices they are for, their weights, and the inputs
 * rounded. Weights become integers exactly; only inputs are rounded.
 */
#include "base/buf.h"
#include "model/forward_stage.h"
#include "quant/round8.h"
#include "quant/split.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

int
mpq_fwd_form(const struct mpq_forward *f, const struct mpq_weight *w,
             struct mpq_gemm8_form *form)
{
    return f->int8 && !w->scales && mpq_split_form(w->tensor.type, form);
}

uint64_t
mpq_fwd_ready_bytes(const struct mpq_forward *f, const struct mpq_weight *w)
{
    struct mpq_gemm8_form form;

    if (mpq_fwd_form(f, w, &form))
        return mpq_gemm8_bytes(form, w->rows, w->cols);
    return mpq_fwd_in_place(w) ? 0 : w->rows * w->cols * sizeof(float);
}

static int
all_finite(const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return 0;
    return 1;
}

int
mpq_fwd_split_rows(const struct mpq_forward *f, const struct mpq_weight *w, size_t row,
                   size_t n, struct mpq_gemm8_weights *dst, size_t at,
                   struct mpq_err *err)
{
    const size_t cols = (size_t)w->cols, groups = cols / dst->form.group;
    /* floats: a scale and a min each, or a row that is decoded to name its fault */
    const size_t n_floats = 2 * groups > cols ? 2 * groups : cols;
    signed char *codes = mpq_array(cols, 1);
    float *scale = mpq_array(n_floats, sizeof *scale), *min = scale + groups;
    int rc = -1;

    if (!codes || !scale) {
        mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", mpq_source_name(f->s));
        goto out;
    }
    for (size_t i = 0; i < n; i++) {
        mpq_split_row(w->tensor.type, mpq_weight_row(w, row + i, NULL), codes, scale,
                      min, cols);
        if (!all_finite(scale, groups * (dst->form.has_min ? 2 : 1)) &&
            mpq_source_read_rows(f->s, w, row + i, 1, scale, err) < 0)
            goto out;
        mpq_gemm8_put(dst, at + i, codes, scale, min);
    }
    rc = 0;
out:
    free(codes);
    free(scale);
    return rc;
}

/* --- inputs ---------------------------------------------------------------------- */

/* The place of the inputs in blocks of BLOCK among those of a thread. */
static size_t
kind(unsigned block)
{
    return block == 256;
}

int
mpq_fwd_reserve(struct mpq_forward *f, const struct mpq_fwd_layer *l, size_t slot,
                size_t rows, size_t cols, struct mpq_err *err)
{
    if (!f->rounded && f->int8)
        f->rounded = mpq_array(f->n_threads + 1, 2 * sizeof *f->rounded);
    if (!f->rounded && f->int8)
        return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", mpq_source_name(f->s));
    for (int m = 0; m < MPQ_FWD_MATS; m++)
        if (l->int8[m] &&
            mpq_gemm8_reserve(&f->rounded[2 * slot + kind(l->int8[m]->form.block)],
                              rows, cols, err) < 0)
            return -1;
    return 0;
}

void
mpq_fwd_free_rounded(struct mpq_forward *f)
{
    for (size_t i = 0; f->rounded && i < 2 * (f->n_threads + 1); i++)
        mpq_gemm8_inputs_free(&f->rounded[i]);
    free(f->rounded);
    f->rounded = NULL;
}

struct mpq_fwd_input
mpq_fwd_give(const struct mpq_forward *f, size_t slot, const float *x, size_t ld,
             size_t n, size_t cols)
{
    return (struct mpq_fwd_input){
        x, ld, n, cols, f->rounded ? f->rounded + 2 * slot : NULL, 0
    };
}

struct mpq_gemm8_inputs *
mpq_fwd_lay_out(struct mpq_fwd_input *in, unsigned block)
{
    const size_t k = kind(block);

    if (in->laid_out >> k & 1)
        return NULL;
    in->laid_out |= 1u << k;
    mpq_gemm8_begin(&in->rounded[k], in->n, in->cols, block);
    return &in->rounded[k];
}

void
mpq_fwd_product8(const struct mpq_gemm8_weights *w, const struct mpq_fwd_part *p,
                 struct mpq_fwd_input *in, int add, float *out, size_t ld_out)
{
    const struct mpq_gemm8_part part = { p->row, p->n, p->col, 0, in->n };
    struct mpq_gemm8_inputs *fresh = mpq_fwd_lay_out(in, w->form.block);

    assert(p->k == in->cols);
    if (fresh)
        mpq_round8(fresh, 0, in->n, in->x, in->ld);
    mpq_gemm8(w, &in->rounded[kind(w->form.block)], &part, add, out, ld_out);
}
