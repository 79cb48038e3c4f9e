#include "num/vgrad.h"

#include "base/simd.h"
#include "num/vmath_own.h"

#include <math.h>

/* silu(g) = g s, s = 1 / (1 + exp(-g)); its derivative is s (1 + g (1 - s)). */
MPQ_CLONES_EXTERN void
mpq_vsilu_back(float *gate, float *up, const float *dy, size_t n)
{
    v16f g, u, d;

    for (size_t i = 0; i < n; i += LANES) {
        load(&g, gate + i, left(n, i), 0);
        load(&u, up + i, left(n, i), 0);
        load(&d, dy + i, left(n, i), 0);
        v16f e = -g;
        exp16(&e);
        const v16f s = 1.0f / (e + 1.0f);
        u = d * u * (s * (g * (1.0f - s) + 1.0f));
        g = d * g * s;
        store(gate + i, &u, left(n, i));
        store(up + i, &g, left(n, i));
    }
}

/* gelu(g) = g s, s = 1 / (1 + exp(-2y)), y = c (g + b g^3), c = sqrt(2/pi); its
 * derivative is s + g s (1 - s) 2 c (1 + 3 b g^2). */
MPQ_CLONES_EXTERN void
mpq_vgelu_back(float *gate, float *up, const float *dy, size_t n)
{
    v16f g, u, d;

    for (size_t i = 0; i < n; i += LANES) {
        load(&g, gate + i, left(n, i), 0);
        load(&u, up + i, left(n, i), 0);
        load(&d, dy + i, left(n, i), 0);
        v16f e = g * (g * g * 0.044715f + 1.0f) * -1.5957691216057308f;
        exp16(&e);
        const v16f s = 1.0f / (e + 1.0f);
        const v16f slope = (g * g * 0.134145f + 1.0f) * 1.5957691216057308f;
        u = d * u * (s * (g * (1.0f - s) * slope + 1.0f));
        g = d * g * s;
        store(gate + i, &u, left(n, i));
        store(up + i, &g, left(n, i));
    }
}

/* In lanes that the compiler makes vectors of. */
MPQ_CLONES_EXTERN double
mpq_vdot(const float *a, const float *b, size_t n)
{
    double lane[LANES] = { 0 }, sum = 0;
    size_t i = 0;

    for (; i + LANES <= n; i += LANES)
        for (size_t k = 0; k < LANES; k++)
            lane[k] += (double)a[i + k] * (double)b[i + k];
    for (size_t k = 0; i + k < n; k++)
        lane[k] += (double)a[i + k] * (double)b[i + k];
    for (size_t k = 0; k < LANES; k++)
        sum += lane[k];
    return sum;
}

/* Sum of a b c. */
MPQ_CLONES static double
dot3(const float *a, const float *b, const float *c, size_t n)
{
    double lane[LANES] = { 0 }, sum = 0;
    size_t i = 0;

    for (; i + LANES <= n; i += LANES)
        for (size_t k = 0; k < LANES; k++)
            lane[k] += (double)a[i + k] * (double)b[i + k] * (double)c[i + k];
    for (size_t k = 0; i + k < n; k++)
        lane[k] += (double)a[i + k] * (double)b[i + k] * (double)c[i + k];
    for (size_t k = 0; k < LANES; k++)
        sum += lane[k];
    return sum;
}

/* dx = s (g dy - x s^2 mean(x g dy)), s = 1 / sqrt(mean(x^2) + eps). */
MPQ_CLONES_EXTERN void
mpq_vrms_back(float *dx, const float *dy, const float *x, const float *gain, size_t n,
              float eps, int add)
{
    const double s = 1 / sqrt(mpq_vdot(x, x, n) / (double)n + (double)eps);
    const float scale = (float)s;
    const float along = (float)(s * s * s * dot3(x, gain, dy, n) / (double)n);

    if (add)
        for (size_t i = 0; i < n; i++)
            dx[i] += gain[i] * dy[i] * scale - x[i] * along;
    else
        for (size_t i = 0; i < n; i++)
            dx[i] = gain[i] * dy[i] * scale - x[i] * along;
}

MPQ_CLONES_EXTERN void
mpq_vsoftcap_back(float *dx, const float *x, size_t n, float cap)
{
    const float by = 1 / cap;

    for (size_t i = 0; i < n; i++)
        dx[i] *= 1 - x[i] * by * (x[i] * by);
}

MPQ_CLONES_EXTERN void
mpq_vrotate_back(float *restrict dx, const float *restrict cosine,
                 const float *restrict sine, size_t half, int adjacent)
{
    const size_t step = adjacent ? 2 : 1, other = adjacent ? 1 : half;

    for (size_t i = 0; i < half; i++) {
        const float a = dx[step * i], b = dx[step * i + other];
        dx[step * i] = a * cosine[i] + b * sine[i];
        dx[step * i + other] = b * cosine[i] - a * sine[i];
    }
}
