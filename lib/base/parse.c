#include "base/parse.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Reads digits at *s into *out and moves *s behind them. */
static int
digits(const char **s, uint64_t *out)
{
    const char *p = *s;
    uint64_t v = 0;

    if (*p < '0' || *p > '9')
        return -1;
    for (; *p >= '0' && *p <= '9'; p++) {
        unsigned d = (unsigned)(*p - '0');
        if (v > (UINT64_MAX - d) / 10)
            return -1;
        v = v * 10 + d;
    }
    *s = p;
    *out = v;
    return 0;
}

int
mpq_parse_u64(const char *text, uint64_t *out)
{
    uint64_t v;
    if (digits(&text, &v) < 0 || *text)
        return -1;
    *out = v;
    return 0;
}

/* strtod takes blanks, hex and "inf" too: only what a table may hold passes. */
static int
real(const char *text, double *out, const char **end)
{
    char *stop;

    if (strspn(text, "+-.0123456789") == 0)
        return -1;
    if (strpbrk(text, "xX"))
        return -1;
    errno = 0;
    double v = strtod(text, &stop);
    if (stop == text || !isfinite(v))
        return -1;
    *out = v;
    *end = stop;
    return 0;
}

int
mpq_parse_double(const char *text, double *out)
{
    const char *end;
    double v;
    if (real(text, &v, &end) < 0 || *end)
        return -1;
    *out = v;
    return 0;
}

int
mpq_parse_bytes(const char *text, uint64_t *out)
{
    static const char units[] = "kmgt", capitals[] = "KMGT";
    const char *end;
    double v, scale = 1;

    if (mpq_parse_u64(text, out) == 0)
        return 0;
    if (real(text, &v, &end) < 0 || v < 0)
        return -1;
    for (size_t i = 0; units[i]; i++) {
        if (*end != units[i] && *end != capitals[i])
            continue;
        const int binary = end[1] == 'i' || end[1] == 'I';
        for (size_t power = 0; power <= i; power++)
            scale *= binary ? 1024 : 1000;
        end += binary ? 2 : 1;
        break;
    }
    if (*end == 'B' || *end == 'b')
        end++;
    if (*end || v * scale >= 18446744073709551616.0 ||
        (scale == 1 && v != floor(v))) /* of bytes there are whole ones */
        return -1;
    *out = (uint64_t)(v * scale);
    return 0;
}

int
mpq_parse_range(const char *text, uint64_t *first, uint64_t *last)
{
    uint64_t a, b;
    if (digits(&text, &a) < 0)
        return -1;
    b = a;
    if (*text == '-') {
        text++;
        if (digits(&text, &b) < 0)
            return -1;
    }
    if (*text || a > b)
        return -1;
    *first = a;
    *last = b;
    return 0;
}
