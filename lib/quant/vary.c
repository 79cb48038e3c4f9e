#include "quant/vary.h"

#include <math.h>

void
mpq_vary(struct mpq_type t, const double *salience, size_t cols, int reach,
         unsigned char *map)
{
    const size_t groups = (size_t)mpq_type_groups(t, cols), full = cols / t.group;
    const int least = t.bits - reach < 1 ? 1 : t.bits - reach;
    const int most = t.bits + reach > 8 ? 8 : t.bits + reach;
    size_t left = full * (size_t)(t.bits - least);

    for (size_t g = 0; g < groups; g++)
        map[g] = (unsigned char)(g < full ? least : t.bits);
    for (; left > 0; left--) {
        size_t best = full;
        double gain = -1;
        for (size_t g = 0; g < full; g++) {
            const double now = ldexp(salience[g], -2 * map[g]);
            if (map[g] < most && now > gain) {
                gain = now;
                best = g;
            }
        }
        if (best == full)
            return; /* cannot be: the mean leaves room */
        map[best]++;
    }
}
