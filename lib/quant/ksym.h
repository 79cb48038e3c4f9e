/*
 * Super-blocks of 256 with one scale each sub-block: value = d * scale * level, d in
 * f16, scale an integer of few bits, either of any sign. For a given d the sub-blocks
 * do not depend on each other, and for each the integers around the ideal scale are
 * tried with codes of their own. That leaves the search for d.
 */
#ifndef MPQ_QUANT_KSYM_H
#define MPQ_QUANT_KSYM_H

#include "quant/super.h"
#include "quant/sym.h"

/* A type; a constant in every caller. */
struct mpq_ksym {
    struct mpq_levels levels;
    int subs, sub;       /* sub-blocks and their length */
    int least, greatest; /* of the integer scales */
};

/* How hard to look: the sub-blocks' ideal scales as in sym.h, then D_TRIES values of d
 * from D_FROM to D_TO times the one by which the largest scale just fits, then REFITS
 * times the best d for the codes found. */
struct mpq_ksym_plan {
    struct mpq_sym_plan ideal;
    float d_from, d_to;
    int d_tries, refits;
};

/* The ideal scales of one sub-block: the best of either sign, MAIN the better one. */
MPQ_INLINE void
mpq_ksym_ideal(const struct mpq_ksym *k, const struct mpq_sym_plan *p, const float *x,
               const float *w, float *main, float *other)
{
    float plus = 0.0f, minus = 0.0f, plus_gain = 0.0f, minus_gain = 0.0f;
    float bound, opposite;

    mpq_sym_bounds(k->levels, x, (size_t)k->sub, &bound, &opposite);
    for (int set = 0; set < p->sets; set++) {
        float scale[MPQ_LANES], gain[MPQ_LANES], up[MPQ_LANES], down[MPQ_LANES];
        mpq_sym_candidates(p, set, bound, opposite, scale);
        for (int round = 0; round < p->rounds; round++)
            mpq_sym_fit(k->levels, x, w, (size_t)k->sub, scale, gain);
        MPQ_EACH_LANE (c) { /* infinite where there is no gain or another sign */
            up[c] = 1.0f / (scale[c] > 0.0f ? gain[c] : 0.0f);
            down[c] = 1.0f / (scale[c] < 0.0f ? gain[c] : 0.0f);
        }
        const int u = mpq_best_lane(up), d = mpq_best_lane(down);
        if (scale[u] > 0.0f && gain[u] > plus_gain) {
            plus = scale[u];
            plus_gain = gain[u];
        }
        if (scale[d] < 0.0f && gain[d] > minus_gain) {
            minus = scale[d];
            minus_gain = gain[d];
        }
    }
    *main = plus_gain >= minus_gain ? plus : minus;
    *other = plus_gain >= minus_gain ? minus : plus;
}

/* A super-block under way. */
struct mpq_ksym_state {
    float d, err;
    float move; /* what d should be raised by for these codes */
    int scale[MPQ_MAX_SUBS];
};

/* The best integer scales for D, around IDEAL and OTHER over d (8 of either). */
MPQ_INLINE void
mpq_ksym_scales(const struct mpq_ksym *k, const float *x, const float *w, float d,
                const float *ideal, const float *other, struct mpq_ksym_state *out)
{
    static const float around[MPQ_LANES] = { 0, 1, -1, 2, -2, 3, -3, 4,
                                             0, 1, -1, 2, -2, 3, -3, 4 };
    static const float first[MPQ_LANES] = { 1, 1, 1, 1, 1, 1, 1, 1 };
    const float inverse = mpq_inverse(d);
    const float least = (float)k->least, greatest = (float)k->greatest;
    float err = 0.0f, rq = 0.0f, qq = 0.0f;

    for (int s = 0; s < k->subs; s++) {
        const float a = ideal[s] * inverse, b = other[s] * inverse;
        float integer[MPQ_LANES], scale[MPQ_LANES];
        struct mpq_sym_sums sums;
        MPQ_EACH_LANE (c) {
            const float center = first[c] * a + (1.0f - first[c]) * b;
            integer[c] = mpq_nearest(center + around[c], least, greatest);
            scale[c] = d * integer[c];
        }
        mpq_sym_try(k->levels, x + k->sub * s, w + k->sub * s, (size_t)k->sub, scale,
                    &sums);
        const int c = mpq_best_lane(sums.err);
        out->scale[s] = (int)integer[c];
        err += sums.err[c];
        rq += integer[c] * sums.rq[c];
        qq += integer[c] * integer[c] * sums.qq[c];
    }
    out->d = d;
    out->err = err;
    out->move = qq > 0.0f ? rq / qq : 0.0f;
}

/* Scales and d of a super-block; all 0 for one of zeros. */
MPQ_INLINE void
mpq_ksym_search(const struct mpq_ksym *k, const struct mpq_ksym_plan *p, const float *x,
                const float *w, struct mpq_ksym_state *best)
{
    float ideal[MPQ_MAX_SUBS], other[MPQ_MAX_SUBS], top = 0.0f;
    struct mpq_ksym_state next;

    *best = (struct mpq_ksym_state){ 0 };
    for (int s = 0; s < k->subs; s++) {
        mpq_ksym_ideal(k, &p->ideal, x + k->sub * s, w + k->sub * s, &ideal[s],
                       &other[s]);
        if (fabsf(ideal[s]) > fabsf(top))
            top = ideal[s];
    }
    if (!(top != 0.0f))
        return;
    for (int t = 0; t < p->d_tries; t++) {
        const float part = p->d_tries > 1 ? (float)t / (float)(p->d_tries - 1) : 0.0f;
        const float fits = top / (float)k->least;
        const float d =
            mpq_f16_scale(fits * (p->d_from + (p->d_to - p->d_from) * part));
        mpq_ksym_scales(k, x, w, d, ideal, other, &next);
        if (t == 0 || next.err < best->err)
            *best = next;
    }
    for (int r = 0; r < p->refits; r++) {
        const float d = mpq_f16_scale(best->d + best->move);
        if (!(d != best->d))
            break;
        mpq_ksym_scales(k, x, w, d, ideal, other, &next);
        if (!(next.err < best->err))
            break;
        *best = next;
    }
}

#endif
