#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
mpq_buf_add(struct mpq_buf *b, const void *bytes, size_t n)
{
    if (b->failed)
        return;
    if (n > SIZE_MAX - b->len - 1 ||
        mpq_grow(&b->data, &b->cap, b->len + n + 1, 1) < 0) {
        b->failed = 1;
        return;
    }
    if (n)
        memcpy(b->data + b->len, bytes, n);
    b->len += n;
    b->data[b->len] = '\0';
}

void
mpq_buf_adds(struct mpq_buf *b, const char *text)
{
    mpq_buf_add(b, text, strlen(text));
}

void
mpq_buf_vprintf(struct mpq_buf *b, const char *fmt, va_list ap)
{
    va_list again;

    if (b->failed)
        return;
    va_copy(again, ap);
    /* most texts fit into what is free; only others are printed a second time */
    size_t room = b->cap - b->len;
    int n = vsnprintf(room ? b->data + b->len : NULL, room, fmt, ap);
    if (n < 0 || ((size_t)n >= room &&
                  mpq_grow(&b->data, &b->cap, b->len + (size_t)n + 1, 1) < 0)) {
        b->failed = 1;
    } else {
        if ((size_t)n >= room)
            vsnprintf(b->data + b->len, (size_t)n + 1, fmt, again);
        b->len += (size_t)n;
    }
    va_end(again);
}

void
mpq_buf_printf(struct mpq_buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    mpq_buf_vprintf(b, fmt, ap);
    va_end(ap);
}

void
mpq_buf_free(struct mpq_buf *b)
{
    free(b->data);
    *b = (struct mpq_buf){ 0 };
}

void *
mpq_array(size_t n, size_t size)
{
    return calloc(n ? n : 1, size ? size : 1);
}

int
mpq_grow(void *array, size_t *cap, size_t need, size_t size)
{
    void *old;

    if (need <= *cap)
        return 0;
    size_t n = *cap < 16 ? 16 : *cap;
    while (n < need) {
        if (n > SIZE_MAX / 2)
            return -1;
        n *= 2;
    }
    if (size && n > SIZE_MAX / size)
        return -1;
    /* ARRAY is the address of a pointer of any object type: copied as bytes. */
    memcpy(&old, array, sizeof old);
    void *grown = realloc(old, n * size);
    if (!grown)
        return -1;
    memcpy(array, &grown, sizeof grown);
    *cap = n;
    return 0;
}

char *
mpq_strndup(const char *s, size_t n)
{
    char *copy = malloc(n + 1);
    if (copy) {
        memcpy(copy, s, n);
        copy[n] = '\0';
    }
    return copy;
}

char *
mpq_strdup(const char *s)
{
    return mpq_strndup(s, strlen(s));
}

int
mpq_add_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    if (a > UINT64_MAX - b)
        return -1;
    *out = a + b;
    return 0;
}

int
mpq_mul_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    if (b && a > UINT64_MAX / b)
        return -1;
    *out = a * b;
    return 0;
}
