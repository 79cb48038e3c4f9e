#include "model/source.h"

#include "base/buf.h"
#include "base/simd.h"
#include "fmt/gz.h"
#include "fmt/sniff.h"
#include "model/source_own.h"
#include "quant/codec.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int
is_folder(const char *path)
{
    struct stat st;

    return strcmp(path, "-") && !stat(path, &st) && S_ISDIR(st.st_mode);
}

/* The one safetensors file that s->map is; the map moves to the shard. */
static int
open_st(struct mpq_source *s, struct mpq_err *err)
{
    s->shards = mpq_array(1, sizeof *s->shards);
    if (!s->shards || !(s->shards[0].path = mpq_strdup(s->name)))
        return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", s->name);
    s->n_shards = 1;
    s->shards[0].map = s->map;
    s->map = (struct mpq_map){ 0 };
    return mpq_st_open(&s->shards[0].st, &s->shards[0].map, s->name, err);
}

/* What the file is, by its first bytes: a safetensors header has eight bytes of length,
 * then '{'. */
static int
open_file(struct mpq_source *s, const char *path, struct mpq_err *err)
{
    if (mpq_map_open(&s->map, path, err) < 0 ||
        mpq_gz_expand(&s->map, s->name, err) < 0)
        return -1;
    if (!s->map.size)
        return mpq_fail(err, MPQ_EDATA, "%s: empty", s->name);
    if (s->map.size >= 4 && !memcmp(s->map.data, "GGUF", 4))
        return mpq_gguf_open(&s->gguf, &s->map, s->name, err);
    if (s->map.size > 8 && s->map.data[8] == '{')
        return open_st(s, err);
    return mpq_fail_no_model(s->name, s->map.data, (size_t)s->map.size, err);
}

int
mpq_source_open(struct mpq_source **out, const char *path, const char *config_dir,
                struct mpq_err *err)
{
    const char *name = strcmp(path, "-") ? path : "standard input";
    struct mpq_source *s = NULL;
    int rc = -1;

    *out = NULL;
    s = calloc(1, sizeof *s);
    if (!s || !(s->name = mpq_strdup(name))) {
        mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", name);
        goto out;
    }
    if (is_folder(path)) {
        if (mpq_source_open_folder(s, path, err) < 0)
            goto out;
    } else if (open_file(s, path, err) < 0) {
        goto out;
    }
    if (mpq_source_open_config(s, path, is_folder(path), config_dir, err) < 0 ||
        mpq_source_list_weights(s, err) < 0 || mpq_source_read_hparams(s, err) < 0)
        goto out;
    *out = s;
    s = NULL;
    rc = 0;
out:
    mpq_source_free(s);
    return rc;
}

void
mpq_source_free(struct mpq_source *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n_shards; i++) {
        mpq_st_free(s->shards[i].st);
        mpq_map_close(&s->shards[i].map);
        free(s->shards[i].path);
    }
    free(s->shards);
    mpq_gguf_free(s->keys);
    mpq_buf_free(&s->keys_bytes);
    mpq_gguf_free(s->gguf);
    mpq_map_close(&s->map);
    for (size_t i = 0; i < MPQ_N_TEXTS; i++)
        free(s->texts[i].text);
    free(s->config_dir);
    free(s->pre);
    mpq_json_free(s->config);
    free(s->weights);
    mpq_index_free(&s->by_name);
    mpq_pool_free(&s->strings);
    free(s->name);
    free(s);
}

const struct mpq_hparams *
mpq_source_hparams(const struct mpq_source *s)
{
    return &s->hparams;
}

const struct mpq_gguf *
mpq_source_gguf(const struct mpq_source *s)
{
    return s->gguf;
}

const struct mpq_gguf *
mpq_source_keys(const struct mpq_source *s)
{
    return s->gguf ? s->gguf : s->keys;
}

const struct mpq_st *
mpq_source_st(const struct mpq_source *s)
{
    return s->n_shards ? s->shards[0].st : NULL;
}

const char *
mpq_source_name(const struct mpq_source *s)
{
    return s->name;
}

int
mpq_source_name_pre(struct mpq_source *s, const char *pre, struct mpq_err *err)
{
    char *copy = mpq_strdup(pre);

    if (!copy)
        return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", s->name);
    free(s->pre);
    s->pre = copy;
    return 0;
}

const char *
mpq_source_dir(const struct mpq_source *s)
{
    return s->config_dir;
}

const char *
mpq_source_pre(const struct mpq_source *s)
{
    return s->pre;
}

uint64_t
mpq_source_file_size(const struct mpq_source *s)
{
    uint64_t size = s->gguf ? mpq_gguf_file_size(s->gguf) : 0;

    for (size_t i = 0; i < s->n_shards; i++)
        size += s->shards[i].map.size;
    return size;
}

/* 1 when every one of x[n] is finite. Without a branch in the loop, so that it becomes
 * vector code: the exponent is all ones exactly for NaN and infinity. */
MPQ_CLONES static int
all_finite(const float *x, size_t n)
{
    uint32_t bad = 0;

    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        bad |= (bits & 0x7f800000) == 0x7f800000;
    }
    return !bad;
}

MPQ_CLONES static float
largest(const float *x, size_t n)
{
    float most = 0;

    for (size_t i = 0; i < n; i++) {
        const float size = x[i] < 0 ? -x[i] : x[i];
        most = size > most ? size : most;
    }
    return most;
}

static int
fail_not_finite(const struct mpq_source *s, const struct mpq_weight *w, uint64_t row,
                const float *x, struct mpq_err *err)
{
    uint64_t col = 0;

    while (col + 1 < w->cols && isfinite(x[col]))
        col++;
    return mpq_fail(err, MPQ_EDATA,
                    "%s: tensor %s: row %" PRIu64 ", column %" PRIu64 ": value is %s",
                    s->name, w->file_name, row + 1, col + 1,
                    isnan(x[col]) ? "NaN" : "infinite");
}

int
mpq_source_read_rows(const struct mpq_source *s, const struct mpq_weight *w,
                     uint64_t row, uint64_t n, float *dst, struct mpq_err *err)
{
    struct mpq_type type = w->tensor.type;
    unsigned char *scratch = NULL;
    uint64_t row_bytes;
    int rc = -1;

    assert(row <= w->rows && n <= w->rows - row);
    if (!mpq_codec_reads(type) || mpq_type_row_bytes(type, w->cols, &row_bytes) < 0) {
        char name[MPQ_TYPE_NAME_MAX];
        return mpq_fail(err, MPQ_EDATA, "%s: tensor %s: type %s cannot be decoded",
                        s->name, w->file_name, mpq_type_name(type, name));
    }
    if (w->scales && !(scratch = malloc((size_t)row_bytes)))
        return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", s->name);
    for (uint64_t i = 0; i < n; i++) {
        float *to = dst + i * w->cols;
        mpq_decode_row(type, mpq_weight_row(w, row + i, scratch), to, (size_t)w->cols);
        if (!all_finite(to, (size_t)w->cols)) {
            fail_not_finite(s, w, row + i, to, err);
            goto out;
        }
    }
    rc = 0;
out:
    free(scratch);
    return rc;
}

int
mpq_source_read_for(const struct mpq_source *s, const struct mpq_weight *w,
                    uint64_t row, uint64_t n, struct mpq_type type, float *dst,
                    struct mpq_err *err)
{
    static const float most_of_f16 = 65504;
    char name[MPQ_TYPE_NAME_MAX];

    if (mpq_source_read_rows(s, w, row, n, dst, err) < 0)
        return -1;
    const float most = largest(dst, (size_t)(n * w->cols));
    if (most <= most_of_f16 || (mpq_type_is_float(type) && type.id != MPQ_F16))
        return 0;
    return mpq_fail(err, MPQ_EDATA,
                    "%s: tensor %s: a value of %g, and type %s goes to 65504", s->name,
                    w->file_name, (double)most, mpq_type_name(type, name));
}

const unsigned char *
mpq_weight_row(const struct mpq_weight *w, uint64_t row, unsigned char *scratch)
{
    struct mpq_type type = w->tensor.type;
    uint64_t bytes = 0;

    if (!w->scales) {
        int fits = mpq_type_row_bytes(type, w->cols, &bytes);
        assert(fits == 0); /* held when the file was opened */
        (void)fits;
        return w->tensor.data + row * bytes;
    }
    const struct mpq_type_parts p = mpq_type_split(type, (size_t)w->cols);
    unsigned char *to = scratch;
    if (p.map)
        memcpy(to, w->map, p.map);
    memcpy(to += p.map, w->tensor.data + row * p.codes, p.codes);
    memcpy(to += p.codes, w->scales + row * p.scales, p.scales);
    if (p.zeros)
        memcpy(to + p.scales, w->zeros + row * p.zeros, p.zeros);
    return scratch;
}

void
mpq_source_drop(const struct mpq_source *s, const struct mpq_weight *w)
{
    const struct mpq_tensor *t = &w->tensor;
    const struct mpq_map file = { t->data - t->offset, t->offset + t->size_bytes };

    (void)s;
    mpq_map_drop(&file, t->offset, t->size_bytes);
}
