#include "fmt/safe.h"

size_t
mpq_utf8_length(const unsigned char *s, size_t n)
{
    unsigned char lo = 0x80, hi = 0xbf;
    size_t len;

    if (s[0] < 0x80)
        return 1;
    if (s[0] >= 0xc2 && s[0] <= 0xdf)
        len = 2;
    else if (s[0] >= 0xe0 && s[0] <= 0xef)
        len = 3;
    else if (s[0] >= 0xf0 && s[0] <= 0xf4)
        len = 4;
    else
        return 0;
    if (s[0] == 0xe0)
        lo = 0xa0;
    else if (s[0] == 0xed)
        hi = 0x9f;
    else if (s[0] == 0xf0)
        lo = 0x90;
    else if (s[0] == 0xf4)
        hi = 0x8f;
    if (n < len || s[1] < lo || s[1] > hi)
        return 0;
    for (size_t i = 2; i < len; i++)
        if (s[i] < 0x80 || s[i] > 0xbf)
            return 0;
    return len;
}

static const char *
control_fault(unsigned char c)
{
    if (c == '\0')
        return "has a NUL byte";
    if (c == '\t')
        return "has a tab";
    if (c == '\n' || c == '\r')
        return "has a newline";
    return "has a control byte";
}

const char *
mpq_safe_key(const char *s, size_t n)
{
    const unsigned char *u = (const unsigned char *)s;

    if (n == 0)
        return "is empty";
    for (size_t i = 0; i < n;) {
        size_t len = mpq_utf8_length(u + i, n - i);
        if (!len)
            return "is not UTF-8";
        /* C1 controls, U+0080 to U+009F, move a terminal's cursor as well */
        if (u[i] < 0x20 || u[i] == 0x7f || (u[i] == 0xc2 && u[i + 1] < 0xa0))
            return control_fault(u[i]);
        i += len;
    }
    return NULL;
}

const char *
mpq_safe_name(const char *s, size_t n)
{
    const char *fault = mpq_safe_key(s, n);

    if (fault)
        return fault;
    for (size_t i = 0; i < n; i++)
        if (s[i] == ' ')
            return "has a blank";
    return n > MPQ_NAME_MAX ? "is longer than 255 bytes" : NULL;
}
