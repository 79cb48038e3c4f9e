#include "model/packfile.h"

#include "model/checkpoint.h"
#include "model/packfile_own.h"
#include "quant/codec.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

int
mpq_piece_is_copy(const struct mpq_piece *p)
{
    const struct mpq_type now = p->weight->tensor.type;

    return mpq_type_eq(p->type, now) && mpq_type_eq(p->stored, now) && p->plus == 0 &&
           !(p->head && !p->weight->is_matrix);
}

void
mpq_packfile_pad(char text[MPQ_PROVENANCE_BYTES + 1], const char *provenance)
{
    size_t n = strlen(provenance);

    if (n > MPQ_PROVENANCE_BYTES)
        n = MPQ_PROVENANCE_BYTES;
    /* never half a character: continuation bytes are 10xxxxxx */
    while (n && provenance[n] && ((unsigned char)provenance[n] & 0xc0) == 0x80)
        n--;
    memset(text, ' ', MPQ_PROVENANCE_BYTES);
    memcpy(text, provenance, n);
    text[MPQ_PROVENANCE_BYTES] = '\0';
}

static int
refuse(const struct mpq_source *s, const struct mpq_weight *w, struct mpq_type type,
       const char *why, struct mpq_err *err)
{
    char name[MPQ_TYPE_NAME_MAX];
    return mpq_fail(err, MPQ_EDATA, "%s: tensor %s: type %s: %s", mpq_source_name(s),
                    w->name, mpq_type_name(type, name), why);
}

/* Can the plan's type for W be written in this form? */
static int
check_type(const struct mpq_source *s, enum mpq_packform form,
           const struct mpq_weight *w, struct mpq_type type, struct mpq_err *err)
{
    struct mpq_type now = w->tensor.type;
    int same = mpq_type_eq(type, now);
    char name[MPQ_TYPE_NAME_MAX];

    if (!mpq_type_fits(type, w->cols))
        return mpq_fail(err, MPQ_EDATA,
                        "%s: tensor %s: type %s takes rows of a multiple of %" PRIu32
                        ", these have %" PRIu64,
                        mpq_source_name(s), w->name, mpq_type_name(type, name),
                        mpq_type_block(type), w->cols);
    if (form == MPQ_PACK_GGUF && !mpq_type_is_ggml(type))
        return refuse(s, w, type, "a GGUF file cannot hold it: -f safetensors does",
                      err);
    if (!same && !mpq_codec_writes(type))
        return mpq_fail(err, MPQ_EDATA, "%s: tensor %s: mpq-pack does not write %s",
                        mpq_source_name(s), w->name, mpq_type_name(type, name));
    if (!mpq_codec_reads(now) &&
        (!same || (form == MPQ_PACK_FAKE && !mpq_type_st_name(now))))
        return refuse(s, w, now, "cannot be decoded", err);
    return 0;
}

/* Types of matrices that a checkpoint cannot hold: each with the first of them, why,
 * and how many there are. */
static int
check_all_held(const struct mpq_source *s, enum mpq_packform form,
               const struct mpq_type *types, struct mpq_err *err)
{
    enum { MOST = 4 };
    struct {
        const struct mpq_weight *first;
        struct mpq_type type;
        const char *why;
        size_t n;
    } bad[MOST];
    struct mpq_buf text = { 0 };
    char name[MPQ_TYPE_NAME_MAX];
    size_t n = 0;

    if (!mpq_checkpoint_is(form))
        return 0;
    for (size_t i = 0; i < mpq_source_count(s); i++) {
        const struct mpq_weight *w = mpq_source_weight(s, i);
        const char *why = mpq_checkpoint_refuses(form, w, types[i]);
        size_t k = 0;
        if (!why)
            continue;
        while (k < n && (!mpq_type_eq(bad[k].type, types[i]) || bad[k].why != why))
            k++;
        if (k == MOST)
            continue;
        if (k == n) {
            n++;
            bad[k].first = w;
            bad[k].type = types[i];
            bad[k].why = why;
            bad[k].n = 0;
        }
        bad[k].n++;
    }
    for (size_t k = 0; k < n; k++) {
        mpq_buf_printf(&text, "%s%s as %s", k ? "; " : "", bad[k].first->name,
                       mpq_type_name(bad[k].type, name));
        if (bad[k].n > 1)
            mpq_buf_printf(&text, " and %zu more", bad[k].n - 1);
        mpq_buf_printf(&text, ": %s", bad[k].why);
    }
    if (n)
        mpq_fail(err, MPQ_EDATA, "%s: %s cannot hold %s", mpq_source_name(s),
                 mpq_checkpoint_name(form), text.failed ? "a type" : text.data);
    mpq_buf_free(&text);
    return n ? -1 : 0;
}

int
mpq_packfile_plan(struct mpq_packfile *out, const struct mpq_source *s,
                  enum mpq_packform form, const struct mpq_type *types,
                  const char *provenance, struct mpq_err *err)
{
    size_t n = mpq_source_count(s);
    int rc = -1;

    *out = (struct mpq_packfile){ .form = form };
    if (check_all_held(s, form, types, err) < 0)
        return -1;
    for (size_t i = 0; i < n; i++)
        if (check_type(s, form, mpq_source_weight(s, i), types[i], err) < 0)
            goto out;
    out->pieces = mpq_array(n + 1, sizeof *out->pieces); /* a conversion adds one */
    if (!out->pieces) {
        mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", mpq_source_name(s));
        goto out;
    }
    if (form == MPQ_PACK_GGUF)
        rc = mpq_packgguf_plan(out, s, types, provenance, err);
    else if (mpq_checkpoint_is(form))
        rc = mpq_packhf_plan(out, s, types, provenance, err);
    else
        rc = mpq_packst_plan(out, s, types, provenance, err);
out:
    if (rc < 0)
        mpq_packfile_free(out);
    return rc;
}

struct sum {
    size_t n;
    uint64_t params, bytes;
};

/* Of the pieces from the I-th on that have its type; none when that was told before. */
static struct sum
sum_of_type(const struct mpq_packfile *f, size_t i)
{
    struct sum sum = { 0 };

    for (size_t k = 0; k < f->n; k++) {
        const struct mpq_piece *p = &f->pieces[k];
        if (!mpq_type_eq(p->type, f->pieces[i].type))
            continue;
        if (k < i)
            return (struct sum){ 0 };
        sum.n++;
        sum.params += p->weight->tensor.n_elements;
        sum.bytes += p->bytes;
    }
    return sum;
}

void
mpq_packfile_table(const struct mpq_packfile *f, struct mpq_buf *out)
{
    struct sum all = { 0 };

    mpq_buf_adds(out, "#type\ttensors\tparams\tbytes\n");
    for (size_t i = 0; i < f->n; i++) {
        char name[MPQ_TYPE_NAME_MAX];
        struct sum sum = sum_of_type(f, i);
        if (sum.n == 0)
            continue;
        all.n += sum.n;
        all.params += sum.params;
        all.bytes += sum.bytes;
        mpq_buf_printf(out, "%s\t%zu\t%" PRIu64 "\t%" PRIu64 "\n",
                       mpq_type_name(f->pieces[i].type, name), sum.n, sum.params,
                       sum.bytes);
    }
    mpq_buf_printf(out, "header\t0\t0\t%zu\n", f->head.len);
    mpq_buf_printf(out, "padding\t0\t0\t%" PRIu64 "\n",
                   f->size_bytes - f->head.len - all.bytes);
    mpq_buf_printf(out, "total\t%zu\t%" PRIu64 "\t%" PRIu64 "\n", all.n, all.params,
                   f->size_bytes);
}

void
mpq_packfile_free(struct mpq_packfile *f)
{
    mpq_buf_free(&f->head);
    free(f->pieces);
    mpq_convert_free(&f->convert);
    mpq_unconvert_free(&f->unconvert);
    *f = (struct mpq_packfile){ 0 };
}
