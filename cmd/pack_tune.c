/* mpq-pack: what happens to weights before they are written. */
#include "cli.h"
#include "pack_own.h"

#include "base/buf.h"
#include "base/hash.h"
#include "quant/gptq.h"
#include "quant/hqq.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pack_options pack = { .effort = MPQ_EFFORT_DEFAULT,
                             .ctx = 512,
                             .samples = 128,
                             .damping = MPQ_GPTQ_DAMPING };

static const char *const methods[] = { "rtn", "hqq", "awq", "gptq" };

/* Does the method choose codes from Gram matrices? */
static int
sees_inputs(void)
{
    return pack.method == PACK_AWQ || pack.method == PACK_GPTQ;
}

int
pack_check_options(struct mpq_err *err)
{
    if (sees_inputs() && !pack.calib == !pack.hessian)
        return mpq_fail(err, MPQ_EUSAGE,
                        "-m %s takes -c FILE, or --hessian FILE%s, to see what matrices"
                        " are multiplied with",
                        methods[pack.method], pack.calib ? ", not both" : "");
    if (!sees_inputs() && pack.hessian)
        return mpq_fail(err, MPQ_EUSAGE,
                        "-m %s takes no --hessian: -c or --imatrix weighs its rounding",
                        methods[pack.method]);
    if (!sees_inputs() && pack.calib && cli_given("imatrix"))
        return mpq_fail(err, MPQ_EUSAGE,
                        "-c and --imatrix: -m %s weighs its rounding by one of them",
                        methods[pack.method]);
    if (pack.method != PACK_GPTQ && cli_given("damp"))
        return mpq_fail(err, MPQ_EUSAGE, "--damp is for -m gptq");
    if (!pack.calib && (cli_given("ctx") || cli_given("samples")))
        return mpq_fail(err, MPQ_EUSAGE, "--%s is for -c FILE",
                        cli_given("ctx") ? "ctx" : "samples");
    if (pack.resume && (!cli.output || !strcmp(cli.output, "-")))
        return mpq_fail(err, MPQ_EUSAGE, "--resume takes -o FILE: it keeps FILE.part");
    return 0;
}

/* With as many digits as it takes to read it back. */
static void
describe_damping(struct mpq_buf *text)
{
    enum { SHORT = 6, EXACT = 17 };
    char x[40];

    for (int digits = SHORT; digits <= EXACT; digits++) {
        snprintf(x, sizeof x, "%.*g", digits, pack.damping);
        if (strtod(x, NULL) >= pack.damping && strtod(x, NULL) <= pack.damping)
            break;
    }
    mpq_buf_printf(text, "--damp %s", x);
}

void
pack_describe_method(struct mpq_buf *text)
{
    mpq_buf_printf(text, "-m %s --effort %s", methods[pack.method],
                   mpq_effort_name((enum mpq_effort)pack.effort));
    if (pack.method == PACK_GPTQ) {
        mpq_buf_adds(text, " ");
        describe_damping(text);
    }
    if (pack.calib)
        mpq_buf_printf(text, " -c --ctx %" PRIu64 " --samples %" PRIu64, pack.ctx,
                       pack.samples);
    if (pack.hessian)
        mpq_buf_adds(text, " --hessian");
    if (pack.salience)
        mpq_buf_adds(text, " --salience square");
}

mpq_encode_fn *
pack_encoder(void)
{
    return pack.method == PACK_HQQ ? mpq_tune_hqq_row : mpq_encode_row;
}

int
pack_need_importance(struct pack_job *j, struct mpq_err *err)
{
    j->importance = mpq_array(j->file.n, sizeof *j->importance);
    return j->importance ? 0 : mpq_fail(err, MPQ_ENOMEM, "out of memory");
}

void
pack_end_tuning(struct pack_job *j)
{
    mpq_store_free(j->store);
    mpq_hessian_free(j->hessian);
    mpq_calib_free(&j->calib);
    free(j->means);
}

/* --- what is said about it ------------------------------------------------------- */

/* Matrices that were not rounded as the method does. */
struct exception {
    size_t n;
    char first[MPQ_SHORT_MAX];
};

struct summary {
    struct cli_bar *bar;
    size_t n_dead;
    double damping;
    struct exception unreached, unserved, dead, damped;
};

static void
count(struct exception *e, const struct mpq_weight *w)
{
    if (e->n++ == 0)
        snprintf(e->first, sizeof e->first, "%s", w->name);
}

static void
on_tuned(void *ctx, const struct mpq_tuned *t)
{
    struct summary *s = ctx;

    if (t->how == MPQ_TUNED_UNREACHED) {
        count(&s->unreached, t->weight);
        cli_debug("%s: %s", t->weight->name,
                  pack.hessian ? "nothing is known of its inputs"
                               : "no token reached it");
        return;
    }
    if (t->how == MPQ_TUNED_UNSERVED) {
        count(&s->unserved, t->weight);
        return;
    }
    if (t->how == MPQ_TUNED_FOLDED) {
        cli_debug("%s: takes scales over where there are any", t->weight->name);
        return;
    }
    if (t->n_dead) {
        count(&s->dead, t->weight);
        s->n_dead += t->n_dead;
    }
    if (t->damping > pack.damping * 1.5) {
        count(&s->damped, t->weight);
        s->damping = t->damping > s->damping ? t->damping : s->damping;
    }
    cli_debug("%s: %" PRIu64 " tokens, mean squared error of its outputs %.4g%s",
              t->weight->name, t->n_tokens, t->loss,
              t->n_dead ? ", with columns that are always 0" : "");
}

static void
on_layers(void *ctx, uint64_t n)
{
    cli_bar_add(((struct summary *)ctx)->bar, n);
}

static void
tell(const struct summary *s)
{
    const char *m = methods[pack.method];

    if (!sees_inputs())
        return;
    if (s->unreached.n)
        cli_note("%zu matrices that no token reached%s%s are rounded row by row (%s)",
                 s->unreached.n, pack.hessian ? " or that are not in " : "",
                 pack.hessian ? pack.hessian : "", s->unreached.first);
    if (s->unserved.n)
        cli_note("%zu matrices that %s does not serve are rounded row by row (%s)",
                 s->unserved.n, m, s->unserved.first);
    if (s->dead.n)
        cli_note("%zu columns of %zu matrices are multiplied with 0 alone (%s)",
                 s->n_dead, s->dead.n, s->dead.first);
    if (s->damped.n)
        cli_note("singular Hessians of %zu matrices needed a damping up to %g (%s)",
                 s->damped.n, s->damping, s->damped.first);
}

/* Types that HQQ has no line for. */
static void
note_unserved_hqq(const struct pack_job *j)
{
    struct exception e = { 0 };
    char name[MPQ_TYPE_NAME_MAX] = "";

    for (size_t i = 0; i < j->file.n; i++) {
        const struct mpq_piece *p = &j->file.pieces[i];
        if (!p->weight->is_matrix || mpq_type_is_float(p->type) ||
            mpq_type_eq(p->type, p->weight->tensor.type) || mpq_hqq_serves(p->type))
            continue;
        if (!e.n)
            mpq_type_name(p->type, name);
        count(&e, p->weight);
    }
    if (e.n)
        cli_note("%zu matrices of types that hqq does not serve are rounded by rtn"
                 " (%s: %s)",
                 e.n, e.first, name);
}

/* --- the work -------------------------------------------------------------------- */

static int
read_inputs(struct pack_job *j, struct mpq_err *err)
{
    if (pack.hessian && mpq_hessian_open(&j->hessian, pack.hessian, j->source, err) < 0)
        return -1;
    if (!pack.calib)
        return 0;
    if (mpq_calib_read(&j->calib, pack.calib, j->source, (size_t)pack.ctx,
                       (size_t)pack.samples, err) < 0)
        return -1;
    const struct mpq_seqs *q = &j->calib.seqs;
    if (q->n == 0)
        return mpq_fail(err, MPQ_EDATA, "%s: has no token", pack.calib);
    cli_note("%s: %zu sequences, %zu tokens", pack.calib, q->n, q->start[q->n]);
    return 0;
}

/* Names and types of all pieces. */
static uint64_t
hash_plan(const struct pack_job *j)
{
    char name[MPQ_TYPE_NAME_MAX];
    uint64_t hash = 0;

    for (size_t i = 0; i < j->file.n; i++) {
        const struct mpq_piece *p = &j->file.pieces[i];
        hash = mpq_hash64(p->weight->name, strlen(p->weight->name), hash);
        mpq_type_name(p->type, name);
        hash = mpq_hash64(name, strlen(name), hash);
    }
    return hash;
}

static uint64_t
hash_importance(const struct pack_job *j)
{
    uint64_t hash = 0;

    for (size_t i = 0; i < j->file.n; i++) {
        const struct mpq_importance *x = &j->importance[i];
        const struct mpq_weight *w = j->file.pieces[i].weight;
        if (!x->values)
            continue;
        hash = mpq_hash64(w->name, strlen(w->name), hash);
        hash = mpq_hash64(x->values, (size_t)(x->n_parts * w->cols) * sizeof *x->values,
                          hash);
    }
    return hash;
}

static uint64_t
hash_text(const struct mpq_seqs *q)
{
    const uint64_t hash = mpq_hash64(q->start, (q->n + 1) * sizeof *q->start, 0);

    return mpq_hash64(q->tokens, q->start[q->n] * sizeof *q->tokens, hash);
}

/* What decides the bytes of the rows, a line for each thing that the user can name:
 * what differs on another run is told by its line. */
static int
describe_part(const struct pack_job *j, struct mpq_buf *text, struct mpq_err *err)
{
    static const char *const forms[] = {
        [MPQ_PACK_GGUF] = "gguf",
        [MPQ_PACK_FAKE] = "fake",
        [MPQ_PACK_NATIVE] = "safetensors",
        [MPQ_PACK_HF] = "hf",
        [MPQ_PACK_CT] = "compressed-tensors",
        [MPQ_PACK_GPTQ] = "gptq",
        [MPQ_PACK_GPTQ_V2] = "gptq-v2",
    };

    uint64_t model;

    if (mpq_source_sum(j->source, &model, err) < 0)
        return -1;
    mpq_buf_printf(text,
                   "mpq-pack %s\nmodel %016" PRIx64 "\n-f %s\n-p %016" PRIx64 "\n",
                   MPQ_VERSION, model, forms[j->file.form], hash_plan(j));
    mpq_buf_printf(text, "-m %s\n--effort %s\n", methods[pack.method],
                   mpq_effort_name((enum mpq_effort)pack.effort));
    if (pack.salience)
        mpq_buf_adds(text, "--salience square\n");
    if (pack.method == PACK_GPTQ) {
        describe_damping(text);
        mpq_buf_adds(text, "\n");
    }
    if (j->imatrix)
        mpq_buf_printf(text, "--imatrix %016" PRIx64 "\n", hash_importance(j));
    if (pack.hessian)
        mpq_buf_printf(text, "--hessian %016" PRIx64 "\n", mpq_hessian_sum(j->hessian));
    if (pack.calib)
        mpq_buf_printf(text,
                       "--ctx %" PRIu64 "\n--samples %" PRIu64 "\n-c %016" PRIx64 "\n",
                       pack.ctx, pack.samples, hash_text(&j->calib.seqs));
    return 0;
}

/* FILE.part, which of a folder lies beside it and not in it. */
static void
name_part(struct mpq_buf *name)
{
    size_t n = strlen(cli.output);

    while (n > 1 && cli.output[n - 1] == '/')
        n--;
    mpq_buf_add(name, cli.output, n);
    mpq_buf_adds(name, ".part");
}

static int
fill_store(struct pack_job *j, struct mpq_err *err)
{
    static const struct mpq_tuner *const tuners[] = { &mpq_tuner_plain,
                                                      &mpq_tuner_plain, &mpq_tuner_awq,
                                                      &mpq_tuner_gptq };
    struct mpq_buf description = { 0 }, part = { 0 };
    struct summary s = { 0 };
    int rc = -1;

    if (pack.resume) {
        if (describe_part(j, &description, err) < 0)
            goto out;
        name_part(&part);
    }
    if (description.failed || part.failed) {
        mpq_fail(err, MPQ_ENOMEM, "out of memory");
        goto out;
    }
    s.bar = cli_bar_new("quantizing", mpq_source_hparams(j->source)->n_layer, "layers");
    const struct mpq_tune_options options = {
        .tuner = tuners[pack.method],
        .effort = (enum mpq_effort)pack.effort,
        .salience = (enum mpq_salience)pack.salience,
        .encode = pack_encoder(),
        .importance = j->importance,
        .threads = (unsigned)cli.threads,
        .damping = pack.damping,
        .seqs = sees_inputs() && pack.calib ? &j->calib.seqs : NULL,
        .hessian = j->hessian,
        .part = pack.resume ? part.data : NULL,
        .description = pack.resume ? description.data : "",
        .tuned = on_tuned,
        .progress = on_layers,
        .ctx = &s,
    };
    rc = mpq_tune(&j->store, &j->file, j->source, &options, err);
    if (rc == 0)
        tell(&s);
out:
    cli_bar_free(s.bar);
    mpq_buf_free(&description);
    mpq_buf_free(&part);
    return rc;
}

int
pack_tune(struct pack_job *j, struct mpq_err *err)
{
    if (read_inputs(j, err) < 0)
        return -1;
    if (pack.method == PACK_HQQ)
        note_unserved_hqq(j);
    if (pack.calib && !sees_inputs()) {
        if (pack_need_importance(j, err) < 0 ||
            mpq_tune_importance(j->importance, &j->means, &j->file, j->source,
                                &j->calib.seqs, (unsigned)cli.threads, err) < 0)
            return -1;
    }
    return sees_inputs() || pack.resume ? fill_store(j, err) : 0;
}
