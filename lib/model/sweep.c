#include "model/sweep.h"

#include "base/parse.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { MAX_STEPS = 100000 };

/* Cuts TEXT at its colons into three words; -1 when there are not three. */
static int
cut(const char *text, char word[3][32])
{
    for (int i = 0; i < 3; i++) {
        size_t n = strcspn(text, ":");
        if (n == 0 || n >= sizeof *word || (text[n] == ':') != (i < 2))
            return -1;
        memcpy(word[i], text, n);
        word[i][n] = '\0';
        text += n + 1;
    }
    return 0;
}

int
mpq_sweep_parse(struct mpq_sweep *s, const char *text, struct mpq_err *err)
{
    char word[3][32];
    double value[3] = { 0 };
    uint64_t bytes;
    int ok = cut(text, word) == 0;

    *s = (struct mpq_sweep){ 0 };
    for (int i = 0; ok && i < 3; i++) {
        if (mpq_parse_double(word[i], &value[i]) == 0)
            continue;
        s->by_size = 1;
        ok = mpq_parse_bytes(word[i], &bytes) == 0;
        value[i] = ok ? (double)bytes : 0;
    }
    double steps = (value[1] - value[0]) / value[2];
    if (!ok || !(value[0] > 0 && value[1] >= value[0] && value[2] > 0) ||
        steps > MAX_STEPS || value[1] > 1e18)
        return mpq_fail(err, MPQ_EUSAGE,
                        "%.80s: a sweep is A:B:STEP, bits or sizes, 0 < A <= B, of at "
                        "most %d steps",
                        text, MAX_STEPS);
    s->first = value[0];
    s->step = value[2];
    s->n = (size_t)floor(steps * (1 + 1e-12) + 1e-9) + 1;
    return 0;
}

double
mpq_sweep_at(const struct mpq_sweep *s, size_t i, char text[32])
{
    double value = s->first + (double)i * s->step;

    snprintf(text, 32, s->by_size ? "%.0f" : "%.9g", value);
    if (mpq_parse_double(text, &value) < 0)
        return 0;
    return value;
}
