#include "base/hash.h"
#include "model/tok_own.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RAW, KEY };

static const struct mpq_tok_text *
text_of(const struct mpq_tokenizer *t, size_t i, int which)
{
    return which == RAW ? &t->pieces[i].raw : &t->pieces[i].key;
}

/* The slot of S[n], or the free one where it belongs. */
static size_t
slot_of(const struct mpq_tokenizer *t, const struct mpq_tok_map *m, int which,
        const char *s, size_t n)
{
    size_t at = (size_t)mpq_hash64(s, n, m->seed) & m->mask;

    for (; m->slots[at]; at = (at + 1) & m->mask) {
        const struct mpq_tok_text *x = text_of(t, m->slots[at] - 1, which);
        if (x->n == n && !memcmp(x->s, s, n))
            break;
    }
    return at;
}

/* At most half of the slots are ever taken. */
static int
map_grow(const struct mpq_tokenizer *t, struct mpq_tok_map *m, int which, size_t n)
{
    struct mpq_tok_map new = { .mask = 63 };

    while (new.mask / 2 < n)
        new.mask = new.mask * 2 + 1;
    if (m->slots && new.mask <= m->mask)
        return 0;
    if (!(new.slots = mpq_array(new.mask + 1, sizeof *new.slots)))
        return -1;
    /* Texts come from files: where they collide must not be foreseeable. Where the
     * memory lies is not, and nothing that is given out depends on the seed. */
    new.seed = (uint64_t)(uintptr_t) new.slots >> 4;
    for (size_t i = 0; m->slots && i <= m->mask; i++)
        if (m->slots[i]) {
            const struct mpq_tok_text *x = text_of(t, m->slots[i] - 1, which);
            new.slots[slot_of(t, &new, which, x->s, x->n)] = m->slots[i];
        }
    new.n = m->n;
    free(m->slots);
    *m = new;
    return 0;
}

static uint32_t
map_find(const struct mpq_tokenizer *t, const struct mpq_tok_map *m, int which,
         const char *s, size_t n)
{
    const uint32_t at = m->slots ? m->slots[slot_of(t, m, which, s, n)] : 0;

    return at ? at - 1 : MPQ_TOK_NONE;
}

/* Adds piece I; *other is the piece with the same text, if there is one. */
static int
map_add(const struct mpq_tokenizer *t, struct mpq_tok_map *m, int which, size_t i,
        uint32_t *other)
{
    const struct mpq_tok_text *x = text_of(t, i, which);

    *other = MPQ_TOK_NONE;
    if (map_grow(t, m, which, m->n + 1) < 0)
        return -1;
    uint32_t *slot = &m->slots[slot_of(t, m, which, x->s, x->n)];
    if (*slot) {
        *other = *slot - 1;
        return 0;
    }
    *slot = (uint32_t)i + 1;
    m->n++;
    return 0;
}

struct mpq_tok_text
mpq_tok_copy(struct mpq_tokenizer *t, const char *s, size_t n)
{
    return (struct mpq_tok_text){ mpq_pool_strndup(&t->pool, s, n), n };
}

int
mpq_tok_add(struct mpq_tokenizer *t, const char *raw, size_t n, enum mpq_tok_kind kind,
            struct mpq_err *err)
{
    if (t->n_all >= UINT32_MAX / 2)
        return mpq_fail(err, MPQ_EDATA, "too many tokens");
    if (mpq_grow(&t->pieces, &t->cap, t->n_all + 1, sizeof *t->pieces) < 0)
        return mpq_fail(err, MPQ_ENOMEM, "out of memory for the vocabulary");
    struct mpq_tok_piece *p = &t->pieces[t->n_all];
    *p = (struct mpq_tok_piece){ .kind = (uint8_t)kind };
    if (raw && !(p->raw = mpq_tok_copy(t, raw, n)).s)
        return mpq_fail(err, MPQ_ENOMEM, "out of memory for the vocabulary");
    t->n_all++;
    return 0;
}

/* The byte of a token "<0xXX>", or -1. */
static int
hex_byte(struct mpq_tok_text x)
{
    static const char digits[] = "0123456789ABCDEF";

    if (x.n != 6 || memcmp(x.s, "<0x", 3) || x.s[5] != '>' || !x.s[3] || !x.s[4])
        return -1;
    const char *a = strchr(digits, x.s[3]), *b = strchr(digits, x.s[4]);
    return a && b ? (int)((a - digits) * 16 + (b - digits)) : -1;
}

/* S[n] with every mark as a blank; S itself where there is none. s = NULL: no memory */
static struct mpq_tok_text
unmark(struct mpq_tokenizer *t, struct mpq_tok_text x)
{
    if (!memchr(x.s, MPQ_TOK_MARK[0], x.n))
        return x;
    char *s = mpq_pool_strndup(&t->pool, x.s, x.n);
    if (!s)
        return (struct mpq_tok_text){ 0 };
    size_t n = 0;
    for (size_t i = 0; i < x.n;) {
        const int mark = x.n - i >= MPQ_TOK_MARK_LEN &&
                         !memcmp(x.s + i, MPQ_TOK_MARK, MPQ_TOK_MARK_LEN);
        s[n++] = mark ? ' ' : x.s[i];
        i += mark ? MPQ_TOK_MARK_LEN : 1;
    }
    return (struct mpq_tok_text){ s, n };
}

/* Key and decoded text of a token from its name in the file. */
static int
derive(struct mpq_tokenizer *t, struct mpq_tok_piece *p)
{
    const int literal = p->kind == MPQ_TOK_CONTROL || p->kind == MPQ_TOK_USER ||
                        p->kind == MPQ_TOK_UNKNOWN;
    const int byte = t->byte_level ? -1 : hex_byte(p->raw);

    p->key = p->text = p->raw;
    if (!p->raw.s)
        return 0;
    if (t->byte_level) {
        char *s = mpq_pool_strndup(&t->pool, p->raw.s, p->raw.n);
        if (!s)
            return -1;
        const long n = mpq_tok_from_alphabet(p->raw.s, p->raw.n, s);
        p->key =
            n < 0 ? (struct mpq_tok_text){ 0 } : (struct mpq_tok_text){ s, (size_t)n };
        if (n >= 0 && !literal)
            p->text = p->key;
    } else if (byte >= 0 && (p->kind == MPQ_TOK_BYTE || t->hf)) {
        const char b = (char)byte;
        p->text = mpq_tok_copy(t, &b, 1);
        return p->text.s ? 0 : -1;
    } else if (!literal) {
        p->text = unmark(t, p->raw);
        return p->text.s ? 0 : -1;
    }
    return 0;
}

int
mpq_tok_index(struct mpq_tokenizer *t, const char *name, struct mpq_err *err)
{
    uint32_t other;

    t->n = t->n_all;
    if (map_grow(t, &t->raw, RAW, t->n) < 0 || map_grow(t, &t->keys, KEY, t->n) < 0)
        return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", name);
    for (size_t i = 0; i < t->n; i++) {
        struct mpq_tok_piece *p = &t->pieces[i];
        if (!p->raw.s)
            continue; /* a number without a token */
        if (derive(t, p) < 0 || map_add(t, &t->raw, RAW, i, &other) < 0)
            return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", name);
        if (other != MPQ_TOK_NONE)
            return mpq_fail(err, MPQ_EDATA,
                            "%s: tokens %" PRIu32 " and %zu are both %.*s", name, other,
                            i, (int)(p->raw.n < 99 ? p->raw.n : 99), p->raw.s);
        if (p->key.n && map_add(t, &t->keys, KEY, i, &other) < 0)
            return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", name);
    }
    return 0;
}

uint32_t
mpq_tok_named(const struct mpq_tokenizer *t, const char *s, size_t n)
{
    return map_find(t, &t->raw, RAW, s, n);
}

uint32_t
mpq_tok_find(const struct mpq_tokenizer *t, const char *s, size_t n)
{
    return map_find(t, &t->keys, KEY, s, n);
}

int
mpq_tok_merges_init(struct mpq_tokenizer *t, size_t n, struct mpq_err *err)
{
    struct mpq_tok_merges *m = &t->merges;

    m->mask = 63;
    while (m->mask / 2 < n)
        m->mask = m->mask * 2 + 1;
    if (!(m->slots = mpq_array(m->mask + 1, sizeof *m->slots)))
        return mpq_fail(err, MPQ_ENOMEM, "out of memory for %zu merges", n);
    for (size_t i = 0; i <= m->mask; i++)
        m->slots[i].left = MPQ_TOK_NONE;
    m->seed = (uint64_t)(uintptr_t)m->slots >> 4;
    return 0;
}

/* The slot of a pair, or the free one where it belongs. */
static struct mpq_tok_merge *
merge_slot(const struct mpq_tok_merges *m, uint32_t left, uint32_t right)
{
    uint64_t h = ((uint64_t)left << 32 | right) + m->seed;

    h = (h ^ h >> 31) * UINT64_C(0x9e3779b97f4a7c15); /* the golden ratio's bits */
    h = (h ^ h >> 29) * UINT64_C(0xbf58476d1ce4e5b9);
    size_t at = (size_t)(h ^ h >> 32) & m->mask;
    while (m->slots[at].left != MPQ_TOK_NONE &&
           (m->slots[at].left != left || m->slots[at].right != right))
        at = (at + 1) & m->mask;
    return &m->slots[at];
}

const struct mpq_tok_merge *
mpq_tok_merge(const struct mpq_tokenizer *t, uint32_t left, uint32_t right)
{
    if (!t->merges.slots || left == MPQ_TOK_NONE || right == MPQ_TOK_NONE)
        return NULL;
    const struct mpq_tok_merge *m = merge_slot(&t->merges, left, right);
    return m->left == MPQ_TOK_NONE ? NULL : m;
}

/* The piece with key S[n], made where there is none and t->hf does not forbid it. */
static int
intern(struct mpq_tokenizer *t, const char *s, size_t n, uint32_t *id,
       struct mpq_err *err)
{
    uint32_t other;

    *id = mpq_tok_find(t, s, n);
    if (*id != MPQ_TOK_NONE || t->hf || !n)
        return 0;
    if (mpq_tok_add(t, s, n, MPQ_TOK_NORMAL, err) < 0)
        return -1;
    *id = (uint32_t)(t->n_all - 1);
    t->pieces[*id].key = t->pieces[*id].raw;
    if (map_add(t, &t->keys, KEY, *id, &other) < 0)
        return mpq_fail(err, MPQ_ENOMEM, "out of memory for the vocabulary");
    return 0;
}

/* A[n_a] B[n_b] as keys, one after the other, into JOINED: the length of the first
 * (and the whole in joined->len), or -1 when they can be no keys. */
static long
join_keys(const struct mpq_tokenizer *t, const char *a, size_t n_a, const char *b,
          size_t n_b, struct mpq_buf *joined)
{
    joined->len = 0;
    mpq_buf_add(joined, a, n_a);
    mpq_buf_add(joined, b, n_b);
    if (joined->failed || !t->byte_level)
        return (long)n_a;
    const long left = mpq_tok_from_alphabet(a, n_a, joined->data);
    const long right =
        left < 0 ? -1 : mpq_tok_from_alphabet(b, n_b, joined->data + left);
    joined->len = right < 0 ? 0 : (size_t)(left + right);
    return right < 0 ? -1 : left;
}

int
mpq_tok_add_merge(struct mpq_tokenizer *t, const char *a, size_t n_a, const char *b,
                  size_t n_b, uint32_t rank, struct mpq_err *err)
{
    struct mpq_buf joined = { 0 };
    uint32_t left, right, id;
    int rc = -1;

    const long cut = join_keys(t, a, n_a, b, n_b, &joined);
    if (joined.failed) {
        mpq_fail(err, MPQ_ENOMEM, "out of memory for merges");
        goto out;
    }
    rc = !t->hf; /* what is no text can never be met: nothing is missed */
    if (cut <= 0 || (size_t)cut == joined.len)
        goto out;
    if (intern(t, joined.data, (size_t)cut, &left, err) < 0 ||
        intern(t, joined.data + cut, joined.len - (size_t)cut, &right, err) < 0 ||
        intern(t, joined.data, joined.len, &id, err) < 0) {
        rc = -1;
        goto out;
    }
    if (left == MPQ_TOK_NONE || right == MPQ_TOK_NONE || id == MPQ_TOK_NONE)
        goto out;
    struct mpq_tok_merge *m = merge_slot(&t->merges, left, right);
    /* a merge given twice: llama.cpp keeps the first, `tokenizers` the last */
    if (m->left == MPQ_TOK_NONE || t->hf)
        *m = (struct mpq_tok_merge){ left, right, rank, id };
    rc = 1;
out:
    mpq_buf_free(&joined);
    return rc;
}

struct mpq_tok_step *
mpq_tok_add_step(struct mpq_tokenizer *t)
{
    if (mpq_grow(&t->steps, &t->steps_cap, t->n_steps + 1, sizeof *t->steps) < 0)
        return NULL;
    t->steps[t->n_steps] = (struct mpq_tok_step){ 0 };
    return &t->steps[t->n_steps++];
}

struct mpq_tok_norm *
mpq_tok_add_norm(struct mpq_tokenizer *t)
{
    if (mpq_grow(&t->norms, &t->norms_cap, t->n_norms + 1, sizeof *t->norms) < 0)
        return NULL;
    t->norms[t->n_norms] = (struct mpq_tok_norm){ 0 };
    return &t->norms[t->n_norms++];
}

struct mpq_tok_step *
mpq_tok_add_regex(struct mpq_tokenizer *t, const char *pattern, size_t n,
                  unsigned flags, const char *name, struct mpq_err *err)
{
    struct mpq_tok_step *step = mpq_tok_add_step(t);

    if (!step) {
        mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", name);
        return NULL;
    }
    return mpq_regex_new(&step->regex, pattern, n, flags, name, err) < 0 ? NULL : step;
}
