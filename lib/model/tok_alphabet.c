#include "fmt/safe.h"
#include "model/tok_own.h"

int
mpq_tok_byte_is_plain(unsigned b)
{
    return (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
}

/* The byte that is written as code point C, or -1. */
static int
byte_of(unsigned c)
{
    if (c < 256)
        return mpq_tok_byte_is_plain(c) ? (int)c : -1;
    c -= 256; /* the number of a byte among those that are not plain */
    if (c <= 0x20)
        return (int)c;
    if (c <= 0x20 + 34) /* 0x7f to 0xa0 */
        return (int)(c - 0x21 + 0x7f);
    return c == 0x20 + 35 ? 0xad : -1;
}

long
mpq_tok_from_alphabet(const char *s, size_t n, char *out)
{
    const unsigned char *u = (const unsigned char *)s;
    long count = 0;

    for (size_t i = 0; i < n;) {
        const size_t len = mpq_utf8_length(u + i, n - i);
        if (len != 1 && len != 2)
            return -1;
        const int b =
            byte_of(len == 1 ? u[i] : (u[i] & 0x1fu) << 6 | (u[i + 1] & 0x3fu));
        if (b < 0)
            return -1;
        out[count++] = (char)b;
        i += len;
    }
    return count;
}
