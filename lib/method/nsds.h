/*
 * NSDS, data-free layer scores (arXiv 2603.17354): numerical vulnerability NV and
 * structural expressiveness SE of the components of a layer,
 *
 *   detectors  QK, gate, up        W_QK,h = W_Q,h^T W_K,g(h)
 *   writers    OV, down            W_OV,h = W_O,h W_V,g(h)
 *
 * of head h, which shares the keys and values of g(h) = floor(h n_kv / n_head):
 *
 *   NV = excess kurtosis of all entries
 *   SE = M exp(H), s_i = sigma_i b_i, M = sum s_i, H = entropy of s / M in nats, over
 *        the singular triples that hold 0.99 of the squared sum (at least two of them)
 *
 *   b_i of gate, up  ln(1 + relu(kurt v_i)), v_i on the input side
 *          QK        ln(1 + relu(kurt u_i) relu(kurt v_i))
 *          OV, down  ||P^T u_i||, u_i on the output side, P the right singular subspace
 *                    of the unembedding under the same cut
 *
 * and their fusion over the layers. The authors' published code has SE = M / exp(H);
 * both are computed. Edges: 0 ln 0 = 0, 0/0 = 0, M = 0 gives SE = 0.
 *
 * No d x d singular value decomposition is needed. A head's product has the singular
 * values and vectors of a matrix of its rank; wide matrices go through the eigenproblem
 * of their smaller Gram matrix, and the kurtosis of a product through tiles of it.
 */
#ifndef MPQ_METHOD_NSDS_H
#define MPQ_METHOD_NSDS_H

#include "base/err.h"

#include <stddef.h>

enum mpq_component {
    MPQ_QK,
    MPQ_GATE,
    MPQ_UP,
    MPQ_OV,
    MPQ_DOWN,
    MPQ_N_COMPONENTS,
};
extern const char *const mpq_component_names[MPQ_N_COMPONENTS]; /* qk gate up ov down */

/* Statistics of one component. */
struct mpq_nsds {
    double nv;
    double se;          /* M exp(H) */
    double se_official; /* M / exp(H) */
};

/* Of one matrix's singular values. */
struct mpq_spectrum {
    double fro; /* Frobenius norm */
    double sigma_max;
    double stable_rank;    /* fro^2 / sigma_max^2 */
    double effective_rank; /* exp of the entropy of sigma / sum sigma */
    double k99;            /* singular values that hold 0.99 of the squared sum */
};

/* Of energy[n], squared singular values in descending order: the smallest k whose sum
 * reaches 0.99 of the total, at least 2, at most n. Negative ones count as 0. */
size_t mpq_nsds_keep(const double *energy, size_t n);
void mpq_spectrum_of(struct mpq_spectrum *out, const double *energy, size_t n);

/* A subspace of R^n, by an orthonormal basis of it or of its complement, whichever is
 * smaller: ||P^T u||^2 is then the squared length along the basis, or 1 less that. */
struct mpq_subspace {
    size_t n, dim;
    int complement;
    float *basis; /* [dim][n] */
};
/* The unembedding's P from its Gram matrix g[n][n] (upper triangle; from mpq_array;
 * owned from here on, also on failure). mpq_subspace_free ends it. */
MPQ_MUST_CHECK int
mpq_subspace_new(struct mpq_subspace *out, double *g, size_t n, struct mpq_err *err);
void mpq_subspace_free(struct mpq_subspace *p);

/* Which Gram matrix of w[rows][cols] serves: 1 for W^T W (order cols), 0 for W W^T
 * (order rows). The smaller; of a square matrix the one whose vectors count. */
int mpq_mlp_by_cols(size_t rows, size_t cols, int writer);
/* Are the vectors that count on the other side, so that W itself is needed, too? */
int mpq_mlp_needs_matrix(size_t rows, size_t cols, int writer);
/*
 * A matrix of the feed-forward w[rows][cols] from that Gram matrix (upper triangle;
 * from mpq_array; owned from here on, also on failure). W may be NULL where it is not
 * needed. Sets se, se_official and the spectrum; nv is left alone. P: down's
 * unembedding; NULL makes it a detector.
 */
MPQ_MUST_CHECK int mpq_nsds_mlp(struct mpq_nsds *out, struct mpq_spectrum *spectrum,
                                double *g, const float *w, size_t rows, size_t cols,
                                const struct mpq_subspace *p, struct mpq_err *err);
/* The spectrum alone, from such a Gram matrix of order n (owned from here on). */
MPQ_MUST_CHECK int
mpq_nsds_spectrum(struct mpq_spectrum *out, double *g, size_t n, struct mpq_err *err);

/* Query heads q[n_heads][rank][d] that share the key head k[rank][d]: out[n_heads]. */
MPQ_MUST_CHECK int
mpq_nsds_qk(struct mpq_nsds *out, const float *q, size_t n_heads, const float *k,
            size_t rank, size_t d, struct mpq_err *err);
/* Output heads o[d][ld], head h in columns [h * rank, (h + 1) * rank), that share the
 * value head v[rank][d]: out[n_heads]. */
MPQ_MUST_CHECK int mpq_nsds_ov(struct mpq_nsds *out, const float *o, size_t ld,
                               size_t n_heads, const float *v, size_t rank, size_t d,
                               const struct mpq_subspace *p, struct mpq_err *err);

/* The components of one layer, and what they come to. */
struct mpq_nsds_layer {
    struct mpq_nsds in[MPQ_N_COMPONENTS];
    double p_nv[MPQ_N_COMPONENTS], p_se[MPQ_N_COMPONENTS]; /* sigmoid of their MAD-z */
    double soft_nv[MPQ_N_COMPONENTS], soft_se[MPQ_N_COMPONENTS]; /* softplus of it */
    double nv, se;             /* Soft-OR over the components */
    double nsds;               /* Soft-OR of these two */
    double score_nv, score_se; /* -ln(1 - nv), -ln(1 - se), which do not saturate ... */
    double score;              /* ... and -ln(1 - nsds) */
};
/*
 * Fusion over layers[n], whose `in` is given for the components in USED (a bit each).
 * P = sigmoid(z), z = (x - median) / (1.4826 MAD); Soft-OR is 1 - prod(1 - P), first
 * over the components, then over nv and se. Since -ln(1 - sigmoid(z)) = softplus(z),
 * the scores are sums of softplus. OFFICIAL, as in the authors' code: se_official,
 * no 1.4826, the geometric mean instead of the product, so that sums become means.
 */
MPQ_MUST_CHECK int mpq_nsds_fuse(struct mpq_nsds_layer *layers, size_t n, unsigned used,
                                 int official, struct mpq_err *err);

#endif
