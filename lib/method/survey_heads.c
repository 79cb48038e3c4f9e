/* The heads of a layer: its attention's tensors, separate or fused, as items. */
#include "method/survey_layer.h"

#include "base/buf.h"

#include <stdlib.h>

enum {
    HEADS = 4,           /* query heads of an item */
    MAX_HEADS = 1 << 20, /* what a file says is not believed beyond this */
};

/* Rows [row, row + n) of a part, the caller's; NULL with *err set. */
static float *
rows_of(const struct mpq_layer_work *k, const struct mpq_part *p, uint64_t row,
        uint64_t n, struct mpq_err *err)
{
    float *x = mpq_array(n, p->w->cols * sizeof *x);

    if (!x) {
        mpq_work_no_memory(k, err);
    } else if (mpq_source_read_rows(k->v->source, p->w, p->row + row, n, x, err) < 0) {
        free(x);
        x = NULL;
    }
    return x;
}

static int
do_qk(const struct mpq_layer_work *k, const struct mpq_item *it, struct mpq_err *err)
{
    const uint64_t r = k->qk_rank;
    float *key = rows_of(k, &k->k, it->kv * r, r, err);
    float *query = key ? rows_of(k, &k->q, it->head * r, it->n_heads * r, err) : NULL;
    int rc = -1;

    if (key && query)
        rc = mpq_nsds_qk(k->qk + it->head, query, it->n_heads, key, r, k->q.w->cols,
                         err);
    free(key);
    free(query);
    return rc;
}

static int
do_ov(const struct mpq_layer_work *k, const struct mpq_item *it, struct mpq_err *err)
{
    const uint64_t r = k->ov_rank;
    float *value = rows_of(k, &k->value, it->kv * r, r, err);
    int rc = -1;

    if (value)
        rc = mpq_nsds_ov(k->ov + it->head, k->o_all + it->head * r, k->o.w->cols,
                         it->n_heads, value, r, k->o.rows, &k->v->p, err);
    free(value);
    return rc;
}

int
mpq_work_heads(struct mpq_layer_work *k, const struct mpq_item *it, struct mpq_err *err)
{
    return it->kind == MPQ_ITEM_QK ? do_qk(k, it, err) : do_ov(k, it, err);
}

static struct mpq_part
whole(const struct mpq_weight *w)
{
    return (struct mpq_part){ w, 0, w ? w->rows : 0 };
}

/* The attention's parts, from separate or fused tensors. */
static int
find_attention(struct mpq_layer_work *k, struct mpq_err *err)
{
    const struct mpq_source *s = k->v->source;
    const struct mpq_weight *qkv = mpq_source_role(s, k->layer, MPQ_ROLE_QKV);

    k->q = whole(mpq_source_role(s, k->layer, MPQ_ROLE_Q));
    k->k = whole(mpq_source_role(s, k->layer, MPQ_ROLE_K));
    k->value = whole(mpq_source_role(s, k->layer, MPQ_ROLE_V));
    k->o = whole(mpq_source_role(s, k->layer, MPQ_ROLE_O));
    if (!qkv || k->q.w)
        return 0;
    const uint64_t parts = k->n_head + 2 * k->n_kv, rank = qkv->rows / parts;
    if (rank == 0 || qkv->rows % parts)
        return mpq_work_misfit(k, qkv, "rows of its heads", qkv->rows, rank * parts,
                               err);
    k->q = (struct mpq_part){ qkv, 0, k->n_head * rank };
    k->k = (struct mpq_part){ qkv, k->n_head * rank, k->n_kv * rank };
    k->value = (struct mpq_part){ qkv, (k->n_head + k->n_kv) * rank, k->n_kv * rank };
    return 0;
}

/* Do N heads divide HAS, and each into RANK? */
static int
check_heads(const struct mpq_layer_work *k, const struct mpq_weight *w,
            const char *what, uint64_t has, uint64_t n, uint64_t rank,
            struct mpq_err *err)
{
    return has == n * rank && rank > 0
               ? 0
               : mpq_work_misfit(k, w, what, has, n * rank, err);
}

static int
check_attention(struct mpq_layer_work *k, struct mpq_err *err)
{
    if (k->q.w && k->k.w) {
        k->qk_rank = k->k.rows / k->n_kv;
        if (check_heads(k, k->k.w, "rows of its heads", k->k.rows, k->n_kv, k->qk_rank,
                        err) < 0 ||
            check_heads(k, k->q.w, "rows of its heads", k->q.rows, k->n_head,
                        k->qk_rank, err) < 0)
            return -1;
        if (k->q.w->cols != k->k.w->cols)
            return mpq_work_misfit(k, k->k.w, "columns", k->k.w->cols, k->q.w->cols,
                                   err);
    }
    if (k->value.w && k->o.w) {
        k->ov_rank = k->value.rows / k->n_kv;
        if (check_heads(k, k->value.w, "rows of its heads", k->value.rows, k->n_kv,
                        k->ov_rank, err) < 0 ||
            check_heads(k, k->o.w, "columns of its heads", k->o.w->cols, k->n_head,
                        k->ov_rank, err) < 0)
            return -1;
        if (k->o.rows != k->value.w->cols)
            return mpq_work_misfit(k, k->o.w, "rows", k->o.rows, k->value.w->cols, err);
        if (k->o.rows != k->v->p.n)
            return mpq_work_misfit(k, k->o.w, "rows for the unembedding", k->o.rows,
                                   k->v->p.n, err);
    }
    return 0;
}

/* Query heads of one kv head, a few to an item. */
static int
add_heads(struct mpq_layer_work *k, enum mpq_item_kind kind, struct mpq_err *err)
{
    for (uint64_t h = 0; h < k->n_head;) {
        const uint64_t kv = h * k->n_kv / k->n_head;
        struct mpq_item *it = mpq_work_add(k, kind, err);
        if (!it)
            return -1;
        it->kv = kv;
        it->head = h;
        while (h < k->n_head && it->n_heads < HEADS && h * k->n_kv / k->n_head == kv) {
            it->n_heads++;
            h++;
        }
    }
    return 0;
}

static int
has_attention(const struct mpq_layer_work *k)
{
    for (int role = MPQ_ROLE_Q; role <= MPQ_ROLE_QKV; role++)
        if (mpq_source_role(k->v->source, k->layer, (enum mpq_role)role))
            return 1;
    return 0;
}

int
mpq_work_attention(struct mpq_layer_work *k, struct mpq_err *err)
{
    const struct mpq_hparams *hp = mpq_source_hparams(k->v->source);

    if (!has_attention(k))
        return 0;
    k->n_head = hp->n_head;
    k->n_kv = hp->n_head_kv ? hp->n_head_kv : hp->n_head;
    if (k->n_head == 0 || k->n_kv > k->n_head || k->n_head > MAX_HEADS)
        return mpq_fail(err, MPQ_EDATA,
                        "%s: NSDS needs the number of heads, and has %llu over %llu",
                        mpq_source_name(k->v->source), (unsigned long long)k->n_head,
                        (unsigned long long)k->n_kv);
    if (find_attention(k, err) < 0 || check_attention(k, err) < 0)
        return -1;
    if (k->q.w && k->k.w) {
        k->qk = mpq_array(k->n_head, sizeof *k->qk);
        if (!k->qk)
            return mpq_work_no_memory(k, err);
        if (add_heads(k, MPQ_ITEM_QK, err) < 0)
            return -1;
    }
    if (!k->value.w || !k->o.w)
        return 0;
    k->ov = mpq_array(k->n_head, sizeof *k->ov);
    k->o_all = mpq_array(k->o.rows, k->o.w->cols * sizeof *k->o_all);
    if (!k->ov || !k->o_all)
        return mpq_work_no_memory(k, err);
    if (mpq_survey_decode(k->v, k->o.w, k->o.row, k->o.rows, k->o_all, err) < 0)
        return -1;
    return add_heads(k, MPQ_ITEM_OV, err);
}
