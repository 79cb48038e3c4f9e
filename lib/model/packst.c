/* The headers of the safetensors containers, native and fake (native.h). */
#include "model/packfile.h"

#include "fmt/kvtext.h"
#include "fmt/st.h"
#include "model/native.h"
#include "model/packfile_own.h"
#include "quant/codec.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { NAME_ROOM = 512 }; /* the longest name, with what is put before or behind it */

/* Is the key left out: of an earlier packing? */
static int
is_own_key(const struct mpq_gguf_kv *kv)
{
    return strncmp(kv->key, "mpq.", 4) == 0;
}

/* Every GGUF key as text, under its own name. */
static int
put_gguf_keys(struct mpq_st_head *h, const struct mpq_gguf *keys, struct mpq_err *err)
{
    struct mpq_buf text = { 0 };
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < mpq_gguf_kv_count(keys); i++) {
        const struct mpq_gguf_kv *kv = mpq_gguf_kv_at(keys, i);
        if (is_own_key(kv))
            continue;
        text.len = 0;
        mpq_kvtext_add(&text, kv);
        rc = text.failed ? mpq_fail(err, MPQ_ENOMEM, "key %s: out of memory", kv->key)
                         : mpq_st_put_meta(h, kv->key, text.data, err);
    }
    mpq_buf_free(&text);
    return rc;
}

/* All strings whose length no type has a say in, but for the GGUF keys. */
static int
put_fixed_meta(struct mpq_st_head *h, const struct mpq_source *s,
               enum mpq_packform form, const char *provenance, struct mpq_err *err)
{
    int fake = form == MPQ_PACK_FAKE;
    char padded[MPQ_PROVENANCE_BYTES + 1];

    mpq_packfile_pad(padded, provenance);
    if (mpq_st_put_meta(h, "mpq.container", fake ? "fake 1" : "native 1", err) < 0 ||
        mpq_st_put_meta(h, "mpq.provenance", padded, err) < 0)
        return -1;
    /* frameworks refuse a checkpoint that does not name the framework it is for */
    if (fake && mpq_st_put_meta(h, "format", "pt", err) < 0)
        return -1;
    const char *file, *text;
    for (size_t i = 0; (file = mpq_source_text_file(i)); i++)
        if (mpq_source_text(s, file, &text, err) < 0 ||
            (text && mpq_st_put_meta(h, file, text, err) < 0))
            return -1;
    return 0;
}

/* "mpq.type.NAME": "TYPE DIM DIM" */
static int
put_type(struct mpq_st_head *h, const struct mpq_weight *w, struct mpq_type type,
         struct mpq_err *err)
{
    char key[NAME_ROOM], value[256], name[MPQ_TYPE_NAME_MAX];
    int n = snprintf(value, sizeof value, "%s", mpq_type_name(type, name));

    for (unsigned d = w->tensor.n_dims; d-- > 0;)
        n += snprintf(value + n, sizeof value - (size_t)n, " %" PRIu64,
                      w->tensor.dim[d]);
    snprintf(key, sizeof key, "mpq.type.%s", w->file_name);
    return mpq_st_put_meta(h, key, value, err);
}

static int
put_part(struct mpq_st_head *h, const struct mpq_weight *w, const char *part, int dtype,
         uint64_t cols, struct mpq_err *err)
{
    const uint64_t dim[2] = { cols, w->rows };
    char name[NAME_ROOM];

    snprintf(name, sizeof name, "%s%s", w->file_name, part);
    return mpq_st_put_tensor(h, name, MPQ_TYPE(dtype), 2, dim, err);
}

/* The map of bits: one row. */
static int
put_map(struct mpq_st_head *h, const struct mpq_weight *w, uint64_t groups,
        struct mpq_err *err)
{
    struct mpq_weight one = *w;

    one.rows = 1;
    return put_part(h, &one, ".bits", MPQ_U8, groups, err);
}

static int
put_tensor(struct mpq_st_head *h, const struct mpq_piece *p, struct mpq_err *err)
{
    const struct mpq_weight *w = p->weight;
    struct mpq_type t = p->stored;

    if (mpq_type_st_name(t))
        return mpq_st_put_tensor(h, w->file_name, t, w->tensor.n_dims, w->tensor.dim,
                                 err);
    if (t.id == MPQ_INT) {
        uint64_t groups = mpq_type_groups(t, w->cols);
        uint64_t codes = mpq_type_split(t, (size_t)w->cols).codes;
        if (put_part(h, w, ".codes", MPQ_U8, codes, err) < 0 ||
            put_part(h, w, ".scales", MPQ_F16, groups, err) < 0)
            return -1;
        if (!t.symmetric && put_part(h, w, ".zeros", MPQ_F16, groups, err) < 0)
            return -1;
        return t.varied ? put_map(h, w, groups, err) : 0;
    }
    return put_part(h, w, "", MPQ_U8, p->bytes / w->rows, err);
}

/* Bytes of the elements that a reader wants aligned: 8, 4, 2, or 1 for the rest. The
 * parts of packed matrices are f16 and single bytes; all but some codes are even. */
static unsigned
width(struct mpq_type t)
{
    uint64_t bytes;
    if (!mpq_type_st_name(t) || mpq_type_row_bytes(t, 1, &bytes) < 0)
        return 2;
    return (unsigned)bytes;
}

struct mpq_type
mpq_packst_float(const struct mpq_weight *w, struct mpq_type type)
{
    struct mpq_type now = w->tensor.type;
    int kept = mpq_type_eq(type, now);

    return mpq_type_st_name(now) && (kept || mpq_codec_writes(now)) ? now
                                                                    : MPQ_TYPE(MPQ_F32);
}

static int
set_piece(struct mpq_piece *p, const struct mpq_source *s, size_t i,
          struct mpq_type type, enum mpq_packform form, struct mpq_err *err)
{
    const struct mpq_weight *w = mpq_source_weight(s, i);

    *p = (struct mpq_piece){
        .weight = w, .name = w->file_name, .index = i, .type = type, .stored = type
    };
    if (form == MPQ_PACK_FAKE)
        p->stored = mpq_packst_float(w, type);
    if (mpq_type_bytes(p->stored, w->rows, w->cols, &p->bytes) < 0)
        return mpq_fail(err, MPQ_EDATA, "tensor %s: its size overflows", w->name);
    return 0;
}

/* The pieces in the order of the file. */
static int
set_pieces(struct mpq_packfile *out, const struct mpq_source *s,
           const struct mpq_type *types, struct mpq_err *err)
{
    for (unsigned bytes = 8; bytes; bytes /= 2) {
        for (size_t i = 0; i < mpq_source_count(s); i++) {
            struct mpq_piece p;
            if (set_piece(&p, s, i, types[i], out->form, err) < 0)
                return -1;
            if (width(p.stored) != bytes)
                continue;
            if (mpq_add_u64(out->size_bytes, p.bytes, &out->size_bytes) < 0)
                return mpq_fail(err, MPQ_EDATA, "%s: its size overflows",
                                mpq_source_name(s));
            out->pieces[out->n++] = p;
        }
    }
    return 0;
}

int
mpq_packst_plan(struct mpq_packfile *out, const struct mpq_source *s,
                const struct mpq_type *types, const char *provenance,
                struct mpq_err *err)
{
    const struct mpq_gguf *keys = mpq_source_keys(s);
    struct mpq_st_head *h = NULL;
    uint64_t head_bytes = 0;
    int rc = -1;

    if (out->form == MPQ_PACK_NATIVE &&
        mpq_packfile_native_head_bytes(s, &head_bytes, err) < 0)
        return -1;
    if (mpq_st_head_new(&h, err) < 0 || set_pieces(out, s, types, err) < 0 ||
        put_fixed_meta(h, s, out->form, provenance, err) < 0 ||
        (keys && put_gguf_keys(h, keys, err) < 0))
        goto out;
    for (size_t i = 0; i < out->n; i++) {
        const struct mpq_piece *p = &out->pieces[i];
        if (put_tensor(h, p, err) < 0)
            goto out;
        /* a fake file says of every matrix what it was rounded to */
        if ((out->form == MPQ_PACK_FAKE ? p->weight->is_matrix
                                        : !mpq_type_st_name(p->stored)) &&
            put_type(h, p->weight, p->type, err) < 0)
            goto out;
    }
    if (mpq_st_head_finish(h, head_bytes, &out->head, err) < 0)
        goto out;
    rc = mpq_add_u64(out->size_bytes, out->head.len, &out->size_bytes);
    if (rc < 0)
        mpq_fail(err, MPQ_EDATA, "%s: its size overflows", mpq_source_name(s));
out:
    mpq_st_head_free(h);
    return rc;
}

static unsigned
digits(uint64_t v)
{
    unsigned n = 1;
    for (; v >= 10; v /= 10)
        n++;
    return n;
}

/* Digits that an offset in the file can have at most: no type takes more than 8 bytes
 * for a weight. */
static unsigned
offset_digits(const struct mpq_source *s)
{
    uint64_t total = 0, bytes;

    for (size_t i = 0; i < mpq_source_count(s); i++) {
        const struct mpq_weight *w = mpq_source_weight(s, i);
        if (mpq_mul_u64(w->tensor.n_elements, 8, &bytes) < 0 ||
            mpq_add_u64(total, bytes, &total) < 0)
            return digits(UINT64_MAX);
    }
    return digits(total);
}

/* Bytes of TEXT in JSON at most. */
static uint64_t
json_bytes(const char *text)
{
    uint64_t n = 0;
    for (const char *p = text; *p; p++)
        n += *p == '"' || *p == '\\' ? 2 : *p < ' ' || *p > '~' ? 6 : 1;
    return n;
}

/* What the entries of W in the header take at most, whatever its type. */
static uint64_t
entry_bytes(const struct mpq_weight *w, unsigned n_digits)
{
    static const char entry[] =
        ", \"\": {\"dtype\": \"F8_E4M3\", \"shape\": [], \"data_offsets\": [, ]}";
    static const char type[] = ", \"mpq.type.\": \"\"";
    uint64_t shape = 0, name = json_bytes(w->file_name);

    for (unsigned d = 0; d < w->tensor.n_dims; d++)
        shape += digits(w->tensor.dim[d]) + 2;
    uint64_t whole = sizeof entry + name + shape + 2 * n_digits;
    if (!w->is_matrix && mpq_type_st_name(w->tensor.type))
        return whole;
    /* codes, scales, zeros, bits; a row of them has no more than 8 bytes a column */
    uint64_t parts = 4 * (sizeof entry + name + sizeof ".scales" + digits(w->rows) +
                          digits(w->cols) + 5 + 2 * n_digits);
    return (whole > parts ? whole : parts) + sizeof type + name + MPQ_TYPE_NAME_MAX +
           shape;
}

/* What the GGUF keys take; counted, because to write them takes longer than to read
 * some models. */
static int
key_bytes(const struct mpq_gguf *keys, uint64_t *bytes, struct mpq_err *err)
{
    static const char entry[] = ",\"\":\"\"";

    *bytes = 0;
    for (size_t i = 0; i < mpq_gguf_kv_count(keys); i++) {
        const struct mpq_gguf_kv *kv = mpq_gguf_kv_at(keys, i);
        uint64_t value;
        if (is_own_key(kv))
            continue;
        if (mpq_kvtext_json_bytes(kv, &value) < 0)
            return mpq_fail(err, MPQ_ENOMEM, "key %s: out of memory", kv->key);
        *bytes += sizeof entry - 1 + json_bytes(kv->key) + value;
    }
    return 0;
}

int
mpq_packfile_native_head_bytes(const struct mpq_source *s, uint64_t *bytes,
                               struct mpq_err *err)
{
    struct mpq_st_head *h = NULL;
    struct mpq_buf head = { 0 };
    const struct mpq_gguf *keys = mpq_source_keys(s);
    unsigned n_digits = offset_digits(s);
    uint64_t in_keys = 0;
    int rc = -1;

    if (mpq_st_head_new(&h, err) < 0 ||
        put_fixed_meta(h, s, MPQ_PACK_NATIVE, "", err) < 0 ||
        mpq_st_head_finish(h, 0, &head, err) < 0 ||
        (keys && key_bytes(keys, &in_keys, err) < 0))
        goto out;
    *bytes = head.len + in_keys;
    for (size_t i = 0; i < mpq_source_count(s); i++)
        *bytes += entry_bytes(mpq_source_weight(s, i), n_digits);
    *bytes = (*bytes + 7) / 8 * 8;
    rc = 0;
out:
    mpq_buf_free(&head);
    mpq_st_head_free(h);
    return rc;
}
