/* The product of integers in plain C: what the vector kernels are held against, and
 * what runs where there is none. */
#include "num/gemm8_own.h"

/* s[r] = sum of codes over N columns. */
static inline void
sum_group(const unsigned char *w, const signed char *x, int n, int32_t s[ROWS])
{
    for (int r = 0; r < ROWS; r++)
        s[r] = 0;
    for (int c = 0; c < n / 4; c++, w += 4 * ROWS, x += 4 * INPUTS)
        for (int r = 0; r < ROWS; r++)
            for (int k = 0; k < 4; k++)
                s[r] += (w[4 * r + k] - 128) * x[k];
}

static inline void
multiply(const struct mpq_gemm8_tile *t, int group, int block, int has_min)
{
    const int groups = block / group;
    int32_t s[ROWS];

    for (int i = 0; i < INPUTS; i++) {
        float *out = t->out + (size_t)i * t->ld;
        for (size_t b = 0; b < t->blocks; b++) {
            const float x_scale = t->x_scale[b * INPUTS + (size_t)i];
            float f[ROWS] = { 0 };
            for (int k = 0; k < groups; k++) {
                const size_t g = b * (size_t)groups + (size_t)k;
                const float *scale = t->scale + g * ROWS, *min = t->min + g * ROWS;
                const float sum = has_min ? t->sum[g * INPUTS + (size_t)i] : 0;
                sum_group(t->w + g * (size_t)group * ROWS,
                          t->x + g * (size_t)group * INPUTS + 4 * (size_t)i, group, s);
                for (int r = 0; r < ROWS; r++) {
                    if (block == 32)
                        out[r] += (float)s[r] * (scale[r] * x_scale);
                    else
                        f[r] += (float)s[r] * scale[r];
                    if (has_min && block == 32)
                        out[r] += min[r] * sum;
                    else if (has_min)
                        f[r] += min[r] * sum;
                }
            }
            for (int r = 0; block != 32 && r < ROWS; r++)
                out[r] += f[r] * x_scale;
        }
    }
}

#define KERNEL(i, group, block, has_min)                                               \
    static void plain_##i(const struct mpq_gemm8_tile *t)                              \
    {                                                                                  \
        multiply(t, group, block, has_min);                                            \
    }
MPQ_GEMM8_EACH_FORM(KERNEL)

const struct mpq_gemm8_kernels mpq_gemm8_plain = {
    "plain C", { plain_0, plain_1, plain_2, plain_3, plain_4, plain_5 }
};
