#include "base/hash.h"
#include "model/tok_own.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Generation is over at these, whatever the file says of their kind. From llama.cpp
 * (src/llama-vocab.cpp), which likewise goes by the names. (Octal: an escape in hex
 * would take the letter behind it along.) */
static const char *const eog_names[] = {
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    "<\357\275\234end\342\226\201of\342\226\201sentence\357\275\234>",
    "[e~[",
};

/* Control tokens of code models, unless the file has a key for them. EOG: also an end.
 */
static const struct {
    const char *key;
    int eog;
    const char *names[9];
} fim[] = {
    { "fim_pre",
      0,
      { "<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>",
        "<\357\275\234fim\342\226\201begin\357\275\234>", "<PRE>", "\xe2\x96\x81<PRE>",
        "<|code_prefix|>", "<|prefix|>" } },
    { "fim_suf",
      0,
      { "<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>",
        "<\357\275\234fim\342\226\201hole\357\275\234>", "<SUF>", "\xe2\x96\x81<SUF>",
        "<|code_suffix|>", "<|suffix|>" } },
    { "fim_mid",
      0,
      { "<|fim_middle|>", "<fim-middle>", "<fim_middle>",
        "<\357\275\234fim\342\226\201end\357\275\234>", "<MID>", "\xe2\x96\x81<MID>",
        "<|code_middle|>", "<|middle|>" } },
    { "fim_pad", 1, { "<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]" } },
    { "fim_rep",
      1,
      { "<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>" } },
    { "fim_sep", 1, { "<|file_sep|>" } },
};
enum { N_FIM = sizeof fim / sizeof *fim, N_EOG = sizeof eog_names / sizeof *eog_names };

/* Of gpt-oss: shown and found like text. */
static const char *const user_names[] = { "<|channel|>", "<|message|>", "<|start|>",
                                          "<|constrain|>" };

static int
is_text(struct mpq_tok_text x, const char *name)
{
    return name && x.n == strlen(name) && !memcmp(x.s, name, x.n);
}

static int
is_eog_name(struct mpq_tok_text x)
{
    for (size_t i = 0; i < N_EOG; i++)
        if (is_text(x, eog_names[i]))
            return 1;
    return 0;
}

/* Which of fim[] names X, or -1. */
static int
fim_of(struct mpq_tok_text x)
{
    for (int i = 0; i < N_FIM; i++)
        for (size_t k = 0; k < sizeof fim[i].names / sizeof *fim[i].names; k++)
            if (is_text(x, fim[i].names[k]))
                return i;
    return -1;
}

/* Nearly no token begins like one of the names. */
static int
may_be_special(struct mpq_tok_text x)
{
    return x.n > 2 && (x.s[0] == '<' || x.s[0] == '[' || x.s[0] == '_' ||
                       x.s[0] == MPQ_TOK_MARK[0]);
}

void
mpq_tok_name_kinds(struct mpq_tokenizer *t,
                   int (*has)(const void *arg, const char *key), const void *arg)
{
    for (size_t i = 0; i < t->n_all; i++) {
        struct mpq_tok_piece *p = &t->pieces[i];
        if (!may_be_special(p->raw))
            continue;
        const int f = fim_of(p->raw);
        if (is_eog_name(p->raw) || (f >= 0 && !has(arg, fim[f].key)))
            p->kind = MPQ_TOK_CONTROL;
        for (size_t k = 0; k < sizeof user_names / sizeof *user_names; k++)
            if (is_text(p->raw, user_names[k]))
                p->kind = MPQ_TOK_USER;
    }
}

uint32_t
mpq_tok_rank(float score)
{
    const float plain = score + 0.0f; /* -0 is 0 */
    uint32_t bits;

    memcpy(&bits, &plain, sizeof bits);
    bits = bits & 0x80000000u ? ~bits : bits | 0x80000000u; /* rises with the score */
    return ~bits;
}

static uint32_t
named(const struct mpq_tokenizer *t, const char *s)
{
    return mpq_tok_named(t, s, strlen(s));
}

/* The symbols of single bytes. */
static void
find_bytes(struct mpq_tokenizer *t)
{
    char hex[8];

    for (unsigned b = 0; b < 256; b++) {
        const char c = (char)b;
        t->ascii[b] = MPQ_TOK_NONE;
        if (b < 0x80)
            t->ascii[b] =
                t->byte_level ? mpq_tok_named(t, &c, 1) : mpq_tok_find(t, &c, 1);
        snprintf(hex, sizeof hex, "<0x%02X>", b);
        t->byte[b] = t->byte_level ? mpq_tok_find(t, &c, 1) : named(t, hex);
        if (!t->byte_level && t->byte[b] == MPQ_TOK_NONE && t->by_score)
            t->byte[b] = t->ascii[b];
    }
}

/* Adds the step that cuts before marks, where every mark is a token of its own at least
 * (otherwise an unknown one may join its neighbors). */
static int
add_cut(struct mpq_tokenizer *t)
{
    if (t->byte_level || t->ignore_merges ||
        mpq_tok_find(t, MPQ_TOK_MARK, MPQ_TOK_MARK_LEN) == MPQ_TOK_NONE ||
        (t->hf && t->unknown == MPQ_TOK_NONE && !t->byte_fallback))
        return 0;
    for (size_t i = 0; i < t->n_all; i++) {
        const struct mpq_tok_text x = t->pieces[i].key;
        for (size_t k = 1; k + MPQ_TOK_MARK_LEN <= x.n; k++)
            if (!memcmp(x.s + k, MPQ_TOK_MARK, MPQ_TOK_MARK_LEN))
                t->joined[(unsigned char)x.s[k - 1]] = 1;
    }
    struct mpq_tok_step *step = mpq_tok_add_step(t);
    if (!step)
        return -1;
    step->kind = MPQ_TOK_STEP_CUT;
    return 0;
}

/* Ends of generation, by name and by what the file says. */
static int
find_eog(struct mpq_tokenizer *t)
{
    const uint32_t end = named(t, "<|end|>"), s = named(t, "</s>");
    const int call = named(t, "<|call|>") != MPQ_TOK_NONE,
              calls = named(t, "<|calls|>") != MPQ_TOK_NONE;

    if (!t->eog && !(t->eog = mpq_array(t->n, 1)))
        return -1;
    for (size_t i = 0; i < t->n; i++) {
        const struct mpq_tok_text x = t->pieces[i].raw;
        if (!x.s || !may_be_special(x))
            continue;
        const int f = fim_of(x);
        if (is_eog_name(x) ||
            (f >= 0 && fim[f].eog && t->pieces[i].kind == MPQ_TOK_CONTROL))
            t->eog[i] = 1;
    }
    if (t->eos >= 0)
        t->eog[t->eos] = 1;
    /* models in which these part messages, and do not end the answer */
    if (end != MPQ_TOK_NONE &&
        ((named(t, "<|return|>") != MPQ_TOK_NONE && (call || calls)) ||
         (named(t, "<|flush|>") != MPQ_TOK_NONE && (call || calls))))
        t->eog[end] = 0;
    if (s != MPQ_TOK_NONE && named(t, "<|tool_response>") != MPQ_TOK_NONE)
        t->eog[s] = 0;
    return 0;
}

/* What the same token is in a GGUF and in a tokenizer.json counts as the same. */
static void
sum_up(struct mpq_tokenizer *t)
{
    uint64_t sum = t->n;

    for (size_t i = 0; i < t->n; i++) {
        const struct mpq_tok_piece *p = &t->pieces[i];
        const int control = p->kind == MPQ_TOK_CONTROL || p->kind == MPQ_TOK_UNKNOWN;
        const unsigned char kind = control ? 'c' : p->kind == MPQ_TOK_USER ? 'u' : 'n';
        sum = mpq_hash64(&kind, 1, sum);
        sum = mpq_hash64(p->text.s ? p->text.s : "", p->text.n, sum);
    }
    t->checksum = sum;
}

int
mpq_tok_finish(struct mpq_tokenizer *t, const char *name, struct mpq_err *err)
{
    find_bytes(t);
    if (add_cut(t) < 0 || find_eog(t) < 0)
        return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", name);
    if (!t->before.n && t->add_bos) {
        if (t->bos < 0)
            return mpq_fail(err, MPQ_EDATA,
                            "%s: texts shall begin with BOS, but there is "
                            "no such token",
                            name);
        if (mpq_tokens_add(&t->before, (uint32_t)t->bos, err) < 0)
            return -1;
    }
    if (!t->after.n && t->add_eos) {
        if (t->eos < 0)
            return mpq_fail(err, MPQ_EDATA,
                            "%s: texts shall end with EOS, but there is "
                            "no such token",
                            name);
        if (mpq_tokens_add(&t->after, (uint32_t)t->eos, err) < 0)
            return -1;
    }
    sum_up(t);
    return 0;
}
