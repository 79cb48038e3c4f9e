#include "model/hfconfig.h"

#include "base/text.h"
#include "fmt/json.h"
#include "model/checkpoint.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* The module of P: its name without ".weight". */
static size_t
module_length(const struct mpq_piece *p)
{
    return strlen(p->name) - (mpq_text_ends(p->name, ".weight") ? 7 : 0);
}

static void
add_module(struct mpq_buf *b, const struct mpq_piece *p)
{
    mpq_json_quote(b, p->name, module_length(p));
}

static int
is_packed(const struct mpq_piece *p)
{
    return p->stored.id == MPQ_INT;
}

/* A module that holds a matrix to multiply with: a loader asks what it is. */
static int
is_module(const struct mpq_piece *p)
{
    return p->weight->is_matrix &&
           (p->weight->is_linear || p->weight->role == MPQ_ROLE_OUTPUT);
}

/* --- compressed-tensors ---------------------------------------------------------- */

static void
add_group(const struct mpq_packfile *f, size_t first, size_t number, struct mpq_buf *b)
{
    const struct mpq_type t = f->pieces[first].stored;
    const char *comma = "";

    mpq_buf_printf(b, "%s\"group_%zu\": {\"targets\": [", number ? ", " : "", number);
    for (size_t i = first; i < f->n; i++)
        if (mpq_type_eq(f->pieces[i].stored, t)) {
            mpq_buf_adds(b, comma);
            add_module(b, &f->pieces[i]);
            comma = ", ";
        }
    mpq_buf_printf(b,
                   "], \"weights\": {\"num_bits\": %u, \"type\": \"int\", "
                   "\"symmetric\": %s, ",
                   (unsigned)t.bits, t.symmetric ? "true" : "false");
    if (t.group)
        mpq_buf_printf(b, "\"strategy\": \"group\", \"group_size\": %" PRIu32, t.group);
    else
        mpq_buf_adds(b, "\"strategy\": \"channel\", \"group_size\": null");
    mpq_buf_adds(b, ", \"dynamic\": false, \"actorder\": null}, "
                    "\"input_activations\": null, \"output_activations\": null, "
                    "\"format\": \"pack-quantized\"}");
}

/* The first piece with that type? */
static int
begins_type(const struct mpq_packfile *f, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (mpq_type_eq(f->pieces[k].stored, f->pieces[i].stored))
            return 0;
    return is_packed(&f->pieces[i]);
}

static void
put_compressed(const struct mpq_packfile *f, struct mpq_buf *b)
{
    size_t n = 0;
    int has_output = 0;

    mpq_buf_adds(b, "{\"quant_method\": \"compressed-tensors\", "
                    "\"format\": \"pack-quantized\", "
                    "\"quantization_status\": \"compressed\", "
                    "\"kv_cache_scheme\": null, \"global_compression_ratio\": null, "
                    "\"config_groups\": {");
    for (size_t i = 0; i < f->n; i++)
        if (begins_type(f, i))
            add_group(f, i, n++, b);
    mpq_buf_adds(b, "}, \"ignore\": [");
    n = 0;
    for (size_t i = 0; i < f->n; i++) {
        if (!is_module(&f->pieces[i]) || is_packed(&f->pieces[i]))
            continue;
        mpq_buf_adds(b, n++ ? ", " : "");
        add_module(b, &f->pieces[i]);
        has_output |= f->pieces[i].weight->role == MPQ_ROLE_OUTPUT;
    }
    if (!has_output) /* a tied model has the module, but no tensor of it */
        mpq_buf_adds(b, n ? ", \"lm_head\"" : "\"lm_head\"");
    mpq_buf_adds(b, "]}");
}

/* --- GPTQ ------------------------------------------------------------------------ */

static void
add_escaped(struct mpq_buf *b, const char *name, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (strchr(".*+?()[]{}|^$", name[i]))
            mpq_buf_adds(b, "\\\\"); /* a backslash in JSON */
        mpq_buf_add(b, name + i, 1);
    }
}

static void
add_args(struct mpq_buf *b, struct mpq_type t)
{
    mpq_buf_printf(b, "\"bits\": %u, \"group_size\": %ld, \"sym\": %s",
                   (unsigned)t.bits, t.group ? (long)t.group : -1L,
                   t.symmetric ? "true" : "false");
}

/* What vLLM reads as one module. */
static const struct {
    enum mpq_role roles[3];
    size_t n;
    const char *first, *pattern; /* of the module's last word: q_proj */
} fused[] = {
    { { MPQ_ROLE_Q, MPQ_ROLE_K, MPQ_ROLE_V }, 3, "q_proj", "(q|k|v|qkv)_proj" },
    { { MPQ_ROLE_GATE, MPQ_ROLE_UP }, 2, "gate_proj", "(gate|up|gate_up)_proj" },
};

static const struct mpq_piece *
find_role(const struct mpq_packfile *f, int layer, enum mpq_role role)
{
    for (size_t i = 0; i < f->n; i++)
        if (f->pieces[i].weight->layer == layer && f->pieces[i].weight->role == role)
            return &f->pieces[i];
    return NULL;
}

/* The fused module that P is of, when all of its matrices are alike; or -1. *leads: P
 * is the first of them. */
static int
fused_with(const struct mpq_packfile *f, const struct mpq_piece *p, int *leads)
{
    for (int k = 0; k < 2; k++) {
        int is_of = 0, alike = 1;
        for (size_t i = 0; i < fused[k].n; i++)
            is_of |= p->weight->role == fused[k].roles[i];
        for (size_t i = 0; is_of && i < fused[k].n; i++) {
            const struct mpq_piece *q =
                find_role(f, p->weight->layer, fused[k].roles[i]);
            alike &= q && is_packed(q) == is_packed(p) &&
                     (!is_packed(p) || mpq_type_eq(q->stored, p->stored));
        }
        if (is_of && alike) {
            *leads = p->weight->role == fused[k].roles[0];
            return k;
        }
    }
    return -1;
}

static void
add_dynamic(const struct mpq_packfile *f, const struct mpq_piece *p, size_t number,
            struct mpq_buf *b)
{
    int leads = 0;
    const int k = fused_with(f, p, &leads);
    size_t n = module_length(p);

    mpq_buf_printf(b, "%s\"%c:^", number ? ", " : "", is_packed(p) ? '+' : '-');
    if (k >= 0 && n > strlen(fused[k].first) &&
        !strncmp(p->name + n - strlen(fused[k].first), fused[k].first,
                 strlen(fused[k].first))) {
        add_escaped(b, p->name, n - strlen(fused[k].first));
        mpq_buf_adds(b, fused[k].pattern);
    } else {
        add_escaped(b, p->name, n);
    }
    mpq_buf_adds(b, "$\": {");
    if (is_packed(p))
        add_args(b, p->stored);
    mpq_buf_adds(b, "}");
}

/* The type of most weights; symmetric int4g128 where nothing is rounded. */
static struct mpq_type
main_type(const struct mpq_packfile *f)
{
    struct mpq_type best = {
        .id = MPQ_INT, .bits = 4, .symmetric = 1, .group = 128, .whole = 1
    };
    double most = 0;

    for (size_t i = 0; i < f->n; i++) {
        double sum = 0;
        if (!begins_type(f, i))
            continue;
        for (size_t k = i; k < f->n; k++)
            if (mpq_type_eq(f->pieces[k].stored, f->pieces[i].stored))
                sum += (double)f->pieces[k].weight->tensor.n_elements;
        if (sum > most) {
            most = sum;
            best = f->pieces[i].stored;
        }
    }
    return best;
}

static void
put_gptq(const struct mpq_packfile *f, struct mpq_buf *b)
{
    const struct mpq_type t = main_type(f);
    size_t n = 0;

    mpq_buf_adds(b, "{\"quant_method\": \"gptq\", ");
    add_args(b, t);
    mpq_buf_printf(b,
                   ", \"desc_act\": false, \"static_groups\": false, "
                   "\"true_sequential\": true, \"lm_head\": false, "
                   "\"pack_dtype\": \"int32\", \"checkpoint_format\": \"%s\", "
                   "\"meta\": {\"quantizer\": [\"mpq:" MPQ_VERSION "\"]}, "
                   "\"dynamic\": {",
                   f->form == MPQ_PACK_GPTQ ? "gptq" : "gptq_v2");
    for (size_t i = 0; i < f->n; i++) {
        const struct mpq_piece *p = &f->pieces[i];
        int leads = 1;
        if (!p->weight->is_matrix || !p->weight->is_linear || mpq_type_eq(p->stored, t))
            continue;
        if (fused_with(f, p, &leads) < 0 || leads)
            add_dynamic(f, p, n++, b);
    }
    mpq_buf_adds(b, "}}");
}

/* --- the file -------------------------------------------------------------------- */

/* Where the last brace of CONFIG is, and whether anything stands before it. */
static size_t
last_brace(const char *config)
{
    const char *brace = strrchr(config, '}');
    return brace ? (size_t)(brace - config) : 0;
}

/* What floats are, for who allocates them: as the embedding is, or the first matrix
 * that is a float. */
static const char *
float_type(const struct mpq_packfile *f)
{
    const struct mpq_piece *found = NULL;

    for (size_t i = 0; i < f->n; i++) {
        const struct mpq_piece *p = &f->pieces[i];
        if (p->weight->is_matrix && mpq_type_is_float(p->stored) &&
            (!found || p->weight->role == MPQ_ROLE_EMBED))
            found = p;
    }
    return !found                         ? "float16"
           : found->stored.id == MPQ_F32  ? "float32"
           : found->stored.id == MPQ_BF16 ? "bfloat16"
                                          : "float16";
}

/* CONFIG and its quantization_config, when TYPED before that its torch_dtype. */
static void
add_members(const struct mpq_packfile *f, const char *config, int is_empty, int typed,
            struct mpq_buf *text)
{
    size_t n = last_brace(config);

    while (n && strchr(" \t\r\n", config[n - 1]))
        n--;
    mpq_buf_add(text, config, n);
    if (typed)
        mpq_buf_printf(text, "%s\n  \"torch_dtype\": \"%s\"", is_empty ? "" : ",",
                       float_type(f));
    if (mpq_checkpoint_packs(f->form)) {
        mpq_buf_printf(
            text, "%s\n  \"quantization_config\": ", is_empty && !typed ? "" : ",");
        if (f->form == MPQ_PACK_CT)
            put_compressed(f, text);
        else
            put_gptq(f, text);
    }
    mpq_buf_adds(text, "\n}\n");
}

int
mpq_hfconfig_put(const struct mpq_packfile *f, const char *config, const char *name,
                 struct mpq_buf *text, struct mpq_err *err)
{
    struct mpq_json *json = NULL;
    int rc = -1;

    if (mpq_json_parse(&json, config, strlen(config), name, err) < 0)
        return -1;
    if (!mpq_json_is_object(json)) {
        mpq_fail(err, MPQ_EDATA, "%s: is no object", name);
        goto out;
    }
    if (mpq_json_get(json, "quantization_config")) {
        mpq_fail(err, MPQ_EDATA, "%s: has a quantization_config: is quantized already",
                 name);
        goto out;
    }
    const int typed = f->unconvert.config.len > 0; /* from GGUF: nothing said it yet */
    if (typed || mpq_checkpoint_packs(f->form))
        add_members(f, config, mpq_json_count(json) == 0, typed, text);
    else
        mpq_buf_adds(text, config);
    rc = text->failed ? mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", name) : 0;
out:
    mpq_json_free(json);
    return rc;
}
