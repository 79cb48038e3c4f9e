/* A plan in the words of other tools. */
#include "base/text.h"
#include "fmt/json.h"
#include "model/names.h"
#include "model/plan.h"

#include <stdio.h>
#include <string.h>

/* NAME with all that is special in a regular expression escaped. */
static void
add_escaped(struct mpq_buf *b, const char *name)
{
    for (; *name; name++) {
        if (strchr(".*+?()[]{}|^$\\", *name))
            mpq_buf_adds(b, "\\");
        mpq_buf_add(b, name, 1);
    }
}

int
mpq_plan_llama(const struct mpq_plan *p, struct mpq_buf *text, struct mpq_err *err)
{
    const struct mpq_layout *l = p->layout;
    char type[MPQ_TYPE_NAME_MAX];

    for (size_t i = 0; i < l->n; i++) {
        const struct mpq_matrix *m = &l->matrices[i];
        mpq_type_name(p->types[i], type);
        if (!mpq_type_is_ggml(p->types[i]))
            return mpq_fail(err, MPQ_EDATA, "%s: llama-quantize has no type %s",
                            m->name, type);
        if (mpq_text_ends(m->name, ".bias"))
            continue;
        mpq_buf_adds(text, "^");
        add_escaped(text, m->name);
        mpq_buf_printf(text, "\\.weight$=%s\n", type);
    }
    /* llama-quantize cuts the file at blanks and takes every word for PATTERN=TYPE: a
     * comment is one such word that is found in no name. */
    for (size_t i = 0; i < l->n; i++) {
        const struct mpq_matrix *m = &l->matrices[i];
        mpq_type_name(p->types[i], type);
        if (m->role == MPQ_ROLE_EMBED)
            mpq_buf_printf(text, "#--token-embedding-type=%s\n", type);
        else if (m->role == MPQ_ROLE_OUTPUT)
            mpq_buf_printf(text, "#--output-tensor-type=%s\n", type);
    }
    if (text->failed)
        return mpq_fail(err, MPQ_ENOMEM, "plan: out of memory");
    return 0;
}

static const struct {
    const char *suffix, *module;
} modules[] = {
    { "attn_q", "self_attn.q_proj" },      { "attn_k", "self_attn.k_proj" },
    { "attn_v", "self_attn.v_proj" },      { "attn_output", "self_attn.o_proj" },
    { "attn_qkv", "self_attn.qkv_proj" },  { "ffn_gate", "mlp.gate_proj" },
    { "ffn_up", "mlp.up_proj" },           { "ffn_down", "mlp.down_proj" },
    { "ffn_gate_up", "mlp.gate_up_proj" },
};

/* The module of matrix M in a Hugging Face model; -1 when it is not known. */
static int
module_name(const struct mpq_matrix *m, char *dst, size_t size)
{
    const char *suffix = strrchr(m->name, '.');

    if (m->role == MPQ_ROLE_OUTPUT) {
        snprintf(dst, size, "lm_head");
        return 0;
    }
    for (size_t i = 0; suffix && i < sizeof modules / sizeof *modules; i++) {
        if (strcmp(suffix + 1, modules[i].suffix) != 0)
            continue;
        snprintf(dst, size, "model.layers.%d.%s", m->layer, modules[i].module);
        return 0;
    }
    return -1;
}

static int
add_module(struct mpq_buf *text, const struct mpq_matrix *m, struct mpq_type t,
           struct mpq_err *err)
{
    char module[128], type[MPQ_TYPE_NAME_MAX];
    struct mpq_buf key = { 0 };

    mpq_type_name(t, type);
    if (module_name(m, module, sizeof module) < 0)
        return mpq_fail(err, MPQ_EDATA,
                        "%s: no module of that kind is known to GPTQModel", m->name);
    if ((t.id != MPQ_INT || t.varied) && !mpq_type_is_float(t))
        return mpq_fail(err, MPQ_EDATA,
                        "%s: GPTQModel takes intB[gN][s] or floats, not %s"
                        " (--runtime vllm offers those)",
                        m->name, type);
    mpq_buf_adds(&key, t.id == MPQ_INT ? "+:^" : "-:^");
    add_escaped(&key, module);
    mpq_buf_adds(&key, "$");
    if (key.failed) {
        text->failed = 1;
    } else {
        mpq_buf_adds(text, text->len > 2 ? ",\n  " : "  ");
        mpq_json_quote(text, key.data, key.len);
    }
    if (t.id == MPQ_INT)
        mpq_buf_printf(text, ": {\"bits\": %u, \"group_size\": %ld, \"sym\": %s}",
                       (unsigned)t.bits, t.group ? (long)t.group : -1L,
                       t.symmetric ? "true" : "false");
    else
        mpq_buf_adds(text, ": {}");
    mpq_buf_free(&key);
    return 0;
}

int
mpq_plan_gptqmodel(const struct mpq_plan *p, struct mpq_buf *text, struct mpq_err *err)
{
    mpq_buf_adds(text, "{\n");
    for (size_t i = 0; i < p->layout->n; i++) {
        const struct mpq_matrix *m = &p->layout->matrices[i];
        /* An embedding is never GPTQModel's; neither are routers and their like. */
        if (!m->is_linear && m->role != MPQ_ROLE_OUTPUT) {
            if (p->types[i].id == MPQ_INT)
                return mpq_fail(err, MPQ_EDATA,
                                "%s: GPTQModel quantizes linear layers "
                                "alone",
                                m->name);
            continue;
        }
        if (add_module(text, m, p->types[i], err) < 0)
            return -1;
    }
    mpq_buf_adds(text, "\n}\n");
    if (text->failed)
        return mpq_fail(err, MPQ_ENOMEM, "plan: out of memory");
    return 0;
}
