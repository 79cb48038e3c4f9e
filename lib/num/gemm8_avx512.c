/*
 * The product of integers by AVX-512's VNNI: vpdpbusd takes four columns of 16 rows at
 * once. It multiplies unsigned with signed numbers: weights are stored 128 too large,
 * and a sum begins at -128 times the sum of the inputs' codes. Two vectors of rows by
 * six inputs share what is loaded: 12 sums and 12 results of the 32 registers.
 *
 * Plain twin: gemm8_plain.c.
 */
#include "num/gemm8_own.h"

#ifdef MPQ_GEMM8_X86

#include <immintrin.h>

#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni")))
#define INLINE static inline __attribute__((always_inline)) TARGET

enum { LANES = 16 }; /* rows in a vector, two of which are a panel */

/* Four columns: s[i][] += x w. */
#define COLUMNS(s, w, x)                                                               \
    do {                                                                               \
        const __m512i w0 = _mm512_load_si512(w), w1 = _mm512_load_si512((w) + 64);     \
        _Pragma("GCC unroll 6") for (int i = 0; i < INPUTS; i++)                       \
        {                                                                              \
            int32_t four;                                                              \
            __builtin_memcpy(&four, (x) + 4 * i, sizeof four);                         \
            const __m512i all = _mm512_set1_epi32(four);                               \
            (s)[i][0] = _mm512_dpbusd_epi32((s)[i][0], w0, all);                       \
            (s)[i][1] = _mm512_dpbusd_epi32((s)[i][1], w1, all);                       \
        }                                                                              \
    } while (0)

/* The sums of a group of N columns. */
INLINE void
sum_group(const unsigned char *w, const signed char *x, const int32_t *offset, int n,
          __m512i s[INPUTS][2])
{
    _Pragma("GCC unroll 6") for (int i = 0; i < INPUTS; i++)
    {
        s[i][0] = _mm512_set1_epi32(offset[i]);
        s[i][1] = s[i][0];
    }
    _Pragma("GCC unroll 8") for (int c = 0; c < n / 4; c++)
        COLUMNS(s, w + 4 * ROWS * c, x + 4 * INPUTS * c);
}

INLINE void
add_to(float *out, __m512 x)
{
    _mm512_storeu_ps(out, _mm512_add_ps(_mm512_loadu_ps(out), x));
}

/* Scales of inputs by blocks of 32: results stay in registers. */
INLINE void
multiply_32(const struct mpq_gemm8_tile *t, int has_min)
{
    const unsigned char *w = t->w;
    const signed char *x = t->x;
    const int32_t *offset = t->offset;
    const float *scale = t->scale, *min = t->min, *x_scale = t->x_scale, *sum = t->sum;
    __m512 out[INPUTS][2];

    _Pragma("GCC unroll 6") for (int i = 0; i < INPUTS; i++)
    {
        out[i][0] = _mm512_loadu_ps(t->out + (size_t)i * t->ld);
        out[i][1] = _mm512_loadu_ps(t->out + (size_t)i * t->ld + LANES);
    }
    for (size_t b = 0; b < t->blocks; b++) {
        __m512i s[INPUTS][2];
        sum_group(w, x, offset, 32, s);
        const __m512 s0 = _mm512_load_ps(scale), s1 = _mm512_load_ps(scale + LANES);
        _Pragma("GCC unroll 6") for (int i = 0; i < INPUTS; i++)
        {
            const __m512 d = _mm512_set1_ps(x_scale[i]);
            out[i][0] =
                _mm512_add_ps(out[i][0], _mm512_mul_ps(_mm512_cvtepi32_ps(s[i][0]),
                                                       _mm512_mul_ps(s0, d)));
            out[i][1] =
                _mm512_add_ps(out[i][1], _mm512_mul_ps(_mm512_cvtepi32_ps(s[i][1]),
                                                       _mm512_mul_ps(s1, d)));
        }
        if (has_min) {
            const __m512 m0 = _mm512_load_ps(min), m1 = _mm512_load_ps(min + LANES);
            _Pragma("GCC unroll 6") for (int i = 0; i < INPUTS; i++)
            {
                const __m512 all = _mm512_set1_ps(sum[i]);
                out[i][0] = _mm512_add_ps(out[i][0], _mm512_mul_ps(m0, all));
                out[i][1] = _mm512_add_ps(out[i][1], _mm512_mul_ps(m1, all));
            }
            min += ROWS;
            sum += INPUTS;
        }
        w += 32 * ROWS;
        x += 32 * INPUTS;
        offset += INPUTS;
        scale += ROWS;
        x_scale += INPUTS;
    }
    _Pragma("GCC unroll 6") for (int i = 0; i < INPUTS; i++)
    {
        _mm512_storeu_ps(t->out + (size_t)i * t->ld, out[i][0]);
        _mm512_storeu_ps(t->out + (size_t)i * t->ld + LANES, out[i][1]);
    }
}

/* By blocks of 256: a block is summed in registers and then added to the results. */
INLINE void
multiply_256(const struct mpq_gemm8_tile *t, int group, int has_min)
{
    const unsigned char *w = t->w;
    const signed char *x = t->x;
    const int32_t *offset = t->offset;
    const float *scale = t->scale, *min = t->min, *x_scale = t->x_scale, *sum = t->sum;

    for (size_t b = 0; b < t->blocks; b++, x_scale += INPUTS) {
        __m512 f[INPUTS][2];
        _Pragma("GCC unroll 6") for (int i = 0; i < INPUTS; i++)
        {
            f[i][0] = _mm512_setzero_ps();
            f[i][1] = f[i][0];
        }
        for (int k = 0; k < 256 / group; k++) {
            __m512i s[INPUTS][2];
            sum_group(w, x, offset, group, s);
            const __m512 s0 = _mm512_load_ps(scale), s1 = _mm512_load_ps(scale + LANES);
            _Pragma("GCC unroll 6") for (int i = 0; i < INPUTS; i++)
            {
                f[i][0] = _mm512_add_ps(f[i][0],
                                        _mm512_mul_ps(_mm512_cvtepi32_ps(s[i][0]), s0));
                f[i][1] = _mm512_add_ps(f[i][1],
                                        _mm512_mul_ps(_mm512_cvtepi32_ps(s[i][1]), s1));
            }
            if (has_min) {
                const __m512 m0 = _mm512_load_ps(min), m1 = _mm512_load_ps(min + LANES);
                _Pragma("GCC unroll 6") for (int i = 0; i < INPUTS; i++)
                {
                    const __m512 all = _mm512_set1_ps(sum[i]);
                    f[i][0] = _mm512_add_ps(f[i][0], _mm512_mul_ps(m0, all));
                    f[i][1] = _mm512_add_ps(f[i][1], _mm512_mul_ps(m1, all));
                }
                min += ROWS;
                sum += INPUTS;
            }
            w += group * ROWS;
            x += group * INPUTS;
            offset += INPUTS;
            scale += ROWS;
        }
        _Pragma("GCC unroll 6") for (int i = 0; i < INPUTS; i++)
        {
            const __m512 d = _mm512_set1_ps(x_scale[i]);
            add_to(t->out + (size_t)i * t->ld, _mm512_mul_ps(f[i][0], d));
            add_to(t->out + (size_t)i * t->ld + LANES, _mm512_mul_ps(f[i][1], d));
        }
    }
}

#define KERNEL(i, group, block, has_min)                                               \
    TARGET static void avx512_##i(const struct mpq_gemm8_tile *t)                      \
    {                                                                                  \
        if (block == 32)                                                               \
            multiply_32(t, has_min);                                                   \
        else                                                                           \
            multiply_256(t, group, has_min);                                           \
    }
MPQ_GEMM8_EACH_FORM(KERNEL)

const struct mpq_gemm8_kernels mpq_gemm8_avx512 = {
    "AVX-512 VNNI", { avx512_0, avx512_1, avx512_2, avx512_3, avx512_4, avx512_5 }
};

#else
typedef int mpq_gemm8_avx512_is_empty; /* ISO C wants a declaration */
#endif
