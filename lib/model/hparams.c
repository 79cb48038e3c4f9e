/* Hyper-parameters from GGUF metadata, from config.json, and from the shapes. */
#include "base/buf.h"
#include "fmt/safe.h"
#include "model/source_own.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

/* model_type, or the class of `architectures` in lower case, where GGUF's name is
 * another (llama.cpp's conversion scripts). */
static const struct {
    const char *hf, *gguf;
} archs[] = {
    { "mistral", "llama" },
    { "mixtral", "llama" },
    { "smollm", "llama" },
    { "gemma2", "gemma2" },
    { "gemma3_text", "gemma3" },
    { "gemma3", "gemma3" },
    { "qwen2_moe", "qwen2moe" },
    { "qwen3_moe", "qwen3moe" },
    { "qwen2moe", "qwen2moe" },
    { "qwen3moe", "qwen3moe" },
    { "phi", "phi2" },
    { "cohere", "command-r" },
    { "deepseek_v2", "deepseek2" },
    { "deepseek_v3", "deepseek2" },
    { "gpt_oss", "gpt-oss" },
    { "gpt_neox", "gptneox" },
};

/* The number at KEY; of an array, which some models have for each layer, the greatest.
 */
static int
key_u64(const struct mpq_source *s, const char *arch, const char *key, uint64_t *out,
        struct mpq_err *err)
{
    char name[160];
    uint64_t most = 0, item;

    snprintf(name, sizeof name, "%s.%s", arch, key);
    const struct mpq_gguf_kv *kv = mpq_gguf_kv_find(mpq_source_keys(s), name);
    if (!kv)
        return 0;
    int fits = kv->type != MPQ_GGUF_STR && kv->item_type != MPQ_GGUF_STR;
    uint64_t n = kv->type == MPQ_GGUF_ARR ? kv->count : 1;
    for (uint64_t i = 0; fits && i < n; i++) {
        fits = mpq_gguf_item_u64(kv, i, &item) == 0;
        if (fits && item > most)
            most = item;
    }
    if (!fits)
        return mpq_fail(err, MPQ_EDATA, "%s: key %s: no whole number", s->name, name);
    *out = most;
    return 0;
}

/* A value from config.json: of the language model's part where it has parts. */
static const struct mpq_json *
config_value(const struct mpq_source *s, const char *key)
{
    static const char *const parts[] = { "text_config", "llm_config",
                                         "language_config" };

    for (size_t i = 0; i < COUNT(parts); i++) {
        const struct mpq_json *part = mpq_json_get(s->config, parts[i]);
        const struct mpq_json *v = mpq_json_get(part, key);
        if (v)
            return v;
    }
    return mpq_json_get(s->config, key);
}

static int
config_u64(const struct mpq_source *s, const char *key, uint64_t *out,
           struct mpq_err *err)
{
    const struct mpq_json *v = config_value(s, key);
    uint64_t most = 0, item;

    if (!mpq_json_is_array(v)) {
        if (mpq_json_u64(v, out) < 0)
            return mpq_fail(err, MPQ_EDATA, "%s: config.json: %s: no whole number",
                            s->name, key);
        return 0;
    }
    for (size_t i = 0; i < mpq_json_count(v); i++) {
        if (mpq_json_u64(mpq_json_item(v, i), &item) != 1)
            return mpq_fail(err, MPQ_EDATA, "%s: config.json: %s: no whole numbers",
                            s->name, key);
        most = item > most ? item : most;
    }
    *out = most;
    return 0;
}

static int
set_arch(struct mpq_source *s, const char *text, struct mpq_err *err)
{
    char *arch = s->hparams.arch;
    size_t n = strlen(text);
    const char *fault = mpq_safe_name(text, n);

    if (!fault && n >= sizeof s->hparams.arch)
        fault = "is longer than 63 bytes";
    if (fault)
        return mpq_fail(err, MPQ_EDATA, "%s: architecture \"%.80s\" %s", s->name, text,
                        fault);
    memcpy(arch, text, n + 1);
    for (size_t i = 0; !s->gguf && i < COUNT(archs); i++)
        if (!strcmp(arch, archs[i].hf))
            snprintf(arch, sizeof s->hparams.arch, "%s", archs[i].gguf);
    return 0;
}

/* Keeps the last component of what may be a path; whatever could disturb a table or a
 * terminal becomes '?'. */
static void
set_name(struct mpq_source *s, const char *text, size_t n)
{
    char *name = s->hparams.name;
    size_t used = 0, begin = n;

    while (n && (text[n - 1] == '/' || text[n - 1] == '\\'))
        n--;
    for (begin = n; begin && text[begin - 1] != '/' && text[begin - 1] != '\\';)
        begin--;
    for (size_t i = begin; i < n;) {
        size_t len = mpq_utf8_length((const unsigned char *)text + i, n - i);
        const char *fault = len ? mpq_safe_key(text + i, len) : "is not UTF-8";
        if (used + (fault ? 1 : len) >= sizeof s->hparams.name)
            break;
        if (fault)
            name[used++] = '?';
        else
            memcpy(name + used, text + i, len), used += len;
        i += len ? len : 1;
    }
    name[used] = '\0';
}

static int
read_keys(struct mpq_source *s, struct mpq_err *err)
{
    const struct mpq_gguf *g = mpq_source_keys(s);
    struct mpq_hparams *h = &s->hparams;
    char *arch = NULL;
    int rc = -1;

    int found = mpq_gguf_get_str(g, "general.architecture", &arch);
    if (found < 0) {
        mpq_fail(err, MPQ_EDATA, "%s: key general.architecture: no string", s->name);
        goto out;
    }
    const struct mpq_gguf_kv *name = mpq_gguf_kv_find(g, "general.name");
    if (name && name->type == MPQ_GGUF_STR)
        set_name(s, (const char *)name->data, (size_t)name->count);
    const struct mpq_gguf_kv *tokens = mpq_gguf_kv_find(g, "tokenizer.ggml.tokens");
    if (tokens && tokens->type == MPQ_GGUF_ARR)
        h->n_vocab = tokens->count;
    if (found && (set_arch(s, arch, err) < 0 ||
                  key_u64(s, arch, "block_count", &h->n_layer, err) < 0 ||
                  key_u64(s, arch, "embedding_length", &h->n_embd, err) < 0 ||
                  key_u64(s, arch, "attention.head_count", &h->n_head, err) < 0 ||
                  key_u64(s, arch, "attention.head_count_kv", &h->n_head_kv, err) < 0 ||
                  key_u64(s, arch, "attention.key_length", &h->head_dim, err) < 0 ||
                  key_u64(s, arch, "feed_forward_length", &h->n_ff, err) < 0 ||
                  key_u64(s, arch, "vocab_size", &h->n_vocab, err) < 0 ||
                  key_u64(s, arch, "context_length", &h->n_ctx, err) < 0))
        goto out;
    rc = 0;
out:
    free(arch);
    return rc;
}

/* The class name of `architectures` as a model_type: "LlamaForCausalLM" is llama. */
static void
class_to_arch(const char *class, char *dst, size_t size)
{
    const char *end = strstr(class, "For");
    size_t n = end ? (size_t)(end - class) : strlen(class);

    for (size_t i = 0; i < n && i + 1 < size; i++) {
        dst[i] = (char)tolower((unsigned char)class[i]);
        dst[i + 1] = '\0';
    }
}

static int
read_config(struct mpq_source *s, struct mpq_err *err)
{
    struct mpq_hparams *h = &s->hparams;
    char class_arch[64] = "";
    size_t len;

    const char *class =
        mpq_json_str(mpq_json_item(mpq_json_get(s->config, "architectures"), 0), NULL);
    const char *type = mpq_json_str(config_value(s, "model_type"), NULL);
    if (!type && class) {
        class_to_arch(class, class_arch, sizeof class_arch);
        type = class_arch;
    }
    if (type && *type && set_arch(s, type, err) < 0)
        return -1;
    const char *name = mpq_json_str(mpq_json_get(s->config, "_name_or_path"), &len);
    if (name && *name)
        set_name(s, name, len);
    if (!h->name[0] && type)
        set_name(s, type, strlen(type));
    if (config_u64(s, "num_hidden_layers", &h->n_layer, err) < 0 ||
        config_u64(s, "hidden_size", &h->n_embd, err) < 0 ||
        config_u64(s, "num_attention_heads", &h->n_head, err) < 0 ||
        config_u64(s, "num_key_value_heads", &h->n_head_kv, err) < 0 ||
        config_u64(s, "head_dim", &h->head_dim, err) < 0 ||
        config_u64(s, "intermediate_size", &h->n_ff, err) < 0 ||
        config_u64(s, "vocab_size", &h->n_vocab, err) < 0 ||
        config_u64(s, "max_position_embeddings", &h->n_ctx, err) < 0)
        return -1;
    return 0;
}

/* The first matrix with ROLE in any layer, not of experts, or NULL. */
static const struct mpq_weight *
any_layer(const struct mpq_source *s, enum mpq_role role)
{
    for (size_t i = 0; i < s->n_weights; i++)
        if (s->weights[i].role == role && s->weights[i].tensor.n_dims == 2)
            return &s->weights[i];
    return NULL;
}

/* What the metadata left open and the shapes tell. Some configurations leave out what
 * is the class's default (Gemma 3's: the numbers of heads). */
static void
derive(struct mpq_source *s)
{
    struct mpq_hparams *h = &s->hparams;
    const struct mpq_weight *embed = mpq_source_find(s, "token_embd");
    const struct mpq_weight *q = any_layer(s, MPQ_ROLE_Q),
                            *k = any_layer(s, MPQ_ROLE_K);
    const struct mpq_weight *down = any_layer(s, MPQ_ROLE_DOWN);
    const struct mpq_weight *norm = mpq_source_find(s, "blk.0.attn_q_norm");

    h->tied = embed && !mpq_source_find(s, "output");
    if (embed && !h->n_embd)
        h->n_embd = embed->cols;
    if (embed && !h->n_vocab)
        h->n_vocab = embed->rows;
    if (down && !h->n_ff)
        h->n_ff = down->cols;
    if (!h->head_dim && h->n_head && q && q->rows % h->n_head == 0)
        h->head_dim = q->rows / h->n_head;
    else if (!h->head_dim && h->n_head)
        h->head_dim = h->n_embd / h->n_head;
    else if (!h->head_dim && norm) /* one gain for each dimension of a head */
        h->head_dim = norm->cols;
    if (!h->n_head && q && h->head_dim && q->rows % h->head_dim == 0)
        h->n_head = q->rows / h->head_dim;
    if (!h->n_head_kv && k && h->head_dim && k->rows % h->head_dim == 0)
        h->n_head_kv = k->rows / h->head_dim;
    if (!h->n_head_kv)
        h->n_head_kv = h->n_head;
}

/* Tensors of layers that config.json does not count: the folder is of another model
 * than it. Those that predict tokens further ahead come behind the others and are
 * counted apart. (A GGUF's block_count may leave them out.) */
static int
check_counted(const struct mpq_source *s, uint64_t n_layer, struct mpq_err *err)
{
    const uint64_t declared = s->hparams.n_layer;
    uint64_t ahead = 0;

    if (!s->config || mpq_source_keys(s) || !declared || n_layer <= declared)
        return 0;
    if (config_u64(s, "num_nextn_predict_layers", &ahead, err) < 0)
        return -1;
    if (n_layer - declared <= ahead)
        return 0;
    return mpq_fail(err, MPQ_EDATA,
                    "%s: config.json: num_hidden_layers is %" PRIu64
                    ", tensors there are of %" PRIu64 " layers",
                    s->name, declared, n_layer);
}

/* Every layer must have tensors: a shard opened alone or a cut stream shows here. */
static int
check_layers(struct mpq_source *s, struct mpq_err *err)
{
    uint64_t declared = s->hparams.n_layer, next = 0;

    for (size_t i = 0; i < s->n_weights; i++) {
        int layer = s->weights[i].layer;
        if (layer < 0 || (uint64_t)layer < next)
            continue;
        if ((uint64_t)layer > next)
            return mpq_fail(err, MPQ_EDATA,
                            "%s: no tensors of layer %" PRIu64 ", but some of layer %d",
                            s->name, next, layer);
        next = (uint64_t)layer + 1;
    }
    if (declared > next)
        return mpq_fail(err, MPQ_EDATA,
                        "%s: %" PRIu64
                        " layers are declared, tensors there are of %" PRIu64,
                        s->name, declared, next);
    if (check_counted(s, next, err) < 0)
        return -1;
    s->hparams.n_layer = next;
    return 0;
}

int
mpq_source_read_hparams(struct mpq_source *s, struct mpq_err *err)
{
    if (mpq_source_keys(s)) {
        if (read_keys(s, err) < 0)
            return -1;
    } else if (s->config && read_config(s, err) < 0) {
        return -1;
    }
    derive(s);
    return check_layers(s, err);
}
