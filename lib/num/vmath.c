/*
 * Sixteen floats at a time in GCC's vector types, which clang has too, lowered to what
 * the processor has: the compilers do not turn the plain loops into vector code without
 * -ffast-math. What is left at the end goes through the same code in a padded block.
 */
#include "num/vmath.h"

#include "base/simd.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

enum {
    LANES = 16,
    BLOCK = 1024 /* summed in float lanes (64 terms in each) before double takes over */
};

typedef float v16f __attribute__((vector_size(64), aligned(4)));
typedef int32_t v16i __attribute__((vector_size(64), aligned(4)));

#define INLINE       static inline __attribute__((always_inline))
#define SELECT(m, a) ((v16f)((m) & (v16i)(a)))
/* Masks by arithmetic: GCC 12 takes comparisons of vectors this wide apart, element by
 * element. */
#define IS_BELOW_0(x) ((v16i)(x) >> 31)
#define IS_NAN(x)     ((0x7f800000 - ((v16i)(x)&0x7fffffff)) >> 31)
#define ALL(x)        ((v16f){ 0 } + (x))

/* N <= LANES floats, the rest PAD. Vectors go by pointer: passing them by value has an
 * ABI for each width. */
INLINE void
load(v16f *v, const float *x, size_t n, float pad)
{
    if (n < LANES) {
        float part[LANES];
        for (size_t i = 0; i < LANES; i++)
            part[i] = i < n ? x[i] : pad;
        memcpy(v, part, sizeof part);
    } else {
        memcpy(v, x, sizeof *v);
    }
}

INLINE void
store(float *x, const v16f *v, size_t n)
{
    memcpy(x, v, n < LANES ? n * sizeof *x : sizeof *v);
}

INLINE size_t
left(size_t n, size_t i)
{
    return n - i < LANES ? n - i : LANES;
}

/* *x = exp(*x): x = k ln 2 + r with |r| <= ln 2 / 2, exp(r) by the polynomial of
 * Moshier's Cephes library (expf), ln 2 in two parts of which k times the first is
 * exact. 2^k comes in two factors, since k = 128 is no exponent. */
INLINE void
exp16(v16f *x)
{
    const v16f lowest = ALL(-87.33654f), highest = ALL(88.8f), magic = ALL(12582912.0f);
    const v16i nans = IS_NAN(*x), zero = IS_BELOW_0(*x - lowest) & ~nans;
    const v16i above = IS_BELOW_0(highest - *x);
    const v16f in = SELECT(~(zero | above), *x) + SELECT(above, highest);
    const v16f shifted = in * 1.44269504088896341f + magic;
    const v16i k = (v16i)shifted - (v16i)magic, k1 = k >> 1;
    const v16f kf = shifted - magic;
    const v16f r = in - kf * 0.693359375f - kf * -2.12194440e-4f;
    v16f y = r * 1.9875691500e-4f + 1.3981999507e-3f;

    y = y * r + 8.3334519073e-3f;
    y = y * r + 4.1665795894e-2f;
    y = y * r + 1.6666665459e-1f;
    y = y * r + 5.0000001201e-1f;
    y = y * (r * r) + r + 1.0f;
    y = y * (v16f)((k1 + 127) << 23) * (v16f)((k - k1 + 127) << 23);
    *x = (v16f)((~zero & (v16i)y) | nans);
}

/* *x = tanh(*x): near 0 Cephes' polynomial (tanhf), else 1 - 2 / (exp(2x) + 1). */
INLINE void
tanh16(v16f *x)
{
    const v16f z = *x * *x;
    const v16i small = IS_BELOW_0(z - 0.390625f);
    v16f p = z * -5.70498872745e-3f + 2.06390887954e-2f, e = *x * 2.0f;

    p = p * z - 5.37397155531e-2f;
    p = p * z + 1.33314422036e-1f;
    p = p * z - 3.33332819422e-1f;
    exp16(&e);
    e = 1.0f - 2.0f / (e + 1.0f);
    *x = SELECT(small, p * z * *x + *x) + SELECT(~small, e);
}

INLINE double
sum_lanes(const v16f *v)
{
    double sum = 0;

    for (int i = 0; i < LANES; i++)
        sum += (double)(*v)[i];
    return sum;
}

MPQ_CLONES_EXTERN float
mpq_vmax(const float *x, size_t n)
{
    v16f top = ALL(-INFINITY), v;
    v16i nan = { 0 };
    float most = -INFINITY;

    for (size_t i = 0; i < n; i += LANES) {
        load(&v, x + i, left(n, i), -INFINITY);
        const v16i greater = IS_BELOW_0(top - v);
        top = (v16f)((greater & (v16i)v) | (~greater & (v16i)top));
        nan |= IS_NAN(v);
    }
    for (int i = 0; i < LANES; i++) {
        most = top[i] > most ? top[i] : most;
        if (nan[i])
            return NAN;
    }
    return most;
}

MPQ_CLONES_EXTERN int
mpq_vfinite(const float *x, size_t n)
{
    v16i bad = { 0 };
    v16f v;

    for (size_t i = 0; i < n; i += LANES) {
        load(&v, x + i, left(n, i), 0);
        bad |= (0x7f7fffff - ((v16i)v & 0x7fffffff)) >> 31;
    }
    for (int i = 0; i < LANES; i++)
        if (bad[i])
            return 0;
    return 1;
}

MPQ_CLONES_EXTERN double
mpq_vsum_exp(const float *x, size_t n, float top)
{
    double sum = 0;

    for (size_t b = 0; b < n; b += BLOCK) {
        const size_t end = n - b < BLOCK ? n : b + BLOCK;
        v16f acc = { 0 }, v;
        for (size_t i = b; i < end; i += LANES) {
            load(&v, x + i, left(end, i), -INFINITY);
            v -= top;
            exp16(&v);
            acc += v;
        }
        sum += sum_lanes(&acc);
    }
    return sum;
}

MPQ_CLONES_EXTERN double
mpq_vexp(float *x, size_t n, float top)
{
    double sum = 0;

    for (size_t b = 0; b < n; b += BLOCK) {
        const size_t end = n - b < BLOCK ? n : b + BLOCK;
        v16f acc = { 0 }, v;
        for (size_t i = b; i < end; i += LANES) {
            load(&v, x + i, left(end, i), -INFINITY);
            v -= top;
            exp16(&v);
            store(x + i, &v, left(end, i));
            acc += v;
        }
        sum += sum_lanes(&acc);
    }
    return sum;
}

MPQ_CLONES_EXTERN void
mpq_vscale(float *x, size_t n, float a)
{
    for (size_t i = 0; i < n; i++)
        x[i] *= a;
}

MPQ_CLONES_EXTERN void
mpq_vadd(float *x, const float *y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] += y[i];
}

MPQ_CLONES_EXTERN void
mpq_vsoftcap(float *x, size_t n, float cap)
{
    v16f v;

    for (size_t i = 0; i < n; i += LANES) {
        load(&v, x + i, left(n, i), 0);
        v /= cap;
        tanh16(&v);
        v *= cap;
        store(x + i, &v, left(n, i));
    }
}

MPQ_CLONES_EXTERN void
mpq_vsilu_mul(float *gate, const float *up, size_t n)
{
    v16f g, u;

    for (size_t i = 0; i < n; i += LANES) {
        load(&g, gate + i, left(n, i), 0);
        load(&u, up + i, left(n, i), 0);
        v16f e = -g;
        exp16(&e);
        g = g / (e + 1.0f) * u;
        store(gate + i, &g, left(n, i));
    }
}

/* x/2 (1 + tanh(y)) = x / (1 + exp(-2y)), y = sqrt(2/pi) (x + 0.044715 x^3) */
MPQ_CLONES_EXTERN void
mpq_vgelu_mul(float *gate, const float *up, size_t n)
{
    v16f g, u;

    for (size_t i = 0; i < n; i += LANES) {
        load(&g, gate + i, left(n, i), 0);
        load(&u, up + i, left(n, i), 0);
        v16f e = g * (g * g * 0.044715f + 1.0f) * -1.5957691216057308f;
        exp16(&e);
        g = g / (e + 1.0f) * u;
        store(gate + i, &g, left(n, i));
    }
}

MPQ_CLONES_EXTERN double
mpq_vrms_norm(float *dst, const float *x, const float *gain, size_t n, float eps)
{
    double lanes[LANES] = { 0 }, sum = 0;
    size_t i = 0;

    for (; i + LANES <= n; i += LANES)
        for (size_t l = 0; l < LANES; l++)
            lanes[l] += (double)x[i + l] * (double)x[i + l];
    for (size_t l = 0; i + l < n; l++)
        lanes[l] += (double)x[i + l] * (double)x[i + l];
    for (size_t l = 0; l < LANES; l++)
        sum += lanes[l];
    sum /= (double)n;
    const float scale = (float)(1 / sqrt(sum + (double)eps));
    for (i = 0; i < n; i++)
        dst[i] = x[i] * scale * gain[i];
    return sum;
}

MPQ_CLONES_EXTERN void
mpq_vrotate(float *restrict x, const float *restrict cosine, const float *restrict sine,
            size_t half, int adjacent)
{
    if (adjacent) {
        for (size_t i = 0; i < half; i++) {
            const float a = x[2 * i], b = x[2 * i + 1];
            x[2 * i] = a * cosine[i] - b * sine[i];
            x[2 * i + 1] = b * cosine[i] + a * sine[i];
        }
    } else {
        float *restrict y = x + half;
        for (size_t i = 0; i < half; i++) {
            const float a = x[i], b = y[i];
            x[i] = a * cosine[i] - b * sine[i];
            y[i] = b * cosine[i] + a * sine[i];
        }
    }
}
