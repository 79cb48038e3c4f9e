/* The header of a packed GGUF: the source's, with the types of the plan. */
#include "model/packfile.h"

#include "base/index.h"
#include "model/packfile_own.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* The keys that a packed file sets: in their old place, or behind all others. */
enum { KEY_FILE_TYPE, KEY_QUANT_VERSION, KEY_PLAN, KEY_PROVENANCE, N_KEYS };
static const char *const key_names[N_KEYS] = {
    "general.file_type",
    "general.quantization_version",
    "mpq.plan",
    "mpq.provenance",
};

/* general.file_type of a file that is mostly of a type: enum llama_ftype in llama.cpp's
 * include/llama.h, where "some of it is better" (Q4_K_M) is what its loader guesses. */
static const struct {
    uint8_t type, file_type;
} file_types[] = {
    { MPQ_F32, 0 },      { MPQ_F16, 1 },     { MPQ_Q4_0, 2 },   { MPQ_Q4_1, 3 },
    { MPQ_Q8_0, 7 },     { MPQ_Q5_0, 8 },    { MPQ_Q5_1, 9 },   { MPQ_Q2_K, 10 },
    { MPQ_Q3_K, 12 },    { MPQ_Q4_K, 15 },   { MPQ_Q5_K, 17 },  { MPQ_Q6_K, 18 },
    { MPQ_IQ2_XXS, 19 }, { MPQ_IQ2_XS, 20 }, { MPQ_IQ2_S, 28 }, { MPQ_IQ3_XXS, 23 },
    { MPQ_IQ1_S, 24 },   { MPQ_IQ4_NL, 25 }, { MPQ_IQ3_S, 26 }, { MPQ_IQ4_XS, 30 },
    { MPQ_IQ1_M, 31 },   { MPQ_BF16, 32 },   { MPQ_TQ1_0, 36 }, { MPQ_TQ2_0, 37 },
    { MPQ_MXFP4, 38 },   { MPQ_NVFP4, 39 },  { MPQ_Q1_0, 40 },  { MPQ_Q2_0, 41 },
};
enum { N_FILE_TYPES = sizeof file_types / sizeof *file_types };

/* The type that most weights have: those of the blocks, or, where a file has none, of
 * all matrices. */
static uint32_t
file_type(const struct mpq_source *s, const struct mpq_type *types)
{
    double best = 0;
    uint32_t answer = 0;

    for (int all = 0; all < 2 && best <= 0; all++) {
        double weights[N_FILE_TYPES] = { 0 };
        for (size_t i = 0; i < mpq_source_count(s); i++) {
            const struct mpq_weight *w = mpq_source_weight(s, i);
            for (size_t k = 0; k < N_FILE_TYPES; k++)
                if (file_types[k].type == types[i].id && w->is_matrix &&
                    (all || w->is_linear))
                    weights[k] += (double)w->tensor.n_elements;
        }
        for (size_t k = 0; k < N_FILE_TYPES; k++) {
            if (weights[k] > best) {
                best = weights[k];
                answer = file_types[k].file_type;
            }
        }
    }
    return answer;
}

/* For each tensor of the GGUF, in its order, the position of the weight in S. The
 * caller frees it. */
static size_t *
file_order(const struct mpq_source *s, struct mpq_err *err)
{
    const struct mpq_gguf *g = mpq_source_gguf(s);
    size_t n = mpq_gguf_count(g);
    size_t *order = mpq_array(n, sizeof *order);
    struct mpq_index index = { 0 };
    int rc =
        order ? 0 : mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", mpq_source_name(s));

    for (size_t i = 0; rc == 0 && i < mpq_source_count(s); i++)
        if (mpq_index_add(&index, mpq_source_weight(s, i)->file_name, i) < 0)
            rc = mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", mpq_source_name(s));
    if (rc == 0)
        mpq_index_sort(&index);
    for (size_t i = 0; rc == 0 && i < n; i++)
        if (!mpq_index_find(&index, mpq_gguf_tensor(g, i)->name, &order[i]))
            rc = mpq_fail(err, MPQ_EDATA, "%s: tensor %s: is no weight of the model",
                          mpq_source_name(s), mpq_gguf_tensor(g, i)->name);
    mpq_index_free(&index);
    if (rc < 0) {
        free(order);
        order = NULL;
    }
    return order;
}

static void
put_key(struct mpq_gguf_head *h, int key, uint32_t ftype, const unsigned char *plan,
        size_t n, const char *provenance)
{
    switch (key) {
    case KEY_FILE_TYPE:
        mpq_gguf_put_u32(h, key_names[key], ftype);
        break;
    case KEY_QUANT_VERSION:
        mpq_gguf_put_u32(h, key_names[key], 2);
        break;
    case KEY_PLAN:
        mpq_gguf_put_array(h, key_names[key], MPQ_GGUF_U8, plan, 1, n);
        break;
    default:
        mpq_gguf_put_str(h, key_names[key], provenance, MPQ_PROVENANCE_BYTES);
        break;
    }
}

static void
put_keys(struct mpq_gguf_head *h, const struct mpq_gguf *g, uint32_t ftype,
         const unsigned char *plan, const char *provenance)
{
    size_t n = mpq_gguf_count(g);
    int done[N_KEYS] = { 0 };

    for (size_t i = 0; i < mpq_gguf_kv_count(g); i++) {
        const struct mpq_gguf_kv *kv = mpq_gguf_kv_at(g, i);
        int key = 0;
        while (key < N_KEYS && strcmp(kv->key, key_names[key]) != 0)
            key++;
        if (key == N_KEYS) {
            mpq_gguf_put_raw(h, kv);
        } else {
            put_key(h, key, ftype, plan, n, provenance);
            done[key] = 1;
        }
    }
    for (int key = 0; key < N_KEYS; key++)
        if (!done[key])
            put_key(h, key, ftype, plan, n, provenance);
}

/* The i-th piece and its entry in the header. */
static int
put_piece(struct mpq_packfile *out, struct mpq_gguf_head *h, size_t i,
          const struct mpq_weight *w, struct mpq_type type, struct mpq_err *err)
{
    struct mpq_piece *p = &out->pieces[i];
    const struct mpq_tensor *t = &w->tensor;
    uint64_t before = h->data_size;

    *p = (struct mpq_piece){ .weight = w, .type = type, .stored = type };
    if (mpq_gguf_put_tensor(h, w->file_name, type, t->n_dims, t->dim, err) < 0 ||
        mpq_type_bytes(type, w->rows, w->cols, &p->bytes) < 0)
        return mpq_fail(err, MPQ_EDATA, "tensor %s: its size overflows", w->name);
    p->padding = h->data_size - before - p->bytes;
    return 0;
}

int
mpq_packgguf_plan(struct mpq_packfile *out, const struct mpq_source *s,
                  const struct mpq_type *types, const char *provenance,
                  struct mpq_err *err)
{
    const struct mpq_gguf *g = mpq_source_gguf(s);
    struct mpq_gguf_head h = { 0 };
    unsigned char *plan = NULL;
    size_t *order = NULL;
    char padded[MPQ_PROVENANCE_BYTES + 1];
    int rc = -1;

    if (!g)
        return mpq_fail(err, MPQ_EUSAGE,
                        "%s: is no GGUF file: -f safetensors or -f fake",
                        mpq_source_name(s));
    out->n = mpq_gguf_count(g);
    mpq_gguf_head_init(&h, mpq_gguf_alignment(g));
    plan = mpq_array(out->n, 1);
    order = file_order(s, err);
    if (!plan || !order) {
        mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", mpq_source_name(s));
        goto out;
    }
    for (size_t i = 0; i < out->n; i++)
        plan[i] = types[order[i]].id;
    mpq_packfile_pad(padded, provenance);
    put_keys(&h, g, file_type(s, types), plan, padded);
    for (size_t i = 0; i < out->n; i++)
        if (put_piece(out, &h, i, mpq_source_weight(s, order[i]), types[order[i]],
                      err) < 0)
            goto out;
    rc = mpq_gguf_head_finish(&h, &out->head, err);
    out->size_bytes = mpq_gguf_head_size(&h) + h.data_size;
out:
    mpq_gguf_head_free(&h);
    free(order);
    free(plan);
    return rc;
}

int
mpq_packfile_gguf_head_bytes(const struct mpq_source *s, uint64_t *bytes,
                             struct mpq_err *err)
{
    const struct mpq_gguf *g = mpq_source_gguf(s);
    struct mpq_gguf_head h;
    struct mpq_tensor const *t;
    char padded[MPQ_PROVENANCE_BYTES + 1];
    unsigned char *plan;
    int rc = 0;

    if (!g)
        return -1;
    plan = mpq_array(mpq_gguf_count(g), 1);
    if (!plan)
        return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", mpq_source_name(s));
    mpq_gguf_head_init(&h, mpq_gguf_alignment(g));
    mpq_packfile_pad(padded, "");
    put_keys(&h, g, 0, plan, padded);
    for (size_t i = 0; rc == 0 && i < mpq_gguf_count(g); i++) {
        t = mpq_gguf_tensor(g, i);
        rc = mpq_gguf_put_tensor(&h, t->name, t->type, t->n_dims, t->dim, err);
    }
    *bytes = mpq_gguf_head_size(&h);
    if (rc == 0 && (h.kvs.failed || h.tensors.failed))
        rc = mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", mpq_source_name(s));
    mpq_gguf_head_free(&h);
    free(plan);
    return rc;
}
