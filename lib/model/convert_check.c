/* The tokenizer of a converted model held against the one that it was made from. */
#include "model/convert.h"
#include "model/source_own.h"
#include "model/tok_own.h"

#include <stdio.h>
#include <string.h>

/* What pre-tokenizers part in different ways: contractions in both cases, runs of
 * digits, blanks, newlines and signs, scripts, marks, emoji. */
static const char sample[] =
    "Hello, world! It's HE'S we'LL they're 'tis I'd 3 33 333 3333 33333 3.14 1,234,567\n"
    "\n\n\n \n\t\tif (x[i] != y->z) { return \"a\\n\"; } // ------====....!!!???\n"
    "  two   three    four     blanks \xe2\x80\x94 na\xc3\xafve caf\xc3\xa9 "
    "\xd0\xbd\xd0\xb5\xd1\x89\xd0\xbe \xd0\xbd\xd0\xb0 "
    "\xe6\x88\x91\xe6\x83\xb3\xe5\x9c\xa8"
    "apple\xe5\xb7\xa5\xe4\xbd\x9c"
    "1314\xe5\xa4\xa9\xef\xbd\x9e \xe3\x81\x8b\xe3\x81\xaa "
    "\xd8\xa7\xd9\x84\xd8\xb9\xd8\xb1\xd8\xa8\xd9\x8a\xd8\xa9 "
    "\xe0\xa4\xb9\xe0\xa4\xbf\xe0\xa4\xa8\xe0\xa5\x8d\xe0\xa4\xa6\xe0\xa5\x80 "
    "\xf0\x9f\x98\x80\xf0\x9f\xa6\x99 CamelCaseWords snake_case_x1 A1B22C333\r\n"
    "http://a.b/c?d=e&f=%20 'quoted' ``code`` $x^2$ \xc2\xbd \xe2\x85\xa7 end. ";

/* Without what is unknown: a vocabulary without all bytes has one such token for a run
 * of characters there, one for each byte here. */
static void
drop_unknown(struct mpq_tokens *tokens, const struct mpq_tokenizer *t)
{
    size_t n = 0;

    for (size_t i = 0; i < tokens->n; i++)
        if (tokens->ids[i] != t->unknown)
            tokens->ids[n++] = tokens->ids[i];
    tokens->n = n;
}

int
mpq_convert_check_tokens(struct mpq_convert *c, const struct mpq_source *s,
                         struct mpq_err *err)
{
    const char *name = mpq_source_name(s);
    struct mpq_source as_read = { .name = (char *)(uintptr_t)name, .keys = c->keys };
    struct mpq_tokenizer *from = NULL, *to = NULL;
    struct mpq_tokens a = { 0 }, b = { 0 };
    size_t n = 0;
    int rc = -1;

    if (mpq_source_keys(s))
        return 0; /* the keys themselves */
    if (mpq_tokenizer_new(&from, s, err) < 0 ||
        mpq_tokenizer_new(&to, &as_read, err) < 0 ||
        mpq_tokenizer_encode(from, sample, strlen(sample), 0, name, &a, err) < 0 ||
        mpq_tokenizer_encode(to, sample, strlen(sample), 0, name, &b, err) < 0)
        goto out;
    drop_unknown(&a, from);
    drop_unknown(&b, to);
    while (n < a.n && n < b.n && a.ids[n] == b.ids[n])
        n++;
    rc = n == a.n && n == b.n ? 0 : -1;
    if (rc == 0)
        goto out;
    if (mpq_source_pre(s)) {
        snprintf(c->note, sizeof c->note,
                 "with the pre-tokenizer %.60s a GGUF parts text otherwise than "
                 "tokenizer.json (of a sample's %zu tokens, from number %zu on)",
                 mpq_source_pre(s), a.n, n + 1);
        rc = 0;
    } else {
        mpq_fail(err, MPQ_EDATA,
                 "%s: tokenizer.json: a GGUF would part text otherwise (of a sample's "
                 "%zu tokens, from number %zu on): -f safetensors",
                 name, a.n, n + 1);
    }
out:
    mpq_tokens_free(&a);
    mpq_tokens_free(&b);
    mpq_tokenizer_free(from);
    mpq_tokenizer_free(to);
    return rc;
}
