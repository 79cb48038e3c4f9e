/* Rotary embeddings with their scalings, worked out in double. */
#include "base/buf.h"
#include "model/net_own.h"

#include <math.h>

static const double pi = 3.14159265358979323846;

static double
clamp01(double x)
{
    return x < 0 ? 0 : x > 1 ? 1 : x;
}

/* Which pair turns TURNS times in the old context (a real number). */
static double
pair_of(const struct mpq_rope_spec *s, double n_rot, double turns)
{
    return n_rot * log(s->old_ctx / (turns * 2 * pi)) / (2 * log(s->base));
}

/* How much of pair I's own frequency yarn keeps (arXiv 2309.00071, section 3.2, with
 * the rounding of the authors' code). */
static double
yarn_keeps(const struct mpq_rope_spec *s, double n_rot, double i)
{
    double first = pair_of(s, n_rot, s->beta_fast);
    double last = pair_of(s, n_rot, s->beta_slow);

    if (!s->no_rounding) {
        first = floor(first);
        last = ceil(last);
    }
    first = fmax(first, 0);
    last = fmin(last, n_rot - 1);
    return (1 - clamp01((i - first) / fmax(last - first, 0.001))) * s->mix;
}

static double
frequency(const struct mpq_rope_spec *s, double n_rot, double i)
{
    const double plain = pow(s->base, -2 * i / n_rot);
    double keep = 0;

    switch (s->kind) {
    case MPQ_ROPE_PLAIN:
        return plain;
    case MPQ_ROPE_LINEAR:
        break;
    case MPQ_ROPE_LLAMA3: /* Meta's apply_scaling: linear in the turns made */
        keep = clamp01((s->old_ctx * plain / (2 * pi) - s->low) / (s->high - s->low));
        break;
    case MPQ_ROPE_YARN:
        keep = yarn_keeps(s, n_rot, i);
        break;
    }
    return plain * (keep + (1 - keep) / s->factor);
}

static int
is_positive(double x)
{
    return x > 0 && isfinite(x);
}

int
mpq_rope_make(struct mpq_rope *out, const struct mpq_rope_spec *spec, size_t head_dim,
              const char *name, struct mpq_err *err)
{
    const int scaled = spec->kind != MPQ_ROPE_PLAIN;
    const int by_context = spec->kind == MPQ_ROPE_LLAMA3 || spec->kind == MPQ_ROPE_YARN;
    uint64_t n_rot = spec->n_rot ? spec->n_rot : head_dim;

    if (spec->part > 0 && spec->part < 1)
        n_rot = (uint64_t)((double)head_dim * spec->part);
    if (n_rot < 2 || n_rot % 2 || n_rot > head_dim)
        return mpq_fail(err, MPQ_EDATA,
                        "%s: rotary embedding of %llu dimensions in heads of %zu", name,
                        (unsigned long long)n_rot, head_dim);
    if (!(spec->base > 1) || !isfinite(spec->base))
        return mpq_fail(err, MPQ_EDATA, "%s: rotary embedding: base %g", name,
                        spec->base);
    if ((scaled && !is_positive(spec->factor)) || !is_positive(spec->gain))
        return mpq_fail(err, MPQ_EDATA, "%s: rope scaling: factor %g, gain %g", name,
                        spec->factor, spec->gain);
    if (by_context && !is_positive(spec->old_ctx))
        return mpq_fail(err, MPQ_EDATA, "%s: rope scaling: original context %g", name,
                        spec->old_ctx);
    if (spec->kind == MPQ_ROPE_LLAMA3 && !(spec->low < spec->high))
        return mpq_fail(err, MPQ_EDATA,
                        "%s: rope scaling: low_freq_factor %g is not below"
                        " high_freq_factor %g",
                        name, spec->low, spec->high);
    if (spec->kind == MPQ_ROPE_YARN &&
        (!is_positive(spec->beta_fast) || !is_positive(spec->beta_slow)))
        return mpq_fail(err, MPQ_EDATA, "%s: rope scaling: beta_fast %g, beta_slow %g",
                        name, spec->beta_fast, spec->beta_slow);
    out->n_rot = (size_t)n_rot;
    out->gain = (float)spec->gain;
    out->freq = mpq_array(out->n_rot / 2, sizeof *out->freq);
    if (!out->freq)
        return mpq_fail(err, MPQ_ENOMEM, "%s: out of memory", name);
    for (size_t i = 0; i < out->n_rot / 2; i++)
        out->freq[i] = (float)frequency(spec, (double)n_rot, (double)i);
    return 0;
}
