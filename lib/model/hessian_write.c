/* Writing streams of Gram matrices. */
#include "model/hessian.h"

#include "base/buf.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char mpq_hessian_format[] = "mpq-hessian 1";

int
mpq_hessian_new_head(struct mpq_st_head **out, const struct mpq_source *s,
                     uint64_t n_tokens, struct mpq_err *err)
{
    struct mpq_st_head *head = NULL;
    char id[MPQ_ID_SIZE], tokens[24];
    int rc = -1;

    *out = NULL;
    snprintf(tokens, sizeof tokens, "%" PRIu64, n_tokens);
    if (mpq_st_head_new(&head, err) < 0 || mpq_source_id(s, id, err) < 0 ||
        mpq_st_put_meta(head, "format", mpq_hessian_format, err) < 0 ||
        mpq_st_put_meta(head, "model", mpq_source_hparams(s)->name, err) < 0 ||
        mpq_st_put_meta(head, "model_id", id, err) < 0 ||
        mpq_st_put_meta(head, "tokens", tokens, err) < 0)
        goto out;
    *out = head;
    head = NULL;
    rc = 0;
out:
    mpq_st_head_free(head);
    return rc;
}

int
mpq_hessian_put_head(struct mpq_st_head *head, struct mpq_out *out, struct mpq_err *err)
{
    struct mpq_buf text = { 0 };
    int rc = -1;

    if (mpq_st_head_finish(head, 0, &text, err) == 0)
        rc = mpq_out_write(out, text.data, text.len, err);
    mpq_buf_free(&text);
    return rc;
}

int
mpq_hessian_put_floats(const float *x, size_t n, struct mpq_out *out,
                       struct mpq_err *err)
{
    enum { AT_ONCE = 1024 };
    unsigned char bytes[4 * AT_ONCE];

    for (size_t i = 0; i < n; i += AT_ONCE) {
        const size_t here = n - i < AT_ONCE ? n - i : AT_ONCE;
        for (size_t k = 0; k < here; k++) {
            uint32_t bits;
            memcpy(&bits, &x[i + k], sizeof bits);
            for (int b = 0; b < 4; b++)
                bytes[4 * k + (size_t)b] = (unsigned char)(bits >> 8 * b);
        }
        if (mpq_out_write(out, bytes, 4 * here, err) < 0)
            return -1;
    }
    return 0;
}

static int
put_layer(struct mpq_st_head *head, const struct mpq_source *s, size_t layer,
          struct mpq_err *err)
{
    static const char *const names[] = { "attn_q", "attn_output", "ffn_gate",
                                         "ffn_down" };
    char name[64];

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(name, sizeof name, "blk.%zu.%s", layer, names[i]);
        const struct mpq_weight *w = mpq_source_find(s, name);
        if (!w)
            return mpq_fail(err, MPQ_EDATA, "%s: no tensor %s", mpq_source_name(s),
                            name);
        const uint64_t dim[2] = { w->cols, w->cols };
        snprintf(name, sizeof name, "blk.%zu.%s.gram", layer, names[i]);
        if (mpq_st_put_tensor(head, name, MPQ_TYPE(MPQ_F32), 2, dim, err) < 0)
            return -1;
    }
    return 0;
}

int
mpq_hessian_write_head(struct mpq_out *out, const struct mpq_source *s, size_t first,
                       size_t last, uint64_t n_tokens, struct mpq_err *err)
{
    struct mpq_st_head *head = NULL;
    int rc = mpq_hessian_new_head(&head, s, n_tokens, err);

    for (size_t l = first; rc == 0 && l <= last; l++)
        rc = put_layer(head, s, l, err);
    if (rc == 0)
        rc = mpq_hessian_put_head(head, out, err);
    mpq_st_head_free(head);
    return rc;
}

int
mpq_hessian_write_layer(struct mpq_out *out, const struct mpq_input *in, size_t n,
                        struct mpq_err *err)
{
    for (size_t i = 0; i < n; i++) {
        const size_t cols = in[i].cols;
        float *row = mpq_array(cols, sizeof *row);
        int rc = 0;
        if (!row)
            return mpq_fail(err, MPQ_ENOMEM, "out of memory for %zu columns", cols);
        for (size_t r = 0; r < cols && rc == 0; r++) {
            for (size_t c = 0; c < cols; c++)
                row[c] = (float)(c < r ? in[i].gram[c * cols + r]
                                       : in[i].gram[r * cols + c]);
            rc = mpq_hessian_put_floats(row, cols, out, err);
        }
        free(row);
        if (rc < 0)
            return -1;
    }
    return 0;
}
