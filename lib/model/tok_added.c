#include "model/tok_own.h"

#include "base/text.h"

#include <stdlib.h>
#include <string.h>

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

struct found { /* the longest token at a place that is not yet ruled out */
    size_t at;
    uint32_t len, id;
};

struct finder {
    const struct mpq_tokenizer *t;
    const struct mpq_tok_trie *x;
    const char *text;
    size_t n;
    unsigned flags;
    mpq_tok_part *part;
    void *arg;
    struct found *heap; /* of one cluster of tokens that overlap; first the longest */
    size_t n_heap, cap;
    struct found *chosen;
    size_t n_chosen, chosen_cap;
    uint8_t *taken; /* of one cluster, by byte */
    size_t taken_cap;
    size_t done; /* text before this was given out */
};

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

/* The longest token at AT of at most MAX bytes; len = 0: there is none. */
static struct found
longest_at(const struct finder *f, size_t at, size_t max)
{
    struct found best = { at, 0, MPQ_TOK_NONE };
    uint32_t node = 0;

    for (size_t i = 0;
         i < max && (node = child_of(f->x, node, (uint8_t)f->text[at + i])); i++) {
        const uint32_t id = f->x->nodes[node].id;
        if (id != MPQ_TOK_NONE && !is_hidden(f, id)) {
            best.len = (uint32_t)(i + 1);
            best.id = id;
        }
    }
    return best;
}

/* llama.cpp's order: the longest token takes its places first, from the left. */
static int
is_before(const struct found *a, const struct found *b)
{
    if (a->len != b->len)
        return a->len > b->len;
    return a->id != b->id ? a->id < b->id : a->at < b->at;
}

static int
push(struct finder *f, struct found x, struct mpq_err *err)
{
    if (mpq_grow(&f->heap, &f->cap, f->n_heap + 1, sizeof *f->heap) < 0)
        return mpq_fail(err, MPQ_ENOMEM, "out of memory for added tokens");
    size_t at = f->n_heap++;
    for (; at && is_before(&x, &f->heap[(at - 1) / 2]); at = (at - 1) / 2)
        f->heap[at] = f->heap[(at - 1) / 2];
    f->heap[at] = x;
    return 0;
}

static struct found
pop(struct finder *f)
{
    const struct found top = f->heap[0], last = f->heap[--f->n_heap];
    size_t at = 0;

    for (size_t c; (c = 2 * at + 1) < f->n_heap; at = c) {
        if (c + 1 < f->n_heap && is_before(&f->heap[c + 1], &f->heap[c]))
            c++;
        if (!is_before(&f->heap[c], &last))
            break;
        f->heap[at] = f->heap[c];
    }
    f->heap[at] = last;
    return top;
}

static int
by_place(const void *a, const void *b)
{
    const struct found *x = a, *y = b;

    return (x->at > y->at) - (x->at < y->at);
}

/* Takes X, which is free, and the blanks around it that it wants. */
static int
take(struct finder *f, struct found x, size_t from, size_t to, struct mpq_err *err)
{
    const struct mpq_tok_piece *p = &f->t->pieces[x.id];
    size_t a = x.at - from, b = a + x.len;

    if (mpq_grow(&f->chosen, &f->chosen_cap, f->n_chosen + 1, sizeof *f->chosen) < 0)
        return mpq_fail(err, MPQ_ENOMEM, "out of memory for added tokens");
    while (p->lstrip && a > 0 && !f->taken[a - 1] &&
           mpq_text_is_blank(f->text[from + a - 1]))
        a--;
    while (p->rstrip && from + b < to && !f->taken[b] &&
           mpq_text_is_blank(f->text[from + b]))
        b++;
    memset(f->taken + a, 1, b - a);
    f->chosen[f->n_chosen++] = (struct found){ from + a, (uint32_t)(b - a), x.id };
    return 0;
}

/* Settles which tokens of the cluster text[from, to) are taken. Where the longest one
 * of a place is blocked, the longest that is not comes in its stead. */
static int
settle(struct finder *f, size_t from, size_t to, struct mpq_err *err)
{
    if (mpq_grow(&f->taken, &f->taken_cap, to - from, 1) < 0)
        return mpq_fail(err, MPQ_ENOMEM, "out of memory for added tokens");
    memset(f->taken, 0, to - from);
    f->n_chosen = 0;
    while (f->n_heap) {
        const struct found x = pop(f);
        const uint8_t *taken = f->taken + (x.at - from);
        const uint8_t *block = memchr(taken, 1, x.len);
        if (!block) {
            if (take(f, x, from, to, err) < 0)
                return -1;
        } else if (block > taken) {
            const struct found y = longest_at(f, x.at, (size_t)(block - taken));
            if (y.len && push(f, y, err) < 0)
                return -1;
        }
    }
    if (f->n_chosen > 1)
        qsort(f->chosen, f->n_chosen, sizeof *f->chosen, by_place);
    for (size_t i = 0; i < f->n_chosen; i++) {
        const struct found *x = &f->chosen[i];
        if (give(f, x->id, x->at, x->at + x->len, err) < 0)
            return -1;
    }
    return 0;
}

static int
split_llama(struct finder *f, struct mpq_err *err)
{
    const size_t max = UINT32_MAX;
    size_t from = 0, end = 0; /* of the cluster */

    for (size_t i = 0; i < f->n; i++) {
        if (!f->x->root[(uint8_t)f->text[i]])
            continue;
        const struct found x = longest_at(f, i, f->n - i < max ? f->n - i : max);
        if (!x.len)
            continue;
        if (f->n_heap && i >= end && !f->x->strips && settle(f, from, end, err) < 0)
            return -1;
        if (!f->n_heap)
            from = f->x->strips ? 0 : i;
        if (push(f, x, err) < 0)
            return -1;
        if (i + x.len > end)
            end = i + x.len;
    }
    /* where blanks around a token are taken along, the whole text is one cluster */
    return f->n_heap ? settle(f, from, f->x->strips ? f->n : end, err) : 0;
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
        while (p->lstrip && start > f->done && mpq_text_is_blank(f->text[start - 1]))
            start--;
        while (p->rstrip && end < f->n && mpq_text_is_blank(f->text[end]))
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
    struct finder f = {
        .t = t, .x = x, .text = text, .n = n, .flags = flags, .part = part, .arg = arg
    };
    int rc = 0;

    if (x->n)
        rc = t->hf ? split_hf(&f, err) : split_llama(&f, err);
    if (rc == 0)
        rc = give(&f, MPQ_TOK_NONE, n, n, err);
    free(f.heap);
    free(f.chosen);
    free(f.taken);
    return rc;
}
