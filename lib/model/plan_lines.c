/* llama-quantize's tensor-type files: "PATTERN=TYPE" words, patterns as std::regex's.
 */
#include "model/plan.h"
#include "model/plan_own.h"

#include "base/text.h"

#include <ctype.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_WORD = 1024, MAX_GROUPS = 32, MAX_NEST = 4 };

/*
 * Patterns come from files, and regcomp may be made to eat all memory: what is handed
 * to it is built here from a part of the language. Refused are {n,m}, references back,
 * look-around, and + within + within + (regcomp copies what each repeats); nothing of
 * that kind occurs in files of this sort.
 */
struct translation {
    const char *at;
    struct mpq_buf out;
    int groups;  /* open parentheses */
    int operand; /* may a quantifier follow? */
    int inside;  /* how deep + stands within + in the group that just ended */
    int nest[MAX_GROUPS + 2]; /* the same, of each open group so far */
    const char *says;         /* what is wrong, or NULL */
};

/* Behind a backslash. INSIDE brackets only sets and points may stand. */
static void
escape(struct translation *t, int inside)
{
    char c = *++t->at;

    if (c == 'd')
        mpq_buf_adds(&t->out, inside ? "0-9" : "[0-9]");
    else if (c == 'w')
        mpq_buf_adds(&t->out, inside ? "0-9a-z_" : "[0-9a-z_]");
    else if (inside && (c == '.' || c == '_'))
        mpq_buf_add(&t->out, &c, 1);
    else if (!inside && c && strchr(".*+?()[]{}|^$\\/-", c))
        mpq_buf_printf(&t->out, strchr("/-", c) ? "%c" : "\\%c", c);
    else
        t->says = "an escape that is not supported";
    t->operand = 1;
}

static void
brackets(struct translation *t)
{
    mpq_buf_add(&t->out, t->at++, 1);
    if (*t->at == '^')
        mpq_buf_add(&t->out, t->at++, 1);
    if (*t->at == ']')
        t->says = "an empty [ ]";
    for (; !t->says && *t->at != ']'; t->at++) {
        if (!*t->at)
            t->says = "[ without ]";
        else if (*t->at == '[')
            t->says = "[ within [ ]";
        else if (*t->at == '\\')
            escape(t, 1);
        else
            mpq_buf_add(&t->out, t->at, 1);
    }
    mpq_buf_adds(&t->out, "]");
    t->operand = 1;
}

/* INSIDE: how deep + stands within + in what it repeats. */
static void
quantifier(struct translation *t, int inside)
{
    if (!t->operand)
        t->says = "nothing to repeat";
    int nest = inside + (*t->at == '+');

    if (nest > MAX_NEST)
        t->says = "too many + within +";
    if (nest > t->nest[t->groups])
        t->nest[t->groups] = nest;
    mpq_buf_add(&t->out, t->at, 1);
    if (t->at[1] == '?') /* lazy: the same for whether there is a match */
        t->at++;
    t->operand = 0;
}

static void
group(struct translation *t)
{
    if (t->at[1] == '?' && t->at[2] != ':')
        t->says = "look-around, which is not supported";
    else if (t->at[1] == '?')
        t->at += 2;
    if (++t->groups > MAX_GROUPS)
        t->says = "too many groups";
    t->nest[t->groups] = 0;
    mpq_buf_adds(&t->out, "(");
    t->operand = 0;
}

static void
close_group(struct translation *t)
{
    /* regcomp knows no empty alternatives */
    if (t->out.len && strchr("(|", t->out.data[t->out.len - 1]))
        t->says = "an empty alternative";
    mpq_buf_adds(&t->out, ")");
    t->operand = 1;
    if (t->groups == 0) {
        t->says = ") without (";
        return;
    }
    t->inside = t->nest[t->groups--];
    if (t->inside > t->nest[t->groups])
        t->nest[t->groups] = t->inside;
}

/* One character of the pattern, or all that belongs to it. */
static void
step(struct translation *t)
{
    const int inside = t->inside;

    t->inside = 0;
    switch (*t->at) {
    case '\\':
        escape(t, 0);
        break;
    case '[':
        brackets(t);
        break;
    case '(':
        group(t);
        break;
    case ')':
        close_group(t);
        break;
    case '*':
    case '+':
    case '?':
        quantifier(t, inside);
        break;
    case '{':
    case '}':
        t->says = "{ }, which is not supported";
        break;
    case '|':
        if (!t->out.len || strchr("(|", t->out.data[t->out.len - 1]))
            t->says = "an empty alternative";
        mpq_buf_adds(&t->out, "|");
        t->operand = 0;
        break;
    case '^':
    case '$':
        mpq_buf_add(&t->out, t->at, 1);
        t->operand = 0;
        break;
    default:
        mpq_buf_add(&t->out, t->at, 1);
        t->operand = 1;
    }
}

/* Compiles PATTERN into RE; PLACE and the pattern are for messages. */
static int
compile(regex_t *re, const char *pattern, const char *place, struct mpq_err *err)
{
    struct translation t = { .at = pattern };

    for (; *t.at && !t.says; t.at++)
        step(&t);
    if (!t.says && t.groups)
        t.says = "( without )";
    if (!t.says && (!t.out.len || t.out.data[t.out.len - 1] == '|'))
        t.says = "an empty alternative";
    if (!t.says && !t.out.failed &&
        regcomp(re, t.out.data, REG_EXTENDED | REG_NOSUB) != 0)
        t.says = "no regular expression";
    int rc = 0;
    if (t.out.failed)
        rc = mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", place);
    else if (t.says)
        rc = mpq_fail(err, MPQ_EDATA, "%s: pattern %.120s: %s", place, pattern, t.says);
    mpq_buf_free(&t.out);
    return rc;
}

/* Gives the matrices that RE finds their type, unless they have one already. */
static int
apply(struct mpq_plan *p, unsigned char *named, const regex_t *re, struct mpq_type type,
      const char *pattern, const char *place, struct mpq_err *err)
{
    size_t found = 0, given = 0;
    char name[512];

    for (size_t i = 0; i < p->layout->n; i++) {
        const struct mpq_matrix *m = &p->layout->matrices[i];
        snprintf(name, sizeof name, "%s.weight", m->name);
        if (regexec(re, name, 0, NULL, 0) != 0)
            continue;
        found++;
        if (named[i])
            continue;
        if (mpq_plan_fits(m, type, place, err) < 0)
            return -1;
        named[i] = 1;
        p->types[i] = type;
        given++;
    }
    if (given)
        return 0;
    return mpq_fail(err, MPQ_EDATA, "%s: pattern %.120s %s", place, pattern,
                    found ? "comes too late: earlier ones took all that it matches"
                          : "matches no matrix of the model");
}

/* WORD is "PATTERN=TYPE". llama-quantize lowers the pattern's case, so does this. */
static int
read_word(struct mpq_plan *p, unsigned char *named, char *word, const char *place,
          struct mpq_err *err)
{
    char *equals = strchr(word, '=');
    struct mpq_type type;
    regex_t re;

    if (!equals || equals == word)
        return mpq_fail(err, MPQ_EDATA, "%s: %.120s: PATTERN=TYPE expected", place,
                        word);
    *equals = '\0';
    if (mpq_type_parse(equals + 1, &type) < 0)
        return mpq_fail(err, MPQ_EDATA, "%s: pattern %.120s: unknown type %.40s", place,
                        word, equals + 1);
    for (char *c = word; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    if (compile(&re, word, place, err) < 0)
        return -1;
    int rc = apply(p, named, &re, type, word, place, err);
    regfree(&re);
    return rc;
}

/* All words of TEXT[n]; those that begin with # are comments up to the line's end. */
static int
read_words(struct mpq_plan *p, unsigned char *named, const char *text, size_t n,
           const char *name, struct mpq_err *err)
{
    size_t line = 1, words = 0;
    char word[MAX_WORD + 1], place[512];

    for (size_t i = 0; i < n;) {
        if (mpq_text_is_blank(text[i])) {
            line += text[i++] == '\n';
            continue;
        }
        if (text[i] == '#') {
            while (i < n && text[i] != '\n')
                i++;
            continue;
        }
        size_t len = 0;
        while (i + len < n && !mpq_text_is_blank(text[i + len]) && len <= MAX_WORD)
            len++;
        snprintf(place, sizeof place, "%.200s:%zu", name, line);
        if (len > MAX_WORD)
            return mpq_fail(err, MPQ_EDATA, "%s: a word of more than %d bytes", place,
                            MAX_WORD);
        if (memchr(text + i, '\0', len))
            return mpq_fail(err, MPQ_EDATA, "%s: a NUL byte", place);
        memcpy(word, text + i, len);
        word[len] = '\0';
        if (read_word(p, named, word, place, err) < 0)
            return -1;
        i += len;
        words++;
    }
    if (words == 0)
        return mpq_fail(err, MPQ_EDATA, "%s: neither a plan nor PATTERN=TYPE lines",
                        name);
    return 0;
}

int
mpq_plan_from_lines(struct mpq_plan *p, const char *text, size_t n, const char *name,
                    const struct mpq_layout *layout, struct mpq_err *err)
{
    unsigned char *named = mpq_array(layout->n, 1);
    int rc = -1;

    *p = (struct mpq_plan){ 0 };
    if (!named) {
        mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", name);
        goto out;
    }
    if (mpq_plan_new(p, layout, err) < 0 ||
        read_words(p, named, text, n, name, err) < 0)
        goto out;
    for (size_t i = 0; i < layout->n; i++)
        p->n_unnamed += !named[i];
    rc = 0;
out:
    free(named);
    if (rc < 0)
        mpq_plan_free(p);
    return rc;
}
