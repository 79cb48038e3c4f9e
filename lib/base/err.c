#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void
mask_controls(char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f)
            *s = '?';
}

static int
is_inside_character(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

/* FMT and CAUSE into err->text. What is too long (a path may be) loses some of its
 * middle: the file stands at the beginning, the fault at the end. */
MPQ_PRINTF(2, 0)
static void
set_text(struct mpq_err *err, const char *fmt, va_list ap, const char *cause)
{
    enum { SIZE = sizeof err->text, HEAD = SIZE / 4, GAP = 3 };
    char whole[8192];
    size_t head = HEAD;

    vsnprintf(whole, sizeof whole, fmt, ap);
    size_t len = strlen(whole);
    snprintf(whole + len, sizeof whole - len, "%s", cause);
    len += strlen(whole + len);
    mask_controls(whole);
    if (len < SIZE) {
        memcpy(err->text, whole, len + 1);
        return;
    }
    while (head && is_inside_character(whole[head]))
        head--;
    const char *tail = whole + len - (SIZE - 1 - HEAD - GAP);
    while (is_inside_character(*tail))
        tail++;
    memcpy(err->text, whole, head);
    memcpy(err->text + head, "...", GAP);
    memcpy(err->text + head + GAP, tail, strlen(tail) + 1);
}

int
mpq_fail(struct mpq_err *err, enum mpq_code code, const char *fmt, ...)
{
    va_list ap;

    if (!err || err->code)
        return -1;
    err->code = (int)code;
    va_start(ap, fmt);
    set_text(err, fmt, ap, "");
    va_end(ap);
    return -1;
}

int
mpq_fail_errno(struct mpq_err *err, const char *fmt, ...)
{
    char cause[128];
    va_list ap;

    if (!err || err->code)
        return -1;
    snprintf(cause, sizeof cause, ": %s", strerror(errno));
    err->code = MPQ_ESYS;
    va_start(ap, fmt);
    set_text(err, fmt, ap, cause);
    va_end(ap);
    return -1;
}
