/*
 * The product of integers by AVX2. vpmaddubsw multiplies unsigned with signed numbers
 * and adds two of them in 16 bits: |w| <= 128 with the input given w's sign, at most
 * 127, make 32,512 at most, so nothing saturates. Eight rows by six inputs at a time.
 *
 * Plain twin: gemm8_plain.c.
 */
#include "num/gemm8_own.h"

#ifdef MPQ_GEMM8_X86

#include <immintrin.h>

#define TARGET __attribute__((target("avx2")))
#define INLINE static inline __attribute__((always_inline)) TARGET

enum { LANES = 8 }; /* rows in a vector, four of which are a panel */

/* The sums of a group of N columns of eight rows. */
INLINE void
sum_group(const unsigned char *w, const signed char *x, int n, __m256i s[INPUTS])
{
    const __m256i ones = _mm256_set1_epi16(1), high = _mm256_set1_epi8(-128);

    _Pragma("GCC unroll 6") for (int i = 0; i < INPUTS; i++) s[i] =
        _mm256_setzero_si256();
    for (int c = 0; c < n / 4; c++, w += 4 * ROWS, x += 4 * INPUTS) {
        const __m256i code =
            _mm256_xor_si256(_mm256_load_si256((const __m256i *)(const void *)w), high);
        const __m256i size = _mm256_abs_epi8(code);
        _Pragma("GCC unroll 6") for (int i = 0; i < INPUTS; i++)
        {
            int32_t four;
            __builtin_memcpy(&four, x + 4 * i, sizeof four);
            const __m256i pairs = _mm256_maddubs_epi16(
                size, _mm256_sign_epi8(_mm256_set1_epi32(four), code));
            s[i] = _mm256_add_epi32(s[i], _mm256_madd_epi16(pairs, ones));
        }
    }
}

INLINE void
add_to(float *out, __m256 x)
{
    _mm256_storeu_ps(out, _mm256_add_ps(_mm256_loadu_ps(out), x));
}

/* Rows [row, row + 8) of the panel. */
INLINE void
multiply_rows(const struct mpq_gemm8_tile *t, size_t row, int group, int block,
              int has_min)
{
    const unsigned char *w = t->w + 4 * row;
    const signed char *x = t->x;
    const float *scale = t->scale + row, *min = t->min + (has_min ? row : 0);
    const float *x_scale = t->x_scale, *sum = t->sum;
    float *to = t->out + row;

    for (size_t b = 0; b < t->blocks; b++, x_scale += INPUTS) {
        __m256 f[INPUTS];
        _Pragma("GCC unroll 6") for (int i = 0; i < INPUTS; i++) f[i] =
            block == 32 ? _mm256_loadu_ps(to + (size_t)i * t->ld) : _mm256_setzero_ps();
        for (int k = 0; k < block / group; k++) {
            __m256i s[INPUTS];
            sum_group(w, x, group, s);
            const __m256 d = _mm256_load_ps(scale);
            _Pragma("GCC unroll 6") for (int i = 0; i < INPUTS; i++)
            {
                const __m256 both =
                    block == 32 ? _mm256_mul_ps(d, _mm256_set1_ps(x_scale[i])) : d;
                f[i] =
                    _mm256_add_ps(f[i], _mm256_mul_ps(_mm256_cvtepi32_ps(s[i]), both));
            }
            if (has_min) {
                const __m256 m = _mm256_load_ps(min);
                _Pragma("GCC unroll 6") for (int i = 0; i < INPUTS; i++) f[i] =
                    _mm256_add_ps(f[i], _mm256_mul_ps(m, _mm256_set1_ps(sum[i])));
                min += ROWS;
                sum += INPUTS;
            }
            w += group * ROWS;
            x += group * INPUTS;
            scale += ROWS;
        }
        _Pragma("GCC unroll 6") for (int i = 0; i < INPUTS; i++)
        {
            if (block == 32)
                _mm256_storeu_ps(to + (size_t)i * t->ld, f[i]);
            else
                add_to(to + (size_t)i * t->ld,
                       _mm256_mul_ps(f[i], _mm256_set1_ps(x_scale[i])));
        }
    }
}

#define KERNEL(i, group, block, has_min)                                               \
    TARGET static void avx2_##i(const struct mpq_gemm8_tile *t)                        \
    {                                                                                  \
        for (size_t row = 0; row < ROWS; row += LANES)                                 \
            multiply_rows(t, row, group, block, has_min);                              \
    }
MPQ_GEMM8_EACH_FORM(KERNEL)

const struct mpq_gemm8_kernels mpq_gemm8_avx2 = {
    "AVX2", { avx2_0, avx2_1, avx2_2, avx2_3, avx2_4, avx2_5 }
};

#else
typedef int mpq_gemm8_avx2_is_empty; /* ISO C wants a declaration */
#endif
