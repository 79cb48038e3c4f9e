#include "fmt/tsv.h"

#include "base/buf.h"
#include "fmt/percent.h"

#include <inttypes.h>
#include <string.h>
#include <zlib.h>

/* Writes BUF (and frees it); rows enter the checksum. */
static int
emit(struct mpq_tsv_writer *w, struct mpq_buf *buf, int is_row, struct mpq_err *err)
{
    int rc = -1;

    if (w->text)
        mpq_buf_add(w->text, buf->data, buf->len);
    if (buf->failed || (w->text && w->text->failed)) {
        mpq_fail(err, MPQ_ENOMEM, "table: out of memory");
        goto out;
    }
    if (is_row) {
        w->rows++;
        w->crc = (uint32_t)crc32(w->crc, (const unsigned char *)buf->data,
                                 (unsigned)buf->len);
    }
    rc = w->text ? 0 : mpq_out_write(w->out, buf->data, buf->len, err);
out:
    mpq_buf_free(buf);
    return rc;
}

int
mpq_tsv_begin(struct mpq_tsv_writer *w, struct mpq_out *out, const char *kind,
              const char *const *info, struct mpq_err *err)
{
    struct mpq_buf buf = { 0 };

    *w = (struct mpq_tsv_writer){ .out = out, .text = out ? NULL : w->text };
    mpq_buf_printf(&buf, "##mpq %s 1", kind);
    for (size_t i = 0; info && info[i] && info[i + 1]; i += 2) {
        mpq_buf_printf(&buf, " %s=", info[i]);
        mpq_percent_add_word(&buf, info[i + 1]);
    }
    mpq_buf_adds(&buf, "\n");
    return emit(w, &buf, 0, err);
}

int
mpq_tsv_put_meta(struct mpq_tsv_writer *w, struct mpq_err *err, const char *fmt, ...)
{
    struct mpq_buf buf = { 0 };
    va_list ap;

    mpq_buf_adds(&buf, "##");
    va_start(ap, fmt);
    mpq_buf_vprintf(&buf, fmt, ap);
    va_end(ap);
    mpq_buf_adds(&buf, "\n");
    return emit(w, &buf, 0, err);
}

int
mpq_tsv_columns(struct mpq_tsv_writer *w, const char *columns, struct mpq_err *err)
{
    struct mpq_buf buf = { 0 };
    mpq_buf_printf(&buf, "#%s\n", columns);
    return emit(w, &buf, 0, err);
}

int
mpq_tsv_row(struct mpq_tsv_writer *w, struct mpq_err *err, const char *fmt, ...)
{
    struct mpq_buf buf = { 0 };
    va_list ap;

    va_start(ap, fmt);
    mpq_buf_vprintf(&buf, fmt, ap);
    va_end(ap);
    mpq_buf_adds(&buf, "\n");
    return emit(w, &buf, 1, err);
}

void
mpq_tsv_go_on(struct mpq_tsv_writer *w, struct mpq_out *out, const char *rows, size_t n)
{
    *w = (struct mpq_tsv_writer){ .out = out };
    for (size_t i = 0; i < n; i++)
        w->rows += rows[i] == '\n';
    while (n > 0) { /* zlib counts in 32 bits */
        const unsigned some = n < 1U << 30 ? (unsigned)n : 1U << 30;
        w->crc = (uint32_t)crc32(w->crc, (const unsigned char *)rows, some);
        rows += some;
        n -= some;
    }
}

int
mpq_tsv_end(struct mpq_tsv_writer *w, struct mpq_err *err)
{
    struct mpq_buf buf = { 0 };
    mpq_buf_printf(&buf, "##end %" PRIu64 " crc32=%08" PRIx32 "\n", w->rows, w->crc);
    return emit(w, &buf, 0, err);
}
