/* The header of a packed GGUF: the source's, with the types of the plan. */
#include "model/packfile.h"

#include "base/index.h"
#include "model/packfile_own.h"
#include "quant/codec.h"

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

/* What the file is made of: metadata, and tensors in their order. */
struct content {
    const struct mpq_gguf *keys;
    uint64_t alignment;
    const struct mpq_convert_tensor *tensors; /* [n] */
    size_t n;
    struct mpq_convert_tensor
        *own; /* the tensors of a GGUF; a conversion has its own */
};

/* The tensors of the GGUF in its order, with their positions in S. */
static int
list_tensors(struct content *c, const struct mpq_source *s, struct mpq_err *err)
{
    const struct mpq_gguf *g = mpq_source_gguf(s);
    struct mpq_index index = { 0 };
    int rc = 0;

    c->n = mpq_gguf_count(g);
    c->tensors = c->own = mpq_array(c->n, sizeof *c->own);
    if (!c->own)
        rc = mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", mpq_source_name(s));
    for (size_t i = 0; rc == 0 && i < mpq_source_count(s); i++)
        if (mpq_index_add(&index, mpq_source_weight(s, i)->file_name, i) < 0)
            rc = mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", mpq_source_name(s));
    if (rc == 0)
        mpq_index_sort(&index);
    for (size_t i = 0; rc == 0 && i < c->n; i++) {
        struct mpq_convert_tensor *t = &c->own[i];
        t->name = mpq_gguf_tensor(g, i)->name;
        if (mpq_index_find(&index, t->name, &t->index))
            t->weight = mpq_source_weight(s, t->index);
        else
            rc = mpq_fail(err, MPQ_EDATA, "%s: tensor %s: is no weight of the model",
                          mpq_source_name(s), t->name);
    }
    mpq_index_free(&index);
    return rc;
}

/* CONVERT is filled when S is no GGUF. */
static int
open_content(struct content *c, const struct mpq_source *s, struct mpq_convert *convert,
             struct mpq_err *err)
{
    *c = (struct content){ .keys = mpq_source_gguf(s),
                           .alignment = MPQ_CONVERT_ALIGNMENT };
    if (c->keys) {
        c->alignment = mpq_gguf_alignment(c->keys);
        return list_tensors(c, s, err);
    }
    if (mpq_convert_open(convert, s, err) < 0)
        return -1;
    c->keys = convert->keys;
    c->tensors = convert->tensors;
    c->n = convert->n;
    return 0;
}

/* The type of a tensor of the file: what TYPES (NULL: the present ones) give a matrix;
 * a converted model's vectors are F32, as llama.cpp wants them. */
static struct mpq_type
type_of(const struct mpq_source *s, const struct mpq_convert_tensor *t,
        const struct mpq_type *types)
{
    if (!mpq_source_gguf(s) && !mpq_source_keys(s) && !t->weight->is_matrix)
        return MPQ_TYPE(MPQ_F32);
    return types && t->index != SIZE_MAX ? types[t->index] : t->weight->tensor.type;
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
         const unsigned char *plan, size_t n, const char *provenance)
{
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
          const struct mpq_convert_tensor *from, struct mpq_type type,
          struct mpq_err *err)
{
    const struct mpq_weight *w = from->weight;
    const struct mpq_tensor *t = &w->tensor;
    struct mpq_piece *p = &out->pieces[i];
    uint64_t before = h->data_size;

    *p = (struct mpq_piece){ .weight = w,
                             .name = from->name,
                             .index = from->index,
                             .head = from->head,
                             .plus = from->plus,
                             .type = type,
                             .stored = type };
    if (mpq_gguf_put_tensor(h, from->name, type, t->n_dims, t->dim, err) < 0 ||
        mpq_type_bytes(type, w->rows, w->cols, &p->bytes) < 0)
        return mpq_fail(err, MPQ_EDATA, "tensor %s: its size overflows", w->name);
    p->padding = h->data_size - before - p->bytes;
    return 0;
}

/* GGUF has tensors of one to four dimensions, and ggml's types. */
static int
check_tensor(const struct mpq_source *s, const struct mpq_convert_tensor *t,
             struct mpq_type type, struct mpq_err *err)
{
    char name[MPQ_TYPE_NAME_MAX];

    if (t->weight->tensor.n_dims < 1 || t->weight->tensor.n_dims > 4)
        return mpq_fail(
            err, MPQ_EDATA, "%s: tensor %s: %u dimensions, a GGUF takes 1 to 4",
            mpq_source_name(s), t->weight->file_name, t->weight->tensor.n_dims);
    if (!mpq_type_is_ggml(type))
        return mpq_fail(err, MPQ_EDATA,
                        "%s: tensor %s: type %s: a GGUF file cannot hold it: "
                        "-f safetensors does",
                        mpq_source_name(s), t->weight->name, mpq_type_name(type, name));
    if (!mpq_type_eq(type, t->weight->tensor.type) &&
        !mpq_codec_reads(t->weight->tensor.type))
        return mpq_fail(err, MPQ_EDATA, "%s: tensor %s: type %s: cannot be decoded",
                        mpq_source_name(s), t->weight->name,
                        mpq_type_name(t->weight->tensor.type, name));
    return 0;
}

int
mpq_packgguf_plan(struct mpq_packfile *out, const struct mpq_source *s,
                  const struct mpq_type *types, const char *provenance,
                  struct mpq_err *err)
{
    struct mpq_gguf_head h = { 0 };
    unsigned char *plan = NULL;
    char padded[MPQ_PROVENANCE_BYTES + 1];
    struct content c;
    int rc = -1;

    if (open_content(&c, s, &out->convert, err) < 0)
        goto out;
    if (!mpq_source_gguf(s) && mpq_convert_check_tokens(&out->convert, s, err) < 0)
        goto out;
    out->n = c.n;
    mpq_gguf_head_init(&h, c.alignment);
    plan = mpq_array(out->n, 1);
    if (!plan) {
        mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", mpq_source_name(s));
        goto out;
    }
    for (size_t i = 0; i < out->n; i++) {
        const struct mpq_type type = type_of(s, &c.tensors[i], types);
        if (check_tensor(s, &c.tensors[i], type, err) < 0)
            goto out;
        plan[i] = type.id;
    }
    mpq_packfile_pad(padded, provenance);
    put_keys(&h, c.keys, file_type(s, types), plan, c.n, padded);
    for (size_t i = 0; i < out->n; i++)
        if (put_piece(out, &h, i, &c.tensors[i], type_of(s, &c.tensors[i], types),
                      err) < 0)
            goto out;
    rc = mpq_gguf_head_finish(&h, &out->head, err);
    out->size_bytes = mpq_gguf_head_size(&h) + h.data_size;
out:
    mpq_gguf_head_free(&h);
    free(c.own);
    free(plan);
    return rc;
}

/* Bytes of what is no matrix, each tensor padded. */
static int
rest_bytes(const struct mpq_source *s, const struct content *c, uint64_t *rest)
{
    *rest = 0;
    for (size_t i = 0; i < c->n; i++) {
        const struct mpq_weight *w = c->tensors[i].weight;
        uint64_t size;
        if (w->is_matrix)
            continue;
        if (mpq_type_bytes(type_of(s, &c->tensors[i], NULL), w->rows, w->cols, &size) <
                0 ||
            mpq_add_u64(size, (c->alignment - size % c->alignment) % c->alignment,
                        &size) < 0 ||
            mpq_add_u64(*rest, size, rest) < 0)
            return -1;
    }
    return 0;
}

int
mpq_packfile_gguf_head_bytes(const struct mpq_source *s, uint64_t *bytes,
                             uint64_t *rest, struct mpq_err *err)
{
    struct mpq_convert convert = { 0 };
    struct mpq_gguf_head h = { 0 };
    char padded[MPQ_PROVENANCE_BYTES + 1];
    unsigned char *plan = NULL;
    struct content c;
    int rc = -1;

    if (open_content(&c, s, &convert, err) < 0)
        goto out;
    mpq_gguf_head_init(&h, c.alignment);
    plan = mpq_array(c.n, 1);
    if (!plan) {
        mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", mpq_source_name(s));
        goto out;
    }
    mpq_packfile_pad(padded, "");
    put_keys(&h, c.keys, 0, plan, c.n, padded);
    for (size_t i = 0; i < c.n; i++) { /* no type has a say in the header's length */
        const struct mpq_tensor *t = &c.tensors[i].weight->tensor;
        if (t->n_dims < 1 || t->n_dims > 4) {
            (void)check_tensor(s, &c.tensors[i], t->type, err);
            goto out;
        }
        if (mpq_gguf_put_tensor(&h, c.tensors[i].name, MPQ_TYPE(MPQ_F32), t->n_dims,
                                t->dim, err) < 0)
            goto out;
    }
    *bytes = mpq_gguf_head_size(&h);
    if (h.kvs.failed || h.tensors.failed)
        mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", mpq_source_name(s));
    else if (rest_bytes(s, &c, rest) < 0)
        mpq_fail(err, MPQ_EDATA, "%s: tensors of more than 2^64 bytes",
                 mpq_source_name(s));
    else
        rc = 0;
out:
    mpq_gguf_head_free(&h);
    free(c.own);
    free(plan);
    mpq_convert_free(&convert);
    return rc;
}
