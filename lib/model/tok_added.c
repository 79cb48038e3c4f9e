#include "model/tok_own.h"

#include <stdlib.h>

/* The child of node AT (0: the root) for BYTE; 0 if there is none. */
static uint32_t
child_of(const struct mpq_tok_trie *x, uint32_t at, uint8_t byte)
{
    uint32_t c = at ? x->nodes[at].child : x->root[byte];

    while (at && c && x->nodes[c].byte != byte)
        c = x->nodes[c].next;
    return c;
}

static uint32_t
new_node(struct mpq_tok_trie *x, uint32_t parent, uint8_t byte)
{
    if (x->n >= UINT32_MAX - 1 ||
        mpq_grow(&x->nodes, &x->cap, x->n + 2, sizeof *x->nodes) < 0)
        return 0;
    const uint32_t at = (uint32_t)++x->n;
    x->nodes[at] = (struct mpq_tok_node){ .id = MPQ_TOK_NONE, .byte = byte };
    if (parent) {
        x->nodes[at].next = x->nodes[parent].child;
        x->nodes[parent].child = at;
    } else {
        x->root[byte] = at;
    }
    return at;
}

int
mpq_tok_trie_add(struct mpq_tok_trie *x, const char *s, size_t n, uint32_t id,
                 struct mpq_err *err)
{
    uint32_t at = 0;

    for (size_t i = 0; i < n; i++) {
        uint32_t c = child_of(x, at, (uint8_t)s[i]);
        if (!c && !(c = new_node(x, at, (uint8_t)s[i])))
            return mpq_fail(err, MPQ_ENOMEM, "out of memory for added tokens");
        at = c;
    }
    if (at)
        x->nodes[at].id = id;
    return 0;
}

struct found { /* a token in the text */
    size_t at, len;
    uint32_t id;
};

struct finder {
    const struct mpq_tokenizer *t;
    const struct mpq_tok_trie *x;
    const char *text;
    size_t n;
    unsigned flags;
    mpq_tok_part *part;
    void *arg;
    struct found *found; /* of one cluster: tokens that overlap or touch */
    size_t n_found, cap;
    uint8_t *taken; /* of one cluster, by byte */
    size_t taken_cap;
    size_t done; /* text before this was given out */
};

static int
is_blank(char c) /* isspace in the C locale */
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static int
is_hidden(const struct finder *f, uint32_t id)
{
    const uint8_t kind = f->t->pieces[id].kind;

    return !(f->flags & MPQ_TOKENS_PARSE_SPECIAL) &&
           (kind == MPQ_TOK_CONTROL || kind == MPQ_TOK_UNKNOWN);
}

/* Gives out the text up to START, and token ID that ends at END. */
static int
give(struct finder *f, uint32_t id, size_t start, size_t end, struct mpq_err *err)
{
    if (start > f->done &&
        f->part(f->arg, MPQ_TOK_NONE, f->text + f->done, start - f->done, err) < 0)
        return -1;
    f->done = end;
    return id == MPQ_TOK_NONE ? 0
                              : f->part(f->arg, id, f->text + start, end - start, err);
}

/* Adds all tokens that begin at AT to f->found. *end: where the furthest one ends. */
static int
find_at(struct finder *f, size_t at, size_t *end, struct mpq_err *err)
{
    uint32_t node = 0;

    for (size_t i = at; i < f->n && (node = child_of(f->x, node, (uint8_t)f->text[i]));
         i++) {
        const uint32_t id = f->x->nodes[node].id;
        if (id == MPQ_TOK_NONE || is_hidden(f, id))
            continue;
        if (mpq_grow(&f->found, &f->cap, f->n_found + 1, sizeof *f->found) < 0)
            return mpq_fail(err, MPQ_ENOMEM, "out of memory for added tokens");
        f->found[f->n_found++] = (struct found){ at, i + 1 - at, id };
        if (i + 1 > *end)
            *end = i + 1;
    }
    return 0;
}

/* llama.cpp's order: the longest token takes its places first, from the left. */
static int
by_length(const void *a, const void *b)
{
    const struct found *x = a, *y = b;

    if (x->len != y->len)
        return x->len < y->len ? 1 : -1;
    if (x->id != y->id)
        return x->id < y->id ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

static int
by_place(const void *a, const void *b)
{
    const struct found *x = a, *y = b;

    return (x->at > y->at) - (x->at < y->at);
}

/* Settles which tokens of the cluster text[from, to) are taken. A token is never longer
 * than one taken before it, so that an overlap covers its first or its last byte. */
static int
settle(struct finder *f, size_t from, size_t to, struct mpq_err *err)
{
    size_t n = 0;

    if (mpq_grow(&f->taken, &f->taken_cap, to - from, 1) < 0)
        return mpq_fail(err, MPQ_ENOMEM, "out of memory for added tokens");
    for (size_t i = 0; i < to - from; i++)
        f->taken[i] = 0;
    qsort(f->found, f->n_found, sizeof *f->found, by_length);
    for (size_t i = 0; i < f->n_found; i++) {
        struct found x = f->found[i];
        const struct mpq_tok_piece *p = &f->t->pieces[x.id];
        size_t a = x.at - from, b = a + x.len;
        if (f->taken[a] || f->taken[b - 1])
            continue;
        while (p->lstrip && a > 0 && !f->taken[a - 1] &&
               is_blank(f->text[from + a - 1]))
            a--;
        while (p->rstrip && from + b < to && !f->taken[b] &&
               is_blank(f->text[from + b]))
            b++;
        for (size_t k = a; k < b; k++)
            f->taken[k] = 1;
        f->found[n++] = (struct found){ from + a, b - a, x.id };
    }
    qsort(f->found, n, sizeof *f->found, by_place);
    for (size_t i = 0; i < n; i++) {
        const struct found *x = &f->found[i];
        if (give(f, x->id, x->at, x->at + x->len, err) < 0)
            return -1;
    }
    f->n_found = 0;
    return 0;
}

static int
split_llama(struct finder *f, struct mpq_err *err)
{
    size_t from = 0, end = 0; /* of the cluster */

    for (size_t i = 0; i < f->n; i++) {
        if (!f->x->root[(uint8_t)f->text[i]])
            continue;
        if (f->n_found && i >= end && !f->x->strips && settle(f, from, end, err) < 0)
            return -1;
        if (!f->n_found)
            from = f->x->strips ? 0 : i;
        if (find_at(f, i, &end, err) < 0)
            return -1;
    }
    /* where blanks around a token are taken along, the whole text is one cluster */
    return f->n_found ? settle(f, from, f->x->strips ? f->n : end, err) : 0;
}

/* Is the character that ends before AT (or begins at AT) part of a word? Beyond ASCII
 * all but blanks counts as one. */
static int
is_word_byte(unsigned char c)
{
    return c == '_' || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
           (c >= 'a' && c <= 'z') || c >= 0x80;
}

/* The rules of `tokenizers`: the longest token at the leftmost place. */
static int
split_hf(struct finder *f, struct mpq_err *err)
{
    for (size_t i = 0; i < f->n; i++) {
        size_t end = i;
        uint32_t id = MPQ_TOK_NONE, node = 0;
        for (size_t k = i;
             k < f->n && (node = child_of(f->x, node, (uint8_t)f->text[k])); k++)
            if (f->x->nodes[node].id != MPQ_TOK_NONE) {
                id = f->x->nodes[node].id;
                end = k + 1;
            }
        if (id == MPQ_TOK_NONE)
            continue;
        const struct mpq_tok_piece *p = &f->t->pieces[id];
        size_t start = i;
        i = end - 1;
        if (is_hidden(f, id) ||
            (p->single_word &&
             ((start > 0 && is_word_byte((unsigned char)f->text[start - 1])) ||
              (end < f->n && is_word_byte((unsigned char)f->text[end])))))
            continue;
        while (p->lstrip && start > f->done && is_blank(f->text[start - 1]))
            start--;
        while (p->rstrip && end < f->n && is_blank(f->text[end]))
            end++;
        if (give(f, id, start, end, err) < 0)
            return -1;
        i = end - 1;
    }
    return 0;
}

int
mpq_tok_split_added(const struct mpq_tokenizer *t, const struct mpq_tok_trie *x,
                    const char *text, size_t n, unsigned flags, mpq_tok_part *part,
                    void *arg, struct mpq_err *err)
{
    struct finder f = { t, x, text, n, flags, part, arg, NULL, 0, 0, NULL, 0, 0 };
    int rc = 0;

    if (x->n)
        rc = t->hf ? split_hf(&f, err) : split_llama(&f, err);
    if (rc == 0)
        rc = give(&f, MPQ_TOK_NONE, n, n, err);
    free(f.found);
    free(f.taken);
    return rc;
}
