#include "method/match.h"

#include "base/parse.h"
#include "base/text.h"
#include "fmt/regex.h"
#include "fmt/safe.h"

#include <stdlib.h>
#include <string.h>

struct mpq_matcher {
    const struct mpq_task *task;
    enum mpq_match match;
    const char *const *stop;
    size_t n_stop;
    struct mpq_regex *regex;
    struct mpq_regex_work *work;
};

/* As in lm-evaluation-harness: gsm8k's and triviaqa's. A word ends by itself. */
static const char *const stop_number[] = { "Question:" };
static const char *const stop_text[] = { "\n", ".", "," };

static int
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int
is_word(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* The number that begins at TEXT[i]: its end, or I. Commas between digits belong to it,
 * a point before them too, one at its end does not. */
static size_t
number_end(const char *text, size_t n, size_t i)
{
    const size_t first = i + (text[i] == '-');
    size_t end = i;
    int point = 0;

    for (size_t k = first; k < n; k++) {
        if (is_digit(text[k]))
            end = k + 1;
        else if (k == first && text[k] == '.' && (i == 0 || !is_word(text[i - 1])))
            point = 1;
        else if (k == first || !is_digit(text[k - 1]) ||
                 (text[k] != ',' && text[k] != '.'))
            break;
        else if (text[k] == '.' && point++)
            break;
        else if (text[k] == ',' && point)
            break;
    }
    return end;
}

int
mpq_match_number(const char *text, size_t n, struct mpq_buf *out)
{
    size_t start = 0, stop = 0;

    for (size_t i = 0; i < n;) {
        const size_t end = number_end(text, n, i);
        /* in "5-3" the minus is an operator */
        if (end > i && text[i] == '-' && i > 0 && is_digit(text[i - 1])) {
            i++;
            continue;
        }
        if (end > i) {
            start = i;
            stop = end;
        }
        i = end > i ? end : i + 1;
    }
    for (size_t i = start; i < stop; i++)
        if (text[i] != ',')
            mpq_buf_add(out, text + i, 1);
    return stop > start;
}

/* Lower case of a character of two bytes (U+0080 to U+07FF). */
static unsigned
lower(unsigned c)
{
    if ((c >= 0xc0 && c <= 0xde && c != 0xd7) || (c >= 0x391 && c <= 0x3ab) ||
        (c >= 0x410 && c <= 0x42f))
        return c + 32;
    if (c >= 0x400 && c <= 0x40f)
        return c + 80;
    if ((c >= 0x139 && c <= 0x148) || (c >= 0x179 && c <= 0x17e)) /* odd is upper */
        return c % 2 ? c + 1 : c;
    if (c >= 0x100 && c <= 0x177 && c != 0x130 && c != 0x138)
        return c % 2 ? c : c + 1;
    return c == 0x178 ? 0xff : c;
}

static void
add_lower(struct mpq_buf *out, const unsigned char *c, size_t n)
{
    if (n == 1 && c[0] >= 'A' && c[0] <= 'Z') {
        mpq_buf_add(out, &(char){ (char)(c[0] + 32) }, 1);
    } else if (n == 2) {
        const unsigned x = lower((c[0] & 0x1fu) << 6 | (c[1] & 0x3fu));
        const char two[2] = { (char)(0xc0 | x >> 6), (char)(0x80 | (x & 0x3f)) };
        mpq_buf_add(out, two, 2);
    } else {
        mpq_buf_add(out, c, n);
    }
}

static int
is_punctuation(unsigned char c)
{
    return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') ||
           (c >= '{' && c <= '~');
}

void
mpq_match_normalize(const char *text, size_t n, struct mpq_buf *out)
{
    const size_t begin = out->len;
    const unsigned char *c = (const unsigned char *)text;
    int gap = 0;

    for (size_t i = 0; i < n;) {
        size_t step = mpq_utf8_length(c + i, n - i);
        step = step ? step : 1; /* no UTF-8: as it stands */
        if (mpq_text_is_blank(text[i])) {
            gap = 1;
        } else if (!is_punctuation(c[i])) {
            if (gap && out->len > begin)
                mpq_buf_adds(out, " ");
            gap = 0;
            add_lower(out, c + i, step);
        }
        i += step;
    }
}

/* Is all of TEXT a number? */
static int
is_number(const char *text)
{
    const size_t n = strlen(text);
    return n > 0 && number_end(text, n, 0) == n;
}

enum mpq_match
mpq_match_guess(const struct mpq_task_file *f)
{
    int number = 1, word = 1;

    for (size_t i = 0; i < f->n; i++) {
        const struct mpq_task_item *item = &f->items[i];
        const char *answer = item->answer + strspn(item->answer, " ");
        if (item->n_aliases > 0)
            return MPQ_MATCH_TEXT;
        number &= is_number(item->gold);
        word &= strcmp(answer, item->gold) == 0 && !strpbrk(item->gold, " \t\r\n");
    }
    return number ? MPQ_MATCH_NUMBER : word ? MPQ_MATCH_WORD : MPQ_MATCH_TEXT;
}

int
mpq_matcher_new(struct mpq_matcher **out, const struct mpq_task *t,
                const struct mpq_task_file *f, struct mpq_err *err)
{
    struct mpq_matcher *m = calloc(1, sizeof *m);

    *out = NULL;
    if (!m)
        return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", t->place);
    m->task = t;
    m->match = t->match ? t->match : mpq_match_guess(f);
    if (t->stop) {
        m->stop = (const char *const *)t->stop;
        m->n_stop = t->n_stop;
    } else if (m->match == MPQ_MATCH_TEXT) {
        m->stop = stop_text;
        m->n_stop = sizeof stop_text / sizeof *stop_text;
    } else if (m->match != MPQ_MATCH_WORD) {
        m->stop = stop_number;
        m->n_stop = sizeof stop_number / sizeof *stop_number;
    }
    if (m->match == MPQ_MATCH_PATTERN) {
        m->work = mpq_regex_work_new();
        if (!m->work) {
            mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", t->place);
            goto fail;
        }
        if (mpq_regex_new(&m->regex, t->pattern, strlen(t->pattern), 0, t->place, err) <
            0)
            goto fail;
    }
    *out = m;
    return 0;
fail:
    mpq_matcher_free(m);
    return -1;
}

void
mpq_matcher_free(struct mpq_matcher *m)
{
    if (!m)
        return;
    mpq_regex_free(m->regex);
    mpq_regex_work_free(m->work);
    free(m);
}

size_t
mpq_matcher_max_new(const struct mpq_matcher *m)
{
    if (m->task->max_new)
        return m->task->max_new;
    switch (m->match) {
    case MPQ_MATCH_WORD:
        return 12;
    case MPQ_MATCH_TEXT:
        return 32;
    default:
        return 256;
    }
}

/* The end of the first word: a blank or punctuation behind a letter or digit. */
static size_t
word_end(const char *text, size_t n)
{
    int inside = 0;

    for (size_t i = 0; i < n; i++) {
        const unsigned char c = (unsigned char)text[i];
        /* as in "don't", "vice-versa" */
        const int outer = mpq_text_is_blank(text[i]) ||
                          (is_punctuation(c) && c != '\'' && c != '-' && c != '_');
        if (inside && outer)
            return i;
        inside |= !outer;
    }
    return n;
}

static size_t
find(const char *text, size_t n, const char *what)
{
    const size_t m = strlen(what);

    for (size_t i = 0; m > 0 && i + m <= n; i++)
        if (memcmp(text + i, what, m) == 0)
            return i;
    return n;
}

size_t
mpq_matcher_stop(const struct mpq_matcher *m, const char *text, size_t n)
{
    size_t stop = m->match == MPQ_MATCH_WORD ? word_end(text, n) : n;

    for (size_t i = 0; i < m->n_stop; i++) {
        const size_t at = find(text, n, m->stop[i]);
        stop = at < stop ? at : stop;
    }
    return stop;
}

/* Equal as numbers where both are, else letter by letter. */
static int
same_number(const char *a, const char *b)
{
    double x, y;

    if (mpq_parse_double(a, &x) == 0 && mpq_parse_double(b, &y) == 0)
        return x == y;
    return strcmp(a, b) == 0;
}

static int
is_number_of(const char *text, size_t n, const char *gold, struct mpq_err *err)
{
    struct mpq_buf got = { 0 }, want = { 0 };
    int same = mpq_match_number(text, n, &got);

    if (!mpq_match_number(gold, strlen(gold), &want))
        mpq_buf_adds(&want, gold);
    if (got.failed || want.failed)
        same = mpq_fail(err, MPQ_ENOMEM, "answers: out of memory");
    else if (same)
        same = same_number(got.data, want.data);
    mpq_buf_free(&got);
    mpq_buf_free(&want);
    return same;
}

/* 1 when both are the same, normalized. */
static int
is_text(const char *text, size_t n, const char *gold, struct mpq_err *err)
{
    struct mpq_buf got = { 0 }, want = { 0 };
    int same;

    mpq_match_normalize(text, n, &got);
    mpq_match_normalize(gold, strlen(gold), &want);
    if (got.failed || want.failed)
        same = mpq_fail(err, MPQ_ENOMEM, "answers: out of memory");
    else
        same = got.len == want.len && got.len > 0 &&
               memcmp(got.data, want.data, got.len) == 0;
    mpq_buf_free(&got);
    mpq_buf_free(&want);
    return same;
}

/* What the expression matches last, as a number if both are, else as normalized text.
 */
static int
is_found(const struct mpq_matcher *m, const char *text, size_t n, const char *gold,
         struct mpq_err *err)
{
    struct mpq_buf plain = { 0 };
    struct mpq_err why = { 0 };
    size_t from = 0, start = 0, end = 0, a, b;
    int rc = 0, found = 0;

    for (size_t i = 0; i < n;) { /* generated bytes may end within a character */
        const size_t step = mpq_utf8_length((const unsigned char *)text + i, n - i);
        mpq_buf_add(&plain, step ? text + i : "?", step ? step : 1);
        i += step ? step : 1;
    }
    if (plain.failed)
        rc = mpq_fail(err, MPQ_ENOMEM, "answers: out of memory");
    while (rc == 0 && from < plain.len) {
        rc = mpq_regex_next(m->regex, m->work, plain.data, plain.len, from, &a, &b,
                            &why);
        if (rc <= 0)
            break;
        found = 1;
        start = a;
        end = b;
        rc = 0;
        if (b > from) {
            from = b;
        } else { /* an empty match: on to the next character */
            const size_t step = mpq_utf8_length(
                (const unsigned char *)plain.data + from, plain.len - from);
            from += step ? step : 1;
        }
    }
    if (why.code)
        rc = mpq_fail(err, (enum mpq_code)why.code, "%s: pattern: %s", m->task->place,
                      why.text);
    if (rc == 0 && found && end > start)
        rc = is_number(gold) ? is_number_of(plain.data + start, end - start, gold, err)
                             : is_text(plain.data + start, end - start, gold, err);
    mpq_buf_free(&plain);
    return rc;
}

static int
is_answer(const struct mpq_matcher *m, const char *text, size_t n, const char *gold,
          struct mpq_err *err)
{
    switch (m->match) {
    case MPQ_MATCH_NUMBER:
        return is_number_of(text, n, gold, err);
    case MPQ_MATCH_PATTERN:
        return is_found(m, text, n, gold, err);
    default:
        return is_text(text, n, gold, err);
    }
}

int
mpq_matcher_is(const struct mpq_matcher *m, const char *text, size_t n,
               const struct mpq_task_item *item, struct mpq_err *err)
{
    n = mpq_matcher_stop(m, text, n);
    int rc = is_answer(m, text, n, item->gold, err);
    for (size_t i = 0; rc == 0 && i < item->n_aliases; i++)
        rc = is_answer(m, text, n, item->aliases[i], err);
    return rc;
}
