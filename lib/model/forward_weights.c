/* Decoding the weights of a block, on all threads. */
#include "base/buf.h"
#include "base/par.h"
#include "model/forward_own.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* By their place in the two enumerations of forward_own.h. */
static const char *const mat_names[MPQ_FWD_MATS] = {
    "attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"
};
static const char *const norm_names[MPQ_FWD_BIAS] = {
    "attn_norm",           "attn_q_norm", "attn_k_norm",
    "post_attention_norm", "ffn_norm",    "post_ffw_norm"
};

enum { PIECE = 1 << 16 /* floats decoded at a time, about */ };

static int
no_memory(const struct mpq_forward *f, struct mpq_err *err)
{
    return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", mpq_source_name(f->s));
}

/* Rows of several matrices, cut into pieces. */
struct job {
    const struct mpq_weight *w;
    float *dst;                     /* rows [row, row + n) go here ... */
    struct mpq_gemm8_weights *dst8; /* ... or, unless NULL, here as integers */
    size_t row, n;
};

struct jobs {
    const struct mpq_forward *f;
    struct job job[MPQ_FWD_MATS];
    size_t first[MPQ_FWD_MATS + 1]; /* the number of a job's first piece */
    size_t n;
};

/* Of integers whole panels. */
static size_t
rows_of_piece(const struct job *job)
{
    const size_t rows = job->w->cols < PIECE ? PIECE / (size_t)job->w->cols : 1;

    return job->dst8 ? (rows / MPQ_GEMM8_ROWS + 1) * MPQ_GEMM8_ROWS : rows;
}

static void
add_job(struct jobs *j, const struct job *job)
{
    const size_t step = rows_of_piece(job), n = job->n;

    j->job[j->n] = *job;
    j->first[j->n + 1] = j->first[j->n] + n / step + (n % step != 0);
    j->n++;
}

static int
decode_piece(void *ctx, size_t item, unsigned thread, struct mpq_err *err)
{
    const struct jobs *j = ctx;
    size_t i = 0;

    (void)thread;
    while (item >= j->first[i + 1])
        i++;
    const struct job *job = &j->job[i];
    const size_t step = rows_of_piece(job), at = (item - j->first[i]) * step;
    const size_t n = job->n - at < step ? job->n - at : step;
    if (job->dst8)
        return mpq_fwd_split_rows(j->f, job->w, job->row + at, n, job->dst8, at, err);
    return mpq_source_read_rows(j->f->s, job->w, job->row + at, n,
                                job->dst + at * (size_t)job->w->cols, err);
}

static int
run_jobs(struct jobs *j, struct mpq_err *err)
{
    return mpq_par_for(j->f->n_threads, j->first[j->n], decode_piece, j, err);
}

int
mpq_fwd_rows(const struct mpq_forward *f, const struct mpq_weight *w, size_t row,
             size_t n, float *dst, struct mpq_err *err)
{
    struct jobs j = { .f = f };

    add_job(&j, &(struct job){ .w = w, .dst = dst, .row = row, .n = n });
    return run_jobs(&j, err);
}

int
mpq_fwd_rows8(const struct mpq_forward *f, const struct mpq_weight *w,
              struct mpq_gemm8_form form, size_t row, size_t n,
              struct mpq_gemm8_weights *dst, struct mpq_err *err)
{
    struct jobs j = { .f = f };

    if (mpq_gemm8_shape(dst, form, n, (size_t)w->cols, err) < 0)
        return -1;
    add_job(&j, &(struct job){ .w = w, .dst8 = dst, .row = row, .n = n });
    return run_jobs(&j, err);
}

int
mpq_fwd_vector(const struct mpq_forward *f, const char *name, size_t length,
               float **out, struct mpq_err *err)
{
    const struct mpq_weight *w = mpq_fwd_find(f, name);
    const int is_gain = strstr(name, "norm") && !strstr(name, ".bias");

    *out = NULL;
    if (!w)
        return 0;
    *out = mpq_array(length, sizeof **out);
    if (!*out)
        return no_memory(f, err);
    if (mpq_source_read_rows(f->s, w, 0, 1, *out, err) < 0)
        return -1;
    for (size_t i = 0; is_gain && f->net.norm_plus_one && i < length; i++)
        (*out)[i] += 1;
    return 0;
}

const struct mpq_weight *
mpq_fwd_unembed(const struct mpq_forward *f)
{
    const struct mpq_weight *w = mpq_fwd_find(f, "output");

    return w ? w : mpq_fwd_find(f, "token_embd");
}

const float *
mpq_fwd_in_place(const struct mpq_weight *w)
{
    const uint16_t one = 1;
    const int little_endian = *(const unsigned char *)&one; /* as the file is */

    if (w->tensor.type.id != MPQ_F32 || w->scales || !little_endian ||
        (uintptr_t)w->tensor.data % sizeof(float))
        return NULL;
    return (const float *)(const void *)w->tensor.data;
}

/* Is matrix M of the layer ready somewhere? */
static int
find_ready(struct mpq_forward *f, struct mpq_fwd_layer *l, int m)
{
    const struct mpq_weight *w = l->weight[m];
    const struct mpq_fwd_layer *kept = mpq_fwd_kept(f, l->index, m, w);

    l->mat[m] = mpq_fwd_in_place(w);
    if (kept && kept != l && !l->mat[m]) { /* l itself is about to be kept */
        l->mat[m] = kept->mat[m];
        l->int8[m] = kept->int8[m];
    }
    return l->mat[m] || l->int8[m];
}

/* Finds where matrix M of the layer is to be: 1 when *job has to decode it. */
static int
place_matrix(struct mpq_forward *f, struct mpq_fwd_layer *l, int m, struct job *job,
             struct mpq_err *err)
{
    const struct mpq_weight *w = l->weight[m];
    const size_t rows = (size_t)w->rows, cols = (size_t)w->cols;
    struct mpq_gemm8_form form;

    *job = (struct job){ .w = w, .n = rows };
    l->int8[m] = NULL;
    if (f->fill) {
        if (mpq_fwd_room(&l->own[m], &l->room[m], rows * cols, err) < 0)
            return -1;
        l->mat[m] = l->own[m];
        int filled = f->fill(f->fill_ctx, w, l->own[m], err);
        if (filled)
            return filled < 0 ? -1 : 0;
    }
    if (find_ready(f, l, m))
        return 0;
    if (mpq_fwd_form(f, w, &form)) {
        if (mpq_gemm8_shape(&l->own8[m], form, rows, cols, err) < 0)
            return -1;
        l->int8[m] = job->dst8 = &l->own8[m];
        return 1;
    }
    if (mpq_fwd_room(&l->own[m], &l->room[m], rows * cols, err) < 0)
        return -1;
    l->mat[m] = job->dst = l->own[m];
    return 1;
}

static size_t
vector_length(const struct mpq_forward *f, const struct mpq_fwd_layer *l, int v)
{
    if (v >= MPQ_FWD_BIAS)
        return (size_t)l->weight[v - MPQ_FWD_BIAS]->rows;
    return v == MPQ_FWD_Q_NORM || v == MPQ_FWD_K_NORM ? f->net.head_dim : f->net.n_embd;
}

static int
decode_vectors(const struct mpq_forward *f, struct mpq_fwd_layer *l,
               struct mpq_err *err)
{
    char name[64];

    for (int v = 0; v < MPQ_FWD_VECS; v++) {
        if (v < MPQ_FWD_BIAS)
            snprintf(name, sizeof name, "blk.%zu.%s", l->index, norm_names[v]);
        else
            snprintf(name, sizeof name, "blk.%zu.%s.bias", l->index,
                     mat_names[v - MPQ_FWD_BIAS]);
        free(l->vec[v]);
        if (mpq_fwd_vector(f, name, vector_length(f, l, v), &l->vec[v], err) < 0)
            return -1;
    }
    return 0;
}

int
mpq_fwd_decode(struct mpq_forward *f, size_t layer, struct mpq_fwd_layer *l,
               struct mpq_err *err)
{
    return mpq_fwd_decode_some(f, layer, 0, MPQ_FWD_MATS, l, err);
}

int
mpq_fwd_decode_some(struct mpq_forward *f, size_t layer, int first, int n,
                    struct mpq_fwd_layer *l, struct mpq_err *err)
{
    struct jobs j = { .f = f };
    char name[64];

    l->index = layer;
    for (int m = 0; m < MPQ_FWD_MATS; m++) {
        snprintf(name, sizeof name, "blk.%zu.%s", layer, mat_names[m]);
        l->weight[m] = mpq_fwd_find(f, name); /* mpq_net_read held it there */
        struct job job;
        int decode = m >= first && m < first + n ? place_matrix(f, l, m, &job, err) : 0;
        if (decode < 0)
            return -1;
        if (decode)
            add_job(&j, &job);
    }
    if (decode_vectors(f, l, err) < 0)
        return -1;
    return run_jobs(&j, err);
}

void
mpq_fwd_layer_free(struct mpq_fwd_layer *l)
{
    for (int m = 0; m < MPQ_FWD_MATS; m++) {
        free(l->own[m]);
        mpq_gemm8_free(&l->own8[m]);
    }
    for (int v = 0; v < MPQ_FWD_VECS; v++)
        free(l->vec[v]);
    *l = (struct mpq_fwd_layer){ 0 };
}
