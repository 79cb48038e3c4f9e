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

int
mpq_fail(struct mpq_err *err, enum mpq_code code, const char *fmt, ...)
{
    va_list ap;

    if (!err || err->code)
        return -1;
    err->code = (int)code;
    va_start(ap, fmt);
    vsnprintf(err->text, sizeof err->text, fmt, ap);
    va_end(ap);
    mask_controls(err->text);
    return -1;
}

int
mpq_fail_errno(struct mpq_err *err, const char *fmt, ...)
{
    int saved = errno;
    va_list ap;

    if (!err || err->code)
        return -1;
    err->code = MPQ_ESYS;
    va_start(ap, fmt);
    vsnprintf(err->text, sizeof err->text, fmt, ap);
    va_end(ap);
    size_t len = strlen(err->text);
    snprintf(err->text + len, sizeof err->text - len, ": %s", strerror(saved));
    mask_controls(err->text);
    return -1;
}
