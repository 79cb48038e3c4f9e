#include "num/vmath.h"

#include "base/simd.h"
#include "num/vmath_own.h"

#include <math.h>

enum {
    BLOCK = 1024 /* summed in float lanes (64 terms in each) before double takes over */
};

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
