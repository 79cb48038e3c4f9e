/* mpq-calibmix: the traces of texts and target, and the mixture that is most like it. */
#include "calibmix_own.h"

#include "base/buf.h"
#include "method/mix.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_POINTS = 100000 };

/* A path goes into a cell of the table. */
static int
check_name(const char *path, struct mpq_err *err)
{
    if (strpbrk(path, "\t\r\n"))
        return mpq_fail(err, MPQ_EUSAGE, "%s: a name with a tab or a line's end", path);
    return 0;
}

static void
on_progress(void *bar, uint64_t tokens)
{
    cli_bar_add(bar, tokens);
}

/* N samples of TEXT, which PATH has, drawn by the seed, and their trace. */
static int
trace_of(struct calibmix_job *j, const char *path, const struct mpq_calib *text,
         double *trace, struct mpq_err *err)
{
    struct mpq_calib part = { 0 };
    uint64_t drawn;
    int rc = -1;

    if (mpq_calib_draw(&part, text, calibmix.samples * calibmix.ctx, cli.seed, &drawn,
                       err) == 0) {
        if (drawn < calibmix.samples * calibmix.ctx)
            cli_note("%s: %llu tokens, all there are, where -n %llu would have %llu",
                     path, (unsigned long long)drawn,
                     (unsigned long long)calibmix.samples,
                     (unsigned long long)(calibmix.samples * calibmix.ctx));
        struct cli_bar *bar = cli_bar_new("traces", drawn * j->n_layers, "tokens");
        rc = mpq_traces(j->forward, &part.seqs, (unsigned)cli.threads, trace,
                        on_progress, bar, err);
        cli_bar_free(bar);
    }
    mpq_calib_free(&part);
    return rc;
}

static int
trace_targets(struct calibmix_job *j, struct mpq_err *err)
{
    double *all = mpq_array(calibmix.targets.n, j->n_layers * sizeof *all);
    int rc = -1;

    if (!all)
        return calibmix_no_memory(err);
    for (size_t i = 0; i < calibmix.targets.n; i++) {
        struct mpq_calib text = { 0 };
        rc = calibmix_read_text(j, calibmix.targets.items[i], &text, err);
        if (rc == 0)
            rc = trace_of(j, calibmix.targets.items[i], &text, all + i * j->n_layers,
                          err);
        mpq_calib_free(&text);
        if (rc < 0)
            break;
    }
    if (rc == 0)
        mpq_mix_target(all, calibmix.targets.n, j->n_layers, j->target);
    free(all);
    return rc;
}

/* The trace of a mixture: the sum of its parts, or measured. */
static int
mixed_trace(struct calibmix_job *j, const double *shares, double *trace,
            struct mpq_err *err)
{
    struct mpq_calib mix = { 0 };
    int rc = -1;

    if (!calibmix.measure) {
        mpq_mix_trace(j->traces, j->n, j->n_layers, shares, trace);
        return 0;
    }
    if (calibmix_compose(j, shares, calibmix.samples * calibmix.ctx, &mix, NULL, err) ==
        0)
        rc = mpq_traces(j->forward, &mix.seqs, (unsigned)cli.threads, trace,
                        on_progress, j->bar, err);
    mpq_calib_free(&mix);
    return rc;
}

/* Mixtures that were looked at. */
struct points {
    const double *shares;  /* [count][n_sources] */
    const double *cosines; /* [count] */
    size_t count, n_sources, chosen;
    const struct mpq_calib *texts; /* [n_sources] */
};

static int
put_points(const void *job, struct mpq_tsv_writer *w, struct mpq_err *err)
{
    const struct points *points = job;

    if (mpq_tsv_put_meta(w, err, "ctx %llu", (unsigned long long)calibmix.ctx) < 0)
        return -1;
    for (size_t i = 0; i < points->n_sources; i++)
        if (mpq_tsv_put_meta(w, err, "source id=%016" PRIx64 " name=%s",
                             points->texts[i].id, calibmix.sources.items[i]) < 0)
            return -1;
    if (mpq_tsv_columns(w, "point\tsource\tweight\tcosine\tchosen", err) < 0)
        return -1;
    for (size_t p = 0; p < points->count; p++)
        for (size_t i = 0; i < points->n_sources; i++)
            if (mpq_tsv_row(w, err, "%zu\t%s\t%.17g\t%.17g\t%d", p + 1,
                            calibmix.sources.items[i],
                            points->shares[p * points->n_sources + i],
                            points->cosines[p], p == points->chosen) < 0)
                return -1;
    return 0;
}

static void
note_choice(const struct calibmix_job *j, const double *shares, double cosine)
{
    struct mpq_buf text = { 0 };

    for (size_t i = 0; i < j->n; i++)
        mpq_buf_printf(&text, "%s%.4g %s", i ? ", " : "", shares[i],
                       calibmix.sources.items[i]);
    if (!text.failed)
        cli_note("%s: cosine %.6f", text.data, cosine);
    mpq_buf_free(&text);
}

/* All points of the grid, and after them the best of the simplex. */
static int
search(struct calibmix_job *j, struct mpq_err *err)
{
    const size_t count = j->n_points;
    double *points = realloc(j->points, (count + 1) * j->n * sizeof *points);
    double *cosines = mpq_array(count + 1, sizeof *cosines),
           *mixed = mpq_array(j->n_layers, sizeof *mixed);
    const int any_share = calibmix.optimum || j->n > 2;
    size_t chosen = 0;
    int rc = -1;

    j->points = points ? points : j->points;
    if (!points || !cosines || !mixed) {
        calibmix_no_memory(err);
        goto out;
    }
    if (mpq_mix_best(j->traces, j->n, j->n_layers, j->target, points + count * j->n,
                     err) < 0)
        goto out;
    if (calibmix.measure)
        j->bar = cli_bar_new(
            "mixtures", (count + 1) * calibmix.samples * calibmix.ctx * j->n_layers,
            "tokens");
    for (size_t p = 0; p <= count; p++) {
        if (mixed_trace(j, points + p * j->n, mixed, err) < 0)
            goto out;
        cosines[p] = mpq_cosine(mixed, j->target, j->n_layers);
        if ((p < count || any_share) && cosines[p] > cosines[chosen])
            chosen = p;
    }
    if (any_share && !calibmix.measure) /* the best of all sums, but for rounding */
        chosen = count;
    const struct points all = { points, cosines, count + 1, j->n, chosen, j->texts };
    rc = cli_write_table("mix", mpq_source_hparams(j->model)->name, put_points, &all,
                         err);
    if (rc == 0)
        note_choice(j, points + chosen * j->n, cosines[chosen]);
out:
    cli_bar_free(j->bar);
    j->bar = NULL;
    free(cosines);
    free(mixed);
    return rc;
}

int
calibmix_find(struct calibmix_job *j, struct mpq_err *err)
{
    j->n = calibmix.sources.n;
    if (mpq_mix_grid(j->n, (size_t)calibmix.steps, MOST_POINTS, &j->points,
                     &j->n_points, err) < 0)
        return -1;
    j->texts = mpq_array(j->n, sizeof *j->texts);
    if (mpq_forward_new(&j->forward, j->model, (unsigned)cli.threads, err) < 0)
        return -1;
    j->n_layers = mpq_forward_net(j->forward)->n_layer;
    j->traces = mpq_array(j->n, j->n_layers * sizeof *j->traces);
    j->target = mpq_array(j->n_layers, sizeof *j->target);
    if (!j->texts || !j->traces || !j->target)
        return calibmix_no_memory(err);
    for (size_t i = 0; i < j->n; i++)
        if (check_name(calibmix.sources.items[i], err) < 0 ||
            calibmix_read_text(j, calibmix.sources.items[i], &j->texts[i], err) < 0 ||
            trace_of(j, calibmix.sources.items[i], &j->texts[i],
                     j->traces + i * j->n_layers, err) < 0)
            return -1;
    if (trace_targets(j, err) < 0)
        return -1;
    return search(j, err);
}
