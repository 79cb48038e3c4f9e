#!/usr/bin/env python3
"""Kendall's tau-b and its two-sided p-value by scipy, for tests/unit/t_kendall.c:

    gen_kendall.py >tests/unit/kendall_expect.h
"""
import numpy as np
from scipy.stats import kendalltau

rng = np.random.default_rng(1)
ranks = lambda x: np.argsort(np.argsort(x))
cases = [("by hand", [1, 2, 3, 4], [1, 2, 4, 3]), ("two", [1, 2], [5, 3]),
         ("two tied", [1, 2, 2], [5, 3, 3])]
for n in 3, 7, 12, 33, 34, 100:  # no ties: exact up to 100
    x = rng.permutation(n)
    cases.append((f"{n}", x, ranks(x + rng.integers(0, n, n) + rng.random(n))))
for n, levels in (6, 3), (30, 4), (64, 1000), (200, 10):  # ties
    cases.append((f"{n} of {levels}", rng.integers(0, levels, n),
                  rng.integers(0, levels, n)))
x = rng.permutation(150)
cases.append(("150", x, ranks(x + rng.integers(0, 300, 150) + rng.random(150))))

print("/* Made by tests/data/gen_kendall.py. */")
print("static const double kendall_values[] = {")
print("    " + ", ".join(str(v) for _, x, y in cases for z in (x, y) for v in z))
print("};")
print("static const struct {\n    const char *name;\n    size_t n;\n    double tau, p;\n"
      "} kendall_cases[] = {")
for name, x, y in cases:
    ties = len(set(x)) < len(x) or len(set(y)) < len(y)
    how = "exact" if len(x) <= 100 and not ties else "asymptotic"
    r = kendalltau(x, y, method=how)
    print(f'    {{ "{name}", {len(x)}, {r.statistic:.17g}, {r.pvalue:.17g} }},')
print("};")
