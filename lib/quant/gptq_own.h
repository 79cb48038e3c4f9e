/* What the gptq*.c files share; nobody else includes this. */
#ifndef MPQ_QUANT_GPTQ_OWN_H
#define MPQ_QUANT_GPTQ_OWN_H

#include "quant/gptq.h"
#include "quant/grid.h"

enum { MPQ_GPTQ_BATCH = 128 }; /* columns between two matrix products */

struct mpq_gptq {
    size_t cols, block; /* block: elements whose scales are searched at once */
    struct mpq_type type;
    struct mpq_grid grid;
    enum mpq_effort effort;
    unsigned sweeps;
    double unit;       /* times H is what u and h are of: near 1, within float */
    float *u;          /* [cols][cols], upper triangular, in rounding order */
    float *h;          /* [cols][cols], damped, in rounding order; NULL: no polish */
    float *importance; /* [cols] 1 / u_jj^2, at a column's own place */
    size_t *order;     /* [cols] the column that is rounded as the i-th */
};

/* A tile of MPQ_GPTQ_ROWS rows under way, cut out of the caller's scratch memory; all
 * but row and group transposed, [column][row], columns in rounding order. */
struct mpq_gptq_tile {
    size_t n;                 /* rows in use */
    const unsigned char *dst; /* where they go */
    float *aim;               /* [cols] the weights that are to be rounded */
    float *wt;                /* [cols] with feedback; later the gradient of the loss */
    float *value;             /* [cols] what has been chosen */
    float *scale, *offset;    /* [cols] its grid */
    float *err;               /* [BATCH] errors over u_ii; steps */
    float *block;             /* [3 * block] of one block */
    float *row;               /* [3 * block] one row of a block, in its own order */
    unsigned char *code;      /* [cols] */
    unsigned char *group;     /* an intB group by itself; codes of a row */
};

/* The grid of the block that the I-th column in order is of. */
struct mpq_grid
mpq_gptq_grid(const struct mpq_gptq *g, const struct mpq_gptq_tile *t, size_t i);
/* The codes next to w, the values that they stand for, for a column of a tile. */
void mpq_gptq_round(const struct mpq_grid *grid, const float *w, const float *scale,
                    const float *offset, unsigned char *code, float *value);
/* wt[k] -= u[k] * err for N columns. */
void mpq_gptq_feed(float *wt, const float *u, const float *err, size_t n);
/* What moving the line of a block, scale by ds and offset by do, gains: 2 (ds el + do
 * eo) - ds^2 ll - 2 ds do lo - do^2 oo. */
struct mpq_gptq_normal {
    float ll[MPQ_GPTQ_ROWS], lo[MPQ_GPTQ_ROWS], oo[MPQ_GPTQ_ROWS];
    float el[MPQ_GPTQ_ROWS], eo[MPQ_GPTQ_ROWS];
};

/* Lines as the type keeps them. */
void mpq_gptq_snap(const struct mpq_gptq *g, float *scale, float *offset);
/* Moves lines to where the gain is greatest, and rounds them. */
void mpq_gptq_solve(const struct mpq_gptq *g, const struct mpq_gptq_normal *n,
                    float *scale, float *offset);
/* The levels of codes. */
void
mpq_gptq_levels(const struct mpq_grid *grid, const unsigned char *code, float *level);
/* Moves the line of the block at I to the best of some that lie around it. */
void
mpq_gptq_search(const struct mpq_gptq *g, struct mpq_gptq_tile *t, size_t i, size_t n);
/* Lowers the loss by moving codes and lines; returns what it is in the end. */
double mpq_gptq_polish(const struct mpq_gptq *g, struct mpq_gptq_tile *t);

#endif
