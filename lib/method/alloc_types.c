/* All types that some runtime loads, as a table. */
#include "base/buf.h"
#include "method/alloc_own.h"
#include "quant/codec.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

enum {
    MAX_RUNTIMES = 16,
    MAX_TYPES = 256,
    ANY_COLS = 4096 /* a multiple of what every type asks for */
};

struct listing {
    struct mpq_rules rules[MAX_RUNTIMES];
    size_t n_rules;
    struct mpq_type types[MAX_TYPES];
    size_t n_types;
};

static void
add(struct listing *l, struct mpq_type type)
{
    for (size_t t = 0; t < l->n_types; t++)
        if (mpq_type_eq(l->types[t], type))
            return;
    if (l->n_types < MAX_TYPES)
        l->types[l->n_types++] = type;
}

/* What the rules name, and of their int* what mpq-alloc offers by itself. */
static int
add_types(struct listing *l, const struct mpq_rules *r, struct mpq_err *err)
{
    size_t n;
    struct mpq_type *types = mpq_alloc_default_types(r, &n);

    if (!types)
        return mpq_fail(err, MPQ_ENOMEM, "out of memory");
    for (size_t t = 0; t < r->n_types; t++)
        if (!r->types[t].any_native)
            add(l, r->types[t].type);
    for (size_t t = 0; t < n; t++)
        add(l, types[t]);
    free(types);
    return 0;
}

static void
add_row(const struct listing *l, struct mpq_type type, struct mpq_buf *text)
{
    char name[MPQ_TYPE_NAME_MAX];
    double error = mpq_type_error(type);
    uint64_t multiple;
    const char *sep = "";

    mpq_buf_printf(text, "%s\t%.6g\t%u\t", mpq_type_name(type, name),
                   mpq_type_bpw(type, ANY_COLS), (unsigned)mpq_type_block(type));
    if (isnan(error))
        mpq_buf_adds(text, "-");
    else
        mpq_buf_printf(text, "%.4g", error);
    mpq_buf_printf(text, "\t%s\t", mpq_codec_writes(type) ? "yes" : "no");
    for (size_t r = 0; r < l->n_rules; r++) {
        multiple = 0;
        if (mpq_rules_allow(&l->rules[r], type, ANY_COLS, ANY_COLS, &multiple) ==
            MPQ_NOT_LOADED)
            continue;
        mpq_buf_printf(text, "%s%s", sep, l->rules[r].name);
        multiple = mpq_rules_multiple(&l->rules[r], type);
        if (multiple != mpq_type_block(type))
            mpq_buf_printf(text, ":%" PRIu64, multiple);
        sep = ",";
    }
    mpq_buf_adds(text, "\n");
}

int
mpq_alloc_list_types(struct mpq_buf *text, struct mpq_err *err)
{
    struct listing *l = calloc(1, sizeof *l);
    int rc = -1;

    if (!l)
        return mpq_fail(err, MPQ_ENOMEM, "out of memory");
    for (const struct mpq_rule_file *f = mpq_rule_files;
         f->name && l->n_rules < MAX_RUNTIMES; f++) {
        if (mpq_rules_find(&l->rules[l->n_rules], f->name, err) < 0 ||
            add_types(l, &l->rules[l->n_rules++], err) < 0)
            goto out;
    }
    mpq_buf_adds(text, "#type\tbits\tmultiple\terror\tmpq-pack\truntimes\n");
    for (size_t t = 0; t < l->n_types; t++)
        add_row(l, l->types[t], text);
    rc = text->failed ? mpq_fail(err, MPQ_ENOMEM, "out of memory") : 0;
out:
    for (size_t r = 0; r < l->n_rules; r++)
        mpq_rules_free(&l->rules[r]);
    free(l);
    return rc;
}
