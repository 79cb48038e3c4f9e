/* mpq-score --scale: what another quantizer, or another kind of measuring, makes of
 * damages, by families of units. */
#include "score_own.h"

#include "base/buf.h"
#include "base/parse.h"
#include "method/pairs.h"

#include <stdlib.h>
#include <string.h>

const char *
score_family(const char *unit)
{
    const int in_layer = strncmp(unit, "blk.", 4) == 0;
    const char *rest = in_layer ? strchr(unit + 4, '.') : NULL;

    return rest ? rest + 1 : in_layer ? "layer" : unit;
}

/* Has FAMILY a scale already? */
static int
is_known(const struct score_scales *s, const char *family, size_t n)
{
    for (size_t i = 0; i < s->n; i++)
        if (strlen(s->of[i].family) == n && memcmp(s->of[i].family, family, n) == 0)
            return 1;
    return 0;
}

/* WORD, "X" or "FAMILY=X", is taken into S; HAS_REST: there was an X before. */
static int
add_word(struct score_scales *s, const char *word, int *has_rest, struct mpq_err *err)
{
    const char *equals = strchr(word, '=');
    const char *number = equals ? equals + 1 : word;
    double x;

    if (mpq_parse_double(number, &x) < 0 || !(x >= 0) || x > 1e6 || equals == word)
        return mpq_fail(err, MPQ_EUSAGE,
                        "--scale: '%.60s' is not X or FAMILY=X, X from 0 to 1e6", word);
    if (!equals) {
        s->rest = x;
        if ((*has_rest)++)
            return mpq_fail(err, MPQ_EUSAGE,
                            "--scale: '%.60s': a number without a family stands there"
                            " twice",
                            word);
        return 0;
    }
    if (is_known(s, word, (size_t)(equals - word)))
        return mpq_fail(err, MPQ_EUSAGE, "--scale: '%.60s': %.*s stands there twice",
                        word, (int)(equals - word < 60 ? equals - word : 60), word);
    if (s->n == SCORE_MAX_SCALES)
        return mpq_fail(err, MPQ_EUSAGE, "--scale: more than %d families",
                        SCORE_MAX_SCALES);
    s->of[s->n].family = mpq_strndup(word, (size_t)(equals - word));
    s->of[s->n].x = x;
    return s->of[s->n++].family ? 0 : mpq_fail(err, MPQ_ENOMEM, "out of memory");
}

int
score_scales_read(struct score_scales *s, const char *list, struct mpq_err *err)
{
    int has_rest = 0;

    *s = (struct score_scales){ .rest = 1 };
    for (const char *p = list; p;) {
        const size_t n = strcspn(p, ",");
        char *word = mpq_strndup(p, n);
        const int rc = word ? add_word(s, word, &has_rest, err)
                            : mpq_fail(err, MPQ_ENOMEM, "out of memory");
        free(word);
        if (rc < 0)
            return -1;
        p = p[n] ? p + n + 1 : NULL;
    }
    return 0;
}

void
score_scales_free(struct score_scales *s)
{
    for (size_t i = 0; i < s->n; i++)
        free(s->of[i].family);
}

double
score_scale_of(const struct score_scales *s, const char *unit)
{
    const char *family = score_family(unit);

    for (size_t i = 0; i < s->n; i++)
        if (strcmp(s->of[i].family, family) == 0)
            return s->of[i].x;
    return s->rest;
}

int
score_scales_check(const struct score_scales *s, const struct mpq_pairs *p,
                   struct mpq_err *err)
{
    for (size_t i = 0; i < s->n; i++) {
        size_t r = 0;
        while (r < p->n && strcmp(score_family(p->rows[r].unit), s->of[i].family) != 0)
            r++;
        if (r == p->n)
            return mpq_fail(err, MPQ_EUSAGE, "--scale: %s has no units of family %.40s",
                            p->file, s->of[i].family);
    }
    return 0;
}

int
score_check_damages(const struct mpq_pairs *p, struct mpq_err *err)
{
    for (size_t i = 0; i < p->n; i++) {
        const struct mpq_pair *r = &p->rows[i];
        if (r->inputs >= 0 && r->value >= r->inputs)
            continue;
        return mpq_fail(err, MPQ_EDATA,
                        "%s:%zu: %.120s, %s: a damage of %g, below %g%s", p->file,
                        r->line, r->unit, r->type, r->value, r->inputs,
                        r->inputs > 0 ? ", what its inputs cost" : "");
    }
    return 0;
}

struct job {
    struct score_tables tables;
    struct mpq_pairs pairs;
    struct score_scales scales;
};

/* What there is to write of row R: damage and error. */
static void
scaled(const struct job *j, size_t r, double values[2])
{
    const struct mpq_pair *p = &j->pairs.rows[r];
    const double x = score_scale_of(&j->scales, p->unit);

    values[0] = x * (p->value - p->inputs) + p->inputs;
    values[1] = x * p->se;
}

/* Before anything is written. */
static int
check(const struct job *j, struct mpq_err *err)
{
    double values[2];

    if (score_check_damages(&j->pairs, err) < 0)
        return -1;
    for (size_t r = 0; r < j->pairs.n; r++) {
        const struct mpq_pair *p = &j->pairs.rows[r];
        scaled(j, r, values);
        if (score_check_pair(j->pairs.file, p->unit, p->type, values[0], values[1],
                             err) < 0)
            return -1;
    }
    return 0;
}

static int
put_all(const void *job, struct mpq_tsv_writer *w, struct mpq_err *err)
{
    const struct job *j = job;
    const struct mpq_tsv *t = j->tables.meta;
    const int columns[2] = { mpq_tsv_find(t, "damage"), mpq_tsv_find(t, "se") };
    double values[2];

    if (score_put_objectives(t, w, err) < 0 || score_put_columns(t, w, err) < 0)
        return -1;
    for (size_t r = 0; r < j->pairs.n; r++) {
        scaled(j, r, values);
        if (score_put_row(t, r, columns, values, 2, w, err) < 0)
            return -1;
    }
    return 0;
}

int
score_scale(char **names, size_t n, struct mpq_err *err)
{
    const struct mpq_pairs_how how = { .kind = MPQ_PAIRS_DAMAGE };
    struct job j = { 0 };
    int rc = -1;

    if (n > 1)
        return mpq_fail(err, MPQ_EUSAGE, "--scale takes one table of damages");
    if (score_scales_read(&j.scales, score.scale, err) < 0 ||
        score_read(&j.tables, names, n, "damage", err) < 0 ||
        mpq_pairs_read(&j.pairs, j.tables.all, 1, &how, err) < 0 ||
        score_scales_check(&j.scales, &j.pairs, err) < 0 || check(&j, err) < 0)
        goto out;
    rc = score_write(&j.tables, "damage", put_all, &j, err);
out:
    score_scales_free(&j.scales);
    mpq_pairs_free(&j.pairs);
    score_free(&j.tables);
    return rc;
}
