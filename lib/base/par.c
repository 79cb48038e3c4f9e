#ifdef __linux__
#define _GNU_SOURCE /* sched_getaffinity */
#endif
#include "base/par.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

struct loop {
    pthread_mutex_t lock;
    size_t next, n;
    mpq_par_fn *fn;
    void *ctx;
    int failed;
    size_t failed_item;
    struct mpq_err err;
};

struct worker {
    struct loop *loop;
    unsigned thread;
    pthread_t id;
};

/* The next item, or n when there is none left. */
static size_t
take(struct loop *l)
{
    pthread_mutex_lock(&l->lock);
    size_t item = l->failed ? l->n : l->next;
    if (item < l->n)
        l->next++;
    pthread_mutex_unlock(&l->lock);
    return item;
}

static void
note_failure(struct loop *l, size_t item, const struct mpq_err *err)
{
    pthread_mutex_lock(&l->lock);
    if (!l->failed || item < l->failed_item) {
        l->failed = 1;
        l->failed_item = item;
        l->err = *err;
    }
    pthread_mutex_unlock(&l->lock);
}

static void *
work(void *arg)
{
    struct worker *w = arg;
    struct loop *l = w->loop;

    for (;;) {
        struct mpq_err err = { 0 };
        size_t item = take(l);
        if (item >= l->n)
            return NULL;
        if (l->fn(l->ctx, item, w->thread, &err) < 0)
            note_failure(l, item, &err);
    }
}

int
mpq_par_for(unsigned n_threads, size_t n, mpq_par_fn *fn, void *ctx,
            struct mpq_err *err)
{
    struct loop l = { .lock = PTHREAD_MUTEX_INITIALIZER, .n = n, .fn = fn, .ctx = ctx };
    struct worker self = { .loop = &l };
    struct worker *w = NULL;
    unsigned started = 0;

    if (n_threads > n)
        n_threads = (unsigned)n;
    if (n_threads > 1)
        w = calloc(n_threads - 1, sizeof *w);
    for (unsigned t = 1; w && t < n_threads; t++) {
        w[t - 1] = (struct worker){ .loop = &l, .thread = t };
        if (pthread_create(&w[t - 1].id, NULL, work, &w[t - 1]))
            break;
        started++;
    }
    work(&self);
    for (unsigned t = 0; t < started; t++)
        pthread_join(w[t].id, NULL);
    free(w);
    pthread_mutex_destroy(&l.lock);
    if (!l.failed)
        return 0;
    if (err && !err->code)
        *err = l.err;
    return -1;
}

unsigned
mpq_par_cores(void)
{
#ifdef __linux__
    cpu_set_t set; /* refused by the kernel where there are more than 1,024 */

    if (sched_getaffinity(0, sizeof set, &set) == 0)
        return (unsigned)CPU_COUNT(&set);
#endif
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (unsigned)n : 1;
}
