/*
 * Generation in steps. Each step takes every sequence that is under way one token
 * further, and new prompts with all their tokens beside them; keys and values stay in
 * a cache with a place for each sequence. What is done together does not depend on the
 * number of threads.
 */
#include "base/buf.h"
#include "model/forward_own.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    PLACES = 64,        /* sequences under way at most */
    PROMPT_ROWS = 4096, /* tokens of prompts taken in at a step, one prompt at least */
};

/* A sequence under way, or a free place. */
struct place {
    int used;
    size_t i;    /* which sequence */
    size_t seen; /* tokens that are in the cache */
    size_t row;  /* of its last token in this step */
};

struct answer {
    uint32_t *tokens; /* [max_new] */
    size_t n;
    int finished;
};

struct generator {
    struct mpq_forward *f;
    const struct mpq_seqs *q;
    const struct mpq_generate_opts *opts;
    struct place *places;
    size_t n_places;
    struct answer *answers; /* [q->n] */
    size_t next, reported;  /* prompts begun; answers handed over */
    float *cache;           /* [n_places][n_layer][2][n_head_kv][room][head_dim] */
    size_t room, plane;     /* positions of a place; room * head_dim */
    struct mpq_fwd_layer *layers;             /* all decoded, or NULL */
    struct mpq_fwd_unembedding unembed;       /* lent to F, unless empty ... */
    const struct mpq_fwd_unembedding *before; /* ... in the place of this */
    /* of a step */
    struct mpq_fwd_seq *seqs; /* [n_places] */
    size_t *rows;             /* [n_places]: where the last tokens are ... */
    struct place **who;       /* ... and whose they are */
    uint32_t *tokens;
    float *x, *best_logit;
    uint32_t *best;
    size_t n_seqs, n_rows, tokens_room, x_room;
};

static int
no_memory(const struct generator *g, struct mpq_err *err)
{
    return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory for generation",
                    mpq_source_name(g->f->s));
}

static size_t
prompt_length(const struct generator *g, size_t i)
{
    return g->q->start[i + 1] - g->q->start[i];
}

static uint64_t
quarter_of_memory(void)
{
    const long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);

    return pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size / 4 : 1ULL << 30;
}

/* Does the unembedding W need no decoding? */
static int
is_ready(const struct generator *g, const struct mpq_weight *w)
{
    return mpq_fwd_unembed_ready(g->f, w) || mpq_fwd_unembed_ready8(g->f, w);
}

/* Decodes the unembedding W, if it must be, and lends it to F. */
static int
decode_unembed(struct generator *g, const struct mpq_weight *w, struct mpq_err *err)
{
    if (is_ready(g, w))
        return 0;
    if (mpq_fwd_decode_unembed(g->f, w, &g->unembed, err) < 0)
        return -1;
    g->before = g->f->unembed;
    g->f->unembed = &g->unembed;
    return 0;
}

/* Bytes of all matrices that must be decoded. */
static uint64_t
decoded_bytes(const struct generator *g)
{
    const struct mpq_weight *unembed = mpq_fwd_unembed(g->f);
    uint64_t n = is_ready(g, unembed) ? 0 : mpq_fwd_ready_bytes(g->f, unembed);

    for (size_t i = 0; i < mpq_source_count(g->f->s); i++) {
        const struct mpq_weight *w = mpq_source_weight(g->f->s, i);
        if (w->is_linear && g->f->fill)
            n += w->rows * w->cols * sizeof(float);
        if (w->is_linear)
            n += mpq_fwd_ready_bytes(g->f, w);
    }
    return n;
}

static int
decode_all(struct generator *g, struct mpq_err *err)
{
    const size_t n_layer = g->f->net.n_layer;

    g->layers = mpq_array(n_layer, sizeof *g->layers);
    if (!g->layers)
        return no_memory(g, err);
    for (size_t i = 0; i < n_layer; i++)
        if (mpq_fwd_decode(g->f, i, &g->layers[i], err) < 0)
            return -1;
    return decode_unembed(g, mpq_fwd_unembed(g->f), err);
}

/* Divides the memory: the weights first, if they leave a quarter of it; as many places
 * as then fit. */
static int
plan_memory(struct generator *g, struct mpq_err *err)
{
    const struct mpq_net *net = &g->f->net;
    uint64_t bytes = g->opts->max_bytes ? g->opts->max_bytes : quarter_of_memory();
    const uint64_t weights = decoded_bytes(g);
    size_t longest = 0;
    uint64_t place;

    for (size_t i = 0; i < g->q->n; i++) {
        if (prompt_length(g, i) == 0)
            return mpq_fail(err, MPQ_EDATA, "%s: prompt %zu is empty",
                            mpq_source_name(g->f->s), i + 1);
        if (prompt_length(g, i) > longest)
            longest = prompt_length(g, i);
    }
    g->room = longest + g->opts->max_new;
    if (g->room < longest ||
        mpq_mul_u64(g->room, net->n_layer * 2 * net->n_head_kv, &place) < 0 ||
        mpq_mul_u64(place, net->head_dim * sizeof(float), &place) < 0)
        return no_memory(g, err);
    if (weights <= bytes / 4 * 3) {
        if (decode_all(g, err) < 0)
            return -1;
        bytes -= weights;
    }
    g->plane = g->room * net->head_dim;
    g->n_places = bytes / place < PLACES ? (size_t)(bytes / place) : PLACES;
    if (g->n_places > g->q->n)
        g->n_places = g->q->n;
    if (g->n_places == 0)
        g->n_places = 1;
    g->places = mpq_array(g->n_places, sizeof *g->places);
    g->seqs = mpq_array(g->n_places, sizeof *g->seqs);
    g->rows = mpq_array(g->n_places, sizeof *g->rows);
    g->who = mpq_array(g->n_places, sizeof *g->who);
    g->best = mpq_array(g->n_places, sizeof *g->best);
    g->best_logit = mpq_array(g->n_places, sizeof *g->best_logit);
    g->answers = mpq_array(g->q->n, sizeof *g->answers);
    if (g->n_places <= SIZE_MAX / place)
        g->cache = mpq_array(g->n_places, (size_t)place);
    if (!g->places || !g->seqs || !g->rows || !g->who || !g->best || !g->best_logit ||
        !g->answers || !g->cache)
        return no_memory(g, err);
    return 0;
}

/* The token of P that is not in the cache yet: the last one generated. */
static uint32_t
last_token(const struct generator *g, const struct place *p)
{
    const struct answer *a = &g->answers[p->i];

    return a->tokens[a->n - 1];
}

/* Puts the next tokens of P into the step. */
static int
add_place(struct generator *g, struct place *p, struct mpq_err *err)
{
    const size_t n = p->seen ? 1 : prompt_length(g, p->i);

    if (mpq_grow(&g->tokens, &g->tokens_room, g->n_rows + n, sizeof *g->tokens) < 0)
        return no_memory(g, err);
    if (p->seen)
        g->tokens[g->n_rows] = last_token(g, p);
    else
        memcpy(g->tokens + g->n_rows, g->q->tokens + g->q->start[p->i],
               n * sizeof *g->tokens);
    g->seqs[g->n_seqs] =
        (struct mpq_fwd_seq){ .row = g->n_rows, .n = n, .pos = p->seen };
    g->who[g->n_seqs] = p;
    g->n_rows += n;
    g->rows[g->n_seqs++] = g->n_rows - 1;
    return 0;
}

/* What the step does: one token for whoever is under way, and new prompts where there
 * is a free place. */
static int
gather(struct generator *g, struct mpq_err *err)
{
    size_t prompts = 0;

    g->n_seqs = g->n_rows = 0;
    for (size_t k = 0; k < g->n_places; k++) {
        struct place *p = &g->places[k];
        if (!p->used && g->next < g->q->n && prompts < PROMPT_ROWS) {
            struct answer *a = &g->answers[g->next];
            *p = (struct place){ .used = 1, .i = g->next++ };
            prompts += prompt_length(g, p->i);
            a->tokens = mpq_array(g->opts->max_new, sizeof *a->tokens);
            if (!a->tokens)
                return no_memory(g, err);
        }
        if (p->used && add_place(g, p, err) < 0)
            return -1;
    }
    return 0;
}

static void
point_to_cache(struct generator *g, size_t layer)
{
    const struct mpq_net *net = &g->f->net;

    for (size_t k = 0; k < g->n_seqs; k++) {
        const size_t place = (size_t)(g->who[k] - g->places);
        float *at =
            g->cache + (place * net->n_layer + layer) * 2 * net->n_head_kv * g->plane;
        g->seqs[k].cache_k = at;
        g->seqs[k].cache_v = at + net->n_head_kv * g->plane;
        g->seqs[k].cache_stride = g->plane;
    }
}

static int
choose(void *ctx, const struct mpq_logit_tile *t, unsigned thread, struct mpq_err *err)
{
    struct generator *g = ctx;

    (void)thread, (void)err;
    for (size_t i = 0; i < t->n_rows; i++) {
        const float *x = t->logits + i * t->stride;
        float *most = &g->best_logit[t->row + i];
        for (uint32_t k = 0; k < t->n_vocab; k++)
            if ((t->vocab == 0 && k == 0) || x[k] > *most) {
                *most = x[k];
                g->best[t->row + i] = t->vocab + k;
            }
    }
    return 0;
}

static int
run_step(struct generator *g, struct mpq_err *err)
{
    struct mpq_forward *f = g->f;
    const size_t start[] = { 0, g->n_rows };
    const struct mpq_seqs all = { 1, g->tokens, start, NULL, NULL };

    if (mpq_fwd_room(&g->x, &g->x_room, g->n_rows * f->net.n_embd, err) < 0)
        return -1;
    struct mpq_states x = { .x = g->x, .n = g->n_rows, .width = f->net.n_embd };
    if (mpq_forward_embed(f, &all, &x, err) < 0)
        return -1;
    for (size_t l = 0; l < f->net.n_layer; l++) {
        if (!g->layers && mpq_fwd_decode(f, l, &f->layer, err) < 0)
            return -1;
        point_to_cache(g, l);
        if (mpq_fwd_run(f, g->layers ? &g->layers[l] : &f->layer, g->seqs, g->n_seqs,
                        g->x, err) < 0)
            return -1;
    }
    const struct mpq_logits_side side = { f, &x };
    return mpq_forward_logits(&side, NULL, g->rows, g->n_seqs, choose, g, err);
}

/* Takes the chosen tokens; places whose sequence is over become free. */
static void
advance(struct generator *g)
{
    const struct mpq_generate_opts *o = g->opts;

    for (size_t k = 0; k < g->n_seqs; k++) {
        struct place *p = g->who[k];
        struct answer *a = &g->answers[p->i];
        p->seen += g->seqs[k].n;
        a->tokens[a->n++] = g->best[k];
        a->finished =
            a->n == o->max_new || (o->over && o->over(o->ctx, p->i, a->tokens, a->n));
        p->used = !a->finished;
    }
}

/* Hands over what is finished, up to the first that is not. */
static int
report(struct generator *g, struct mpq_err *err)
{
    const struct mpq_generate_opts *o = g->opts;

    for (; g->reported < g->q->n && g->answers[g->reported].finished; g->reported++) {
        struct answer *a = &g->answers[g->reported];
        if (o->done && o->done(o->ctx, g->reported, a->tokens, a->n, err) < 0)
            return -1;
        free(a->tokens);
        a->tokens = NULL;
    }
    return 0;
}

static void
free_generator(struct generator *g)
{
    for (size_t i = 0; g->layers && i < g->f->net.n_layer; i++)
        mpq_fwd_layer_free(&g->layers[i]);
    for (size_t i = 0; g->answers && i < g->q->n; i++)
        free(g->answers[i].tokens);
    if (g->unembed.of)
        g->f->unembed = g->before;
    free(g->layers);
    mpq_fwd_free_unembed(&g->unembed);
    free(g->answers);
    free(g->places);
    free(g->cache);
    free(g->seqs);
    free(g->rows);
    free(g->who);
    free(g->tokens);
    free(g->x);
    free(g->best);
    free(g->best_logit);
}

int
mpq_forward_generate(struct mpq_forward *f, const struct mpq_seqs *q,
                     const struct mpq_generate_opts *opts, struct mpq_err *err)
{
    struct generator g = { .f = f, .q = q, .opts = opts };
    int rc = -1;

    assert(!q->parent);
    if (q->n == 0)
        return 0;
    if (plan_memory(&g, err) < 0)
        goto out;
    for (size_t i = 0; opts->max_new == 0 && i < q->n; i++)
        g.answers[i].finished = 1;
    while (opts->max_new > 0 && g.reported < q->n) {
        if (gather(&g, err) < 0 || run_step(&g, err) < 0)
            goto out;
        advance(&g);
        if (report(&g, err) < 0)
            goto out;
    }
    rc = report(&g, err);
out:
    free_generator(&g);
    return rc;
}
