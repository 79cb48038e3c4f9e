/* What one layer does to rows of hidden states; see forward_stage.h. */
#include "model/forward_stage.h"

#include "num/linalg.h"
#include "num/vmath.h"

#include <stdlib.h>
#include <string.h>

float *
mpq_fwd_state(const struct mpq_fwd_group *g, size_t row)
{
    return g->x + (g->row + row) * g->f->net.n_embd;
}

void
mpq_fwd_product(const struct mpq_fwd_group *g, enum mpq_fwd_mat m,
                const struct mpq_fwd_part *p, struct mpq_fwd_input *in, int add,
                float *out, size_t ld_out)
{
    if (g->layer->int8[m]) {
        mpq_fwd_product8(g->layer->int8[m], p, in, add, out, ld_out);
        return;
    }
    const size_t cols = (size_t)g->layer->weight[m]->cols;
    const float *w = g->layer->mat[m] + p->row * cols + p->col;

    mpq_gemm_add_f(0, 1, in->n, p->n, p->k, 1, in->x, in->ld, w, cols, add ? 1 : 0, out,
                   ld_out);
}

struct mpq_fwd_part
mpq_fwd_whole(const struct mpq_fwd_group *g, enum mpq_fwd_mat m)
{
    const struct mpq_weight *w = g->layer->weight[m];

    return (struct mpq_fwd_part){ 0, (size_t)w->rows, 0, (size_t)w->cols };
}

void
mpq_fwd_norm(const struct mpq_fwd_group *g, size_t row, size_t n, enum mpq_fwd_vec v,
             float *h)
{
    const struct mpq_net *net = &g->f->net;

    for (size_t i = 0; i < n; i++)
        mpq_vrms_norm(h + i * net->n_embd, mpq_fwd_state(g, row + i), g->layer->vec[v],
                      net->n_embd, net->norm_eps);
}

/* Bias, norm and rotation of the N heads in X, a row of q or k. */
static void
finish_heads(const struct mpq_fwd_group *g, float *x, size_t n, size_t pos,
             const float *bias, const float *gain)
{
    const struct mpq_net *net = &g->f->net;
    const int local = net->rope_local.freq && net->window[g->layer->index];
    const struct mpq_rope *rope = local ? &net->rope_local : &net->rope;
    const size_t half = rope->n_rot / 2;
    const float *turn = g->f->turns[local] + pos * 2 * half;

    if (bias)
        mpq_vadd(x, bias, n * net->head_dim);
    for (size_t i = 0; i < n; i++, x += net->head_dim) {
        if (gain)
            mpq_vrms_norm(x, x, gain, net->head_dim, net->norm_eps);
        mpq_vrotate(x, turn, turn + half, half, rope->adjacent);
    }
}

void
mpq_fwd_finish_qkv(const struct mpq_fwd_stage *s, size_t row, float *q, float *k,
                   float *v)
{
    const struct mpq_fwd_group *g = s->g;
    const struct mpq_net *net = &g->f->net;
    const struct mpq_fwd_seq *seq = &g->seqs[s->seq_of[row]];
    float *const *vec = g->layer->vec;
    const size_t hd = net->head_dim, share = net->n_head / net->n_head_kv;
    const size_t pos = seq->pos + (g->row + row - seq->row);

    finish_heads(g, q, net->n_head, pos, vec[MPQ_FWD_BIAS + MPQ_FWD_Q],
                 vec[MPQ_FWD_Q_NORM]);
    finish_heads(g, k, net->n_head_kv, pos, vec[MPQ_FWD_BIAS + MPQ_FWD_K],
                 vec[MPQ_FWD_K_NORM]);
    if (vec[MPQ_FWD_BIAS + MPQ_FWD_V])
        mpq_vadd(v, vec[MPQ_FWD_BIAS + MPQ_FWD_V], mpq_fwd_kv_width(net));
    for (size_t h = 0; h < net->n_head_kv; h++) {
        const size_t at = (h * g->n_rows + row) * hd;
        float *to_k = g->k + at, *to_v = g->v + at;
        if (seq->cache_k) {
            to_k = seq->cache_k + h * seq->cache_stride + pos * hd;
            to_v = seq->cache_v + h * seq->cache_stride + pos * hd;
        }
        memcpy(g->q + at * share, q + h * share * hd, share * hd * sizeof *q);
        memcpy(to_k, k + h * hd, hd * sizeof *k);
        memcpy(to_v, v + h * hd, hd * sizeof *v);
    }
}

int
mpq_fwd_is_direct(const struct mpq_fwd_group *g, enum mpq_fwd_vec post)
{
    return !g->layer->vec[post];
}

void
mpq_fwd_finish_product(const struct mpq_fwd_group *g, size_t row, size_t n,
                       enum mpq_fwd_mat m, enum mpq_fwd_vec post, float *y)
{
    const struct mpq_net *net = &g->f->net;
    const float *bias = g->layer->vec[MPQ_FWD_BIAS + m];
    const size_t d = net->n_embd;

    for (size_t i = 0; i < n; i++) {
        float *x = mpq_fwd_state(g, row + i);
        if (mpq_fwd_is_direct(g, post)) {
            if (bias)
                mpq_vadd(x, bias, d);
            continue;
        }
        if (bias)
            mpq_vadd(y + i * d, bias, d);
        mpq_vrms_norm(y + i * d, y + i * d, g->layer->vec[post], d, net->norm_eps);
        mpq_vadd(x, y + i * d, d);
    }
}

void
mpq_fwd_activate(const struct mpq_fwd_group *g, float *gate, float *up, size_t rows,
                 size_t n, size_t ld, size_t col)
{
    const float *gate_bias = g->layer->vec[MPQ_FWD_BIAS + MPQ_FWD_GATE];
    const float *up_bias = g->layer->vec[MPQ_FWD_BIAS + MPQ_FWD_UP];

    for (size_t i = 0; i < rows; i++, gate += ld, up += ld) {
        if (gate_bias)
            mpq_vadd(gate, gate_bias + col, n);
        if (up_bias)
            mpq_vadd(up, up_bias + col, n);
        if (g->f->net.act == MPQ_ACT_SILU)
            mpq_vsilu_mul(gate, up, n);
        else
            mpq_vgelu_mul(gate, up, n);
    }
}

/* Names the first number of the layer's matrices that is NaN or infinite: those that
 * are used as they lie in the file have not been looked at. -1 when there is one. */
static int
check_weights(const struct mpq_fwd_group *g, struct mpq_err *err)
{
    int rc = 0;

    for (int m = 0; rc == 0 && m < MPQ_FWD_MATS; m++) {
        const struct mpq_weight *w = g->layer->weight[m];
        float *row = w ? malloc((size_t)w->cols * sizeof *row) : NULL;
        for (uint64_t i = 0; row && rc == 0 && i < w->rows; i++)
            rc = mpq_source_read_rows(g->f->s, w, i, 1, row, err);
        free(row);
    }
    return rc;
}

int
mpq_fwd_check(const struct mpq_fwd_group *g, size_t row, size_t n, struct mpq_err *err)
{
    for (size_t i = 0; i < n; i++) {
        if (mpq_vfinite(mpq_fwd_state(g, row + i), g->f->net.n_embd))
            continue;
        if (check_weights(g, err) < 0)
            return -1;
        return mpq_fail(err, MPQ_EDATA,
                        "%s: blk.%zu: a hidden state becomes NaN or infinite there"
                        " (token %zu)",
                        mpq_source_name(g->f->s), g->layer->index,
                        g->row + row + i + 1);
    }
    return 0;
}
