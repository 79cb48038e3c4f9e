/*
 * Makes the tables of lib/quant/error.c: mean squared error of each type on standard
 * normal rows of 4,096 columns at the default effort. Build after `make` and run:
 *
 *   cc -O2 -Ilib tests/bench/type_error.c build/opt/libmpq.a $(pkg-config --libs zlib \
 *      yaml-0.1 jansson) -lm -lpthread -o build/type_error && build/type_error
 *
 * Numbers from splitmix64 (Steele, Lea, Flood 2014) by the Box-Muller transform; 256
 * rows, which leaves a standard error of some 0.2%.
 */
#include "quant/codec.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROWS = 256, COLS = 4096 };

static float rows[ROWS][COLS];

static double
uniform(void)
{
    static uint64_t state = 1;
    uint64_t z = state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return ((double)((z ^ z >> 31) >> 11) + 0.5) / 9007199254740992.0;
}

static void
fill(void)
{
    for (int r = 0; r < ROWS; r++) {
        for (int i = 0; i < COLS; i += 2) {
            const double radius = sqrt(-2 * log(uniform()));
            const double angle = 6.283185307179586 * uniform();
            rows[r][i] = (float)(radius * cos(angle));
            rows[r][i + 1] = (float)(radius * sin(angle));
        }
    }
}

static double
error_of(struct mpq_type t)
{
    static unsigned char packed[8 * COLS];
    static float back[COLS];
    double sum = 0;

    for (int r = 0; r < ROWS; r++) {
        mpq_encode_row(t, rows[r], NULL, packed, COLS, MPQ_EFFORT_DEFAULT);
        mpq_decode_row(t, packed, back, COLS);
        for (int i = 0; i < COLS; i++) {
            const double d = (double)rows[r][i] - (double)back[i];
            sum += d * d;
        }
    }
    return sum / ((double)ROWS * COLS);
}

static void
print_native(int symmetric)
{
    printf("    { /* %s */\n", symmetric ? "symmetric" : "asymmetric");
    for (int bits = 1; bits <= 8; bits++) {
        printf("      {");
        for (uint32_t group = 4; group <= COLS; group *= 2) {
            const struct mpq_type t = { .id = MPQ_INT,
                                        .bits = (uint8_t)bits,
                                        .symmetric = (uint8_t)symmetric,
                                        .group = group };
            printf("%s%.4g", group > 4 ? ", " : " ", error_of(t));
        }
        printf(" },\n");
    }
    printf("    },\n");
}

int
main(void)
{
    fill();
    for (unsigned id = 0; id < MPQ_DTYPE_GGML_END; id++) {
        const struct mpq_type t = MPQ_TYPE(id);
        char name[MPQ_TYPE_NAME_MAX];
        if (mpq_codec_writes(t))
            printf("    { %u, %.4g }, /* %s */\n", id, error_of(t),
                   mpq_type_name(t, name));
    }
    print_native(0);
    print_native(1);
    return 0;
}
