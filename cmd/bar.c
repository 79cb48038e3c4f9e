/* The progress bar. */
#include "cli.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct cli_bar {
    pthread_mutex_t lock;
    const char *what, *unit;
    uint64_t total, done;
    double start, shown;
    int drawn;
};

static double
now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* NULL, which the other functions take, when nothing is to be shown. */
struct cli_bar *
cli_bar_new(const char *what, uint64_t total, const char *unit)
{
    struct cli_bar *bar;
    enum { ALWAYS = 1, NEVER = 2 };

    if (cli.progress == NEVER || cli.quiet)
        return NULL;
    if (cli.progress != ALWAYS && !isatty(STDERR_FILENO))
        return NULL;
    bar = calloc(1, sizeof *bar);
    if (!bar)
        return NULL;
    pthread_mutex_init(&bar->lock, NULL);
    bar->what = what;
    bar->unit = unit;
    bar->total = total;
    bar->start = now();
    bar->shown = cli.progress == ALWAYS ? bar->start - 1 : bar->start + 0.9;
    return bar;
}

static void
draw(struct cli_bar *bar, double t)
{
    enum { WIDTH = 30 };
    char line[WIDTH + 1] = { 0 };
    double part = bar->total ? (double)bar->done / (double)bar->total : 1;
    double seconds = t - bar->start;
    double rate = seconds > 0 ? (double)bar->done / seconds : 0;
    double left = rate > 0 ? (double)(bar->total - bar->done) / rate : 0;

    for (int i = 0; i < WIDTH; i++)
        line[i] = i < part * WIDTH ? '=' : ' ';
    fprintf(stderr, "\r%s [%s] %3.0f%% %.3g %s/s, %.0f s left \x1b[K", bar->what, line,
            100 * part, rate, bar->unit, left);
    fflush(stderr);
    bar->shown = t;
    bar->drawn = 1;
}

void
cli_bar_add(struct cli_bar *bar, uint64_t done)
{
    if (!bar)
        return;
    pthread_mutex_lock(&bar->lock);
    bar->done += done;
    if (bar->done > bar->total)
        bar->done = bar->total;
    double t = now();
    if (t - bar->shown >= 0.1)
        draw(bar, t);
    pthread_mutex_unlock(&bar->lock);
}

void
cli_bar_free(struct cli_bar *bar)
{
    if (!bar)
        return;
    if (bar->drawn)
        fputs("\r\x1b[K", stderr);
    pthread_mutex_destroy(&bar->lock);
    free(bar);
}
