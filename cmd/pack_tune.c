/* mpq-pack: what happens to weights before they are written. */
#include "cli.h"
#include "pack_own.h"

#include "base/buf.h"
#include "base/hash.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct pack_options pack = {
    .how = { ROUNDING_DEFAULTS, .method_option = "-m", .ctx_option = "ctx" },
};

int
pack_check_options(struct mpq_err *err)
{
    struct stat st;

    if (rounding_check(&pack.how, err) < 0)
        return -1;
    if (!pack.resume)
        return 0;
    if (!cli.output || !strcmp(cli.output, "-"))
        return mpq_fail(err, MPQ_EUSAGE, "--resume takes -o FILE: it keeps FILE.part");
    if (stat(cli.output, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
        return mpq_fail(err, MPQ_EUSAGE,
                        "--resume takes -o FILE: %s is a pipe or a device", cli.output);
    return 0;
}

void
pack_describe_method(struct mpq_buf *text)
{
    const struct rounding *r = &pack.how;

    mpq_buf_printf(text, "-m %s --effort %s", rounding_name(r),
                   mpq_effort_name((enum mpq_effort)r->effort));
    if (r->method == ROUND_GPTQ) {
        mpq_buf_adds(text, " --damp ");
        rounding_put_damping(r, text);
    }
    if (r->calib)
        mpq_buf_printf(text, " -c --ctx %" PRIu64 " --samples %" PRIu64, r->ctx,
                       r->samples);
    if (r->hessian)
        mpq_buf_adds(text, " --hessian");
    if (pack.salience)
        mpq_buf_adds(text, " --salience square");
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
                  pack.how.hessian ? "nothing is known of its inputs"
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
    if (t->damping > pack.how.damping * 1.5) {
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
    const char *m = rounding_name(&pack.how);

    if (!rounding_sees_inputs(&pack.how))
        return;
    if (s->unreached.n)
        cli_note("%zu matrices that no token reached%s%s are rounded row by row (%s)",
                 s->unreached.n, pack.how.hessian ? " or that are not in " : "",
                 pack.how.hessian ? pack.how.hessian : "", s->unreached.first);
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
        if (!p->weight->is_matrix || rounding_serves(&pack.how, p->type) ||
            mpq_type_eq(p->type, p->weight->tensor.type))
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
        const struct mpq_importance *x = &j->inputs.importance[i];
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

    const struct rounding *r = &pack.how;
    uint64_t model;

    if (mpq_source_sum(j->source, &model, err) < 0)
        return -1;
    mpq_buf_printf(text,
                   "mpq-pack %s\nmodel %016" PRIx64 "\n-f %s\n-p %016" PRIx64 "\n",
                   MPQ_VERSION, model, forms[j->file.form], hash_plan(j));
    mpq_buf_printf(text, "-m %s\n--effort %s\n", rounding_name(r),
                   mpq_effort_name((enum mpq_effort)r->effort));
    if (pack.salience)
        mpq_buf_adds(text, "--salience square\n");
    if (r->method == ROUND_GPTQ) {
        mpq_buf_adds(text, "--damp ");
        rounding_put_damping(r, text);
        mpq_buf_adds(text, "\n");
    }
    if (j->inputs.imatrix)
        mpq_buf_printf(text, "--imatrix %016" PRIx64 "\n", hash_importance(j));
    if (r->hessian)
        mpq_buf_printf(text, "--hessian %016" PRIx64 "\n",
                       mpq_hessian_sum(j->inputs.hessian));
    if (r->calib)
        mpq_buf_printf(text,
                       "--ctx %" PRIu64 "\n--samples %" PRIu64 "\n-c %016" PRIx64 "\n",
                       r->ctx, r->samples, hash_text(&j->inputs.calib.seqs));
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
    struct mpq_tune_options options = rounding_options(&j->inputs, &pack.how);
    options.salience = (enum mpq_salience)pack.salience;
    options.part = pack.resume ? part.data : NULL;
    options.description = pack.resume ? description.data : "";
    options.tuned = on_tuned;
    options.progress = on_layers;
    options.ctx = &s;
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
    const struct rounding *r = &pack.how;

    if (rounding_read(&j->inputs, r, j->source, err) < 0)
        return -1;
    rounding_say_text(&j->inputs, r);
    if (r->method == ROUND_HQQ)
        note_unserved_hqq(j);
    if (!r->imatrix && rounding_weigh(&j->inputs, r, &j->file, j->source, err) < 0)
        return -1;
    return rounding_sees_inputs(r) || pack.resume ? fill_store(j, err) : 0;
}
