#include "fmt/escape.h"

#include "fmt/safe.h"

#include <string.h>

void
mpq_escape(struct mpq_buf *out, const char *s, size_t n)
{
    static const char plain[] = "\t\n\r\\", letters[] = "tnr\\";

    for (size_t i = 0; i < n;) {
        const unsigned char c = (unsigned char)s[i];
        const size_t step = mpq_utf8_length((const unsigned char *)s + i, n - i);
        const char *special = c ? strchr(plain, c) : NULL;
        if (special)
            mpq_buf_printf(out, "\\%c", letters[special - plain]);
        else if (c < ' ' || c == 0x7f || step == 0)
            mpq_buf_printf(out, "\\x%02x", c);
        else
            mpq_buf_add(out, s + i, step);
        i += step ? step : 1;
    }
}
