/*
 * intB[gN[v]][s]: the project's own integer types, B bits (1 to 8) a code. A row is
 *
 *   bits         v alone: one byte for each group, the bits of its codes; B on the mean
 *   codes        ceil(cols * B / 8) bytes: a stream of bits, the lowest of a byte first,
 *                code j in bits j B to j B + B - 1; unused bits of the last byte are 0
 *   f16 scale[]  one for each group of N columns (the last may be shorter), or one
 *   f16 zero[]   as many, not in the symmetric types
 *
 *   asymmetric      value = scale * (code - zero)        (zero need not be an integer)
 *   symmetric, B>1  value = scale * (code - 2^(B-1))
 *   symmetric, B=1  value = scale * (2 code - 1)         (plus or minus the scale)
 *
 * in single precision, in this order. The sign of a scale is free.
 */
#include "quant/block.h"

#include "base/simd.h"
#include "quant/asym.h"
#include "quant/sym.h"
#include "quant/whole.h"

/* 8 codes are B whole bytes: N codes from the start of such a run. */
MPQ_CLONES static void
unpack_intb(const unsigned char *src, unsigned bits, float *dst, size_t n)
{
    const uint64_t mask = (1u << bits) - 1;

    for (size_t j = 0; j < n; j += 8, src += bits) {
        const size_t left = n - j < 8 ? n - j : 8;
        const size_t bytes = (left * bits + 7) / 8;
        uint64_t run = 0;
        for (size_t k = 0; k < bytes; k++)
            run |= (uint64_t)src[k] << 8 * k;
        for (size_t k = 0; k < left; k++)
            dst[j + k] = (float)(run >> bits * k & mask);
    }
}

/* value = scale * (step * code - zero) */
MPQ_CLONES static void
scale_intb(float *x, size_t n, float scale, float step, float zero)
{
    for (size_t j = 0; j < n; j++)
        x[j] = scale * (step * x[j] - zero);
}

/* Where the parts of a row lie. */
struct row {
    const unsigned char *map, *codes; /* map: NULL where all groups are alike */
    unsigned char *scales, *zeros;
};

static struct row
split_row(struct mpq_type t, const unsigned char *row, size_t cols)
{
    const struct mpq_type_parts p = mpq_type_split(t, cols);
    /* rows that are read are not written through this */
    unsigned char *scales = (unsigned char *)row + p.map + p.codes;

    return (struct row){ .map = p.map ? row : NULL,
                         .codes = row + p.map,
                         .scales = scales,
                         .zeros = scales + p.scales };
}

static void
scale_group(struct mpq_type t, const struct row *r, size_t g, float *x, size_t n)
{
    const unsigned bits = r->map ? r->map[g] : t.bits;
    const float step = t.symmetric && bits == 1 ? 2.0f : 1.0f;
    const float middle = bits == 1 ? 1.0f : (float)(1u << (bits - 1));

    scale_intb(x, n, mpq_get_f16(r->scales + 2 * g), step,
               t.symmetric ? middle : mpq_get_f16(r->zeros + 2 * g));
}

void
mpq_intb_decode(struct mpq_type t, const unsigned char *src, float *dst, size_t cols)
{
    const size_t group = t.group ? t.group : cols;
    const size_t groups = (size_t)mpq_type_groups(t, cols);
    const struct row r = split_row(t, src, cols);
    const unsigned char *codes = r.codes;

    if (!r.map)
        unpack_intb(codes, t.bits, dst, cols);
    for (size_t g = 0; g < groups; g++) {
        const size_t begin = g * group, left = cols - begin;
        const size_t n = left < group ? left : group;
        if (r.map) { /* a group begins at a whole byte */
            unpack_intb(codes, r.map[g], dst + begin, n);
            codes += n * r.map[g] / 8;
        }
        scale_group(t, &r, g, dst + begin, n);
    }
}

void
mpq_intb_lines(struct mpq_type t, const unsigned char *row, size_t cols, size_t from,
               size_t n, float *scale, float *offset)
{
    const size_t group = t.group ? t.group : cols;
    const struct row r = split_row(t, row, cols);

    for (size_t j = 0; j < n; j++) {
        const size_t g = (from + j) / group;
        scale[j] = mpq_get_f16(r.scales + 2 * g);
        offset[j] = t.symmetric ? 0.0f : -scale[j] * mpq_get_f16(r.zeros + 2 * g);
    }
}

void
mpq_intb_put_group(struct mpq_type t, unsigned char *dst, size_t cols, size_t g,
                   float scale, float zero)
{
    const struct row r = split_row(t, dst, cols);

    mpq_put_f16(r.scales + 2 * g, t.whole ? mpq_intb_scale(1, scale) : scale);
    if (!t.symmetric)
        mpq_put_f16(r.zeros + 2 * g,
                    mpq_intb_zero(t.whole, (float)((1u << t.bits) - 1), zero));
}

/* How hard to look: SIDE candidates (or SIDE by SIDE), moved ROUNDS times. */
struct plan {
    int side, rounds;
};
static const struct plan sym_plans[] = { { 15, 1 }, { 45, 2 }, { 240, 4 } };
static const struct plan asym_plans[] = { { 4, 1 }, { 7, 2 }, { 16, 4 } };

/* Groups can be long and have outliers far out, so candidates lie a constant factor
 * apart, down to a range of so many mean deviations: some three quarters of what suits
 * a normal distribution at this number of bits. */
static float
least_reach(unsigned bits)
{
    static const float reach[] = { 0, 0.7f, 0.9f, 1.5f, 2.0f, 2.4f, 2.7f, 3.0f, 3.3f };
    return reach[bits];
}

/* The K-th of N factors from 1.04 down to LEAST <= 1, each times the next alike. */
static float
factor(float least, int k, int n)
{
    const float floor = least < 0.9f ? least : 0.9f;
    return 1.04f * powf(floor / 1.04f, (float)k / (float)(n > 1 ? n - 1 : 1));
}

static float
mean_distance(const float *x, const float *w, size_t n, float from)
{
    double sum = 0, weight = 0;

    for (size_t i = 0; i < n; i++) {
        const double wi = w ? (double)w[i] : 1.0;
        sum += wi * fabs((double)x[i] - (double)from);
        weight += wi;
    }
    return (float)(sum / weight);
}

/* Best scale of a symmetric group. */
MPQ_INLINE float
search_sym(const float *x, const float *w, size_t n, unsigned bits, int whole,
           const struct plan *p)
{
    const float half = (float)(1u << (bits - 1));
    const struct mpq_levels levels = { -half, half - 1.0f, 0 };
    float main, other, best = 0.0f, best_err = INFINITY;

    mpq_sym_bounds(levels, x, n, &main, &other);
    if (!(main != 0.0f))
        return 0.0f;
    const float least =
        least_reach(bits) * mean_distance(x, w, n, 0.0f) / (half * fabsf(main));
    for (int first = 0; first < p->side; first += MPQ_LANES - 1) {
        float scale[MPQ_LANES], gain[MPQ_LANES];
        struct mpq_sym_sums sums;
        scale[0] = main;
        for (int c = 1; c < MPQ_LANES; c++) /* every fourth of the other sign */
            scale[c] = (c % 4 ? main : other) * factor(least, first + c - 1, p->side);
        for (int round = 0; round < p->rounds; round++)
            mpq_sym_fit(levels, x, w, n, scale, gain);
        scale[0] = main;
        MPQ_EACH_LANE (c)
            scale[c] = mpq_intb_scale(whole, scale[c]);
        mpq_sym_try(levels, x, w, n, scale, &sums);
        const int c = mpq_best_lane(sums.err);
        if (first == 0 || sums.err[c] < best_err) {
            best_err = sums.err[c];
            best = scale[c];
        }
    }
    return best;
}

/* Lines from FIRST on of SIDE by SIDE ways to cut the two ends. */
static void
asym_lines(struct mpq_lines *l, float top, float mean, float least, float greatest,
           float cut, int side, int first)
{
    for (int c = 0; c < MPQ_LANES; c++) {
        const int k = first + c < side * side ? first + c : side * side - 1;
        const float low = (mean - least) * factor(cut, k / side, side);
        const float up = (greatest - mean) * factor(cut, k % side, side);
        l->offset[c] = mean - low;
        l->scale[c] = (low + up) / top;
    }
}

/* What the format can store of a line. Where the scale is beyond
 * f16 the line's middle stays in its place. */
MPQ_INLINE void
round_lines(struct mpq_lines *l, float top, int whole)
{
    MPQ_EACH_LANE (c) {
        const float s = mpq_intb_scale(whole, l->scale[c]);
        const float beyond = l->scale[c] - mpq_f16_clamp(l->scale[c]);
        const float offset = l->offset[c] + 0.5f * top * beyond;
        l->scale[c] = s;
        l->offset[c] = -s * mpq_intb_zero(whole, top, -offset / s);
    }
}

/* Best scale and zero of an asymmetric group. */
MPQ_INLINE void
search_asym(const float *x, const float *w, size_t n, unsigned bits, int whole,
            const struct plan *p, float *scale, float *zero)
{
    const struct mpq_moments m = mpq_block_moments(x, w, n);
    const float top = (float)((1u << bits) - 1);
    float least, greatest, best_err = INFINITY, offset = 0.0f;

    mpq_extent(x, n, &least, &greatest);
    const float reach = mpq_max(greatest - m.mean, m.mean - least);
    const float cut = reach > 0.0f
                          ? least_reach(bits) * mean_distance(x, w, n, m.mean) / reach
                          : 1.0f;
    *scale = *zero = 0.0f;
    for (int first = 0; first < p->side * p->side; first += MPQ_LANES) {
        struct mpq_lines l;
        struct mpq_asym_sums sums;
        float gain[MPQ_LANES];
        asym_lines(&l, top, m.mean, least, greatest, cut, p->side, first);
        for (int round = 0; round < p->rounds; round++)
            mpq_asym_fit(top, 0, x, w, n, &m, &l, gain);
        if (first == 0) { /* plain rounding, without and with 0 in the range */
            const float lower = mpq_min(least, 0.0f), upper = mpq_max(greatest, 0.0f);
            l.scale[0] = (upper - lower) / top;
            l.scale[1] = (greatest - least) / top;
            /* around 0 where f16 has no such scale */
            l.offset[0] = l.scale[0] > MPQ_F16_MAX ? -0.5f * top * l.scale[0] : lower;
            l.offset[1] = least;
        }
        round_lines(&l, top, whole);
        mpq_asym_try(top, x, w, n, &l, &sums);
        const int c = mpq_best_lane(sums.err);
        if (first == 0 || sums.err[c] < best_err) {
            best_err = sums.err[c];
            *scale = l.scale[c];
            offset = l.offset[c];
        }
    }
    *zero = mpq_intb_zero(whole, top, -offset / *scale);
}

/* Apart with and without importance, so that the choice is outside the loops. */
MPQ_CLONES static float
search_sym_intb(const float *x, const float *w, size_t n, unsigned bits, int whole,
                const struct plan *p)
{
    return w ? search_sym(x, w, n, bits, whole, p)
             : search_sym(x, NULL, n, bits, whole, p);
}

MPQ_CLONES static void
search_asym_intb(const float *x, const float *w, size_t n, unsigned bits, int whole,
                 const struct plan *p, float *scale, float *zero)
{
    if (w)
        search_asym(x, w, n, bits, whole, p, scale, zero);
    else
        search_asym(x, NULL, n, bits, whole, p, scale, zero);
}

/* Bits on their way into bytes. */
struct bits {
    unsigned char *dst;
    uint32_t pending;
    unsigned n_pending; /* < 8 */
};

static void
put_codes(struct bits *b, const unsigned char *code, size_t n, unsigned bits)
{
    for (size_t i = 0; i < n; i++) {
        b->pending |= (uint32_t)code[i] << b->n_pending;
        b->n_pending += bits;
        if (b->n_pending >= 8) {
            *b->dst++ = (unsigned char)b->pending;
            b->pending >>= 8;
            b->n_pending -= 8;
        }
    }
}

void
mpq_intb_codes(unsigned bits, unsigned char *dst, size_t n, const unsigned char *code)
{
    struct bits out = { dst, 0, 0 };

    put_codes(&out, code, n, bits);
    if (out.n_pending)
        *out.dst = (unsigned char)out.pending;
}

/* Codes of a group: next to x / scale + zero, SIGNS: next to the sign alone. */
MPQ_CLONES static void
codes_intb(const float *x, size_t n, float scale, float zero, unsigned bits, int signs,
           unsigned char *code)
{
    const float inverse = mpq_inverse(scale), top = (float)((1u << bits) - 1);

    if (signs) {
        for (size_t i = 0; i < n; i++)
            code[i] = x[i] * scale >= 0.0f;
        return;
    }
    for (size_t i = 0; i < n; i++)
        code[i] = (unsigned char)(int)mpq_nearest(x[i] * inverse + zero, 0.0f, top);
}

/* Nothing to search for beyond 2^40, where sums of squares would overflow: the range is
 * far from what f16 can scale. */
static int
beyond_reach(const float *x, size_t n)
{
    float least, greatest;

    mpq_range(x, n, &least, &greatest);
    return least < -0x1p40f || greatest > 0x1p40f;
}

/* Squared error with codes next to x / scale + zero; *best takes the scale that is best
 * for these codes, as T has it. */
static double
try_zero(struct mpq_type t, const float *x, const float *w, size_t n, float scale,
         float zero, float *best)
{
    const float top = (float)((1u << t.bits) - 1);
    const float inverse = mpq_inverse(scale);
    double err = 0, xd = 0, dd = 0;

    for (size_t i = 0; i < n; i++) {
        const float d = mpq_nearest(x[i] * inverse + zero, 0.0f, top) - zero;
        const double e = (double)(x[i] - scale * d), wi = w ? (double)w[i] : 1.0;
        err += wi * e * e;
        xd += wi * (double)x[i] * (double)d;
        dd += wi * (double)d * (double)d;
    }
    *best = dd > 0 ? mpq_intb_scale(t.whole, (float)(xd / dd)) : scale;
    return err;
}

/* A zero that is a whole number is one of the codes: elements that are 0 stay so. The
 * line that was searched for is moved there, and to the zeros beside it, and its scale
 * fitted anew. */
static void
refit_whole(struct mpq_type t, const float *x, const float *w, size_t n, float *scale,
            float *zero)
{
    const float z0 = *zero, s0 = *scale, top = (float)((1u << t.bits) - 1);
    float next;
    double least = try_zero(t, x, w, n, s0, z0, &next);

    for (int step = -1; step <= 1; step++) {
        const float z = t.whole ? mpq_intb_zero(1, top, z0 + (float)step)
                                : mpq_nearest(z0 + (float)step, 0.0f, top);
        float s = s0;
        for (int round = 0; round < 3; round++, s = next) {
            const double err = try_zero(t, x, w, n, s, z, &next);
            if (err < least) {
                least = err;
                *scale = s;
                *zero = z;
            }
        }
    }
}

/* Is an element exactly 0, as in weights that were pruned? */
static int
has_zero(const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (x[i] == 0.0f)
            return 1;
    return 0;
}

/* Scale and zero of a group. */
static void
search_group(struct mpq_type t, const float *x, const float *w, size_t n,
             enum mpq_effort effort, float *scale, float *zero)
{
    const float top = (float)((1u << t.bits) - 1);

    *zero = t.bits > 1 ? (float)(1u << (t.bits - 1)) : 0.0f;
    if (beyond_reach(x, n)) {
        *scale = mpq_intb_scale(t.whole, MPQ_F16_MAX);
        if (!t.symmetric)
            *zero = mpq_intb_zero(t.whole, top, 0.5f * top);
    } else if (!t.symmetric) {
        search_asym_intb(x, w, n, t.bits, t.whole, &asym_plans[effort], scale, zero);
        if (effort > MPQ_EFFORT_FAST && (t.whole || has_zero(x, n)))
            refit_whole(t, x, w, n, scale, zero);
    } else if (t.bits > 1) {
        *scale = search_sym_intb(x, w, n, t.bits, t.whole, &sym_plans[effort]);
    } else { /* the mean distance from 0 is the best there is */
        *scale = mpq_f16_round(mean_distance(x, w, n, 0.0f));
    }
}

static void
encode_group(struct mpq_type t, const float *x, const float *w, size_t n,
             enum mpq_effort effort, struct bits *out, float *scale, float *zero)
{
    unsigned char code[256];

    search_group(t, x, mpq_useful(w, n), n, effort, scale, zero);
    for (size_t i = 0; i < n; i += sizeof code) {
        const size_t left = n - i < sizeof code ? n - i : sizeof code;
        codes_intb(x + i, left, *scale, *zero, t.bits, t.symmetric && t.bits == 1,
                   code);
        put_codes(out, code, left, t.bits);
    }
}

void
mpq_intb_encode(struct mpq_type t, const float *src, const float *importance,
                unsigned char *dst, size_t cols, enum mpq_effort effort)
{
    const size_t group = t.group ? t.group : cols;
    const size_t groups = (size_t)mpq_type_groups(t, cols);
    const struct row r = split_row(t, dst, cols);
    struct bits out = { dst + (r.codes - dst), 0, 0 };
    struct mpq_type own = t;

    for (size_t g = 0; g < groups; g++) {
        const size_t begin = g * group, left = cols - begin;
        float scale, zero;
        own.bits = r.map ? r.map[g] : t.bits;
        encode_group(own, src + begin, importance ? importance + begin : NULL,
                     left < group ? left : group, effort, &out, &scale, &zero);
        mpq_put_f16(r.scales + 2 * g, scale);
        if (!t.symmetric)
            mpq_put_f16(r.zeros + 2 * g, zero);
    }
    if (out.n_pending)
        *out.dst = (unsigned char)out.pending;
}
