#include "fmt/regex.h"

#include "base/buf.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

/* A pattern comes with a file: it must neither run for hours nor take all memory. Plain
 * patterns need a few steps for each character. */
enum {
    STEPS_MAX = 50 * 1000 * 1000,
    HEAP_KIB = 1 << 20,
    JIT_STACK_MIN = 1 << 16,
    JIT_STACK_MAX = 64 << 20,
};

struct mpq_regex {
    pcre2_code *code;
};

struct mpq_regex_work {
    pcre2_match_data *match;
    pcre2_match_context *context;
    pcre2_jit_stack *stack; /* made when the machine's own turns out too small */
};

/* What stands for an escape inside a set. */
static const char *
escape(char c)
{
    switch (c) {
    case 's':
        return "\\t-\\r\\x20\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}"
               "\\x{2029}\\x{202f}\\x{205f}\\x{3000}";
    case 'w':
        return "\\p{L}\\p{M}\\p{Nd}\\p{Pc}";
    case 'h':
        return "0-9a-fA-F";
    default:
        return NULL;
    }
}

struct at {
    const char *p, *end;
    struct mpq_buf *out;
};

/* The escape at a->p, outside sets (depth 0) or inside. 0 if it is not supported. */
static int
put_escape(struct at *a, int depth)
{
    const char c = a->p + 1 < a->end ? a->p[1] : '\0';
    const int upper = c == 'S' || c == 'W' || c == 'H';
    const char *set = escape((char)(upper ? c + 32 : c));

    if (!set) { /* as it stands, with the character behind it */
        mpq_buf_add(a->out, a->p, a->p + 1 < a->end ? 2 : 1);
    } else if (!depth) {
        mpq_buf_printf(a->out, upper ? "[^%s]" : "[%s]", set);
    } else if (upper) {
        return 0; /* the complement of a set within a set */
    } else {
        mpq_buf_adds(a->out, set);
    }
    a->p += a->p + 1 < a->end ? 2 : 1;
    return 1;
}

/* The set that begins at a->p, flattened. 0 if it is not supported. */
static int
put_set(struct at *a)
{
    int depth = 0;

    do {
        const size_t left = (size_t)(a->end - a->p);
        if (*a->p == '\\') {
            if (!put_escape(a, 1))
                return 0;
            continue;
        }
        if (left > 1 && a->p[0] == '[' && a->p[1] == ':' && depth) { /* [:alpha:] */
            const char *close = memchr(a->p, ']', left);
            const size_t len = close ? (size_t)(close - a->p) + 1 : left;
            mpq_buf_add(a->out, a->p, len);
            a->p += len;
            continue;
        }
        if (left > 1 && a->p[0] == '&' && a->p[1] == '&')
            return 0;
        if (*a->p == '[') {
            if (depth && left > 1 && a->p[1] == '^')
                return 0;
            if (depth++ == 0) {
                mpq_buf_adds(a->out, "[");
                if (left > 1 && a->p[1] == '^') {
                    mpq_buf_adds(a->out, "^");
                    a->p++;
                }
            }
        } else if (*a->p == ']') {
            if (--depth == 0)
                mpq_buf_adds(a->out, "]");
        } else {
            mpq_buf_add(a->out, a->p, 1);
        }
        a->p++;
    } while (depth && a->p < a->end);
    return 1;
}

/* The pattern in PCRE2's dialect. 0 if it is not supported. */
static int
translate(struct mpq_buf *out, const char *pattern, size_t n)
{
    struct at a = { pattern, pattern + n, out };

    while (a.p < a.end) {
        if (*a.p == '\\') {
            if (!put_escape(&a, 0))
                return 0;
        } else if (*a.p == '[') {
            if (!put_set(&a))
                return 0;
        } else {
            mpq_buf_add(out, a.p++, 1);
        }
    }
    return 1;
}

int
mpq_regex_new(struct mpq_regex **out, const char *pattern, size_t n, unsigned flags,
              const char *name, struct mpq_err *err)
{
    struct mpq_buf text = { 0 };
    pcre2_compile_context *context = NULL;
    uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C;
    PCRE2_SIZE at;
    int code, rc = -1;

    *out = NULL;
    mpq_buf_add(&text, "", 0);
    if (!translate(&text, pattern, n)) {
        mpq_fail(err, MPQ_EDATA,
                 "%s: regular expression %.*s: this kind of set is not "
                 "supported",
                 name, (int)(n < 200 ? n : 200), pattern);
        goto out;
    }
    context = pcre2_compile_context_create(NULL);
    *out = calloc(1, sizeof **out);
    if (text.failed || !context || !*out) {
        mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", name);
        goto out;
    }
    pcre2_set_newline(context, PCRE2_NEWLINE_LF); /* whatever the library's default */
    options |= flags & MPQ_REGEX_LINES ? PCRE2_MULTILINE : PCRE2_DOLLAR_ENDONLY;
    (*out)->code =
        pcre2_compile((PCRE2_SPTR)text.data, text.len, options, &code, &at, context);
    if (!(*out)->code) {
        PCRE2_UCHAR says[128];
        pcre2_get_error_message(code, says, sizeof says);
        mpq_fail(err, MPQ_EDATA, "%s: regular expression %.*s: %s", name,
                 (int)(n < 200 ? n : 200), pattern, (const char *)says);
        goto out;
    }
    /* where the machine has no compiler for it, or forbids one, it is interpreted */
    pcre2_jit_compile((*out)->code, PCRE2_JIT_COMPLETE);
    rc = 0;
out:
    if (rc < 0) {
        mpq_regex_free(*out);
        *out = NULL;
    }
    pcre2_compile_context_free(context);
    mpq_buf_free(&text);
    return rc;
}

void
mpq_regex_free(struct mpq_regex *r)
{
    if (r)
        pcre2_code_free(r->code);
    free(r);
}

struct mpq_regex_work *
mpq_regex_work_new(void)
{
    struct mpq_regex_work *w = calloc(1, sizeof *w);

    if (!w)
        return NULL;
    w->match = pcre2_match_data_create(1, NULL);
    w->context = pcre2_match_context_create(NULL);
    if (!w->match || !w->context) {
        mpq_regex_work_free(w);
        return NULL;
    }
    pcre2_set_match_limit(w->context, STEPS_MAX);
    pcre2_set_heap_limit(w->context, HEAP_KIB);
    return w;
}

void
mpq_regex_work_free(struct mpq_regex_work *w)
{
    if (!w)
        return;
    pcre2_match_data_free(w->match);
    pcre2_match_context_free(w->context);
    pcre2_jit_stack_free(w->stack);
    free(w);
}

/* The compiled code ran out of stack: once more with a larger one, then interpreted. */
static int
match_deep(const struct mpq_regex *r, struct mpq_regex_work *w, const char *text,
           size_t n, size_t from)
{
    int rc = PCRE2_ERROR_JIT_STACKLIMIT;

    if (!w->stack) {
        w->stack = pcre2_jit_stack_create(JIT_STACK_MIN, JIT_STACK_MAX, NULL);
        if (w->stack) {
            pcre2_jit_stack_assign(w->context, NULL, w->stack);
            rc = pcre2_match(r->code, (PCRE2_SPTR)text, n, from, PCRE2_NO_UTF_CHECK,
                             w->match, w->context);
        }
    }
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
        rc = pcre2_match(r->code, (PCRE2_SPTR)text, n, from,
                         PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, w->match, w->context);
    return rc;
}

int
mpq_regex_next(const struct mpq_regex *r, struct mpq_regex_work *w, const char *text,
               size_t n, size_t from, size_t *start, size_t *end, struct mpq_err *err)
{
    int rc = pcre2_match(r->code, (PCRE2_SPTR)text, n, from, PCRE2_NO_UTF_CHECK,
                         w->match, w->context);

    if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
        rc = match_deep(r, w, text, n, from);
    if (rc == PCRE2_ERROR_NOMATCH)
        return 0;
    if (rc < 0) {
        PCRE2_UCHAR says[128];
        pcre2_get_error_message(rc, says, sizeof says);
        return mpq_fail(err, MPQ_EDATA, "searching %zu bytes: %s", n,
                        (const char *)says);
    }
    const PCRE2_SIZE *found = pcre2_get_ovector_pointer(w->match);
    if (found[0] > found[1] || found[0] < from || found[1] > n)
        return mpq_fail(err, MPQ_EDATA, "a regular expression ends before it begins");
    *start = found[0];
    *end = found[1];
    return 1;
}
