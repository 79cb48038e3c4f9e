/* What the kernels of gemm8.c share; nobody else includes this. */
#ifndef MPQ_NUM_GEMM8_OWN_H
#define MPQ_NUM_GEMM8_OWN_H

#include "num/gemm8.h"

enum { ROWS = MPQ_GEMM8_ROWS, INPUTS = MPQ_GEMM8_INPUTS };

/* A panel of weights by one of inputs, over some of their columns. */
struct mpq_gemm8_tile {
    const unsigned char *w;
    const float *scale, *min;
    const signed char *x;
    const float *x_scale;
    const int32_t *offset;
    const float *sum;
    size_t blocks; /* of the inputs */
    float *out;    /* [6][ld], added to */
    size_t ld;
};

typedef void mpq_gemm8_kernel(const struct mpq_gemm8_tile *t);

/* A kernel for each form that there is. */
enum { MPQ_GEMM8_FORMS = 6 };
struct mpq_gemm8_kernels {
    const char *name;
    mpq_gemm8_kernel *of[MPQ_GEMM8_FORMS]; /* see FORM */
};

/*
 * The forms, in the order of `of`: MACRO(number, group, block, has_min).
 */
#define MPQ_GEMM8_EACH_FORM(MACRO)                                                     \
    MACRO(0, 32, 32, 0)                                                                \
    MACRO(1, 32, 32, 1)                                                                \
    MACRO(2, 32, 256, 0)                                                               \
    MACRO(3, 32, 256, 1)                                                               \
    MACRO(4, 16, 256, 0)                                                               \
    MACRO(5, 16, 256, 1)

extern const struct mpq_gemm8_kernels mpq_gemm8_plain;

/* Vector kernels, where the compiler makes x86-64 code; to be called only where the
 * processor has what mpq_gemm8.c asks it for. */
#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define MPQ_GEMM8_X86 1
extern const struct mpq_gemm8_kernels mpq_gemm8_avx512, mpq_gemm8_avx2;
#endif

#endif
