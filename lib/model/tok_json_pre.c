/* The stages around the model of a tokenizer.json: normalizer, pre_tokenizer, decoder.
 * What they do is defined by the code of github.com/huggingface/tokenizers. */
#include "model/tok_own.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct stage {
    struct mpq_tokenizer *t;
    const char *name;
    const char *what; /* for messages: "pre_tokenizer" */
    int depth;        /* of Sequences within each other */
};
enum { DEPTH_MAX = 16 };

static const char gpt2[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
static const char punctuation[] = "[\\p{P}$+<=>^`|~]";

static int
no_memory(const struct stage *x, struct mpq_err *err)
{
    return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", x->name);
}

/* Calls EACH for the items of a Sequence. */
static int
sequence(struct stage *x, const struct mpq_json *items,
         int (*each)(struct stage *, const struct mpq_json *, struct mpq_err *),
         struct mpq_err *err)
{
    int rc = 0;

    if (++x->depth > DEPTH_MAX)
        return mpq_fail(err, MPQ_EDATA, "%s: %s: more than %d sequences in each other",
                        x->name, x->what, DEPTH_MAX);
    for (size_t i = 0; rc == 0 && i < mpq_json_count(items); i++)
        rc = each(x, mpq_json_item(items, i), err);
    x->depth--;
    return rc;
}

/* What {"String": ...} or {"Regex": ...} matches, as a regular expression in B. */
static int
pattern_of(const struct stage *x, const struct mpq_json *pattern, struct mpq_buf *b,
           struct mpq_err *err)
{
    size_t n;
    const char *s = mpq_json_str(mpq_json_get(pattern, "Regex"), &n);

    if (s) {
        mpq_buf_add(b, s, n);
    } else if ((s = mpq_json_str(mpq_json_get(pattern, "String"), &n)) && n) {
        for (size_t i = 0; i < n; i++) {
            if ((unsigned char)s[i] < 0x80)
                mpq_buf_printf(b, "\\x%02x", (unsigned)(unsigned char)s[i]);
            else
                mpq_buf_add(b, s + i, 1);
        }
    } else {
        return mpq_fail(err, MPQ_EDATA, "%s: %s: no String and no Regex in a pattern",
                        x->name, x->what);
    }
    return b->failed ? no_memory(x, err) : 0;
}

static int
add_norm(struct stage *x, enum mpq_tok_norm_kind kind, const char *from, size_t n_from,
         const char *to, size_t n_to, struct mpq_err *err)
{
    struct mpq_tok_norm *norm = mpq_tok_add_norm(x->t);

    if (!norm)
        return no_memory(x, err);
    norm->kind = kind;
    norm->from = mpq_tok_copy(x->t, from, n_from);
    norm->to = mpq_tok_copy(x->t, to, n_to);
    return norm->from.s && norm->to.s ? 0 : no_memory(x, err);
}

static int
add_norm_regex(struct stage *x, const char *pattern, size_t n, const char *to,
               size_t n_to, struct mpq_err *err)
{
    if (add_norm(x, MPQ_TOK_REPLACE_REGEX, "", 0, to, n_to, err) < 0)
        return -1;
    return mpq_regex_new(&x->t->norms[x->t->n_norms - 1].regex, pattern, n,
                         MPQ_REGEX_LINES, x->name, err);
}

static int
read_replace(struct stage *x, const struct mpq_json *v, struct mpq_err *err)
{
    const struct mpq_json *pattern = mpq_json_get(v, "pattern");
    size_t n, n_to;
    const char *to = mpq_json_str(mpq_json_get(v, "content"), &n_to),
               *s = mpq_json_str(mpq_json_get(pattern, "String"), &n);

    if (!to)
        return mpq_fail(err, MPQ_EDATA, "%s: %s: Replace without content", x->name,
                        x->what);
    if (s && n)
        return add_norm(x, MPQ_TOK_REPLACE, s, n, to, n_to, err);
    struct mpq_buf b = { 0 };
    int rc = pattern_of(x, pattern, &b, err);
    if (rc == 0)
        rc = add_norm_regex(x, b.data, b.len, to, n_to, err);
    mpq_buf_free(&b);
    return rc;
}

static int
read_normalizer(struct stage *x, const struct mpq_json *v, struct mpq_err *err)
{
    const char *type = mpq_json_text(v, "type");

    if (!strcmp(type, "Sequence"))
        return sequence(x, mpq_json_get(v, "normalizers"), read_normalizer, err);
    if (!strcmp(type, "Prepend")) {
        size_t n;
        const char *s = mpq_json_str(mpq_json_get(v, "prepend"), &n);
        return s ? add_norm(x, MPQ_TOK_PREPEND, "", 0, s, n, err)
                 : mpq_fail(err, MPQ_EDATA, "%s: Prepend without a text", x->name);
    }
    if (!strcmp(type, "Replace"))
        return read_replace(x, v, err);
    if (!strcmp(type, "Strip")) {
        if (mpq_json_flag(v, "strip_left", 0) &&
            add_norm_regex(x, "\\A\\s+", 5, "", 0, err) < 0)
            return -1;
        return mpq_json_flag(v, "strip_right", 0)
                   ? add_norm_regex(x, "\\s+\\z", 5, "", 0, err)
                   : 0;
    }
    if (!strcmp(type, "NFC")) /* passed on as it is, see tokenizer.h */
        return 0;
    return mpq_fail(err, MPQ_EDATA, "%s: normalizer %s is not supported", x->name,
                    type);
}

static int
behavior_of(const struct stage *x, const struct mpq_json *v, enum mpq_tok_behavior *out,
            struct mpq_err *err)
{
    static const char *const names[] = { "Isolated", "Removed", "MergedWithPrevious",
                                         "MergedWithNext", "Contiguous" };
    const char *s = mpq_json_text(v, "behavior");

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(s, names[i])) {
            *out = (enum mpq_tok_behavior)i;
            return 0;
        }
    return mpq_fail(err, MPQ_EDATA, "%s: %s: unknown behavior %s", x->name, x->what, s);
}

static int
add_pattern(struct stage *x, const char *pattern, enum mpq_tok_behavior behavior,
            int invert, struct mpq_err *err)
{
    struct mpq_tok_step *step = mpq_tok_add_regex(x->t, pattern, strlen(pattern),
                                                  MPQ_REGEX_LINES, x->name, err);

    if (!step)
        return -1;
    step->behavior = behavior;
    step->invert = invert;
    return 0;
}

static int
read_split(struct stage *x, const struct mpq_json *v, struct mpq_err *err)
{
    enum mpq_tok_behavior behavior = MPQ_TOK_ISOLATED;
    struct mpq_buf b = { 0 };
    int rc = -1;

    if (behavior_of(x, v, &behavior, err) == 0 &&
        pattern_of(x, mpq_json_get(v, "pattern"), &b, err) == 0) {
        struct mpq_tok_step *step =
            mpq_tok_add_regex(x->t, b.data, b.len, MPQ_REGEX_LINES, x->name, err);
        if (step) {
            step->behavior = behavior;
            step->invert = mpq_json_flag(v, "invert", 0);
            rc = 0;
        }
    }
    mpq_buf_free(&b);
    return rc;
}

static int
read_byte_level(struct stage *x, const struct mpq_json *v, struct mpq_err *err)
{
    x->t->byte_level = 1;
    if (mpq_json_flag(v, "add_prefix_space", 1)) {
        struct mpq_tok_step *step = mpq_tok_add_step(x->t);
        if (!step)
            return no_memory(x, err);
        step->kind = MPQ_TOK_STEP_PREFIX;
    }
    return mpq_json_flag(v, "use_regex", 1)
               ? add_pattern(x, gpt2, MPQ_TOK_ISOLATED, 0, err)
               : 0;
}

static int
read_metaspace(struct stage *x, const struct mpq_json *v, struct mpq_err *err)
{
    const char *scheme = mpq_json_text(v, "prepend_scheme");
    struct mpq_tok_step *step;

    if (strcmp(mpq_json_text(v, "replacement"), MPQ_TOK_MARK) != 0)
        return mpq_fail(err, MPQ_EDATA,
                        "%s: Metaspace with another replacement than "
                        "U+2581",
                        x->name);
    if (!(step = mpq_tok_add_step(x->t)))
        return no_memory(x, err);
    step->kind = MPQ_TOK_STEP_METASPACE;
    step->always =
        *scheme ? !strcmp(scheme, "always") : mpq_json_flag(v, "add_prefix_space", 1);
    step->first = !strcmp(scheme, "first");
    step->split = mpq_json_flag(v, "split", 1);
    return 0;
}

static int
read_pre(struct stage *x, const struct mpq_json *v, struct mpq_err *err)
{
    const char *type = mpq_json_text(v, "type");
    enum mpq_tok_behavior behavior = MPQ_TOK_ISOLATED;

    if (!strcmp(type, "Sequence"))
        return sequence(x, mpq_json_get(v, "pretokenizers"), read_pre, err);
    if (x->t->byte_level)
        return mpq_fail(err, MPQ_EDATA,
                        "%s: pre_tokenizer %s behind ByteLevel is not "
                        "supported",
                        x->name, type);
    if (!strcmp(type, "ByteLevel"))
        return read_byte_level(x, v, err);
    if (!strcmp(type, "Split"))
        return read_split(x, v, err);
    if (!strcmp(type, "Metaspace"))
        return read_metaspace(x, v, err);
    if (!strcmp(type, "Digits"))
        return add_pattern(
            x, mpq_json_flag(v, "individual_digits", 0) ? "\\p{N}" : "\\p{N}+",
            MPQ_TOK_ISOLATED, 0, err);
    if (!strcmp(type, "Whitespace"))
        return add_pattern(x, "\\w+|[^\\w\\s]+", MPQ_TOK_REMOVED, 1, err);
    if (!strcmp(type, "WhitespaceSplit"))
        return add_pattern(x, "\\s", MPQ_TOK_REMOVED, 0, err);
    if (!strcmp(type, "Punctuation")) {
        if (!mpq_json_get(v, "behavior"))
            return add_pattern(x, punctuation, MPQ_TOK_ISOLATED, 0, err);
        return behavior_of(x, v, &behavior, err) < 0
                   ? -1
                   : add_pattern(x, punctuation, behavior, 0, err);
    }
    return mpq_fail(err, MPQ_EDATA, "%s: pre_tokenizer %s is not supported", x->name,
                    type);
}

/* All that is taken from the decoder: whether a leading blank goes. (Byte-level and
 * byte fallback texts are decoded by what the tokens are.) */
static int
read_decoder(struct stage *x, const struct mpq_json *v, struct mpq_err *err)
{
    const char *type = mpq_json_text(v, "type");

    if (!strcmp(type, "Sequence"))
        return sequence(x, mpq_json_get(v, "decoders"), read_decoder, err);
    if (!strcmp(type, "Strip")) {
        uint64_t start = 0;
        mpq_json_u64(mpq_json_get(v, "start"), &start);
        if (!strcmp(mpq_json_text(v, "content"), " ") && start)
            x->t->strip_first = 1;
    } else if (!strcmp(type, "Metaspace")) {
        const char *scheme = mpq_json_text(v, "prepend_scheme");
        x->t->strip_first = *scheme ? strcmp(scheme, "never") != 0
                                    : mpq_json_flag(v, "add_prefix_space", 1);
    }
    return 0;
}

/* The stage under KEY, unless there is none. */
static int
read_stage(struct mpq_tokenizer *t, const struct mpq_json *json, const char *key,
           const char *name,
           int (*each)(struct stage *, const struct mpq_json *, struct mpq_err *),
           struct mpq_err *err)
{
    struct stage x = { t, name, key, 0 };
    const struct mpq_json *v = mpq_json_get(json, key);

    return mpq_json_is_object(v) ? each(&x, v, err) : 0;
}

int
mpq_tok_read_stages(struct mpq_tokenizer *t, const struct mpq_json *json,
                    const char *name, struct mpq_err *err)
{
    if (read_stage(t, json, "normalizer", name, read_normalizer, err) < 0 ||
        read_stage(t, json, "pre_tokenizer", name, read_pre, err) < 0)
        return -1;
    return read_stage(t, json, "decoder", name, read_decoder, err);
}
