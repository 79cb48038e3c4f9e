/* mpq-stats -c with gradients: Fisher-weighted importance and Hessians, predicted
 * damage. */
#include "stats_own.h"

#include "base/buf.h"
#include "model/calib.h"
#include "model/fisher_damage.h"
#include "model/fisher_store.h"
#include "model/layout.h"
#include "quant/imatrix_write.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    STATES_BYTES = 1 << 30, /* hidden states, or Hessians, beyond go to a file */
    PLACES = 1024           /* where the unembedding's damage is measured */
};

/* Damages of one matrix, a type each. */
struct row {
    const struct mpq_weight *weight;
    struct mpq_fisher_damage *damage; /* NULL: none */
};

struct job {
    const struct mpq_source *s;
    size_t first, last;
    struct mpq_calib text;
    uint32_t *labels;
    size_t *labels_of; /* [sequences] how many each has */
    size_t n_labels;
    struct mpq_forward *forward;
    struct mpq_backward *backward;
    struct mpq_fishers *fishers;
    struct mpq_fisher_store *store;
    struct mpq_imatrix_new imatrix;
    struct mpq_type types[CLI_MAX_TYPES];
    struct mpq_fisher_rounding how;
    struct row *rows;  /* [count of the source] */
    struct row output; /* of a tied model: the second use of token_embd */
    float *importance; /* [n_embd] of the unembedding */
    struct cli_bar *bar;
};

static void
close_job(struct job *j)
{
    cli_bar_free(j->bar);
    mpq_imatrix_new_free(&j->imatrix);
    mpq_fisher_store_free(j->store);
    mpq_fishers_free(j->fishers);
    mpq_backward_free(j->backward);
    mpq_forward_free(j->forward);
    mpq_calib_free(&j->text);
    for (size_t i = 0; j->rows && i < mpq_source_count(j->s); i++)
        free(j->rows[i].damage);
    free(j->rows);
    free(j->output.damage);
    free(j->importance);
    free(j->labels);
    free(j->labels_of);
}

static int
no_memory(struct mpq_err *err)
{
    return mpq_fail(err, MPQ_ENOMEM, "out of memory");
}

/* The positions of sequence I that have a label: up to its last but one where that is
 * to be a token of the text, from the last before its answer on where only that counts.
 */
static void
labelled(const struct job *j, size_t i, size_t *first, size_t *end)
{
    const struct mpq_seqs *q = &j->text.seqs;
    const size_t answer = j->text.answer[i];

    *first = q->start[i];
    *end = q->start[i + 1];
    if (stats_text.answers)
        *first = answer ? q->start[i] + answer - 1 : *end;
    if (stats_text.answers || stats_text.labels == STATS_TEXT)
        --*end;
}

/* A label for each position: drawn, the text's next token, or none. */
static int
make_labels(struct job *j, struct mpq_err *err)
{
    const struct mpq_seqs *q = &j->text.seqs;
    size_t first, end, n = 0, n_without = 0;

    j->labels = mpq_array(q->start[q->n], sizeof *j->labels);
    j->labels_of = mpq_array(q->n, sizeof *j->labels_of);
    if (!j->labels || !j->labels_of)
        return no_memory(err);
    for (size_t i = 0; i < q->n; i++) {
        labelled(j, i, &first, &end);
        n_without += first >= end;
        j->labels_of[i] = first < end ? end - first : 0;
        for (size_t t = q->start[i]; t < q->start[i + 1]; t++) {
            const int has = t >= first && t < end;
            j->labels[t] = !has                             ? (uint32_t)MPQ_LABEL_NONE
                           : stats_text.labels == STATS_OWN ? (uint32_t)MPQ_LABEL_DRAW
                                                            : q->tokens[t + 1];
            n += (size_t)has;
        }
    }
    if (n && n_without && stats_text.answers)
        cli_note("%s: %zu of %zu lines have no answer within %" PRIu64 " tokens",
                 stats_text_name(), n_without, q->n, stats_text.ctx);
    if (n)
        return 0;
    if (!stats_text.answers)
        return mpq_fail(err, MPQ_EDATA, "%s: no token that anything predicts",
                        stats_text_name());
    return mpq_fail(err, MPQ_EDATA,
                    "%s: no answers within %" PRIu64 " tokens: --answers takes lines"
                    " with prompt and answer",
                    stats_text_name(), stats_text.ctx);
}

/* A map of bits comes from Hessians, which are not there when rows are rounded. */
static int
refuse_varied(const struct job *j, struct mpq_err *err)
{
    char name[MPQ_TYPE_NAME_MAX];

    for (size_t k = 0; k < j->how.n_types; k++)
        if (j->types[k].varied)
            return mpq_fail(err, MPQ_EUSAGE, "-t: the damage of %s is not predicted",
                            mpq_type_name(j->types[k], name));
    return 0;
}

/* Can any matrix that is to have a row be rounded at all? */
static int
check_fit(const struct job *j, struct mpq_err *err)
{
    for (size_t i = 0; i < mpq_source_count(j->s); i++) {
        const struct mpq_weight *w = mpq_source_weight(j->s, i);
        const int has_row =
            w->layer < 0 ? j->first == 0
                         : (size_t)w->layer >= j->first && (size_t)w->layer <= j->last;
        for (size_t k = 0; w->is_matrix && has_row && k < j->how.n_types; k++)
            if (mpq_type_fits(j->types[k], (size_t)w->cols))
                return 0;
    }
    return mpq_fail(err, MPQ_ENOFIT, "%s: no matrix can have any of the types %s",
                    mpq_source_name(j->s), stats_text.types);
}

static int
prepare(struct job *j, struct mpq_err *err)
{
    const unsigned threads = (unsigned)cli.threads;
    const struct mpq_seqs *q = &j->text.seqs;
    const unsigned grams = stats_text.format == STATS_IMATRIX ? 0 : MPQ_FISHER_GRAMS,
                   inputs = stats_text.int8 ? MPQ_FISHER_INPUTS : 0;

    j->how = (struct mpq_fisher_rounding){ .types = j->types,
                                           .effort = (enum mpq_effort)stats_text.effort,
                                           .n_threads = threads,
                                           .int8 = stats_text.int8 };
    if (stats_text.types &&
        (cli_types("-t", stats_text.types, j->types, &j->how.n_types, err) < 0 ||
         refuse_varied(j, err) < 0 || check_fit(j, err) < 0))
        return -1;
    j->rows = mpq_array(mpq_source_count(j->s), sizeof *j->rows);
    if (!j->rows)
        return no_memory(err);
    if (mpq_forward_new(&j->forward, j->s, threads, err) < 0 ||
        mpq_calib_read(&j->text, stats_text.path, j->s, (size_t)stats_text.ctx,
                       (size_t)stats_text.samples, err) < 0 ||
        make_labels(j, err) < 0 ||
        mpq_backward_new(&j->backward, j->forward, q, STATES_BYTES, err) < 0 ||
        mpq_fishers_new(&j->fishers, q, grams | inputs, threads, err) < 0)
        return -1;
    j->importance = mpq_array(mpq_forward_net(j->forward)->n_embd, sizeof(float));
    if (!j->importance)
        return no_memory(err);
    if (stats_text.format != STATS_HESSIAN)
        return 0;
    return mpq_fisher_store_new(&j->store, j->s, j->first, j->last, STATES_BYTES, err);
}

/* The row of W, with room for its damages. */
static struct mpq_fisher_damage *
row_of(struct job *j, struct row *r, const struct mpq_weight *w, struct mpq_err *err)
{
    r->weight = w;
    r->damage = mpq_array(j->how.n_types, sizeof *r->damage);
    if (!r->damage)
        no_memory(err);
    return r->damage;
}

static struct row *
find_row(struct job *j, const struct mpq_weight *w)
{
    size_t i = 0;

    while (mpq_source_weight(j->s, i) != w)
        i++;
    return &j->rows[i];
}

static int
take_matrix(struct job *j, const struct mpq_fisher *f, struct mpq_err *err)
{
    struct mpq_fisher_damage *to;

    if (stats_text.format == STATS_IMATRIX)
        return mpq_imatrix_put(&j->imatrix, f->weight->name, f->diagonal,
                               (size_t)f->weight->cols, f->n_tokens, err);
    if (stats_text.format != STATS_DAMAGE)
        return 0;
    if (!(to = row_of(j, find_row(j, f->weight), f->weight, err)))
        return -1;
    return mpq_fisher_damage(to, f, j->labels_of, j->text.seqs.n, j->s, &j->how, err);
}

static int
take_layer(struct job *j, size_t layer, struct mpq_err *err)
{
    if (mpq_fishers_layer(j->fishers, j->backward, layer, err) < 0)
        return -1;
    const struct mpq_fisher *f = mpq_fishers_get(j->fishers);
    if (j->store)
        mpq_fisher_store_put(j->store, layer, f);
    for (int i = 0; i < MPQ_FISHER_WEIGHTS; i++)
        if (take_matrix(j, &f[i], err) < 0)
            return -1;
    return 0;
}

/* Of the states X those that a label is predicted from, the caller's to free. */
static int
pick_states(const struct job *j, const struct mpq_states *x, struct mpq_states *some,
            struct mpq_err *err)
{
    size_t n = 0;

    if (mpq_states_new(some, j->n_labels, x->width, SIZE_MAX, err) < 0)
        return -1;
    for (size_t t = 0; t < x->n; t++)
        if (j->labels[t] != (uint32_t)MPQ_LABEL_NONE)
            memcpy(some->x + n++ * x->width, x->x + t * x->width,
                   x->width * sizeof *x->x);
    return 0;
}

/* Before the gradients go down: the unembedding. */
static int
take_output(struct job *j, struct mpq_err *err)
{
    const struct mpq_net *net = mpq_forward_net(j->forward);
    const struct mpq_weight *own = mpq_source_find(j->s, "output");
    struct row *r = own ? find_row(j, own) : &j->output;
    struct mpq_fisher_damage *to =
        row_of(j, r, own ? own : mpq_source_find(j->s, "token_embd"), err);
    struct mpq_states x, some = { 0 };
    int rc = -1;

    mpq_backward_states(j->backward, net->n_layer, &x);
    if (to && (!stats_text.answers || pick_states(j, &x, &some, err) == 0))
        rc = mpq_fisher_damage_output(to, j->forward, stats_text.answers ? &some : &x,
                                      PLACES, j->importance, &j->how, err);
    mpq_states_free(&some);
    return rc;
}

static int
take_embedding(void *ctx, const struct mpq_grad_tap *tap, struct mpq_err *err)
{
    struct job *j = ctx;
    const struct mpq_net *net = mpq_forward_net(j->forward);
    const int tied = !mpq_source_find(j->s, "output");
    struct mpq_fisher_damage *to =
        row_of(j, find_row(j, tap->weight), tap->weight, err);

    return to ? mpq_fisher_damage_embedding(
                    to, tap, &j->text.seqs, tied ? j->importance : NULL,
                    net->embed_scale, j->n_labels, j->s, &j->how, err)
              : -1;
}

static void
step(void *ctx)
{
    const struct job *j = ctx;

    cli_bar_add(j->bar, j->text.seqs.start[j->text.seqs.n]);
}

static int
pass(struct job *j, struct mpq_err *err)
{
    const size_t n_layer = mpq_forward_net(j->forward)->n_layer,
                 tokens = j->text.seqs.start[j->text.seqs.n];
    const int outside = stats_text.format == STATS_DAMAGE && j->first == 0;

    j->bar = cli_bar_new("gradients", tokens * (2 * n_layer - j->first), "tokens");
    if (mpq_backward_forward(j->backward, step, j, err) < 0 ||
        mpq_backward_output(j->backward, j->labels, cli.seed, err) < 0)
        return -1;
    (void)mpq_backward_loss(j->backward, &j->n_labels);
    if (outside && take_output(j, err) < 0)
        return -1;
    for (size_t l = n_layer; l-- > j->first; step(j)) {
        if (l > j->last ? mpq_backward_layer(j->backward, l, NULL, NULL, err) < 0
                        : take_layer(j, l, err) < 0)
            return -1;
    }
    return outside ? mpq_backward_embedding(j->backward, take_embedding, j, err) : 0;
}

/* What rounding a matrix to type K costs in both uses, SECOND being NULL for one.
 */
static struct mpq_fisher_damage
in_both_uses(const struct row *r, const struct row *second, size_t k)
{
    struct mpq_fisher_damage d = r->damage[k];

    if (second && second->damage) {
        d.mean += second->damage[k].mean;
        d.inputs += second->damage[k].inputs;
        d.se = hypot(d.se, second->damage[k].se);
    }
    return d;
}

static int
put_row(const struct job *j, const struct row *r, const struct row *second,
        struct mpq_tsv_writer *w, struct mpq_err *err)
{
    char name[MPQ_TYPE_NAME_MAX];

    for (size_t k = 0; r->damage && k < j->how.n_types; k++) {
        const struct mpq_type t = j->types[k];
        if (isnan(r->damage[k].mean)) {
            cli_debug("%s: no %s: it does not divide the rows", r->weight->name,
                      mpq_type_name(t, name));
            continue;
        }
        const struct mpq_fisher_damage d = in_both_uses(r, second, k);
        char inputs[32] = "";
        if (stats_text.int8)
            snprintf(inputs, sizeof inputs, "\t%.17g", d.inputs);
        if (mpq_tsv_row(w, err, "%s\t%s\t%.17g\t%.17g\t%.17g\t%.17g%s", r->weight->name,
                        mpq_type_name(t, name), mpq_type_bpw(t, r->weight->cols),
                        (double)r->weight->rows * (double)r->weight->cols,
                        d.mean + d.inputs, d.se, inputs) < 0)
            return -1;
    }
    return 0;
}

static int
put_damages(const struct job *j, struct mpq_out *out, struct mpq_err *err)
{
    struct mpq_tsv_writer w;

    if (cli_begin_table(&w, out, "damage", mpq_source_hparams(j->s)->name, err) < 0 ||
        mpq_layout_put_meta(j->s, &w, err) < 0 ||
        mpq_tsv_columns(&w,
                        stats_text.int8 ? "unit\ttype\tbits\tparams\tdamage\tse\tinputs"
                                        : "unit\ttype\tbits\tparams\tdamage\tse",
                        err) < 0)
        return -1;
    for (size_t i = 0; i < mpq_source_count(j->s); i++) {
        const struct mpq_weight *m = mpq_source_weight(j->s, i);
        if (put_row(j, &j->rows[i], m->role == MPQ_ROLE_EMBED ? &j->output : NULL, &w,
                    err) < 0)
            return -1;
    }
    return mpq_tsv_end(&w, err);
}

static int
write_all(struct job *j, struct mpq_out *out, struct mpq_err *err)
{
    const uint64_t tokens = j->text.seqs.start[j->text.seqs.n],
                   chunks = tokens / stats_text.ctx;

    if (stats_text.format == STATS_DAMAGE)
        return put_damages(j, out, err);
    if (stats_text.format == STATS_HESSIAN)
        return mpq_fisher_store_write(j->store, j->n_labels, out, err);
    return mpq_imatrix_write(&j->imatrix, out, stats_text_name(), chunks ? chunks : 1,
                             stats_text.ctx, err);
}

int
stats_fisher_run(const struct mpq_source *s, uint64_t first, uint64_t last,
                 struct mpq_out *to, struct mpq_err *err)
{
    struct job j = { .s = s, .first = (size_t)first, .last = (size_t)last };
    int rc = -1;

    if (prepare(&j, err) < 0 || pass(&j, err) < 0 || write_all(&j, to, err) < 0)
        goto out;
    const double loss = mpq_backward_loss(j.backward, &j.n_labels);
    cli_note("%zu labels in %zu sequences, %.4g nats each", j.n_labels, j.text.seqs.n,
             j.n_labels ? loss / (double)j.n_labels : 0);
    rc = 0;
out:
    close_job(&j);
    return rc;
}
