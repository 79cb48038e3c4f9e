/*
 * Blocks with one scale: value = scale * level, where the levels are the integers from
 * LO to HI, or the 16 of iq4.h. See search.h for how the search runs.
 */
#ifndef MPQ_QUANT_SYM_H
#define MPQ_QUANT_SYM_H

#include "quant/codec.h"
#include "quant/iq4.h"
#include "quant/search.h"

#include <math.h>

/* What levels there are; a constant in every caller. */
struct mpq_levels {
    float lo, hi;
    int iq4; /* the 16 levels of iq4.h, not all integers */
};

/* The level next to V. */
MPQ_INLINE float
mpq_level(struct mpq_levels l, float v)
{
    if (!l.iq4)
        return mpq_nearest(v, l.lo, l.hi);
    float level = mpq_iq4_level[0];
#pragma GCC unroll 16
    for (int k = 1; k < 16; k++) {
        const float middle = 0.5f * (float)(mpq_iq4_level[k - 1] + mpq_iq4_level[k]);
        const float step = (float)(mpq_iq4_level[k] - mpq_iq4_level[k - 1]);
        level += v > middle ? step : 0.0f;
    }
    return level;
}

/*
 * Moves each scale to the best one for the codes that it leads to, xq / qq. gain =
 * xq^2 / qq is by how much the squared error is then less than sum w x^2.
 */
MPQ_INLINE void
mpq_sym_fit(struct mpq_levels l, const float *x, const float *w, size_t n,
            float scale[MPQ_LANES], float gain[MPQ_LANES])
{
    float inverse[MPQ_LANES], xq[MPQ_LANES] = { 0 }, qq[MPQ_LANES] = { 0 };

    MPQ_EACH_LANE (c)
        inverse[c] = mpq_inverse(scale[c]);
    for (size_t i = 0; i < n; i++) {
        const float wi = w ? w[i] : 1.0f;
        MPQ_EACH_LANE (c) {
            const float q = mpq_level(l, x[i] * inverse[c]);
            xq[c] += x[i] * (wi * q);
            qq[c] += q * (wi * q);
        }
    }
    MPQ_EACH_LANE (c) {
        scale[c] = qq[c] > 0.0f ? xq[c] / qq[c] : 0.0f;
        gain[c] = scale[c] * xq[c];
    }
}

/* What a scale comes to: its squared error, exact also where that is tiny, and the sums
 * by which moving it helps: the best for the same codes is scale + rq / qq. */
struct mpq_sym_sums {
    float err[MPQ_LANES], rq[MPQ_LANES], qq[MPQ_LANES];
};

MPQ_INLINE void
mpq_sym_try(struct mpq_levels l, const float *x, const float *w, size_t n,
            const float scale[MPQ_LANES], struct mpq_sym_sums *out)
{
    float inverse[MPQ_LANES], s[MPQ_LANES];
    float err[MPQ_LANES] = { 0 }, rq[MPQ_LANES] = { 0 }, qq[MPQ_LANES] = { 0 };

    MPQ_EACH_LANE (c) {
        s[c] = scale[c];
        inverse[c] = mpq_inverse(s[c]);
    }
    for (size_t i = 0; i < n; i++) {
        const float wi = w ? w[i] : 1.0f;
        MPQ_EACH_LANE (c) {
            const float q = mpq_level(l, x[i] * inverse[c]);
            const float r = x[i] - s[c] * q;
            err[c] += r * (wi * r);
            rq[c] += q * (wi * r);
            qq[c] += q * (wi * q);
        }
    }
    MPQ_EACH_LANE (c) {
        out->err[c] = err[c];
        out->rq[c] = rq[c];
        out->qq[c] = qq[c];
    }
}

/* The least scales that clip nothing: *main of the sign that needs the smaller one,
 * *other of the opposite sign. Both 0 only for a block of zeros. */
MPQ_INLINE void
mpq_sym_bounds(struct mpq_levels l, const float *x, size_t n, float *main, float *other)
{
    float least, greatest;

    mpq_range(x, n, &least, &greatest);
    const float plus = mpq_max(greatest / l.hi, least / l.lo);
    const float minus = mpq_min(greatest / l.lo, least / l.hi);
    *main = plus <= -minus ? plus : minus;
    *other = plus <= -minus ? minus : plus;
}

/* A scale as f16 has it; where 0 is no level a scale of 0 has its use. */
MPQ_INLINE float
mpq_sym_round(struct mpq_levels l, float scale)
{
    return l.iq4 ? mpq_f16_round(scale) : mpq_f16_scale(scale);
}

/* How a search goes about: 16 SETS of candidates from FROM to TO times the bounds, each
 * moved to its local optimum ROUNDS times, rounded and tried. QUICK: one set, of which
 * only the most promising is rounded and tried. No sets: plain rounding. */
struct mpq_sym_plan {
    float from, to;
    int sets, rounds, quick;
};

/* Set number SET of the candidates: 11 lanes for the sign that needs the smaller scale,
 * 4 for the other. Lane 0 stays free. */
MPQ_INLINE void
mpq_sym_candidates(const struct mpq_sym_plan *p, int set, float main, float other,
                   float scale[MPQ_LANES])
{
#define A(k) (float)(k) / 11.0f
#define B(k) (float)(k) / 4.0f
    static const float is_main[] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0 };
    static const float first[] = { A(0), A(0), A(1), A(2),  A(3), A(4), A(5), A(6),
                                   A(7), A(8), A(9), A(10), B(0), B(1), B(2), B(3) };
#undef A
#undef B
    const float within = (float)set / (float)p->sets;

    MPQ_EACH_LANE (c) {
        const float bound = is_main[c] * main + (1.0f - is_main[c]) * other;
        const float width = is_main[c] * (1.0f / 11.0f) + (1.0f - is_main[c]) * 0.25f;
        scale[c] = bound * (p->to + (p->from - p->to) * (first[c] + width * within));
    }
}

/* Squared error of a scale; N is a multiple of the lanes. */
MPQ_INLINE float
mpq_sym_error(struct mpq_levels l, const float *x, const float *w, size_t n,
              float scale)
{
    const float inverse = mpq_inverse(scale);
    float err[MPQ_LANES] = { 0 };

    for (size_t i = 0; i < n; i += MPQ_LANES) {
        MPQ_EACH_LANE (c) {
            const float v = x[i + (size_t)c];
            const float r = v - scale * mpq_level(l, v * inverse);
            err[c] += w ? r * (w[i + (size_t)c] * r) : r * r;
        }
    }
    return mpq_lane_sum(err);
}

/* A quick search: MAIN, or the most promising of 16 others where that is better. */
MPQ_INLINE float
mpq_sym_quick(struct mpq_levels l, const struct mpq_sym_plan *p, const float *x,
              const float *w, size_t n, float main, float other)
{
    const float plain = mpq_sym_round(l, main);
    float scale[MPQ_LANES], gain[MPQ_LANES], loss[MPQ_LANES];

    mpq_sym_candidates(p, 0, main, other, scale);
    mpq_sym_fit(l, x, w, n, scale, gain);
    MPQ_EACH_LANE (c)
        loss[c] = 1.0f / gain[c]; /* gains are > 0, or infinity comes out */
    const float found = mpq_sym_round(l, scale[mpq_best_lane(loss)]);
    return mpq_sym_error(l, x, w, n, found) < mpq_sym_error(l, x, w, n, plain) ? found
                                                                               : plain;
}

/* The f16 scale of least squared error for the N elements of a block. */
MPQ_INLINE float
mpq_sym_search(struct mpq_levels l, const struct mpq_sym_plan *p, const float *x,
               const float *w, size_t n)
{
    float main, other, best = 0.0f, best_err = INFINITY;

    mpq_sym_bounds(l, x, n, &main, &other);
    if (!(main != 0.0f))
        return 0.0f;
    if (p->sets == 0)
        return mpq_sym_round(l, main);
    if (p->quick)
        return mpq_sym_quick(l, p, x, w, n, main, other);
    for (int set = 0; set < p->sets; set++) {
        float scale[MPQ_LANES], gain[MPQ_LANES];
        struct mpq_sym_sums sums;
        mpq_sym_candidates(p, set, main, other, scale);
        for (int round = 0; round < p->rounds; round++)
            mpq_sym_fit(l, x, w, n, scale, gain);
        scale[0] = main; /* what plain rounding would take */
        MPQ_EACH_LANE (c)
            scale[c] = mpq_sym_round(l, scale[c]);
        mpq_sym_try(l, x, w, n, scale, &sums);
        const int c = mpq_best_lane(sums.err);
        if (set == 0 || sums.err[c] < best_err) {
            best_err = sums.err[c];
            best = scale[c];
        }
    }
    return best;
}

#endif
