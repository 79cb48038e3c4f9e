#include "model/packfile.h"

#include "model/packfile_own.h"
#include "quant/codec.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

int
mpq_piece_is_copy(const struct mpq_piece *p)
{
    const struct mpq_type now = p->weight->tensor.type;
    return mpq_type_eq(p->type, now) && mpq_type_eq(p->stored, now);
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
        return refuse(s, w, type, "cannot be encoded", err);
    if (!mpq_codec_reads(now) &&
        (!same || (form == MPQ_PACK_FAKE && !mpq_type_st_name(now))))
        return refuse(s, w, now, "cannot be decoded", err);
    return 0;
}

int
mpq_packfile_plan(struct mpq_packfile *out, const struct mpq_source *s,
                  enum mpq_packform form, const struct mpq_type *types,
                  const char *provenance, struct mpq_err *err)
{
    size_t n = mpq_source_count(s);
    int rc = -1;

    *out = (struct mpq_packfile){ .form = form };
    for (size_t i = 0; i < n; i++)
        if (check_type(s, form, mpq_source_weight(s, i), types[i], err) < 0)
            goto out;
    out->pieces = mpq_array(n, sizeof *out->pieces);
    if (!out->pieces) {
        mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", mpq_source_name(s));
        goto out;
    }
    if (form == MPQ_PACK_GGUF)
        rc = mpq_packgguf_plan(out, s, types, provenance, err);
    else
        rc = mpq_packst_plan(out, s, types, provenance, err);
out:
    if (rc < 0)
        mpq_packfile_free(out);
    return rc;
}

void
mpq_packfile_free(struct mpq_packfile *f)
{
    mpq_buf_free(&f->head);
    free(f->pieces);
    *f = (struct mpq_packfile){ 0 };
}
