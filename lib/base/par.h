/*
 * Parallel loops. Which thread runs which item never shows in a result: an item
 * writes only what belongs to it, and reductions run in item order afterward.
 */
#ifndef MPQ_BASE_PAR_H
#define MPQ_BASE_PAR_H

#include "base/err.h"

#include <stddef.h>

/* One item of work. THREAD is in [0, n_threads), for scratch memory. A return
 * of -1 (with *err set) stops the loop: no new item is started. */
typedef int mpq_par_fn(void *ctx, size_t item, unsigned thread, struct mpq_err *err);

/* Runs items 0..n-1 on up to N_THREADS threads, handed out in order. Returns 0,
 * or -1 with the error of the lowest item that failed. If a thread cannot be
 * made, the loop runs with those there are. */
MPQ_MUST_CHECK int mpq_par_for(unsigned n_threads, size_t n, mpq_par_fn *fn, void *ctx,
                               struct mpq_err *err);

/* How many cores this process may run on, at least 1: what a batch system or container
 * leaves it (sched_getaffinity), or, where that cannot be asked, all that are online.
 */
unsigned mpq_par_cores(void);

#endif
