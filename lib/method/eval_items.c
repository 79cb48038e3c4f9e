/* Continuations of items that begin alike. */
#include "method/eval_own.h"

#include "base/buf.h"

#include <stdlib.h>
#include <string.h>

/* What a group of items comes to; built by add_item. */
struct batch {
    struct mpq_eval_work *w;
    size_t n_targets;
    uint32_t *target_unsorted;
    size_t *target_row; /* [n_targets] index into rows, before they are sorted */
};

/* Room for queries [q, end) at most. */
static int
new_batch(struct batch *b, struct mpq_eval_work *w, const struct mpq_eval_query *q,
          size_t n, struct mpq_err *err)
{
    size_t tokens = 0, targets = 0;

    *b = (struct batch){ .w = w };
    for (size_t i = 0; i < n; i++) {
        tokens += q[i].end - q[i].start;
        targets += q[i].end - q[i].scored;
    }
    w->start = mpq_array(n + 1, sizeof *w->start);
    w->parent = mpq_array(n, sizeof *w->parent);
    w->shared = mpq_array(n, sizeof *w->shared);
    w->tokens = mpq_array(tokens, sizeof *w->tokens);
    w->rows = mpq_array(targets, sizeof *w->rows);
    w->first = mpq_array(targets + 2, sizeof *w->first);
    w->targets = mpq_array(targets, sizeof *w->targets);
    w->query = mpq_array(targets, sizeof *w->query);
    b->target_unsorted = mpq_array(targets, sizeof *b->target_unsorted);
    b->target_row = mpq_array(targets, sizeof *b->target_row);
    if (w->start && w->parent && w->shared && w->tokens && w->rows && w->first &&
        w->targets && w->query && b->target_unsorted && b->target_row)
        return 0;
    return mpq_fail(err, MPQ_ENOMEM, "%zu continuations: out of memory", n);
}

/* How many of the first tokens of A, which is a sequence of its own, B can take over.
 * At least one token is left to each sequence. */
static size_t
common(const struct mpq_eval_queries *q, const struct mpq_eval_query *a,
       const struct mpq_eval_query *b)
{
    const size_t most_a = a->end - a->start - 1, most_b = b->end - b->start - 2;
    size_t n = 0;

    while (n < most_a && n < most_b &&
           q->tokens[a->start + n] == q->tokens[b->start + n])
        n++;
    return n;
}

/* The index of hidden state ROW in w->rows, which is found there or added. Only the
 * rows of this item, from LEAST on, can be equal. */
static size_t
row_index(struct mpq_eval_work *w, size_t row, size_t least)
{
    for (size_t i = w->n_rows; i-- > least;)
        if (w->rows[i] == row)
            return i;
    w->rows[w->n_rows] = row;
    return w->n_rows++;
}

/* The queries of one item: the first is a sequence, the others go on from it. */
static void
add_item(struct batch *b, const struct mpq_eval_queries *q, size_t item)
{
    struct mpq_eval_work *w = b->w;
    const struct mpq_eval_query *head = &q->queries[q->first[item]];
    const size_t parent = w->n_seqs, row_of_parent = w->start[w->n_seqs];
    const size_t least = w->n_rows;

    for (size_t i = q->first[item]; i < q->first[item + 1]; i++) {
        const struct mpq_eval_query *a = &q->queries[i];
        const size_t shared = a == head ? 0 : common(q, head, a);
        const size_t own = a->end - a->start - 1 - shared, begin = w->start[w->n_seqs];
        w->parent[w->n_seqs] = parent;
        w->shared[w->n_seqs] = shared;
        memcpy(w->tokens + begin, q->tokens + a->start + shared,
               own * sizeof *w->tokens);
        w->start[++w->n_seqs] = begin + own;
        for (size_t t = a->scored; t < a->end; t++) {
            const size_t at = t - a->start - 1; /* what the token is predicted from */
            const size_t row = at < shared ? row_of_parent + at : begin + at - shared;
            b->target_row[b->n_targets] = row_index(w, row, least);
            w->query[b->n_targets] = i;
            b->target_unsorted[b->n_targets++] = q->tokens[t];
        }
    }
}

/* Brings the targets into the order of their rows (a counting sort), the query of each
 * along. -1 when out of memory. */
static int
sort_targets(struct batch *b, struct mpq_err *err)
{
    struct mpq_eval_work *w = b->w;
    size_t *query = mpq_array(b->n_targets, sizeof *query);

    if (!query)
        return mpq_fail(err, MPQ_ENOMEM, "continuations: out of memory");
    for (size_t i = 0; i < b->n_targets; i++)
        w->first[b->target_row[i] + 2]++;
    for (size_t r = 2; r < w->n_rows + 2; r++)
        w->first[r] += w->first[r - 1];
    for (size_t i = 0; i < b->n_targets; i++) {
        const size_t at = w->first[b->target_row[i] + 1]++;
        w->targets[at] = b->target_unsorted[i];
        query[at] = w->query[i];
    }
    free(w->query);
    w->query = query;
    return 0;
}

int
mpq_eval_work_items(struct mpq_eval_work *w, const struct mpq_eval_queries *q,
                    size_t item, size_t end, struct mpq_err *err)
{
    const size_t n = q->first[end] - q->first[item];
    struct batch b;
    int rc = -1;

    *w = (struct mpq_eval_work){ 0 };
    if (new_batch(&b, w, q->queries + q->first[item], n, err) == 0) {
        for (size_t i = item; i < end; i++)
            add_item(&b, q, i);
        rc = sort_targets(&b, err);
    }
    free(b.target_unsorted);
    free(b.target_row);
    if (rc < 0)
        mpq_eval_work_free(w);
    return rc;
}

void
mpq_eval_work_add_targets(const struct mpq_eval_work *w, const double *x, double *sums)
{
    for (size_t i = 0; i < w->first[w->n_rows]; i++)
        sums[w->query[i]] += x[i];
}

void
mpq_eval_work_add_rows(const struct mpq_eval_work *w, const double *x, double *sums)
{
    for (size_t r = 0; r < w->n_rows; r++)
        for (size_t i = w->first[r]; i < w->first[r + 1]; i++)
            sums[w->query[i]] += x[r];
}

/* Items [item, end). */
static int
run_items(const struct mpq_eval *e, const struct mpq_eval_queries *q, size_t item,
          size_t end, const struct mpq_eval_sums *out, struct mpq_err *err)
{
    struct mpq_eval_scores scores = { 0 };
    struct mpq_eval_work w;
    int rc = -1;

    if (mpq_eval_work_items(&w, q, item, end, err) < 0)
        return -1;
    const size_t n = w.first[w.n_rows];
    scores.logp = mpq_array(n, sizeof *scores.logp);
    if (e->ref)
        scores.logp_ref = mpq_array(n, sizeof *scores.logp_ref);
    if (e->ref && out->kld)
        scores.kld = mpq_array(w.n_rows, sizeof *scores.kld);
    if (!scores.logp || (e->ref && (!scores.logp_ref || (out->kld && !scores.kld)))) {
        mpq_fail(err, MPQ_ENOMEM, "%zu continuations: out of memory", n);
        goto out;
    }
    const struct mpq_seqs seqs = mpq_eval_work_seqs(&w);
    const struct mpq_eval_rows rows = mpq_eval_work_rows(&w);
    if (mpq_eval_group_run(e, &seqs, &rows, &scores, err) < 0)
        goto out;
    mpq_eval_work_add_targets(&w, scores.logp, out->logp);
    if (scores.logp_ref)
        mpq_eval_work_add_targets(&w, scores.logp_ref, out->logp_ref);
    if (scores.kld)
        mpq_eval_work_add_rows(&w, scores.kld, out->kld);
    rc = 0;
out:
    free(scores.logp);
    free(scores.logp_ref);
    free(scores.kld);
    mpq_eval_work_free(&w);
    return rc;
}

static size_t
item_tokens(const struct mpq_eval_queries *q, size_t item)
{
    size_t n = 0;

    for (size_t i = q->first[item]; i < q->first[item + 1]; i++)
        n += q->queries[i].end - q->queries[i].start;
    return n;
}

int
mpq_eval_continuations(const struct mpq_eval *e, const struct mpq_eval_queries *q,
                       const struct mpq_eval_sums *out, struct mpq_err *err)
{
    const size_t group = mpq_eval_group(e), n_queries = q->first[q->n_items];
    size_t end;

    memset(out->logp, 0, n_queries * sizeof *out->logp);
    if (e->ref)
        memset(out->logp_ref, 0, n_queries * sizeof *out->logp_ref);
    if (out->kld)
        memset(out->kld, 0, n_queries * sizeof *out->kld);
    for (size_t i = 0; i < q->n_items; i = end) {
        size_t n = item_tokens(q, i); /* one item at least, whatever its size */
        for (end = i + 1; end < q->n_items; end++) {
            n += item_tokens(q, end);
            if (n > group)
                break;
        }
        if (run_items(e, q, i, end, out, err) < 0)
            return -1;
    }
    return 0;
}

uint64_t
mpq_eval_continuations_tokens(const struct mpq_eval_queries *q)
{
    uint64_t n = 0;

    for (size_t item = 0; item < q->n_items; item++)
        for (size_t i = q->first[item]; i < q->first[item + 1]; i++) {
            const struct mpq_eval_query *a = &q->queries[i];
            const size_t shared =
                i == q->first[item] ? 0 : common(q, &q->queries[q->first[item]], a);
            n += a->end - a->start - 1 - shared;
        }
    return n;
}
