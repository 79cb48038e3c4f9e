/*
 * How fast this machine reads and decodes a model: the limits that mpq-stats is held
 * against. Each figure is the best of five passes over the whole file, on N threads,
 * with the file in the page cache and mapped anew for each pass, as a program has to
 * that reads it once.
 *
 *   rates MODEL THREADS
 *   read SECONDS     every byte of every tensor summed as 64-bit words
 *   decode SECONDS   every row of every tensor decoded to floats
 */
#include "base/buf.h"
#include "base/par.h"
#include "base/parse.h"
#include "base/simd.h"
#include "model/source.h"
#include "quant/codec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CHUNK = 1 << 18, PASSES = 5 };

struct piece { /* of a tensor, about CHUNK bytes: whole rows */
    const struct mpq_weight *w;
    uint64_t row, n;
};

struct pass {
    const struct mpq_source *source;
    struct piece *pieces;
    float **rows; /* [threads] one decoded row */
    uint64_t sum; /* so that the reads are not dropped */
};

static double
now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

MPQ_CLONES static uint64_t
sum_words(const unsigned char *p, size_t n)
{
    uint64_t sum = 0;
    for (; n >= 8; n -= 8, p += 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        sum += word;
    }
    return sum;
}

static int
read_piece(void *ctx, size_t i, unsigned thread, struct mpq_err *err)
{
    struct pass *p = ctx;
    const struct piece *x = &p->pieces[i];
    const uint64_t row_bytes = x->w->tensor.size_bytes / x->w->rows;
    uint64_t sum =
        sum_words(x->w->tensor.data + x->row * row_bytes, (size_t)(x->n * row_bytes));
    (void)thread;
    (void)err;
    if (sum == 1) /* as good as never, but the compiler cannot know */
        p->sum = sum;
    return 0;
}

static int
decode_piece(void *ctx, size_t i, unsigned thread, struct mpq_err *err)
{
    struct pass *p = ctx;
    const struct piece *x = &p->pieces[i];
    const uint64_t row_bytes = x->w->tensor.size_bytes / x->w->rows;
    (void)err;
    for (uint64_t r = x->row; r < x->row + x->n; r++)
        mpq_decode_row(x->w->tensor.type, x->w->tensor.data + r * row_bytes,
                       p->rows[thread], (size_t)x->w->cols);
    return 0;
}

/* Cuts every tensor of p->source into pieces; returns their number. */
static size_t
cut(struct pass *p)
{
    size_t n = 0, cap = 0;

    for (size_t i = 0; i < mpq_source_count(p->source); i++) {
        const struct mpq_weight *w = mpq_source_weight(p->source, i);
        uint64_t rows = CHUNK * w->rows / w->tensor.size_bytes + 1;
        for (uint64_t row = 0; row < w->rows; row += rows) {
            if (mpq_grow(&p->pieces, &cap, n + 1, sizeof *p->pieces) < 0)
                exit(1);
            uint64_t left = w->rows - row;
            p->pieces[n++] = (struct piece){ w, row, left < rows ? left : rows };
        }
    }
    return n;
}

static uint64_t
widest(const struct mpq_source *s)
{
    uint64_t cols = 1;
    for (size_t i = 0; i < mpq_source_count(s); i++)
        if (mpq_source_weight(s, i)->cols > cols)
            cols = mpq_source_weight(s, i)->cols;
    return cols;
}

/* Seconds of one pass over a new mapping. */
static double
pass(const char *path, unsigned threads, mpq_par_fn *fn)
{
    struct mpq_source *s = NULL;
    struct mpq_err err = { 0 };

    if (mpq_source_open(&s, path, NULL, &err) < 0) {
        fprintf(stderr, "rates: %s\n", err.text);
        exit(1);
    }
    struct pass p = { .source = s, .rows = mpq_array(threads, sizeof *p.rows) };
    for (unsigned t = 0; p.rows && t < threads; t++)
        p.rows[t] = mpq_array((size_t)widest(s), sizeof(float));
    size_t n = cut(&p);
    double start = now();
    if (!p.rows || mpq_par_for(threads, n, fn, &p, NULL) < 0)
        exit(1);
    double seconds = now() - start;
    for (unsigned t = 0; t < threads; t++)
        free(p.rows[t]);
    free(p.rows);
    free(p.pieces);
    mpq_source_free(s);
    return seconds;
}

static double
best(const char *path, unsigned threads, mpq_par_fn *fn)
{
    double least = 1e30;
    for (int i = 0; i < PASSES; i++) {
        double seconds = pass(path, threads, fn);
        least = seconds < least ? seconds : least;
    }
    return least;
}

int
main(int argc, char **argv)
{
    uint64_t threads;

    if (argc != 3 || mpq_parse_u64(argv[2], &threads) < 0 || threads < 1 ||
        threads > 1024) {
        fprintf(stderr, "usage: rates MODEL THREADS\n");
        return 2;
    }
    printf("read %.6f\n", best(argv[1], (unsigned)threads, read_piece));
    printf("decode %.6f\n", best(argv[1], (unsigned)threads, decode_piece));
    return 0;
}
