#include "fmt/percent.h"

#include <string.h>

void
mpq_percent_add(struct mpq_buf *out, unsigned char c)
{
    static const char digits[] = "0123456789abcdef";
    const char text[3] = { '%', digits[c >> 4], digits[c & 15] };

    mpq_buf_add(out, text, sizeof text);
}

void
mpq_percent_add_word(struct mpq_buf *out, const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (*p <= ' ' || *p == '%' || *p == 0x7f)
            mpq_percent_add(out, *p);
        else
            mpq_buf_add(out, p, 1);
    }
}

static int
hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int
mpq_percent_byte(const char *s, size_t n)
{
    if (n < 3)
        return -1;
    const int high = hex_digit(s[1]), low = hex_digit(s[2]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

void
mpq_percent_decode(char *text)
{
    char *to = text;

    for (size_t left = strlen(text); left; left--, text++) {
        int c = *text == '%' ? mpq_percent_byte(text, left) : -1;
        *to++ = c < 0 ? *text : (char)c;
        if (c >= 0) {
            text += 2;
            left -= 2;
        }
    }
    *to = '\0';
}
