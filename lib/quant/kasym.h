/*
 * Super-blocks of 256 whose sub-blocks have a scale and a min each: value = d * scale *
 * code - dmin * min, d and dmin in f16, scale and min integers of few bits, 0 and up.
 * For given d and dmin the sub-blocks do not depend on each other, and for each the
 * pairs of integers around the ideal line are tried with codes of their own. That
 * leaves the search for d and dmin.
 */
#ifndef MPQ_QUANT_KASYM_H
#define MPQ_QUANT_KASYM_H

#include "quant/asym.h"
#include "quant/super.h"

/* A type; a constant in every caller. */
struct mpq_kasym {
    float top;     /* greatest code */
    int subs, sub; /* sub-blocks and their length */
    float most;    /* greatest integer scale and min */
};

/* How hard to look: the sub-blocks' ideal lines as in asym.h; then TRIES by TRIES
 * values of d and dmin from FROM to TO times those by which the largest just fit; then
 * REFITS times the best d and dmin for the codes found. */
struct mpq_kasym_plan {
    struct mpq_asym_plan ideal;
    float from, to;
    int tries, refits;
};

/* Of each sub-block, what scale and min (>= 0) would be best, and the mean code. */
struct mpq_kasym_ideal {
    float scale[MPQ_MAX_SUBS], min[MPQ_MAX_SUBS], code[MPQ_MAX_SUBS];
};

MPQ_INLINE void
mpq_kasym_ideal(const struct mpq_kasym *k, const struct mpq_asym_plan *p,
                const float *x, const float *w, int s, struct mpq_kasym_ideal *out)
{
    const struct mpq_moments m = mpq_block_moments(x, w, (size_t)k->sub);
    float least, greatest, best = INFINITY;

    out->scale[s] = out->min[s] = out->code[s] = 0.0f;
    if (!(m.weight > 0.0f))
        return;
    mpq_range(x, (size_t)k->sub, &least, &greatest);
    for (int set = 0; set < p->sets; set++) {
        struct mpq_lines l;
        float gain[MPQ_LANES], err[MPQ_LANES];
        mpq_asym_candidates(k->top, p, set, least, greatest, &l);
        for (int round = 0; round < p->rounds; round++)
            mpq_asym_fit(k->top, 1, x, w, (size_t)k->sub, &m, &l, gain);
        MPQ_EACH_LANE (c)
            err[c] = mpq_max(m.energy - gain[c], 0.0f);
        const int c = mpq_best_lane(err);
        if (err[c] < best) {
            best = err[c];
            out->scale[s] = mpq_max(l.scale[c], 0.0f);
            out->min[s] = -l.offset[c];
        }
    }
    if (out->scale[s] > 0.0f)
        out->code[s] = (m.mean + out->min[s]) / out->scale[s];
}

/* A super-block under way. */
struct mpq_kasym_state {
    float d, dmin, err;
    float move_d, move_dmin; /* what they should be raised by for these codes */
    int scale[MPQ_MAX_SUBS], min[MPQ_MAX_SUBS];
};

/* Normal equations of raising d and dmin, over all sub-blocks. */
struct mpq_kasym_normal {
    float dd, dm, mm, rd, rm;
};

MPQ_INLINE void
mpq_kasym_solve(const struct mpq_kasym_normal *n, struct mpq_kasym_state *out)
{
    const float det = n->dd * n->mm - n->dm * n->dm;

    out->move_d = out->move_dmin = 0.0f;
    if (det > 1e-5f * n->dd * n->mm) {
        out->move_d = (n->rd * n->mm - n->rm * n->dm) / det;
        out->move_dmin = (n->rm * n->dd - n->rd * n->dm) / det;
    } else if (n->dd > 0.0f) {
        out->move_d = n->rd / n->dd;
    }
}

/* The best integers for D and DMIN: 4 scales around the ideal one, 4 mins around the
 * one that keeps the middle of the line in its place. */
MPQ_INLINE void
mpq_kasym_scales(const struct mpq_kasym *k, const float *x, const float *w, float d,
                 float dmin, const struct mpq_kasym_ideal *ideal,
                 struct mpq_kasym_state *out)
{
    static const float by_scale[] = { 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3 };
    static const float by_min[] = { 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3 };
    const float per_d = mpq_inverse(d), per_dmin = mpq_inverse(dmin);
    struct mpq_kasym_normal n = { 0 };

    out->err = 0.0f;
    for (int s = 0; s < k->subs; s++) {
        const float from = ideal->scale[s] * per_d - 1.5f;
        float scale[MPQ_LANES], min[MPQ_LANES];
        struct mpq_lines l;
        struct mpq_asym_sums sums;
        MPQ_EACH_LANE (c) {
            scale[c] = mpq_nearest(from + by_scale[c], 0.0f, k->most);
            l.scale[c] = d * scale[c];
            const float level =
                ideal->min[s] + ideal->code[s] * (l.scale[c] - ideal->scale[s]);
            min[c] = mpq_nearest(level * per_dmin - 1.5f + by_min[c], 0.0f, k->most);
            l.offset[c] = -dmin * min[c];
        }
        mpq_asym_try(k->top, x + k->sub * s, w + k->sub * s, (size_t)k->sub, &l, &sums);
        const int c = mpq_best_lane(sums.err);
        float weight = 0.0f; /* sum w, as the residuals' sums have it */
        for (int i = 0; i < k->sub; i++)
            weight += w[k->sub * s + i];
        out->scale[s] = (int)scale[c];
        out->min[s] = (int)min[c];
        out->err += sums.err[c];
        n.dd += scale[c] * scale[c] * sums.qq[c];
        n.dm -= scale[c] * min[c] * sums.q1[c];
        n.mm += min[c] * min[c] * weight;
        n.rd += scale[c] * sums.rq[c];
        n.rm -= min[c] * sums.r1[c];
    }
    out->d = d;
    out->dmin = dmin;
    mpq_kasym_solve(&n, out);
}

/* d, dmin and the integers of a super-block. */
MPQ_INLINE void
mpq_kasym_search(const struct mpq_kasym *k, const struct mpq_kasym_plan *p,
                 const float *x, const float *w, struct mpq_kasym_state *best)
{
    struct mpq_kasym_ideal ideal;
    struct mpq_kasym_state next;
    float top_scale = 0.0f, top_min = 0.0f;

    *best = (struct mpq_kasym_state){ 0 };
    for (int s = 0; s < k->subs; s++) {
        mpq_kasym_ideal(k, &p->ideal, x + k->sub * s, w + k->sub * s, s, &ideal);
        top_scale = mpq_max(top_scale, ideal.scale[s]);
        top_min = mpq_max(top_min, ideal.min[s]);
    }
    if (!(top_scale > 0.0f) && !(top_min > 0.0f))
        return;
    const float step = p->tries > 1 ? (p->to - p->from) / (float)(p->tries - 1) : 0.0f;
    for (int t = 0; t < p->tries * p->tries; t++) {
        const float f = p->from + step * (float)(t / p->tries);
        const float g = p->from + step * (float)(t % p->tries);
        mpq_kasym_scales(k, x, w, mpq_f16_scale(f * top_scale / k->most),
                         mpq_f16_scale(g * top_min / k->most), &ideal, &next);
        if (t == 0 || next.err < best->err)
            *best = next;
    }
    for (int r = 0; r < p->refits; r++) {
        const float d = mpq_f16_scale(best->d + best->move_d);
        const float dmin = mpq_f16_scale(best->dmin + best->move_dmin);
        if (!(d > 0.0f && dmin > 0.0f) || (d == best->d && dmin == best->dmin))
            break;
        mpq_kasym_scales(k, x, w, d, dmin, &ideal, &next);
        if (!(next.err < best->err))
            break;
        *best = next;
    }
}

/* The codes of the chosen lines, as the decoder will read them. */
MPQ_INLINE void
mpq_kasym_codes(const struct mpq_kasym *k, const struct mpq_kasym_state *b,
                const float *x, unsigned char code[MPQ_SUPER])
{
    for (int s = 0; s < k->subs; s++) {
        const float inverse = mpq_inverse(b->d * (float)b->scale[s]);
        const float min = b->dmin * (float)b->min[s];
        for (int j = k->sub * s; j < k->sub * (s + 1); j++)
            code[j] =
                (unsigned char)(int)mpq_nearest((x[j] + min) * inverse, 0.0f, k->top);
    }
}

#endif
