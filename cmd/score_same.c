/* mpq-score: do tables tell of one model and of the same texts and tasks, as their ##
 * lines have it? */
#include "score_own.h"

#include "base/buf.h"
#include "base/index.h"
#include "base/pool.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

/* Is this what tells of the model? */
static int
is_shape(const char *line)
{
    return mpq_text_begins(line, "tensor ") || mpq_text_begins(line, "file ");
}

int
score_one_model(const struct score_tables *t, struct mpq_err *err)
{
    struct mpq_index lines = { 0 };
    int rc = -1;
    size_t pos;

    for (size_t i = 0; i < mpq_tsv_meta_count(t->meta); i++)
        if (mpq_index_add(&lines, mpq_tsv_meta(t->meta, i), i) < 0) {
            mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", mpq_tsv_name(t->meta));
            goto out;
        }
    (void)mpq_index_sort(&lines); /* the reader keeps identical lines once */
    for (size_t k = 0; k < t->n; k++)
        for (size_t i = 0; i < mpq_tsv_meta_count(t->all[k]); i++) {
            const char *line = mpq_tsv_meta(t->all[k], i);
            if (!is_shape(line) || mpq_index_find(&lines, line, &pos))
                continue;
            mpq_fail(err, MPQ_EDATA, "%s: another model than %s: ##%s",
                     mpq_tsv_name(t->all[k]), mpq_tsv_name(t->meta), line);
            goto out;
        }
    rc = 0;
out:
    mpq_index_free(&lines);
    return rc;
}

/* Lines of which there is one: for a whole, or for each name that stands in it. Texts
 * and tasks have their names in common, which is what the rows go by. */
static const struct kind {
    const char *begins;
    const char *what; /* for messages */
    const char *name; /* stands before the name; NULL: one for a whole */
} kinds[] = {
    { "tensor ", "model", "tensor " }, { "file ", "model", NULL },
    { "model ", "model", NULL },       { "ref ", "reference", NULL },
    { "pack ", "quantizer", NULL },    { "text ", "text", " name=" },
    { "task ", "task", " name=" },
};
enum { N_KINDS = sizeof kinds / sizeof *kinds };

const char *
score_word_in(const struct mpq_tsv *t, const char *line, const char *key)
{
    for (size_t i = 0; i < mpq_tsv_meta_count(t); i++) {
        const char *text = mpq_tsv_meta(t, i);
        const char *at = mpq_text_begins(text, line) ? strstr(text, key) : NULL;
        if (at)
            return at + strlen(key);
    }
    return NULL;
}

/* A line, and in which table it stands. */
struct place {
    const struct mpq_tsv *table;
    const char *line;
    const struct kind *kind;
};

struct places {
    struct place *all; /* [n] */
    size_t n, cap;
    struct mpq_index index;
    struct mpq_pool names;
};

static const struct kind *
kind_of(const char *line)
{
    for (size_t k = 0; k < N_KINDS; k++)
        if (mpq_text_begins(line, kinds[k].begins))
            return &kinds[k];
    return NULL;
}

/* What there may be one of: "tensor blk.0.attn_q", " name=wiki"; NULL: no memory. */
static char *
key_of(struct places *p, const char *line, const struct kind *k)
{
    const char *at = k->name ? strstr(line, k->name) : NULL;

    if (!at)
        return mpq_pool_strdup(&p->names, k->begins);
    if (at > line) /* the name is the last word, and may have blanks */
        return mpq_pool_strdup(&p->names, at);
    return mpq_pool_strndup(&p->names, line,
                            strlen(k->name) + strcspn(line + strlen(k->name), " "));
}

static int
add_lines(struct places *p, const struct mpq_tsv *t, struct mpq_err *err)
{
    for (size_t i = 0; i < mpq_tsv_meta_count(t); i++) {
        const char *line = mpq_tsv_meta(t, i);
        const struct kind *k = kind_of(line);
        if (!k)
            continue;
        const char *key = key_of(p, line, k);
        if (!key || mpq_grow(&p->all, &p->cap, p->n + 1, sizeof *p->all) < 0 ||
            mpq_index_add(&p->index, key, p->n) < 0)
            return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", mpq_tsv_name(t));
        p->all[p->n++] = (struct place){ t, line, k };
    }
    return 0;
}

/* A and B, the later one, are of one key: are they one line? */
static int
check_pair(const struct place *a, const struct place *b, struct mpq_err *err)
{
    if (strcmp(a->line, b->line) == 0)
        return 0;
    if (a->table == b->table)
        return mpq_fail(err, MPQ_EDATA, "%s: a second %s in one table: ##%.300s",
                        mpq_tsv_name(b->table), b->kind->what, b->line);
    return mpq_fail(err, MPQ_EDATA, "%s: another %s than in %s: ##%.300s",
                    mpq_tsv_name(b->table), b->kind->what, mpq_tsv_name(a->table),
                    b->line);
}

int
score_one_whole(struct mpq_tsv *const *tables, size_t n, struct mpq_err *err)
{
    struct places p = { 0 };
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = add_lines(&p, tables[i], err);
    (void)mpq_index_sort(&p.index);
    for (size_t i = 1; rc == 0 && i < p.index.n; i++) {
        const struct mpq_index_entry *a = &p.index.entries[i - 1],
                                     *b = &p.index.entries[i];
        if (strcmp(a->name, b->name) == 0)
            rc = check_pair(&p.all[a->pos], &p.all[b->pos], err);
    }
    free(p.all);
    mpq_index_free(&p.index);
    mpq_pool_free(&p.names);
    return rc;
}
