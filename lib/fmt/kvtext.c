#include "fmt/kvtext.h"

#include "base/parse.h"
#include "fmt/percent.h"
#include "fmt/safe.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* In the order of enum mpq_gguf_type. */
static const struct {
    const char *name;
    uint8_t size; /* bytes of a value; 0: a string */
    char form;    /* u, i, f, b, s; 0: an array, which is written otherwise */
} types[] = {
    { "u8", 1, 'u' },  { "i8", 1, 'i' },  { "u16", 2, 'u' }, { "i16", 2, 'i' },
    { "u32", 4, 'u' }, { "i32", 4, 'i' }, { "f32", 4, 'f' }, { "bool", 1, 'b' },
    { "str", 0, 's' }, { "array", 0, 0 }, { "u64", 8, 'u' }, { "i64", 8, 'i' },
    { "f64", 8, 'f' },
};
enum { N_TYPES = sizeof types / sizeof *types };

static uint64_t
load(const unsigned char *p, unsigned size)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < size; i++)
        v |= (uint64_t)p[i] << 8 * i;
    return v;
}

static void
store(struct mpq_buf *out, uint64_t v, unsigned size)
{
    unsigned char le[8];
    for (unsigned i = 0; i < size; i++)
        le[i] = (unsigned char)(v >> 8 * i);
    mpq_buf_add(out, le, size);
}

/* Bytes at S that stand for themselves, in an array as well. */
static uint64_t
plain_run(const unsigned char *s, uint64_t n)
{
    uint64_t i = 0;
    while (i < n && s[i] > ' ' && s[i] < 0x7f && s[i] != '%')
        i++;
    return i;
}

/* As %PRIu64 prints it; vocabularies have arrays of a hundred thousand numbers. */
static void
add_u64(struct mpq_buf *out, uint64_t v)
{
    char digits[20];
    size_t at = sizeof digits;

    do {
        digits[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    mpq_buf_add(out, digits + at, sizeof digits - at);
}

/* Does C, below 0x80, stand as %XX? */
static int
is_escaped(unsigned char c, int in_array)
{
    return c == '%' || c == 0 || (in_array && (c <= ' ' || c == 0x7f));
}

static void
add_string(struct mpq_buf *out, const unsigned char *s, uint64_t n, int in_array)
{
    for (uint64_t i = 0; i < n;) {
        uint64_t run = plain_run(s + i, n - i);
        mpq_buf_add(out, s + i, (size_t)run);
        i += run;
        if (i == n)
            break;
        size_t len = mpq_utf8_length(s + i, (size_t)(n - i));
        if (len == 0 || (len == 1 && is_escaped(s[i], in_array))) {
            mpq_percent_add(out, s[i]);
            len = 1;
        } else {
            mpq_buf_add(out, s + i, len);
        }
        i += len;
    }
}

/* As %.9g prints it; the scores of vocabularies are whole, mostly. */
static void
add_f32(struct mpq_buf *out, float f)
{
    const float magnitude = fabsf(f);

    if (!(magnitude < 1e9F) || magnitude != floorf(magnitude) ||
        (f == 0 && signbit(f))) {
        mpq_buf_printf(out, "%.9g", (double)f);
        return;
    }
    if (f < 0)
        mpq_buf_adds(out, "-");
    add_u64(out, (uint64_t)magnitude);
}

static void
add_number(struct mpq_buf *out, uint32_t type, const unsigned char *p)
{
    unsigned size = types[type].size;
    uint64_t v = load(p, size);

    if (types[type].form == 'i') {
        uint64_t sign = (uint64_t)1 << (8 * size - 1);
        /* 64 bits: sign << 1 is 0 and the difference wraps around to the magnitude */
        if (v & sign)
            mpq_buf_adds(out, "-");
        add_u64(out, v & sign ? (sign << 1) - v : v);
    } else if (type == MPQ_GGUF_F32) {
        uint32_t bits = (uint32_t)v;
        float f;
        memcpy(&f, &bits, sizeof f);
        add_f32(out, f);
    } else if (type == MPQ_GGUF_F64) {
        double d;
        memcpy(&d, &v, sizeof d);
        mpq_buf_printf(out, "%.17g", d);
    } else {
        add_u64(out, v);
    }
}

void
mpq_kvtext_add(struct mpq_buf *out, const struct mpq_gguf_kv *kv)
{
    if (kv->type == MPQ_GGUF_STR) {
        mpq_buf_adds(out, "str ");
        add_string(out, kv->data, kv->count, 0);
        return;
    }
    if (kv->type != MPQ_GGUF_ARR) {
        mpq_buf_printf(out, "%s ", types[kv->type].name);
        add_number(out, kv->type, kv->data);
        return;
    }
    mpq_buf_printf(out, "%s[%" PRIu64 "]", types[kv->item_type].name, kv->count);
    const unsigned char *p = kv->data;
    for (uint64_t i = 0; i < kv->count; i++) {
        mpq_buf_adds(out, " ");
        if (kv->item_type == MPQ_GGUF_STR) {
            uint64_t n = load(p, 8);
            add_string(out, p + 8, n, 1);
            p += 8 + n;
        } else {
            add_number(out, kv->item_type, p);
            p += types[kv->item_type].size;
        }
    }
}

/* What each byte below 0x80 of a string takes in a JSON string. */
static void
json_costs(unsigned char cost[128], int in_array)
{
    for (unsigned char c = 0; c < 128; c++)
        if (is_escaped(c, in_array))
            cost[c] = 3; /* %XX */
        else if (c == '"' || c == '\\' || c == '\n' || c == '\t')
            cost[c] = 2;
        else
            cost[c] = c < ' ' || c == 0x7f ? 6 : 1; /* \u0001 */
}

static uint64_t
string_json_bytes(const unsigned char *s, uint64_t n, const unsigned char cost[128])
{
    uint64_t bytes = 0;

    for (uint64_t i = 0; i < n;) {
        if (s[i] < 128) {
            bytes += cost[s[i++]];
            continue;
        }
        const size_t len = mpq_utf8_length(s + i, (size_t)(n - i));
        bytes += len ? len : 3; /* as it is, or a byte as %XX */
        i += len ? len : 1;
    }
    return bytes;
}

int
mpq_kvtext_json_bytes(const struct mpq_gguf_kv *kv, uint64_t *bytes)
{
    const int in_array = kv->type == MPQ_GGUF_ARR;
    const uint32_t type = in_array ? kv->item_type : kv->type;
    const uint64_t count = in_array ? kv->count : 1;
    struct mpq_buf text = { 0 };
    const unsigned char *p = kv->data;
    unsigned char cost[128];

    json_costs(cost, in_array);
    mpq_buf_adds(&text, types[type].name);
    if (in_array)
        mpq_buf_printf(&text, "[%" PRIu64 "]", count);
    *bytes = text.len + count; /* a blank before each */
    for (uint64_t i = 0; i < count && !text.failed; i++) {
        if (type != MPQ_GGUF_STR) {
            text.len = 0;
            add_number(&text, type, p);
            *bytes += text.len;
            p += types[type].size;
            continue;
        }
        const uint64_t n = in_array ? load(p, 8) : kv->count;
        p += in_array ? 8 : 0;
        *bytes += string_json_bytes(p, n, cost);
        p += n;
    }
    const int failed = text.failed;
    mpq_buf_free(&text);
    return failed ? -1 : 0;
}

/* A GGUF string (length, bytes) from S[n] with its %XX decoded. */
static int
put_string(struct mpq_buf *out, const char *s, size_t n)
{
    size_t at = out->len;

    store(out, 0, 8);
    for (size_t i = 0; i < n; i++) {
        int c = s[i];
        if (c == '%') {
            c = mpq_percent_byte(s + i, n - i);
            if (c < 0)
                return -1;
            i += 2;
        }
        mpq_buf_add(out, &(char){ (char)c }, 1);
    }
    if (out->failed)
        return 0; /* told at the end */
    uint64_t length = out->len - at - 8;
    for (int i = 0; i < 8; i++)
        out->data[at + (size_t)i] = (char)(unsigned char)(length >> 8 * i);
    return 0;
}

/* A whole number of the type's range; *v holds its low bytes. */
static int
parse_whole(const char *word, uint32_t type, uint64_t *v)
{
    int negative = types[type].form == 'i' && *word == '-';
    unsigned bits = 8 * types[type].size;
    uint64_t max = bits == 64 ? UINT64_MAX : ((uint64_t)1 << bits) - 1;

    if (types[type].form == 'i')
        max = max / 2 + (uint64_t)negative;
    if (types[type].form == 'b')
        max = 1;
    if (mpq_parse_u64(word + negative, v) < 0 || *v > max)
        return -1;
    if (negative)
        *v = 0 - *v;
    return 0;
}

static int
parse_float(const char *word, uint32_t type, uint64_t *v)
{
    char *end;

    if (strpbrk(word, "xX()") || strspn(word, " \t\n") || !*word)
        return -1;
    if (type == MPQ_GGUF_F32) {
        float f = strtof(word, &end);
        uint32_t bits;
        memcpy(&bits, &f, sizeof bits);
        *v = bits;
    } else {
        double d = strtod(word, &end);
        memcpy(v, &d, sizeof *v);
    }
    return *end ? -1 : 0;
}

static int
put_item(struct mpq_buf *out, uint32_t type, const char *word, size_t n)
{
    char number[64];
    uint64_t v;

    if (type == MPQ_GGUF_STR)
        return put_string(out, word, n);
    if (n >= sizeof number)
        return -1;
    memcpy(number, word, n);
    number[n] = '\0';
    if ((types[type].form == 'f' ? parse_float(number, type, &v)
                                 : parse_whole(number, type, &v)) < 0)
        return -1;
    store(out, v, types[type].size);
    return 0;
}

/* "TYPE" or "TYPE[COUNT]" at *text, which is moved behind it. */
static int
parse_type(const char **text, uint32_t *type, int *is_array, uint64_t *count)
{
    size_t n = strcspn(*text, "[ ");
    char digits[24];

    for (*type = 0; *type < N_TYPES; ++*type)
        if (types[*type].form && strlen(types[*type].name) == n &&
            strncmp(types[*type].name, *text, n) == 0)
            break;
    *text += n;
    *is_array = **text == '[';
    if (*type == N_TYPES || !*is_array)
        return *type == N_TYPES ? -1 : 0;
    n = strcspn(*text + 1, "]");
    if (n == 0 || n >= sizeof digits || (*text)[1 + n] != ']')
        return -1;
    memcpy(digits, *text + 1, n);
    digits[n] = '\0';
    *text += n + 2;
    return mpq_parse_u64(digits, count);
}

/* The value's bytes as a GGUF file has them, from its type on. */
static int
parse_value(struct mpq_buf *out, const char *text)
{
    uint64_t count, i;
    uint32_t type;
    int is_array;

    if (parse_type(&text, &type, &is_array, &count) < 0)
        return -1;
    if (!is_array) {
        store(out, type, 4);
        return *text == ' ' ? put_item(out, type, text + 1, strlen(text + 1)) : -1;
    }
    store(out, MPQ_GGUF_ARR, 4);
    store(out, type, 4);
    store(out, count, 8);
    for (i = 0; *text == ' '; i++) {
        size_t n = strcspn(++text, " ");
        if (put_item(out, type, text, n) < 0)
            return -1;
        text += n;
    }
    return *text || i != count ? -1 : 0;
}

int
mpq_kvtext_put(struct mpq_gguf_head *h, const char *key, const char *text,
               const char *name, struct mpq_err *err)
{
    struct mpq_buf raw = { 0 };
    int rc = -1;

    if (parse_value(&raw, text) < 0) {
        mpq_fail(err, MPQ_EDATA, "%s: key %.200s: '%.40s' is not a value", name, key,
                 text);
    } else if (raw.failed) {
        mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", name);
    } else {
        struct mpq_gguf_kv kv = { .key = key,
                                  .raw = (const unsigned char *)raw.data,
                                  .raw_size = raw.len };
        mpq_gguf_put_raw(h, &kv);
        rc = 0;
    }
    mpq_buf_free(&raw);
    return rc;
}
