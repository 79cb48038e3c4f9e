/* The tokenizer in GGUF metadata (tokenizer.ggml.*), as llama.cpp takes it. */
#include "model/tok_own.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY(x) "tokenizer.ggml." x

struct reader {
    struct mpq_tokenizer *t;
    const struct mpq_gguf *g;
    const char *name;
};

/* The array KEY of N items at least; NULL and 0 when it is not there. */
static int
find_array(const struct reader *r, const char *key, uint64_t n, int strings,
           const struct mpq_gguf_kv **kv, struct mpq_err *err)
{
    *kv = mpq_gguf_kv_find(r->g, key);
    if (!*kv)
        return 0;
    if ((*kv)->type != MPQ_GGUF_ARR || ((*kv)->item_type == MPQ_GGUF_STR) != strings)
        return mpq_fail(err, MPQ_EDATA, "%s: %s is no array of %s", r->name, key,
                        strings ? "strings" : "numbers");
    if ((*kv)->count < n)
        return mpq_fail(err, MPQ_EDATA,
                        "%s: %s has %" PRIu64 " items for %" PRIu64 " tokens", r->name,
                        key, (*kv)->count, n);
    return 0;
}

static int
read_tokens(const struct reader *r, struct mpq_err *err)
{
    const struct mpq_gguf_kv *tokens, *types;
    uint64_t pos = 0, n, kind;
    const char *s;

    if (find_array(r, KEY("tokens"), 0, 1, &tokens, err) < 0)
        return -1;
    if (!tokens || !tokens->count)
        return mpq_fail(err, MPQ_EDATA, "%s: " KEY("tokens") " is missing or empty",
                        r->name);
    if (find_array(r, KEY("token_type"), tokens->count, 0, &types, err) < 0)
        return -1;
    for (uint64_t i = 0; mpq_gguf_next_str(tokens, &pos, &s, &n); i++) {
        char empty[32];
        kind = MPQ_TOK_NORMAL;
        if (types && (mpq_gguf_item_u64(types, i, &kind) < 0 || kind > MPQ_TOK_BYTE))
            kind = MPQ_TOK_NORMAL;
        if (!n) { /* as llama.cpp calls it */
            n = (uint64_t)snprintf(empty, sizeof empty, "[EMPTY_%" PRIu64 "]", i);
            s = empty;
        }
        if (mpq_tok_add(r->t, s, (size_t)n, (enum mpq_tok_kind)kind, err) < 0)
            return -1;
    }
    return 0;
}

static int
read_merges(const struct reader *r, struct mpq_err *err)
{
    const struct mpq_gguf_kv *merges;
    uint64_t pos = 0, n;
    const char *s;

    if (find_array(r, KEY("merges"), 0, 1, &merges, err) < 0)
        return -1;
    if (!merges)
        return mpq_fail(err, MPQ_EDATA, "%s: " KEY("merges") " is missing", r->name);
    if (merges->count >= UINT32_MAX / 4)
        return mpq_fail(err, MPQ_EDATA, "%s: %" PRIu64 " merges are too many", r->name,
                        merges->count);
    if (mpq_tok_merges_init(r->t, (size_t)merges->count, err) < 0)
        return -1;
    for (uint32_t i = 0; mpq_gguf_next_str(merges, &pos, &s, &n); i++) {
        const char *blank = n > 1 ? memchr(s + 1, ' ', (size_t)n - 1) : NULL;
        if (!blank)
            continue; /* can never be met */
        const size_t left = (size_t)(blank - s);
        if (mpq_tok_add_merge(r->t, s, left, blank + 1, (size_t)n - left - 1, i, err) <
            0)
            return -1;
    }
    return 0;
}

static int
read_scores(const struct reader *r, struct mpq_err *err)
{
    const struct mpq_gguf_kv *scores;
    double score;

    if (find_array(r, KEY("scores"), r->t->n, 0, &scores, err) < 0)
        return -1;
    for (size_t i = 0; i < r->t->n; i++) {
        score = 0;
        if (scores && (mpq_gguf_item_f64(scores, i, &score) < 0 || isnan(score)))
            return mpq_fail(err, MPQ_EDATA,
                            "%s: " KEY("scores") ": item %zu is no number", r->name, i);
        r->t->pieces[i].rank = mpq_tok_rank((float)score);
    }
    return 0;
}

/* The token id under KEY; FALLBACK where there is none or it is no token. */
static int64_t
read_id(const struct reader *r, const char *key, int64_t fallback)
{
    uint64_t id;

    if (mpq_gguf_get_u64(r->g, key, &id) == 1 && id < r->t->n)
        return (int64_t)id;
    return fallback >= 0 && (uint64_t)fallback < r->t->n ? fallback : -1;
}

static int
has_id(const void *arg, const char *kind)
{
    const struct reader *r = arg;
    char key[64];
    uint64_t id;

    snprintf(key, sizeof key, KEY("%s_token_id"), kind);
    return mpq_gguf_get_u64(r->g, key, &id) == 1;
}

/* BOS and EOS with the defaults of llama.cpp, and other ends of generation. */
static int
read_special(const struct reader *r, int64_t bos, int64_t eos, struct mpq_err *err)
{
    static const char *const ends[] = { KEY("eot_token_id"), KEY("eom_token_id"),
                                        KEY("fim_pad_token_id"),
                                        KEY("fim_rep_token_id"),
                                        KEY("fim_sep_token_id") };
    struct mpq_tokenizer *t = r->t;

    t->bos = read_id(r, KEY("bos_token_id"), bos);
    t->eos = read_id(r, KEY("eos_token_id"), eos);
    mpq_gguf_get_bool(r->g, KEY("add_bos_token"), &t->add_bos);
    mpq_gguf_get_bool(r->g, KEY("add_eos_token"), &t->add_eos);
    if (!(t->eog = mpq_array(t->n, 1)))
        return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", r->name);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        const int64_t id = read_id(r, ends[i], -1);
        if (id >= 0)
            t->eog[id] = 1;
    }
    return 0;
}

/* Added tokens: what is no plain piece of text. */
static int
add_added(const struct reader *r, struct mpq_err *err)
{
    struct mpq_tokenizer *t = r->t;

    for (size_t i = 0; i < t->n; i++) {
        const struct mpq_tok_piece *p = &t->pieces[i];
        if ((p->kind == MPQ_TOK_CONTROL || p->kind == MPQ_TOK_USER ||
             p->kind == MPQ_TOK_UNKNOWN) &&
            mpq_tok_trie_add(&t->added, p->raw.s, p->raw.n, (uint32_t)i, err) < 0)
            return -1;
    }
    return 0;
}

/* Phi-3's added tokens take the blanks behind them; its GGUF files do not say so. */
static void
strip_phi3(const struct reader *r)
{
    static const char *const plain[] = { "<unk>", "<s>", "<|endoftext|>" };
    struct mpq_tokenizer *t = r->t;
    char *name = NULL;

    if (mpq_gguf_get_str(r->g, "general.name", &name) != 1)
        return;
    for (char *p = name; *p; p++)
        *p = *p >= 'A' && *p <= 'Z' ? (char)(*p + 32) : *p;
    if (strstr(name, "phi-3") || strstr(name, "phi3")) {
        t->added.strips = 1;
        for (size_t i = 0; i < t->n; i++)
            t->pieces[i].rstrip = 1;
        for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
            const uint32_t id = mpq_tok_named(t, plain[i], strlen(plain[i]));
            if (id != MPQ_TOK_NONE)
                t->pieces[id].rstrip = 0;
        }
    }
    free(name);
}

static int
blanks_to_marks(struct mpq_tokenizer *t)
{
    struct mpq_tok_norm *norm = mpq_tok_add_norm(t);

    if (!norm)
        return -1;
    norm->kind = MPQ_TOK_REPLACE;
    norm->from = (struct mpq_tok_text){ " ", 1 };
    norm->to = (struct mpq_tok_text){ MPQ_TOK_MARK, MPQ_TOK_MARK_LEN };
    return 0;
}

static int
read_bpe(struct reader *r, int is_gemma4, struct mpq_err *err)
{
    struct mpq_tokenizer *t = r->t;
    char *pre = NULL;
    int no_bos = 0, rc = -1;

    t->byte_level = !is_gemma4;
    if (mpq_gguf_get_str(r->g, KEY("pre"), &pre) < 0) {
        mpq_fail(err, MPQ_EDATA, "%s: " KEY("pre") " is no text", r->name);
        goto out;
    }
    if (mpq_tok_pre(t,
                    is_gemma4     ? "gemma4"
                    : pre && *pre ? pre
                                  : "default",
                    &t->add_bos, &no_bos, r->name, err) < 0)
        goto out;
    if (is_gemma4 && blanks_to_marks(t) < 0) {
        mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", r->name);
        goto out;
    }
    if (!is_gemma4 && !strcmp(pre ? pre : "", "gemma4")) {
        mpq_fail(err, MPQ_EDATA, "%s: pre-tokenizer gemma4 in a gpt2 vocabulary",
                 r->name);
        goto out;
    }
    if (mpq_tok_index(t, r->name, err) < 0 || read_merges(r, err) < 0 ||
        read_special(r, is_gemma4 || no_bos ? -1 : 11, is_gemma4 ? -1 : 11, err) < 0)
        goto out;
    rc = 0;
out:
    free(pre);
    return rc;
}

static int
read_spm(struct reader *r, struct mpq_err *err)
{
    struct mpq_tokenizer *t = r->t;
    int prefix = 1;

    t->by_score = t->add_bos = 1;
    mpq_gguf_get_bool(r->g, KEY("add_space_prefix"), &prefix);
    if (mpq_tok_index(t, r->name, err) < 0 || read_scores(r, err) < 0 ||
        read_special(r, 1, 2, err) < 0)
        return -1;
    const int64_t unknown = read_id(r, KEY("unknown_token_id"), 0);
    t->unknown = unknown < 0 ? MPQ_TOK_NONE : (uint32_t)unknown;
    t->strip_first = prefix;
    struct mpq_tok_norm *norm = prefix ? mpq_tok_add_norm(t) : NULL;
    if (norm) {
        norm->kind = MPQ_TOK_PREPEND;
        norm->to = (struct mpq_tok_text){ MPQ_TOK_MARK, MPQ_TOK_MARK_LEN };
    }
    if ((prefix && !norm) || blanks_to_marks(t) < 0)
        return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", r->name);
    return 0;
}

int
mpq_tok_read_gguf(struct mpq_tokenizer *t, const struct mpq_gguf *g, const char *name,
                  struct mpq_err *err)
{
    struct reader r = { t, g, name };
    char *model = NULL;
    int rc = -1;

    if (mpq_gguf_get_str(g, KEY("model"), &model) != 1) {
        mpq_fail(err, MPQ_EDATA, "%s: " KEY("model") " is no text", name);
        goto out;
    }
    if (read_tokens(&r, err) < 0)
        goto out;
    mpq_tok_name_kinds(t, has_id, &r);
    if (!strcmp(model, "gpt2") || !strcmp(model, "gemma4")) {
        rc = read_bpe(&r, model[1] == 'e', err);
    } else if (!strcmp(model, "llama")) {
        rc = read_spm(&r, err);
    } else {
        mpq_fail(err, MPQ_EDATA,
                 "%s: unknown tokenizer %s (" KEY("model") "); known are "
                                                           "gpt2, llama and gemma4",
                 name, model);
    }
    if (rc == 0)
        rc = add_added(&r, err);
    if (rc == 0) {
        strip_phi3(&r);
        rc = mpq_tok_finish(t, name, err);
    }
out:
    free(model);
    return rc;
}
