#include "fmt/dtype.h"

#include "base/buf.h"
#include "base/parse.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* One line a type: name, elements and bytes of a block, bits of a code. The sizes of
 * ggml's blocks are those of github.com/ggml-org/ggml, src/ggml-common.h. */
struct row {
    uint8_t id;
    uint8_t nominal_bits;
    uint16_t block, bytes;
    const char *name, *st_name;
};

static const struct row table[] = {
    { MPQ_F32, 32, 1, 4, "f32", "F32" },
    { MPQ_F16, 16, 1, 2, "f16", "F16" },
    { MPQ_Q4_0, 4, 32, 18, "q4_0", NULL },
    { MPQ_Q4_1, 4, 32, 20, "q4_1", NULL },
    { MPQ_Q5_0, 5, 32, 22, "q5_0", NULL },
    { MPQ_Q5_1, 5, 32, 24, "q5_1", NULL },
    { MPQ_Q8_0, 8, 32, 34, "q8_0", NULL },
    { MPQ_Q8_1, 8, 32, 36, "q8_1", NULL },
    { MPQ_Q2_K, 2, 256, 84, "q2_k", NULL },
    { MPQ_Q3_K, 3, 256, 110, "q3_k", NULL },
    { MPQ_Q4_K, 4, 256, 144, "q4_k", NULL },
    { MPQ_Q5_K, 5, 256, 176, "q5_k", NULL },
    { MPQ_Q6_K, 6, 256, 210, "q6_k", NULL },
    { MPQ_Q8_K, 8, 256, 292, "q8_k", NULL },
    { MPQ_IQ2_XXS, 2, 256, 66, "iq2_xxs", NULL },
    { MPQ_IQ2_XS, 2, 256, 74, "iq2_xs", NULL },
    { MPQ_IQ3_XXS, 3, 256, 98, "iq3_xxs", NULL },
    { MPQ_IQ1_S, 1, 256, 50, "iq1_s", NULL },
    { MPQ_IQ4_NL, 4, 32, 18, "iq4_nl", NULL },
    { MPQ_IQ3_S, 3, 256, 110, "iq3_s", NULL },
    { MPQ_IQ2_S, 2, 256, 82, "iq2_s", NULL },
    { MPQ_IQ4_XS, 4, 256, 136, "iq4_xs", NULL },
    { MPQ_I8, 8, 1, 1, "i8", "I8" },
    { MPQ_I16, 16, 1, 2, "i16", "I16" },
    { MPQ_I32, 32, 1, 4, "i32", "I32" },
    { MPQ_I64, 64, 1, 8, "i64", "I64" },
    { MPQ_F64, 64, 1, 8, "f64", "F64" },
    { MPQ_IQ1_M, 1, 256, 56, "iq1_m", NULL },
    { MPQ_BF16, 16, 1, 2, "bf16", "BF16" },
    { MPQ_TQ1_0, 1, 256, 54, "tq1_0", NULL },
    { MPQ_TQ2_0, 2, 256, 66, "tq2_0", NULL },
    { MPQ_MXFP4, 4, 32, 17, "mxfp4", NULL },
    { MPQ_NVFP4, 4, 64, 36, "nvfp4", NULL },
    { MPQ_Q1_0, 1, 128, 18, "q1_0", NULL },
    { MPQ_Q2_0, 2, 64, 18, "q2_0", NULL },
    { MPQ_U8, 8, 1, 1, "u8", "U8" },
    { MPQ_U16, 16, 1, 2, "u16", "U16" },
    { MPQ_U32, 32, 1, 4, "u32", "U32" },
    { MPQ_U64, 64, 1, 8, "u64", "U64" },
    { MPQ_BOOL, 8, 1, 1, "bool", "BOOL" },
    { MPQ_F8_E4M3, 8, 1, 1, "f8_e4m3", "F8_E4M3" },
    { MPQ_F8_E5M2, 8, 1, 1, "f8_e5m2", "F8_E5M2" },
};
enum { N_TYPES = sizeof table / sizeof *table };

static const struct row *
find(unsigned id)
{
    for (size_t i = 0; i < N_TYPES; i++)
        if (table[i].id == id)
            return &table[i];
    return NULL;
}

/* Moves *text behind its leading digits; 0 when there are none or too many. */
static uint32_t
number(const char **text)
{
    size_t n = strspn(*text, "0123456789");
    char digits[10];
    uint64_t v = 0;

    if (n == 0 || n >= sizeof digits)
        return 0;
    memcpy(digits, *text, n);
    digits[n] = '\0';
    *text += n;
    return mpq_parse_u64(digits, &v) < 0 ? 0 : (uint32_t)v;
}

/* intB[gN[v]][s] */
static int
parse_native(const char *text, struct mpq_type *out)
{
    struct mpq_type t = MPQ_TYPE(MPQ_INT);

    if (strncasecmp(text, "int", 3) != 0)
        return -1;
    text += 3;
    uint32_t bits = number(&text);
    if (bits < 1 || bits > 8)
        return -1;
    t.bits = (uint8_t)bits;
    if (*text == 'g' || *text == 'G') {
        text++;
        t.group = number(&text);
        if (t.group == 0)
            return -1;
        if (*text == 'v' || *text == 'V') {
            text++;
            t.varied = 1;
        }
    }
    /* bits beside the mean there must be, and groups that begin at a whole byte */
    if (t.varied && (t.group % 8 || t.bits < 2 || t.bits > 7))
        return -1;
    if (*text == 's' || *text == 'S') {
        text++;
        t.symmetric = 1;
    }
    if (*text)
        return -1;
    *out = t;
    return 0;
}

int
mpq_type_parse(const char *text, struct mpq_type *out)
{
    for (size_t i = 0; i < N_TYPES; i++) {
        if (strcasecmp(text, table[i].name) == 0) {
            *out = MPQ_TYPE(table[i].id);
            return 0;
        }
    }
    return parse_native(text, out);
}

const char *
mpq_type_name(struct mpq_type t, char name[MPQ_TYPE_NAME_MAX])
{
    const struct row *r = find(t.id);
    char group[16] = "";

    if (t.id == MPQ_INT) {
        if (t.group)
            snprintf(group, sizeof group, "g%u", (unsigned)t.group);
        snprintf(name, MPQ_TYPE_NAME_MAX, "int%u%s%s%s", (unsigned)t.bits, group,
                 t.varied ? "v" : "", t.symmetric ? "s" : "");
    } else {
        snprintf(name, MPQ_TYPE_NAME_MAX, "%s", r ? r->name : "unknown");
    }
    return name;
}

int
mpq_type_eq(struct mpq_type a, struct mpq_type b)
{
    return a.id == b.id && a.bits == b.bits && a.symmetric == b.symmetric &&
           a.group == b.group && a.varied == b.varied && a.whole == b.whole;
}

int
mpq_type_from_ggml(uint64_t id, struct mpq_type *out)
{
    if (id >= MPQ_DTYPE_GGML_END || !find((unsigned)id))
        return -1;
    *out = MPQ_TYPE(id);
    return 0;
}

int
mpq_type_is_ggml(struct mpq_type t)
{
    return t.id < MPQ_DTYPE_GGML_END;
}

int
mpq_type_from_st(const char *dtype, struct mpq_type *out)
{
    for (size_t i = 0; i < N_TYPES; i++) {
        if (table[i].st_name && strcmp(dtype, table[i].st_name) == 0) {
            *out = MPQ_TYPE(table[i].id);
            return 0;
        }
    }
    return -1;
}

const char *
mpq_type_st_name(struct mpq_type t)
{
    const struct row *r = find(t.id);
    return r ? r->st_name : NULL;
}

uint32_t
mpq_type_block(struct mpq_type t)
{
    const struct row *r = find(t.id);
    return r ? r->block : 1;
}

int
mpq_type_fits(struct mpq_type t, uint64_t cols)
{
    return cols > 0 && cols % mpq_type_block(t) == 0;
}

uint64_t
mpq_type_groups(struct mpq_type t, uint64_t cols)
{
    if (t.group == 0 || t.group >= cols)
        return 1;
    return cols / t.group + (cols % t.group != 0);
}

static int
native_row_bytes(struct mpq_type t, uint64_t cols, uint64_t *bytes)
{
    uint64_t code_bits, scales;
    uint64_t per_group = t.symmetric ? 2 : 4;

    if (mpq_mul_u64(cols, t.bits, &code_bits) < 0 ||
        mpq_mul_u64(mpq_type_groups(t, cols), per_group, &scales) < 0)
        return -1;
    if (mpq_add_u64(scales, mpq_type_map_bytes(t, cols), &scales) < 0)
        return -1;
    return mpq_add_u64(code_bits / 8 + (code_bits % 8 != 0), scales, bytes);
}

uint64_t
mpq_type_map_bytes(struct mpq_type t, uint64_t cols)
{
    return t.varied ? mpq_type_groups(t, cols) : 0;
}

int
mpq_type_map_fits(struct mpq_type t, uint64_t cols, const unsigned char *map)
{
    const uint64_t groups = mpq_type_groups(t, cols);
    uint64_t sum = 0;

    for (uint64_t g = 0; g < groups; g++) {
        const uint64_t left = cols - g * t.group;
        if (map[g] < 1 || map[g] > 8)
            return 0;
        sum += map[g] * (left < t.group ? left : t.group);
    }
    return sum == cols * t.bits;
}

struct mpq_type_parts
mpq_type_split(struct mpq_type t, size_t cols)
{
    const size_t groups = (size_t)mpq_type_groups(t, cols);

    return (struct mpq_type_parts){ .map = t.varied ? groups : 0,
                                    .codes = (cols * t.bits + 7) / 8,
                                    .scales = 2 * groups,
                                    .zeros = t.symmetric ? 0 : 2 * groups };
}

int
mpq_type_row_bytes(struct mpq_type t, uint64_t cols, uint64_t *bytes)
{
    const struct row *r = find(t.id);

    if (!mpq_type_fits(t, cols))
        return -1;
    if (t.id == MPQ_INT)
        return native_row_bytes(t, cols, bytes);
    if (!r)
        return -1;
    return mpq_mul_u64(cols / r->block, r->bytes, bytes);
}

int
mpq_type_bytes(struct mpq_type t, uint64_t rows, uint64_t cols, uint64_t *bytes)
{
    const uint64_t map = mpq_type_map_bytes(t, cols);
    uint64_t row;

    if (mpq_type_row_bytes(t, cols, &row) < 0 ||
        mpq_mul_u64(row - map, rows, bytes) < 0)
        return -1;
    return mpq_add_u64(*bytes, map, bytes);
}

double
mpq_type_bpw(struct mpq_type t, uint64_t cols)
{
    uint64_t bytes;
    if (mpq_type_row_bytes(t, cols, &bytes) < 0)
        return 0;
    bytes -= mpq_type_map_bytes(t, cols);
    return 8.0 * (double)bytes / (double)cols;
}

double
mpq_type_nominal_bits(struct mpq_type t)
{
    const struct row *r = find(t.id);
    return t.id == MPQ_INT ? t.bits : r ? r->nominal_bits : 0;
}

int
mpq_type_is_float(struct mpq_type t)
{
    return t.id == MPQ_F32 || t.id == MPQ_F16 || t.id == MPQ_BF16 || t.id == MPQ_F64;
}
