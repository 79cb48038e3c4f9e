#include "quant/hqq.h"

#include "base/simd.h"
#include "num/unit.h"
#include "quant/block.h"
#include "quant/whole.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* The authors' settings. */
enum { ROUNDS = 20 };
static const float BETA = 10.0f, KAPPA = 1.01f, P = 0.7f;

/* A line of levels: value = scale * level + offset. */
struct line {
    float scale, offset;
};

/* 2^x for -120 <= x <= 120 and log2 of a normal number, to some 1e-6: the step below
 * needs no more. */
MPQ_INLINE float
exp2_near(float x)
{
    const float whole = mpq_nearest(x, -120.0f, 120.0f), f = x - whole;
    float y = 1.3333558e-3f;

    y = y * f + 9.6181291e-3f;
    y = y * f + 5.5504109e-2f;
    y = y * f + 2.4022651e-1f;
    y = y * f + 6.9314718e-1f;
    y = y * f + 1.0f;
    return y * mpq_bits_f32((uint32_t)((int32_t)whole + 127) << 23);
}

MPQ_INLINE float
log2_near(float x)
{
    const uint32_t bits = mpq_f32_bits(x) + 0x004afb0du; /* split at sqrt(1/2) */
    const float exponent = (float)(int32_t)((bits >> 23) - 127);
    const float m = mpq_bits_f32((bits & 0x007fffffu) + 0x3f3504f3u);
    const float t = (m - 1.0f) / (m + 1.0f), t2 = t * t;
    float y = 0.41219858f;

    y = y * t2 + 0.57707802f;
    y = y * t2 + 0.96179669f;
    y = y * t2 + 2.88539008f;
    return exponent + y * t;
}

/* |x|^q, x not 0. */
MPQ_INLINE float
power(float x, float q)
{
    return exp2_near(q * log2_near(x));
}

MPQ_INLINE float
level_of(const struct mpq_grid *g, float v)
{
    if (!g->level)
        return mpq_nearest(v, g->first, g->first + (float)(g->n_codes - 1));
    float level = (float)g->level[0];
    for (unsigned k = 1; k < g->n_codes; k++)
        level = v > 0.5f * (float)(g->level[k - 1] + g->level[k]) ? (float)g->level[k]
                                                                  : level;
    return level;
}

/* What elements weigh: w[i] * unit, NULL: 1. */
struct importance {
    const float *w;
    float unit;
};

/* Sums of a fit: of weights, levels, targets and their products. */
struct sums {
    double w, q, t, qq, qt, objective;
};

/* One round over x[n]: levels, objective, and the sums with what shrinking leaves. */
MPQ_INLINE struct sums
pass(const struct mpq_grid *g, const float *x, struct importance p, size_t n,
     struct line l, float beta, float unit)
{
    const float inverse = mpq_inverse(l.scale);
    struct sums s = { 0 };

    for (size_t from = 0; from < n; from += 64) { /* sums in float over runs alone */
        const size_t end = n - from < 64 ? n : from + 64;
        float sw = 0, sq = 0, st = 0, sqq = 0, sqt = 0, so = 0;
        for (size_t i = from; i < end; i++) {
            const float wi = p.w ? p.w[i] * p.unit : 1.0f;
            const float q = level_of(g, (x[i] - l.offset) * inverse);
            const float e = (x[i] - (l.scale * q + l.offset)) * unit;
            const float size = mpq_max(fabsf(e), 1e-12f);
            const float by = power(size, P - 1.0f);
            const float left = mpq_max(size - by / beta, 0.0f);
            const float t = x[i] - (e < 0.0f ? -left : left) / unit;
            sw += wi;
            sq += wi * q;
            st += wi * t;
            sqq += wi * q * q;
            sqt += wi * q * t;
            so += wi * by * size;
        }
        s.w += (double)sw;
        s.q += (double)sq;
        s.t += (double)st;
        s.qq += (double)sqq;
        s.qt += (double)sqt;
        s.objective += (double)so;
    }
    return s;
}

/* Clones by what is constant in the loop. */
MPQ_CLONES static struct sums
pass_affine(const struct mpq_grid *g, const float *x, struct importance p, size_t n,
            struct line l, float beta, float unit)
{
    const struct mpq_grid plain = { g->n_codes, NULL, g->first };
    const struct importance none = { NULL, 1 };

    return p.w ? pass(&plain, x, p, n, l, beta, unit)
               : pass(&plain, x, none, n, l, beta, unit);
}

MPQ_CLONES static struct sums
pass_levels(const struct mpq_grid *g, const float *x, struct importance p, size_t n,
            struct line l, float beta, float unit)
{
    const struct importance none = { NULL, 1 };

    return p.w ? pass(g, x, p, n, l, beta, unit) : pass(g, x, none, n, l, beta, unit);
}

/* What f16 can hold of a line. An intB stores the zero in steps. */
static struct line
storable(struct mpq_type t, int has_offset, struct line l)
{
    l.scale = mpq_intb_scale(t.whole, l.scale);
    if (!has_offset)
        l.offset = 0;
    else if (t.id == MPQ_INT)
        l.offset = l.scale != 0.0f
                       ? -l.scale * mpq_intb_zero(t.whole, (float)((1u << t.bits) - 1),
                                                  -l.offset / l.scale)
                       : 0;
    else
        l.offset = mpq_f16_round(l.offset);
    return l;
}

/* The next line: BOTH ends, or the zero alone; without an offset the scale. */
static struct line
fit(const struct sums *s, int has_offset, int both, struct line l)
{
    const double det = s->w * s->qq - s->q * s->q;

    if (!has_offset) {
        l.scale = s->qq > 0 ? (float)(s->qt / s->qq) : l.scale;
    } else if (both && det > 1e-9 * s->w * s->qq) {
        const double scale = (s->w * s->qt - s->q * s->t) / det;
        l.scale = (float)scale;
        l.offset = (float)((s->t - scale * s->q) / s->w);
    } else {
        l.offset = (float)((s->t - (double)l.scale * s->q) / s->w);
    }
    return l;
}

/* Rounds of shrinking and fitting from START on; the best line met is put into *best
 * with its objective. Errors are multiplied by UNIT, so that
 * the result does not depend on the scale of the weights. */
static void
descend(struct mpq_type t, const struct mpq_grid *g, const float *x,
        struct importance p, size_t n, int has_offset, int both, struct line start,
        float unit, struct line *best, double *least)
{
    struct line l = storable(t, has_offset, start);
    double last = INFINITY;
    float beta = BETA;

    for (int round = 0; round <= ROUNDS; round++, beta *= KAPPA) {
        const struct sums s = g->level ? pass_levels(g, x, p, n, l, beta, unit)
                                       : pass_affine(g, x, p, n, l, beta, unit);
        if (s.objective < *least) {
            *least = s.objective;
            *best = l;
        }
        if (!(s.objective < last) || !(s.w > 0))
            return;
        last = s.objective;
        l = storable(t, has_offset, fit(&s, has_offset, both, l));
    }
}

/* W, brought near 1: only its proportions matter, and sums are in float. */
static struct importance
weigh(const float *w, size_t n)
{
    struct importance p = { w ? mpq_useful(w, n) : NULL, 1 };
    float most = 0;

    for (size_t i = 0; p.w && i < n; i++)
        most = mpq_max(most, w[i]);
    if (p.w)
        p.unit = (float)fmin(mpq_unit((double)most), 0x1p126);
    return p;
}

/* The best line of those that the range and NEAR, the line of least squares, lead to.
 * NEAR itself where all elements are alike, since the range has 0 in it and would say
 * nothing of them, and where sums would overflow. */
static struct line
solve(struct mpq_type t, const struct mpq_grid *g, const float *x, struct importance p,
      size_t n, struct line near)
{
    const int has_offset = !g->level && !(g->first < 0);
    const float top =
        g->level ? (float)g->level[g->n_codes - 1] : g->first + (float)(g->n_codes - 1);
    const float bottom = g->level ? (float)g->level[0] : g->first;
    struct line best = near;
    double least = INFINITY, spread = 0, mean = 0;
    float lo, hi;

    mpq_range(x, n, &lo, &hi);
    for (size_t i = 0; i < n; i++)
        mean += (double)x[i] / (double)n;
    for (size_t i = 0; i < n; i++)
        spread += fabs((double)x[i] - (has_offset ? mean : 0)) / (double)n;
    if (!(spread > 0) || !(spread < 0x1p40) || !(hi - lo < 0x1p40f))
        return near;
    /* the spread of weights that the authors' beta suits */
    const float unit = 0.02f / (float)spread;
    for (int both = 0; both < (has_offset ? 2 : 1); both++) {
        struct line start = { (hi - lo) / (top - bottom), lo };
        if (!has_offset) /* the sign is free: the longer side gets the longer end */
            start.scale = (hi > -lo ? hi : lo) / bottom;
        descend(t, g, x, p, n, has_offset, both, start, unit, &best, &least);
        descend(t, g, x, p, n, has_offset, both, near, unit, &best, &least);
    }
    return best;
}

/* Codes next to x[n] on each element's own line, N <= RUN. */
enum { RUN = 256 }; /* codes of so many elements of an intB are whole bytes */

MPQ_CLONES static void
nearest_codes(const struct mpq_grid *g, const float *x, size_t n, const float *scale,
              const float *offset, unsigned char *code)
{
    const float top = g->first + (float)(g->n_codes - 1);

    for (size_t i = 0; i < n; i++) {
        const float v = (x[i] - offset[i]) * mpq_inverse(scale[i]);
        unsigned c = 0;
        if (g->level)
            for (unsigned k = 1; k < g->n_codes; k++)
                c += v > 0.5f * (float)(g->level[k - 1] + g->level[k]);
        else
            c = (unsigned)(int)(mpq_nearest(v, g->first, top) - g->first);
        code[i] = (unsigned char)c;
    }
}

int
mpq_hqq_serves(struct mpq_type t)
{
    switch (t.id) {
    case MPQ_Q8_0:
    case MPQ_Q5_1:
    case MPQ_Q5_0:
    case MPQ_Q4_1:
    case MPQ_Q4_0:
    case MPQ_IQ4_NL:
        return 1;
    case MPQ_INT:
        return mpq_codec_writes(t) && t.bits > 1 && !t.varied;
    default:
        return 0;
    }
}

static void
put_line(int has_offset, struct line l, unsigned char *block)
{
    mpq_put_f16(block, l.scale);
    if (has_offset)
        mpq_put_f16(block + 2, l.offset);
}

void
mpq_hqq_encode_row(struct mpq_type t, const float *src, const float *importance,
                   void *dst, size_t cols)
{
    const size_t block = mpq_grid_block(t, cols);
    float scale[RUN], offset[RUN];
    unsigned char code[RUN], *out = dst;
    struct mpq_grid g;

    if (!mpq_hqq_serves(t) || !mpq_grid_of(t, &g))
        assert(0); /* the caller has asked */
    const int has_offset = !g.level && !(g.first < 0);
    mpq_encode_row(t, src, importance, dst, cols, MPQ_EFFORT_FAST);
    for (size_t from = 0; from < cols; from += block) {
        const size_t n = cols - from < block ? cols - from : block;
        const struct importance p = weigh(importance ? importance + from : NULL, n);
        mpq_grid_lines(t, out, cols, from, t.id == MPQ_INT ? 1 : n, scale, offset);
        const struct line l =
            solve(t, &g, src + from, p, n, (struct line){ scale[0], offset[0] });
        if (t.id == MPQ_INT)
            mpq_intb_put_group(t, out, cols, from / block, l.scale,
                               has_offset ? -l.offset * mpq_inverse(l.scale) : 0.0f);
        else
            put_line(has_offset, l,
                     out + from / block * mpq_codec_find(t)->block_bytes);
    }
    for (size_t from = 0; from < cols; from += RUN) {
        const size_t n = cols - from < RUN ? cols - from : RUN;
        mpq_grid_lines(t, out, cols, from, n, scale, offset);
        nearest_codes(&g, src + from, n, scale, offset, code);
        mpq_grid_codes(t, out, cols, from, n, code);
    }
}
