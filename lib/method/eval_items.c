/* Continuations of items that begin alike. */
#include "method/eval_own.h"

#include "base/buf.h"

#include <stdlib.h>
#include <string.h>

/* What a group of items comes to; built by add_item. */
struct batch {
    size_t n_seqs, n_tokens, n_rows, n_targets;
    size_t *start, *parent, *shared; /* of sequences */
    uint32_t *tokens;
    size_t *rows, *first; /* of rows */
    uint32_t *targets;
    size_t *query; /* [n_targets] whose it is, counted in the whole */
    uint32_t *target_unsorted;
    size_t *target_row; /* [n_targets] index into rows, before they are sorted */
};

static void
free_batch(struct batch *b)
{
    free(b->start);
    free(b->parent);
    free(b->shared);
    free(b->tokens);
    free(b->rows);
    free(b->first);
    free(b->targets);
    free(b->query);
    free(b->target_unsorted);
    free(b->target_row);
}

/* Room for queries [q, end) at most. */
static int
new_batch(struct batch *b, const struct mpq_eval_query *q, size_t n,
          struct mpq_err *err)
{
    size_t tokens = 0, targets = 0;

    *b = (struct batch){ 0 };
    for (size_t i = 0; i < n; i++) {
        tokens += q[i].end - q[i].start;
        targets += q[i].end - q[i].scored;
    }
    b->start = mpq_array(n + 1, sizeof *b->start);
    b->parent = mpq_array(n, sizeof *b->parent);
    b->shared = mpq_array(n, sizeof *b->shared);
    b->tokens = mpq_array(tokens, sizeof *b->tokens);
    b->rows = mpq_array(targets, sizeof *b->rows);
    b->first = mpq_array(targets + 2, sizeof *b->first);
    b->targets = mpq_array(targets, sizeof *b->targets);
    b->query = mpq_array(targets, sizeof *b->query);
    b->target_unsorted = mpq_array(targets, sizeof *b->target_unsorted);
    b->target_row = mpq_array(targets, sizeof *b->target_row);
    if (b->start && b->parent && b->shared && b->tokens && b->rows && b->first &&
        b->targets && b->query && b->target_unsorted && b->target_row)
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

/* The index of hidden state ROW in b->rows, which is found there or added. Only the
 * rows of this item, from LEAST on, can be equal. */
static size_t
row_index(struct batch *b, size_t row, size_t least)
{
    for (size_t i = b->n_rows; i-- > least;)
        if (b->rows[i] == row)
            return i;
    b->rows[b->n_rows] = row;
    return b->n_rows++;
}

/* The queries of one item: the first is a sequence, the others go on from it. */
static void
add_item(struct batch *b, const struct mpq_eval_queries *q, size_t item)
{
    const struct mpq_eval_query *head = &q->queries[q->first[item]];
    const size_t parent = b->n_seqs, row_of_parent = b->n_tokens, least = b->n_rows;

    for (size_t i = q->first[item]; i < q->first[item + 1]; i++) {
        const struct mpq_eval_query *a = &q->queries[i];
        const size_t shared = a == head ? 0 : common(q, head, a);
        const size_t own = a->end - a->start - 1 - shared, begin = b->n_tokens;
        b->parent[b->n_seqs] = parent;
        b->shared[b->n_seqs] = shared;
        memcpy(b->tokens + begin, q->tokens + a->start + shared,
               own * sizeof *b->tokens);
        b->n_tokens += own;
        b->start[++b->n_seqs] = b->n_tokens;
        for (size_t t = a->scored; t < a->end; t++) {
            const size_t at = t - a->start - 1; /* what the token is predicted from */
            const size_t row = at < shared ? row_of_parent + at : begin + at - shared;
            b->target_row[b->n_targets] = row_index(b, row, least);
            b->query[b->n_targets] = i;
            b->target_unsorted[b->n_targets++] = q->tokens[t];
        }
    }
}

/* Brings the targets into the order of their rows (a counting sort), the query of each
 * along. -1 when out of memory. */
static int
sort_targets(struct batch *b, struct mpq_err *err)
{
    size_t *query = mpq_array(b->n_targets, sizeof *query);

    if (!query)
        return mpq_fail(err, MPQ_ENOMEM, "continuations: out of memory");
    for (size_t i = 0; i < b->n_targets; i++)
        b->first[b->target_row[i] + 2]++;
    for (size_t r = 2; r < b->n_rows + 2; r++)
        b->first[r] += b->first[r - 1];
    for (size_t i = 0; i < b->n_targets; i++) {
        const size_t at = b->first[b->target_row[i] + 1]++;
        b->targets[at] = b->target_unsorted[i];
        query[at] = b->query[i];
    }
    free(b->query);
    b->query = query;
    return 0;
}

/* Items [item, end). */
static int
run_items(const struct mpq_eval *e, const struct mpq_eval_queries *q, size_t item,
          size_t end, double *logp, double *logp_ref, struct mpq_err *err)
{
    const size_t n = q->first[end] - q->first[item];
    double *scores = NULL, *scores_ref = NULL;
    struct batch b;
    int rc = -1;

    if (new_batch(&b, q->queries + q->first[item], n, err) < 0)
        goto out;
    for (size_t i = item; i < end; i++)
        add_item(&b, q, i);
    scores = mpq_array(b.n_targets, sizeof *scores);
    scores_ref = mpq_array(b.n_targets, sizeof *scores_ref);
    if (!scores || !scores_ref) {
        mpq_fail(err, MPQ_ENOMEM, "%zu continuations: out of memory", n);
        goto out;
    }
    if (sort_targets(&b, err) < 0 ||
        mpq_eval_group_run(
            e, &(struct mpq_seqs){ b.n_seqs, b.tokens, b.start, b.parent, b.shared },
            &(struct mpq_eval_rows){ b.n_rows, b.rows, b.first, b.targets },
            &(struct mpq_eval_scores){ .logp = scores,
                                       .logp_ref = e->ref ? scores_ref : NULL },
            err) < 0)
        goto out;
    for (size_t i = 0; i < b.n_targets; i++) {
        logp[b.query[i]] += scores[i];
        if (e->ref)
            logp_ref[b.query[i]] += scores_ref[i];
    }
    rc = 0;
out:
    free(scores);
    free(scores_ref);
    free_batch(&b);
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
                       double *logp, double *logp_ref, struct mpq_err *err)
{
    const size_t group = mpq_eval_group(e);
    size_t end;

    memset(logp, 0, q->first[q->n_items] * sizeof *logp);
    if (e->ref)
        memset(logp_ref, 0, q->first[q->n_items] * sizeof *logp_ref);
    for (size_t i = 0; i < q->n_items; i = end) {
        size_t n = item_tokens(q, i); /* one item at least, whatever its size */
        for (end = i + 1; end < q->n_items; end++) {
            n += item_tokens(q, end);
            if (n > group)
                break;
        }
        if (run_items(e, q, i, end, logp, logp_ref, err) < 0)
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
