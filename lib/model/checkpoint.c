#include "model/checkpoint.h"

#include "base/buf.h"
#include "base/le.h"
#include "quant/codec.h"
#include "quant/half.h"

#include <stdlib.h>
#include <string.h>

int
mpq_checkpoint_is(enum mpq_packform form)
{
    return form == MPQ_PACK_HF || mpq_checkpoint_packs(form);
}

int
mpq_checkpoint_packs(enum mpq_packform form)
{
    return form == MPQ_PACK_CT || form == MPQ_PACK_GPTQ || form == MPQ_PACK_GPTQ_V2;
}

const char *
mpq_checkpoint_name(enum mpq_packform form)
{
    return form == MPQ_PACK_CT   ? "compressed-tensors"
           : form == MPQ_PACK_HF ? "a folder of floats"
                                 : "a GPTQ checkpoint";
}

const char *
mpq_checkpoint_refuses(enum mpq_packform form, const struct mpq_weight *w,
                       struct mpq_type type)
{
    const int gptq = form != MPQ_PACK_CT;
    const unsigned bits = type.bits;

    if (!w->is_matrix || form == MPQ_PACK_HF || mpq_type_is_float(type))
        return NULL;
    if (type.id != MPQ_INT)
        return "it takes intB[gN][s] and f32, f16, bf16";
    if (type.varied)
        return "its groups have all the same bits";
    if (gptq ? bits != 2 && bits != 3 && bits != 4 && bits != 8 : bits < 2)
        return gptq ? "it takes 2, 3, 4 and 8 bits" : "it takes 2 to 8 bits";
    if (!w->is_linear || w->tensor.n_dims != 2)
        return "it takes linear weights of the blocks alone";
    if (type.group && w->cols % type.group)
        return "the group does not divide the row";
    if (gptq && (w->rows % 32 || w->cols % 32))
        return "it takes rows and columns in multiples of 32";
    return NULL;
}

/* --- sizes ----------------------------------------------------------------------- */

static uint64_t
words(uint64_t n, unsigned bits)
{
    return (n * bits + 31) / 32;
}

int
mpq_checkpoint_parts(enum mpq_packform form, struct mpq_type type, uint64_t rows,
                     uint64_t cols, struct mpq_part parts[MPQ_PARTS_MAX], size_t *n)
{
    const uint64_t groups = mpq_type_groups(type, cols);
    const struct mpq_type i32 = MPQ_TYPE(MPQ_I32), f16 = MPQ_TYPE(MPQ_F16);
    struct mpq_part *p = parts;

    if (form == MPQ_PACK_CT) {
        *p++ = (struct mpq_part){ ".weight_shape", MPQ_TYPE(MPQ_I64), 1, { 2, 1 }, 0 };
        *p++ = (struct mpq_part){
            ".weight_packed", i32, 2, { words(cols, type.bits), rows }, 0
        };
        if (!type.symmetric)
            *p++ = (struct mpq_part){
                ".weight_zero_point", i32, 2, { groups, words(rows, type.bits) }, 0
            };
        *p++ = (struct mpq_part){ ".weight_scale", f16, 2, { groups, rows }, 0 };
    } else {
        *p++ = (struct mpq_part){
            ".qweight", i32, 2, { rows, words(cols, type.bits) }, 0
        };
        *p++ = (struct mpq_part){
            ".qzeros", i32, 2, { words(rows, type.bits), groups }, 0
        };
        *p++ = (struct mpq_part){ ".g_idx", i32, 1, { cols, 1 }, 0 };
        *p++ = (struct mpq_part){ ".scales", f16, 2, { rows, groups }, 0 };
    }
    *n = (size_t)(p - parts);
    for (size_t i = 0; i < *n; i++)
        if (mpq_type_bytes(parts[i].type, parts[i].dim[1], parts[i].dim[0],
                           &parts[i].bytes) < 0)
            return -1;
    return 0;
}

/* --- writing --------------------------------------------------------------------- */

/* A matrix whose rows lie one after the other as the encoder makes them. */
struct matrix {
    struct mpq_type type;
    uint64_t rows, cols, groups;
    const unsigned char *encoded;
    size_t row_bytes, codes; /* bytes of a row, and of its codes */
    struct mpq_out *out;
};

static const unsigned char *
row_of(const struct matrix *m, uint64_t row)
{
    return m->encoded + row * m->row_bytes;
}

static const unsigned char *
scale_of(const struct matrix *m, uint64_t row, uint64_t group)
{
    return row_of(m, row) + m->codes + 2 * group;
}

/* The zero of a group as a code. */
static uint32_t
zero_of(const struct matrix *m, uint64_t row, uint64_t group)
{
    if (m->type.symmetric)
        return 1u << (m->type.bits - 1);
    return (uint32_t)mpq_get_f16(scale_of(m, row, m->groups + group));
}

/* A stream of codes on its way into words. */
struct stream {
    uint64_t pending;
    unsigned n;
    uint32_t *word; /* the next one */
    size_t step;    /* words from one to the next */
};

static void
put(struct stream *s, uint32_t code, unsigned bits)
{
    s->pending |= (uint64_t)code << s->n;
    s->n += bits;
    if (s->n >= 32) {
        *s->word = (uint32_t)s->pending;
        s->word += s->step;
        s->pending >>= 32;
        s->n -= 32;
    }
}

static void
end(struct stream *s)
{
    if (s->n)
        *s->word = (uint32_t)s->pending;
}

static int
write_words(struct mpq_out *out, uint32_t *word, uint64_t n, struct mpq_err *err)
{
    for (uint64_t i = 0; i < n; i++) { /* as they lie in a file */
        unsigned char *at = (unsigned char *)&word[i];
        const uint32_t w = word[i];
        for (int k = 0; k < 4; k++)
            at[k] = (unsigned char)(w >> 8 * k);
    }
    return mpq_out_write(out, word, (size_t)n * sizeof *word, err);
}

static int
write_shape(const struct matrix *m, struct mpq_err *err)
{
    const uint64_t shape[2] = { m->rows, m->cols };
    unsigned char bytes[16];

    for (int i = 0; i < 16; i++)
        bytes[i] = (unsigned char)(shape[i / 8] >> 8 * (i % 8));
    return mpq_out_write(m->out, bytes, sizeof bytes, err);
}

/* Codes as they are, rows filled up to whole words. */
static int
write_packed(const struct matrix *m, struct mpq_err *err)
{
    const uint64_t padding = 4 * words(m->cols, m->type.bits) - m->codes;

    for (uint64_t r = 0; r < m->rows; r++)
        if (mpq_out_write(m->out, row_of(m, r), m->codes, err) < 0 ||
            mpq_out_zeros(m->out, padding, err) < 0)
            return -1;
    return 0;
}

static int
no_memory(struct mpq_err *err)
{
    return mpq_fail(err, MPQ_ENOMEM, "out of memory for the parts of a matrix");
}

/* Zeros of all rows, of each group a stream; ACROSS: streams are columns of words. */
static int
write_zeros(const struct matrix *m, int across, uint32_t less, struct mpq_err *err)
{
    const uint64_t n = words(m->rows, m->type.bits);
    const uint32_t mask = (1u << m->type.bits) - 1;
    uint32_t *all = mpq_array((size_t)(n * m->groups), sizeof *all);

    if (!all)
        return no_memory(err);
    for (uint64_t g = 0; g < m->groups; g++) {
        struct stream s = { 0, 0, across ? all + g : all + g * n,
                            across ? (size_t)m->groups : 1 };
        for (uint64_t r = 0; r < m->rows; r++)
            put(&s, (zero_of(m, r, g) - less) & mask, m->type.bits);
        end(&s);
    }
    const int rc = write_words(m->out, all, n * m->groups, err);
    free(all);
    return rc;
}

static int
write_scales(const struct matrix *m, struct mpq_err *err)
{
    for (uint64_t r = 0; r < m->rows; r++)
        if (mpq_out_write(m->out, scale_of(m, r, 0), (size_t)m->groups * 2, err) < 0)
            return -1;
    return 0;
}

/* Words and scales the other way round: a line of the file is one of all rows. */
static int
write_qweight(const struct matrix *m, struct mpq_err *err)
{
    uint32_t *line = mpq_array((size_t)m->rows, sizeof *line);
    int rc = line ? 0 : no_memory(err);

    for (uint64_t i = 0; rc == 0 && i < words(m->cols, m->type.bits); i++) {
        for (uint64_t r = 0; r < m->rows; r++)
            line[r] = mpq_le32(row_of(m, r) + 4 * i);
        rc = write_words(m->out, line, m->rows, err);
    }
    free(line);
    return rc;
}

static int
write_groups(const struct matrix *m, struct mpq_err *err)
{
    uint32_t *line = mpq_array((size_t)m->cols, sizeof *line);
    const uint64_t group = m->type.group ? m->type.group : m->cols;

    if (!line)
        return no_memory(err);
    for (uint64_t c = 0; c < m->cols; c++)
        line[c] = (uint32_t)(c / group);
    const int rc = write_words(m->out, line, m->cols, err);
    free(line);
    return rc;
}

static int
write_scales_across(const struct matrix *m, struct mpq_err *err)
{
    unsigned char *line = mpq_array((size_t)m->rows, 2);
    int rc = line ? 0 : no_memory(err);

    for (uint64_t g = 0; rc == 0 && g < m->groups; g++) {
        for (uint64_t r = 0; r < m->rows; r++)
            memcpy(line + 2 * r, scale_of(m, r, g), 2);
        rc = mpq_out_write(m->out, line, (size_t)m->rows * 2, err);
    }
    free(line);
    return rc;
}

int
mpq_checkpoint_write(enum mpq_packform form, struct mpq_type type, uint64_t rows,
                     uint64_t cols, const unsigned char *encoded, struct mpq_out *out,
                     struct mpq_err *err)
{
    uint64_t bytes = 0;
    struct matrix m = { .type = type,
                        .rows = rows,
                        .cols = cols,
                        .groups = mpq_type_groups(type, cols),
                        .encoded = encoded,
                        .codes = (size_t)((cols * type.bits + 7) / 8),
                        .out = out };

    if (mpq_type_row_bytes(type, cols, &bytes) < 0)
        return mpq_fail(err, MPQ_EDATA, "a row's size overflows");
    m.row_bytes = (size_t)bytes;
    if (form == MPQ_PACK_CT) {
        if (write_shape(&m, err) < 0 || write_packed(&m, err) < 0 ||
            (!type.symmetric && write_zeros(&m, 1, 0, err) < 0))
            return -1;
        return write_scales(&m, err);
    }
    if (write_qweight(&m, err) < 0 ||
        write_zeros(&m, 0, form == MPQ_PACK_GPTQ ? 1 : 0, err) < 0 ||
        write_groups(&m, err) < 0)
        return -1;
    return write_scales_across(&m, err);
}
