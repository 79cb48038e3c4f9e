#include "method/agree.h"

#include "base/buf.h"

#include <stdlib.h>
#include <string.h>

/* Figures side by side, in the order of the side with types. */
struct both {
    const struct mpq_pairs *order;
    double *a, *b;           /* [order->n] */
    double *some_a, *some_b; /* of one type */
};

/* The row of P for R, which has a type; P may be scores. */
static const struct mpq_pair *
partner(const struct mpq_pairs *p, const struct mpq_pair *r, struct mpq_buf *key)
{
    if (p->typed == (r->type[0] != '\0'))
        return mpq_pairs_find(p, r->key);
    mpq_buf_free(key);
    mpq_buf_printf(key, "%s\t", r->unit);
    return key->failed ? NULL : mpq_pairs_find(p, key->data);
}

static int
fail_missing(const struct mpq_pairs *p, const struct mpq_pair *r,
             const struct mpq_pairs *other, struct mpq_err *err)
{
    return mpq_fail(err, MPQ_EDATA, "%s: no row for %.120s%s%s, which %s has", p->file,
                    r->unit, p->typed && other->typed ? ", " : "",
                    p->typed && other->typed ? r->type : "", other->file);
}

/* Has each unit of the scores S a row in P, which has types? */
static int
check_units(const struct mpq_pairs *s, const struct mpq_pairs *p, struct mpq_err *err)
{
    struct mpq_index units = { 0 };
    int rc = 0;
    size_t pos;

    for (size_t i = 0; rc == 0 && i < p->n; i++)
        if (mpq_index_add(&units, p->rows[i].unit, i) < 0)
            rc = mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", p->file);
    (void)mpq_index_sort(&units); /* a unit has a row for each type */
    for (size_t i = 0; rc == 0 && i < s->n; i++)
        if (!mpq_index_find(&units, s->rows[i].unit, &pos))
            rc = fail_missing(p, &s->rows[i], s, err);
    mpq_index_free(&units);
    return rc;
}

static int
lay_out(struct both *x, const struct mpq_pairs *a, const struct mpq_pairs *b,
        struct mpq_err *err)
{
    const struct mpq_pairs *other = x->order == a ? b : a;
    double *mine = x->order == a ? x->a : x->b, *theirs = x->order == a ? x->b : x->a;
    struct mpq_buf key = { 0 };
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < x->order->n; i++) {
        const struct mpq_pair *r = &x->order->rows[i], *q = partner(other, r, &key);
        if (!q) {
            rc = fail_missing(other, r, x->order, err);
            break;
        }
        mine[i] = r->value;
        theirs[i] = q->value;
    }
    mpq_buf_free(&key);
    if (rc < 0)
        return -1;
    return other->typed == x->order->typed ? mpq_pairs_within(other, x->order, err)
                                           : check_units(other, x->order, err);
}

/* Of the rows with TYPE, or all when it is NULL. */
static int
measure(struct both *x, const char *type, struct mpq_agree *out, struct mpq_err *err)
{
    *out = (struct mpq_agree){ .type = type };
    for (size_t i = 0; i < x->order->n; i++) {
        if (type && strcmp(x->order->rows[i].type, type) != 0)
            continue;
        x->some_a[out->n] = x->a[i];
        x->some_b[out->n++] = x->b[i];
    }
    if (mpq_kendall(x->some_a, x->some_b, out->n, &out->tau) < 0)
        return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", x->order->file);
    return 0;
}

static int
measure_all(struct both *x, int both_typed, struct mpq_agree *rows, size_t *n,
            struct mpq_err *err)
{
    for (size_t i = 0; x->order->typed && i < x->order->n; i++) {
        size_t k = 0;
        while (k < *n && strcmp(rows[k].type, x->order->rows[i].type) != 0)
            k++;
        if (k < *n)
            continue;
        if (*n == MPQ_MAX_AGREE - 1)
            return mpq_fail(err, MPQ_EDATA, "%s: more than %d types", x->order->file,
                            MPQ_MAX_AGREE - 1);
        if (measure(x, x->order->rows[i].type, &rows[(*n)++], err) < 0)
            return -1;
    }
    if (*n > 0 && (*n == 1 || !both_typed))
        return 0;
    return measure(x, NULL, &rows[(*n)++], err);
}

int
mpq_agree(const struct mpq_pairs *a, const struct mpq_pairs *b, struct mpq_agree *rows,
          size_t *n, struct mpq_err *err)
{
    struct both x = { .order = !a->typed && b->typed ? b : a };
    int rc = -1;

    *n = 0;
    x.a = mpq_array(x.order->n, sizeof *x.a);
    x.b = mpq_array(x.order->n, sizeof *x.b);
    x.some_a = mpq_array(x.order->n, sizeof *x.some_a);
    x.some_b = mpq_array(x.order->n, sizeof *x.some_b);
    if (!x.a || !x.b || !x.some_a || !x.some_b)
        mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", a->file);
    else if (lay_out(&x, a, b, err) == 0)
        rc = measure_all(&x, a->typed && b->typed, rows, n, err);
    free(x.a);
    free(x.b);
    free(x.some_a);
    free(x.some_b);
    return rc;
}
