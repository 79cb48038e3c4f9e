/* The list of a model's weights: short names, layers, roles, and their order. */
#include "model/native.h"
#include "model/source_own.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static size_t
count_tensors(const struct mpq_source *s)
{
    size_t n = s->gguf ? mpq_gguf_count(s->gguf) : 0;

    for (size_t i = 0; i < s->n_shards; i++)
        n += mpq_st_count(s->shards[i].st);
    return n;
}

/* The tensors of shard K, what a container of ours packed as the matrices it holds. */
static int
collect_shard(struct mpq_source *s, size_t k, struct mpq_err *err)
{
    const struct mpq_shard *shard = &s->shards[k];
    struct mpq_native_tensor *tensors;
    size_t n;

    if (mpq_native_tensors(shard->st, shard->path, &s->strings, &tensors, &n, err) < 0)
        return -1;
    for (size_t i = 0; i < n; i++) {
        struct mpq_weight *w = &s->weights[s->n_weights++];
        w->tensor = tensors[i].tensor;
        w->tensor.part = (unsigned)k;
        w->scales = tensors[i].scales;
        w->zeros = tensors[i].zeros;
        w->map = tensors[i].map;
    }
    free(tensors);
    return 0;
}

/* All tensors in file order, one shard after the other. */
static int
collect(struct mpq_source *s, struct mpq_err *err)
{
    for (size_t i = 0; s->gguf && i < mpq_gguf_count(s->gguf); i++)
        s->weights[s->n_weights++].tensor = *mpq_gguf_tensor(s->gguf, i);
    for (size_t k = 0; k < s->n_shards; k++)
        if (collect_shard(s, k, err) < 0)
            return -1;
    return 0;
}

/* Does the model have norms before and after the feed-forward? See names.h. */
static int
is_sandwich(const struct mpq_source *s)
{
    for (size_t i = 0; i < s->n_weights; i++)
        if (strstr(s->weights[i].tensor.name, ".post_feedforward_layernorm."))
            return 1;
    return 0;
}

static int
describe(struct mpq_source *s, struct mpq_weight *w, int sandwich, struct mpq_err *err)
{
    char name[MPQ_SHORT_MAX];
    int fits = sandwich ? mpq_name_short_sandwich(w->tensor.name, name, sizeof name)
                        : mpq_name_short(w->tensor.name, name, sizeof name);

    if (fits < 0)
        return mpq_fail(err, MPQ_EDATA, "%s: tensor %s: name is too long", s->name,
                        w->tensor.name);
    w->name = mpq_pool_strdup(&s->strings, name);
    if (!w->name)
        return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", s->name);
    w->file_name = w->tensor.name;
    w->layer = mpq_name_layer(name);
    w->rows = mpq_tensor_rows(&w->tensor);
    w->cols = mpq_tensor_cols(&w->tensor);
    w->is_matrix = w->tensor.n_dims >= 2;
    if (w->is_matrix)
        w->role = mpq_name_role(name);
    w->is_linear = mpq_role_is_linear(w->role);
    return 0;
}

struct place {
    int group; /* 0: outside the blocks and before them in the file, 1: blocks, 2: rest
                */
    int layer;
    size_t pos; /* in the file */
};

static int
compare_places(const void *a, const void *b)
{
    const struct place *x = a, *y = b;

    if (x->group != y->group)
        return x->group - y->group;
    if (x->layer != y->layer)
        return x->layer - y->layer;
    return (x->pos > y->pos) - (x->pos < y->pos);
}

static int
sort_weights(struct mpq_source *s, struct mpq_err *err)
{
    struct place *places = mpq_array(s->n_weights, sizeof *places);
    struct mpq_weight *sorted = mpq_array(s->n_weights, sizeof *sorted);
    int in_blocks = 0, rc = -1;

    if (!places || !sorted) {
        mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", s->name);
        goto out;
    }
    for (size_t i = 0; i < s->n_weights; i++) {
        int layer = s->weights[i].layer;
        if (!in_blocks && layer < 0)
            s->first_block = i + 1;
        in_blocks |= layer >= 0;
        places[i] = (struct place){ layer >= 0 ? 1 : in_blocks ? 2 : 0, layer, i };
    }
    if (s->n_weights)
        qsort(places, s->n_weights, sizeof *places, compare_places);
    for (size_t i = 0; i < s->n_weights; i++)
        sorted[i] = s->weights[places[i].pos];
    free(s->weights);
    s->weights = sorted;
    sorted = NULL;
    rc = 0;
out:
    free(places);
    free(sorted);
    return rc;
}

static int
index_weights(struct mpq_source *s, struct mpq_err *err)
{
    const struct mpq_weight *a = NULL, *b = NULL;

    for (size_t i = 0; i < s->n_weights; i++)
        if (mpq_index_add(&s->by_name, s->weights[i].name, i) < 0)
            return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", s->name);
    const char *twice = mpq_index_sort(&s->by_name);
    if (!twice)
        return 0;
    for (size_t i = 0; i < s->n_weights; i++)
        if (!strcmp(s->weights[i].name, twice)) {
            a = b;
            b = &s->weights[i];
        }
    return mpq_fail(err, MPQ_EDATA, "%s: tensors %s and %s: both are %s", s->name,
                    a->file_name, b->file_name, twice);
}

/* phi3's gate and up projections are one matrix that GGUF calls ffn_up: told by its
 * having twice the rows that ffn_down has columns, and by there being no ffn_gate. */
static void
find_fused(struct mpq_source *s)
{
    for (size_t i = 0; i < s->n_weights; i++) {
        struct mpq_weight *up = &s->weights[i];
        if (up->role != MPQ_ROLE_UP || up->tensor.n_dims != 2 ||
            mpq_source_role(s, up->layer, MPQ_ROLE_GATE))
            continue;
        const struct mpq_weight *down = mpq_source_role(s, up->layer, MPQ_ROLE_DOWN);
        if (down && down->tensor.n_dims == 2 && up->rows / 2 == down->cols &&
            up->rows % 2 == 0)
            up->role = MPQ_ROLE_GATE_UP;
    }
}

int
mpq_source_list_weights(struct mpq_source *s, struct mpq_err *err)
{
    s->weights = mpq_array(count_tensors(s), sizeof *s->weights);
    if (!s->weights)
        return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", s->name);
    if (collect(s, err) < 0)
        return -1;
    if (!s->n_weights)
        return mpq_fail(err, MPQ_EDATA, "%s: no tensors in it", s->name);
    int sandwich = is_sandwich(s);
    for (size_t i = 0; i < s->n_weights; i++)
        if (describe(s, &s->weights[i], sandwich, err) < 0)
            return -1;
    if (sort_weights(s, err) < 0 || index_weights(s, err) < 0)
        return -1;
    find_fused(s);
    return 0;
}

size_t
mpq_source_count(const struct mpq_source *s)
{
    return s->n_weights;
}

const struct mpq_weight *
mpq_source_weight(const struct mpq_source *s, size_t i)
{
    return &s->weights[i];
}

const struct mpq_weight *
mpq_source_find(const struct mpq_source *s, const char *name)
{
    size_t i;

    return mpq_index_find(&s->by_name, name, &i) ? &s->weights[i] : NULL;
}

/* Position of the first weight of LAYER >= 0 or above, or behind all of the blocks. */
static size_t
first_of_layer(const struct mpq_source *s, int layer)
{
    size_t lo = 0, hi = s->n_weights;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        const struct mpq_weight *w = &s->weights[mid];
        /* outside the blocks: before them in the array unless behind the last */
        int before = w->layer >= 0 ? w->layer < layer : mid < s->first_block;
        if (before)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

const struct mpq_weight *
mpq_source_role(const struct mpq_source *s, int layer, enum mpq_role role)
{
    if (layer < 0) {
        const char *name = role == MPQ_ROLE_EMBED    ? "token_embd"
                           : role == MPQ_ROLE_OUTPUT ? "output"
                                                     : NULL;
        const struct mpq_weight *w = name ? mpq_source_find(s, name) : NULL;
        return w && w->role == role ? w : NULL;
    }
    for (size_t i = first_of_layer(s, layer);
         i < s->n_weights && s->weights[i].layer == layer; i++)
        if (s->weights[i].role == role)
            return &s->weights[i];
    return NULL;
}
