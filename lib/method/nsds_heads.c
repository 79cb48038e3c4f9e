/*
 * The attention heads of NSDS: products C = F^T G of two factors F, G [rank][d].
 *
 * With G G^T = L L^T, the rank x rank matrix S = L^T (F F^T) L has the eigenvalues
 * sigma^2 of C, and from its vectors x come v = G^T L^-T x and u = F^T L x / sigma. All
 * of it in double; where G G^T is too badly conditioned for a Gram matrix, the singular
 * values of R_F R_G^T between two thin QR factorizations are taken instead.
 */
#include "base/buf.h"
#include "method/nsds_own.h"
#include "num/eig.h"
#include "num/linalg.h"
#include "num/stat.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Condition of G G^T up to which rounding in it stays below some 1e-7. */
static const double WELL = 1e-9;
/* ... and up to which float will do for the vectors: within some 1e-6. */
static const double EVEN = 1e-4;

enum {
    TILE = 131072
}; /* floats of the product that exist at a time: half an L2 cache */

struct heads {
    size_t rank, d, r; /* r = min(rank, d) */
    const float *g;    /* [rank][d], shared */
    double *gd, *l;    /* [rank][d], [rank][rank]: Cholesky factor of G G^T */
    double condition;  /* reciprocal, of G G^T; 0: L cannot be used */
    float *coef;       /* [rank][rank] */
    float *f;          /* [rank][d], of the head in hand */
    double *fd;
    double *s, *lx, *x; /* [rank][rank] */
    double *energy;     /* [rank] */
    double *rows;       /* [rank][d] */
    float *u, *v;       /* [rank][d]: unit vectors as rows */
    double *sigma, *b;  /* [rank] */
    float *tile;        /* of C */
    size_t tile_rows, k;
};

static void
heads_free(struct heads *h)
{
    free(h->gd);
    free(h->l);
    free(h->f);
    free(h->fd);
    free(h->s);
    free(h->lx);
    free(h->x);
    free(h->energy);
    free(h->rows);
    free(h->u);
    free(h->v);
    free(h->sigma);
    free(h->b);
    free(h->tile);
    free(h->coef);
}

static int
out_of_memory(struct mpq_err *err)
{
    return mpq_fail(err, MPQ_ENOMEM, "NSDS of heads: out of memory");
}

static void
widen(double *to, const float *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = (double)from[i];
}

static void
narrow(float *to, const double *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = (float)from[i];
}

static int
heads_new(struct heads *h, const float *g, size_t rank, size_t d, struct mpq_err *err)
{
    const size_t rd = rank * d, rr = rank * rank;

    *h = (struct heads){ .rank = rank, .d = d, .r = rank < d ? rank : d, .g = g };
    h->tile_rows = d < TILE / 32 ? TILE / d / 32 * 32 : 32;
    h->tile_rows = h->tile_rows < d ? h->tile_rows : d;
    h->gd = mpq_array(rd, sizeof *h->gd);
    h->l = mpq_array(rr, sizeof *h->l);
    h->f = mpq_array(rd, sizeof *h->f);
    h->fd = mpq_array(rd, sizeof *h->fd);
    h->s = mpq_array(rr, sizeof *h->s);
    h->lx = mpq_array(rr, sizeof *h->lx);
    h->x = mpq_array(rr, sizeof *h->x);
    h->energy = mpq_array(rank, sizeof *h->energy);
    h->rows = mpq_array(rd, sizeof *h->rows);
    h->u = mpq_array(rd, sizeof *h->u);
    h->v = mpq_array(rd, sizeof *h->v);
    h->sigma = mpq_array(rank, sizeof *h->sigma);
    h->b = mpq_array(rank, sizeof *h->b);
    h->coef = mpq_array(rr, sizeof *h->coef);
    h->tile = mpq_array(h->tile_rows * d, sizeof *h->tile);
    if (!h->gd || !h->l || !h->f || !h->fd || !h->s || !h->lx || !h->x || !h->energy ||
        !h->rows || !h->u || !h->v || !h->sigma || !h->b || !h->coef || !h->tile)
        return out_of_memory(err);
    widen(h->gd, g, rd);
    mpq_gram_d(h->l, h->gd, rank, d);
    h->condition = rank <= d ? mpq_cholesky(h->l, rank) : 0;
    return 0;
}

/* NV: powers of C's entries, a band of rows at a time. */
static double
product_kurt(struct heads *h)
{
    double sums[4] = { 0 };

    for (size_t i = 0; i < h->d; i += h->tile_rows) {
        const size_t n = h->d - i < h->tile_rows ? h->d - i : h->tile_rows;
        mpq_gemm_f(1, 0, n, h->d, h->rank, h->f + i, h->d, h->g, h->d, h->tile, h->d);
        mpq_power_sums(h->tile, n * h->d, sums);
    }
    return mpq_power_kurt(sums, (double)h->d * (double)h->d);
}

/* out[k][d] = coef^T m for coef[rank][k], m[rank][d], given in both widths: in float
 * where G is well enough conditioned that little cancels. */
static void
to_rows(struct heads *h, const double *coef, const double *md, const float *mf,
        float *out)
{
    if (h->condition > EVEN) {
        narrow(h->coef, coef, h->rank * h->k);
        mpq_gemm_f(1, 0, h->k, h->d, h->rank, h->coef, h->k, mf, h->d, out, h->d);
        return;
    }
    mpq_gemm_d(1, 0, h->k, h->d, h->rank, coef, h->k, md, h->d, h->rows, h->d);
    narrow(out, h->rows, h->k * h->d);
}

/* The kept eigenpairs of S (taken over): energy, k, sigma, and vectors as the columns
 * of h->x [rank][k]. */
static int
kept_pairs(struct heads *h, double *s, struct mpq_err *err)
{
    const size_t n = h->rank;
    struct mpq_eig *e = NULL;
    int rc = -1;

    if (mpq_eig_new(&e, s, n, 1, err) < 0)
        return -1;
    memcpy(h->energy, mpq_eig_values(e), n * sizeof *h->energy);
    const size_t k = h->k = mpq_nsds_keep(h->energy, n);
    float *y = mpq_array(k, n * sizeof *y);
    float *scratch = mpq_array(mpq_eig_scratch(e, k), sizeof *scratch);
    if (!y || !scratch) {
        out_of_memory(err);
        goto out;
    }
    if (mpq_eig_prepare(e, 0, k, err) < 0 || mpq_eig_coords(e, 0, k, y, err) < 0)
        goto out;
    mpq_eig_rotate(e, y, k, scratch);
    for (size_t i = 0; i < k; i++) {
        h->sigma[i] = sqrt(mpq_relu(h->energy[i]));
        for (size_t j = 0; j < n; j++)
            h->x[j * k + i] = (double)y[i * n + j];
    }
    rc = 0;
out:
    free(y);
    free(scratch);
    mpq_eig_free(e);
    return rc;
}

/* sigma, u and, if WANT_V, v by way of S. */
static int
by_gram(struct heads *h, int want_v, struct mpq_err *err)
{
    const size_t n = h->rank;
    double *s = mpq_array(n, n * sizeof *s);

    if (!s)
        return out_of_memory(err);
    mpq_gram_d(h->x, h->fd, n, h->d);
    mpq_gemm_d(0, 0, n, n, n, h->x, n, h->l, n, h->lx, n);
    mpq_gemm_d(1, 0, n, n, n, h->l, n, h->lx, n, s, n);
    if (kept_pairs(h, s, err) < 0)
        return -1;
    const size_t k = h->k;
    mpq_gemm_d(0, 0, n, k, n, h->l, n, h->x, k, h->lx, k);
    for (size_t j = 0; j < n; j++)
        for (size_t i = 0; i < k; i++)
            h->lx[j * k + i] *= h->sigma[i] > 0 ? 1 / h->sigma[i] : 0;
    to_rows(h, h->lx, h->fd, h->f, h->u);
    if (!want_v)
        return 0;
    mpq_solve_lt(h->l, n, h->x, k);
    to_rows(h, h->x, h->gd, h->g, h->v);
    return 0;
}

/* m[rank][d] as [d][rank]. */
static void
transpose(double *to, const double *m, size_t rank, size_t d)
{
    for (size_t i = 0; i < rank; i++)
        for (size_t j = 0; j < d; j++)
            to[j * rank + i] = m[i * d + j];
}

/* Vectors of C from those of the core: out[k][d], out_i = sum_j core(i, j) q[.][j]. */
static void
from_core(struct heads *h, const double *core, int as_rows, const double *q, float *out)
{
    const size_t n = h->rank;

    if (as_rows) /* core[.][n], vector i is row i */
        mpq_gemm_d(0, 1, h->k, h->d, n, core, n, q, n, h->rows, h->d);
    else /* vector i is column i */
        mpq_gemm_d(1, 1, h->k, h->d, n, core, n, q, n, h->rows, h->d);
    narrow(out, h->rows, h->k * h->d);
}

/* The same by thin QRs and a singular value decomposition of order rank <= d. */
static int
by_qr(struct heads *h, struct mpq_err *err)
{
    const size_t n = h->rank, d = h->d;
    double *qf = mpq_array(d * n, sizeof *qf), *qg = mpq_array(d * n, sizeof *qg);
    double *rf = mpq_array(n * n, sizeof *rf), *rg = mpq_array(n * n, sizeof *rg);
    int rc = -1;

    if (!qf || !qg || !rf || !rg) {
        out_of_memory(err);
        goto out;
    }
    transpose(qf, h->fd, n, d);
    transpose(qg, h->gd, n, d);
    if (mpq_qr(qf, d, n, rf, err) < 0 || mpq_qr(qg, d, n, rg, err) < 0)
        goto out;
    mpq_gemm_d(0, 1, n, n, n, rf, n, rg, n, h->s, n);
    if (mpq_svd(h->s, n, n, h->sigma, h->lx, h->x, err) < 0)
        goto out;
    for (size_t i = 0; i < n; i++)
        h->energy[i] = h->sigma[i] * h->sigma[i];
    h->k = mpq_nsds_keep(h->energy, n);
    from_core(h, h->lx, 0, qf, h->u);
    from_core(h, h->x, 1, qg, h->v);
    rc = 0;
out:
    free(qf);
    free(qg);
    free(rf);
    free(rg);
    return rc;
}

/* The same where rank > d, and factors save nothing: C itself. */
static int
by_product(struct heads *h, struct mpq_err *err)
{
    const size_t d = h->d;
    double *c = mpq_array(d * d, sizeof *c), *u = mpq_array(d * d, sizeof *u);
    double *vt = mpq_array(d * d, sizeof *vt);
    int rc = -1;

    if (!c || !u || !vt) {
        out_of_memory(err);
        goto out;
    }
    mpq_gemm_d(1, 0, d, d, h->rank, h->fd, d, h->gd, d, c, d);
    if (mpq_svd(c, d, d, h->sigma, u, vt, err) < 0)
        goto out;
    for (size_t i = 0; i < d; i++)
        h->energy[i] = h->sigma[i] * h->sigma[i];
    h->k = mpq_nsds_keep(h->energy, d);
    narrow(h->v, vt, h->k * d);
    for (size_t i = 0; i < h->k; i++)
        for (size_t j = 0; j < d; j++)
            h->u[i * d + j] = (float)u[j * d + i];
    rc = 0;
out:
    free(c);
    free(u);
    free(vt);
    return rc;
}

/* Singular triples of the head in h->f; h->k = 0 when it is all zero. */
static int
decompose(struct heads *h, int want_v, struct mpq_err *err)
{
    double total = 0;
    int rc;

    widen(h->fd, h->f, h->rank * h->d);
    if (h->condition > WELL)
        rc = by_gram(h, want_v, err);
    else
        rc = h->rank <= h->d ? by_qr(h, err) : by_product(h, err);
    if (rc < 0)
        return -1;
    for (size_t i = 0; i < h->r; i++)
        total += mpq_relu(h->energy[i]);
    if (!(total > 0))
        h->k = 0;
    return 0;
}

int
mpq_nsds_qk(struct mpq_nsds *out, const float *q, size_t n_heads, const float *k,
            size_t rank, size_t d, struct mpq_err *err)
{
    struct heads h;
    int rc = heads_new(&h, k, rank, d, err);

    for (size_t i = 0; !rc && i < n_heads; i++) {
        memcpy(h.f, q + i * rank * d, rank * d * sizeof *h.f);
        out[i].nv = product_kurt(&h);
        rc = decompose(&h, 1, err);
        for (size_t j = 0; !rc && j < h.k; j++)
            h.b[j] = log1p(mpq_relu(mpq_kurt(h.u + j * d, d)) *
                           mpq_relu(mpq_kurt(h.v + j * d, d)));
        if (!rc)
            mpq_nsds_combine(&out[i], h.sigma, h.b, h.k);
    }
    heads_free(&h);
    return rc;
}

int
mpq_nsds_ov(struct mpq_nsds *out, const float *o, size_t ld, size_t n_heads,
            const float *v, size_t rank, size_t d, const struct mpq_subspace *p,
            struct mpq_err *err)
{
    struct heads h;
    int rc = heads_new(&h, v, rank, d, err);
    float *along = mpq_array(rank * p->dim, sizeof *along);

    if (!along && !rc)
        rc = out_of_memory(err);
    for (size_t i = 0; !rc && i < n_heads; i++) {
        for (size_t j = 0; j < d; j++)
            for (size_t l = 0; l < rank; l++)
                h.f[l * d + j] = o[j * ld + i * rank + l];
        out[i].nv = product_kurt(&h);
        rc = decompose(&h, 0, err);
        if (rc < 0)
            break;
        if (p->dim > 0 && h.k > 0)
            mpq_gemm_f(0, 1, h.k, p->dim, d, h.u, d, p->basis, d, along, p->dim);
        for (size_t j = 0; j < h.k; j++) {
            double sum = 0;
            for (size_t l = 0; l < p->dim; l++)
                sum += (double)along[j * p->dim + l] * (double)along[j * p->dim + l];
            h.b[j] = mpq_subspace_length(p, sum);
        }
        mpq_nsds_combine(&out[i], h.sigma, h.b, h.k);
    }
    free(along);
    heads_free(&h);
    return rc;
}
