/* From the components of all layers to their scores. */
#include "base/buf.h"
#include "method/nsds.h"
#include "num/stat.h"

#include <math.h>
#include <stdlib.h>

static const double NORMAL_MAD = 1.4826;

static double
sigmoid(double z)
{
    return 1 / (1 + exp(-z));
}

static double
figure(const struct mpq_nsds *c, int is_se, int official)
{
    if (!is_se)
        return c->nv;
    return official ? c->se_official : c->se;
}

/* P and softplus of one component over the layers; X, Z are [n]. */
static int
fuse_component(struct mpq_nsds_layer *layers, size_t n, int c, int is_se, int official,
               double *x, double *z, struct mpq_err *err)
{
    for (size_t i = 0; i < n; i++)
        x[i] = figure(&layers[i].in[c], is_se, official);
    if (mpq_mad_z(x, n, official ? 1 : NORMAL_MAD, z) < 0)
        return mpq_fail(err, MPQ_ENOMEM, "NSDS scores: out of memory");
    for (size_t i = 0; i < n; i++) {
        (is_se ? layers[i].p_se : layers[i].p_nv)[c] = sigmoid(z[i]);
        (is_se ? layers[i].soft_se : layers[i].soft_nv)[c] = mpq_softplus(z[i]);
    }
    return 0;
}

/* Sums, or means, of the softplus; the Soft-ORs from them. */
static void
combine(struct mpq_nsds_layer *y, unsigned used, int official)
{
    double nv = 0, se = 0, parts = 0;

    for (int c = 0; c < MPQ_N_COMPONENTS; c++)
        if (used >> c & 1) {
            nv += y->soft_nv[c];
            se += y->soft_se[c];
            parts++;
        }
    if (official && parts > 0) {
        nv /= parts;
        se /= parts;
    }
    y->score_nv = nv;
    y->score_se = se;
    y->score = official ? (nv + se) / 2 : nv + se;
    y->nv = -expm1(-y->score_nv);
    y->se = -expm1(-y->score_se);
    y->nsds = -expm1(-y->score);
}

int
mpq_nsds_fuse(struct mpq_nsds_layer *layers, size_t n, unsigned used, int official,
              struct mpq_err *err)
{
    double *x = mpq_array(n, sizeof *x), *z = mpq_array(n, sizeof *z);
    int rc = x && z ? 0 : mpq_fail(err, MPQ_ENOMEM, "NSDS scores: out of memory");

    for (int c = 0; !rc && c < MPQ_N_COMPONENTS; c++)
        for (int is_se = 0; !rc && is_se < 2; is_se++)
            if (used >> c & 1)
                rc = fuse_component(layers, n, c, is_se, official, x, z, err);
    for (size_t i = 0; !rc && i < n; i++)
        combine(&layers[i], used, official);
    free(x);
    free(z);
    return rc;
}
