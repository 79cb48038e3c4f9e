#include "rounding.h"

#include "cli.h"

#include "quant/grid.h"
#include "quant/hqq.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *
rounding_name(const struct rounding *r)
{
    static const char *const names[] = { "rtn", "hqq", "awq", "gptq" };

    return names[r->method];
}

int
rounding_sees_inputs(const struct rounding *r)
{
    return r->method == ROUND_AWQ || r->method == ROUND_GPTQ;
}

int
rounding_serves(const struct rounding *r, struct mpq_type t)
{
    struct mpq_grid grid;

    if (mpq_type_is_float(t))
        return 1;
    if (r->method == ROUND_HQQ)
        return mpq_hqq_serves(t);
    return r->method == ROUND_GPTQ ? mpq_grid_of(t, &grid) : 1;
}

size_t
rounding_n_stdin(const struct rounding *r)
{
    const char *const files[] = { r->calib, r->hessian, r->imatrix };
    size_t n = 0;

    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        n += files[i] && strcmp(files[i], "-") == 0;
    return n;
}

int
rounding_check(const struct rounding *r, struct mpq_err *err)
{
    const char *option = r->method_option, *name = rounding_name(r);
    const int sees = rounding_sees_inputs(r);

    if (sees && !r->calib == !r->hessian)
        return mpq_fail(err, MPQ_EUSAGE,
                        "%s %s takes -c FILE, or --hessian FILE%s, to see what matrices"
                        " are multiplied with",
                        option, name, r->calib ? ", not both" : "");
    if (!sees && r->hessian)
        return mpq_fail(err, MPQ_EUSAGE,
                        "%s %s takes no --hessian: -c or --imatrix weighs its rounding",
                        option, name);
    if (!sees && r->calib && r->imatrix)
        return mpq_fail(err, MPQ_EUSAGE,
                        "-c and --imatrix: %s %s weighs its rounding by one of them",
                        option, name);
    if (r->method != ROUND_GPTQ && cli_given("damp"))
        return mpq_fail(err, MPQ_EUSAGE, "--damp is for %s gptq", option);
    if (!r->calib && (cli_given(r->ctx_option) || cli_given("samples")))
        return mpq_fail(err, MPQ_EUSAGE, "--%s is for -c FILE",
                        cli_given("samples") ? "samples" : r->ctx_option);
    return 0;
}

void
rounding_put_damping(const struct rounding *r, struct mpq_buf *text)
{
    enum { SHORT = 6, EXACT = 17 };
    char x[40];

    for (int digits = SHORT; digits <= EXACT; digits++) {
        snprintf(x, sizeof x, "%.*g", digits, r->damping);
        if (strtod(x, NULL) >= r->damping && strtod(x, NULL) <= r->damping)
            break;
    }
    mpq_buf_adds(text, x);
}

mpq_encode_fn *
rounding_encoder(const struct rounding *r)
{
    return r->method == ROUND_HQQ ? mpq_tune_hqq_row : mpq_encode_row;
}

int
rounding_read(struct rounding_inputs *in, const struct rounding *r,
              const struct mpq_source *s, struct mpq_err *err)
{
    if (r->hessian && mpq_hessian_open(&in->hessian, r->hessian, s, err) < 0)
        return -1;
    if (!r->calib)
        return 0;
    if (mpq_calib_read(&in->calib, r->calib, s, (size_t)r->ctx, (size_t)r->samples,
                       err) < 0)
        return -1;
    if (in->calib.seqs.n == 0)
        return mpq_fail(err, MPQ_EDATA, "%s: has no token", r->calib);
    return 0;
}

void
rounding_say_text(const struct rounding_inputs *in, const struct rounding *r)
{
    const struct mpq_seqs *q = &in->calib.seqs;

    if (r->calib)
        cli_note("%s: %zu sequences, %zu tokens", r->calib, q->n, q->start[q->n]);
}

/* Is the matrix rounded, so that importance has a say? */
static int
is_rounded(const struct mpq_piece *p)
{
    return !mpq_type_is_float(p->type) && !mpq_type_eq(p->type, p->weight->tensor.type);
}

/* Looks up every matrix; those that the file does not know are told. */
static int
weigh_by_file(struct rounding_inputs *in, const struct rounding *r,
              const struct mpq_packfile *f, const struct mpq_source *s,
              struct mpq_err *err)
{
    const char *missing = NULL;
    size_t n_missing = 0, n_found = 0;

    for (size_t i = 0; i < f->n; i++) {
        const struct mpq_weight *w = f->pieces[i].weight;
        struct mpq_importance *x = &in->importance[i];
        if (!w->is_matrix)
            continue;
        const int found = mpq_imatrix_find(in->imatrix, w->name, w->rows, w->cols,
                                           &x->values, &x->n_parts, err);
        if (found < 0)
            return -1;
        if (!found)
            x->values = NULL;
        n_found += found > 0;
        if (!found && is_rounded(&f->pieces[i]) && n_missing++ == 0)
            missing = w->name;
    }
    if (n_found == 0)
        return mpq_fail(err, MPQ_EDATA, "%s: knows no matrix of %s", r->imatrix,
                        mpq_source_name(s));
    if (n_missing)
        cli_note("%s: does not know %zu matrices, which are rounded without weights"
                 " (%s)",
                 r->imatrix, n_missing, missing);
    return 0;
}

int
rounding_weigh(struct rounding_inputs *in, const struct rounding *r,
               const struct mpq_packfile *f, const struct mpq_source *s,
               struct mpq_err *err)
{
    if (!in->imatrix && !(r->calib && !rounding_sees_inputs(r)))
        return 0;
    in->importance = mpq_array(f->n, sizeof *in->importance);
    if (!in->importance)
        return mpq_fail(err, MPQ_ENOMEM, "out of memory");
    return in->imatrix
               ? weigh_by_file(in, r, f, s, err)
               : mpq_tune_importance(in->importance, &in->means, f, s, &in->calib.seqs,
                                     (unsigned)cli.threads, err);
}

struct mpq_tune_options
rounding_options(const struct rounding_inputs *in, const struct rounding *r)
{
    static const struct mpq_tuner *const tuners[] = { &mpq_tuner_plain,
                                                      &mpq_tuner_plain, &mpq_tuner_awq,
                                                      &mpq_tuner_gptq };

    return (struct mpq_tune_options){
        .tuner = tuners[r->method],
        .effort = (enum mpq_effort)r->effort,
        .encode = rounding_encoder(r),
        .importance = in->importance,
        .threads = (unsigned)cli.threads,
        .damping = r->damping,
        .seqs = rounding_sees_inputs(r) && r->calib ? &in->calib.seqs : NULL,
        .hessian = in->hessian,
    };
}

void
rounding_free(struct rounding_inputs *in)
{
    mpq_hessian_free(in->hessian);
    mpq_calib_free(&in->calib);
    mpq_imatrix_free(in->imatrix);
    free(in->importance);
    free(in->means);
}
