/*
 * Eight doubles at a time, for recurrences that run in every lane by themselves: GCC
 * and clang lower these types to what the processor has. Written out, because a choice
 * between two values keeps the compilers from doing it by themselves.
 */
#ifndef MPQ_NUM_LANES_H
#define MPQ_NUM_LANES_H

#include <stdint.h>

typedef double v8d __attribute__((vector_size(64), aligned(8)));
typedef int64_t v8l __attribute__((vector_size(64), aligned(8)));

/* Lane by lane MASK ? A : B; MASK is what comparing two v8d gives. */
#define V8_SELECT(mask, a, b) ((v8d)(((mask) & (v8l)(a)) | (~(mask) & (v8l)(b))))
#define V8_ABS(x)             ((v8d)((v8l)(x)&INT64_MAX))
#define V8_ALL(x)             ((v8d){ 0 } + (x)) /* the number x in every lane */

#endif
