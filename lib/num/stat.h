/*
 * Statistics of float arrays in double: moments in one pass, order statistics, and
 * the sums of a second pass that needs the first one's mean and extremes.
 */
#ifndef MPQ_NUM_STAT_H
#define MPQ_NUM_STAT_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

/* Zero-initialized is empty. m2, m3, m4 are sums of powers of x - mean, not means. */
struct mpq_moments {
    uint64_t n;
    double mean, m2, m3, m4;
    float min, max;
};

/* Adds x[n], finite (else m4 becomes NaN or infinite). Blocks of 1,024 values with
 * their own mean are merged pairwise (Pebay 2008, SAND2008-6212), so that nothing
 * cancels; the same calls in the same order give the same bits. */
void mpq_moments_add(struct mpq_moments *m, const float *x, size_t n);
/* Adds what B has seen. */
void mpq_moments_merge(struct mpq_moments *m, const struct mpq_moments *b);
/* Population figures; 0/0 = 0, so that of a constant the kurtosis is -3. */
double mpq_moments_var(const struct mpq_moments *m);
double mpq_moments_skew(const struct mpq_moments *m);
double mpq_moments_kurt(const struct mpq_moments *m); /* m4 / m2^2 - 3 */
/* Excess kurtosis of x[n]. */
double mpq_kurt(const float *x, size_t n);
/* Adds to sums[4] the sums of the first to fourth powers of x[n]: one pass, for values
 * whose mean is not far above their spread. */
void mpq_power_sums(const float *x, size_t n, double sums[4]);
/* Excess kurtosis from such sums over N values. */
double mpq_power_kurt(const double sums[4], double n);

/* Widths of the symmetric rounding that is tried: +-(2^(bits-1) - 1) steps, the largest
 * magnitude of the tensor on the last one. */
enum { MPQ_N_RTN = 4 };
extern const int mpq_rtn_bits[MPQ_N_RTN]; /* 2 3 4 8 */

enum { MPQ_TALLY_ZSHARE = 1, MPQ_TALLY_ENTROPY = 2, MPQ_TALLY_RTN = 4 };

/* What the second pass counts, fixed by the moments of the whole array. */
struct mpq_tally_plan {
    unsigned what;          /* MPQ_TALLY_* */
    float below, above;     /* x < below or x > above: |z| > 1 */
    double top;             /* largest value: keeps the softmax from overflowing */
    float inv[MPQ_N_RTN];   /* 1 / step; 0: no error */
    double step[MPQ_N_RTN]; /* of the rounding grid */
    uint64_t n;
};

struct mpq_tally {
    uint64_t outside;       /* values with |z| > 1 */
    double sum_e, sum_xe;   /* of e^y and y e^y, y = x - top */
    double rtn2[MPQ_N_RTN]; /* squared rounding errors, in steps */
};

void
mpq_tally_plan(struct mpq_tally_plan *p, const struct mpq_moments *m, unsigned what);
/* Adds x[n] to *t (zero-initialized is empty). */
void mpq_tally_add(struct mpq_tally *t, const struct mpq_tally_plan *p, const float *x,
                   size_t n);
void mpq_tally_merge(struct mpq_tally *t, const struct mpq_tally *b);
/* Share of |z| > 1, z = (x - mean) / sd. */
double mpq_tally_zshare(const struct mpq_tally *t, const struct mpq_tally_plan *p);
/* -sum p ln p of the softmax over all values, in nats, divided by their number. */
double mpq_tally_entropy(const struct mpq_tally *t, const struct mpq_tally_plan *p);
/* Mean squared error of round-to-nearest at mpq_rtn_bits[i]. */
double mpq_tally_mse(const struct mpq_tally *t, const struct mpq_tally_plan *p, int i);

/* Median of x[n], n > 0; of an even count the mean of the middle two. Sorts x. */
double mpq_median(double *x, size_t n);
/* z[i] = (x[i] - median) / (scale * MAD); all 0 where the MAD is 0. 1.4826 is the scale
 * that makes the MAD of a normal distribution its standard deviation. -1: no memory. */
MPQ_MUST_CHECK int mpq_mad_z(const double *x, size_t n, double scale, double *z);
/* ln(1 + e^x), without overflow. */
double mpq_softplus(double x);

#endif
