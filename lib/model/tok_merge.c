/* Merges within a word: neighbors in a linked list, candidates in a heap, so that the
 * work is n log n whatever the text. */
#include "base/hash.h"
#include "fmt/safe.h"
#include "model/tok_own.h"

#include <string.h>

/* Longer words are not looked up: they hardly ever come twice. */
enum { SEEN_WORD_MAX = 64 };

static int
no_memory(struct mpq_err *err)
{
    return mpq_fail(err, MPQ_ENOMEM, "out of memory for words");
}

static int
is_before(const struct mpq_tok_pair *a, const struct mpq_tok_pair *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->left < b->left;
}

static int
push(struct mpq_tok_run *run, struct mpq_tok_pair pair, struct mpq_err *err)
{
    if (mpq_grow(&run->heap, &run->heap_cap, run->n_heap + 1, sizeof *run->heap) < 0)
        return no_memory(err);
    size_t at = run->n_heap++;
    while (at && is_before(&pair, &run->heap[(at - 1) / 2])) {
        run->heap[at] = run->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    run->heap[at] = pair;
    return 0;
}

static struct mpq_tok_pair
pop(struct mpq_tok_run *run)
{
    struct mpq_tok_pair *heap = run->heap;
    const struct mpq_tok_pair top = heap[0], last = heap[--run->n_heap];
    size_t at = 0;

    for (size_t child; (child = 2 * at + 1) < run->n_heap; at = child) {
        if (child + 1 < run->n_heap && is_before(&heap[child + 1], &heap[child]))
            child++;
        if (!is_before(&heap[child], &last))
            break;
        heap[at] = heap[child];
    }
    heap[at] = last;
    return top;
}

/* Pushes the merge of symbol LEFT and the one behind it, if there is one. */
static int
try_pair(struct mpq_tok_run *run, const char *word, uint32_t left, struct mpq_err *err)
{
    const struct mpq_tokenizer *t = run->t;
    const struct mpq_tok_symbol *a = &run->symbols[left];

    if (a->next == MPQ_TOK_NONE)
        return 0;
    const struct mpq_tok_symbol *b = &run->symbols[a->next];
    struct mpq_tok_pair pair = { .left = left,
                                 .right = a->next,
                                 .len = a->len + b->len };
    if (t->by_score) {
        pair.id = mpq_tok_find(t, word + a->start, pair.len);
        if (pair.id == MPQ_TOK_NONE)
            return 0;
        pair.rank = t->pieces[pair.id].rank;
    } else {
        const struct mpq_tok_merge *m = mpq_tok_merge(t, a->id, b->id);
        if (!m)
            return 0;
        pair.rank = m->rank;
        pair.id = m->id;
    }
    return push(run, pair, err);
}

static int
merge_all(struct mpq_tok_run *run, const char *word, struct mpq_err *err)
{
    struct mpq_tok_symbol *s = run->symbols;

    run->n_heap = 0;
    for (uint32_t i = 0; i + 1 < run->n_symbols; i++)
        if (try_pair(run, word, i, err) < 0)
            return -1;
    while (run->n_heap) {
        const struct mpq_tok_pair p = pop(run);
        struct mpq_tok_symbol *a = &s[p.left], *b = &s[p.right];
        /* Symbols only grow, and to the right: while both are there, the left one is as
         * it was, and the right one is if the lengths still add up. */
        if (!a->len || !b->len || a->len + b->len != p.len)
            continue;
        a->len = p.len;
        a->id = p.id;
        b->len = 0;
        a->next = b->next;
        if (b->next != MPQ_TOK_NONE)
            s[b->next].prev = p.left;
        if ((a->prev != MPQ_TOK_NONE && try_pair(run, word, a->prev, err) < 0) ||
            try_pair(run, word, p.left, err) < 0)
            return -1;
    }
    return 0;
}

static void
add_symbol(struct mpq_tok_run *run, size_t start, size_t len, uint32_t id)
{
    const uint32_t i = (uint32_t)run->n_symbols++;

    run->symbols[i] = (struct mpq_tok_symbol){
        .start = (uint32_t)start,
        .len = (uint32_t)len,
        .prev = i ? i - 1 : MPQ_TOK_NONE,
        .next = MPQ_TOK_NONE,
        .id = id,
    };
    if (i)
        run->symbols[i - 1].next = i;
}

/* A character that `tokenizers` finds in no vocabulary: its bytes, the unknown token,
 * or nothing at all, so that its neighbors meet. */
static void
add_unknown(struct mpq_tok_run *run, const char *word, size_t start, size_t len)
{
    const struct mpq_tokenizer *t = run->t;
    size_t known = 0;

    for (size_t k = 0; t->byte_fallback && k < len; k++)
        known += t->byte[(unsigned char)word[start + k]] != MPQ_TOK_NONE;
    if (known == len) {
        for (size_t k = 0; k < len; k++)
            add_symbol(run, start + k, 1, t->byte[(unsigned char)word[start + k]]);
    } else if (t->unknown != MPQ_TOK_NONE) {
        struct mpq_tok_symbol *last =
            run->n_symbols ? &run->symbols[run->n_symbols - 1] : NULL;
        if (t->fuse_unknown && last && last->id == t->unknown)
            last->len += (uint32_t)len;
        else
            add_symbol(run, start, len, t->unknown);
    }
}

/* The word's symbols before any merge. */
static int
begin(struct mpq_tok_run *run, const char *word, size_t n, struct mpq_err *err)
{
    const struct mpq_tokenizer *t = run->t;
    const unsigned char *u = (const unsigned char *)word;

    if (mpq_grow(&run->symbols, &run->symbols_cap, n, sizeof *run->symbols) < 0)
        return no_memory(err);
    run->n_symbols = 0;
    for (size_t i = 0, len; i < n; i += len) {
        uint32_t id;
        len = 1;
        if (t->byte_level) {
            id = t->byte[u[i]];
        } else if (u[i] < 0x80) {
            id = t->ascii[u[i]];
        } else {
            len = mpq_utf8_length(u + i, n - i);
            len = len ? len : 1; /* does not happen: the text was checked */
            id = mpq_tok_find(t, word + i, len);
        }
        if (t->hf && (id == MPQ_TOK_NONE || id >= t->n))
            add_unknown(run, word, i, len);
        else
            add_symbol(run, i, len, id);
    }
    return 0;
}

/* A symbol that no token stands for, byte by byte. */
static int
emit_bytes(struct mpq_tok_run *run, const char *s, size_t n, struct mpq_err *err)
{
    const struct mpq_tokenizer *t = run->t;

    for (size_t i = 0; i < n; i++) {
        const unsigned char b = (unsigned char)s[i];
        uint32_t id;
        if (t->byte_level) /* llama.cpp looks for tokens that are named by one byte */
            id = b < 0x80 && mpq_tok_byte_is_plain(b) ? t->ascii[b] : MPQ_TOK_NONE;
        else
            id = t->byte[b];
        if (id == MPQ_TOK_NONE && t->by_score) {
            id = t->unknown;
            if (id == MPQ_TOK_NONE)
                return mpq_fail(err, MPQ_EDATA,
                                "the vocabulary has no token for byte 0x%02x and no "
                                "unknown token",
                                b);
        }
        if (id != MPQ_TOK_NONE && id < t->n && mpq_tokens_add(run->out, id, err) < 0)
            return -1;
    }
    return 0;
}

static int
emit(struct mpq_tok_run *run, const char *word, struct mpq_err *err)
{
    for (size_t i = 0; i < run->n_symbols; i++) {
        const struct mpq_tok_symbol *s = &run->symbols[i];
        if (!s->len)
            continue;
        if (s->id < run->t->n) {
            if (mpq_tokens_add(run->out, s->id, err) < 0)
                return -1;
        } else if (emit_bytes(run, word + s->start, s->len, err) < 0) {
            return -1;
        }
    }
    return 0;
}

static int
is_newlines(const char *s, size_t n)
{
    while (n && s[n - 1] == '\n')
        n--;
    return n == 0;
}

static int
encode_word(struct mpq_tok_run *run, const char *s, size_t n, struct mpq_err *err)
{
    const struct mpq_tokenizer *t = run->t;

    if (t->ignore_merges || (t->newline_words && is_newlines(s, n))) {
        const uint32_t id = mpq_tok_find(t, s, n);
        if (id < t->n)
            return mpq_tokens_add(run->out, id, err);
    }
    if (begin(run, s, n, err) < 0 || merge_all(run, s, err) < 0)
        return -1;
    return emit(run, s, err);
}

/* Keeps what became of a word. */
static void
remember(struct mpq_tok_run *run, struct mpq_tok_seen *seen, uint64_t hash,
         const char *s, size_t n, size_t from)
{
    const size_t count = run->out->n - from, at = run->words.len;

    if (count > UINT16_MAX || from > UINT32_MAX)
        return;
    mpq_buf_add(&run->words, s, n);
    if (run->words.failed)
        return; /* it is only for speed */
    *seen = (struct mpq_tok_seen){
        hash, at, (uint32_t)from, (uint16_t)n, (uint16_t)count,
    };
}

int
mpq_tok_word(struct mpq_tok_run *run, const char *s, size_t n, struct mpq_err *err)
{
    if (n > INT32_MAX)
        return mpq_fail(err, MPQ_EDATA, "a word of %zu bytes is too long", n);
    if (!run->seen || n > SEEN_WORD_MAX || n == 0)
        return n ? encode_word(run, s, n, err) : 0;
    const uint64_t hash = mpq_hash64(s, n, 0);
    struct mpq_tok_seen *seen = &run->seen[hash & run->seen_mask];
    if (seen->n && seen->hash == hash && seen->len == n &&
        !memcmp(run->words.data + seen->at, s, n)) {
        for (size_t i = 0; i < seen->n; i++)
            if (mpq_tokens_add(run->out, run->out->ids[seen->from + i], err) < 0)
                return -1;
        return 0;
    }
    const size_t from = run->out->n;
    if (encode_word(run, s, n, err) < 0)
        return -1;
    remember(run, seen, hash, s, n, from);
    return 0;
}
