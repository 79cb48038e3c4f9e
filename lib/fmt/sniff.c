#include "fmt/sniff.h"

#include "base/le.h"

#include <stdio.h>
#include <string.h>

static const struct mpq_kind kinds[] = {
    { "stats", "mpq-stats", "mpq-score", "layer<TAB>unit<TAB>stat<TAB>value" },
    { "scores", "mpq-score", "mpq-alloc", "unit<TAB>score<TAB>params" },
    { "damage", "mpq-score -t", "mpq-alloc", "unit<TAB>type<TAB>params<TAB>damage" },
    { "plan", "mpq-alloc", "mpq-pack -p", "unit<TAB>type" },
    { "front", "mpq-alloc --sweep", NULL, "budget<TAB>bits<TAB>bytes<TAB>damage" },
    { "mix", "mpq-calibmix", "mpq-calibmix --emit",
      "point<TAB>source<TAB>weight<TAB>cosine<TAB>chosen" },
    { "eval", "mpq-eval", NULL,
      "model<TAB>task<TAB>metric<TAB>value<TAB>stderr<TAB>n" },
    { "tokens", "mpq-eval --tokens", NULL, "text<TAB>position<TAB>id<TAB>piece" },
};

const struct mpq_kind *
mpq_kind_find(const char *name)
{
    for (size_t i = 0; name && i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i].name, name) == 0)
            return &kinds[i];
    return NULL;
}

int
mpq_fail_kind(const char *place, const char *kind, const char *wanted,
              const char *writer, struct mpq_err *err)
{
    const struct mpq_kind *k = mpq_kind_find(kind);
    const int read = k && k->reader;

    return mpq_fail(err, MPQ_EDATA, "%s: a table of %.40s%s%s%s, %s expected%s%s",
                    place, kind, read ? " (" : "", read ? k->reader : "",
                    read ? " reads it)" : "", wanted, writer ? ", from " : "",
                    writer ? writer : "");
}

const char *
mpq_sniff_model(const void *bytes, size_t n)
{
    const unsigned char *p = bytes;

    if (n >= 4 && memcmp(p, "GGUF", 4) == 0)
        return "a GGUF model";
    /* eight bytes of length, then JSON; no text begins with such a length */
    if (n > 8 && p[8] == '{' && mpq_le64(p) < UINT64_C(1) << 40)
        return "a safetensors model";
    return NULL;
}

/* The kind of a table that begins as BYTES[n] do, or "" when the line is not there. */
static void
kind_of(const char *bytes, size_t n, char kind[32])
{
    static const char begin[] = "##mpq ";
    const size_t skip = sizeof begin - 1;
    size_t len = 0;

    if (n > skip && memcmp(bytes, begin, skip) == 0)
        while (len < 31 && skip + len < n && bytes[skip + len] > ' ')
            len++;
    memcpy(kind, bytes + (len ? skip : 0), len);
    kind[len] = '\0';
}

int
mpq_fail_no_model(const char *name, const void *bytes, size_t n, struct mpq_err *err)
{
    char kind[32] = "";
    const char *p = bytes;

    if (n)
        kind_of(p, n, kind);
    const struct mpq_kind *k = mpq_kind_find(kind);
    if (k && k->reader)
        return mpq_fail(err, MPQ_EDATA, "%s: a table of %s, not a model: %s reads it",
                        name, kind, k->reader);
    if (n && *p == '#')
        return mpq_fail(err, MPQ_EDATA, "%s: a table, not a model", name);
    if (n >= 4 && memcmp(p, "PK\3\4", 4) == 0)
        return mpq_fail(err, MPQ_EDATA,
                        "%s: a zip archive, as PyTorch writes them: neither GGUF nor"
                        " safetensors",
                        name);
    if (n && *p == '{')
        return mpq_fail(err, MPQ_EDATA,
                        "%s: JSON, neither GGUF nor safetensors: give its folder",
                        name);
    return mpq_fail(err, MPQ_EDATA, "%s: neither GGUF nor safetensors", name);
}
