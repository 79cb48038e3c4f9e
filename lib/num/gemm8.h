/*
 * Products of matrices whose entries are integers of 8 bits with scales, as block
 * quantization leaves them:
 *
 *   w[r][c] = scale[r][c / group] * code[r][c] + min[r][c / group]     weights
 *   x[t][c] = scale[t][c / block] * code[t][c]                         inputs
 *
 * The codes of a group are multiplied and summed as integers, exactly; sums are
 * converted, scaled and added in float, group by group in the order of the columns.
 * Every kernel does that in the same order and without fused operations, so all give
 * the same bits, however rows are cut among threads.
 *
 * Both matrices lie in the order in which a kernel reads them: weights in panels of 32
 * rows, inputs in panels of 6, four columns of each row side by side.
 */
#ifndef MPQ_NUM_GEMM8_H
#define MPQ_NUM_GEMM8_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

enum {
    MPQ_GEMM8_ROWS = 32,  /* of weights in a panel */
    MPQ_GEMM8_INPUTS = 6, /* of inputs in a panel */
    MPQ_GEMM8_GROUP_MIN = 16,
};

/* What a product must know of its weights' type. */
struct mpq_gemm8_form {
    unsigned group; /* columns of weights that share a scale: 16 or 32 */
    unsigned block; /* columns of inputs that do: 32 with groups of 32, or 256 */
    int has_min;
};

/* Weights; zero-initialized is empty. */
struct mpq_gemm8_weights {
    struct mpq_gemm8_form form;
    size_t rows, cols;
    unsigned char *codes; /* [panel][cols / 4][32][4]: code + 128 */
    float *scales;        /* [panel][cols / group][32] */
    float *mins;          /* the same, or NULL */
    void *memory;
    size_t room; /* bytes of it */
};

/* Makes *w a matrix of ROWS x COLS whose rows are all still to be put; memory is used
 * again. COLS is a multiple of form.block. -1 out of memory; *w is then empty. */
MPQ_MUST_CHECK int
mpq_gemm8_shape(struct mpq_gemm8_weights *w, struct mpq_gemm8_form form, size_t rows,
                size_t cols, struct mpq_err *err);
/* Bytes that such a matrix takes. */
uint64_t mpq_gemm8_bytes(struct mpq_gemm8_form form, uint64_t rows, uint64_t cols);
/* Row ROW: code[cols], scale[cols / group], min[cols / group] (not read without mins).
 * Different rows can be put from different threads. */
void mpq_gemm8_put(struct mpq_gemm8_weights *w, size_t row, const signed char *code,
                   const float *scale, const float *min);
void mpq_gemm8_free(struct mpq_gemm8_weights *w); /* and makes it empty */

/* Inputs, rounded (quant/round8.h does it); zero-initialized is empty. [0] is by groups
 * of 16 columns, [1] by groups of 32; of blocks of 32 there is only the second. */
struct mpq_gemm8_inputs {
    size_t rows, cols;
    unsigned block;
    signed char *codes;  /* [panel][cols / 4][6][4], -127 to 127 */
    float *scales;       /* [panel][cols / block][6] */
    int32_t *offsets[2]; /* [panel][cols / group][6]: -128 * sum of the codes */
    float *sums[2]; /* the same: what a min is multiplied with; of blocks of 32 with
                       the scale, of blocks of 256 without it */
    void *memory;
    size_t room;
};

/* Makes room for up to ROWS x COLS in blocks of any size, so that mpq_gemm8_begin
 * cannot fail. -1 out of memory. */
MPQ_MUST_CHECK int mpq_gemm8_reserve(struct mpq_gemm8_inputs *x, size_t rows,
                                     size_t cols, struct mpq_err *err);
/* Lays out ROWS x COLS inputs in blocks of BLOCK in what was reserved; all rows are
 * still to be put. COLS is a multiple of BLOCK. */
void
mpq_gemm8_begin(struct mpq_gemm8_inputs *x, size_t rows, size_t cols, unsigned block);
void mpq_gemm8_inputs_free(struct mpq_gemm8_inputs *x); /* and makes it empty */

/* Which rows and columns of the weights, and rows of the inputs. */
struct mpq_gemm8_part {
    size_t row, n_rows;   /* row: a multiple of MPQ_GEMM8_ROWS */
    size_t col;           /* a multiple of 256; from there on the inputs' columns */
    size_t input, inputs; /* input: a multiple of MPQ_GEMM8_INPUTS */
};

/* out[t][r] = sum of x[input + t][c] * w[row + r][col + c] over the columns of X, or
 * out += (ADD); rows of OUT are LD floats apart. The blocks of X are those of W's
 * form. */
void mpq_gemm8(const struct mpq_gemm8_weights *w, const struct mpq_gemm8_inputs *x,
               const struct mpq_gemm8_part *p, int add, float *out, size_t ld);

/* The same by kernel I, for tests and measurements: from the fastest that this
 * processor has down to plain C. 0, and nothing is done, when there are fewer. */
int mpq_gemm8_by(size_t i, const struct mpq_gemm8_weights *w,
                 const struct mpq_gemm8_inputs *x, const struct mpq_gemm8_part *p,
                 int add, float *out, size_t ld);
/* What kernel I is called; NULL when there are fewer. */
const char *mpq_gemm8_name(size_t i);

#endif
