/*
 * The damage of the unembedding, measured: both unembeddings go by in tiles of the
 * vocabulary, the model's own and the one rounded to each type, and each place carries
 * a divergence for each type (num/logsum.h).
 */
#include "model/fisher_damage.h"

#include "base/buf.h"
#include "base/par.h"
#include "model/forward_stage.h"
#include "num/linalg.h"
#include "num/logsum.h"
#include "num/vmath.h"
#include "quant/round8.h"

#include <math.h>
#include <stdlib.h>

enum {
    IDS = 1024, /* of the vocabulary in a tile */
    ROWS = 64   /* of places, and of ids to be rounded, for a thread at a time */
};

struct output {
    struct mpq_forward *f;
    const struct mpq_weight *w;
    const struct mpq_fisher_rounding *how;
    const float *x;
    float *importance;
    size_t d, n;    /* places */
    float *normed;  /* [n][d] */
    float *rounded; /* [MPQ_FISHER_BLOCKS][n][d]: to 8 bits; NULL: not asked for */
    float *ids;     /* [1 + n_types][IDS][d]: as they are, and rounded */
    unsigned char *bytes; /* [n_threads][row_bytes] */
    size_t row_bytes, vocab, n_ids;
    struct mpq_divergence *kl; /* [n][n_kinds] */
    size_t n_kinds;            /* the types, then the blocks of inputs */
};

/* Mean squares of the normed states of all TOKENS; those of the places stay. */
static int
norm_all(struct output *o, size_t tokens, struct mpq_err *err)
{
    double *sum = mpq_array(o->d, sizeof *sum);
    float *h = mpq_array(o->d, sizeof *h);
    size_t place = 0;

    if (!sum || !h) {
        free(sum);
        free(h);
        return mpq_fail(err, MPQ_ENOMEM, "out of memory");
    }
    for (size_t t = 0; t < tokens; t++) {
        mpq_vrms_norm(h, o->x + t * o->d, o->f->final_norm, o->d, o->f->net.norm_eps);
        for (size_t c = 0; c < o->d; c++)
            sum[c] += (double)h[c] * (double)h[c];
        for (; place < o->n && t == (2 * place + 1) * tokens / (2 * o->n); place++)
            for (size_t c = 0; c < o->d; c++)
                o->normed[place * o->d + c] = h[c];
    }
    for (size_t c = 0; c < o->d; c++)
        o->importance[c] = (float)(sum[c] / (double)tokens);
    free(sum);
    free(h);
    return 0;
}

/* Is there anything to compare of kind K? */
static int
has_kind(const struct output *o, size_t k)
{
    return k < o->how->n_types ? mpq_type_fits(o->how->types[k], o->d)
                               : o->d % mpq_fisher_block_size(k - o->how->n_types) == 0;
}

static void
round_inputs(struct output *o)
{
    for (size_t k = 0; o->rounded && k < MPQ_FISHER_BLOCKS; k++)
        for (size_t i = 0; has_kind(o, o->how->n_types + k) && i < o->n; i++)
            mpq_round8_row(o->normed + i * o->d, o->d, mpq_fisher_block_size(k),
                           o->rounded + (k * o->n + i) * o->d);
}

static int
round_ids(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    const struct output *o = ctx;
    const size_t at = item * ROWS, n = mpq_fwd_min(ROWS, o->n_ids - at), d = o->d;
    float *w = o->ids + at * d;
    unsigned char *bytes = o->bytes + thread * o->row_bytes;

    if (mpq_source_read_rows(o->f->s, o->w, o->vocab + at, n, w, err) < 0)
        return -1;
    for (size_t k = 0; k < o->how->n_types; k++) {
        const struct mpq_type t = o->how->types[k];
        float *to = w + (k + 1) * IDS * d;
        for (size_t i = 0; i < n && mpq_type_fits(t, d); i++) {
            mpq_encode_row(t, w + i * d, o->importance, bytes, d, o->how->effort);
            mpq_decode_row(t, bytes, to + i * d, d);
        }
    }
    return 0;
}

/* Logits of N places, whose states are X, by the unembedding at W. */
static int
multiply(const struct output *o, const float *x, size_t n, const float *w, float *to,
         struct mpq_err *err)
{
    const float cap = o->f->net.final_softcap;

    mpq_gemm_add_f(0, 1, n, o->n_ids, o->d, 1, x, o->d, w, o->d, 0, to, IDS);
    for (size_t i = 0; i < n; i++) {
        if (!mpq_vfinite(to + i * IDS, o->n_ids))
            return mpq_fail(err, MPQ_EDATA, "%s: %s: a logit is NaN or infinite",
                            mpq_source_name(o->f->s), o->w->name);
        if (cap > 0)
            mpq_vsoftcap(to + i * IDS, o->n_ids, cap);
    }
    return 0;
}

static int
compare(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    const struct output *o = ctx;
    const size_t row = item * ROWS, n = mpq_fwd_min(ROWS, o->n - row);
    float *ref = o->f->scratch[thread], *x = ref + ROWS * IDS;
    const float *states = o->normed + row * o->d;

    if (multiply(o, states, n, o->ids, ref, err) < 0)
        return -1;
    for (size_t k = 0; k < o->n_kinds; k++) {
        const int is_type = k < o->how->n_types;
        const float *with = is_type ? states
                                    : o->rounded +
                                          ((k - o->how->n_types) * o->n + row) * o->d,
                    *w = is_type ? o->ids + (k + 1) * IDS * o->d : o->ids;
        if (!has_kind(o, k))
            continue;
        if (multiply(o, with, n, w, x, err) < 0)
            return -1;
        for (size_t i = 0; i < n; i++)
            mpq_divergence_add(&o->kl[(row + i) * o->n_kinds + k], x + i * IDS,
                               ref + i * IDS, o->n_ids, (uint32_t)o->vocab);
    }
    return 0;
}

/* Mean and standard error over the places, of kind K. */
static void
sum_up(const struct output *o, size_t k, struct mpq_fisher_damage *out)
{
    double sum = 0, square = 0;

    *out = (struct mpq_fisher_damage){ NAN, NAN, 0 };
    if (!has_kind(o, k))
        return;
    for (size_t i = 0; i < o->n; i++) {
        const double kl = mpq_divergence_value(&o->kl[i * o->n_kinds + k]);
        sum += kl;
        square += kl * kl;
    }
    const double n = (double)o->n, var = square / n - sum / n * (sum / n);
    out->mean = sum / n;
    out->se = o->n > 1 && var > 0 ? sqrt(var / (n - 1)) : 0;
}

static int
run(struct output *o, struct mpq_err *err)
{
    const size_t n_vocab = o->f->net.n_vocab;

    for (size_t i = 0; i < o->n * o->n_kinds; i++)
        mpq_divergence_start(&o->kl[i]);
    for (o->vocab = 0; o->vocab < n_vocab; o->vocab += IDS) {
        o->n_ids = mpq_fwd_min(IDS, n_vocab - o->vocab);
        if (mpq_par_for(o->how->n_threads, mpq_fwd_pieces(o->n_ids, ROWS), round_ids, o,
                        err) < 0 ||
            mpq_par_for(o->how->n_threads, mpq_fwd_pieces(o->n, ROWS), compare, o,
                        err) < 0)
            return -1;
    }
    return 0;
}

int
mpq_fisher_damage_output(struct mpq_fisher_damage *out, struct mpq_forward *f,
                         const struct mpq_states *x, size_t n_places, float *importance,
                         const struct mpq_fisher_rounding *how, struct mpq_err *err)
{
    const size_t d = f->net.n_embd;
    struct output o = {
        .f = f, .w = mpq_fwd_unembed(f), .how = how, .x = x->x, .d = d
    };
    float *own = mpq_array(d, sizeof *own);
    uint64_t bytes;
    int rc = -1;

    o.importance = importance ? importance : own;
    o.n = mpq_fwd_min(n_places, x->n);
    for (size_t k = 0; k < how->n_types; k++)
        if (mpq_type_row_bytes(how->types[k], d, &bytes) == 0 && bytes > o.row_bytes)
            o.row_bytes = (size_t)bytes;
    o.normed = mpq_array(o.n, d * sizeof *o.normed);
    o.ids = mpq_array((how->n_types + 1) * IDS, d * sizeof *o.ids);
    o.bytes = mpq_array(how->n_threads, o.row_bytes + 1);
    o.n_kinds = how->n_types + (how->int8 ? MPQ_FISHER_BLOCKS : 0);
    if (how->int8)
        o.rounded = mpq_array(MPQ_FISHER_BLOCKS * o.n, d * sizeof *o.rounded);
    o.kl = mpq_array(o.n, o.n_kinds * sizeof *o.kl);
    if (!own || !o.normed || (how->int8 && !o.rounded) || !o.ids || !o.bytes || !o.kl) {
        mpq_fail(err, MPQ_ENOMEM, "out of memory for the damage of %s", o.w->name);
        goto out;
    }
    if (norm_all(&o, x->n, err) < 0)
        goto out;
    round_inputs(&o);
    if (mpq_fwd_scratch(f, 2 * ROWS * IDS, err) < 0 || run(&o, err) < 0)
        goto out;
    for (size_t k = 0; k < how->n_types; k++) {
        const int block = mpq_fisher_block(how->types[k]);
        struct mpq_fisher_damage inputs = { 0 };
        sum_up(&o, k, &out[k]);
        if (how->int8 && block >= 0 && !isnan(out[k].mean))
            sum_up(&o, how->n_types + (size_t)block, &inputs);
        out[k].inputs = inputs.mean;
    }
    rc = 0;
out:
    free(own);
    free(o.normed);
    free(o.rounded);
    free(o.ids);
    free(o.bytes);
    free(o.kl);
    return rc;
}
