#include "method/nsds.h"

#include "base/buf.h"
#include "method/nsds_own.h"
#include "num/eig.h"
#include "num/linalg.h"
#include "num/stat.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double KEEP = 0.99;

const char *const mpq_component_names[MPQ_N_COMPONENTS] = { "qk", "gate", "up", "ov",
                                                            "down" };

double
mpq_relu(double x)
{
    return x > 0 ? x : 0;
}

size_t
mpq_nsds_keep(const double *energy, size_t n)
{
    double total = 0, sum = 0;
    size_t k = 0;

    for (size_t i = 0; i < n; i++)
        total += mpq_relu(energy[i]);
    while (k < n && (k == 0 || sum < KEEP * total))
        sum += mpq_relu(energy[k++]);
    if (k < 2)
        k = 2;
    return k < n ? k : n;
}

void
mpq_spectrum_of(struct mpq_spectrum *out, const double *energy, size_t n)
{
    double total = 0, sum = 0, entropy = 0;

    for (size_t i = 0; i < n; i++) {
        total += mpq_relu(energy[i]);
        sum += sqrt(mpq_relu(energy[i]));
    }
    *out = (struct mpq_spectrum){ 0 };
    if (!(total > 0))
        return;
    for (size_t i = 0; i < n; i++) {
        const double p = sqrt(mpq_relu(energy[i])) / sum;
        entropy -= p > 0 ? p * log(p) : 0;
    }
    out->fro = sqrt(total);
    out->sigma_max = sqrt(energy[0]);
    out->stable_rank = total / energy[0];
    out->effective_rank = exp(entropy);
    out->k99 = (double)mpq_nsds_keep(energy, n);
}

void
mpq_nsds_combine(struct mpq_nsds *out, const double *sigma, const double *b, size_t k)
{
    double m = 0, h = 0;

    for (size_t i = 0; i < k; i++)
        m += sigma[i] * b[i];
    out->se = out->se_official = 0;
    if (!(m > 0))
        return;
    for (size_t i = 0; i < k; i++) {
        const double p = sigma[i] * b[i] / m;
        h -= p > 0 ? p * log(p) : 0;
    }
    out->se = m * exp(h);
    out->se_official = m / exp(h);
}

double
mpq_subspace_length(const struct mpq_subspace *p, double along)
{
    return sqrt(mpq_relu(p->complement ? 1 - along : along));
}

static int
out_of_memory(struct mpq_err *err)
{
    return mpq_fail(err, MPQ_ENOMEM, "NSDS: out of memory");
}

/* Vectors [first, first + count) of X into y[count][n], in chunks. */
static int
take_vectors(struct mpq_eig *x, size_t n, size_t first, size_t count, float *y,
             struct mpq_err *err)
{
    const size_t chunk = mpq_eig_chunk(x);
    float *scratch = mpq_array(mpq_eig_scratch(x, chunk), sizeof *scratch);
    int rc = scratch ? mpq_eig_prepare(x, first, count, err) : out_of_memory(err);

    for (size_t i = 0; !rc && i < count; i += chunk) {
        const size_t m = count - i < chunk ? count - i : chunk;
        rc = mpq_eig_coords(x, first + i, m, y + i * n, err);
        if (!rc)
            mpq_eig_rotate(x, y + i * n, m, scratch);
    }
    free(scratch);
    return rc;
}

int
mpq_subspace_new(struct mpq_subspace *out, double *g, size_t n, struct mpq_err *err)
{
    struct mpq_eig *x = NULL;
    int rc = -1;

    *out = (struct mpq_subspace){ .n = n };
    if (mpq_eig_new(&x, g, n, 1, err) < 0)
        return -1;
    const size_t k = mpq_nsds_keep(mpq_eig_values(x), n);
    out->complement = k > n - k;
    out->dim = out->complement ? n - k : k;
    out->basis = mpq_array(out->dim * n, sizeof *out->basis);
    if (!out->basis)
        out_of_memory(err);
    else
        rc = take_vectors(x, n, out->complement ? k : 0, out->dim, out->basis, err);
    mpq_eig_free(x);
    if (rc < 0)
        mpq_subspace_free(out);
    return rc;
}

void
mpq_subspace_free(struct mpq_subspace *p)
{
    free(p->basis);
    *p = (struct mpq_subspace){ 0 };
}

int
mpq_nsds_spectrum(struct mpq_spectrum *out, double *g, size_t n, struct mpq_err *err)
{
    struct mpq_eig *x = NULL;

    if (mpq_eig_new(&x, g, n, 0, err) < 0)
        return -1;
    mpq_spectrum_of(out, mpq_eig_values(x), n);
    mpq_eig_free(x);
    return 0;
}

int
mpq_mlp_by_cols(size_t rows, size_t cols, int writer)
{
    return writer ? cols < rows : cols <= rows;
}

int
mpq_mlp_needs_matrix(size_t rows, size_t cols, int writer)
{
    return mpq_mlp_by_cols(rows, cols, writer) == writer;
}

/* What the weights b need while the vectors of one matrix pass by. */
struct weigher {
    struct mpq_eig *x;
    size_t n;       /* order of the Gram matrix */
    const float *w; /* [rows][cols], where the other side's vectors count, or NULL */
    size_t rows, cols;
    const struct mpq_subspace *p; /* NULL: a detector */
    const double *sigma;
    float *y; /* [chunk][n] */
    float *scratch;
    float *side;  /* [chunk][other side] */
    float *basis; /* [p->dim][n] = Q^T basis, or the basis itself */
    float *along; /* [chunk][p->dim] */
};

static void
sum_squares(const float *along, size_t dim, double *sum)
{
    *sum = 0;
    for (size_t i = 0; i < dim; i++)
        *sum += (double)along[i] * (double)along[i];
}

/* b of m vectors u[m][n] along P, in the frame of BASIS. */
static void
weigh_writer(struct weigher *g, const float *u, size_t n, const float *basis, size_t m,
             double *b)
{
    const size_t dim = g->p->dim;
    double along;

    if (dim > 0)
        mpq_gemm_f(0, 1, m, dim, n, u, n, basis, n, g->along, dim);
    for (size_t i = 0; i < m; i++) {
        sum_squares(g->along + i * dim, dim, &along);
        b[i] = mpq_subspace_length(g->p, along);
    }
}

static void
weigh_detector(const float *v, size_t n, size_t m, double *b)
{
    for (size_t i = 0; i < m; i++)
        b[i] = log1p(mpq_relu(mpq_kurt(v + i * n, n)));
}

/* From the vectors x of the smaller side to those of the larger: W x / sigma or
 * W^T x / sigma. */
static const float *
larger_side(struct weigher *g, size_t first, size_t m, size_t *length)
{
    const int from_cols = g->p != NULL; /* a writer's need is the rows' side */

    *length = from_cols ? g->rows : g->cols;
    mpq_gemm_f(0, from_cols, m, *length, g->n, g->y, g->n, g->w, g->cols, g->side,
               *length);
    for (size_t i = 0; i < m; i++) {
        const double s = g->sigma[first + i];
        const float inv = s > 0 ? (float)(1 / s) : 0;
        for (size_t j = 0; j < *length; j++)
            g->side[i * *length + j] *= inv;
    }
    return g->side;
}

/* b of the m vectors from FIRST on. */
static int
weigh(struct weigher *g, size_t first, size_t m, double *b, struct mpq_err *err)
{
    const float *vectors = g->y;
    size_t length = g->n;

    if (mpq_eig_coords(g->x, first, m, g->y, err) < 0)
        return -1;
    if (g->p && !g->w) { /* the basis was turned instead: cheaper by far */
        weigh_writer(g, g->y, g->n, g->basis, m, b);
        return 0;
    }
    mpq_eig_rotate(g->x, g->y, m, g->scratch);
    if (g->w)
        vectors = larger_side(g, first, m, &length);
    if (g->p)
        weigh_writer(g, vectors, length, g->p->basis, m, b);
    else
        weigh_detector(vectors, length, m, b);
    return 0;
}

static int
weigher_alloc(struct weigher *g, size_t chunk, struct mpq_err *err)
{
    const size_t other = g->p ? g->rows : g->cols;
    const size_t dim = g->p ? g->p->dim : 0;
    const size_t most = chunk > dim ? chunk : dim;

    g->y = mpq_array(chunk * g->n, sizeof *g->y);
    g->scratch = mpq_array(mpq_eig_scratch(g->x, most), sizeof *g->scratch);
    g->along = mpq_array(chunk * dim, sizeof *g->along);
    g->side = mpq_array(g->w ? chunk * other : 0, sizeof *g->side);
    g->basis = mpq_array(g->w ? 0 : dim * g->n, sizeof *g->basis);
    if (!g->y || !g->scratch || !g->along || !g->side || !g->basis)
        return out_of_memory(err);
    if (g->p && !g->w && dim > 0) {
        memcpy(g->basis, g->p->basis, dim * g->n * sizeof *g->basis);
        mpq_eig_unrotate(g->x, g->basis, dim, g->scratch);
    }
    return 0;
}

static int
weigh_all(struct weigher *g, size_t k, double *b, struct mpq_err *err)
{
    const size_t chunk = mpq_eig_chunk(g->x);

    if (mpq_eig_prepare(g->x, 0, k, err) < 0 || weigher_alloc(g, chunk, err) < 0)
        return -1;
    for (size_t i = 0; i < k; i += chunk)
        if (weigh(g, i, k - i < chunk ? k - i : chunk, b + i, err) < 0)
            return -1;
    return 0;
}

int
mpq_nsds_mlp(struct mpq_nsds *out, struct mpq_spectrum *spectrum, double *g,
             const float *w, size_t rows, size_t cols, const struct mpq_subspace *p,
             struct mpq_err *err)
{
    const int by_cols = mpq_mlp_by_cols(rows, cols, p != NULL);
    struct weigher a = {
        .n = by_cols ? cols : rows, .rows = rows, .cols = cols, .p = p
    };
    double *sigma = NULL, *b = NULL;
    int rc = -1;

    out->se = out->se_official = 0;
    if (mpq_eig_new(&a.x, g, a.n, 1, err) < 0)
        return -1;
    const double *energy = mpq_eig_values(a.x);
    mpq_spectrum_of(spectrum, energy, a.n);
    if (!(spectrum->fro > 0)) { /* all zero: M = 0 */
        rc = 0;
        goto out;
    }
    const size_t k = mpq_nsds_keep(energy, a.n);
    sigma = mpq_array(k, sizeof *sigma);
    b = mpq_array(k, sizeof *b);
    if (!sigma || !b) {
        out_of_memory(err);
        goto out;
    }
    for (size_t i = 0; i < k; i++)
        sigma[i] = sqrt(mpq_relu(energy[i]));
    a.sigma = sigma;
    if (mpq_mlp_needs_matrix(rows, cols, p != NULL))
        a.w = w;
    if (weigh_all(&a, k, b, err) < 0)
        goto out;
    mpq_nsds_combine(out, sigma, b, k);
    rc = 0;
out:
    free(sigma);
    free(b);
    free(a.y);
    free(a.scratch);
    free(a.side);
    free(a.basis);
    free(a.along);
    mpq_eig_free(a.x);
    return rc;
}
