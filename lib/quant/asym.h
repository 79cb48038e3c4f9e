/*
 * Blocks with a scale and an offset: value = scale * code + offset, codes from 0 to HI.
 * See search.h for how the search runs; here a candidate is a pair, and the best pair
 * for given codes is the straight line fitted through (code, element).
 */
#ifndef MPQ_QUANT_ASYM_H
#define MPQ_QUANT_ASYM_H

#include "quant/codec.h"
#include "quant/search.h"

#include <math.h>

struct mpq_lines {
    float scale[MPQ_LANES], offset[MPQ_LANES];
};

/* Weighted sums of a block. */
struct mpq_moments {
    float weight, mean, energy; /* sum w, mean of x, sum w (x - mean)^2 */
};

MPQ_INLINE struct mpq_moments
mpq_block_moments(const float *x, const float *w, size_t n)
{
    const size_t whole = n - n % MPQ_LANES;
    float weight[MPQ_LANES] = { 0 }, sum[MPQ_LANES] = { 0 }, energy[MPQ_LANES] = { 0 };
    struct mpq_moments m = { (float)n, 0.0f, 0.0f };

    for (size_t i = 0; i < whole; i += MPQ_LANES) {
        MPQ_EACH_LANE (c) {
            const float wi = w ? w[i + (size_t)c] : 1.0f;
            weight[c] += wi;
            sum[c] += wi * x[i + (size_t)c];
        }
    }
    for (size_t i = whole; i < n; i++) {
        weight[i - whole] += w ? w[i] : 1.0f;
        sum[i - whole] += w ? w[i] * x[i] : x[i];
    }
    if (w)
        m.weight = mpq_lane_sum(weight);
    m.mean = m.weight > 0.0f ? mpq_lane_sum(sum) / m.weight : 0.0f;
    for (size_t i = 0; i < whole; i += MPQ_LANES) {
        MPQ_EACH_LANE (c) {
            const float y = x[i + (size_t)c] - m.mean;
            energy[c] += w ? w[i + (size_t)c] * y * y : y * y;
        }
    }
    for (size_t i = whole; i < n; i++) {
        const float y = x[i] - m.mean;
        energy[i - whole] += w ? w[i] * y * y : y * y;
    }
    m.energy = mpq_lane_sum(energy);
    return m;
}

/* Least and greatest element; N > 0. Flipping the lower bits of negative floats makes
 * integers that order like all floats, and their reductions become vector code. */
MPQ_INLINE void
mpq_extent(const float *x, size_t n, float *least, float *greatest)
{
    int32_t lo = INT32_MAX, hi = INT32_MIN;

    for (size_t i = 0; i < n; i++) {
        const int32_t bits = (int32_t)mpq_f32_bits(x[i]);
        const int32_t key = bits ^ (bits < 0 ? 0x7fffffff : 0);
        lo = key < lo ? key : lo;
        hi = key > hi ? key : hi;
    }
    *least = mpq_bits_f32((uint32_t)(lo ^ (lo < 0 ? 0x7fffffff : 0)));
    *greatest = mpq_bits_f32((uint32_t)(hi ^ (hi < 0 ? 0x7fffffff : 0)));
}

/*
 * Moves each line to the best one for the codes that it leads to; gain is by how much
 * the squared error is then less than m->energy. With BELOW, offsets above 0 are not
 * allowed: there the line goes through 0.
 */
MPQ_INLINE void
mpq_asym_fit(float hi, int below, const float *x, const float *w, size_t n,
             const struct mpq_moments *m, struct mpq_lines *l, float gain[MPQ_LANES])
{
    float inverse[MPQ_LANES], offset[MPQ_LANES];
    float q1[MPQ_LANES] = { 0 }, qq[MPQ_LANES] = { 0 }, xq[MPQ_LANES] = { 0 };

    MPQ_EACH_LANE (c) {
        inverse[c] = mpq_inverse(l->scale[c]);
        offset[c] = l->offset[c];
    }
    for (size_t i = 0; i < n; i++) {
        const float wi = w ? w[i] : 1.0f, centered = x[i] - m->mean;
        MPQ_EACH_LANE (c) {
            const float q = mpq_nearest((x[i] - offset[c]) * inverse[c], 0.0f, hi);
            q1[c] += wi * q;
            qq[c] += q * (wi * q);
            xq[c] += centered * (wi * q);
        }
    }
    MPQ_EACH_LANE (c) {
        const float mean_q = q1[c] / m->weight;
        const float spread = qq[c] - q1[c] * mean_q;
        const float slope = spread > 1e-6f * qq[c] ? xq[c] / spread : 0.0f;
        const float at_0 = m->mean - slope * mean_q;
        const float through_0 = xq[c] + m->mean * q1[c]; /* sum w x q */
        const float slope_0 = qq[c] > 0.0f ? through_0 / qq[c] : 0.0f;
        const int free = !below || at_0 <= 0.0f;
        l->scale[c] = free ? slope : slope_0;
        l->offset[c] = free ? at_0 : 0.0f;
        gain[c] =
            free ? slope * xq[c] : slope_0 * through_0 - m->weight * m->mean * m->mean;
    }
}

/* What a line comes to: its squared error, exact also where that is tiny, and the sums
 * over the residuals r that say how to move it. */
struct mpq_asym_sums {
    float err[MPQ_LANES], rq[MPQ_LANES], r1[MPQ_LANES], qq[MPQ_LANES], q1[MPQ_LANES];
};

MPQ_INLINE void
mpq_asym_try(float hi, const float *x, const float *w, size_t n,
             const struct mpq_lines *l, struct mpq_asym_sums *out)
{
    float inverse[MPQ_LANES], scale[MPQ_LANES], offset[MPQ_LANES];
    float err[MPQ_LANES] = { 0 }, rq[MPQ_LANES] = { 0 }, r1[MPQ_LANES] = { 0 };
    float qq[MPQ_LANES] = { 0 }, q1[MPQ_LANES] = { 0 };

    MPQ_EACH_LANE (c) {
        scale[c] = l->scale[c];
        offset[c] = l->offset[c];
        inverse[c] = mpq_inverse(scale[c]);
    }
    for (size_t i = 0; i < n; i++) {
        const float wi = w ? w[i] : 1.0f;
        MPQ_EACH_LANE (c) {
            const float q = mpq_nearest((x[i] - offset[c]) * inverse[c], 0.0f, hi);
            const float r = x[i] - (scale[c] * q + offset[c]);
            err[c] += r * (wi * r);
            rq[c] += q * (wi * r);
            r1[c] += wi * r;
            qq[c] += q * (wi * q);
            q1[c] += wi * q;
        }
    }
    MPQ_EACH_LANE (c) {
        out->err[c] = err[c];
        out->rq[c] = rq[c];
        out->r1[c] = r1[c];
        out->qq[c] = qq[c];
        out->q1[c] = q1[c];
    }
}

/* How a search goes about: 16 SETS of lines, whose ends are FROM to TO codes within the
 * block's range, each moved to its local optimum ROUNDS times, rounded and tried.
 * QUICK: one set, of which only the most promising is rounded and tried. No sets: plain
 * rounding. */
struct mpq_asym_plan {
    float from, to;
    int sets, rounds, quick;
};

/* Set number SET of the lines: 14 ways to cut the two ends of [LEAST, GREATEST], lanes
 * 0 and 1 stay free. Further sets lie in between, spread evenly (multiples of the
 * plastic number's powers). */
MPQ_INLINE void
mpq_asym_candidates(float hi, const struct mpq_asym_plan *p, int set, float least,
                    float greatest, struct mpq_lines *l)
{
    static const float low[] = { 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3 };
    static const float up[] = { 0, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2 };
    const float u = (float)set * 0.7548777f, v = (float)set * 0.5698403f;
    const float within_low = u - (float)(int)u, within_up = v - (float)(int)v;
    const float code = (greatest - least) / hi;
    const float step = (p->to - p->from) * 0.25f;

    MPQ_EACH_LANE (c) {
        const float cut_low = p->from + step * (low[c] + within_low);
        const float cut_up = p->from + step * (up[c] + within_up);
        l->offset[c] = least + cut_low * code;
        l->scale[c] = code * (hi - cut_low - cut_up) / hi;
    }
}

/* A line as f16 has it. */
MPQ_INLINE void
mpq_line_round(float *scale, float *offset)
{
    *scale = mpq_f16_scale(*scale);
    *offset = mpq_f16_round(*offset);
}

/* Squared error of a line; N is a multiple of the lanes. */
MPQ_INLINE float
mpq_asym_error(float hi, const float *x, const float *w, size_t n, float scale,
               float offset)
{
    const float inverse = mpq_inverse(scale);
    float err[MPQ_LANES] = { 0 };

    for (size_t i = 0; i < n; i += MPQ_LANES) {
        MPQ_EACH_LANE (c) {
            const float v = x[i + (size_t)c];
            const float q = mpq_nearest((v - offset) * inverse, 0.0f, hi);
            const float r = v - (scale * q + offset);
            err[c] += w ? r * (w[i + (size_t)c] * r) : r * r;
        }
    }
    return mpq_lane_sum(err);
}

/* A quick search: replaces plain rounding's line by the most promising of 16 others
 * where that is better. */
MPQ_INLINE void
mpq_asym_quick(float hi, const struct mpq_asym_plan *p, const float *x, const float *w,
               size_t n, float least, float greatest, float *scale, float *offset)
{
    const struct mpq_moments m = mpq_block_moments(x, w, n);
    float gain[MPQ_LANES], loss[MPQ_LANES];
    struct mpq_lines l;

    mpq_asym_candidates(hi, p, 0, least, greatest, &l);
    l.scale[1] =
        (greatest - least) / (hi - 1.0f); /* for a grid of half as many codes */
    l.offset[1] = least;
    mpq_asym_fit(hi, 0, x, w, n, &m, &l, gain);
    MPQ_EACH_LANE (c)
        loss[c] = 1.0f / gain[c]; /* gains are > 0, or infinity comes out */
    const int c = mpq_best_lane(loss);
    float found_scale = l.scale[c], found_offset = l.offset[c];
    mpq_line_round(&found_scale, &found_offset);
    if (mpq_asym_error(hi, x, w, n, found_scale, found_offset) <
        mpq_asym_error(hi, x, w, n, *scale, *offset)) {
        *scale = found_scale;
        *offset = found_offset;
    }
}

/* The f16 pair of least squared error for the N elements of a block. */
MPQ_INLINE void
mpq_asym_search(float hi, const struct mpq_asym_plan *p, const float *x, const float *w,
                size_t n, float *scale, float *offset)
{
    float least, greatest, best_err = INFINITY;

    mpq_extent(x, n, &least, &greatest);
    *scale = (greatest - least) / hi;
    *offset = least;
    mpq_line_round(scale, offset);
    if (p->sets == 0)
        return;
    if (p->quick) {
        mpq_asym_quick(hi, p, x, w, n, least, greatest, scale, offset);
        return;
    }
    const struct mpq_moments m = mpq_block_moments(x, w, n);
    for (int set = 0; set < p->sets; set++) {
        struct mpq_lines l;
        struct mpq_asym_sums sums;
        float gain[MPQ_LANES];
        mpq_asym_candidates(hi, p, set, least, greatest, &l);
        for (int round = 0; round < p->rounds; round++)
            mpq_asym_fit(hi, 0, x, w, n, &m, &l, gain);
        /* Plain rounding, exact for elements on a grid of as many codes, or of half as
         * many in the second lane. */
        l.scale[0] = (greatest - least) / hi;
        l.scale[1] = (greatest - least) / (hi - 1.0f);
        l.offset[0] = l.offset[1] = least;
        MPQ_EACH_LANE (c)
            mpq_line_round(&l.scale[c], &l.offset[c]);
        mpq_asym_try(hi, x, w, n, &l, &sums);
        const int c = mpq_best_lane(sums.err);
        if (set == 0 || sums.err[c] < best_err) {
            best_err = sums.err[c];
            *scale = l.scale[c];
            *offset = l.offset[c];
        }
    }
}

#endif
