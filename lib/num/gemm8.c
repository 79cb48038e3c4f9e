/* Layout and cutting of products of integers; the kernels are in files of their own. */
#include "num/gemm8.h"

#include "base/buf.h"
#include "num/gemm8_own.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    LINE = 64,   /* bytes: weights are loaded in whole lines of the cache */
    DEPTH = 512, /* columns at a time: a panel of them stays in the first-level cache */
};

static size_t
panels(size_t n, size_t of)
{
    return n / of + (n % of != 0);
}

/* At least BYTES at *memory, not kept. */
static int
make_room(void **memory, size_t *room, uint64_t bytes, struct mpq_err *err)
{
    if (*memory && *room >= bytes)
        return 0;
    free(*memory);
    *memory = NULL;
    *room = 0;
    bytes = (bytes / LINE + 1) * LINE;
    if (bytes < SIZE_MAX)
        *memory = aligned_alloc(LINE, (size_t)bytes);
    if (!*memory)
        return mpq_fail(err, MPQ_ENOMEM, "out of memory for a matrix");
    *room = (size_t)bytes;
    return 0;
}

/* --- weights --------------------------------------------------------------------- */

uint64_t
mpq_gemm8_bytes(struct mpq_gemm8_form form, uint64_t rows, uint64_t cols)
{
    const uint64_t padded = (rows + ROWS - 1) / ROWS * ROWS;

    return padded * (cols + cols / form.group * (form.has_min ? 8 : 4));
}

int
mpq_gemm8_shape(struct mpq_gemm8_weights *w, struct mpq_gemm8_form form, size_t rows,
                size_t cols, struct mpq_err *err)
{
    const size_t n = panels(rows, ROWS) * ROWS, groups = cols / form.group;

    assert(cols % form.block == 0);
    if (make_room(&w->memory, &w->room, mpq_gemm8_bytes(form, rows, cols), err) < 0) {
        *w = (struct mpq_gemm8_weights){ 0 };
        return -1;
    }
    w->form = form;
    w->rows = rows;
    w->cols = cols;
    w->codes = w->memory;
    w->scales = (float *)(void *)(w->codes + n * cols);
    w->mins = form.has_min ? w->scales + n * groups : NULL;
    if (rows % ROWS) { /* what fills up the last panel is multiplied, too */
        const size_t last = n - ROWS;
        memset(w->codes + last * cols, 0, ROWS * cols);
        memset(w->scales + last * groups, 0, ROWS * groups * sizeof *w->scales);
        if (w->mins)
            memset(w->mins + last * groups, 0, ROWS * groups * sizeof *w->mins);
    }
    return 0;
}

void
mpq_gemm8_put(struct mpq_gemm8_weights *w, size_t row, const signed char *code,
              const float *scale, const float *min)
{
    const size_t panel = row / ROWS, r = row % ROWS, groups = w->cols / w->form.group;
    unsigned char *to = w->codes + panel * ROWS * w->cols + 4 * r;
    float *to_scale = w->scales + panel * ROWS * groups + r;

    for (size_t c = 0; c < w->cols; c += 4, to += 4 * ROWS) {
        uint32_t four;
        memcpy(&four, code + c, sizeof four);
        four ^= 0x80808080u; /* + 128 */
        memcpy(to, &four, sizeof four);
    }
    for (size_t g = 0; g < groups; g++)
        to_scale[g * ROWS] = scale[g];
    if (!w->mins)
        return;
    float *to_min = w->mins + panel * ROWS * groups + r;
    for (size_t g = 0; g < groups; g++)
        to_min[g * ROWS] = min[g];
}

void
mpq_gemm8_free(struct mpq_gemm8_weights *w)
{
    free(w->memory);
    *w = (struct mpq_gemm8_weights){ 0 };
}

/* --- inputs ---------------------------------------------------------------------- */

int
mpq_gemm8_reserve(struct mpq_gemm8_inputs *x, size_t rows, size_t cols,
                  struct mpq_err *err)
{
    /* offsets and sums by 16 and by 32 columns, scales by 32 at most */
    const uint64_t one = cols + cols / 16 * 8 + cols / 32 * 12;

    return make_room(&x->memory, &x->room, panels(rows, INPUTS) * INPUTS * one, err);
}

void
mpq_gemm8_begin(struct mpq_gemm8_inputs *x, size_t rows, size_t cols, unsigned block)
{
    const size_t n = panels(rows, INPUTS) * INPUTS, last = n - INPUTS;
    float *at;

    assert(cols % block == 0 && rows > 0);
    x->rows = rows;
    x->cols = cols;
    x->block = block;
    x->codes = x->memory;
    at = (float *)(void *)(x->codes + n * cols);
    x->scales = at;
    at += n * (cols / block);
    for (int k = block == 32; k < 2; k++) {
        const size_t groups = cols / (k ? 32 : 16);
        x->sums[k] = at;
        x->offsets[k] = (int32_t *)(void *)(at + n * groups);
        at += 2 * n * groups;
        /* what fills up the last panel is multiplied, too */
        memset(x->sums[k] + last * groups, 0, INPUTS * groups * sizeof *at);
        memset(x->offsets[k] + last * groups, 0, INPUTS * groups * sizeof *at);
    }
    assert((size_t)((char *)at - (char *)x->memory) <= x->room);
    memset(x->codes + last * cols, 0, INPUTS * cols);
    memset(x->scales + last * (cols / block), 0, INPUTS * (cols / block) * sizeof *at);
}

void
mpq_gemm8_inputs_free(struct mpq_gemm8_inputs *x)
{
    free(x->memory);
    *x = (struct mpq_gemm8_inputs){ 0 };
}

/* --- the product ----------------------------------------------------------------- */

/* Kernel set I, the fastest first. */
static const struct mpq_gemm8_kernels *
kernels(size_t i)
{
    const struct mpq_gemm8_kernels *have[3];
    size_t n = 0;

#ifdef MPQ_GEMM8_X86
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl"))
        have[n++] = &mpq_gemm8_avx512;
    if (__builtin_cpu_supports("avx2"))
        have[n++] = &mpq_gemm8_avx2;
#endif
    have[n++] = &mpq_gemm8_plain;
    return i < n ? have[i] : NULL;
}

static int
form_number(struct mpq_gemm8_form form)
{
#define IS_FORM(i, g, b, m)                                                            \
    if (form.group == (g) && form.block == (b) && !form.has_min == !(m))               \
        return i;
    MPQ_GEMM8_EACH_FORM(IS_FORM)
    return -1;
}

/* Panel W_PANEL by X_PANEL, columns [col, col + n) of the inputs; TO as in mpq_gemm8.
 */
static struct mpq_gemm8_tile
tile_of(const struct mpq_gemm8_weights *w, const struct mpq_gemm8_inputs *x,
        size_t w_panel, size_t x_panel, size_t w_col, size_t col, size_t n)
{
    const size_t group = w->form.group, block = x->block;
    const size_t w_group = w_panel * (w->cols / group) + (w_col + col) / group;
    const size_t x_group = x_panel * (x->cols / group) + col / group;
    const int k = group == 32;

    return (struct mpq_gemm8_tile){
        .w = w->codes + (w_panel * w->cols + w_col + col) * ROWS,
        .scale = w->scales + w_group * ROWS,
        .min = w->mins ? w->mins + w_group * ROWS : w->scales, /* not read */
        .x = x->codes + (x_panel * x->cols + col) * INPUTS,
        .x_scale = x->scales + (x_panel * (x->cols / block) + col / block) * INPUTS,
        .offset = x->offsets[k] + x_group * INPUTS,
        .sum = x->sums[k] + x_group * INPUTS,
        .blocks = n / block,
    };
}

/* A tile at an edge: its results go through memory of a whole one. */
static void
run_edge(mpq_gemm8_kernel *kernel, struct mpq_gemm8_tile *t, size_t inputs, size_t rows,
         float *out, size_t ld)
{
    float whole[INPUTS * ROWS] = { 0 };

    for (size_t i = 0; i < inputs; i++)
        memcpy(whole + i * ROWS, out + i * ld, rows * sizeof *out);
    t->out = whole;
    t->ld = ROWS;
    kernel(t);
    for (size_t i = 0; i < inputs; i++)
        memcpy(out + i * ld, whole + i * ROWS, rows * sizeof *out);
}

static size_t
min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* One panel of weights, its first N_ROWS rows, with all inputs. */
static void
run_panel(mpq_gemm8_kernel *kernel, const struct mpq_gemm8_weights *w,
          const struct mpq_gemm8_inputs *x, const struct mpq_gemm8_part *p,
          size_t panel, size_t n_rows, float *out, size_t ld)
{
    for (size_t col = 0; col < x->cols; col += DEPTH)
        for (size_t i = 0; i < p->inputs; i += INPUTS) {
            const size_t n = min_size(INPUTS, p->inputs - i);
            struct mpq_gemm8_tile t =
                tile_of(w, x, panel, (p->input + i) / INPUTS, p->col, col,
                        min_size(DEPTH, x->cols - col));
            t.out = out + i * ld;
            t.ld = ld;
            if (n == INPUTS && n_rows == ROWS)
                kernel(&t);
            else
                run_edge(kernel, &t, n, n_rows, out + i * ld, ld);
        }
}

static void
multiply(const struct mpq_gemm8_kernels *set, const struct mpq_gemm8_weights *w,
         const struct mpq_gemm8_inputs *x, const struct mpq_gemm8_part *p, int add,
         float *out, size_t ld)
{
    const int form = form_number(w->form);

    assert(form >= 0);
    mpq_gemm8_kernel *kernel = set->of[form];
    assert(p->row % ROWS == 0 && p->row + p->n_rows <= w->rows);
    assert(p->input % INPUTS == 0 && p->input + p->inputs <= x->rows);
    assert(p->col % w->form.block == 0 && p->col + x->cols <= w->cols);
    assert(x->block == w->form.block);
    for (size_t i = 0; !add && i < p->inputs; i++)
        memset(out + i * ld, 0, p->n_rows * sizeof *out);
    for (size_t r = 0; r < p->n_rows; r += ROWS)
        run_panel(kernel, w, x, p, (p->row + r) / ROWS, min_size(ROWS, p->n_rows - r),
                  out + r, ld);
}

void
mpq_gemm8(const struct mpq_gemm8_weights *w, const struct mpq_gemm8_inputs *x,
          const struct mpq_gemm8_part *p, int add, float *out, size_t ld)
{
    multiply(kernels(0), w, x, p, add, out, ld);
}

int
mpq_gemm8_by(size_t i, const struct mpq_gemm8_weights *w,
             const struct mpq_gemm8_inputs *x, const struct mpq_gemm8_part *p, int add,
             float *out, size_t ld)
{
    const struct mpq_gemm8_kernels *set = kernels(i);

    if (set)
        multiply(set, w, x, p, add, out, ld);
    return set != NULL;
}

const char *
mpq_gemm8_name(size_t i)
{
    const struct mpq_gemm8_kernels *set = kernels(i);

    return set ? set->name : NULL;
}
