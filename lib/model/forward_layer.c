/*
 * One layer, all sequences. They go in groups of bounded size; a large group goes in
 * tiles of rows, a small one, as in generation, by rows of the weights. Which of the
 * two, and where the cuts are, depends on the number of rows alone.
 */
#include "model/forward_stage.h"

#include "base/buf.h"

#include <math.h>
#include <stdlib.h>

enum {
    GROUP_ROWS = 16384,
    GROUP_FLOATS = 96 << 20, /* in q, k, v and o of a group */
    WIDE_ROWS = 1536         /* up to here the weights are cut, above it the rows */
};

int
mpq_fwd_room(float **buf, size_t *room, size_t n, struct mpq_err *err)
{
    if (*room >= n && *buf)
        return 0;
    free(*buf);
    *room = 0;
    *buf = n <= SIZE_MAX / sizeof **buf ? malloc((n ? n : 1) * sizeof **buf) : NULL;
    if (!*buf)
        return mpq_fail(err, MPQ_ENOMEM, "out of memory for %zu numbers", n);
    *room = n;
    return 0;
}

int
mpq_fwd_scratch(struct mpq_forward *f, size_t n, struct mpq_err *err)
{
    if (f->scratch_room >= n)
        return 0;
    f->scratch_room = 0;
    for (unsigned t = 0; t < f->n_threads; t++) {
        size_t none = 0;
        if (mpq_fwd_room(&f->scratch[t], &none, n, err) < 0)
            return -1;
    }
    f->scratch_room = n;
    return 0;
}

static size_t
group_floats(const struct mpq_net *net)
{
    return 2 * mpq_fwd_q_width(net) + 2 * mpq_fwd_kv_width(net);
}

static int
run_group(struct mpq_fwd_group *g, size_t *seq_of, struct mpq_err *err)
{
    struct mpq_forward *f = g->f;
    const struct mpq_net *net = &f->net;
    const size_t qkv = mpq_fwd_q_width(net) + 2 * mpq_fwd_kv_width(net),
                 d = net->n_embd, n = g->n_rows;
    /* where the inputs lie whole */
    const int small = n <= WIDE_ROWS || f->tap || f->part;
    struct mpq_fwd_stage s = { .g = g, .seq_of = seq_of };
    size_t need = n * group_floats(net), scratch = mpq_fwd_attend_scratch(net);

    if (n == 0)
        return 0;
    s.wide = qkv > 2 * net->n_ff ? qkv : 2 * net->n_ff;
    if (small)
        need += n * (2 * d + s.wide);
    else if (mpq_fwd_tile_scratch(net) > scratch)
        scratch = mpq_fwd_tile_scratch(net);
    if (mpq_fwd_room(&f->group, &f->group_room, need, err) < 0 ||
        mpq_fwd_scratch(f, scratch, err) < 0)
        return -1;
    g->q = f->group;
    g->o = g->q + n * mpq_fwd_q_width(net);
    g->k = g->o + n * mpq_fwd_q_width(net);
    g->v = g->k + n * mpq_fwd_kv_width(net);
    s.h = g->v + n * mpq_fwd_kv_width(net);
    s.y = s.h + n * d;
    s.t = s.y + n * d;
    for (size_t i = g->first; i < g->first + g->n; i++)
        for (size_t r = 0; r < g->seqs[i].n; r++)
            seq_of[g->seqs[i].row + r - g->row] = i;
    return small ? mpq_fwd_run_wide(&s, err) : mpq_fwd_run_tiles(&s, err);
}

/* The end of the group that begins with sequence FIRST: at most MOST rows unless more
 * belong together. A cut at C is possible where no sequence from C on goes on from one
 * before it: reach[C] >= C. */
static size_t
group_end(const struct mpq_fwd_seq *seqs, size_t n, size_t first, const size_t *reach,
          size_t most)
{
    size_t end = 0, rows = 0;

    for (size_t c = first + 1; c <= n; c++) {
        rows += seqs[c - 1].n;
        if (rows > most && end)
            break;
        if (c == n || reach[c] >= c)
            end = c;
    }
    return end;
}

/* The angles of rope I for the first N positions. */
static int
make_turns(struct mpq_forward *f, int i, size_t n, struct mpq_err *err)
{
    const struct mpq_rope *rope = i ? &f->net.rope_local : &f->net.rope;
    const size_t half = rope->n_rot / 2;

    if (!rope->freq)
        return 0;
    free(f->turns[i]);
    f->turns[i] = NULL;
    if (n > SIZE_MAX / sizeof(float) / 2 / half ||
        !(f->turns[i] = mpq_array(n * 2 * half, sizeof(float))))
        return mpq_fail(err, MPQ_ENOMEM, "out of memory for %zu positions", n);
    for (size_t p = 0; p < n; p++)
        for (size_t k = 0; k < half; k++) {
            const double angle = (double)p * (double)rope->freq[k];
            float *to = f->turns[i] + p * 2 * half + k;
            to[0] = (float)(cos(angle) * (double)rope->gain);
            to[half] = (float)(sin(angle) * (double)rope->gain);
        }
    return 0;
}

static int
need_turns(struct mpq_forward *f, const struct mpq_fwd_seq *seqs, size_t n,
           struct mpq_err *err)
{
    size_t most = 0;

    for (size_t i = 0; i < n; i++)
        if (seqs[i].pos + seqs[i].n > most)
            most = seqs[i].pos + seqs[i].n;
    if (most <= f->n_pos)
        return 0;
    f->n_pos = 0;
    most += most / 4; /* generation asks for one more each time */
    if (make_turns(f, 0, most, err) < 0 || make_turns(f, 1, most, err) < 0)
        return -1;
    f->n_pos = most;
    return 0;
}

/* Rows of a group: as many as memory allows, and about as many in each. */
static size_t
group_rows(const struct mpq_forward *f, const struct mpq_fwd_seq *seqs, size_t n)
{
    const size_t by_memory = GROUP_FLOATS / group_floats(&f->net) + 1;
    const size_t most =
        mpq_fwd_min(f->tap || f->part ? WIDE_ROWS : GROUP_ROWS, by_memory);
    size_t all = 0, longest = 0;

    for (size_t i = 0; i < n; i++) {
        all += seqs[i].n;
        longest = seqs[i].n > longest ? seqs[i].n : longest;
    }
    const size_t groups = mpq_fwd_pieces(all, most);
    return groups ? mpq_fwd_min(most, mpq_fwd_pieces(all, groups) + longest - 1) : most;
}

int
mpq_fwd_run(struct mpq_forward *f, const struct mpq_fwd_layer *l,
            const struct mpq_fwd_seq *seqs, size_t n, float *x, struct mpq_err *err)
{
    const size_t most = group_rows(f, seqs, n);
    size_t *reach = NULL, *seq_of = NULL, room = 0;
    int rc = -1;

    if (need_turns(f, seqs, n, err) < 0)
        goto out;
    reach = mpq_array(n + 1, sizeof *reach);
    if (!reach) {
        mpq_fail(err, MPQ_ENOMEM, "out of memory for %zu sequences", n);
        goto out;
    }
    reach[n] = n;
    for (size_t i = n; i-- > 0;)
        reach[i] = mpq_fwd_min(reach[i + 1],
                               seqs[i].pos && !seqs[i].cache_k ? seqs[i].parent : i);
    for (size_t i = 0; i < n;) {
        const size_t end = group_end(seqs, n, i, reach, most);
        struct mpq_fwd_group g = { .f = f,
                                   .layer = l,
                                   .seqs = seqs,
                                   .first = i,
                                   .n = end - i,
                                   .row = seqs[i].row,
                                   .x = x };
        for (size_t k = i; k < end; k++)
            g.n_rows += seqs[k].n;
        if (g.n_rows > room) {
            free(seq_of);
            room = g.n_rows;
            if (!(seq_of = mpq_array(room, sizeof *seq_of))) {
                mpq_fail(err, MPQ_ENOMEM, "out of memory for %zu tokens", room);
                goto out;
            }
        }
        if (run_group(&g, seq_of, err) < 0)
            goto out;
        i = end;
    }
    rc = 0;
out:
    free(reach);
    free(seq_of);
    return rc;
}
