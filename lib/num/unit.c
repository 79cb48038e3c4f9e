#include "num/unit.h"

#include <math.h>

double
mpq_unit(double x)
{
    int exponent;

    if (!isfinite(x) || x == 0)
        return 1;
    (void)frexp(x, &exponent);
    if (exponent < -1022) /* what would be needed is beyond a double */
        exponent = -1022;
    return ldexp(1, -2 * (exponent / 2));
}
