/* Text to words: normalizers, then the steps of the pre-tokenizer, each of which parts
 * what the one before it gave. */
#include "fmt/safe.h"
#include "model/tok_own.h"

#include <stdlib.h>
#include <string.h>

struct spans { /* of a text: matches and what is between them */
    struct span {
        size_t start, end;
        int match;
    } * at;
    size_t n, cap;
};

static int run_steps(struct mpq_tok_run *run, size_t k, const char *s, size_t n,
                     struct mpq_err *err);

/* The first NEEDLE in s[n] at FROM or later; n when there is none. */
static size_t
find_text(const char *s, size_t n, size_t from, struct mpq_tok_text needle)
{
    while (from < n) {
        const char *p = memchr(s + from, needle.s[0], n - from);
        if (!p || (size_t)(s + n - p) < needle.n)
            return n;
        if (!memcmp(p, needle.s, needle.n))
            return (size_t)(p - s);
        from = (size_t)(p - s) + 1;
    }
    return n;
}

static int
replace(const struct mpq_tok_norm *norm, struct mpq_regex_work *work, const char *s,
        size_t n, struct mpq_buf *out, struct mpq_err *err)
{
    size_t done = 0, start = n, end = n;

    for (size_t from = 0; from < n;) {
        if (norm->kind == MPQ_TOK_REPLACE) {
            start = find_text(s, n, from, norm->from);
            end = start + norm->from.n;
            if (start == n)
                break;
        } else {
            const int rc =
                mpq_regex_next(norm->regex, work, s, n, from, &start, &end, err);
            if (rc < 0)
                return -1;
            if (!rc)
                break;
        }
        mpq_buf_add(out, s + done, start - done);
        mpq_buf_add(out, norm->to.s, norm->to.n);
        done = end;
        from = end;
        if (start == end) { /* an empty match: on to the next character */
            const size_t len =
                end < n ? mpq_utf8_length((const unsigned char *)s + end, n - end) : 1;
            from += len ? len : 1;
        }
    }
    mpq_buf_add(out, s + done, n - done);
    return 0;
}

int
mpq_tok_normalize(const struct mpq_tokenizer *t, struct mpq_regex_work *work,
                  const char *s, size_t n, struct mpq_buf *out, struct mpq_err *err)
{
    struct mpq_buf next = { 0 };

    mpq_buf_add(out, s, n);
    for (size_t i = 0; i < t->n_norms && !out->failed; i++) {
        const struct mpq_tok_norm *norm = &t->norms[i];
        if (norm->kind == MPQ_TOK_PREPEND) {
            if (out->len)
                mpq_buf_add(&next, norm->to.s, norm->to.n);
            mpq_buf_add(&next, out->data, out->len);
        } else if (replace(norm, work, out->data, out->len, &next, err) < 0) {
            mpq_buf_free(&next);
            return -1;
        }
        struct mpq_buf old = *out;
        *out = next;
        mpq_buf_free(&old);
        next = (struct mpq_buf){ 0 };
    }
    return out->failed ? mpq_fail(err, MPQ_ENOMEM, "out of memory for text") : 0;
}

static int
add_span(struct spans *x, size_t start, size_t end, int match)
{
    if (mpq_grow(&x->at, &x->cap, x->n + 1, sizeof *x->at) < 0)
        return -1;
    x->at[x->n++] = (struct span){ start, end, match };
    return 0;
}

/* Gives every match, and everything between matches, to the next step. */
static int
isolate(struct mpq_tok_run *run, size_t k, const char *s, size_t n, struct mpq_err *err)
{
    const struct mpq_regex *r = run->t->steps[k].regex;
    size_t done = 0, start, end;
    int rc;

    for (size_t from = 0; from < n;) {
        if ((rc = mpq_regex_next(r, run->work, s, n, from, &start, &end, err)) < 0)
            return -1;
        if (!rc)
            break;
        from = end;
        if (start == end) { /* empty: parts the text where it is */
            const size_t len =
                end < n ? mpq_utf8_length((const unsigned char *)s + end, n - end) : 1;
            from += len ? len : 1;
        }
        if (start > done && run_steps(run, k + 1, s + done, start - done, err) < 0)
            return -1;
        if (end > start && run_steps(run, k + 1, s + start, end - start, err) < 0)
            return -1;
        done = end;
    }
    return done < n ? run_steps(run, k + 1, s + done, n - done, err) : 0;
}

/* Joins the spans as the step's behavior asks for, in place. */
static void
join_spans(struct spans *x, enum mpq_tok_behavior behavior)
{
    size_t n = 0;

    if (behavior == MPQ_TOK_WITH_NEXT) { /* from the right: the mirror of the other */
        size_t w = x->n;
        int before = 0;
        for (size_t i = x->n; i-- > 0;) {
            const struct span a = x->at[i];
            if (a.match && !before && w < x->n)
                x->at[w].start = a.start;
            else
                x->at[--w] = a;
            before = a.match;
        }
        for (; w < x->n; w++)
            x->at[n++] = x->at[w];
        x->n = n;
        return;
    }
    int before = 0;
    for (size_t i = 0; i < x->n; i++) {
        const struct span a = x->at[i];
        int join = 0;
        if (behavior == MPQ_TOK_REMOVED && a.match)
            continue;
        if (behavior == MPQ_TOK_WITH_PREVIOUS)
            join = a.match && !before && n > 0;
        else if (behavior == MPQ_TOK_CONTIGUOUS)
            join = n > 0 && a.match == before;
        if (join)
            x->at[n - 1].end = a.end;
        else
            x->at[n++] = a;
        before = a.match;
    }
    x->n = n;
}

static int
split_regex(struct mpq_tok_run *run, size_t k, const char *s, size_t n,
            struct mpq_err *err)
{
    const struct mpq_tok_step *step = &run->t->steps[k];
    struct spans x = { 0 };
    size_t done = 0, start, end;
    int rc = -1, found;

    if (step->behavior == MPQ_TOK_ISOLATED)
        return isolate(run, k, s, n, err);
    for (size_t from = 0; from < n; from = end + (start == end)) {
        found = mpq_regex_next(step->regex, run->work, s, n, from, &start, &end, err);
        if (found < 0)
            goto out;
        if (!found)
            break;
        while (start == end && end + 1 < n &&
               ((unsigned char)s[end + 1] & 0xc0) == 0x80)
            end++, start++; /* not into a character */
        if (start == end)
            continue;
        if ((start > done && add_span(&x, done, start, step->invert) < 0) ||
            add_span(&x, start, end, !step->invert) < 0) {
            mpq_fail(err, MPQ_ENOMEM, "out of memory for words");
            goto out;
        }
        done = end;
    }
    if (done < n && add_span(&x, done, n, step->invert) < 0) {
        mpq_fail(err, MPQ_ENOMEM, "out of memory for words");
        goto out;
    }
    join_spans(&x, step->behavior);
    for (size_t i = 0; i < x.n; i++)
        if (run_steps(run, k + 1, s + x.at[i].start, x.at[i].end - x.at[i].start, err) <
            0)
            goto out;
    rc = 0;
out:
    free(x.at);
    return rc;
}

/* Number characters (the step's regex is a run of them) in groups of three from the
 * right. Not as a pattern that looks ahead, which takes n^2 on a long number. */
static int
split_groups(struct mpq_tok_run *run, size_t k, const char *s, size_t n,
             struct mpq_err *err)
{
    const struct mpq_tok_step *step = &run->t->steps[k];
    size_t done = 0, start, end;

    for (size_t from = 0; from < n; from = end) {
        const int rc =
            mpq_regex_next(step->regex, run->work, s, n, from, &start, &end, err);
        if (rc < 0)
            return -1;
        if (!rc || end == start)
            break;
        size_t count = 0; /* characters */
        for (size_t i = start; i < end; i++)
            count += ((unsigned char)s[i] & 0xc0) != 0x80;
        for (size_t i = start; i < end; i++) {
            if (((unsigned char)s[i] & 0xc0) == 0x80)
                continue;
            if (count-- % 3 == 0 && i > done && (i > start || !step->behind)) {
                if (run_steps(run, k + 1, s + done, i - done, err) < 0)
                    return -1;
                done = i;
            }
        }
        if (step->behind) {
            if (run_steps(run, k + 1, s + done, end - done, err) < 0)
                return -1;
            done = end;
        }
    }
    return done < n ? run_steps(run, k + 1, s + done, n - done, err) : 0;
}

static int
is_mark(const char *s, size_t n)
{
    return n >= MPQ_TOK_MARK_LEN && !memcmp(s, MPQ_TOK_MARK, MPQ_TOK_MARK_LEN);
}

/* Blanks to marks, a mark before, and a part for each mark with what follows it. */
static int
split_metaspace(struct mpq_tok_run *run, size_t k, const char *s, size_t n,
                struct mpq_err *err)
{
    const struct mpq_tok_step *step = &run->t->steps[k];
    struct mpq_buf b = { 0 };
    int rc = 0;

    if (n && *s != ' ' && !is_mark(s, n) &&
        (step->always || (step->first && run->first)))
        mpq_buf_adds(&b, MPQ_TOK_MARK);
    for (size_t i = 0; i < n; i++)
        if (s[i] == ' ')
            mpq_buf_adds(&b, MPQ_TOK_MARK);
        else
            mpq_buf_add(&b, s + i, 1);
    run->first = 0;
    if (b.failed) {
        mpq_buf_free(&b);
        return mpq_fail(err, MPQ_ENOMEM, "out of memory for text");
    }
    for (size_t from = 0, to; rc == 0 && from < b.len; from = to) {
        to = b.len;
        if (step->split)
            for (to = from + 1; to < b.len && !is_mark(b.data + to, b.len - to);)
                to++;
        rc = run_steps(run, k + 1, b.data + from, to - from, err);
    }
    mpq_buf_free(&b);
    return rc;
}

static int
add_prefix(struct mpq_tok_run *run, size_t k, const char *s, size_t n,
           struct mpq_err *err)
{
    struct mpq_buf b = { 0 };

    if (!n || *s == ' ')
        return run_steps(run, k + 1, s, n, err);
    mpq_buf_adds(&b, " ");
    mpq_buf_add(&b, s, n);
    int rc = b.failed ? mpq_fail(err, MPQ_ENOMEM, "out of memory for text")
                      : run_steps(run, k + 1, b.data, b.len, err);
    mpq_buf_free(&b);
    return rc;
}

/* Before a mark that no key has behind the byte before it, no merge reaches across:
 * words that come again are then found again, and heaps stay small. */
static int
cut(struct mpq_tok_run *run, size_t k, const char *s, size_t n, struct mpq_err *err)
{
    const uint8_t *joined = run->t->joined;
    size_t from = 0;

    for (size_t i = 1; i < n; i++) {
        const char *p = memchr(s + i, MPQ_TOK_MARK[0], n - i);
        if (!p)
            break;
        i = (size_t)(p - s);
        if (is_mark(p, n - i) && !joined[(unsigned char)s[i - 1]]) {
            if (run_steps(run, k + 1, s + from, i - from, err) < 0)
                return -1;
            from = i;
        }
    }
    return run_steps(run, k + 1, s + from, n - from, err);
}

static int
run_steps(struct mpq_tok_run *run, size_t k, const char *s, size_t n,
          struct mpq_err *err)
{
    if (k == run->t->n_steps)
        return mpq_tok_word(run, s, n, err);
    switch (run->t->steps[k].kind) {
    case MPQ_TOK_STEP_REGEX:
        return split_regex(run, k, s, n, err);
    case MPQ_TOK_STEP_GROUPS:
        return split_groups(run, k, s, n, err);
    case MPQ_TOK_STEP_PREFIX:
        return add_prefix(run, k, s, n, err);
    case MPQ_TOK_STEP_METASPACE:
        return split_metaspace(run, k, s, n, err);
    case MPQ_TOK_STEP_CUT:
        return cut(run, k, s, n, err);
    }
    return 0;
}

int
mpq_tok_text(struct mpq_tok_run *run, const char *s, size_t n, struct mpq_err *err)
{
    return run_steps(run, 0, s, n, err);
}
